"""A fitted IsolationForest as flat arrays: what the exporter writes and the parity checks compare with.

A leaf's value is exactly what scikit-learn adds for it: depth of the leaf (root = 1) + average path length of the
samples in it − 1, in that order. Summed in tree order in double, the sums have scikit-learn's bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import IsolationForest

from ev_qa_runtime.severity import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FlatForest:
    """All trees of a forest, M interior nodes and L leaves in tree order.

    ``root`` int64 [T] indexes interior nodes; ``column`` int64 [M] is the input column a node reads; a node goes left
    where ``reading <= threshold``; ``missing_left`` bool [M] routes NaN; ``left``/``right`` int64 [M] index interior
    nodes, or leaves where ``left_is_leaf``/``right_is_leaf``; ``leaf_value`` float64 [L]. A tree that is a single
    leaf gets one interior node with a copy of that leaf on either side.
    """

    root: IntArray
    column: IntArray
    threshold: FloatArray
    missing_left: BoolArray
    left: IntArray
    left_is_leaf: BoolArray
    right: IntArray
    right_is_leaf: BoolArray
    leaf_value: FloatArray
    denominator: float
    offset: float

    @classmethod
    def of(cls, forest: IsolationForest) -> FlatForest:
        """Flatten a fitted forest; nothing in it is changed."""
        trees = []
        nodes_before = leaves_before = 0
        for index, (tree, columns) in enumerate(zip(forest.estimators_, forest.estimators_features_, strict=True)):
            flat = _flatten(tree.tree_, np.asarray(columns), leaf_values(forest, index), nodes_before, leaves_before)
            trees.append(flat)
            nodes_before += len(flat["column"])
            leaves_before += len(flat["leaf_value"])
        joined = {key: np.concatenate([tree[key] for tree in trees]) for key in trees[0]}
        return cls(denominator=score_denominator(forest), offset=float(forest.offset_), **joined)


def leaf_values(forest: IsolationForest, index: int) -> FloatArray:
    """What tree number ``index`` adds to a row's path length, float64 by node id (meaningful at leaves)."""
    # Private, but the very arrays that score_samples adds; the version matrix of the tests watches over them.
    values: FloatArray = forest._decision_path_lengths[index] + forest._average_path_length_per_tree[index] - 1.0
    return values


def score_denominator(forest: IsolationForest) -> float:
    """Number of trees × average path length of ``max_samples`` samples, as scikit-learn computes it."""
    from sklearn.ensemble._iforest import _average_path_length  # noqa: PLC0415 - private: kept to the one place

    return float(len(forest.estimators_) * _average_path_length([forest._max_samples])[0])


def path_length(forest: IsolationForest, rows: npt.NDArray[np.float32]) -> FloatArray:
    """Path lengths summed over the trees in scikit-learn's order, float64 [N], of scaled float32 rows [N, F]."""
    total = np.zeros(len(rows))
    for index, (tree, columns) in enumerate(zip(forest.estimators_, forest.estimators_features_, strict=True)):
        leaves = tree.tree_.apply(np.ascontiguousarray(rows[:, columns]))
        total += leaf_values(forest, index)[leaves]
    return total


def _flatten(
    tree: Any, columns: IntArray, values: FloatArray, nodes_before: int, leaves_before: int
) -> dict[str, npt.NDArray[Any]]:
    nodes = tree.__getstate__()["nodes"]
    is_leaf = nodes["left_child"] == -1
    if is_leaf[0]:
        yes, zero = np.array([True]), np.array([0])
        return {
            "root": np.array([nodes_before]),
            "column": zero,
            "threshold": np.array([0.0]),
            "missing_left": yes,
            "left": np.array([leaves_before]),
            "left_is_leaf": yes,
            "right": np.array([leaves_before + 1]),
            "right_is_leaf": yes,
            "leaf_value": np.repeat(values[:1].astype(np.float64), 2),
        }
    interior = ~is_leaf
    place = np.where(is_leaf, leaves_before + np.cumsum(is_leaf) - 1, nodes_before + np.cumsum(interior) - 1)
    left, right = nodes["left_child"][interior], nodes["right_child"][interior]
    return {
        "root": np.array([nodes_before]),
        "column": columns[nodes["feature"][interior]].astype(np.int64),
        "threshold": nodes["threshold"][interior],
        "missing_left": nodes["missing_go_to_left"][interior].astype(bool),
        "left": place[left],
        "left_is_leaf": is_leaf[left],
        "right": place[right],
        "right_is_leaf": is_leaf[right],
        "leaf_value": values[is_leaf],
    }
