"""The intervals of a calibration hold for new driving: as published, at the limits, and on simulated trips."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework.calibration import calibrate_scores
from ev_qa_framework.clustered_intervals import clustered_frequency, clustered_rate
from ev_qa_framework.held_out import NEW_SHARE


def poisson_ends(count: int, share: float) -> tuple[float, float]:
    """The same for trips that do not differ; so many that few of them are nothing to make up for."""
    counts = np.zeros(100_000, dtype=np.int64)
    counts[:count] = 1
    found = clustered_frequency(counts, np.full(100_000, 1e-3), new_share=share)
    return found.low * share, found.high * share


def test_the_conditional_test_agrees() -> None:
    """An end is where, of all events, so few or so many fall into the new time with 2.5 %: binomial, exactly."""
    for count, share in ((8, 1.0), (20, 0.5), (40, 0.25)):
        low, high = poisson_ends(count, share)
        chance = share / (1.0 + share)

        def at_most(new: int, total: int, chance: float = chance) -> float:
            return sum(math.comb(total, k) * chance**k * (1.0 - chance) ** (total - k) for k in range(new + 1))

        new = math.floor(high)
        assert at_most(count, count + new, 1.0 - chance) > 0.024  # so many new ones are still likely enough
        assert at_most(count, count + new + 1, 1.0 - chance) < 0.0251
        if low:
            new = math.ceil(low)
            assert at_most(new, count + new) > 0.0249


@pytest.mark.parametrize(
    ("count", "share", "excluded"), [(5, 1.0, False), (6, 1.0, True), (16, 0.25, False), (17, 0.25, True)]
)
def test_nothing_is_excluded_only_where_it_is_rare(count: int, share: float, excluded: bool) -> None:
    """(1/(1 + share))^count is the chance of no event."""
    assert ((1.0 / (1.0 + share)) ** count < 0.025) == excluded
    assert (poisson_ends(count, share)[0] > 0.0) == excluded


COUNTS = st.lists(st.integers(0, 40), min_size=3, max_size=20)


@given(COUNTS, st.floats(0.05, 20.0))
def test_new_driving_is_less_sure_than_the_mean_and_longer_is_surer(values: list[int], share: float) -> None:
    counts, hours = np.array(values), np.ones(len(values))
    mean = clustered_frequency(counts, hours)
    longer, shorter = (clustered_frequency(counts, hours, new_share=each) for each in (2.0 * share, share))
    assert shorter.low <= longer.low * (1 + 1e-9) <= mean.low * (1 + 1e-6) + 1e-9
    assert mean.high <= longer.high * (1 + 1e-6)
    assert longer.high <= shorter.high * (1 + 1e-9)
    rate = clustered_rate(counts, np.full(len(values), 40), new_share=share)
    assert 0.0 <= rate.low <= rate.estimate <= rate.high <= 1.0


def test_for_ever_is_the_mean() -> None:
    counts, hours = np.array([3, 0, 7, 2, 4]), np.ones(5)
    mean, ever = clustered_frequency(counts, hours), clustered_frequency(counts, hours, new_share=1e7)
    assert (ever.low, ever.high) == pytest.approx((mean.low, mean.high), rel=1e-4)


def test_new_driving_lies_inside() -> None:
    """Two alarms an hour in trips of gamma-distributed frequency; an interval for the mean misses new trips often."""
    random = np.random.default_rng(0)
    held = of_mean = 0
    for _ in range(400):
        counts = random.poisson(random.gamma(0.7, 2.0 / 0.7, 16))
        new = random.poisson(random.gamma(0.7, 2.0 / 0.7, 4)).sum() * 100.0 / 4.0
        found = clustered_frequency(counts, np.ones(16), new_share=0.25)
        mean = clustered_frequency(counts, np.ones(16))
        held += found.low <= new <= found.high
        of_mean += mean.low <= new <= mean.high
    assert held >= 372
    assert of_mean < 340


def test_what_a_record_says_of_its_intervals() -> None:
    scores = -0.45 + 0.03 * np.random.default_rng(0).normal(size=12_000)
    data = (scores, np.repeat(np.arange(20), 600), np.tile(np.arange(600.0), 20))
    own, crossed = calibrate_scores(*data, warning_rate=0.2), calibrate_scores(*data, warning_rate=0.2, folds=5)
    assert own.interval_hours == crossed.interval_hours == NEW_SHARE * own.hours
    assert (own.folds, crossed.folds) == (None, 5)
    assert "0.833 h or more of new driving" in own.intervals
    assert crossed.intervals.startswith(f"{own.intervals} Each trip was scored by a model fitted on fewer trips")
    assert crossed.intervals.endswith("so they begin at 0.")
    for ours, theirs in ((own.warning, crossed.warning), (own.critical, crossed.critical)):
        assert (theirs.observed_rate.low, theirs.false_alarms_per_100h.low) == (0.0, 0.0)
        assert ours.observed_rate.high == theirs.observed_rate.high
    assert own.warning.observed_rate.low > 0.0
