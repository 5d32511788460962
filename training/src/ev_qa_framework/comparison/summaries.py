"""What two result dictionaries of ``analyze_telemetry`` say of two models, without the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ev_qa_framework.comparison.intervals import newcombe_independent, wilson
from ev_qa_framework.comparison.result import Rate, ResultSummary, SummaryComparison
from ev_qa_runtime.errors import TelemetryError


def compare_summaries(a: Mapping[str, Any], b: Mapping[str, Any], confidence: float) -> SummaryComparison:
    """Compare two results. ``TelemetryError`` where one lacks the keys or its counts do not fit together."""
    summary_a, summary_b = _summary("first", a, confidence), _summary("second", b, confidence)
    return SummaryComparison(
        a=summary_a,
        b=summary_b,
        difference=summary_b.flagged.rate - summary_a.flagged.rate,
        interval=newcombe_independent(
            summary_a.flagged.count, summary_a.flagged.rows, summary_b.flagged.count, summary_b.flagged.rows, confidence
        ),
        same_severity=summary_a.severity == summary_b.severity,
        confidence=confidence,
    )


def _summary(which: str, result: Mapping[str, Any], confidence: float) -> ResultSummary:
    if missing := [key for key in ("total_samples", "anomalies_detected", "severity") if key not in result]:
        raise TelemetryError(f"the {which} result is not one of analyze_telemetry(): it lacks {', '.join(missing)}")
    rows, flagged = _count(which, result, "total_samples"), _count(which, result, "anomalies_detected")
    invalid = _count(which, result, "invalid_samples") if "invalid_samples" in result else 0
    judged = rows - invalid
    if flagged > judged:
        raise TelemetryError(
            f"the {which} result contradicts itself: {flagged} anomalies in {judged} rows that could be judged"
        )
    score = result.get("lowest_score")
    return ResultSummary(
        rows=rows,
        invalid_rows=invalid,
        flagged=Rate(flagged, judged, flagged / judged if judged else 0.0, wilson(flagged, judged, confidence), None),
        severity=str(result["severity"]),
        warning_rows=_count(which, result, "warning_samples") if "warning_samples" in result else None,
        critical_rows=_count(which, result, "critical_samples") if "critical_samples" in result else None,
        lowest_score=None if score is None else float(score),
    )


def _count(which: str, result: Mapping[str, Any], key: str) -> int:
    value = result[key]
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 0:
        raise TelemetryError(f"the {which} result is not one of analyze_telemetry(): {key} is {value!r:.40}")
    return int(value)
