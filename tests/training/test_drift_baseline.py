"""Baselines of training rows, and the runtime's tests against scipy, chance and real shifts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.stats import chi2, chi2_contingency, kstest

from ev_qa_framework.drift_baseline import BINS, fit_drift_baseline, fit_histogram
from ev_qa_runtime.drift import DriftMonitor
from ev_qa_runtime.drift_statistics import chi_square_tail, homogeneity_p_value
from ev_qa_runtime.errors import TelemetryError


def autoregressive(random: np.random.Generator, rows: int, columns: int, coefficient: float) -> np.ndarray:
    """Stationary series of mean 0 and variance 1, float64 [rows, columns]."""
    noise = random.normal(size=(rows, columns)) * math.sqrt(1.0 - coefficient**2)
    series = np.empty((rows, columns))
    series[0] = random.normal(size=columns)
    for row in range(1, rows):
        series[row] = coefficient * series[row - 1] + noise[row]
    return series


@given(st.floats(0.0, 2000.0), st.integers(1, 500))
def test_tails_are_those_of_scipy(statistic: float, degrees: int) -> None:
    expected = float(chi2.sf(statistic, degrees))
    assert chi_square_tail(statistic, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@given(st.lists(st.tuples(st.integers(60, 120), st.integers(60, 120)), min_size=2, max_size=22))
def test_p_values_are_those_of_scipy(bins: list[tuple[int, int]]) -> None:
    counts = np.array(bins).T
    found = homogeneity_p_value(*counts.tolist(), *counts.sum(axis=1).tolist())
    assert found == pytest.approx(float(chi2_contingency(counts, correction=False).pvalue), rel=1e-8, abs=1e-13)


CELLS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf])


@given(npst.arrays(np.float64, st.integers(1, 80), elements=CELLS))
def test_no_training_value_is_out_of_range(values: np.ndarray) -> None:
    histogram = fit_histogram(values, np.zeros(len(values), dtype=np.int64))
    assert histogram.rows == len(values)
    assert histogram.counts[-1] == np.count_nonzero(np.isnan(values))
    assert histogram.counts[0] == np.count_nonzero(np.isneginf(values))
    if np.isfinite(values).any():
        assert histogram.counts[-2] == np.count_nonzero(np.isposinf(values))
    assert len(histogram.edges) <= BINS + 1


def test_bins_hold_as_many_rows_each() -> None:
    values = np.random.default_rng(0).lognormal(size=10_000)
    histogram = fit_histogram(values, np.zeros(10_000, dtype=np.int64))
    assert len(histogram.edges) == BINS + 1
    assert all(abs(count - 500) <= 1 for count in histogram.counts[1:-2])
    assert histogram.edges[0] == values.min()


def test_constant_and_missing_features() -> None:
    zeros = np.zeros(50, dtype=np.int64)
    assert fit_histogram(np.full(50, 3.0), zeros).counts == (0, 50, 0, 0)
    assert fit_histogram(np.full(50, np.nan), zeros).counts == (0, 0, 50)
    switch = fit_histogram(np.repeat([1.0, 2.0], 25), zeros)
    assert switch.edges == (1.0, 2.0, np.nextafter(2.0, 3.0))
    assert switch.counts == (0, 25, 25, 0, 0)


def test_neighbours_that_are_alike_are_found() -> None:
    series = autoregressive(np.random.default_rng(0), 40_000, 2, 0.9)
    baseline = fit_drift_baseline(series[:, :1], series[:, 1], ["voltage"])
    assert baseline.features[0].rows_alike == pytest.approx(19.0, rel=0.2)
    assert baseline.score.rows_alike == pytest.approx(19.0, rel=0.2)
    for every, alike in ((1, baseline.features[0].rows_alike), (40, 1.0)):
        monitor = DriftMonitor(baseline, every=every)
        monitor.update(series[:, :1], series[:, 1])
        report = monitor.report()
        assert report.features[0].effective_rows == pytest.approx(report.rows / alike)


def p_values(repetitions: int, coefficient: float, **settings: int) -> np.ndarray:
    """Of the one feature, training and now from the same source."""
    found = []
    random = np.random.default_rng(4)
    series = autoregressive(random, 6000, 2 * repetitions, coefficient)
    later = autoregressive(random, 3000, repetitions, coefficient)
    for number in range(repetitions):
        one = slice(number, number + 1)
        baseline = fit_drift_baseline(series[:, one], series[:, repetitions + number], ["voltage"])
        monitor = DriftMonitor(baseline, **settings)
        monitor.update(later[:, one], later[:, number])
        found.append(monitor.report().features[0].p_value)
    return np.array(found, dtype=np.float64)


def test_without_drift_p_values_of_independent_rows_are_uniform() -> None:
    found = p_values(300, 0.0)
    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("settings", [{}, {"every": 10}])
def test_without_drift_p_values_of_rows_that_are_alike_are_not_too_small(settings: dict[str, int]) -> None:
    found = p_values(200, 0.9, **settings)
    assert np.mean(found < 0.05) <= 0.07
    assert np.mean(found < 0.01) <= 0.02


def test_a_shift_is_found_and_named_and_nothing_else() -> None:
    random = np.random.default_rng(1)
    series = autoregressive(random, 20_000, 4, 0.9)
    names = ["voltage", "current", "temp"]
    baseline = fit_drift_baseline(series[:, :3], series[:, 3], names, row_s=1.0)
    now = autoregressive(random, 20_000, 4, 0.9)
    monitor = DriftMonitor(baseline, thin_s=20.0)
    monitor.update(now[:, :3], now[:, 3], np.arange(20_000.0))
    assert monitor.report().drifted() == ()
    assert [each.reading for each in monitor.report().features] == ["stable"] * 3
    shifted = DriftMonitor(baseline, thin_s=20.0)
    shifted.update(now[:, :3] + np.array([0.0, 1.0, 0.0]), now[:, 3], np.arange(20_000.0))
    report = shifted.report()
    assert report.drifted() == ("current",)
    assert report.features[1].above_share > 0.001
    assert report.features[1].effective_rows == pytest.approx(1000.0, rel=0.25)


def test_one_false_alarm_in_a_hundred_reports_however_many_features() -> None:
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(200):
        values, now = random.normal(size=(2000, 15)), random.normal(size=(1000, 15))
        baseline = fit_drift_baseline(values, values[:, 0], [f"f{number}" for number in range(15)])
        monitor = DriftMonitor(baseline)
        monitor.update(now, random.normal(size=1000))
        report = monitor.report()
        adjusted = [each.adjusted_p_value for each in (*report.features, report.score)]
        alarms += any(each is not None and each < 0.05 for each in adjusted)
    assert alarms <= 20  # 5 % of 200 are 10; 20 is beyond 3 standard deviations


def test_arrays_that_do_not_fit_are_refused() -> None:
    for values, scores, trips in (
        (np.zeros((3, 2)), np.zeros(3), None),
        (np.zeros((3, 1)), np.zeros(2), None),
        (np.zeros((3, 1)), np.zeros(3), np.zeros(2, dtype=np.int64)),
        (np.zeros((0, 1)), np.zeros(0), None),
    ):
        with pytest.raises(TelemetryError, match="a drift baseline needs rows of 1 features with scores and trips"):
            fit_drift_baseline(values, scores, ["voltage"], trips)
