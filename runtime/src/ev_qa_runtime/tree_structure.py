"""Whether the attributes of a tree operator are a forest, as the exporter writes it. Vectorised, no recursion.

A forest here: every list has one item a node or a leaf, every child lies inside its list, every node and leaf is
reached exactly once from exactly one root, no path is longer than :data:`DEEPEST` nodes, every feature exists,
thresholds are no NaN and leaves are finite. A tree operator that is no forest can make onnxruntime loop, read beyond
its arrays or answer something else on another release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.onnx_fields import AttributeValue
from ev_qa_runtime.protobuf_wire import IntArray

DEEPEST = 64
"""Nodes on a path. scikit-learn grows no isolation tree deeper than log2(max_samples), which 64 bits bound."""

_FLOAT64, _UINT8, _INT64 = (np.dtype(kind) for kind in (np.float64, np.uint8, np.int64))

TREE_ENSEMBLE: Mapping[str, np.dtype[Any] | int] = {
    "aggregate_function": 1,
    "n_targets": 1,
    "tree_roots": _INT64,
    "nodes_featureids": _INT64,
    "nodes_modes": _UINT8,
    "nodes_splits": _FLOAT64,
    "nodes_missing_value_tracks_true": _INT64,
    "nodes_truenodeids": _INT64,
    "nodes_trueleafs": _INT64,
    "nodes_falsenodeids": _INT64,
    "nodes_falseleafs": _INT64,
    "leaf_targetids": _INT64,
    "leaf_weights": _FLOAT64,
}
"""Attributes of ``TreeEnsemble`` (``exact``): the value they must have, or the type of their items."""

TREE_ENSEMBLE_REGRESSOR: Mapping[str, np.dtype[Any] | int | bytes] = {
    "aggregate_function": b"SUM",
    "post_transform": b"NONE",
    "n_targets": 3,
    "nodes_treeids": _INT64,
    "nodes_nodeids": _INT64,
    "nodes_featureids": _INT64,
    "nodes_modes": _UINT8,
    "nodes_values_as_tensor": _FLOAT64,
    "nodes_missing_value_tracks_true": _INT64,
    "nodes_truenodeids": _INT64,
    "nodes_falsenodeids": _INT64,
    "target_treeids": _INT64,
    "target_nodeids": _INT64,
    "target_ids": _INT64,
    "target_weights_as_tensor": _FLOAT64,
}
"""The same of ``TreeEnsembleRegressor`` (``compat``); ``nodes_modes`` has 1 for a branch, 0 for a leaf."""

_TARGETS = 3


@dataclass(frozen=True, slots=True)
class _Forest:
    """Nodes and leaves in one numbering of ``size``; ``left`` and ``right`` belong to the ``interior`` nodes."""

    size: int
    roots: IntArray
    interior: IntArray
    left: IntArray
    right: IntArray


def check_tree_ensemble(attributes: Mapping[str, AttributeValue], n_features: int) -> None:
    """Raise ``ArtifactError`` where the attributes of a ``TreeEnsemble`` are no forest over ``n_features``."""
    lists = _typed(attributes, TREE_ENSEMBLE)
    nodes = _common_length({name: items for name, items in lists.items() if name.startswith("nodes_")})
    leaves = _common_length({name: lists[name] for name in ("leaf_targetids", "leaf_weights")})
    _check_nodes(lists, lists["nodes_splits"], n_features)
    _demand(not lists["nodes_modes"].any(), "nodes_modes holds another mode than BRANCH_LEQ")
    _demand(not lists["leaf_targetids"].any(), "leaf_targetids holds a target other than 0")
    _demand(bool(np.isfinite(lists["leaf_weights"]).all()), "leaf_weights holds NaN or infinity")
    _demand(len(lists["tree_roots"]) > 0, "tree_roots is empty")
    _check_inside(lists["tree_roots"], nodes, "tree_roots")
    children = [_children(lists, side, nodes, leaves) for side in ("true", "false")]
    _check_forest(_Forest(nodes + leaves, lists["tree_roots"], np.arange(nodes), *children))


def check_tree_ensemble_regressor(attributes: Mapping[str, AttributeValue], n_features: int) -> None:
    """The same for a ``TreeEnsembleRegressor``, whose nodes are numbered inside their tree."""
    lists = _typed(attributes, TREE_ENSEMBLE_REGRESSOR)
    nodes = _common_length({name: items for name, items in lists.items() if name.startswith("nodes_")})
    _common_length({name: items for name, items in lists.items() if name.startswith("target_")})
    _check_nodes(lists, lists["nodes_values_as_tensor"], n_features)
    tree, number = lists["nodes_treeids"], lists["nodes_nodeids"]
    begins = np.diff(tree, prepend=-1)
    _demand(nodes > 0 and bool(((begins == 0) | (begins == 1)).all()), "nodes_treeids does not count the trees up")
    roots = np.flatnonzero(begins)
    start = roots[tree]
    _demand(np.array_equal(number, np.arange(nodes) - start), "nodes_nodeids does not count the nodes of each tree up")
    size = np.diff(roots, append=nodes)[tree]
    interior = np.flatnonzero(lists["nodes_modes"])
    _check_targets(lists, np.flatnonzero(lists["nodes_modes"] == 0), tree, number)
    children = []
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        child = lists[name][interior]
        _check_inside(child, size[interior], name)
        children.append(start[interior] + child)
    _check_forest(_Forest(nodes, roots, interior, *children))


def _typed(attributes: Mapping[str, AttributeValue], expected: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """The attributes that are lists, as flat arrays; the others have the value they must have."""
    for name, wanted in expected.items():
        value = attributes[name]
        if isinstance(wanted, np.dtype):
            fits = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == wanted
        else:
            fits = type(value) is type(wanted) and value == wanted
        if not fits:
            shown = wanted if not isinstance(wanted, np.dtype) else f"a list of {wanted.name}"
            raise ArtifactError(f"attribute {name} is not {shown}")
    return {name: value for name, value in attributes.items() if isinstance(value, np.ndarray)}


def _common_length(lists: Mapping[str, npt.NDArray[Any]]) -> int:
    lengths = {name: len(items) for name, items in lists.items()}
    short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    _demand(lengths[short] == lengths[long], f"{short} has {lengths[short]} items, {long} has {lengths[long]}")
    return lengths[short]


def _check_nodes(lists: Mapping[str, npt.NDArray[Any]], thresholds: npt.NDArray[Any], n_features: int) -> None:
    features = lists["nodes_featureids"]
    _demand(len(features) > 0, "there are no tree nodes")
    _demand(int(features.min()) >= 0, "nodes_featureids holds a number out of range")
    highest = int(features.max())
    _demand(highest < n_features, f"a tree reads feature {highest}, there are {n_features}")
    _demand(not np.isnan(thresholds.min()), "a threshold in nodes_splits or nodes_values_as_tensor is NaN")
    _check_flags(lists, "nodes_missing_value_tracks_true")


def _check_flags(lists: Mapping[str, npt.NDArray[Any]], name: str) -> None:
    _demand(int(lists[name].min()) >= 0 and int(lists[name].max()) <= 1, f"{name} holds a number other than 0 and 1")


def _children(lists: Mapping[str, npt.NDArray[Any]], side: str, nodes: int, leaves: int) -> IntArray:
    """Of each node, the child on one side, in the numbering of nodes and then leaves."""
    _check_flags(lists, f"nodes_{side}leafs")
    child, is_leaf = lists[f"nodes_{side}nodeids"], lists[f"nodes_{side}leafs"]
    _check_inside(child, np.where(is_leaf, leaves, nodes), f"nodes_{side}nodeids")
    numbered: IntArray = child + is_leaf * nodes
    return numbered


def _check_inside(numbers: IntArray, limit: IntArray | int, name: str) -> None:
    _demand(not len(numbers) or int(numbers.min()) >= 0, f"{name} holds a number out of range")
    _demand(bool((numbers < limit).all()), f"{name} points outside its list")


def _check_targets(lists: Mapping[str, npt.NDArray[Any]], leaf: IntArray, tree: IntArray, number: IntArray) -> None:
    """Every leaf has its three parts, in order, and nothing else has any."""
    fits = (
        np.array_equal(lists["target_treeids"], np.repeat(tree[leaf], _TARGETS))
        and np.array_equal(lists["target_nodeids"], np.repeat(number[leaf], _TARGETS))
        and np.array_equal(lists["target_ids"], np.tile(np.arange(_TARGETS), len(leaf)))
    )
    _demand(fits, "target_treeids, target_nodeids and target_ids are not three parts for each leaf")
    finite = bool(np.isfinite(lists["target_weights_as_tensor"]).all())
    _demand(finite, "target_weights_as_tensor holds NaN or infinity")


def _check_forest(forest: _Forest) -> None:
    reached = np.bincount(np.concatenate([forest.roots, forest.left, forest.right]), minlength=forest.size)
    _demand(int(reached.max()) <= 1, "a node or leaf is reached more than once")
    _demand(int(reached.min()) == 1, "a node or leaf is never reached")
    left, right = (np.full(forest.size, -1, np.int64) for _ in range(2))
    left[forest.interior], right[forest.interior] = forest.left, forest.right
    level, visited = forest.roots, 0
    for _ in range(DEEPEST):  # no node stands twice in a level or in two of them: all have one parent, or are a root
        level = level[left[level] >= 0]
        visited += len(level)
        level = np.concatenate([left[level], right[level]])
        if not len(level):
            break
    _demand(not len(level), f"a tree is deeper than {DEEPEST} nodes")
    _demand(visited == len(forest.interior), "a node or leaf is never reached from a root")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ArtifactError(otherwise)
