"""The trees of an inspected ONNX model as flat arrays, with the number of training samples behind every node.

The file has no sample counts, but they follow from the leaves: a leaf's weight is its depth plus the average path
length of the samples in it (Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, equation 1), which rises with their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.onnx_fields import GRAPH, MODEL, NODE, Message, read_attribute
from ev_qa_runtime.protobuf_wire import IntArray

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MOST_SAMPLES = 2**24
"""Samples in one leaf; beyond, neighbouring average path lengths come close to the rounding of a leaf's weight."""

_TOLERANCE = 1e-9
"""Of an average path length: far above rounding (1e-14), far below the distance of neighbours (2 / n)."""


@dataclass(frozen=True, slots=True)
class ForestArrays:
    """All trees, K nodes and leaves in one numbering.

    ``roots`` int64 [T]; ``left``/``right`` int64 [K], −1 at leaves; a node sends a reading of input ``column`` int64
    [K] left where it is ``<= threshold`` float64 [K], and a missing one where ``missing_left`` bool [K] says so;
    ``value`` float64 [K] is what a leaf adds to the path length, 0 at nodes.
    """

    roots: IntArray
    left: IntArray
    right: IntArray
    column: IntArray
    threshold: FloatArray
    missing_left: BoolArray
    value: FloatArray

    def levels(self) -> Iterator[IntArray]:
        """The nodes and leaves of each depth, roots first."""
        level = self.roots
        while len(level):
            yield level
            inner = level[self.left[level] >= 0]
            level = np.concatenate([self.left[inner], self.right[inner]])


def read_forest(onnx_model: bytes) -> ForestArrays:
    """The trees of a model that :func:`ev_qa_runtime.onnx_inspection.inspect` has let pass, of either profile."""
    graph = Message(Message(memoryview(onnx_model), MODEL, "it").message("graph"), GRAPH, "its graph")
    node = Message(graph.messages("node")[0], NODE, "a node")
    attributes = {item.name: item.value for item in map(read_attribute, node.messages("attribute"))}
    lists = {name: value for name, value in attributes.items() if isinstance(value, np.ndarray)}
    return _of_ensemble(lists) if node.text("op_type") == "TreeEnsemble" else _of_regressor(lists)


def _of_ensemble(lists: Mapping[str, npt.NDArray[Any]]) -> ForestArrays:
    """``TreeEnsemble``: leaves have a list of their own and are numbered after the nodes."""
    nodes, weights = len(lists["nodes_splits"]), lists["leaf_weights"]
    none = np.full(len(weights), -1, dtype=np.int64)

    def padded(name: str) -> npt.NDArray[Any]:
        return np.concatenate([lists[name], np.zeros(len(weights), lists[name].dtype)])

    left, right = (
        np.concatenate([lists[f"nodes_{side}nodeids"] + nodes * lists[f"nodes_{side}leafs"], none])
        for side in ("true", "false")
    )
    return ForestArrays(
        roots=lists["tree_roots"].astype(np.int64),
        left=left,
        right=right,
        column=padded("nodes_featureids").astype(np.int64),
        threshold=padded("nodes_splits").astype(np.float64),
        missing_left=padded("nodes_missing_value_tracks_true").astype(np.bool_),
        value=np.concatenate([np.zeros(nodes), weights]),
    )


def _of_regressor(lists: Mapping[str, npt.NDArray[Any]]) -> ForestArrays:
    """``TreeEnsembleRegressor``: nodes are numbered inside their tree, a leaf's weight is in three parts."""
    tree = lists["nodes_treeids"].astype(np.int64)
    roots = np.flatnonzero(np.diff(tree, prepend=-1))
    leaf = lists["nodes_modes"] == 0
    value = np.zeros(len(tree))
    value[leaf] = lists["target_weights_as_tensor"].astype(np.float64).reshape(-1, 3).sum(axis=1)
    left, right = (
        np.where(leaf, np.int64(-1), roots[tree] + lists[name].astype(np.int64))
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    )
    return ForestArrays(
        roots=roots,
        left=left,
        right=right,
        column=lists["nodes_featureids"].astype(np.int64),
        threshold=lists["nodes_values_as_tensor"].astype(np.float64),
        missing_left=lists["nodes_missing_value_tracks_true"].astype(np.bool_),
        value=value,
    )


def average_path_length(samples: IntArray) -> FloatArray:
    """c(n) of Liu et al. 2008, equation 1, as scikit-learn computes it: float64, of int64 ``samples`` >= 1."""
    several = np.maximum(samples, 3).astype(np.float64)
    lengths = 2.0 * (np.log(several - 1.0) + np.euler_gamma) - 2.0 * (several - 1.0) / several
    return np.where(samples > 2, lengths, np.where(samples == 2, 1.0, 0.0))


def samples_of(average: FloatArray) -> IntArray:
    """The inverse of :func:`average_path_length`: int64 numbers of samples.

    Raises ``ArtifactError`` where a value is the average path length of no number up to :data:`MOST_SAMPLES`.
    """
    limit = 4096
    while limit < MOST_SAMPLES and average_path_length(np.array([limit]))[0] < average.max(initial=0.0):
        limit *= 2
    known = average_path_length(np.arange(1, limit + 1))
    place = np.minimum(np.searchsorted(known, average - _TOLERANCE), limit - 1)
    if not bool((np.abs(known[place] - average) <= _TOLERANCE).all()):
        raise ArtifactError(
            "it cannot be explained: a leaf's weight is not its depth plus the average path length of its samples"
        )
    return place + 1


def node_samples(forest: ForestArrays) -> IntArray:
    """Training samples behind every node and leaf, int64 [K].

    A tree that is one leaf is written as a node with that leaf on either side, which tells of no samples; whatever a
    reading is, such a tree gives the same, and one sample a side stands in.
    Raises ``ArtifactError`` where the leaves' weights are no path lengths.
    """
    average = forest.value.copy()
    levels = list(forest.levels())
    for depth, level in enumerate(levels):
        average[level] -= depth
    leaf = forest.left < 0
    split = forest.roots[~leaf[forest.roots]]
    left, right = forest.left[split], forest.right[split]
    same = leaf[left] & leaf[right] & (forest.value[left] == forest.value[right])
    average[left[same]] = average[right[same]] = 0.0
    samples = np.zeros(len(leaf), dtype=np.int64)
    samples[leaf] = samples_of(average[leaf])
    for level in reversed(levels):
        inner = level[~leaf[level]]
        samples[inner] = samples[forest.left[inner]] + samples[forest.right[inner]]
    return samples
