"""The nodes of the exported graph, independent of who puts them into a model.

A :class:`GraphPart` has nodes and initializers whose inner names start with a prefix; the names of its inputs and
outputs are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ev_qa_framework.forest import FlatForest
from ev_qa_runtime.contract import Profile, ScoringRule

ML_DOMAIN = "ai.onnx.ml"
_SUM = 1  # aggregate_function of TreeEnsemble
_BRANCH_LEQ = 0  # nodes_modes of TreeEnsemble: left where reading <= threshold
_FRACTION_GRID = 2.0**-14


@dataclass(frozen=True, slots=True)
class GraphPart:
    """Some nodes with the constants they use."""

    nodes: tuple[onnx.NodeProto, ...]
    initializers: tuple[onnx.TensorProto, ...]


def path_length_part(forest: FlatForest, profile: Profile, telemetry: str, path_length: str, prefix: str) -> GraphPart:
    """Double rows [N, F] named ``telemetry`` → summed path lengths, double [N, 1], named ``path_length``."""
    if profile == "exact":
        return GraphPart((_tree_ensemble(forest, telemetry, path_length),), ())
    parts, double_parts, ones = f"{prefix}parts", f"{prefix}double_parts", f"{prefix}ones"
    nodes = (
        _tree_ensemble_regressor(forest, telemetry, parts),
        helper.make_node("Cast", [parts], [double_parts], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", [double_parts, ones], [path_length]),
    )
    return GraphPart(nodes, (numpy_helper.from_array(np.ones((3, 1)), ones),))


def score_part(rule: ScoringRule, path_length: str, score_samples: str, scores: str, prefix: str) -> GraphPart:
    """``score_samples = −(2 ** (path_length / −denominator))`` and ``scores = score_samples − offset``, double."""
    exponent, power = f"{prefix}exponent", f"{prefix}power"
    constants = _Constants(prefix)
    if rule.denominator == 0.0:  # trees of one sample: scikit-learn takes the ratio as 1
        nothing = f"{prefix}nothing"
        ratio = [
            helper.make_node("Mul", [path_length, constants.name("zero", 0.0)], [nothing]),
            helper.make_node("Sub", [nothing, constants.name("one", 1.0)], [exponent]),
        ]
    else:
        denominator = constants.name("negative_denominator", -rule.denominator)
        ratio = [helper.make_node("Div", [path_length, denominator], [exponent])]
    nodes = [
        *ratio,
        helper.make_node("Pow", [constants.name("two", 2.0), exponent], [power]),
        helper.make_node("Neg", [power], [score_samples]),
        helper.make_node("Sub", [score_samples, constants.name("offset", rule.offset)], [scores]),
    ]
    return GraphPart(tuple(nodes), constants.tensors())


def label_part(rule: ScoringRule, path_length: str, label: str, prefix: str) -> GraphPart:
    """scikit-learn's ``predict``, int64: 1 inlier, −1 anomaly."""
    constants, below = _Constants(prefix), f"{prefix}is_anomaly"
    minus_one, one = constants.name("minus_one_label", np.int64(-1)), constants.name("one_label", np.int64(1))
    nodes = (
        helper.make_node("Less", [path_length, constants.name("offset_cut", rule.offset_cut)], [below]),
        helper.make_node("Where", [below, minus_one, one], [label]),
    )
    return GraphPart(nodes, constants.tensors())


def severity_part(rule: ScoringRule, path_length: str, severity: str, prefix: str) -> GraphPart:
    """Severity codes, int64: 0 INFO, 1 WARNING, 2 CRITICAL. Its cuts can be changed later (``restated``)."""
    constants, nodes, codes = _Constants(prefix), [], []
    for name, cut in (("warning", rule.warning_cut), ("critical", rule.critical_cut)):
        below, code = f"{prefix}is_{name}", f"{prefix}{name}_code"
        nodes.append(helper.make_node("Less", [path_length, constants.name(f"{name}_cut", cut)], [below]))
        nodes.append(helper.make_node("Cast", [below], [code], to=TensorProto.INT64))
        codes.append(code)
    nodes.append(helper.make_node("Add", codes, [severity]))
    return GraphPart(tuple(nodes), constants.tensors())


