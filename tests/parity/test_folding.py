"""Folding a scaler into split thresholds: every double takes the side that scikit-learn sends it to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.folding import fold, from_ordered_bits, ordered_bits, to_float32, transform_rows
from ev_qa_framework.forest import FlatForest

any_double = st.floats(allow_nan=False, allow_infinity=True)
# What trees hold: midpoints of float32 values, as doubles; and the infinities, which a hostile model might.
split_values = st.one_of(
    st.floats(width=32, allow_nan=False), st.floats(-5, 5), st.sampled_from([0.0, -0.0, 1.0, 3.4e38, 1e-45])
)


def forest_of(thresholds: Sequence[float], columns: Sequence[int]) -> FlatForest:
    """One split a threshold; its left leaf has number 2i, its right leaf 2i + 1."""
    count = len(thresholds)
    return FlatForest(
        root=np.arange(count),
        column=np.array(columns, dtype=np.int64),
        threshold=np.array(thresholds, dtype=np.float64),
        missing_left=np.arange(count) % 2 == 0,
        left=2 * np.arange(count),
        left_is_leaf=np.ones(count, dtype=bool),
        right=2 * np.arange(count) + 1,
        right_is_leaf=np.ones(count, dtype=bool),
        leaf_value=np.zeros(2 * count),
        denominator=1.0,
        offset=-0.5,
    )


def assert_folded_exactly(steps: Sequence[Any], thresholds: Sequence[float], raw: Sequence[float], width: int) -> None:
    columns = [number % width for number in range(len(thresholds))]
    forest = forest_of(thresholds, columns)
    folded = fold(forest, steps, width)
    for node, column in enumerate(columns):
        cut = folded.threshold[node]
        near = from_ordered_bits(ordered_bits(np.array([cut]))[0] + np.arange(-3, 4)) if np.isfinite(cut) else []
        readings = np.array([*near, cut, *raw, 0.0, -0.0, 5e-324, -5e-324, np.inf, -np.inf, 1e308, -1e308])
        rows = np.zeros((len(readings), width))
        rows[:, column] = readings
        scaled = to_float32(transform_rows(steps, rows))[:, column]
        known = ~np.isnan(scaled)  # inf − inf and the like; routed as missing by scikit-learn, INVALID for us
        wanted = np.where(scaled <= forest.threshold[node], forest.left[node], forest.right[node])
        found = np.where(readings <= cut, folded.left[node], folded.right[node])
        np.testing.assert_array_equal(found[known], wanted[known], err_msg=f"{steps} {thresholds[node]!r} {cut!r}")
        missing = (forest, folded)
        sides = [side.left[node] if side.missing_left[node] else side.right[node] for side in missing]
        assert sides[0] == sides[1]
        assert folded.left_is_leaf[node]
        assert folded.right_is_leaf[node]


def fitted(kind: str, data: np.ndarray) -> list[Any]:
    """Fitted steps by name; ``negated`` stands for a scale that was set by hand."""
    scaler = {
        "standard": StandardScaler(),
        "mean only": StandardScaler(with_std=False),
        "std only": StandardScaler(with_mean=False),
        "min-max": MinMaxScaler(),
        "min-max wide": MinMaxScaler((-100.0, 1e6)),
        "min-max clipped": MinMaxScaler(clip=True),
        "max-abs": MaxAbsScaler(),
        "robust": RobustScaler(),
        "robust unit": RobustScaler(quantile_range=(1.0, 99.0), unit_variance=True),
    }
    if kind == "chain":
        first = StandardScaler().fit(data)
        second = MinMaxScaler((-2, 3)).fit(first.transform(data))
        return [first, second, RobustScaler().fit(second.transform(first.transform(data)))]
    if kind == "negated":
        step = StandardScaler().fit(data)
        step.scale_ = -step.scale_
        return [step]
    if kind == "negated clipped":
        step = MinMaxScaler(clip=True).fit(data)
        step.scale_ = -step.scale_
        return [step]
    if kind == "twice negated":
        return [*fitted("negated", data), *fitted("negated", data)]
    return [] if kind == "none" else [scaler[kind].fit(data)]


KINDS = [
    "none", "standard", "mean only", "std only", "min-max", "min-max wide", "min-max clipped", "max-abs", "robust",
    "robust unit", "chain", "negated", "negated clipped", "twice negated",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 2**32 - 1),
    exponents=st.lists(st.integers(-30, 30), min_size=1, max_size=3),
    shift=st.sampled_from([0.0, 1.0, -355.0, 1e6]),
    thresholds=st.lists(split_values, min_size=1, max_size=6),
    raw=st.lists(any_double, max_size=10),
)
@settings(deadline=None, max_examples=12)
def test_every_reading_takes_the_same_side(
    kind: str, seed: int, exponents: list[int], shift: float, thresholds: list[float], raw: list[float]
) -> None:
    scale = 10.0 ** np.array(exponents)
    data = (np.random.default_rng(seed).standard_normal((30, len(scale))) + shift) * scale

    assert_folded_exactly(fitted(kind, data), thresholds, raw, len(scale))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", [np.full(30, 7.25), np.zeros(30), np.repeat([0.0, 1e-300], 15)])
def test_constant_and_vanishing_columns_fold_too(kind: str, column: np.ndarray) -> None:
    assert_folded_exactly(fitted(kind, column.reshape(-1, 1)), [0.0, -0.0, 1.0, -1.0, 1e30, 3e38, 1e-45], [7.25], 1)


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.25, 1.0, 1.5])
def test_a_clipping_scaler_can_send_everything_one_way(threshold: float) -> None:
    data = np.linspace(10, 20, 11).reshape(-1, 1)
    for kind in ("min-max clipped", "negated clipped"):
        assert_folded_exactly(fitted(kind, data), [threshold], np.linspace(0, 30, 61).tolist(), 1)


def test_folding_changes_neither_forest_nor_steps() -> None:
    step = StandardScaler().fit(np.random.default_rng(0).standard_normal((50, 1)))
    mean, forest = step.mean_.copy(), forest_of([0.5, -0.5], [0, 0])

    folded = fold(forest, [step], 1)

    assert folded is not forest
    np.testing.assert_array_equal(forest.threshold, [0.5, -0.5])
    np.testing.assert_array_equal(step.mean_, mean)


@given(values=arrays(np.float64, st.integers(1, 20), elements=st.floats(allow_nan=False)))
def test_ordered_bits_go_there_and_back(values: np.ndarray) -> None:
    back = from_ordered_bits(ordered_bits(values))

    np.testing.assert_array_equal(back, values)
    nonzero = values != 0
    np.testing.assert_array_equal(back[nonzero].view(np.int64), values[nonzero].view(np.int64))


@given(left=st.floats(allow_nan=False), right=st.floats(allow_nan=False))
def test_ordered_bits_have_the_order_of_the_doubles(left: float, right: float) -> None:
    a, b = ordered_bits(np.array([left, right])).tolist()

    assert (a < b) == (left < right)
    assert (a == b) == (left == right)


@given(value=st.floats(allow_nan=False, max_value=1.7e308))
def test_neighbouring_doubles_are_one_apart(value: float) -> None:
    here, above = ordered_bits(np.array([value, np.nextafter(value, np.inf)])).tolist()

    assert above - here == 1
