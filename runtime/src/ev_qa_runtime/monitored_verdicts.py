"""Telemetry and verdicts over time: what :mod:`features` and :mod:`verdict` have for readings that are judged alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.event_document import event_document
from ev_qa_runtime.events import Event
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.severity import INVALID_CODE, SEVERITY_OF_CODE, IntArray, Severity
from ev_qa_runtime.vehicle_monitor import Watched
from ev_qa_runtime.verdict import Verdict, Verdicts


@dataclass(frozen=True, slots=True)
class MonitoredTelemetry(Telemetry):
    """Features of readings over time; ``valid`` where a reading can be judged, NaN in ``values`` elsewhere.

    ``time``: float64 [N], seconds; row i is of ``vehicles[vehicle[i]]``; ``watched``: row → what was found there and
    which limits are broken, only for rows where there is something to say. ``remark``: what the data say against the
    sign of their current, and where they are sampled unlike the training data.
    """

    time: npt.NDArray[np.float64]
    vehicles: tuple[str, ...]
    vehicle: npt.NDArray[np.int64]
    watched: Mapping[int, Watched] = field(default_factory=dict)
    remark: str | None = None

    def reasons(self, row: int) -> tuple[str, ...]:
        """What was found in row number ``row``: quality and limits, in words."""
        return self.watched[row].reasons() if row in self.watched else ()

    def reason_counts(self) -> dict[str, int]:
        """How many rows each reason was given for, without the values in it."""
        counts: dict[str, int] = {}
        for one in self.watched.values():
            for reason in one.event_reasons():
                counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class MonitoredVerdict(Verdict):
    """The judgement of one reading over time. ``reasons`` say what was found in it and which limits it breaks.

    ``valid`` is False where the forest could not judge it; limits and faults may make it WARNING or CRITICAL even so.
    """

    @property
    def anomalous(self) -> bool:
        """Whether the reading is WARNING or worse, whoever says so; INVALID is neither normal nor an anomaly."""
        return self.severity in (Severity.WARNING, Severity.CRITICAL)


@dataclass(frozen=True, slots=True)
class MonitoredVerdicts(Verdicts):
    """Verdicts over time: ``severity`` is the highest of the forest's, the findings' and the limits'.

    A row that cannot be judged keeps what limits and faults force; it is INVALID where nothing does. ``events`` in the
    order of their ends; those that may go on come last.
    """

    events: tuple[Event, ...] = ()

    @property
    def anomalous(self) -> npt.NDArray[np.bool_]:
        """Bool [N]: rows whose severity is above INFO. ``label`` keeps the meaning that ``contamination`` gives it."""
        return self.severity > 0

    def row(self, index: int) -> MonitoredVerdict:
        """The verdict of one row; ``reasons`` also say which limits and faults made it WARNING or CRITICAL."""
        code, valid = int(self.severity[index]), bool(self.telemetry.valid[index])
        severity = SEVERITY_OF_CODE[code] if code >= 0 else Severity.INVALID
        score = float(self.score_samples[index]) if valid else float("nan")
        return MonitoredVerdict(score, int(self.label[index]), severity, valid, self.telemetry.reasons(index))

    def batch_severity(self) -> Severity:
        """The highest severity of a row; WARNING where there were rows and none could be judged."""
        highest = int(self.severity.max()) if len(self) else 0
        return Severity.WARNING if highest < 0 else SEVERITY_OF_CODE[highest]

    def summary(self) -> dict[str, Any]:
        """The guide's result dictionary, plain JSON types, with ``events``.

        INFO, WARNING, CRITICAL and INVALID rows add up to all: ``invalid_samples`` are those that nothing forces to
        more. ``invalid_reasons`` tell of every row that the forest could not judge, forced or not.
        """
        plain = Verdicts(self.telemetry, self.score_samples, self.label, self.severity).summary()
        anomalies = int(np.count_nonzero(self.anomalous))
        return plain | {
            "anomalies_detected": anomalies,
            "anomaly_percentage": 100.0 * anomalies / len(self) if len(self) else 0.0,
            "severity": str(self.batch_severity()),
            "invalid_samples": int(np.count_nonzero(self.severity == INVALID_CODE)),
            "reasons": self.telemetry.reason_counts(),
            "invalid_reasons": self._invalid_reasons(),
            "remark": self.telemetry.remark,
            "events": [event_document(event) for event in self.events],
        }

    def _invalid_reasons(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in np.flatnonzero(~self.telemetry.valid).tolist():
            for finding in self.telemetry.watched[row].reading.findings:
                if finding.unusable:
                    reason = f"{finding.signal}: {finding.kind.replace('_', ' ')}"
                    counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items()))

    telemetry: MonitoredTelemetry


def judged(telemetry: MonitoredTelemetry, forest: Verdicts) -> tuple[IntArray, IntArray]:
    """Label and severity code of every row after findings and limits: int64 [N] each."""
    label, severity = forest.label.copy(), forest.severity.copy()
    for row, watched in telemetry.watched.items():
        forced = watched.forced
        severity[row] = max(severity[row], forced)
        if forced > 0:
            label[row] = -1
    return label, severity
