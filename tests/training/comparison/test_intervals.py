"""Intervals against published figures, by rule, and by how often they hold the truth."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ev_qa_framework.comparison.intervals import (
    MINIMUM_BLOCKS,
    BlockBootstrap,
    block_rows_for,
    newcombe_independent,
    newcombe_paired,
    percentile_interval,
    wilson,
)

COUNTS = st.integers(1, 5000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows)))
CELLS = st.tuples(*[st.integers(0, 400)] * 4)
LEVELS = st.floats(0.5, 0.999)


@pytest.mark.parametrize(
    ("count", "rows", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(count: int, rows: int, low: float, high: float) -> None:
    found = wilson(count, rows, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("both", "b_only", "a_only", "neither", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), 2635-2650, method 10
        (36, 12, 2, 0, 0.0569, 0.3404),
        (18, 12, 2, 18, 0.0562, 0.3290),
        (53, 0, 0, 1, -0.0729, 0.0729),
        (0, 30, 0, 0, 0.8395, 1.0000),
    ],
)
def test_newcombe_paired_as_published(
    both: int, b_only: int, a_only: int, neither: int, low: float, high: float
) -> None:
    found = newcombe_paired(both, a_only, b_only, neither, 0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10
        ((48, 80, 56, 70), 0.0524, 0.3339),
        ((3, 10, 9, 10), 0.1705, 0.8090),
    ],
)
def test_newcombe_independent_as_published(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = newcombe_independent(*counts, 0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@given(COUNTS, LEVELS)
def test_wilson_holds_the_rate_and_solves_its_equation(counts: tuple[int, int], level: float) -> None:
    count, rows = counts
    found = wilson(count, rows, level)
    rate = count / rows
    assert 0.0 <= found.low <= rate <= found.high <= 1.0
    from scipy.stats import norm  # noqa: PLC0415 - the check's own

    quantile = float(norm.ppf((1 + level) / 2))
    for limit in (found.low, found.high):  # |p̂ − p| = z √(p(1 − p)/n): what a score interval is
        if 0.0 < limit < 1.0:
            assert abs(rate - limit) == pytest.approx(quantile * math.sqrt(limit * (1 - limit) / rows), rel=1e-6)


@given(CELLS, LEVELS)
def test_newcombe_paired_holds_the_difference_and_mirrors(cells: tuple[int, int, int, int], level: float) -> None:
    both, a_only, b_only, neither = cells
    assume(sum(cells) > 0)
    found = newcombe_paired(both, a_only, b_only, neither, level)
    assert found.low <= (b_only - a_only) / sum(cells) <= found.high
    assert -1.0 <= found.low <= found.high <= 1.0
    mirrored = newcombe_paired(both, b_only, a_only, neither, level)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-12)


def test_no_rows_say_nothing() -> None:
    assert (wilson(0, 0, 0.95).low, wilson(0, 0, 0.95).high) == (0.0, 1.0)


RECORDINGS = st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any)


@given(RECORDINGS, st.integers(1, 9), st.integers(0, 2**32), st.data())
@settings(deadline=None)
def test_sums_are_those_of_the_weights_and_blocks_stay_in_their_recording(
    recordings: list[int], block_rows: int, seed: int, data: st.DataObject
) -> None:
    rows = sum(recordings)
    assume(rows // block_rows >= MINIMUM_BLOCKS)
    values = np.array(data.draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows)), dtype=float)
    bootstrap = BlockBootstrap(recordings, block_rows, 5, seed)
    weights = list(bootstrap.weights())
    assert len(weights) == 5
    blocks = -(-rows // block_rows)
    edges = np.cumsum([0, *recordings])
    for drawn, total in zip(weights, bootstrap.sums(values[:, np.newaxis]), strict=True):
        assert drawn.sum() == blocks * block_rows
        assert (drawn >= 0).all()
        assert drawn @ values == total[0]
        for first, end in pairwise(edges):
            assert drawn[first:end].sum() % block_rows == 0  # whole blocks only


@pytest.mark.parametrize(("block_rows", "blocks"), [(10**9, 0), (1799, 1), (361, 4)])
def test_too_few_blocks_give_no_interval(block_rows: int, blocks: int) -> None:
    bootstrap = BlockBootstrap([900, 900], block_rows, 100, 0)
    assert (bootstrap.blocks, bootstrap.resamples) == (blocks, 0)
    assert bootstrap.sums(np.ones((1800, 3))).shape == (0, 3)
    assert list(bootstrap.weights()) == []
    assert percentile_interval(0.5, bootstrap.sums(np.ones((1800, 1)))[:, 0], 0.95) is None
    assert bootstrap.why_none() == (
        f"1,800 rows make only {blocks} block{'s' if blocks != 1 else ''} of {block_rows:,}, at least 5 are needed"
    )


def test_enough_blocks_give_intervals() -> None:
    bootstrap = BlockBootstrap([900, 900], 360, 100, 0)
    assert (bootstrap.blocks, bootstrap.resamples, bootstrap.why_none()) == (5, 100, None)


def test_every_row_is_as_likely_as_any_other() -> None:
    weights = np.mean(list(BlockBootstrap([3, 7, 40], 10, 4000, 0).weights()), axis=0)
    assert weights == pytest.approx(np.ones(50), abs=0.12)


def test_the_same_seed_draws_the_same_and_another_other_ones() -> None:
    values = np.arange(50.0)[:, np.newaxis]
    first = BlockBootstrap([50], 5, 20, 1).sums(values)
    np.testing.assert_array_equal(first, BlockBootstrap([50], 5, 20, 1).sums(values))
    assert (first != BlockBootstrap([50], 5, 20, 2).sums(values)).any()


def autoregressive(rows: int, coefficient: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=rows)
    series = np.zeros(rows)
    for row in range(1, rows):
        series[row] = coefficient * series[row - 1] + noise[row]
    return series


def test_block_rows_follow_how_rows_hang_together() -> None:
    """24.66 and 21.28 rows is what arch 8's `optimal_block_length` finds for these (circular)."""
    series = autoregressive(1000, 0.8, 0)
    assert block_rows_for([series]) == pytest.approx(25, abs=2)
    assert block_rows_for([(series > 1.5).astype(float)]) == pytest.approx(22, abs=2)
    assert block_rows_for([np.random.default_rng(1).normal(size=1000)]) <= 5
    assert block_rows_for([np.zeros(1000)]) == 1
    assert block_rows_for([np.zeros(1000), series]) == block_rows_for([series])


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 11])
def test_block_rows_of_few_rows(rows: int) -> None:
    assert 1 <= block_rows_for([np.arange(float(rows))]) <= max(math.ceil(rows / 3), 1)


