"""The summary of verdicts over time agrees with its rows, whoever forced them: forest, faults, limits or nobody."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ev_qa_runtime.limits import Breach, Limit
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry, MonitoredVerdicts, judged
from ev_qa_runtime.reading_quality import Finding
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.vehicle_monitor import Reading, Watched
from ev_qa_runtime.verdict import Verdicts

LIMIT = Limit("temp", "above", 55.0, 60.0)
MISSING = Finding("temp", "missing", "temp: missing", unusable=True)
JUMP = Finding("voltage", "jump", "voltage: jumped from 300 to 400 in 1 s", unusable=False)


class Row(NamedTuple):
    usable: bool
    jumped: bool = False
    breach: Severity | None = None
    forest: int = 0


INVALID = Row(usable=False)
BURNING = Row(usable=False, breach=Severity.CRITICAL)
JUMPED = Row(usable=False, jumped=True)
rows_of_all_kinds = st.lists(
    st.builds(
        Row,
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, Severity.WARNING, Severity.CRITICAL]),
        st.integers(0, 2),
    ),
    max_size=12,
)


def verdicts_of(rows: list[Row]) -> MonitoredVerdicts:
    """Verdicts as a fleet's monitor puts them together."""
    watched = {}
    for number, row in enumerate(rows):
        findings = (*(() if row.usable else (MISSING,)), *((JUMP,) if row.jumped else ()))
        breaches = () if row.breach is None else (Breach(LIMIT, 99.0, row.breach, "temp 99 degC", "temp high"),)
        if findings or breaches:
            reading = Reading(findings=findings, usable=(99.0,), features=(0.0,) if row.usable else None)
            watched[number] = Watched(reading=reading, breaches=breaches)
    valid = np.array([row.usable for row in rows], dtype=np.bool_)
    values = np.where(valid, 0.0, np.nan)[:, None]
    count = len(rows)
    telemetry = MonitoredTelemetry(
        ("x",), values, valid, np.arange(float(count)), ("",), np.zeros(count, dtype=np.int64), watched
    )
    severity = np.array([row.forest for row in rows], dtype=np.int64)
    scores = np.where(valid, -0.4 - 0.1 * severity, np.nan)
    forest = Verdicts.of(telemetry, scores, np.where(severity > 1, np.int64(-1), np.int64(1)), severity)
    return MonitoredVerdicts(telemetry, scores, *judged(telemetry, forest))


@given(rows_of_all_kinds)
@example([])
@example([INVALID] * 3)
@example([INVALID, BURNING, INVALID])
@example([BURNING] * 2)
@example([JUMPED, INVALID])
@example([INVALID, Row(usable=True)])
@example([Row(usable=True, forest=2), INVALID])
def test_the_summary_counts_what_the_rows_say(rows: list[Row]) -> None:
    verdicts = verdicts_of(rows)
    summary, each = verdicts.summary(), list(verdicts)
    counts = Counter(verdict.severity for verdict in each)
    assert summary["total_samples"] == len(rows) == counts.total()
    assert summary["invalid_samples"] == counts[Severity.INVALID]
    assert summary["warning_samples"] == counts[Severity.WARNING]
    assert summary["critical_samples"] == counts[Severity.CRITICAL]
    assert summary["anomalies_detected"] == sum(verdict.anomalous for verdict in each) == verdicts.anomalous.sum()
    assert verdicts.anomalous.tolist() == [verdict.anomalous for verdict in each]
    unusable = sum(not verdict.valid for verdict in each)
    share = 100.0 * sum(verdict.anomalous for verdict in each) / len(rows) if rows else 0.0
    assert summary["anomaly_percentage"] == share
    assert summary["invalid_reasons"] == ({"temp: missing": unusable} if unusable else {})
    scores = [verdict.score for verdict in each if verdict.valid]
    assert summary["lowest_score"] == min(scores, default=None)
    at = summary["lowest_score_row"]
    assert at is None if not scores else each[at].score == min(scores)


@given(rows_of_all_kinds)
@example([])
@example([INVALID])
@example([INVALID, BURNING])
@example([BURNING])
@example([JUMPED])
def test_the_severity_is_the_worst_rows_and_never_normal_where_nothing_was_judged(rows: list[Row]) -> None:
    verdicts = verdicts_of(rows)
    said = {verdict.severity for verdict in verdicts}
    order = [Severity.CRITICAL, Severity.WARNING, Severity.INFO]
    worst = next((severity for severity in order if severity in said), None)
    expected = worst or (Severity.WARNING if rows else Severity.INFO)
    assert verdicts.batch_severity() is expected
    assert verdicts.summary()["severity"] == expected
    for row, verdict in zip(rows, verdicts, strict=True):
        assert verdict.valid == row.usable
        assert row.usable or (verdict.label == -1 and verdict.severity is not Severity.INFO)


@pytest.mark.parametrize(("row", "severity"), [(BURNING, "CRITICAL"), (JUMPED, "WARNING"), (INVALID, "INVALID")])
def test_a_reading_that_cannot_be_judged_keeps_what_is_forced(row: Row, severity: str) -> None:
    verdict = verdicts_of([row]).row(0)
    assert (verdict.severity, verdict.valid, verdict.anomalous) == (severity, False, severity != "INVALID")
    assert "temp: missing" in verdict.reasons
