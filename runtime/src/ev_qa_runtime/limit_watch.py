"""Telemetry judged without a model: by the quality of its readings and by physical limits, in chunks of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.event_tracker import EventTracker
from ev_qa_runtime.events import Event, EventRule
from ev_qa_runtime.limit_monitor import GAP_S, LimitMonitor
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry, MonitoredVerdicts
from ev_qa_runtime.physics.recipe import NEEDED_SIGNALS, OPTIONAL_SIGNALS
from ev_qa_runtime.reading_quality import Finding, QualityRule, ReadingQuality
from ev_qa_runtime.signal_names import TIME
from ev_qa_runtime.signals import SignalTable, read_signals
from ev_qa_runtime.vehicle_monitor import Reading, Watched

_MADE_OF = {
    "cell_voltage": ("cell_voltage_max", "cell_voltage_min"),
    "cell_spread": ("cell_voltage_max", "cell_voltage_min"),
    "probe_spread": ("temp", "temp_min"),
    "temp_rate": ("temp",),
    "c_rate": (),
}
ONLY_PRESENT = QualityRule((), GAP_S)
"""The quality rule that knows no signal: readings are missing, not finite, or there."""


@dataclass(frozen=True, slots=True)
class LimitVerdicts(MonitoredVerdicts):
    """Verdicts of limits and quality alone: there are no features and no scores (NaN).

    A row with a signal that cannot be used is INVALID, unless limits force more. ``label`` is −1 for INVALID rows and
    for those above INFO.
    """

    def summary(self) -> dict[str, Any]:
        """The guide's result dictionary, plain JSON types; without a lowest score."""
        plain = MonitoredVerdicts.summary(self)
        return plain | {"lowest_score": None, "lowest_score_row": None}


def limited_signals(limits: Limits) -> tuple[str, ...]:
    """The signals that any of the limits is watched on, in the order of the limits."""
    needed: list[str] = []
    for limit in limits.limits:
        needed += _MADE_OF.get(limit.signal, (limit.signal,))
        if limit.signal == "cell_voltage" and limits.cells_in_series is not None:
            needed.append("voltage")
        if limit.signal == "c_rate" and limits.capacity_ah is not None:
            needed.append("current")
    return tuple(dict.fromkeys(needed))


def _worth_reading(limits: Limits) -> tuple[str, ...]:
    """What is limited, and everything else but the current, which needs a sign."""
    others = (name for name in (*NEEDED_SIGNALS, *OPTIONAL_SIGNALS) if name != "current")
    return tuple(dict.fromkeys((*limited_signals(limits), *others)))


def read_limited(data: Any, limits: Limits, current_sign: CurrentSign) -> SignalTable:
    """The signals of a table that the limits need, as far as it has them, and others whose sensors can be seen to fail.

    Raises ``TelemetryError`` as :func:`~ev_qa_runtime.signals.read_signals` does, and where no limit can be watched.
    """
    explicit = current_sign != "unspecified"
    table = None if explicit else _read_of_any_sign(data, limits)
    if table is None:
        table = read_signals(data, (), current_sign, optional=_worth_reading(limits), explicit_sign=explicit)
    if not limits.limits or len(unwatched_limits(limits, table.names)) == len({one.signal for one in limits.limits}):
        wanted = ", ".join(limited_signals(limits)) or "cells_in_series or capacity_ah in the limits"
        raise TelemetryError(f"none of the limits can be watched here: they need one of {wanted}")
    return table


def _read_of_any_sign(data: Any, limits: Limits) -> SignalTable | None:
    """The table as if discharging were positive, where its current reaches no limit either way; else None."""
    table = read_signals(data, (), "discharge_positive", optional=_worth_reading(limits))
    if "current" not in table.names:
        return table
    largest = float(np.nanmax(np.abs(table.column("current")), initial=0.0))
    scales = {"current": 1.0, "c_rate": limits.capacity_ah or math.inf}
    bounds = [
        abs(bound) * scales[limit.signal]
        for limit in limits.limits
        if limit.signal in scales
        for bound in (limit.warning, limit.critical)
        if bound is not None
    ]
    return table if all(largest < bound for bound in bounds) else None


