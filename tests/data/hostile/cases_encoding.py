"""Bytes that are no model, or that two readers would read in two ways."""

from __future__ import annotations

from typing import Any

import onnx
from hostile_case import case


@case("not an ONNX model")
def empty_file(_model: Any) -> bytes:
    return b""


@case("not an ONNX model")
def text_file(_model: Any) -> bytes:
    return b"this is not a model\n" * 100


@case("field 80")
def pickle_file(_model: Any) -> bytes:
    return b"\x80\x05\x95" + bytes(1000)


@case("ends early")
def cut_short(model: Any) -> bytes:
    whole: bytes = model.SerializeToString()
    return whole[: len(whole) // 2]


@case("graph twice")
def second_graph(model: Any) -> bytes:
    graph = onnx.ModelProto()
    graph.graph.name = "merged into the first by protobuf"
    merged: bytes = model.SerializeToString() + graph.SerializeToString()
    return merged


@case("field 99")
def unknown_field(model: Any) -> bytes:
    extended: bytes = model.SerializeToString() + b"\x9a\x06\x03abc"
    return extended


@case("not an ONNX model")
def group(model: Any) -> bytes:
    nested: bytes = model.SerializeToString() + b"\x0b" * 100_000
    return nested


@case("ends early")
def length_beyond_the_end(model: Any) -> bytes:
    lying: bytes = model.SerializeToString() + b"\x12\xff\xff\xff\xff\x0f"
    return lying


@case("not an ONNX model")
def endless_number(model: Any) -> bytes:
    endless: bytes = model.SerializeToString() + b"\x08" + b"\xff" * 100_000
    return endless


@case("encoding is broken")
def endless_number_in_a_list(model: Any) -> bytes:
    attribute = next(item for item in model.graph.node[0].attribute if item.name == "nodes_featureids")
    kind = b"\xa0\x01\x07"
    start = attribute.SerializeToString().removesuffix(kind)
    return replaced(model, attribute, start + b"\x40" + b"\xff" * 50 + b"\x01" + kind)


@case("holds ints|field 8")
def list_in_two_parts(model: Any) -> bytes:
    attribute = next(item for item in model.graph.node[0].attribute if item.name == "nodes_featureids")
    return replaced(model, attribute, attribute.SerializeToString() + b"\x40\x01")


@case("does not begin with its name")
def name_at_the_end(model: Any) -> bytes:
    attribute = next(item for item in model.graph.node[0].attribute if item.name == "nodes_featureids")
    name = onnx.AttributeProto(name=attribute.name).SerializeToString()
    return replaced(model, attribute, attribute.SerializeToString().removeprefix(name) + name)


def replaced(model: Any, attribute: Any, encoded: bytes) -> bytes:
    """The model with other bytes for one attribute: a text of the same length holds its place meanwhile."""
    place = b"~" * len(encoded)
    attribute.Clear()
    attribute.doc_string = place[: len(encoded) - 2 if len(encoded) < 130 else len(encoded) - 3].decode()
    assert attribute.ByteSize() == len(encoded)
    whole: bytes = model.SerializeToString()
    assert whole.count(attribute.SerializeToString()) == 1
    return whole.replace(attribute.SerializeToString(), encoded)


@case("more than 256")
def very_many_properties(model: Any) -> None:
    for number in range(5000):
        model.metadata_props.add(key=str(number), value="")


@case("UTF-8")
def name_that_is_no_text(model: Any) -> bytes:
    data: bytes = model.SerializeToString().replace(b"TreeEnsemble", b"Tree\xff\xfe\xfdsembl")
    return data


@case("the shape of an input or output holds text in dim_param that is not UTF-8")
def dimension_named_by_no_text(model: Any) -> bytes:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "NNN"
    data: bytes = model.SerializeToString().replace(b"NNN", b"\xb9\xff\xfe")
    return data
