"""Events: k of n, hysteresis, merging, gaps; the same in streaming, batch and after saving the state."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError, TelemetryError
from ev_qa_runtime.event_document import event_document, event_of
from ev_qa_runtime.event_tracker import MOST_COUNTED, MOST_REASONS, EventTracker, events_of
from ev_qa_runtime.events import Event, EventRule, event_rule_document, event_rule_of
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.strict_json import Members

NAN = math.nan
PLAIN = EventRule(k=2, n=3, clear_after=2, merge_gap_s=0.0)

rules = st.builds(
    EventRule,
    k=st.integers(1, 3),
    n=st.integers(3, 6),
    clear_after=st.integers(1, 5),
    minimum_s=st.sampled_from([0.0, 5.0]),
    merge_gap_s=st.sampled_from([0.0, 4.0, 100.0]),
    gap_s=st.sampled_from([3.0, 60.0]),
)
readings = st.tuples(
    st.sampled_from([0.0, 1.0, 1.0, 1.0, 1.0, 5.0, 90.0, -2.0, NAN]),
    st.sampled_from([0, 0, 0, 1, 1, 2, 2, -1]),
    st.one_of(st.floats(-1.0, -0.1), st.just(NAN)),
    st.lists(st.sampled_from("abcdefghijklm"), max_size=3, unique=True),
)
recordings = st.lists(readings, max_size=80)
Row = tuple[float | None, int, float, list[str]]


def timed(recording: list[tuple[float, int, float, list[str]]]) -> list[Row]:
    now, rows = 1000.0, []
    for step, code, score, reasons in recording:
        now = now + step if math.isfinite(step) else now
        rows.append((now if math.isfinite(step) else NAN, code, score, reasons))
    return rows


def batch(rows: list[Row], rule: EventRule) -> tuple[Event, ...]:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return events_of(
        np.array(columns[0], dtype=np.float64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.float64),
        lambda row: rows[row][3],
        rule,
        "car",
    )


def of_codes(codes: str, rule: EventRule = PLAIN, **changes: Any) -> list[tuple[int, int, str]]:
    """Events of ``"00110"`` (``-`` INVALID) as (first row, last row, severity)."""
    severity = np.array(["-012".index(code) - 1 for code in codes], dtype=np.int64)
    scores = np.full(len(codes), -0.5)
    found = events_of(None, severity, scores, lambda row: (), dataclasses.replace(rule, **changes))
    return [(event.start_row, event.end_row, event.severity.value) for event in found]


def comparable(events: Any) -> list[str]:
    """Events with NaN made equal to itself."""
    return [json.dumps(event_document(event)) for event in events]


def test_an_event_begins_with_the_first_of_k_rows_and_ends_with_the_last_above_info() -> None:
    assert of_codes("0010100100000") == [(2, 4, "WARNING")]
    assert of_codes("0010100100000", clear_after=3) == [(2, 7, "WARNING")]
    assert of_codes("00100100100000") == []
    assert of_codes("0110") == [(1, 2, "WARNING")]
    assert of_codes("1101010100") == [(0, 7, "WARNING")]


def test_an_event_is_as_severe_as_k_of_n_rows_are() -> None:
    assert of_codes("0112000") == [(1, 3, "WARNING")]
    assert of_codes("01212000") == [(1, 4, "CRITICAL")]
    assert of_codes("0220000110000") == [(1, 2, "CRITICAL"), (7, 8, "WARNING")]


def test_invalid_readings_count_for_nothing() -> None:
    assert of_codes("01---1--0-0--11") == [(1, 5, "WARNING"), (13, 14, "WARNING")]
    assert of_codes("------") == []


def test_events_that_are_close_are_one() -> None:
    assert of_codes("11000110000", merge_gap_s=4.0) == [(0, 6, "WARNING")]
    assert of_codes("11000110000", merge_gap_s=3.0) == [(0, 1, "WARNING"), (5, 6, "WARNING")]
    assert of_codes("110000110001000", merge_gap_s=5.0) == [(0, 7, "WARNING")]
    assert of_codes("1100001010000", merge_gap_s=5.0) == [(0, 8, "WARNING")]
    assert of_codes("1100100000", n=6, merge_gap_s=50.0) == [(0, 1, "WARNING")]


def test_a_short_event_is_not_reported_unless_critical() -> None:
    assert of_codes("1100001111000", minimum_s=3.0) == [(6, 9, "WARNING")]
    assert of_codes("2200001111000", minimum_s=3.0) == [(0, 1, "CRITICAL"), (6, 9, "WARNING")]
    assert of_codes("11000110000", minimum_s=6.0, merge_gap_s=4.0) == [(0, 6, "WARNING")]


def test_a_gap_in_time_ends_an_event() -> None:
    tracker = EventTracker(dataclasses.replace(PLAIN, gap_s=10.0))
    assert tracker.step(0.0, 1, -0.6) is None
    began = tracker.step(1.0, 1, -0.7)
    assert began is not None
    assert began.open
    ended = tracker.step(20.0, 1, -0.6)
    assert ended == dataclasses.replace(began, open=False)
    assert tracker.open_event is None
    assert tracker.step(31.0, 1, -0.6) is None  # the row before the gap is forgotten


def test_what_ends_and_begins_at_one_reading() -> None:
    tracker = EventTracker(EventRule(k=1, n=1, gap_s=10.0), "car")
    first = tracker.step(0.0, 2, -0.9)
    assert first is not None
    assert tracker.step(50.0, 1, -0.6) == dataclasses.replace(first, open=False)
    assert tracker.open_event is not None
    assert tracker.open_event.start_time == 50.0
    assert tracker.step(51.0, 1, -0.6) == tracker.open_event
    assert tracker.step(52.0, 1, -0.6) is None
    assert tracker.finish() is not None
    assert tracker.finish() is None


def test_what_an_event_says() -> None:
    tracker = EventTracker(PLAIN, "car")
    rows = [(10.0, 1, -0.6, ["a"]), (11.0, 2, NAN, ["a", "b"]), (12.0, 1, -0.9, ["b"]), (13.0, 2, -0.7, ["b"])]
    for time, code, score, reasons in rows:
        tracker.step(time, code, score, reasons)
    assert tracker.finish() == Event(
        vehicle="car",
        start_row=0,
        end_row=3,
        start_time=10.0,
        end_time=13.0,
        peak_row=3,  # the lowest score among the CRITICAL rows
        peak_time=13.0,
        peak_score=-0.7,
        severity=Severity.CRITICAL,
        reasons=(("b", 3), ("a", 2)),
        rows=4,
        open=False,
    )


def test_reasons_are_bounded() -> None:
    tracker = EventTracker(PLAIN)
    for row in range(300):
        tracker.step(float(row), 1, -0.6, [f"reason {row}", "always"])
    event = tracker.finish()
    assert event is not None
    assert event.reasons[0] == ("always", 300)
    assert len(event.reasons) == MOST_REASONS
    tracker = EventTracker(PLAIN)
    for row in range(300):
        tracker.step(float(row), 1, -0.6, [f"reason {row} {number}" for number in range(20)])
    state = tracker.state()
    assert len(state["event"]["reasons"]) == MOST_COUNTED
    assert len(json.dumps(state)) < 10_000


def test_rows_of_a_larger_table() -> None:
    asked = []
    found = events_of(
        np.array([1.0, 2.0, 3.0]),
        np.array([1, 1, 0]),
        np.array([-0.6, -0.7, -0.4]),
        lambda row: asked.append(row) or (str(row),),  # type: ignore[func-returns-value]
        PLAIN,
        rows=np.array([7, 9, 11]),
    )
    assert [(event.start_row, event.end_row, event.peak_row, event.open) for event in found] == [(7, 9, 9, True)]
    assert asked == [7, 9]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(TelemetryError, match="events need one time, severity, score and row number a reading"):
        events_of(np.zeros(2), np.zeros(3, dtype=np.int64), np.zeros(3), lambda row: (), PLAIN)


@given(rules)
def test_no_rows_make_no_events(rule: EventRule) -> None:
    assert batch([], rule) == ()


@given(recordings, rules, st.data())
def test_any_chunking_and_restoring_gives_the_same_events(
    recording: list[tuple[float, int, float, list[str]]], rule: EventRule, data: st.DataObject
) -> None:
    rows = timed(recording)
    tracker = EventTracker(rule, "car")
    found = []
    for time, code, score, reasons in rows:
        if data.draw(st.booleans()):
            state = json.loads(json.dumps(tracker.state(), allow_nan=False))
            tracker = EventTracker(rule, "car")
            tracker.restore(state)
            assert tracker.state() == state
        event = tracker.step(time, code, score, reasons)
        if event is not None and not event.open:
            found.append(event)
    last = tracker.open_event
    if tracker.finish() is not None and last is not None:
        found.append(last)
    assert comparable(found) == comparable(batch(rows, rule))


@given(recordings, rules)
def test_events_follow_each_other_and_hold_what_they_say(
    recording: list[tuple[float, int, float, list[str]]], rule: EventRule
) -> None:
    rows = timed(recording)
    codes = [row[1] for row in rows]
    events = batch(rows, rule)
    for one, other in itertools.pairwise(events):
        assert one.end_row < other.start_row
        assert not one.open
    for event in events:
        inside = codes[event.start_row : event.end_row + 1]
        assert event.start_row <= event.peak_row <= event.end_row
        assert codes[event.start_row] > 0
        assert codes[event.end_row] > 0
        assert event.rows == sum(code > 0 for code in inside) >= rule.k
        assert codes[event.peak_row] == max(inside)
        assert event.start_time is not None
        assert event.end_time is not None
        assert event.start_time <= event.end_time
        assert event.severity in (Severity.WARNING, Severity.CRITICAL)
        assert sorted((count for _, count in event.reasons), reverse=True) == [count for _, count in event.reasons]


def test_a_reading_above_info_between_two_parts_of_an_event_is_of_it() -> None:
    """Found by chance: one stray reading, then the event goes on; it was inside and not counted."""
    rule = EventRule(k=2, n=3, clear_after=1, merge_gap_s=0.0, gap_s=3.0)
    codes = [0, 1, 1, 0, 2, 0, 0, 1, 1]
    rows = [(0.0, code, -1.0, ["why"]) for code in codes]

    (event,) = batch(timed(rows), rule)

    assert (event.start_row, event.end_row, event.rows, event.peak_row) == (1, 8, 5, 4)
    assert event.reasons == (("why", 5),)
    assert event.severity is Severity.WARNING


@given(recordings, rules)
def test_critical_rows_that_last_are_inside_a_critical_event(
    recording: list[tuple[float, int, float, list[str]]], rule: EventRule
) -> None:
    rows = [(None, code, score, reasons) for _, code, score, reasons in recording]  # no gaps in time
    codes = [code for _, code, _, _ in rows]
    severity, scores = np.array(codes, dtype=np.int64), np.array([score for _, _, score, _ in rows])
    critical = [
        event
        for event in events_of(None, severity, scores, lambda row: (), rule)
        if event.severity is Severity.CRITICAL
    ]
    for start in range(len(codes) - rule.k + 1):
        if codes[start : start + rule.k] == [2] * rule.k:
            for row in range(start, start + rule.k):
                assert any(event.start_row <= row <= event.end_row for event in critical)


@given(recordings, rules)
def test_every_event_is_announced_before_it_ends(
    recording: list[tuple[float, int, float, list[str]]], rule: EventRule
) -> None:
    tracker = EventTracker(dataclasses.replace(rule, k=3), "car")  # with k above 1 an end never hides a beginning
    announced = False
    for time, code, score, reasons in timed(recording):
        event = tracker.step(time, code, score, reasons)
        if event is not None:
            assert announced is not event.open
            announced = event.open
    assert (tracker.finish() is not None) is announced


def damaged(**changes: Any) -> dict[str, Any]:
    tracker = EventTracker(PLAIN)
    for row in range(3):
        tracker.step(float(row), 1, -0.6, ["a"])
    state = tracker.state()
    event = state["event"] | changes.pop("event", {}) if "event" in changes else state["event"]
    return state | changes | {"event": event}


@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        damaged(now="noon"),
        damaged(row=1.5),
        damaged(judged=-1),
        damaged(judged=1),
        damaged(window=[[1, 1, 1.0, 0, None, []]]),
        damaged(window=[[1, 1, 1.0, 1, None, [7]]]),
        damaged(window=[[2, 1, 1.0, 1, None, []], [1, 1, 1.0, 1, None, []]]),
        damaged(window=[[number, 1, 1.0, 1, None, []] for number in (1, 2, 3, 4)]),
        damaged(event={"start": [0]}),
        damaged(event={"peak": [0, 0.0, 3, None]}),
        damaged(event={"reasons": [[f"{number}", 1] for number in range(MOST_COUNTED + 1)]}),
        damaged(event={"counts": [True, 0]}),
    ],
)
def test_a_state_that_is_not_its_own_is_refused_and_changes_nothing(state: Any) -> None:
    tracker = EventTracker(PLAIN)
    tracker.step(0.0, 1, -0.6, ["a"])
    before = tracker.state()
    with pytest.raises(ArtifactError, match="this saved state is not one of an event tracker with this rule"):
        tracker.restore(state)
    assert tracker.state() == before


@pytest.mark.parametrize("changes", [{"k": 0}, {"k": 6}, {"n": 1001}, {"clear_after": 0}])
def test_a_rule_without_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="k, n and clear_after must keep to 1 <= k <= n <= 1000"):
        EventRule(**changes)


@pytest.mark.parametrize("name", ["minimum_s", "merge_gap_s", "gap_s"])
@pytest.mark.parametrize("value", [-1.0, NAN, math.inf])
def test_times_without_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ArtifactError, match="must be finite and not negative"):
        EventRule(**{name: value})  # type: ignore[arg-type]


@given(rules)
def test_a_rule_comes_back_from_json(rule: EventRule) -> None:
    document = json.loads(json.dumps(event_rule_document(rule), allow_nan=False))
    assert event_rule_of(Members(document | {"later": 1})) == rule


def test_a_rule_of_a_later_runtime_is_refused() -> None:
    with pytest.raises(IncompatibleModelError, match="the event rule has version 2, this runtime reads up to 1"):
        event_rule_of(Members(event_rule_document(PLAIN) | {"version": 2}))


@given(recordings, rules)
def test_an_event_comes_back_from_json(recording: list[tuple[float, int, float, list[str]]], rule: EventRule) -> None:
    for event in batch(timed(recording), rule):
        document = json.loads(json.dumps(event_document(event), allow_nan=False))
        assert comparable([event_of(Members(document))]) == comparable([event])


def test_reasons_that_are_none_are_refused() -> None:
    (event,) = batch([(0.0, 1, -0.6, ["a"]), (1.0, 1, -0.6, ["a"])], PLAIN)
    with pytest.raises(ArtifactError, match=r"reasons\[0\] must be an object"):
        event_of(Members(event_document(event) | {"reasons": [["a"]]}))
    with pytest.raises(ArtifactError, match=r"reasons\[0\]\.rows must be an integer"):
        event_of(Members(event_document(event) | {"reasons": [{"reason": "a", "rows": "1"}]}))
