"""What stands beside the events in a report: the quality of the data, what limits were watched, the drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_qa_framework.report.event_story import when
from ev_qa_framework.report.judged import Judged
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.drift import DriftMonitor, DriftReport
from ev_qa_runtime.limit_monitor import LimitMonitor
from ev_qa_runtime.limits import UNITS
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry

SAME_RATE = 0.9
"""Of two rows closer than this part of the training data's step only one counts for drift."""


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One kind of thing wrong with readings. ``unusable``: those rows could not be judged by the forest."""

    signal: str
    kind: str
    rows: int
    first: str
    example: str
    unusable: bool


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One limit in words, whether the telemetry let it be watched, and how many rows broke it."""

    signal: str
    side: str
    unit: str
    warning: float | None
    critical: float | None
    watched: bool
    rows: int


def quality_findings(judged: Judged) -> tuple[QualityFinding, ...]:
    """Every kind of finding with its number of rows, the most frequent first."""
    telemetry = judged.verdicts.telemetry
    if not isinstance(telemetry, MonitoredTelemetry):
        reasons = telemetry.reason_counts().items()
        pairs = [(*reason.partition(": ")[::2], rows) for reason, rows in reasons]
        found = [QualityFinding(signal, kind, rows, "", "", True) for signal, kind, rows in pairs]
        return tuple(sorted(found, key=lambda one: -one.rows))
    counts: dict[tuple[str, str], int] = {}
    first: dict[tuple[str, str], tuple[int, str, bool]] = {}
    for row in sorted(telemetry.watched):
        for finding in telemetry.watched[row].reading.findings:
            key = (finding.signal, finding.kind)
            counts[key] = counts.get(key, 0) + 1
            first.setdefault(key, (row, finding.text, finding.unusable))
    found = [
        QualityFinding(
            signal,
            kind.replace("_", " "),
            rows,
            when(float(telemetry.time[first[signal, kind][0]]), first[signal, kind][0]),
            *first[signal, kind][1:],
        )
        for (signal, kind), rows in counts.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.rows))


def limit_lines(contract: ModelContract, judged: Judged) -> tuple[LimitLine, ...]:
    """Every limit of the model; none where it has none."""
    telemetry = judged.verdicts.telemetry
    if contract.monitoring is None or contract.monitoring.limits is None:
        return ()
    broken: dict[tuple[str, str], int] = {}
    if isinstance(telemetry, MonitoredTelemetry):
        for watched in telemetry.watched.values():
            for key in {(breach.limit.signal, breach.limit.side) for breach in watched.breaches}:
                broken[key] = broken.get(key, 0) + 1
    limits = contract.monitoring.limits
    unwatched = LimitMonitor(limits, contract.monitoring.recipe.signals).unwatched
    return tuple(
        LimitLine(
            limit.signal,
            limit.side,
            UNITS[limit.signal],
            limit.warning,
            limit.critical,
            limit.signal not in unwatched,
            broken.get((limit.signal, limit.side), 0),
        )
        for limit in limits.limits
    )


def drift_report(contract: ModelContract, judged: Judged) -> DriftReport | None:
    """The drift of the features and the score over the whole recording; None where the model has no baseline."""
    telemetry = judged.verdicts.telemetry
    if (
        contract.monitoring is None
        or contract.monitoring.drift is None
        or not isinstance(telemetry, MonitoredTelemetry)
    ):
        return None
    baseline = contract.monitoring.drift
    thin_s = None if baseline.row_s is None else SAME_RATE * baseline.row_s
    total = DriftMonitor(baseline, thin_s=thin_s)
    scores = np.where(telemetry.valid, judged.verdicts.score_samples, np.nan)
    for vehicle in range(len(telemetry.vehicles)):
        rows = np.flatnonzero(telemetry.vehicle == vehicle)
        monitor = DriftMonitor(baseline, thin_s=thin_s)
        monitor.update(telemetry.values[rows], scores[rows], telemetry.time[rows])
        total.merge(monitor)
    return total.report()
