"""What is said about readings: one :class:`Verdict`, many :class:`Verdicts`, and the batch's result dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.severity import INVALID_CODE, SEVERITY_OF_CODE, FloatArray, IntArray, Severity


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one reading.

    ``score`` is scikit-learn's ``score_samples`` (in [-1, 0), lower is more anomalous), NaN where ``valid`` is False;
    ``label`` 1 normal, −1 anomalous or INVALID; ``reasons`` says why a reading is INVALID, and is empty otherwise.
    """

    score: float
    label: int
    severity: Severity
    valid: bool
    reasons: tuple[str, ...] = ()

    @property
    def anomalous(self) -> bool:
        """Whether the row counts as an anomaly: label −1 or below the warning threshold; INVALID rows do not."""
        return self.valid and (self.label == -1 or self.severity is not Severity.INFO)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The judgement of a batch, one array element a row.

    ``score_samples`` float64 [N] (of INVALID rows: what the forest makes of them, to be ignored); ``label`` int64
    [N], −1 for INVALID rows; ``severity`` int64 [N], 0 INFO, 1 WARNING, 2 CRITICAL, −1 INVALID.
    """

    telemetry: Telemetry
    score_samples: FloatArray
    label: IntArray
    severity: IntArray

    @classmethod
    def of(cls, telemetry: Telemetry, score_samples: FloatArray, label: IntArray, severity: IntArray) -> Verdicts:
        """From what the forest says of every row; INVALID rows are marked here. Copies ``label`` and ``severity``."""
        return cls(
            telemetry,
            score_samples,
            np.where(telemetry.valid, label, np.int64(-1)),
            np.where(telemetry.valid, severity, np.int64(INVALID_CODE)),
        )

    def __len__(self) -> int:
        return len(self.telemetry)

    @property
    def anomalous(self) -> npt.NDArray[np.bool_]:
        """Bool [N]: valid rows with label −1 or a severity above INFO."""
        flagged: npt.NDArray[np.bool_] = (self.label == -1) | (self.severity > 0)
        return self.telemetry.valid & flagged

    def __iter__(self) -> Iterator[Verdict]:
        return (self.row(index) for index in range(len(self)))

    def row(self, index: int) -> Verdict:
        """The verdict of one row."""
        if not self.telemetry.valid[index]:
            return invalid_verdict(self.telemetry.reasons(index))
        severity = SEVERITY_OF_CODE[self.severity[index]]
        return Verdict(float(self.score_samples[index]), int(self.label[index]), severity, True)

    def batch_severity(self) -> Severity:
        """The lowest score's severity; WARNING where there were rows and none could be judged."""
        if not self.telemetry.valid.any():
            return Severity.WARNING if len(self) else Severity.INFO
        return SEVERITY_OF_CODE[int(self.severity.max())]

    def summary(self) -> dict[str, Any]:
        """The guide's result dictionary, plain JSON types."""
        anomalies = int(np.count_nonzero(self.anomalous))
        valid = np.flatnonzero(self.telemetry.valid)
        lowest = int(valid[np.argmin(self.score_samples[valid])]) if len(valid) else None
        return {
            "total_samples": len(self),
            "anomalies_detected": anomalies,
            "anomaly_percentage": 100.0 * anomalies / len(self) if len(self) else 0.0,
            "severity": str(self.batch_severity()),
            "invalid_samples": self.telemetry.invalid_count,
            "invalid_reasons": self.telemetry.reason_counts(),
            "warning_samples": int(np.count_nonzero(self.severity == 1)),
            "critical_samples": int(np.count_nonzero(self.severity == 2)),
            "lowest_score": None if lowest is None else float(self.score_samples[lowest]),
            "lowest_score_row": lowest,
        }


def invalid_verdict(reasons: tuple[str, ...]) -> Verdict:
    """The verdict of a reading that cannot be judged."""
    return Verdict(float("nan"), -1, Severity.INVALID, False, reasons)
