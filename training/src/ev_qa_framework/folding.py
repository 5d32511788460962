"""Folding scaling into split thresholds, exactly.

A scaler and the forest's cast to float32 are monotone in each column. So for every split there is one last double,
in raw units, that still goes to the same side as everything before it; comparing the raw reading with that double
routes every reading as the Pipeline does. It is found by bisection over the ordered bit patterns of doubles, with
the fitted steps' own ``transform``: 64 steps, all splits at once, no rounding argument needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sklearn
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.forest import BoolArray, FlatForest
from ev_qa_runtime.severity import FloatArray, IntArray

MONOTONE_STEPS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
"""Transformers that work on each column alone and never change its order (or always reverse it)."""

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


def fold(forest: FlatForest, steps: Sequence[Any], n_features: int) -> FlatForest:
    """The same forest with thresholds in raw units, so that it takes unscaled doubles.

    ``steps`` are the fitted :data:`MONOTONE_STEPS` before the forest, first to last. NaN routing is kept.
    """
    if not len(forest.threshold):
        return forest
    reverses = _reversed_columns(steps, n_features)[forest.column]
    low = np.full(len(forest.threshold), ordered_bits(np.array([-np.inf]))[0])
    high = np.full(len(forest.threshold), ordered_bits(np.array([np.inf]))[0])
    # Find the last double that goes left; in a reversed column, the last that goes right.
    while (low < high).any():
        middle = _upper_middle(low, high)
        goes_left = _scaled(steps, from_ordered_bits(middle), forest.column, n_features) <= forest.threshold
        before_cut = goes_left != reverses
        low = np.where(before_cut, middle, low)
        high = np.where(before_cut, high, middle - 1)
    folded = replace(forest, threshold=from_ordered_bits(low))
    folded = _swap(folded, reverses)
    # A clipping scaler can send every reading right, which no threshold says: swap, and let all go "left".
    first = np.full(len(low), -np.inf)
    never = (_scaled(steps, first, forest.column, n_features) <= forest.threshold) == reverses
    return _swap(replace(folded, threshold=np.where(never, np.inf, folded.threshold)), never)


def _upper_middle(low: IntArray, high: IntArray) -> IntArray:
    return (low >> 1) + (high >> 1) + ((low & 1) | (high & 1))


def _scaled(steps: Sequence[Any], readings: FloatArray, column: IntArray, n_features: int) -> Any:
    rows = np.zeros((len(readings), n_features))
    index = np.arange(len(readings))
    rows[index, column] = readings
    return to_float32(transform_rows(steps, rows))[index, column]


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
