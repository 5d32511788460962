"""Why rows of a recording are INVALID, or could not be judged by the forest: each reason, how often, since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ev_qa_framework.report.judged import Judged
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry


@dataclass(frozen=True, slots=True)
class InvalidReason:
    """One reason, such as ``temp: missing``, with its number of rows and the first and the last of them.

    Times in seconds, None where there are none. ``vehicle`` is empty where the telemetry knows of none.
    """

    vehicle: str
    reason: str
    rows: int
    first_row: int
    last_row: int
    first_time: float | None
    last_time: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {name: getattr(self, name) for name in InvalidReason.__slots__}


def invalid_reasons(judged: Judged) -> tuple[InvalidReason, ...]:
    """The reasons of every vehicle, the most frequent first; together as many rows as the summary's."""
    telemetry = judged.verdicts.telemetry
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(~telemetry.valid).tolist():
        vehicle = "" if judged.signals is None else judged.signals.vehicles[judged.signals.vehicle[row]]
        for reason in _unusable(telemetry, row):
            rows_of.setdefault((vehicle, reason), []).append(row)
    found = [_gathered(judged, vehicle, reason, rows) for (vehicle, reason), rows in rows_of.items()]
    return tuple(sorted(found, key=lambda one: (-one.rows, one.first_row)))


def _unusable(telemetry: Telemetry, row: int) -> Iterator[str]:
    if not isinstance(telemetry, MonitoredTelemetry):
        yield from telemetry.reasons(row)
        return
    for finding in telemetry.watched[row].reading.findings:
        if finding.unusable:
            yield f"{finding.signal}: {finding.kind.replace('_', ' ')}"


def _gathered(judged: Judged, vehicle: str, reason: str, rows: list[int]) -> InvalidReason:
    times = [None if judged.signals is None else float(judged.signals.time[row]) for row in (rows[0], rows[-1])]
    return InvalidReason(vehicle, reason, len(rows), rows[0], rows[-1], *times)
