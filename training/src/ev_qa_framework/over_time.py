"""Training a model over time: everything beside its forest, fitted on healthy telemetry of one kind of vehicle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_framework.calibration import calibrate_scores
from ev_qa_framework.drift_baseline import fit_drift_baseline
from ev_qa_framework.physics_fitting import fit_recipe
from ev_qa_framework.quality_rule import fit_quality_rule
from ev_qa_framework.trips import split_trips
from ev_qa_runtime.calibration_record import CalibrationRecord
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.events import EventRule
from ev_qa_runtime.fleet_monitor import FleetMonitor, settled
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.physics.recipe import CELL_SIGNALS, NEEDED_SIGNALS, OPTIONAL_SIGNALS
from ev_qa_runtime.reading_quality import ReadingQuality
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import SignalTable, read_signals

FEWEST_TRIPS = 8
"""With fewer trips thresholds stay as they were given until ``calibrate`` is called."""

Scorer = Callable[[MonitoredTelemetry], FloatArray]
"""Scores of features, float64 [N]."""

_PRESENT_SHARE = 0.99
_UNORDERED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Prepared:
    """Telemetry over time, read for fitting. ``trips`` int64 [N]."""

    table: SignalTable
    trips: IntArray

    @property
    def trip_count(self) -> int:
        """How many trips there are."""
        return int(self.trips.max()) + 1 if len(self.trips) else 0

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Prepared:
        """Only the chosen rows, bool [N]."""
        table = self.table
        part = replace(table, time=table.time[chosen], values=table.values[chosen], vehicle=table.vehicle[chosen])
        return Prepared(part, self.trips[chosen])


def prepare(data: Any, current_sign: CurrentSign) -> Prepared:
    """Read the signals of healthy telemetry; cells and probes where nearly every row has them.

    Raises ``TelemetryError`` for a column that is missing or cannot be read, and where the data say that the current's
    sign is not the one given.
    """
    table = read_signals(data, NEEDED_SIGNALS, current_sign, optional=OPTIONAL_SIGNALS)
    _check_order(table)
    if (contradiction := table.wrong_sign()) is not None:
        raise TelemetryError(contradiction)
    present = {name for name in table.names if np.isfinite(table.column(name)).mean() >= _PRESENT_SHARE}
    if not set(CELL_SIGNALS) <= present:
        present -= set(CELL_SIGNALS)
    names = tuple(name for name in table.names if name in present or name in NEEDED_SIGNALS)
    table = read_signals(table, names, current_sign)
    return Prepared(table, split_trips(table.time, table.vehicle, trip_column(data, len(table))))


def _check_order(table: SignalTable) -> None:
    """Shuffled rows would pass for as many trips, and promise what nobody measured."""
    for vehicle in range(len(table.vehicles)):
        steps = np.diff(table.time[table.rows_of(vehicle)])
        if np.count_nonzero(steps < 0.0) > _UNORDERED_SHARE * len(steps):
            raise TelemetryError("the rows are not in the order of time: sort them by vehicle, trip and time")


def trip_column(data: Any, rows: int) -> npt.NDArray[Any] | None:
    """The column ``trip`` of a table, where it has one."""
    try:
        column = np.asarray(data["trip"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return column if column.shape == (rows,) else None


def fit_monitoring(prepared: Prepared, limits: Limits | None) -> Monitoring:
    """Quality rule and recipe of healthy telemetry; no calibration yet."""
    table = prepared.table
    quality = fit_quality_rule(table)
    usable = np.zeros(len(table), dtype=np.bool_)
    times, values = table.time.tolist(), table.values.tolist()
    for vehicle in range(len(table.vehicles)):
        judge = ReadingQuality(quality, table.names)
        for row in table.rows_of(vehicle).tolist():
            findings = judge.step(times[row], values[row])
            usable[row] = not any(finding.unusable for finding in findings)
    return Monitoring(fit_recipe(table, usable), quality, EventRule(), limits)


def read_over_time(prepared: Prepared, monitoring: Monitoring) -> MonitoredTelemetry:
    """The features of prepared telemetry, current discharge_positive by then."""
    return FleetMonitor(monitoring).read(prepared.table)


def prepare_for(data: Any, monitoring: Monitoring, current_sign: CurrentSign) -> Prepared:
    """Read the signals of a fitted recipe. Raises ``TelemetryError`` as :func:`prepare` does."""
    table = read_signals(data, monitoring.recipe.signals, settled(current_sign))
    _check_order(table)
    if (contradiction := table.wrong_sign()) is not None:
        raise TelemetryError(contradiction)
    return Prepared(table, split_trips(table.time, table.vehicle, trip_column(data, len(table))))


def calibrated(
    monitoring: Monitoring, prepared: Prepared, scores_of: Scorer, warning_rate: float, critical_rate: float | None
) -> tuple[Monitoring, CalibrationRecord]:
    """``monitoring`` with the calibration, and the calibration, of healthy trips that nothing was fitted on.

    Raises ``ConfigurationError`` for rates that the data do not support.
    """
    telemetry = read_over_time(prepared, monitoring)
    record = calibrate_scores(
        scores_of(telemetry),
        prepared.trips,
        telemetry.time,
        warning_rate=warning_rate,
        critical_rate=critical_rate,
        valid=telemetry.valid,
    )
    return replace(monitoring, calibration=record), record


def cross_calibrated(
    monitoring: Monitoring, prepared: Prepared, fit: Callable[[MonitoredTelemetry], Scorer], folds: int
) -> tuple[Monitoring, CalibrationRecord]:
    """The same on the very trips that ``monitoring`` was fitted on: each is scored by a model fitted on the others.

    Cross-conformal calibration (Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence
    74, 2015): ``folds`` models, each without every so-manieth trip. ``fit`` fits a forest. Raises as above.
    """
    table = prepared.table
    scores = np.full(len(table), np.nan)
    valid = np.zeros(len(table), dtype=np.bool_)
    for fold in range(folds):
        left_out = prepared.trips % folds == fold
        others = prepared.rows(~left_out)
        fold_monitoring = fit_monitoring(others, None)
        scores_of = fit(read_over_time(others, fold_monitoring))
        telemetry = read_over_time(prepared.rows(left_out), fold_monitoring)
        scores[left_out] = scores_of(telemetry)
        valid[left_out] = telemetry.valid
    record = replace(calibrate_scores(scores, prepared.trips, table.time, valid=valid), folds=folds)
    return replace(monitoring, calibration=record), record


def with_drift_baseline(monitoring: Monitoring, telemetry: MonitoredTelemetry, scores: FloatArray) -> Monitoring:
    """``monitoring`` with histograms of what the forest was fitted on."""
    rows = telemetry.valid
    trips = split_trips(telemetry.time[rows], telemetry.vehicle[rows])
    steps = np.diff(telemetry.time[rows])
    row_s = float(np.median(steps[steps > 0.0])) if np.any(steps > 0.0) else None
    drift = fit_drift_baseline(telemetry.values[rows], scores[rows], telemetry.names, trips, row_s)
    return replace(monitoring, drift=drift)
