"""Severity thresholds from the scores of healthy trips, with what they promise.

The bound is :mod:`ev_qa_framework.conformal`'s. Its units are whole trips where there are enough, else blocks of time
cut out of trips; never single rows, since neighbours say the same.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from ev_qa_framework.autocorrelation import autocorrelation_rows
from ev_qa_framework.conformal import UnitLosses, units_needed
from ev_qa_framework.drives import BoolArray, Drives
from ev_qa_framework.held_out import NEW_SHARE, Forced, HeldOutFigures, HeldOutRows
from ev_qa_runtime.calibration_record import CalibrationCurve, CalibrationRecord, LevelCalibration, Unit
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.severity import FloatArray, IntArray

WARNING_RATE = 0.005
CRITICAL_RATE = 0.0005
"""Without a rate asked for, CRITICAL gets this, or the lowest rate that the data support where that is higher."""

BLOCK_SECONDS = (1800.0, 600.0, 300.0, 120.0, 60.0, 30.0, 10.0)
SPARE = 2.0
"""The longest blocks that give this many times the units needed are taken: with just enough, the whole rate would go
into the bound, and the threshold below every score seen."""

CURVE_POINTS = 60
_LARGEST_CURVE_RATE = 0.25
_FEWEST_FLAGGED = 25


def calibrate_scores(
    scores: FloatArray,
    trips: IntArray,
    time: FloatArray,
    *,
    warning_rate: float = WARNING_RATE,
    critical_rate: float | None = None,
    valid: BoolArray | None = None,
    forced: Forced | None = None,
    folds: int | None = None,
) -> CalibrationRecord:
    """Thresholds that flag at most these shares of a new unit's rows in expectation, and figures of what they do.

    ``scores`` float64 [N] of healthy rows that the model was not trained on, lower is more anomalous; ``trips`` int64
    [N]; ``time`` float64 [N] in seconds; ``valid`` bool [N], rows that count (default: those with a score).
    ``critical_rate`` None: 0.0005, or the lowest rate that the data support where that is higher. ``forced``: rows that
    are WARNING or CRITICAL whatever they score, with a score or without. They count in what is observed, and set no
    threshold, bound or curve. ``folds``: so many models, each fitted without some of the trips, scored those for a
    model that is fitted on all; None where the model itself gave the scores.

    Raises ``ConfigurationError`` for a rate that is none or that the data do not support, ``TelemetryError`` where
    there is nothing to calibrate on.
    """
    _check_rates(warning_rate, critical_rate)
    scored = _scored(scores, trips, time, valid)
    forced = Forced.none(len(scores)) if forced is None else forced
    forced.check(len(scores))
    drives = Drives.of(scores, trips, time, scored)
    warning = _units_for(drives, warning_rate, "warning_rate")
    if critical_rate is None:
        critical_rate = _default_critical_rate(drives, warning_rate)
    critical = _units_for(drives, critical_rate, "critical_rate")
    at_warning = warning.losses.threshold(warning_rate)
    at_critical = min(critical.losses.threshold(critical_rate), at_warning)
    counted = HeldOutRows.of(Drives.of(scores, trips, time, scored | forced.any), len(scores))
    below_warning = counted.below(drives, warning.losses, warning_rate)
    below_critical = counted.below(drives, critical.losses, critical_rate) & below_warning
    crossed = folds is not None
    seen_warning = counted.figures(below_warning | forced.any, warning.flag_seconds / drives.step, crossed=crossed)
    seen_critical = counted.figures(
        below_critical | forced.critical, critical.flag_seconds / drives.step, crossed=crossed
    )
    hours = counted.drives.seconds / 3600.0
    return CalibrationRecord(
        trips=counted.drives.count,
        hours=hours,
        rows=len(counted.drives.scores),
        warning=_level(seen_warning, warning, warning_rate, at_warning),
        critical=_level(seen_critical, critical, critical_rate, at_critical),
        trips_with_critical=counted.trips_with((scored & (scores < at_critical)) | forced.critical),
        held_out=counted.kind,
        scores_sha256=hashlib.sha256(np.ascontiguousarray(drives.as_given, dtype="<f8").tobytes()).hexdigest(),
        curve=_curve(warning.losses),
        folds=folds,
        interval_hours=NEW_SHARE * hours,
    )


def _scored(scores: FloatArray, trips: IntArray, time: FloatArray, valid: BoolArray | None) -> BoolArray:
    """Bool [N]: rows whose score counts."""
    rows = len(scores)
    if not len(trips) == len(time) == rows == (rows if valid is None else len(valid)):
        raise TelemetryError("scores, trips, time and valid must have one value for each row")
    finite: BoolArray = np.isfinite(scores)
    return finite if valid is None else finite & valid


def _check_rates(warning_rate: float, critical_rate: float | None) -> None:
    for name, rate in (("warning_rate", warning_rate), ("critical_rate", critical_rate)):
        if rate is not None and not 0.0 < rate < 1.0:
            raise ConfigurationError(f"{name} must lie between 0 and 1, not be {rate}")
    if critical_rate is not None and critical_rate > warning_rate:
        raise ConfigurationError(f"critical_rate {critical_rate} is above warning_rate {warning_rate}: lower it")


@dataclass(frozen=True, slots=True)
class _Units:
    """A way to cut the drives into units, and their losses."""

    kind: Unit
    seconds: float | None
    flag_seconds: float
    losses: UnitLosses


def _units_for(drives: Drives, rate: float, name: str) -> _Units:
    """The longest units that support ``rate``: trips, else blocks; ``ConfigurationError`` where none do."""
    needed = units_needed(rate)
    flag_seconds = _flag_seconds(drives, rate)
    if drives.count >= needed:
        return _Units("trip", None, flag_seconds, UnitLosses.of(drives.scores, drives.trip))
    blocks = {seconds: _blocks(drives, seconds) for seconds in _block_seconds(flag_seconds)}
    for wanted in (SPARE * (needed + 1) - 1, needed):
        for seconds, unit in blocks.items():
            if len(np.unique(unit)) >= wanted:
                return _Units("block", seconds, flag_seconds, UnitLosses.of(drives.scores, unit))
    raise ConfigurationError(_not_supported(drives, rate, name, flag_seconds))


def _not_supported(drives: Drives, rate: float, name: str, flag_seconds: float) -> str:
    needed = units_needed(rate)
    seconds = min(_block_seconds(flag_seconds), default=None)
    hours = "" if seconds is None else f" or {_upwards(needed * seconds / 3600.0, 10)} h in blocks of {seconds:g} s"
    return (
        f"{name} {rate:g} needs {needed} trips{hours}, there are {drives.count} trips with {drives.seconds / 3600:.3g} "
        f"h: give more healthy telemetry, or a rate of at least {_upwards(_lowest_rate(drives, rate), 1e6):g}"
    )


def _upwards(number: float, parts: float) -> float:
    return math.ceil(number * parts * (1.0 - 1e-12)) / parts


def _lowest_rate(drives: Drives, rate: float) -> float:
    """The lowest rate that any unit supports."""
    most = max(
        (len(np.unique(_blocks(drives, each))) for each in _block_seconds(_flag_seconds(drives, rate))), default=0
    )
    return 1.0 / (max(most, drives.count) + 1)


def _default_critical_rate(drives: Drives, warning_rate: float) -> float:
    return min(max(CRITICAL_RATE, _lowest_rate(drives, CRITICAL_RATE)), warning_rate)


def _flag_seconds(drives: Drives, rate: float) -> float:
    """Autocorrelation time of flagged rows, in seconds: of the lowest ``rate`` of all scores, or 25 rows if more.

    Not the score's own: a unit's loss holds nothing but flags, and the tail comes and goes faster than the score.
    """
    rows = len(drives.scores)
    place = min(max(math.ceil(rate * rows), _FEWEST_FLAGGED), rows) - 1
    flags = drives.scores <= np.partition(drives.scores, place)[place]
    return drives.step * autocorrelation_rows(flags.astype(np.float64), drives.trip)


def _block_seconds(flag_seconds: float) -> tuple[float, ...]:
    return tuple(seconds for seconds in BLOCK_SECONDS if seconds >= flag_seconds)


def _blocks(drives: Drives, seconds: float) -> IntArray:
    """The block of every row: each trip in equal parts of at least ``seconds``; a shorter trip is one."""
    parts = np.maximum(np.floor(drives.lasts / seconds + 1e-9), 1.0)
    into = (drives.time - drives.begins[drives.trip]) / drives.lasts[drives.trip]
    part = np.minimum(np.floor(into * parts[drives.trip]), parts[drives.trip] - 1.0)
    offsets = np.cumsum(np.append(0.0, parts[:-1]))
    return np.asarray(offsets[drives.trip] + part, dtype=np.int64)


def _level(seen: HeldOutFigures, units: _Units, rate: float, threshold: float) -> LevelCalibration:
    return LevelCalibration(
        threshold=threshold,
        rate=rate,
        bound=units.losses.bound(threshold),
        unit=units.kind,
        unit_seconds=units.seconds,
        units=units.losses.units,
        flag_seconds=units.flag_seconds,
        observed_rate=seen.observed_rate,
        alarms=seen.alarms,
        false_alarms_per_100h=seen.false_alarms_per_100h,
    )


def _curve(losses: UnitLosses) -> CalibrationCurve:
    rates = np.geomspace(1.0 / (losses.units + 1), _LARGEST_CURVE_RATE, CURVE_POINTS)
    thresholds = sorted({losses.threshold(rate) for rate in rates.tolist()})
    return CalibrationCurve(
        thresholds=tuple(thresholds),
        shares=tuple(losses.loss(threshold) / losses.units for threshold in thresholds),
        bounds=tuple(losses.bound(threshold) for threshold in thresholds),
    )
