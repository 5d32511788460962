"""The messages of an ONNX model, read strictly: which fields ours have, how often, and nothing else.

Field numbers: onnx.proto of ONNX 1.0 to 1.23. A field that is not listed is an ``ArtifactError``; one that is listed
with a reason names it. Fields are counted while they are read, so that a message of many small ones costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.protobuf_wire import LENGTH, VARINT, Field, IntArray, fields, key_of, read_field, varint_run


@dataclass(frozen=True, slots=True)
class Allowed:
    """A field that may stand in a message, at most ``most`` times; 0 refuses it under this name."""

    name: str
    kind: int = LENGTH
    most: int = 1


def _refused(name: str) -> Allowed:
    return Allowed(name, most=0)


Layout: TypeAlias = Mapping[int, Allowed]

MODEL: Layout = {
    1: Allowed("ir_version", VARINT),
    2: Allowed("producer_name"),
    3: Allowed("producer_version"),
    4: Allowed("domain"),
    5: Allowed("model_version", VARINT),
    6: Allowed("doc_string"),
    7: Allowed("graph"),
    8: Allowed("opset_import", most=8),
    14: Allowed("metadata_props", most=256),
    20: _refused("training info"),
    25: _refused("model-local functions"),
}
PROPERTY: Layout = {1: Allowed("key"), 2: Allowed("value")}
OPSET: Layout = {1: Allowed("domain"), 2: Allowed("version", VARINT)}
GRAPH: Layout = {
    1: Allowed("node", most=64),
    2: Allowed("name"),
    5: Allowed("initializer", most=64),
    10: Allowed("doc_string"),
    11: Allowed("input", most=8),
    12: Allowed("output", most=64),
    13: _refused("stated shapes (value_info)"),
    15: _refused("a sparse initializer"),
}
NODE: Layout = {
    1: Allowed("input", most=3),
    2: Allowed("output"),
    3: Allowed("name"),
    4: Allowed("op_type"),
    5: Allowed("attribute", most=20),
    6: Allowed("doc_string"),
    7: Allowed("domain"),
}
ATTRIBUTE: Layout = {
    1: Allowed("name"),
    3: Allowed("i", VARINT),
    4: Allowed("s"),
    5: Allowed("t"),
    6: _refused("a subgraph"),
    11: _refused("subgraphs"),
    13: Allowed("doc_string"),
    20: Allowed("type", VARINT),
}
TENSOR: Layout = {
    1: Allowed("dims", VARINT, most=2),
    2: Allowed("data_type", VARINT),
    8: Allowed("name"),
    9: Allowed("raw_data"),
    12: Allowed("doc_string"),
    13: _refused("external data"),
    14: _refused("external data"),
}
VALUE: Layout = {1: Allowed("name"), 2: Allowed("type"), 3: Allowed("doc_string")}
TYPE: Layout = {1: Allowed("tensor_type")}
TENSOR_TYPE: Layout = {1: Allowed("elem_type", VARINT), 2: Allowed("shape")}
SHAPE: Layout = {1: Allowed("dim", most=2)}
DIMENSION: Layout = {1: Allowed("dim_value", VARINT), 2: Allowed("dim_param")}

DOUBLE, INT64, UINT8 = 11, 7, 2
_ELEMENTS: Mapping[int, npt.DTypeLike] = {DOUBLE: "<f8", INT64: "<i8", UINT8: "u1"}

_INTS_KEY, _STRINGS_KEY = key_of(8, VARINT), key_of(9, LENGTH)
_BRANCH, _LEAF = b"\x4a\x0aBRANCH_LEQ", b"\x4a\x04LEAF"
_MODES = re.compile(rb"(?:" + _BRANCH + rb"|" + _LEAF + rb")*+")
_MEMBER_OF_TYPE = {2: "i", 3: "s", 4: "t", 7: "ints", 8: "strings"}


class Message:
    """One message by its layout. ``what`` names it in errors."""

    def __init__(self, data: memoryview, layout: Layout, what: str) -> None:
        self._what = what
        self._found: dict[str, list[Field]] = {}
        for field in fields(data):
            self.add(field, layout)

    def add(self, field: Field, layout: Layout) -> None:
        """Take one more field; ``ArtifactError`` where the layout has no place for it."""
        allowed = layout.get(field.key >> 3)
        if allowed is None or (allowed.most and field.key & 7 != allowed.kind):
            raise ArtifactError(
                f"{self._what} holds field {field.key >> 3} of wire type {field.key & 7}, unknown there"
            )
        if not allowed.most:
            raise ArtifactError(f"{self._what} holds {allowed.name}")
        same = self._found.setdefault(allowed.name, [])
        same.append(field)
        if len(same) > allowed.most:
            times = f"more than {allowed.most} times" if allowed.most > 1 else "twice"
            raise ArtifactError(f"{self._what} holds {allowed.name} {times}")

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def numbers(self, name: str) -> list[int]:
        """A field of wire type VARINT, each time it stands there."""
        return [field.number for field in self._found.get(name, ())]

    def number(self, name: str) -> int:
        """A field of wire type VARINT, 0 where it is absent, as protobuf has it."""
        return (self.numbers(name) or [0])[0]

    def messages(self, name: str) -> list[memoryview]:
        """The bytes of a field, each time it stands there."""
        return [field.value for field in self._found.get(name, ())]

    def message(self, name: str) -> memoryview:
        """The bytes of a field, none where it is absent."""
        return (self.messages(name) or [memoryview(b"")])[0]

    def texts(self, name: str) -> list[str]:
        """A field of text, each time it stands there."""
        try:
            return [bytes(value).decode() for value in self.messages(name)]
        except UnicodeDecodeError:
            raise ArtifactError(f"{self._what} holds text in {name} that is not UTF-8") from None

    def text(self, name: str) -> str:
        """A field of text, empty where it is absent."""
        return (self.texts(name) or [""])[0]


@dataclass(frozen=True, slots=True)
class ValueType:
    """Name, element type and shape of an input or output; a dimension without number is None."""

    name: str
    element: int
    shape: tuple[int | None, ...]


def read_value(data: memoryview) -> ValueType:
    """A ValueInfoProto that describes a tensor."""
    value = Message(data, VALUE, "an input or output")
    kind = Message(value.message("type"), TYPE, "an input or output that is no tensor")
    tensor = Message(kind.message("tensor_type"), TENSOR_TYPE, "an input or output")
    shape = Message(tensor.message("shape"), SHAPE, "the shape of an input or output")
    sizes = []
    for dimension in shape.messages("dim"):
        size = Message(dimension, DIMENSION, "the shape of an input or output")
        size.text("dim_param")  # refused where it is no text, on which onnxruntime stumbles when asked
        sizes.append(size.number("dim_value") if "dim_value" in size and "dim_param" not in size else None)
    return ValueType(value.text("name"), tensor.number("elem_type"), tuple(sizes))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant: its values are the file's own bytes, not copied."""

    name: str
    values: npt.NDArray[Any]


