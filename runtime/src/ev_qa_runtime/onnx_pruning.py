"""Cutting an ONNX model down to what one output needs, in protobuf's wire format.

onnxruntime spends time on every node of a graph, fetched or not: with the score, label and severity nodes gone, one
reading costs a third less. The runtime cannot import ``onnx``, so it copies the fields it keeps, byte for byte
(field numbers: onnx.proto of ONNX 1.0 to 1.23).
"""

from __future__ import annotations

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.protobuf_wire import LENGTH, fields, head, key_of

_MODEL_GRAPH = key_of(7, LENGTH)
_GRAPH_NODE = key_of(1, LENGTH)
_GRAPH_OUTPUT = key_of(12, LENGTH)
_NODE_OUTPUT = key_of(2, LENGTH)
_NODE_ATTRIBUTE = key_of(5, LENGTH)
_VALUE_NAME = _ATTRIBUTE_NAME = key_of(1, LENGTH)

MISSING_VALUE_ROUTING = "nodes_missing_value_tracks_true"
"""The attribute of a tree operator that only matters for rows with NaN."""


def pruned(onnx_model: bytes, output: str, without: str | None = None) -> bytes:
    """The model with ``output`` as its only output and without the nodes after the one that makes it.

    Nodes stand in topological order, as ONNX demands, so later ones cannot matter. Constants they used stay. The node
    that makes ``output`` loses the attribute named ``without``.
    Raises ``ArtifactError`` where the bytes are no ONNX model or make no such output.
    """
    wanted, unwanted = output.encode(), None if without is None else without.encode()
    parts: list[bytes | memoryview] = []
    for field in fields(memoryview(onnx_model)):
        if field.key == _MODEL_GRAPH:
            graph = _pruned_graph(field.value, wanted, unwanted)
            parts += [head(_MODEL_GRAPH, graph), graph]
        else:
            parts.append(field.encoding)
    return b"".join(parts)


def _pruned_graph(graph: memoryview, wanted: bytes, unwanted: bytes | None) -> bytes:
    parts: list[bytes | memoryview] = []
    made = False
    for field in fields(graph):
        if field.key == _GRAPH_NODE:
            if made:
                continue
            made = _holds(field.value, _NODE_OUTPUT, wanted)
            if made and unwanted is not None:
                node = _without_attribute(field.value, unwanted)
                parts += [head(_GRAPH_NODE, node), node]
                continue
        elif field.key == _GRAPH_OUTPUT and not _holds(field.value, _VALUE_NAME, wanted):
            continue
        parts.append(field.encoding)
    if not made:
        raise ArtifactError(f"the ONNX model has no output {wanted.decode()!r}")
    return b"".join(parts)


def _without_attribute(node: memoryview, unwanted: bytes) -> bytes:
    return b"".join(
        field.encoding
        for field in fields(node)
        if field.key != _NODE_ATTRIBUTE or not _holds(field.value, _ATTRIBUTE_NAME, unwanted)
    )


def _holds(message: memoryview, key: int, text: bytes) -> bool:
    """Whether a field of ``message`` is ``text``."""
    return any(field.key == key and field.value == text for field in fields(message))
