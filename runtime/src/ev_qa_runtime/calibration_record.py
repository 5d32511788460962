"""What a model's thresholds were calibrated on, and what that promises. Standard library only.

Scores are ``score_samples``: lower is more anomalous, and a row is flagged where its score is below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

RECORD_VERSION = 1
MOST_CURVE_POINTS = 1000

Unit = Literal["trip", "block"]
HeldOut = Literal["trips", "stretches"]
UNITS: tuple[Unit, ...] = get_args(Unit)
HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval: ``low <= estimate <= high``. ``CalibrationRecord.intervals`` says for what."""

    estimate: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.estimate <= self.high:
            raise ArtifactError(
                f"an interval from {self.low} to {self.high} does not hold its estimate {self.estimate}"
            )


@dataclass(frozen=True, slots=True)
class LevelCalibration:
    """One severity's threshold.

    ``rate``: the largest expected share of flagged rows in a new unit, as asked for; ``bound``: what the threshold
    reaches of it. ``unit``: whole trips, or blocks of about ``unit_seconds``; there were ``units`` of them.
    ``flag_seconds``: autocorrelation time of flagged rows. ``observed_rate``: share of flagged rows held out, and
    ``false_alarms_per_100h`` the ``alarms`` among them by driving time; both with thresholds set without these rows.
    """

    threshold: float
    rate: float
    bound: float
    unit: Unit
    unit_seconds: float | None
    units: int
    flag_seconds: float
    observed_rate: Figure
    alarms: int
    false_alarms_per_100h: Figure

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise ArtifactError(f"a calibrated rate must lie between 0 and 1, not be {self.rate}")
        if (self.unit == "block") != (self.unit_seconds is not None):
            raise ArtifactError("a calibration by blocks needs their length in seconds, one by trips has none")

    @property
    def guarantee(self) -> str:
        """What is promised, in one sentence."""
        if self.unit == "trip":
            return (
                f"At most {100 * self.rate:g} % of a new trip's rows are expected below {self.threshold:.4g}, "
                f"if it is like the {self.units} trips calibrated on."
            )
        return (
            f"At most {100 * self.rate:g} % of the rows in new {self.unit_seconds:g} s of driving are expected below "
            f"{self.threshold:.4g}, if they are like the {self.units} blocks calibrated on; a new trip may differ more "
            "than blocks of one trip do, so this is weaker than a promise for trips."
        )


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Thresholds, rising, with the mean share of a unit's rows below each and the bound on it in a new unit."""

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    bounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.thresholds) == len(self.shares) == len(self.bounds):
            raise ArtifactError("a calibration curve needs one share and one bound for each threshold")
        if len(self.thresholds) > MOST_CURVE_POINTS:
            raise ArtifactError(f"a calibration curve has at most {MOST_CURVE_POINTS} points")


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """Calibration of both severities on healthy telemetry.

    ``rows`` valid rows in ``hours`` of driving; ``trips_with_critical`` trips have a row below the CRITICAL threshold.
    ``held_out``: what was left out in turn for the observed figures: trips, or stretches of the only one.
    ``folds``: models that scored the trips which they were not fitted on, for a model fitted on all of them; None where
    the model itself scored trips it was not fitted on. ``interval_hours``: the intervals are for what so
    much new driving, or more, shows; None in records of before, whose intervals are for the mean of such trips.
    ``scores_sha256``: of the valid rows' scores, float64 little-endian. The units of ``curve`` are WARNING's.
    """

    trips: int
    hours: float
    rows: int
    warning: LevelCalibration
    critical: LevelCalibration
    trips_with_critical: int
    held_out: HeldOut
    scores_sha256: str
    curve: CalibrationCurve
    folds: int | None = None
    interval_hours: float | None = None
    version: int = RECORD_VERSION

    def __post_init__(self) -> None:
        if self.critical.threshold > self.warning.threshold:
            raise ArtifactError("the calibrated CRITICAL threshold lies above the WARNING one: lower is more severe")
        if self.trips_with_critical > self.trips:
            raise ArtifactError("more trips with CRITICAL rows than trips were calibrated on")
        if self.interval_hours is not None and not self.interval_hours > 0.0:
            raise ArtifactError(
                f"a calibration's intervals must be for some hours of driving, not {self.interval_hours}"
            )

    @property
    def intervals(self) -> str:
        """What the 95 % intervals are for, in words."""
        if self.interval_hours is None:
            return (
                f"95 % intervals for the mean of trips like the {self.trips} calibrated on; new driving varies more by "
                "itself."
            )
        said = (
            f"95 % intervals for what {self.interval_hours:.3g} h or more of new driving show, if it is like the "
            f"{self.trips} trips calibrated on."
        )
        if self.folds is None:
            return said
        return (
            f"{said} Each trip was scored by a model fitted on fewer trips, which flags more than the final one: so "
            "they begin at 0."
        )

    @property
    def trip_bound(self) -> float:
        """(k + 1)/(n + 1): how likely a new trip has any CRITICAL row, k of n calibration trips having one.

        Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World" (2005). A bound for a k named beforehand;
        read off afterwards, it holds on average only.
        """
        return (self.trips_with_critical + 1) / (self.trips + 1)


