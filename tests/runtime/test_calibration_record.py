"""The calibration that rides in the sidecar: its JSON form, its checks, its sentences."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.calibration_record import (
    CalibrationCurve,
    CalibrationRecord,
    Figure,
    LevelCalibration,
    calibration_document,
    calibration_of,
)
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members, parse_object

WARNING = LevelCalibration(
    threshold=-0.6125,
    rate=0.005,
    bound=0.00475,
    unit="block",
    unit_seconds=30.0,
    units=420,
    flag_seconds=6.5,
    observed_rate=Figure(0.00275, 0.0005, 0.008),
    alarms=12,
    false_alarms_per_100h=Figure(343.0, 90.0, 894.5),
)
CRITICAL = dataclasses.replace(
    WARNING,
    threshold=-0.65625,
    rate=0.001,
    unit="trip",
    unit_seconds=None,
    observed_rate=Figure(0.0, 0.0, 0.001),
    alarms=0,
    false_alarms_per_100h=Figure(0.0, 0.0, 105.0),
)
CURVE = CalibrationCurve((-0.7, -0.65), (0.0, 0.01), (0.005, 0.015))
RECORD = CalibrationRecord(7, 3.5, 12600, WARNING, CRITICAL, 1, "trips", "ab" * 32, CURVE)
GOLDEN = (
    '{"version": 1, "trips": 7, "hours": 3.5, "rows": 12600, "warning": {"threshold": -0.6125, "rate": 0.005, '
    '"bound": 0.00475, "unit": "block", "unit_seconds": 30.0, "units": 420, "flag_seconds": 6.5, "observed_rate": '
    '[0.00275, 0.0005, 0.008], "alarms": 12, "false_alarms_per_100h": [343.0, 90.0, 894.5]}, "critical": '
    '{"threshold": -0.65625, "rate": 0.001, "bound": 0.00475, "unit": "trip", "unit_seconds": null, "units": 420, '
    '"flag_seconds": 6.5, "observed_rate": [0.0, 0.0, 0.001], "alarms": 0, "false_alarms_per_100h": [0.0, 0.0, '
    '105.0]}, "trips_with_critical": 1, "held_out": "trips", "scores_sha256": "' + "ab" * 32 + '", "folds": null, '
    '"curve": {"thresholds": [-0.7, -0.65], "shares": [0.0, 0.01], "bounds": [0.005, 0.015]}}'
)


def read(text: str) -> CalibrationRecord:
    return calibration_of(Members(parse_object(text.encode())))


def changed(**members: Any) -> str:
    return json.dumps(json.loads(GOLDEN) | members)


def changed_warning(**members: Any) -> str:
    return changed(warning=json.loads(GOLDEN)["warning"] | members)


def test_the_golden_form() -> None:
    assert json.dumps(calibration_document(RECORD)) == GOLDEN
    assert read(GOLDEN) == RECORD


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FIGURES = st.tuples(FINITE, FINITE, FINITE).map(sorted).map(lambda three: Figure(three[1], three[0], three[2]))


@given(st.tuples(FINITE, FINITE).map(sorted), FIGURES, FIGURES, st.lists(st.tuples(FINITE, FINITE, FINITE)))
def test_numbers_come_back_as_the_same_doubles(
    thresholds: list[float], one: Figure, other: Figure, points: list[tuple[float, float, float]]
) -> None:
    record = dataclasses.replace(
        RECORD,
        critical=dataclasses.replace(CRITICAL, threshold=thresholds[0], observed_rate=one),
        warning=dataclasses.replace(WARNING, threshold=thresholds[1], false_alarms_per_100h=other),
        curve=CalibrationCurve(*(tuple(point[place] for point in points) for place in range(3))),
    )
    assert read(json.dumps(calibration_document(record))) == record


def test_unknown_members_are_tolerated() -> None:
    assert read(changed(later=[1])) == RECORD


def test_folds_come_back() -> None:
    crossed = dataclasses.replace(RECORD, folds=5)
    assert json.loads(json.dumps(calibration_document(crossed)))["folds"] == 5
    assert read(changed(folds=5)) == crossed


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(IncompatibleModelError, match="calibration has version 2, this runtime reads up to 1: update"):
        read(changed(version=2))


@pytest.mark.parametrize("member", list(json.loads(GOLDEN)))
def test_every_member_is_needed_and_named(member: str) -> None:
    document = json.loads(GOLDEN)
    del document[member]
    with pytest.raises(ArtifactError, match=f"sidecar: {member} is missing"):
        read(json.dumps(document))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed_warning(threshold="low"), r"warning\.threshold must be a number"),
        (changed_warning(rate=1.0), "a calibrated rate must lie between 0 and 1, not be 1.0"),
        (changed_warning(unit="row"), r"warning\.unit must be one of trip, block"),
        (changed_warning(unit_seconds=None), "by blocks needs their length in seconds"),
        (changed_warning(unit="trip"), "by trips has none"),
        (changed_warning(observed_rate=[0.1, 0.0]), "observed_rate must hold an estimate and the two ends"),
        (changed_warning(observed_rate=[0.1, 0.2, 0.3]), "does not hold its estimate 0.1"),
        (changed_warning(threshold=-0.9), "CRITICAL threshold lies above the WARNING one"),
        (changed(trips_with_critical=8), "more trips with CRITICAL rows than trips"),
        (changed(folds=1), "folds must be an integer of at least 2"),
        (changed(folds=5.0), "folds must be an integer of at least 2"),
        (changed(held_out="rows"), "held_out must be one of trips, stretches"),
        (changed(scores_sha256="ab"), "scores_sha256 is not a SHA-256 digest"),
        (changed(curve={"thresholds": [-0.5], "shares": [], "bounds": []}), "one share and one bound for each"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read(text)


def test_the_sentences_say_which_unit() -> None:
    assert WARNING.guarantee == (
        "At most 0.5 % of the rows in new 30 s of driving are expected below -0.6125, if they are like the 420 blocks "
        "calibrated on; a new trip may differ more than blocks of one trip do, so this is weaker than a promise for "
        "trips."
    )
    assert CRITICAL.guarantee == (
        "At most 0.1 % of a new trip's rows are expected below -0.6562, if it is like the 420 trips calibrated on."
    )


def test_the_bound_on_trips_counts_the_new_one() -> None:
    assert RECORD.trip_bound == 2 / 8


def test_what_the_intervals_are_for_rides_along() -> None:
    later = dataclasses.replace(RECORD, interval_hours=0.875)
    text = json.dumps(calibration_document(later))
    assert json.loads(text)["interval_hours"] == 0.875
    assert read(text) == later
    assert later.intervals.startswith("95 % intervals for what 0.875 h or more of new driving show")


def test_records_of_before_say_what_theirs_are_for() -> None:
    assert RECORD.interval_hours is None
    assert RECORD.intervals.startswith("95 % intervals for the mean of trips like the 7 calibrated on")
    with pytest.raises(ArtifactError, match=r"must be for some hours of driving, not 0\.0"):
        read(changed(interval_hours=0.0))
