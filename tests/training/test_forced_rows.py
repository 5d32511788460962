"""Rows that limits and faulty readings flag count in what a calibration observed, and set none of its thresholds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_framework.calibration import calibrate_scores
from ev_qa_framework.held_out import Forced
from ev_qa_runtime.calibration_record import CalibrationRecord
from ev_qa_runtime.errors import TelemetryError

TRIPS, ROWS = 12, 600
SCORES = -0.45 + 0.03 * np.random.default_rng(3).normal(size=TRIPS * ROWS)
TRIP, TIME = np.repeat(np.arange(TRIPS), ROWS), np.tile(np.arange(float(ROWS)), TRIPS)


def calibrated(
    forced: Forced | None, scores: np.ndarray = SCORES, valid: np.ndarray | None = None
) -> CalibrationRecord:
    return calibrate_scores(scores, TRIP, TIME, warning_rate=0.05, critical_rate=0.01, valid=valid, forced=forced)


def rows(*chosen: int) -> np.ndarray:
    return np.isin(np.arange(TRIPS * ROWS), chosen)


NOTHING = rows()
FREE = calibrated(None)


def promised(record: CalibrationRecord) -> object:
    """What forced rows must leave alone."""
    figures = {"observed_rate": 0, "alarms": 0, "false_alarms_per_100h": 0}
    levels = [dataclasses.replace(level, **figures) for level in (record.warning, record.critical)]  # type: ignore[arg-type]  # never read as figures
    return levels, record.curve, record.scores_sha256


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, TRIPS * ROWS - 1), max_size=40), st.sets(st.integers(0, TRIPS * ROWS - 1), max_size=40))
def test_forced_rows_are_observed_and_promise_nothing(warning: set[int], critical: set[int]) -> None:
    forced = Forced(rows(*warning), rows(*critical))
    record = calibrated(forced)
    assert promised(record) == promised(FREE)
    assert (record.trips, record.hours, record.rows) == (FREE.trips, FREE.hours, FREE.rows)
    for level, theirs, most in (
        (record.warning, FREE.warning, len(warning | critical)),
        (record.critical, FREE.critical, len(critical)),
    ):
        more = (level.observed_rate.estimate - theirs.observed_rate.estimate) * record.rows
        assert -1e-6 <= more <= most + 1e-6
    assert record.warning.observed_rate.estimate >= record.critical.observed_rate.estimate
    assert record.trips_with_critical >= FREE.trips_with_critical


def test_every_forced_row_that_scores_well_counts_once() -> None:
    best = int(np.argmax(SCORES))
    record = calibrated(Forced(NOTHING, rows(best)))
    for level, theirs in ((record.warning, FREE.warning), (record.critical, FREE.critical)):
        assert level.observed_rate.estimate * record.rows == pytest.approx(
            theirs.observed_rate.estimate * record.rows + 1
        )
    only_warning = calibrated(Forced(rows(best), NOTHING))
    assert only_warning.critical == FREE.critical
    assert only_warning.warning.observed_rate == record.warning.observed_rate


def test_forced_rows_raise_alarms_and_critical_trips() -> None:
    flat = np.full(TRIPS * ROWS, -0.5)
    record = calibrated(Forced(rows(50), rows(100, 101, 300, 2 * ROWS)), flat)
    assert (record.warning.alarms, record.critical.alarms, record.trips_with_critical) == (3, 3, 2)
    assert calibrated(None, flat).trips_with_critical == 0


def test_rows_without_a_score_count_where_they_are_forced() -> None:
    unscored = rows(*range(ROWS, ROWS + 50))
    forced = Forced(NOTHING, rows(*range(ROWS, ROWS + 10)))
    for scores, valid in ((np.where(unscored, np.nan, SCORES), None), (SCORES, ~unscored)):
        without, record = calibrated(None, scores, valid), calibrated(forced, scores, valid)
        assert promised(record) == promised(without)
        assert (without.rows, record.rows) == (TRIPS * ROWS - 50, TRIPS * ROWS - 40)
        assert record.critical.observed_rate.estimate * record.rows == pytest.approx(
            without.critical.observed_rate.estimate * without.rows + 10
        )


def test_nothing_forced_is_as_nothing_said() -> None:
    assert calibrated(Forced(NOTHING, NOTHING)) == FREE


def test_one_value_for_each_row() -> None:
    with pytest.raises(TelemetryError, match="forced has 3 and 7200 values for 7200 rows: give one for each row"):
        calibrated(Forced(NOTHING[:3], NOTHING))
