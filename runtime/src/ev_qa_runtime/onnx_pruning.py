"""Cutting an ONNX model down to what one output needs, in protobuf's wire format.

onnxruntime spends time on every node of a graph, fetched or not: with the score, label and severity nodes gone, one
reading costs a third less. The runtime cannot import ``onnx``, so it copies the fields it keeps, byte for byte
(protobuf encoding: https://protobuf.dev/programming-guides/encoding; field numbers: onnx.proto of ONNX 1.0 to 1.23).
"""

from __future__ import annotations

from collections.abc import Iterator

from ev_qa_runtime.errors import ArtifactError

_MODEL_GRAPH = 7
_GRAPH_NODE = 1
_GRAPH_OUTPUT = 12
_NODE_OUTPUT = 2
_NODE_ATTRIBUTE = 5
_VALUE_NAME = _ATTRIBUTE_NAME = 1

MISSING_VALUE_ROUTING = "nodes_missing_value_tracks_true"
"""The attribute of a tree operator that only matters for rows with NaN."""

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def pruned(onnx_model: bytes, output: str, without: str | None = None) -> bytes:
    """The model with ``output`` as its only output and without the nodes after the one that makes it.

    Nodes stand in topological order, as ONNX demands, so later ones cannot matter. Constants they used stay. The node
    that makes ``output`` loses the attribute named ``without``.
    Raises ``ArtifactError`` where the bytes are no ONNX model or make no such output.
    """
    wanted, unwanted = output.encode(), None if without is None else without.encode()
    parts: list[bytes | memoryview] = []
    for number, value, raw in _fields(memoryview(onnx_model)):
        if number == _MODEL_GRAPH:
            graph = _pruned_graph(value, wanted, unwanted)
            parts += [_tag(_MODEL_GRAPH), _varint(len(graph)), graph]
        else:
            parts.append(raw)
    return b"".join(parts)


def _pruned_graph(graph: memoryview, wanted: bytes, unwanted: bytes | None) -> bytes:
    parts: list[bytes | memoryview] = []
    made = False
    for number, value, raw in _fields(graph):
        if number == _GRAPH_NODE:
            if made:
                continue
            made = _holds(value, _NODE_OUTPUT, wanted)
            if made and unwanted is not None:
                node = _without_attribute(value, unwanted)
                parts += [_tag(_GRAPH_NODE), _varint(len(node)), node]
                continue
        elif number == _GRAPH_OUTPUT and not _holds(value, _VALUE_NAME, wanted):
            continue
        parts.append(raw)
    if not made:
        raise ArtifactError(f"the ONNX model has no output {wanted.decode()!r}")
    return b"".join(parts)


def _without_attribute(node: memoryview, unwanted: bytes) -> bytes:
    return b"".join(
        raw
        for number, value, raw in _fields(node)
        if number != _NODE_ATTRIBUTE or not _holds(value, _ATTRIBUTE_NAME, unwanted)
    )


def _holds(message: memoryview, number: int, text: bytes) -> bool:
    """Whether a field ``number`` of ``message`` is ``text``."""
    return any(field == number and value == text for field, value, _ in _fields(message))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, value and whole encoding of each field; the value of one without length is empty."""
    position = 0
    while position < len(message):
        start = position
        key, position = _read_varint(message, position)
        kind, length = key & 7, 0
        if kind == _VARINT:
            _, position = _read_varint(message, position)
        elif kind == _LENGTH:
            length, position = _read_varint(message, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ArtifactError("not an ONNX model: its protobuf encoding is broken")
        value = message[position : position + length]
        position += length
        if position > len(message):
            raise ArtifactError("not an ONNX model: its protobuf encoding ends early")
        yield key >> 3, value, message[start:position]


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ArtifactError("not an ONNX model: its protobuf encoding ends early")


def _tag(number: int) -> bytes:
    return _varint(number << 3 | _LENGTH)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