class _Constants:
    """Scalar initializers, collected while nodes that use them are made."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._values: dict[str, Any] = {}

    def name(self, name: str, value: Any) -> str:
        self._values[self._prefix + name] = value
        return self._prefix + name

    def tensors(self) -> tuple[onnx.TensorProto, ...]:
        return tuple(numpy_helper.from_array(np.array(value), name) for name, value in self._values.items())


def _tree_ensemble(forest: FlatForest, telemetry: str, path_length: str) -> onnx.NodeProto:
    """``TreeEnsemble`` of ai.onnx.ml 5: everything in double."""
    return helper.make_node(
        "TreeEnsemble",
        [telemetry],
        [path_length],
        domain=ML_DOMAIN,
        aggregate_function=_SUM,
        n_targets=1,
        tree_roots=forest.root.tolist(),
        nodes_featureids=forest.column.tolist(),
        nodes_modes=numpy_helper.from_array(np.full(len(forest.column), _BRANCH_LEQ, np.uint8), "nodes_modes"),
        nodes_splits=numpy_helper.from_array(forest.threshold, "nodes_splits"),
        nodes_missing_value_tracks_true=forest.missing_left.astype(int).tolist(),
        nodes_truenodeids=forest.left.tolist(),
        nodes_trueleafs=forest.left_is_leaf.astype(int).tolist(),
        nodes_falsenodeids=forest.right.tolist(),
        nodes_falseleafs=forest.right_is_leaf.astype(int).tolist(),
        leaf_targetids=[0] * len(forest.leaf_value),
        leaf_weights=numpy_helper.from_array(forest.leaf_value, "leaf_weights"),
    )


def _tree_ensemble_regressor(forest: FlatForest, telemetry: str, parts: str) -> onnx.NodeProto:
    """``TreeEnsembleRegressor`` of ai.onnx.ml 3: double thresholds, but float outputs.

    So each leaf's value goes into three targets, whole number, multiple of 2**-14 and rest: the first two sum
    exactly in float, the third is too small for its rounding to matter (below 2**-38 of the sum).
    """
    numbering = _numbered(forest)
    whole = np.floor(forest.leaf_value)
    fraction = np.floor((forest.leaf_value - whole) / _FRACTION_GRID) * _FRACTION_GRID
    weights = np.stack([whole, fraction, forest.leaf_value - whole - fraction], axis=1)
    leaf_count = len(forest.leaf_value)
    modes = np.array(["BRANCH_LEQ"] * len(forest.column) + ["LEAF"] * leaf_count)
    attributes: Mapping[str, Any] = {
        "nodes_treeids": numbering.tree[numbering.order],
        "nodes_nodeids": numbering.node[numbering.order],
        "nodes_featureids": numbering.arranged(forest.column),
        "nodes_missing_value_tracks_true": numbering.arranged(forest.missing_left),
        "nodes_truenodeids": numbering.arranged(numbering.left),
        "nodes_falsenodeids": numbering.arranged(numbering.right),
        "target_treeids": np.repeat(numbering.leaf_tree, 3),
        "target_nodeids": np.repeat(numbering.leaf_node, 3),
        "target_ids": np.tile(np.arange(3), leaf_count),
    }
    thresholds = np.concatenate([forest.threshold, np.zeros(leaf_count)])[numbering.order]
    return helper.make_node(
        "TreeEnsembleRegressor",
        [telemetry],
        [parts],
        domain=ML_DOMAIN,
        n_targets=3,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_modes=modes[numbering.order].tolist(),
        nodes_values_as_tensor=numpy_helper.from_array(thresholds, "nodes_values"),
        target_weights_as_tensor=numpy_helper.from_array(weights.reshape(-1), "target_weights"),
        **{name: values.astype(int).tolist() for name, values in attributes.items()},
    )


@dataclass(frozen=True, slots=True)
class _Numbering:
    """Node numbers inside each tree, as the older operator wants them: interior nodes first, then leaves.

    ``tree`` and ``node`` list all interior nodes, then all leaves; ``order`` brings them into tree order, without
    which onnxruntime takes every change of tree for another root.
    """

    order: Any
    tree: Any
    node: Any
    left: Any
    right: Any
    leaf_tree: Any
    leaf_node: Any

    def arranged(self, of_interior: Any) -> Any:
        """Values of interior nodes, with zeros for the leaves, in tree order."""
        zeros = np.zeros(len(self.leaf_tree), np.int64)
        return np.concatenate([np.asarray(of_interior, dtype=np.int64), zeros])[self.order]


def _numbered(forest: FlatForest) -> _Numbering:
    interior_tree = np.searchsorted(forest.root, np.arange(len(forest.column)), side="right") - 1
    leaf_tree = np.zeros(len(forest.leaf_value), np.int64)
    for child, is_leaf in ((forest.left, forest.left_is_leaf), (forest.right, forest.right_is_leaf)):
        leaf_tree[child[is_leaf]] = interior_tree[is_leaf]
    interior_count = np.bincount(interior_tree, minlength=len(forest.root))
    first_leaf = np.searchsorted(leaf_tree, np.arange(len(forest.root)))
    interior_node = np.arange(len(forest.column)) - forest.root[interior_tree]
    leaf_node = interior_count[leaf_tree] + np.arange(len(leaf_tree)) - first_leaf[leaf_tree]
    left, right = (
        np.where(is_leaf, leaf_node[np.where(is_leaf, child, 0)], interior_node[np.where(is_leaf, 0, child)])
        for child, is_leaf in ((forest.left, forest.left_is_leaf), (forest.right, forest.right_is_leaf))
    )
    tree = np.concatenate([interior_tree, leaf_tree])
    return _Numbering(
        np.argsort(tree, kind="stable"),
        tree,
        np.concatenate([interior_node, leaf_node]),
        left,
        right,
        leaf_tree,
        leaf_node,
    )
