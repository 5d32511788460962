"""Training a model over time: everything beside its forest, fitted on healthy telemetry of one kind of vehicle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_framework.calibration import WARNING_RATE, calibrate_scores
from ev_qa_framework.drift_baseline import fit_drift_baseline
from ev_qa_framework.healthy_range import TripExtremes, fit_healthy_range, forced_by_range
from ev_qa_framework.held_out import Forced
from ev_qa_framework.physics_fitting import fit_recipe
from ev_qa_framework.quality_rule import fit_quality_rule
from ev_qa_framework.sampling_rates import fit_sampling, thinned_rows
from ev_qa_framework.trips import split_trips
from ev_qa_framework.unit_mistakes import refuse_unit_mistakes
from ev_qa_runtime.calibration_record import CalibrationRecord
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.events import EventRule
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.fleet_monitor import FleetMonitor, sign_of
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.physics.recipe import CELL_SIGNALS, NEEDED_SIGNALS, OPTIONAL_SIGNALS
from ev_qa_runtime.reading_quality import ReadingQuality
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import SignalTable, read_signals

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

    Raises ``TelemetryError`` for a column that is missing, cannot be read or is in another unit, and where the data or
    a column's name say that the current's sign is not the one given.
    """
    of_any_sign = read_signals(data, NEEDED_SIGNALS, "discharge_positive", optional=OPTIONAL_SIGNALS)
    _check_order(of_any_sign)  # before the sign: in other units or another order the data do not tell it
    refuse_unit_mistakes(data, of_any_sign)
    explicit = current_sign != "unspecified"
    table = read_signals(data, NEEDED_SIGNALS, current_sign, optional=OPTIONAL_SIGNALS, explicit_sign=explicit)
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


def read_for_forest(prepared: Prepared, monitoring: Monitoring) -> Telemetry:
    """What a forest over time is fitted on: the features of the trips, and of the same trips at lower rates.

    Noise, steps and stillness depend on the rate. A forest that has also seen some readings at lower ones judges those
    better, and rare healthy readings too; thresholds and statistics are of the trips as they are.
    """
    parts = [read_over_time(prepared, monitoring)]
    parts += [read_over_time(prepared.rows(rows), monitoring) for rows in thinned_rows(prepared.table, prepared.trips)]
    values, valid = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "valid"))
    return Telemetry(parts[0].names, values, valid)


def prepare_for(data: Any, monitoring: Monitoring, of_model: CurrentSign, given: CurrentSign | None = None) -> Prepared:
    """Read the signals of a fitted recipe; the current's sign is ``given``, or the model's.

    Raises ``TelemetryError`` as :func:`prepare` does.
    """
    sign, explicit = sign_of(of_model, given)
    table = read_signals(data, monitoring.recipe.signals, sign, explicit_sign=explicit)
    _check_order(table)
    refuse_unit_mistakes(data, table)
    if (contradiction := table.wrong_sign()) is not None:
        raise TelemetryError(contradiction)
    return Prepared(table, split_trips(table.time, table.vehicle, trip_column(data, len(table))))


@dataclass(frozen=True, slots=True)
class Judged:
    """Healthy trips under models that were not fitted on them.

    ``scores`` float64 [N] and ``values`` float64 [N, F], the features, NaN where there are none; ``forced``: what
    limits and findings make of the rows. ``folds`` None where one model judged them all.
    """

    prepared: Prepared
    scores: FloatArray
    values: FloatArray
    forced: Forced
    folds: int | None = None


def judged(monitoring: Monitoring, prepared: Prepared, scores_of: Scorer) -> Judged:
    """Trips that ``monitoring`` and its forest were not fitted on."""
    telemetry = read_over_time(prepared, replace(monitoring, healthy_range=None))
    scores = np.where(telemetry.valid, scores_of(telemetry), np.nan)
    codes = np.zeros(len(scores), dtype=np.int64)
    for row, watched in telemetry.watched.items():
        codes[row] = watched.forced
    return Judged(prepared, scores, telemetry.values, Forced(codes > 0, codes > 1))


def cross_judged(prepared: Prepared, fit: Callable[[Telemetry], Scorer], folds: int, limits: Limits | None) -> Judged:
    """The trips of the fit itself, each under a model that was fitted on the others; ``fit`` fits a forest.

    Cross-conformal calibration (Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence
    74, 2015): ``folds`` models, each without every so-manieth trip.
    """
    rows = len(prepared.table)
    scores, values, forced = np.full(rows, np.nan), [], Forced.none(rows)
    for fold in range(folds):
        left_out = prepared.trips % folds == fold
        others = prepared.rows(~left_out)
        monitoring = fit_monitoring(others, limits)
        one = judged(monitoring, prepared.rows(left_out), fit(read_for_forest(others, monitoring)))
        scores[left_out] = one.scores
        forced.warning[left_out], forced.critical[left_out] = one.forced.warning, one.forced.critical
        values.append((left_out, one.values))
    of_all = np.full((rows, values[0][1].shape[1]), np.nan)
    for left_out, of_some in values:
        of_all[left_out] = of_some
    return Judged(prepared, scores, of_all, forced, folds)


def with_healthy_range(monitoring: Monitoring, trips: Judged) -> Monitoring:
    """``monitoring`` with the range of these trips, and of those known before; unchanged for too few."""
    healthy = fit_healthy_range(_extremes(monitoring, trips), monitoring.healthy_range)
    return replace(monitoring, healthy_range=healthy)


def calibration(
    monitoring: Monitoring, trips: Judged, warning_rate: float = WARNING_RATE, critical_rate: float | None = None
) -> CalibrationRecord:
    """The calibration of healthy trips that nothing in ``monitoring`` was fitted on, its healthy range included.

    What limits, findings and the healthy range force counts in the rates that are stated. Raises
    ``ConfigurationError`` for rates that the data do not support.
    """
    table, of_row = trips.prepared.table, trips.prepared.trips
    by_range = forced_by_range(
        _extremes(monitoring, trips),
        trips.values,
        of_row,
        table.values,
        monitoring.recipe,
        monitoring.healthy_range,
    )
    forced = Forced(trips.forced.warning | by_range.warning, trips.forced.critical | by_range.critical)
    return calibrate_scores(
        trips.scores,
        of_row,
        table.time,
        warning_rate=warning_rate,
        critical_rate=critical_rate,
        forced=forced,
        folds=trips.folds,
    )


def _extremes(monitoring: Monitoring, trips: Judged) -> TripExtremes:
    prepared = trips.prepared
    return TripExtremes.of(trips.values, prepared.trips, prepared.table.values, monitoring.recipe)


def with_sampling(monitoring: Monitoring, prepared: Prepared) -> Monitoring:
    """``monitoring`` with how these trips were sampled."""
    return replace(monitoring, sampling=fit_sampling(prepared.table, prepared.trips, monitoring.quality))


def with_drift_baseline(monitoring: Monitoring, telemetry: MonitoredTelemetry, scores: FloatArray) -> Monitoring:
    """``monitoring`` with histograms of what the forest was fitted on."""
    rows = telemetry.valid
    trips = split_trips(telemetry.time[rows], telemetry.vehicle[rows])
    steps = np.diff(telemetry.time[rows])
    row_s = float(np.median(steps[steps > 0.0])) if np.any(steps > 0.0) else None
    drift = fit_drift_baseline(telemetry.values[rows], scores[rows], telemetry.names, trips, row_s)
    return replace(monitoring, drift=drift)
