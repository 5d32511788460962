"""Folding scaling into split thresholds, exactly.

A scaler and the forest's cast to float32 are monotone in each column. So for every split there is one last double,
in raw units, that still goes to the same side as everything before it; comparing the raw reading with that double
routes every reading as the Pipeline does. It is found by bisection over the ordered bit patterns of doubles, with
the fitted steps' own ``transform``: 64 steps, all splits at once, no rounding argument needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sklearn
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.forest import BoolArray, FlatForest
from ev_qa_runtime.severity import FloatArray, IntArray

MONOTONE_STEPS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
"""Transformers that work on each column alone and never change its order (or always reverse it)."""

_CONSTANTS = {
    StandardScaler: (("mean_", False), ("scale_", True)),
    MinMaxScaler: (("scale_", True), ("min_", False)),
    MaxAbsScaler: (("scale_", True),),
    RobustScaler: (("center_", False), ("scale_", True)),
}
"""What the steps compute with, in their order; and whether it multiplies or divides, so that 0 is wrong."""

_SWITCHES = {
    (StandardScaler, "mean_"): "with_mean",
    (StandardScaler, "scale_"): "with_std",
    (RobustScaler, "center_"): "with_centering",
    (RobustScaler, "scale_"): "with_scaling",
}
"""Parameters that turn a constant off."""

_BLOCK_CELLS = 2**21
"""Cells of the matrices that are sent through the steps at once: 16 MB each."""

_LOWEST = np.int64(np.iinfo(np.int64).min)


def ordered_bits(values: FloatArray) -> IntArray:
    """Doubles as integers in the same order, one apart where doubles are neighbours; −0.0 and 0.0 share 0."""
    bits = np.ascontiguousarray(values).view(np.int64)
    return np.where(bits < 0, _LOWEST - bits, bits)


def from_ordered_bits(order: IntArray) -> FloatArray:
    """The doubles that :func:`ordered_bits` came from."""
    return np.where(order < 0, _LOWEST - order, order).view(np.float64)


def transform_rows(steps: Sequence[Any], values: FloatArray) -> FloatArray:
    """Send raw rows [N, F] through fitted steps, infinities and NaN included, without warnings; a fresh array."""
    rows = values.copy()
    with sklearn.config_context(assume_finite=True, transform_output="default"), np.errstate(all="ignore"):
        for step in steps:
            rows = np.asarray(_without_names(step, rows), dtype=np.float64)
    return rows


def to_float32(rows: FloatArray) -> Any:
    """The forest's own cast of its input; float32, overflow to infinity without a warning."""
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)


def _without_names(step: Any, rows: FloatArray) -> Any:
    names = getattr(step, "feature_names_in_", None)
    if names is None:
        return step.transform(rows)
    import pandas as pd  # noqa: PLC0415 - array-fitted pipelines need no pandas

    return step.transform(pd.DataFrame(rows, columns=names))


def check_scales(forest: FlatForest, steps: Sequence[Any], names: Sequence[str]) -> None:
    """Refuse fitted :data:`MONOTONE_STEPS` that turn readings into NaN, which no threshold can say.

    Fitting never gives such scales, except in columns without a reading, which no split reads; setting them by hand
    does. Raises ``ValueError`` naming the step and the feature.
    """
    columns = np.unique(forest.column[~_of_single_leaves(forest)])
    for name, step in zip(names, steps, strict=True):
        for attribute, divides in _CONSTANTS[type(step)]:
            values = _constants(step, attribute)
            if values is None:
                continue
            wrong = ~np.isfinite(values) | (divides & (values == 0))
            for column in columns[wrong[columns]].tolist():
                feature = _feature(steps, column)
                raise ValueError(
                    f"step {name!r} ({type(step).__name__}) cannot be exported: its {attribute} of feature {feature} "
                    f"is {values[column]}, which turns readings into NaN"
                )


def _constants(step: Any, attribute: str) -> FloatArray | None:
    """What a step adds or multiplies each column with, float64 [F]; None where it does not."""
    switch = _SWITCHES.get((type(step), attribute))
    if switch is not None and not getattr(step, switch):
        return None
    values = getattr(step, attribute)
    return None if values is None else np.asarray(values, dtype=np.float64)


def _feature(steps: Sequence[Any], column: int) -> str:
    for step in steps:
        if hasattr(step, "feature_names_in_"):
            return repr(str(step.feature_names_in_[column]))
    return f"number {column}"


