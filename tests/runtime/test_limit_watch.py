"""Limits and quality without a model: the same in any chunks, never normal where nothing can be read."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.limit_profiles import profile_limits
from ev_qa_runtime.limit_table import LimitChecker
from ev_qa_runtime.limit_watch import LimitVerdicts, LimitWatch, limited_signals, read_limited
from ev_qa_runtime.limits import Limit, Limits
from ev_qa_runtime.reading_quality import QualityRule, SignalQuality
from ev_qa_runtime.signals import SignalTable

LIMITS = Limits((Limit("temp", "above", 55.0, 60.0, hysteresis=2.0), Limit("probe_spread", "above", 15.0, None)))
SIGNALS = ("temp", "temp_min")
PROBE = SignalQuality("temp", -60.0, 250.0, (-40.0, 125.0), np.inf, 5.0, 0.0)
QUALITY = QualityRule((PROBE, replace(PROBE, signal="temp_min")), 600.0)

readings = st.one_of(st.sampled_from([np.nan, np.inf, -40.0, 54.0, 56.0, 61.0, 400.0]), st.floats(-30.0, 70.0))


@st.composite
def tables(draw: st.DrawFn) -> SignalTable:
    rows = draw(st.lists(st.tuples(readings, readings, st.integers(0, 1), st.sampled_from([1.0, 1.0, 700.0]))))
    time = np.cumsum([step for *_, step in rows]) if rows else np.empty(0)
    values = np.array([row[:2] for row in rows], dtype=np.float64).reshape(-1, 2)
    vehicle = np.array([row[2] for row in rows], dtype=np.int64)
    return SignalTable(SIGNALS, time, values, ("a", "b"), vehicle)


def part(table: SignalTable, start: int, stop: int) -> SignalTable:
    chosen = slice(start, stop)
    return replace(table, time=table.time[chosen], values=table.values[chosen], vehicle=table.vehicle[chosen])


def told(verdicts: LimitVerdicts) -> list[str]:
    return [repr(verdict) for verdict in verdicts]  # type: ignore[attr-defined]  # rows, one by one


@given(tables(), st.lists(st.integers(0, 40), max_size=3))
def test_any_chunks_give_the_same_verdicts_and_events(table: SignalTable, cuts: list[int]) -> None:
    whole = LimitWatch(LIMITS, SIGNALS, quality=QUALITY).verdicts(table, last=True)
    watch = LimitWatch(LIMITS, SIGNALS, quality=QUALITY)
    edges = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    parts = [
        watch.verdicts(part(table, start, stop), last=stop == len(table) and place == len(edges) - 2)
        for place, (start, stop) in enumerate(pairwise(edges))
    ]
    assert [one for chunk in parts for one in told(chunk)] == told(whole)
    ended = [repr(event) for chunk in parts for event in chunk.events if not event.open]
    assert sorted(ended) == sorted(map(repr, whole.events))


@given(tables())
def test_limits_force_and_what_cannot_be_read_is_never_normal(table: SignalTable) -> None:
    verdicts = LimitWatch(LIMITS, SIGNALS, quality=QUALITY).verdicts(table, last=True)
    finite = np.isfinite(table.values).all(axis=1)
    assert (verdicts.severity[~finite] != 0).all()
    assert ((verdicts.label == 1) == (verdicts.severity == 0)).all()
    summary: dict[str, Any] = verdicts.summary()
    counts = [int((verdicts.severity == code).sum()) for code in (-1, 1, 2)]
    assert [summary[f"{name}_samples"] for name in ("invalid", "warning", "critical")] == counts
    assert (summary["lowest_score"], summary["lowest_score_row"]) == (None, None)


@given(tables())
def test_without_a_quality_rule_the_limits_are_those_of_a_table(table: SignalTable) -> None:
    verdicts = LimitWatch(LIMITS, SIGNALS).verdicts(table)
    found = LimitChecker(LIMITS, SIGNALS).check(table.time, table.values, table.vehicle)
    assert np.where(verdicts.severity < 0, 0, verdicts.severity).tolist() == found.severity.tolist()


def test_an_event_that_is_open_stays_the_same_event_over_chunks() -> None:
    time = np.arange(30.0)
    values = np.column_stack([np.where(time < 5, 30.0, 70.0), np.full(30, 65.0)])
    table = SignalTable(SIGNALS, time, values, ("a",), np.zeros(30, dtype=np.int64))
    watch = LimitWatch(LIMITS, SIGNALS)
    seen = [event for start in (0, 10, 20) for event in watch.verdicts(part(table, start, start + 10)).events]
    assert [(event.vehicle, event.start_row, event.end_row, event.open) for event in seen] == [
        ("a", 5, 9, True), ("a", 5, 19, True), ("a", 5, 29, True)
    ]  # fmt: skip


def test_the_current_is_only_read_where_it_is_limited() -> None:
    data = {"time": [0.0, 1.0], "temp": [20.0, 21.0], "current": [1.0, 2.0], "soc": [None, None]}
    assert read_limited(data, profile_limits("nmc"), "unspecified").names == ("temp", "soc")  # not the current
    limits = profile_limits("nmc", cells_in_series=96, capacity_ah=170)
    assert set(limited_signals(limits)) == {
        "temp", "temp_min", "cell_voltage_max", "cell_voltage_min", "voltage", "current"
    }  # fmt: skip
    assert read_limited(data, limits, "charge_positive").column("current").tolist() == [-1.0, -2.0]


def test_telemetry_on_which_no_limit_can_be_watched_is_refused() -> None:
    with pytest.raises(TelemetryError, match="none of the limits can be watched here: they need one of temp, "):
        read_limited({"time": [0.0], "soc": [50.0]}, profile_limits("nmc"), "discharge_positive")
    c_rate = Limits((Limit("c_rate", "above", 6.0, None),))
    with pytest.raises(TelemetryError, match="they need one of cells_in_series or capacity_ah"):
        read_limited({"time": [0.0], "current": [50.0]}, c_rate, "discharge_positive")


def test_a_table_of_other_signals_is_refused() -> None:
    table = SignalTable(("temp",), np.zeros(1), np.zeros((1, 1)), ("",), np.zeros(1, dtype=np.int64))
    with pytest.raises(TelemetryError, match="the limits watch temp, temp_min, this table has temp"):
        LimitWatch(LIMITS, SIGNALS).verdicts(table)


def test_sensors_that_no_limit_needs_are_looked_at_but_may_be_absent() -> None:
    rows = 20
    table = {
        "time": np.arange(rows, dtype=float),
        "temp": np.full(rows, 25.0) + np.arange(rows) % 2,
        "voltage": np.where(np.arange(rows) >= 10, 65535.0, 350.0 + np.arange(rows) % 3),
        "soc": np.where(np.arange(rows) % 5 == 0, 50.0, np.nan),
        "current": np.full(rows, np.nan),
    }
    limits = Limits((Limit("temp", "above", 50.0, 60.0),))
    read = read_limited(table, limits, "unspecified")
    ranges = QualityRule(tuple(replace(PROBE, signal=name, highest=1000.0) for name in read.names), 600.0)

    verdicts = LimitWatch(limits, read.names, quality=ranges).verdicts(read, last=True)

    assert "current" not in read.names
    assert verdicts.severity.tolist() == [0] * 10 + [-1] * 10
    assert verdicts.row(10).reasons[0].startswith("voltage: 65535 is ")
