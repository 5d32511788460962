"""Calibrated thresholds keep their promise on trips that they have not seen; the figures beside them hold the truth."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from ev_qa_framework.autocorrelation import autocorrelation_rows
from ev_qa_framework.calibration import CRITICAL_RATE, calibrate_scores
from ev_qa_framework.clustered_intervals import clustered_frequency, clustered_rate
from ev_qa_framework.conformal import UnitLosses, units_needed
from ev_qa_runtime.errors import ConfigurationError, TelemetryError


def autoregressive(random: np.random.Generator, rows: int, coefficient: float) -> np.ndarray:
    """A stationary series of mean 0 and variance 1."""
    noise = random.normal(size=rows) * np.sqrt(1.0 - coefficient**2)
    series = np.empty(rows)
    value = random.normal()
    for row, each in enumerate(noise.tolist()):
        value = coefficient * value + each
        series[row] = value
    return series


def fleet(trips: int, rows: int, seed: int = 0, coefficient: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, trips and seconds of drives at 1 Hz."""
    random = np.random.default_rng(seed)
    scores = np.concatenate([-0.45 + 0.03 * autoregressive(random, rows, coefficient) for _ in range(trips)])
    return scores, np.repeat(np.arange(trips), rows), np.tile(np.arange(float(rows)), trips)