def _of_single_leaves(forest: FlatForest) -> BoolArray:
    """Nodes of trees that are one leaf: they read a column, but whatever it holds they give the same."""
    left, right = (
        forest.leaf_value[np.where(is_leaf, child, 0)]
        for child, is_leaf in ((forest.left, forest.left_is_leaf), (forest.right, forest.right_is_leaf))
    )
    return np.asarray(forest.left_is_leaf & forest.right_is_leaf & (left == right))


def fold(forest: FlatForest, steps: Sequence[Any], n_features: int) -> FlatForest:
    """The same forest with thresholds in raw units, so that it takes unscaled doubles.

    ``steps`` are the fitted :data:`MONOTONE_STEPS` before the forest, first to last. NaN routing is kept.
    """
    if not len(forest.threshold):
        return forest
    reversed_columns = _reversed_columns(steps, n_features)
    cut = np.empty(len(forest.threshold))
    never = np.zeros(len(forest.threshold), dtype=bool)
    for nodes in _blocks(forest.column, n_features):
        cut[nodes], never[nodes] = _cuts(steps, forest.threshold[nodes], forest.column[nodes], reversed_columns)
    reverses = reversed_columns[forest.column]
    folded = _swap(replace(forest, threshold=cut), reverses)
    # A clipping scaler can send every reading to the far side, which no threshold says: swap, and let all go "left".
    return _swap(replace(folded, threshold=np.where(never, np.inf, cut)), never)


def _blocks(column: IntArray, n_features: int) -> Iterator[IntArray]:
    """Node numbers in blocks whose columns are about evenly filled, so that few cells of a block are wasted."""
    order = np.argsort(column, kind="stable")
    rank = np.empty(len(column), dtype=np.int64)
    counts = np.bincount(column, minlength=n_features)
    rank[order] = np.arange(len(column)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = max(_BLOCK_CELLS // n_features, 1)
    by_rank = np.argsort(rank, kind="stable")
    for first in range(0, int(rank.max()) + 1, rows):
        low, high = np.searchsorted(rank[by_rank], (first, first + rows))
        yield by_rank[low:high]


def _cuts(
    steps: Sequence[Any], threshold: FloatArray, column: IntArray, reversed_columns: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """Per node the last reading on the near side (left, or right in a reversed column); and where there is none."""
    place = _Block(column, len(reversed_columns))
    reverses = reversed_columns[column]

    def near_side(readings: FloatArray) -> BoolArray:
        goes_left = place.taken(to_float32(transform_rows(steps, place.rows(readings)))) <= threshold
        return np.asarray(goes_left != reverses)

    low = np.full(len(threshold), ordered_bits(np.array([-np.inf]))[0])
    high = np.full(len(threshold), ordered_bits(np.array([np.inf]))[0])
    never = ~near_side(np.full(len(threshold), -np.inf))
    while (low < high).any():
        middle = _upper_middle(low, high)
        near = near_side(from_ordered_bits(middle))
        low = np.where(near, middle, low)
        high = np.where(near, high, middle - 1)
    return from_ordered_bits(low), never


class _Block:
    """A matrix [rows, F] with one cell a node, in the node's own column."""

    def __init__(self, column: IntArray, n_features: int) -> None:
        self._column = column
        order = np.argsort(column, kind="stable")
        counts = np.bincount(column, minlength=n_features)
        self._row = np.empty(len(column), dtype=np.int64)
        self._row[order] = np.arange(len(column)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._shape = (int(counts.max()), n_features)

    def rows(self, readings: FloatArray) -> FloatArray:
        """``readings`` of the nodes in place, zeros elsewhere."""
        rows = np.zeros(self._shape)
        rows[self._row, self._column] = readings
        return rows

    def taken(self, rows: Any) -> Any:
        """The nodes' cells of a matrix."""
        return rows[self._row, self._column]


def _upper_middle(low: IntArray, high: IntArray) -> IntArray:
    middle: IntArray = (low >> 1) + (high >> 1) + ((low & 1) | (high & 1))
    return middle


def _reversed_columns(steps: Sequence[Any], n_features: int) -> BoolArray:
    ends = np.array([np.full(n_features, -np.inf), np.full(n_features, np.inf)])
    low, high = transform_rows(steps, ends)
    return np.asarray(high < low)


def _swap(forest: FlatForest, where: BoolArray) -> FlatForest:
    return replace(
        forest,
        missing_left=forest.missing_left ^ where,
        left=np.where(where, forest.right, forest.left),
        left_is_leaf=np.where(where, forest.right_is_leaf, forest.left_is_leaf),
        right=np.where(where, forest.left, forest.right),
        right_is_leaf=np.where(where, forest.left_is_leaf, forest.right_is_leaf),
    )
