"""One recording with what a model says of it, judged in chunks so that progress can be shown."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ev_qa_framework.quality_rule import physical_quality_rule
from ev_qa_framework.registry.resolution import read_resolved
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.detector import Detector, load_model
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.events import Event
from ev_qa_runtime.fleet_monitor import FleetMonitor, sign_of
from ev_qa_runtime.limit_watch import LimitWatch, read_limited
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry, MonitoredVerdicts
from ev_qa_runtime.severity import SEVERITY_OF_CODE, IntArray, Severity
from ev_qa_runtime.signals import SignalTable, read_signals
from ev_qa_runtime.verdict import Verdicts

CHUNK_ROWS = 8192

Advance = Callable[[int], object]
"""Told how many more rows are done."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One recording and its verdicts. ``signals``: None where the model judges each reading alone."""

    source: str
    verdicts: Verdicts
    signals: SignalTable | None

    @property
    def events(self) -> tuple[Event, ...]:
        """In the order of vehicles and time; none where the model judges each reading alone."""
        if not isinstance(self.verdicts, MonitoredVerdicts) or self.signals is None:
            return ()
        order = {vehicle: number for number, vehicle in enumerate(self.signals.vehicles)}
        return tuple(sorted(self.verdicts.events, key=lambda event: (order[event.vehicle], event.start_row)))

    @property
    def remark(self) -> str | None:
        """What the data say against the sign of their current."""
        telemetry = self.verdicts.telemetry
        return telemetry.remark if isinstance(telemetry, MonitoredTelemetry) else None


@dataclass(frozen=True, slots=True)
class VehicleVerdicts:
    """One vehicle of a recording: numbers of rows by severity, its events, its time in seconds from and to."""

    vehicle: str
    rows: int
    invalid: int
    warning: int
    critical: int
    severity: Severity
    lowest_score: float | None
    span: tuple[float, float] | None
    events: tuple[Event, ...]


def load_detector(name: str | os.PathLike[str]) -> Detector:
    """The model at a path or reference, in any store, as the runtime loads it: nothing is unpickled."""
    return read_resolved(name, load_model)


def judge(
    detector: Detector,
    data: Any,
    source: str,
    advance: Advance = lambda _: None,
    current_sign: CurrentSign | None = None,
) -> Judged:
    """Judge every row of a table, whose current has ``current_sign``, or the model's.

    Raises ``TelemetryError`` beginning with ``source`` where columns are missing or cannot be read, or there are no
    rows. Data that speak against the current's sign are judged; :attr:`Judged.remark` says so.
    """
    try:
        judged = _judged(detector, data, source, advance, current_sign)
    except TelemetryError as error:
        named = f"{source}: {error}"
        raise TelemetryError(named) from None
    return judged


def _judged(detector: Detector, data: Any, source: str, advance: Advance, current_sign: CurrentSign | None) -> Judged:
    contract = detector.contract
    if contract.monitoring is None:
        verdicts = detector.verdicts(detector.read(data, current_sign=current_sign))
        _refuse_empty(len(verdicts))
        advance(len(verdicts))
        return Judged(source, verdicts, None)
    sign, explicit = sign_of(contract.current_sign, current_sign)
    table = read_signals(data, contract.monitoring.recipe.signals, sign, explicit_sign=explicit)
    _refuse_empty(len(table))
    return Judged(source, in_chunks(detector.monitor(), table, advance), table)


def judge_by_limits(
    limits: Limits, data: Any, source: str, current_sign: CurrentSign, advance: Advance = lambda _: None
) -> Judged:
    """Judge every row of a table without a model: by physical limits, and by ranges and sentinels of its readings.

    Raises ``TelemetryError`` beginning with ``source`` as :func:`judge` does, and where no limit can be watched.
    """
    try:
        table = read_limited(data, limits, current_sign)
        _refuse_empty(len(table))
    except TelemetryError as error:
        named = f"{source}: {error}"
        raise TelemetryError(named) from None
    watch = LimitWatch(limits, table.names, quality=physical_quality_rule(table.names))
    return Judged(source, in_chunks(watch, table, advance), table)


def _refuse_empty(rows: int) -> None:
    if not rows:
        raise TelemetryError("there are no data rows to judge")


def in_chunks(monitor: FleetMonitor | LimitWatch, table: SignalTable, advance: Advance) -> MonitoredVerdicts:
    """The verdicts of a whole table; ``advance`` is told of every chunk."""
    parts = []
    for start in range(0, len(table), CHUNK_ROWS):
        chosen = slice(start, start + CHUNK_ROWS)
        chunk = replace(table, time=table.time[chosen], values=table.values[chosen], vehicle=table.vehicle[chosen])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the last chunk's remark is of all readings
            parts.append(monitor.verdicts(chunk, last=start + CHUNK_ROWS >= len(table)))
        advance(len(chunk))
    remark = parts[-1].telemetry.remark if isinstance(monitor, FleetMonitor) else table.wrong_sign()
    return _joined(parts, table, remark)


def _joined(parts: list[MonitoredVerdicts], table: SignalTable, remark: str | None) -> MonitoredVerdicts:
    """As one call gives them: an event that is open at the end of a chunk is told when it ends."""
    watched = {
        number * CHUNK_ROWS + row: seen
        for number, part in enumerate(parts)
        for row, seen in part.telemetry.watched.items()
    }
    telemetry = MonitoredTelemetry(
        parts[0].telemetry.names,
        np.concatenate([part.telemetry.values for part in parts]),
        np.concatenate([part.telemetry.valid for part in parts]),
        table.time,
        table.vehicles,
        table.vehicle,
        watched,
        remark,
    )
    return replace(
        parts[0],
        telemetry=telemetry,
        score_samples=np.concatenate([part.score_samples for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        severity=np.concatenate([part.severity for part in parts]),
        events=tuple(event for part in parts for event in part.events if not event.open),
    )


def vehicles_of(judged: Judged) -> tuple[VehicleVerdicts, ...]:
    """Every vehicle of a recording; one without a name where the model or the telemetry knows of none."""
    table = judged.signals
    if table is None:
        return (_vehicle(judged, "", np.arange(len(judged.verdicts))),)
    return tuple(_vehicle(judged, vehicle, table.rows_of(number)) for number, vehicle in enumerate(table.vehicles))


def _vehicle(judged: Judged, vehicle: str, rows: IntArray) -> VehicleVerdicts:
    severity = judged.verdicts.severity[rows]
    scores = judged.verdicts.score_samples[rows][judged.verdicts.telemetry.valid[rows]]
    scores = scores[~np.isnan(scores)]  # limits alone give none
    highest = int(severity.max())
    times = judged.signals.time[rows] if judged.signals is not None else None
    return VehicleVerdicts(
        vehicle=vehicle,
        rows=len(rows),
        invalid=int(np.count_nonzero(severity < 0)),
        warning=int(np.count_nonzero(severity == 1)),
        critical=int(np.count_nonzero(severity == 2)),
        severity=SEVERITY_OF_CODE[highest] if highest >= 0 else Severity.INVALID,
        lowest_score=float(scores.min()) if len(scores) else None,
        span=None if times is None else (float(times.min()), float(times.max())),
        events=tuple(event for event in judged.events if event.vehicle == vehicle),
    )


def model_line(detector: Detector) -> dict[str, str]:
    """Name, version and digests, as every command says which model spoke; a registry's history has the sidecar's."""
    contract = detector.contract
    return {
        "model": contract.name,
        "version": str(contract.version),
        "onnx_sha256": contract.files["onnx"].sha256,
        "sidecar_sha256": detector.sidecar_sha256,
    }
