"""Severity thresholds from the scores of healthy trips, with what they promise.

The bound is :mod:`ev_qa_framework.conformal`'s. Its units are whole trips where there are enough, else blocks of time
cut out of trips; never single rows, since neighbours say the same.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ev_qa_framework.autocorrelation import autocorrelation_rows
from ev_qa_framework.clustered_intervals import clustered_frequency, clustered_rate
from ev_qa_framework.conformal import UnitLosses, units_needed
from ev_qa_runtime.calibration_record import CalibrationCurve, CalibrationRecord, HeldOut, LevelCalibration, Unit
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.severity import FloatArray, IntArray

WARNING_RATE = 0.005
CRITICAL_RATE = 0.0005
"""Without a rate asked for, CRITICAL gets this, or the lowest rate that the data support where that is higher."""

BLOCK_SECONDS = (1800.0, 600.0, 300.0, 120.0, 60.0, 30.0, 10.0)
SPARE = 2.0
"""The longest blocks that give this many times the units needed are taken: with just enough, the whole rate would go
into the bound, and the threshold below every score seen."""

ALARM_GAP_S = 60.0
"""Flagged rows of a trip that are closer are one alarm."""

FOLDS = 100
"""At most so many thresholds are worked out with trips left out; more trips are left out several at a time."""
STRETCHES = 10
"""Parts of an only trip that are left out in turn."""
CURVE_POINTS = 60
_LARGEST_CURVE_RATE = 0.25
_FEWEST_FLAGGED = 25

BoolArray = npt.NDArray[np.bool_]


def calibrate_scores(
    scores: FloatArray,
    trips: IntArray,
    time: FloatArray,
    *,
    warning_rate: float = WARNING_RATE,
    critical_rate: float | None = None,
    valid: BoolArray | None = None,
) -> CalibrationRecord:
    """Thresholds that flag at most these shares of a new unit's rows in expectation, and figures of what they do.

    ``scores`` float64 [N] of healthy rows that the model was not trained on, lower is more anomalous; ``trips`` int64
    [N]; ``time`` float64 [N] in seconds; ``valid`` bool [N], rows that count (default: those with a score).
    ``critical_rate`` None: 0.0005, or the lowest rate that the data support where that is higher.

    Raises ``ConfigurationError`` for a rate that is none or that the data do not support, ``TelemetryError`` where
    there is nothing to calibrate on.
    """
    _check_rates(warning_rate, critical_rate)
    drives = _Drives.of(scores, trips, time, valid)
    warning = _units_for(drives, warning_rate, "warning_rate")
    if critical_rate is None:
        critical_rate = _default_critical_rate(drives, warning_rate)
    critical = _units_for(drives, critical_rate, "critical_rate")
    at_warning = warning.losses.threshold(warning_rate)
    at_critical = min(critical.losses.threshold(critical_rate), at_warning)
    parts, held_out = _parts(drives)
    below_warning = _below_held_out(drives, warning, warning_rate, parts)
    below_critical = _below_held_out(drives, critical, critical_rate, parts) & below_warning
    flagged = drives.scores < at_critical
    return CalibrationRecord(
        trips=drives.count,
        hours=drives.seconds / 3600.0,
        rows=len(drives.scores),
        warning=_level(drives, warning, warning_rate, at_warning, below_warning, parts),
        critical=_level(drives, critical, critical_rate, at_critical, below_critical, parts),
        trips_with_critical=len(np.unique(drives.trip[flagged])),
        held_out=held_out,
        scores_sha256=hashlib.sha256(np.ascontiguousarray(drives.as_given, dtype="<f8").tobytes()).hexdigest(),
        curve=_curve(warning.losses),
    )


def _check_rates(warning_rate: float, critical_rate: float | None) -> None:
    for name, rate in (("warning_rate", warning_rate), ("critical_rate", critical_rate)):
        if rate is not None and not 0.0 < rate < 1.0:
            raise ConfigurationError(f"{name} must lie between 0 and 1, not be {rate}")
    if critical_rate is not None and critical_rate > warning_rate:
        raise ConfigurationError(f"critical_rate {critical_rate} is above warning_rate {warning_rate}: lower it")


@dataclass(frozen=True, slots=True)
class _Drives:
    """The valid rows by trip and time: ``scores``, ``time`` float64 [N], ``trip`` int64 [N], 0 … ``count`` − 1.

    ``begins``, ``lasts``: seconds of each trip; a row lasts ``step`` seconds. ``as_given``: scores in their old order.
    """

    scores: FloatArray
    time: FloatArray
    trip: IntArray
    begins: FloatArray
    lasts: FloatArray
    step: float
    as_given: FloatArray

    @property
    def count(self) -> int:
        return len(self.lasts)

    @property
    def seconds(self) -> float:
        return float(np.sort(self.lasts).sum())

    @classmethod
    def of(cls, scores: FloatArray, trips: IntArray, time: FloatArray, valid: BoolArray | None) -> _Drives:
        rows = len(scores)
        if not len(trips) == len(time) == rows == (rows if valid is None else len(valid)):
            raise TelemetryError("scores, trips, time and valid must have one value for each row")
        usable = np.isfinite(scores) & np.isfinite(time)
        usable &= True if valid is None else valid
        if not usable.any():
            raise TelemetryError(f"none of {rows} rows has a score and a time: nothing to calibrate on")
        as_given = np.asarray(scores, dtype=np.float64)[usable]
        _, trip = np.unique(np.asarray(trips)[usable], return_inverse=True)
        time = np.asarray(time, dtype=np.float64)[usable]
        order = np.lexsort((time, trip))
        trip, time = trip[order].astype(np.int64), time[order]
        steps = np.diff(time)[np.diff(trip) == 0]
        steps = steps[steps > 0.0]
        if not len(steps):
            raise TelemetryError("the time does not advance within any trip: calibration needs seconds")
        step = float(np.median(steps))
        first = np.flatnonzero(np.diff(trip, prepend=-1))
        last = np.append(first[1:], len(trip)) - 1
        return cls(as_given[order], time, trip, time[first], time[last] - time[first] + step, step, as_given)


@dataclass(frozen=True, slots=True)
class _Units:
    """A way to cut the drives into units, and their losses."""

    kind: Unit
    seconds: float | None
    flag_seconds: float
    losses: UnitLosses


def _units_for(drives: _Drives, rate: float, name: str) -> _Units:
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


def _not_supported(drives: _Drives, rate: float, name: str, flag_seconds: float) -> str:
    needed = units_needed(rate)
    seconds = min(_block_seconds(flag_seconds), default=None)
    hours = "" if seconds is None else f" or {_upwards(needed * seconds / 3600.0, 10)} h in blocks of {seconds:g} s"
    return (
        f"{name} {rate:g} needs {needed} trips{hours}, there are {drives.count} trips with {drives.seconds / 3600:.3g} "
        f"h: give more healthy telemetry, or a rate of at least {_upwards(_lowest_rate(drives, rate), 1e6):g}"
    )


def _upwards(number: float, parts: float) -> float:
    return math.ceil(number * parts * (1.0 - 1e-12)) / parts


def _lowest_rate(drives: _Drives, rate: float) -> float:
    """The lowest rate that any unit supports."""
    most = max(
        (len(np.unique(_blocks(drives, each))) for each in _block_seconds(_flag_seconds(drives, rate))), default=0
    )
    return 1.0 / (max(most, drives.count) + 1)


def _default_critical_rate(drives: _Drives, warning_rate: float) -> float:
    return min(max(CRITICAL_RATE, _lowest_rate(drives, CRITICAL_RATE)), warning_rate)


def _flag_seconds(drives: _Drives, rate: float) -> float:
    """Autocorrelation time of flagged rows, in seconds: of the lowest ``rate`` of all scores, or 25 rows if more.

    Not the score's own: a unit's loss holds nothing but flags, and the tail comes and goes faster than the score.
    """
    rows = len(drives.scores)
    place = min(max(math.ceil(rate * rows), _FEWEST_FLAGGED), rows) - 1
    flags = drives.scores <= np.partition(drives.scores, place)[place]
    return drives.step * autocorrelation_rows(flags.astype(np.float64), drives.trip)


def _block_seconds(flag_seconds: float) -> tuple[float, ...]:
    return tuple(seconds for seconds in BLOCK_SECONDS if seconds >= flag_seconds)


def _blocks(drives: _Drives, seconds: float) -> IntArray:
    """The block of every row: each trip in equal parts of at least ``seconds``; a shorter trip is one."""
    parts = np.maximum(np.floor(drives.lasts / seconds + 1e-9), 1.0)
    into = (drives.time - drives.begins[drives.trip]) / drives.lasts[drives.trip]
    part = np.minimum(np.floor(into * parts[drives.trip]), parts[drives.trip] - 1.0)
    offsets = np.cumsum(np.append(0.0, parts[:-1]))
    return np.asarray(offsets[drives.trip] + part, dtype=np.int64)


def _parts(drives: _Drives) -> tuple[IntArray, HeldOut]:
    """What is held out together, a number for every row: its trip, or a tenth of the only one."""
    if drives.count > 1:
        return drives.trip, "trips"
    into = (drives.time - drives.begins[0]) / drives.lasts[0]
    return np.minimum(np.floor(into * STRETCHES), STRETCHES - 1).astype(np.int64), "stretches"


def _below_held_out(drives: _Drives, units: _Units, rate: float, parts: IntArray) -> BoolArray:
    """Bool [N]: rows below the threshold that all units without rows of their own part give."""
    losses = units.losses
    count = int(parts.max()) + 1
    fold = parts * min(FOLDS, count) // count
    crossed = np.unique(fold[losses.order] * losses.units + losses.unit)  # units with rows in each fold
    firsts = np.searchsorted(crossed, np.arange(int(fold.max()) + 2) * losses.units)
    without = crossed % losses.units
    thresholds = [losses.threshold(rate, without[first:end]) for first, end in itertools.pairwise(firsts.tolist())]
    below: BoolArray = drives.scores < np.array(thresholds)[fold]
    return below


def _level(
    drives: _Drives, units: _Units, rate: float, threshold: float, below: BoolArray, parts: IntArray
) -> LevelCalibration:
    rows = np.bincount(parts)
    there = rows > 0
    hours = drives.lasts / 3600.0 if drives.count > 1 else rows[there] / len(parts) * drives.seconds / 3600.0
    flagged = np.bincount(parts, below).astype(np.int64)[there]
    alarms = _alarms(drives, below, parts)[there]
    return LevelCalibration(
        threshold=threshold,
        rate=rate,
        bound=units.losses.bound(threshold),
        unit=units.kind,
        unit_seconds=units.seconds,
        units=units.losses.units,
        flag_seconds=units.flag_seconds,
        observed_rate=clustered_rate(flagged, rows[there], max(units.flag_seconds / drives.step, 1.0)),
        alarms=int(alarms.sum()),
        false_alarms_per_100h=clustered_frequency(alarms, hours),
    )


def _alarms(drives: _Drives, flagged: BoolArray, parts: IntArray) -> IntArray:
    """How many alarms begin in each part: runs of flagged rows of a trip less than a minute apart."""
    rows = np.flatnonzero(flagged)
    time, trip = drives.time[rows], drives.trip[rows]
    begins = np.ones(len(rows), dtype=np.bool_)
    begins[1:] = (np.diff(trip) != 0) | (np.diff(time) >= ALARM_GAP_S)
    return np.bincount(parts[rows[begins]], minlength=int(parts.max()) + 1)


def _curve(losses: UnitLosses) -> CalibrationCurve:
    rates = np.geomspace(1.0 / (losses.units + 1), _LARGEST_CURVE_RATE, CURVE_POINTS)
    thresholds = sorted({losses.threshold(rate) for rate in rates.tolist()})
    return CalibrationCurve(
        thresholds=tuple(thresholds),
        shares=tuple(losses.loss(threshold) / losses.units for threshold in thresholds),
        bounds=tuple(losses.bound(threshold) for threshold in thresholds),
    )