def test_millions_of_rows_get_blocks_that_can_be_drawn() -> None:
    assert block_rows_for([np.zeros(100_000)]) == 5


def test_block_intervals_hold_the_truth_where_wilsons_do_not() -> None:
    """A rate of one half, flags in runs: 95 % intervals, 150 series; a binomial count of 150 × 0.95 is 142 ± 2.7."""
    held = {"wilson": 0, "blocks": 0}
    for seed in range(150):
        flags = (autoregressive(1500, 0.9, seed) > 0.0).astype(float)
        rate = float(flags.mean())
        bootstrap = BlockBootstrap([1500], block_rows_for([flags]), 300, 0)
        blocks = percentile_interval(rate, bootstrap.sums(flags[:, np.newaxis])[:, 0] / _drawn(bootstrap), 0.95)
        assert blocks is not None
        held["wilson"] += 0.5 in wilson(int(flags.sum()), 1500, 0.95)
        held["blocks"] += 0.5 in blocks
    assert held["wilson"] < 100
    assert held["blocks"] > 128


def _drawn(bootstrap: BlockBootstrap) -> int:
    return -(-bootstrap.rows // bootstrap.block_rows) * bootstrap.block_rows


def test_percentile_intervals_say_nothing_where_there_is_nothing_to_say() -> None:
    assert percentile_interval(None, np.array([0.1, 0.2]), 0.95) is None
    assert percentile_interval(0.0, np.zeros(100), 0.95) is None
    assert percentile_interval(0.1, np.array([np.nan] * 50 + [0.1, 0.2] * 25), 0.95) is None
    found = percentile_interval(0.9, np.linspace(0.0, 0.5, 101), 0.9)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.025, 0.9))
