"""What an ONNX model must be before onnxruntime sees it: one of ours, in every part.

onnxruntime runs whatever a model asks for: loops without end, tensors of any size, data from other files. Models of
this project need none of that, so whatever is not on the lists here is refused, and the reason named.

Invariants:

* a field, operator, attribute or type that is not listed is refused, never skipped;
* nothing recurses; single fields are counted while they are read, long runs are decoded in numpy: the time is
  proportional to the file's size;
* bytes are read as protobuf reads them, or refused: what it would merge, truncate or skip is an error.

Operators: what :mod:`ev_qa_framework.export` writes for a scaler and a forest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.onnx_fields import (
    DOUBLE,
    GRAPH,
    INT64,
    MODEL,
    NODE,
    OPSET,
    PROPERTY,
    AttributeValue,
    Message,
    Tensor,
    ValueType,
    read_attribute,
    read_tensor,
    read_value,
)
from ev_qa_runtime.tree_structure import (
    TREE_ENSEMBLE,
    TREE_ENSEMBLE_REGRESSOR,
    check_tree_ensemble,
    check_tree_ensemble_regressor,
)

INPUT_NAME = "telemetry"
PATH_LENGTH = "path_length"
OUTPUTS = {"label": INT64, "scores": DOUBLE, "score_samples": DOUBLE, "severity": INT64, PATH_LENGTH: DOUBLE}
"""The first outputs of every model, in order, with their element types; each is [N, 1]."""

_ML_DOMAIN = "ai.onnx.ml"
_TREES_OF_PROFILE = {"exact": "TreeEnsemble", "compat": "TreeEnsembleRegressor"}
_AFTER_THE_TREES: Mapping[str, tuple[str, ...]] = {"exact": (), "compat": ("Cast", "MatMul")}
_ATTRIBUTES: Mapping[tuple[str, str], frozenset[str]] = {
    (_ML_DOMAIN, "TreeEnsemble"): frozenset(TREE_ENSEMBLE),
    (_ML_DOMAIN, "TreeEnsembleRegressor"): frozenset(TREE_ENSEMBLE_REGRESSOR),
    ("", "Cast"): frozenset({"to"}),
    **{("", name): frozenset() for name in ("Add", "Div", "Less", "MatMul", "Mul", "Neg", "Pow", "Sub", "Where")},
}
"""Operators, and the attributes that each of them has, all of them always."""

_LARGEST_CONSTANT = 3
_PARTS = 3  # of a leaf's value in the compat profile


@dataclass(frozen=True, slots=True)
class _Node:
    operator: str
    inputs: list[str]
    output: str
    attributes: Mapping[str, AttributeValue]


def inspect(onnx_model: bytes, contract: ModelContract) -> None:
    """Raise ``ArtifactError`` with the reason where ``onnx_model`` is not what the exporter writes for ``contract``."""
    try:
        model = Message(memoryview(onnx_model), MODEL, "it")
        _check_properties(model)
        _check_opsets(model, contract)
        graph = Message(model.message("graph"), GRAPH, "its graph")
        _check_values(graph, len(contract.features))
        nodes = [_node(data) for data in graph.messages("node")]
        constants = [read_tensor(data, _LARGEST_CONSTANT) for data in graph.messages("initializer")]
        _check_names(nodes, constants)
        _check_path(nodes, {constant.name: constant for constant in constants}, contract)
    except ArtifactError as error:
        raise ArtifactError(f"its ONNX model is refused: {error}") from None


def _check_properties(model: Message) -> None:
    if "graph" not in model:
        raise ArtifactError("not an ONNX model: it has no graph")
    for data in model.messages("metadata_props"):
        Message(data, PROPERTY, "a property of it")


def _check_opsets(model: Message, contract: ModelContract) -> None:
    imported = [Message(data, OPSET, "an opset") for data in model.messages("opset_import")]
    opsets = [(opset.text("domain"), opset.number("version")) for opset in imported]
    for domain, _ in opsets:
        if domain not in ("", _ML_DOMAIN):
            raise ArtifactError(f"it needs operators of domain {domain!r:.40}")
    if sorted(opsets) != sorted(contract.onnx.opsets.items()):
        raise ArtifactError(f"its opsets {dict(opsets)} are not those of its sidecar, {contract.onnx.opsets}")


def _check_values(graph: Message, n_features: int) -> None:
    inputs = [read_value(data) for data in graph.messages("input")]
    width = inputs[0].shape[1] if len(inputs) == 1 and len(inputs[0].shape) == 2 else None
    if width is None or inputs != [ValueType(INPUT_NAME, DOUBLE, (None, width))]:
        raise ArtifactError(f"its input is not the double matrix {INPUT_NAME!r}")
    if width != n_features:
        raise ArtifactError(f"it takes {width} features, its sidecar lists {n_features}")
    outputs = [read_value(data) for data in graph.messages("output")]
    expected = [ValueType(name, element, (None, 1)) for name, element in OUTPUTS.items()]
    further = [ValueType(value.name, value.element, (None, 1)) for value in outputs[len(expected) :]]
    if outputs != expected + further or any(value.element not in (DOUBLE, INT64) for value in further):
        raise ArtifactError(f"its outputs are not {', '.join(OUTPUTS)}, each one column of its type")


def _node(data: memoryview) -> _Node:
    node = Message(data, NODE, "a node")
    attributes = {}
    for item in map(read_attribute, node.messages("attribute")):
        if item.name in attributes:
            raise ArtifactError(f"a node has attribute {item.name!r:.40} twice")
        attributes[item.name] = item.value
    domain, operator = node.text("domain"), node.text("op_type")
    if domain not in ("", _ML_DOMAIN):
        raise ArtifactError(f"it needs operators of domain {domain!r:.40}")
    expected = _ATTRIBUTES.get((domain, operator))
    if expected is None:
        raise ArtifactError(f"it uses operator {operator!r:.40}")
    for name in sorted(expected ^ attributes.keys()):
        has = "no attribute" if name in expected else "the attribute"
        raise ArtifactError(f"operator {operator} has {has} {name!r:.40}")
    return _Node(operator, node.texts("input"), node.text("output"), attributes)


def _check_names(nodes: list[_Node], constants: list[Tensor]) -> None:
    """Every name is made once, and before it is read."""
    made = {INPUT_NAME}
    for name, reads in _made(nodes, constants):
        for read in reads:
            if read not in made:
                raise ArtifactError(f"a node reads {read!r:.40}, which nothing before it makes")
        if name in made or not name:
            raise ArtifactError(f"{name!r:.40} is made twice or has no name")
        made.add(name)
    for name in OUTPUTS:
        if name not in made:
            raise ArtifactError(f"nothing makes the output {name}")


def _made(nodes: list[_Node], constants: list[Tensor]) -> Iterator[tuple[str, list[str]]]:
    for constant in constants:
        yield constant.name, []
    for node in nodes:
        yield node.output, node.inputs


def _check_path(nodes: list[_Node], constants: Mapping[str, Tensor], contract: ModelContract) -> None:
    """What makes path lengths, all that onnxruntime gets to see: the trees, and the sum of their parts."""
    profile = contract.onnx.profile
    path = (_TREES_OF_PROFILE[profile], *_AFTER_THE_TREES[profile])
    trees = [node for node in nodes if node.operator in _TREES_OF_PROFILE.values()]
    if not trees:
        raise ArtifactError("it has no tree operator")
    if [node.operator for node in trees] != [path[0]] or nodes[0] is not trees[0]:
        raise ArtifactError(f"the trees must come first and once, as {path[0]} for the profile {profile!r}")
    found = nodes[: len(path)]
    if tuple(node.operator for node in found) != path or found[-1].output != PATH_LENGTH:
        raise ArtifactError(f"{PATH_LENGTH} is not made by {', '.join(path)}")
    read = INPUT_NAME
    for node in found:
        if node.inputs[:1] != [read] or len(node.inputs) != (2 if node.operator == "MatMul" else 1):
            raise ArtifactError(f"{node.operator} does not read {read!r:.40} alone")
        read = node.output
    if profile == "exact":
        check_tree_ensemble(found[0].attributes, len(contract.features))
    else:
        check_tree_ensemble_regressor(found[0].attributes, len(contract.features))
        _check_sum(found[1], constants.get(found[2].inputs[1]))


def _check_sum(cast: _Node, factors: Tensor | None) -> None:
    if cast.attributes["to"] != DOUBLE:
        raise ArtifactError("the trees' parts are not cast to double")
    if factors is None or factors.values.dtype != "f8" or factors.values.tolist() != [[1.0]] * _PARTS:
        raise ArtifactError("the trees' parts are not summed: their factors are not ones")