def unwatched_limits(limits: Limits, signals: tuple[str, ...]) -> tuple[str, ...]:
    """What is limited, but cannot be watched on these signals."""
    return LimitMonitor(limits, signals).unwatched


class LimitWatch:
    """Readings of any number of vehicles, chunk by chunk, without a model: each vehicle's go on where they ended.

    ``signals`` are those of the tables; ``quality`` says when a reading cannot be used. Not for several threads at
    once.
    """

    def __init__(
        self,
        limits: Limits,
        signals: tuple[str, ...],
        *,
        quality: QualityRule = ONLY_PRESENT,
        events: EventRule | None = None,
    ) -> None:
        self.signals = signals
        self.unwatched = unwatched_limits(limits, signals)
        self._limits, self._quality = limits, quality
        self._needed = frozenset(limited_signals(limits)) | {TIME}
        self._events = EventRule() if events is None else events
        self._vehicles: dict[str, _Vehicle] = {}
        self._rows = 0

    def verdicts(self, table: SignalTable, *, last: bool = False) -> LimitVerdicts:
        """Judge the next readings; ``last`` ends every vehicle's open event. ``TelemetryError`` for other signals."""
        if table.names != self.signals:
            raise TelemetryError(f"the limits watch {', '.join(self.signals)}, this table has {', '.join(table.names)}")
        monitors = [self._vehicle(name) for name in table.vehicles]
        valid = np.ones(len(table), dtype=np.bool_)
        severity = np.zeros(len(table), dtype=np.int64)
        watched: dict[int, Watched] = {}
        events: list[Event] = []
        rows = zip(table.vehicle.tolist(), table.time.tolist(), table.values.tolist(), strict=True)
        for row, (vehicle, time, reading) in enumerate(rows):
            seen, event = monitors[vehicle].step(time, reading, self._rows + row)
            if seen is not None:
                watched[row] = seen
                valid[row] = seen.reading.features is not None
                severity[row] = seen.forced
            if event is not None and not event.open:
                events.append(event)
        self._rows += len(table)
        for monitor in self._vehicles.values() if last else monitors:
            open_event = monitor.events.finish() if last else monitor.events.open_event
            events += [] if open_event is None else [open_event]
        telemetry = MonitoredTelemetry(
            (), np.empty((len(table), 0)), valid, table.time, table.vehicles, table.vehicle, watched, table.wrong_sign()
        )
        scores = np.full(len(table), np.nan)
        label = np.where(severity == 0, np.int64(1), np.int64(-1))
        return LimitVerdicts(telemetry, scores, label, severity, tuple(events))

    def _vehicle(self, name: str) -> _Vehicle:
        if name not in self._vehicles:
            limits = LimitMonitor(self._limits, self.signals)
            quality = ReadingQuality(self._quality, self.signals)
            self._vehicles[name] = _Vehicle(quality, limits, EventTracker(self._events, name), self._needed)
        return self._vehicles[name]


@dataclass(frozen=True, slots=True)
class _Vehicle:
    quality: ReadingQuality
    limits: LimitMonitor
    events: EventTracker
    needed: frozenset[str]

    def step(self, time: float, reading: list[float], row: int) -> tuple[Watched | None, Event | None]:
        """What there is to say of a reading, and the event that it begins or ends."""
        findings = self._of_interest(self.quality.step(time, reading))
        unusable = {finding.signal for finding in findings if finding.unusable}
        usable = reading
        if unusable:
            pairs = zip(self.quality.signals, reading, strict=True)
            usable = [math.nan if name in unusable else value for name, value in pairs]
        breaches = self.limits.step(time, usable)
        if not findings and not breaches:
            return None, self.events.step(time, 0, math.nan, (), row)
        watched = Watched(reading=Reading(findings, usable, None if unusable else ()), breaches=breaches)
        code = watched.forced
        reasons = watched.event_reasons() if code > 0 else ()
        return watched, self.events.step(time, code, math.nan, reasons, row)

    def _of_interest(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Without values that did not come and that no limit needs: many a log has columns that are seldom filled."""
        if not findings:
            return findings
        return tuple(one for one in findings if one.kind != "missing" or one.signal in self.needed)
