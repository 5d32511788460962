"""Registering hostile models: each is an edit of a small sound one, with the reason that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

CORPUS = Path(__file__).parent / "models"
SOUND = {"exact": CORPUS / "sound_exact.onnx", "compat": CORPUS / "sound_compat.onnx"}
Edit = Callable[[Any], Any]
"""Changes a ``ModelProto`` in place, or returns the bytes to write instead."""

EDITS: dict[str, tuple[str, Edit, str]] = {}
"""Name of a case → profile of the sound model, the edit, and what the refusal must match."""


def case(match: str, profile: str = "exact") -> Callable[[Edit], Edit]:
    """Register the decorated function as the case of its name."""

    def register(edit: Edit) -> Edit:
        EDITS[edit.__name__] = (profile, edit, match)
        return edit

    return register


def hostile_models() -> Iterator[tuple[str, str, bytes, str]]:
    """Name, profile, bytes and the pattern of the refusal, of every case."""
    for name, (profile, edit, match) in EDITS.items():
        model = onnx.load_model_from_string(SOUND[profile].read_bytes())
        result = edit(model)
        yield name, profile, result if isinstance(result, bytes) else model.SerializeToString(), match


def tree_node(model: Any) -> Any:
    """The tree operator."""
    return model.graph.node[0]


def attribute(model: Any, name: str) -> Any:
    """One of its attributes."""
    return next(item for item in tree_node(model).attribute if item.name == name)


def set_ints(model: Any, name: str, values: dict[int, int]) -> None:
    """Change some items of an attribute that is a list of integers."""
    for position, value in values.items():
        attribute(model, name).ints[position] = value


def set_tensor(model: Any, name: str, values: dict[int, float]) -> None:
    """Change some items of an attribute that is a tensor."""
    tensor = attribute(model, name).t
    array = numpy_helper.to_array(tensor).copy()
    for position, value in values.items():
        array[position] = value
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def put_first(model: Any, node: Any) -> None:
    """Put a node before the trees, which then read what it makes: onnxruntime cannot drop it."""
    tree_node(model).input[0] = node.output[0]
    nodes = [node, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def passing_graph(name: str = "inner") -> Any:
    """A subgraph that gives the outer input back."""
    result = helper.make_tensor_value_info(f"{name}_out", TensorProto.DOUBLE, None)
    return helper.make_graph([helper.make_node("Identity", ["telemetry"], [f"{name}_out"])], name, [], [result])