class TestTheTheorem:
    RATE = 0.1
    TRIPS = 20

    def held_out_rates(self, repetitions: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a new trip, with the conformal threshold and with the pooled rows' quantile; trips differ wildly.

        Short trips are bad ones: so a pooled quantile, in which each row counts the same, knows too little of them.
        """
        random = np.random.default_rng(5)
        conformal, pooled = np.empty(repetitions), np.empty(repetitions)
        for number in range(repetitions):
            bad = random.random(self.TRIPS + 1) < 0.2
            lengths = np.where(bad, 20, 200)
            level = np.where(bad, -3.0, 0.0) + random.normal(size=self.TRIPS + 1)
            trips = [mean + random.normal(size=rows) for mean, rows in zip(level, lengths, strict=True)]
            seen, new = trips[:-1], trips[-1]
            scores, unit = np.concatenate(seen), np.repeat(np.arange(self.TRIPS), lengths[:-1])
            conformal[number] = (new < UnitLosses.of(scores, unit).threshold(self.RATE)).mean()
            pooled[number] = (new < np.quantile(scores, self.RATE)).mean()
        return conformal, pooled

    def test_the_mean_held_out_rate_is_at_most_the_rate_and_that_of_pooled_rows_is_not(self) -> None:
        conformal, pooled = self.held_out_rates(3000)
        error = conformal.std() / np.sqrt(len(conformal))
        assert conformal.mean() <= self.RATE + 2.0 * error
        assert conformal.mean() >= self.RATE - 2.0 / (self.TRIPS + 1) - 4.0 * error  # tight to 2B/(n + 1): theorem 2
        assert pooled.mean() > self.RATE + 8.0 * pooled.std() / np.sqrt(len(pooled))

    @pytest.mark.parametrize("trips", [9, 10, 30])
    def test_exchangeable_trips_of_any_number(self, trips: int) -> None:
        random = np.random.default_rng(trips)
        rates = []
        for _ in range(2000):
            scores = random.normal(size=(trips + 1, 1)) + random.normal(size=(trips + 1, 30))
            losses = UnitLosses.of(scores[:-1].ravel(), np.repeat(np.arange(trips), 30))
            rates.append((scores[-1] < losses.threshold(0.1)).mean())
        assert np.mean(rates) <= 0.1 + 2.0 * np.std(rates) / np.sqrt(len(rates))


SCORES = st.lists(st.integers(-40, -1).map(lambda number: number / 40), min_size=6, max_size=60)


@given(SCORES, st.integers(2, 6), st.floats(0.01, 0.6), st.floats(0.01, 0.6))
def test_the_threshold_is_the_highest_that_the_rate_allows(
    values: list[float], units: int, rate: float, other: float
) -> None:
    scores, unit = np.array(values), np.arange(len(values)) % units
    losses = UnitLosses.of(scores, unit)
    threshold = losses.threshold(rate)

    def bound(at: float) -> float:  # by the definition
        return (sum((scores[unit == each] < at).mean() for each in range(units)) + 1.0) / (units + 1)

    assert losses.bound(threshold) == pytest.approx(bound(threshold))
    if rate * (units + 1) >= 1.0:
        assert bound(threshold) <= rate * (1.0 + 1e-8)
        assert bound(np.nextafter(threshold, 1.0)) > rate
    else:
        assert threshold == scores.min()
    low, high = sorted((rate, other))
    assert losses.threshold(low) <= losses.threshold(high)


@given(SCORES, st.integers(2, 6), st.floats(0.01, 0.6), st.data())
def test_leaving_units_out_is_not_having_them(
    values: list[float], units: int, rate: float, data: st.DataObject
) -> None:
    scores, unit = np.array(values), np.arange(len(values)) % units
    without = np.array(sorted(data.draw(st.sets(st.integers(0, units - 1), max_size=units - 1))), dtype=np.int64)
    rest = ~np.isin(unit, without)
    assert UnitLosses.of(scores, unit).threshold(rate, without) == UnitLosses.of(scores[rest], unit[rest]).threshold(
        rate
    )


@pytest.mark.parametrize(("rate", "needed"), [(0.5, 1), (0.1, 9), (0.005, 199), (0.0005, 1999), (1 / 49, 48)])
def test_units_needed(rate: float, needed: int) -> None:
    assert units_needed(rate) == needed


class TestUnits:
    def test_whole_trips_where_there_are_enough(self) -> None:
        record = calibrate_scores(*fleet(19, 60), warning_rate=0.05, critical_rate=0.05)
        assert (record.warning.unit, record.warning.units, record.warning.unit_seconds) == ("trip", 19, None)
        assert "a new trip's rows" in record.warning.guarantee

    def test_one_trip_less_takes_blocks(self) -> None:
        record = calibrate_scores(*fleet(18, 600), warning_rate=0.05, critical_rate=0.05)
        assert (record.warning.unit, record.warning.units, record.warning.unit_seconds) == ("block", 90, 120.0)
        assert "weaker than a promise for trips" in record.warning.guarantee

    def test_demo_like_data_support_the_defaults(self) -> None:
        record = calibrate_scores(*fleet(7, 1800))
        assert (record.warning.rate, record.warning.unit_seconds, record.warning.units) == (0.005, 30.0, 420)
        assert (record.critical.rate, record.critical.unit_seconds) == (1 / 1261, 10.0)
        assert record.critical.bound <= record.critical.rate * (1 + 1e-9)
        assert (record.trips, record.hours, record.rows) == (7, 3.5, 12600)
        assert calibrate_scores(*fleet(12, 1800)).critical.rate == CRITICAL_RATE

    def test_blocks_are_no_shorter_than_flags_last(self) -> None:
        scores, trips, time = fleet(7, 1800, coefficient=0.98)
        record = calibrate_scores(scores, trips, time, warning_rate=0.05, critical_rate=0.05)
        assert record.warning.unit_seconds is not None
        assert record.warning.flag_seconds > 10.0
        assert record.warning.unit_seconds >= record.warning.flag_seconds
        with pytest.raises(ConfigurationError, match=r"h in blocks of [36]0 s, there are 7 trips with 3\.5 h"):
            calibrate_scores(scores, trips, time, warning_rate=0.001)

    def test_seconds_count_not_rows(self) -> None:
        scores, trips, time = fleet(7, 1800)
        slow = calibrate_scores(scores, trips, 10.0 * time, warning_rate=0.05)
        assert (slow.hours, slow.warning.unit_seconds) == (35.0, 1800.0)


class TestRefusals:
    def test_the_lowest_supported_rate_is_named_and_is_supported(self) -> None:
        data = fleet(3, 600)
        with pytest.raises(
            ConfigurationError,
            match=r"warning_rate 0\.001 needs 999 trips or 2\.8 h in blocks of 10 s, there are 3 trips with 0\.5 h: "
            r"give more healthy telemetry, or a rate of at least 0\.005525",
        ):
            calibrate_scores(*data, warning_rate=0.001)
        assert calibrate_scores(*data, warning_rate=0.005525).warning.units == 180
        with pytest.raises(ConfigurationError, match=r"critical_rate 0\.0001 needs 9999 trips"):
            calibrate_scores(*data, warning_rate=0.1, critical_rate=0.0001)

    @pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan"), float("inf")])
    def test_rates_that_are_none(self, rate: float) -> None:
        with pytest.raises(ConfigurationError, match="warning_rate must lie between 0 and 1"):
            calibrate_scores(*fleet(3, 60), warning_rate=rate)
        with pytest.raises(ConfigurationError, match="critical_rate must lie between 0 and 1"):
            calibrate_scores(*fleet(3, 60), critical_rate=rate)

    def test_critical_above_warning(self) -> None:
        with pytest.raises(ConfigurationError, match=r"critical_rate 0\.1 is above warning_rate 0\.05"):
            calibrate_scores(*fleet(3, 60), warning_rate=0.05, critical_rate=0.1)

    def test_nothing_to_calibrate_on(self) -> None:
        scores, trips, time = fleet(3, 60)
        with pytest.raises(TelemetryError, match="none of 180 rows has a score and a time"):
            calibrate_scores(np.full(180, np.nan), trips, time)
        with pytest.raises(TelemetryError, match="time does not advance"):
            calibrate_scores(scores, trips, np.zeros(180))
        with pytest.raises(TelemetryError, match="one value for each row"):
            calibrate_scores(scores, trips, time[:-1])


class TestScores:
    def test_identical_scores_are_never_flagged(self) -> None:
        _, trips, time = fleet(7, 1800)
        record = calibrate_scores(np.full(len(time), -0.5), trips, time)
        assert record.warning.threshold == record.critical.threshold == -0.5
        assert (record.warning.observed_rate.estimate, record.trips_with_critical) == (0.0, 0)
        assert record.warning.false_alarms_per_100h.low == 0.0
        assert record.warning.false_alarms_per_100h.high > 369.0 / record.hours  # no alarm in 100 h says: below 3.69

    def test_ties_are_flagged_together_or_not_at_all(self) -> None:
        _, trips, time = fleet(20, 600)
        scores = np.full(len(time), -0.5)
        scores[::100] = -0.7  # 1 % of the rows
        assert calibrate_scores(scores, trips, time, warning_rate=0.009, critical_rate=0.009).warning.threshold == -0.7
        assert calibrate_scores(scores, trips, time, warning_rate=0.06, critical_rate=0.06).warning.threshold == -0.5

    def test_invalid_rows_do_not_count(self) -> None:
        scores, trips, time = fleet(19, 300)
        expected = calibrate_scores(scores, trips, time, warning_rate=0.05, critical_rate=0.05)
        some = np.arange(len(time)) % 3 == 1
        dirty = np.where(some, np.nan, scores)
        missing = calibrate_scores(dirty, trips, time, warning_rate=0.05, critical_rate=0.05)
        marked = calibrate_scores(
            np.where(some, -1.0, scores), trips, time, warning_rate=0.05, critical_rate=0.05, valid=~some
        )
        assert missing == marked != expected
        assert missing.rows == np.count_nonzero(~some)
        assert missing == calibrate_scores(
            scores[~some], trips[~some], time[~some], warning_rate=0.05, critical_rate=0.05
        )

    def test_one_trip_is_held_out_in_stretches(self) -> None:
        record = calibrate_scores(*fleet(1, 7200), warning_rate=0.05)
        assert (record.trips, record.held_out, record.warning.unit_seconds) == (1, "stretches", 120.0)
        assert record.warning.observed_rate.estimate == pytest.approx(0.05, abs=0.03)
        assert calibrate_scores(*fleet(2, 3600), warning_rate=0.05).held_out == "trips"

    @settings(max_examples=15, deadline=None)
    @given(st.permutations(range(7)))
    def test_the_order_of_trips_does_not_matter(self, order: list[int]) -> None:
        scores, trips, time = fleet(7, 300)
        rows = np.concatenate([np.flatnonzero(trips == number) for number in order])
        found = calibrate_scores(scores[rows], np.repeat(np.arange(7), 300), time[rows], warning_rate=0.05)
        expected = calibrate_scores(scores, trips, time, warning_rate=0.05)
        for level in ("warning", "critical"):
            ours, theirs = getattr(found, level), getattr(expected, level)
            assert ours.threshold == theirs.threshold
            assert ours.alarms == theirs.alarms
            assert dataclasses.astuple(ours.observed_rate) == pytest.approx(dataclasses.astuple(theirs.observed_rate))
        assert found.curve == expected.curve

    def test_a_higher_rate_has_a_higher_threshold(self) -> None:
        records = [calibrate_scores(*fleet(40, 300), warning_rate=rate) for rate in (0.03, 0.05, 0.1, 0.2)]
        thresholds = [record.warning.threshold for record in records]
        assert thresholds == sorted(set(thresholds))


class TestFigures:
    def test_held_out_rates_do_not_flatter(self) -> None:
        """The rate on the calibration rows themselves is too low; the one held out is that of new trips."""
        held_out, seen, new = [], [], []
        for seed in range(40):
            scores, trips, time = fleet(6, 900, seed)
            scores = scores + 0.03 * np.repeat(np.random.default_rng(seed + 500).normal(size=6), 900)
            record = calibrate_scores(scores, trips, time, warning_rate=0.02)
            held_out.append(record.warning.observed_rate.estimate)
            seen.append((scores < record.warning.threshold).mean())
            fresh, _, _ = fleet(20, 300, seed + 900)
            fresh = fresh + 0.03 * np.repeat(np.random.default_rng(seed + 1500).normal(size=20), 300)
            new.append((fresh < record.warning.threshold).mean())
        assert np.mean(seen) < 0.8 * np.mean(new)
        assert np.mean(held_out) > 0.8 * np.mean(new)

    def test_alarms_are_runs_less_than_a_minute_apart(self) -> None:
        scores, trips, time = np.full(19 * 1000, -0.4), np.repeat(np.arange(19), 1000), np.tile(np.arange(1000.0), 19)
        for row in (100, 159, 218, 278, 278 + 60):  # of the first trip: one alarm, a minute later another, and one more
            scores[row] = -0.9
        record = calibrate_scores(scores, trips, time, warning_rate=0.05, critical_rate=0.05)
        assert record.warning.alarms == 3
        assert record.warning.false_alarms_per_100h.estimate == pytest.approx(3 * 100 / record.hours)
        assert record.warning.observed_rate.estimate == pytest.approx(5 / 19000)

    def test_trips_with_critical_rows_bound_those_to_come(self) -> None:
        record = calibrate_scores(*fleet(19, 300), warning_rate=0.1, critical_rate=0.05)
        assert (record.trips_with_critical, record.trip_bound) == (0, 1 / 20)

    def test_the_curve_rises(self) -> None:
        curve = calibrate_scores(*fleet(20, 1800)).curve
        assert 50 <= len(curve.thresholds) <= 60
        for values in (curve.thresholds, curve.shares, curve.bounds):
            assert all(low < high for low, high in itertools.pairwise(values))
        assert all(share < bound for share, bound in zip(curve.shares, curve.bounds, strict=True))

    def test_intervals_of_rates_hold_the_truth(self) -> None:
        """Trips of rates gamma-distributed around 1 %; of 400 intervals of 95 %, at least 93 % hold it."""
        random = np.random.default_rng(0)
        rows = np.full(10, 1000)
        held = 0
        for _ in range(400):
            flagged = random.binomial(rows, np.minimum(random.gamma(2.0, 0.005, 10), 1.0))
            found = clustered_rate(flagged, rows)
            held += found.low <= 0.01 <= found.high
        assert held >= 372

    def test_intervals_of_alarms_hold_the_truth(self) -> None:
        """Two an hour, in trips whose own frequency is gamma-distributed; Garwood's alone would be too narrow."""
        random = np.random.default_rng(0)
        held = garwood = 0
        for _ in range(400):
            hours = random.uniform(0.3, 2.0, 12)
            counts = random.poisson(hours * random.gamma(0.7, 2.0 / 0.7, 12))
            found = clustered_frequency(counts, hours)
            held += found.low <= 200.0 <= found.high
            low, high = chi2.ppf([0.025, 0.975], [2 * counts.sum(), 2 * counts.sum() + 2]) * 50.0 / hours.sum()
            garwood += low <= 200.0 <= high
        assert held >= 368
        assert garwood < 340

    def test_garwood_as_published(self) -> None:
        """0, 1, 5 and 10 events: 0-3.689, 0.0253-5.572, 1.623-11.668, 4.795-18.390; trips do not differ."""
        for count, low, high in ((0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (10, 4.795, 18.390)):
            counts = np.zeros(100_000, dtype=np.int64)
            counts[:count] = 1
            found = clustered_frequency(counts, np.full(100_000, 1e-3))
            assert (found.low, found.estimate, found.high) == pytest.approx((low, count, high), abs=2e-3)

    def test_clopper_pearson_as_published(self) -> None:
        """81 of 263: 0.2527-0.3676 (Newcombe 1998, method 5), where each trip is one row."""
        flagged = np.repeat([1, 0], [81, 182])
        found = clustered_rate(flagged, np.ones(263, dtype=np.int64))
        assert (found.low, found.high) == pytest.approx((0.2527, 0.3676), abs=2e-3)


class TestAutocorrelation:
    @pytest.mark.parametrize(("coefficient", "rows"), [(0.0, 1.0), (0.5, 3.0), (0.9, 19.0)])
    def test_of_an_autoregressive_series(self, coefficient: float, rows: float) -> None:
        series = autoregressive(np.random.default_rng(1), 60_000, coefficient)
        found = autocorrelation_rows(series, np.arange(60_000) // 2000)
        assert found == pytest.approx(rows, rel=0.15)  # (1 + a)/(1 - a)

    def test_trips_that_differ_count_only_where_asked(self) -> None:
        random = np.random.default_rng(2)
        trips = np.repeat(np.arange(30), 400)
        series = random.normal(size=12_000) + 2.0 * random.normal(size=30)[trips]
        assert autocorrelation_rows(series, trips) < 1.5
        assert autocorrelation_rows(series, trips, around_each_trip=False) > 20.0

    def test_missing_rows_and_constant_series(self) -> None:
        series = autoregressive(np.random.default_rng(1), 60_000, 0.9)
        series[::7] = np.nan
        assert autocorrelation_rows(series, np.arange(60_000) // 2000) == pytest.approx(19.0, rel=0.2)
        for constant in (0.0, 0.1, 1e300, np.nan):
            assert autocorrelation_rows(np.full(50, constant), np.zeros(50, dtype=np.int64)) == 1.0
        assert autocorrelation_rows(np.array([1.0]), np.array([0])) == 1.0