def calibration_document(record: CalibrationRecord) -> dict[str, Any]:
    """The record as a JSON object."""
    document = {
        "version": record.version,
        "trips": record.trips,
        "hours": record.hours,
        "rows": record.rows,
        "warning": _level_document(record.warning),
        "critical": _level_document(record.critical),
        "trips_with_critical": record.trips_with_critical,
        "held_out": record.held_out,
        "scores_sha256": record.scores_sha256,
        "folds": record.folds,
        "curve": {name: list(getattr(record.curve, name)) for name in CalibrationCurve.__slots__},
    }
    return document if record.interval_hours is None else document | {"interval_hours": record.interval_hours}


def calibration_of(members: Members) -> CalibrationRecord:
    """The record of a JSON object.

    Raises ``IncompatibleModelError`` for a newer version, else ``ArtifactError`` naming what is wrong.
    """
    version = members.integer("version", lowest=1)
    if version > RECORD_VERSION:
        raise IncompatibleModelError(
            f"the calibration has version {version}, this runtime reads up to {RECORD_VERSION}: update ev-qa-runtime"
        )
    curve = members.section("curve")
    return CalibrationRecord(
        trips=members.integer("trips", lowest=1),
        hours=members.number("hours"),
        rows=members.integer("rows", lowest=1),
        warning=_level(members.section("warning")),
        critical=_level(members.section("critical")),
        trips_with_critical=members.integer("trips_with_critical"),
        held_out=members.choice("held_out", HELD_OUT),
        scores_sha256=members.digest("scores_sha256"),
        curve=CalibrationCurve(*(curve.numbers(name) for name in CalibrationCurve.__slots__)),
        folds=None if members.any("folds") is None else members.integer("folds", lowest=2),
        interval_hours=members.number("interval_hours") if "interval_hours" in members.members else None,
        version=version,
    )


def _level_document(level: LevelCalibration) -> dict[str, Any]:
    document = {name: getattr(level, name) for name in LevelCalibration.__slots__}
    for name in ("observed_rate", "false_alarms_per_100h"):
        figure = document[name]
        document[name] = [figure.estimate, figure.low, figure.high]
    return document


def _level(section: Members) -> LevelCalibration:
    return LevelCalibration(
        threshold=section.number("threshold"),
        rate=section.number("rate"),
        bound=section.number("bound"),
        unit=section.choice("unit", UNITS),
        unit_seconds=None if section.any("unit_seconds") is None else section.number("unit_seconds"),
        units=section.integer("units", lowest=1),
        flag_seconds=section.number("flag_seconds"),
        observed_rate=_figure(section, "observed_rate"),
        alarms=section.integer("alarms"),
        false_alarms_per_100h=_figure(section, "false_alarms_per_100h"),
    )


def _figure(section: Members, key: str) -> Figure:
    numbers = section.numbers(key)
    if len(numbers) != 3:
        raise ArtifactError(f"sidecar: {key} must hold an estimate and the two ends of its interval")
    return Figure(*numbers)