def read_tensor(data: memoryview, most: int | None = None) -> Tensor:
    """A TensorProto that holds its values, at most ``most`` of them, in ``raw_data``."""
    tensor = Message(data, TENSOR, "a constant")
    name, element, raw = tensor.text("name"), tensor.number("data_type"), tensor.message("raw_data")
    if element not in _ELEMENTS:
        raise ArtifactError(f"constant {name!r:.40} is of element type {element}")
    kind, sizes = np.dtype(_ELEMENTS[element]), tensor.numbers("dims")
    if prod(sizes) * kind.itemsize != len(raw):
        raise ArtifactError(
            f"constant {name!r:.40} says it has {prod(sizes)} values of {kind.itemsize} bytes, its data has {len(raw)}"
        )
    if most is not None and prod(sizes) > most:
        raise ArtifactError(f"constant {name!r:.40} has more than {most} values")
    return Tensor(name, np.frombuffer(raw, kind).reshape(sizes))


AttributeValue: TypeAlias = "int | bytes | IntArray | npt.NDArray[Any]"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a node. ``value`` of texts is an array with 1 for BRANCH_LEQ and 0 for LEAF."""

    name: str
    value: AttributeValue


def read_attribute(data: memoryview) -> Attribute:
    """An AttributeProto: a number, a text, a tensor, a list of numbers or a list of tree-node modes."""
    message = Message(data[:0], ATTRIBUTE, "an attribute")
    lists: dict[str, IntArray | npt.NDArray[Any]] = {}
    position = 0
    while position < len(data):
        if data[position] == _INTS_KEY and "ints" not in lists:
            lists["ints"], position = varint_run(data, position, _INTS_KEY)
        elif data[position] == _STRINGS_KEY and "strings" not in lists:
            lists["strings"], position = _modes(data, position)
        else:
            field = read_field(data, position)
            if position and "name" not in message:
                break
            message.add(field, ATTRIBUTE)
            position += len(field.encoding)
    if "name" not in message:
        raise ArtifactError("an attribute does not begin with its name")
    return Attribute(message.text("name"), _value(message, lists))


def _modes(data: memoryview, start: int) -> tuple[npt.NDArray[Any], int]:
    found = _MODES.match(data, start)
    end = start if found is None else found.end()
    if end == start:
        raise ArtifactError("nodes_modes holds another mode than BRANCH_LEQ and LEAF")
    run = bytes(data[start:end]).replace(_BRANCH, b"\1").replace(_LEAF, b"\0")
    return np.frombuffer(run, np.uint8), end


def _value(message: Message, lists: Mapping[str, AttributeValue]) -> AttributeValue:
    name, kind = message.text("name"), message.number("type")
    member = _MEMBER_OF_TYPE.get(kind)
    there = [other for other in ("i", "s", "t") if other in message] + list(lists)
    if member is None or there not in ([member], [] if member == "ints" else [member]):
        raise ArtifactError(f"attribute {name!r:.40} is of type {kind} and holds {', '.join(there) or 'nothing'}")
    if member == "i":
        return message.number("i")
    if member == "s":
        return bytes(message.message("s"))
    if member == "t":
        return read_tensor(message.message("t")).values
    return lists.get(member, np.empty(0, np.int64))
