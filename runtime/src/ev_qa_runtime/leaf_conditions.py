"""What a reading must be to reach each leaf: at most one condition for each feature on the way there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_qa_runtime.forest_arrays import BoolArray, FloatArray, ForestArrays
from ev_qa_runtime.protobuf_wire import IntArray


@dataclass(frozen=True, slots=True)
class LeafConditions:
    """The conditions of all L leaves, C in number, ordered by leaf and column.

    A reading of ``column`` int64 [C] meets a condition of the leaf ``leaf`` int64 [C] (counted 0 to L − 1) where it is
    ``<= upper`` and not ``<= lower`` (NaN: no such bound), float64 [C]; a missing one where ``missing`` bool [C].
    ``share`` float64 [C]: the share of training samples that stay on the path at the feature's nodes, multiplied.
    ``node`` and ``root`` int64 [L] are the leaves' and their trees' numbers in the forest.
    """

    leaf: IntArray
    column: IntArray
    lower: FloatArray
    upper: FloatArray
    missing: BoolArray
    share: FloatArray
    node: IntArray
    root: IntArray


def leaf_conditions(forest: ForestArrays, samples: IntArray) -> LeafConditions:
    """Of every leaf; ``samples`` int64 [K] from :func:`ev_qa_runtime.forest_arrays.node_samples`."""
    parent = np.full(len(forest.left), -1, dtype=np.int64)
    inner = np.flatnonzero(forest.left >= 0)
    parent[forest.left[inner]] = parent[forest.right[inner]] = inner
    leaves = np.flatnonzero(forest.left < 0)
    leaf, node, root = np.arange(len(leaves)), leaves, leaves.copy()
    steps: list[tuple[IntArray, IntArray, IntArray]] = []
    while len(node):  # one edge nearer to the roots, all leaves at once
        below = parent[node] >= 0
        root[leaf[~below]] = node[~below]
        leaf, node = leaf[below], node[below]
        steps.append((leaf, node, parent[node]))
        node = parent[node]
    leaf, child, above = (np.concatenate(part) for part in zip(*steps, strict=True))
    went_left = forest.left[above] == child
    column, threshold = forest.column[above], forest.threshold[above]
    order = np.lexsort((column, leaf))
    first = np.flatnonzero((np.diff(leaf[order], prepend=-1) != 0) | (np.diff(column[order], prepend=-1) != 0))
    if not len(first):  # every tree is one leaf
        empty = np.empty(0)
        return LeafConditions(leaf, column, empty, empty, empty.astype(np.bool_), empty, leaves, root)
    return LeafConditions(
        leaf=leaf[order[first]],
        column=column[order[first]],
        lower=np.fmax.reduceat(np.where(went_left, np.nan, threshold)[order], first),
        upper=np.minimum.reduceat(np.where(went_left, threshold, np.inf)[order], first),
        missing=np.logical_and.reduceat((forest.missing_left[above] == went_left)[order], first),
        share=np.multiply.reduceat((samples[child] / samples[above])[order], first),
        node=leaves,
        root=root,
    )
