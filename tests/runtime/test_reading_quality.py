"""Readings that cannot be used are found and said; healthy ones are let through; the state is all that counts."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import ArtifactError
from ev_qa_runtime.reading_quality import (
    QUALITY_RULE_VERSION,
    Finding,
    QualityRule,
    ReadingQuality,
    SignalQuality,
    quality_rule_document,
    quality_rule_of,
)
from ev_qa_runtime.strict_json import Members, parse_object

SIGNALS = ("voltage", "current", "temp", "soc")
RULE = QualityRule(
    (
        SignalQuality("voltage", 70.0, 780.0, (0.0, 511.0, 65535.0), 5.0, 20.0, 0.1, 5.0, "current", 5.0, 50.0),
        SignalQuality("current", -3000.0, 3000.0, (65535.0,), 100.0, 300.0, 0.1, 5.0, "voltage", 0.5, 5.0),
        SignalQuality("temp", -60.0, 250.0, (-40.0, 125.0), 0.1, 5.0, 0.1, 60.0, "heat", 0.0, 1e6),
        SignalQuality("soc", -5.0, 105.0, (255.0,), 0.05, 2.0, 0.1, 5.0, "charge", 0.0, 3600.0),
    ),
    stale_after_s=120.0,
)
NORMAL = (350.0, 10.0, 25.0, 60.0)
NAN = math.nan


def monitor(*before: tuple[float, ...]) -> ReadingQuality:
    """One that has seen ``before``, one second apart, the last of them at time 0."""
    quality = ReadingQuality(RULE, SIGNALS)
    for number, reading in enumerate(before):
        quality.step(float(number - len(before) + 1), reading)
    return quality


def changed(**signals: float) -> tuple[float, ...]:
    return tuple(signals.get(name, value) for name, value in zip(SIGNALS, NORMAL, strict=True))


def kinds(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.signal, finding.kind) for finding in findings]


@pytest.mark.parametrize(
    ("signals", "kind", "text", "unusable"),
    [
        ({"temp": NAN}, "missing", "temp: missing", True),
        ({"soc": math.inf}, "not_finite", "soc: not finite", True),
        ({"current": -math.inf}, "not_finite", "current: not finite", True),
        ({"temp": -40.0}, "sentinel", "temp: -40 is a sentinel value", True),
        ({"voltage": 0.0}, "sentinel", "voltage: 0 is a sentinel value", True),
        ({"voltage": 511.0}, "sentinel", "voltage: 511 is a sentinel value", True),
        ({"soc": 255.0}, "sentinel", "soc: 255 is a sentinel value", True),
        ({"current": 65535.0}, "sentinel", "current: 65535 is a sentinel value", True),
        ({"voltage": 1200.0}, "out_of_range", "voltage: 1200 is out of range, 70 to 780", True),
        ({"temp": -273.15}, "out_of_range", "temp: -273.15 is out of range, -60 to 250", True),
        ({"soc": 50.0}, "jump", "soc: jumped from 60 to 50 in 1 s", False),
        ({"temp": 109.0}, "jump", "temp: jumped from 25 to 109 in 1 s", False),
        ({"voltage": 300.0}, "jump", "voltage: jumped from 350 to 300 in 1 s", False),
    ],
)
def test_one_bad_signal(signals: dict[str, float], kind: Any, text: str, unusable: bool) -> None:
    quality = monitor(NORMAL)
    assert quality.step(1.0, changed(**signals)) == (Finding(next(iter(signals)), kind, text, unusable),)
    assert quality.step(2.0, NORMAL) == () or kind == "jump"


def test_a_first_reading_has_no_past() -> None:
    assert monitor().step(1e9, NORMAL) == ()
    assert kinds(monitor().step(1e9, changed(temp=125.0, voltage=NAN))) == [
        ("voltage", "missing"),
        ("temp", "sentinel"),
    ]


def test_a_sentinel_value_reached_continuously_is_a_reading() -> None:
    quality = monitor(changed(temp=123.0))
    for time, temp in enumerate((124.0, 125.0, 125.0, 124.0, 125.0), start=1):
        assert quality.step(float(time), changed(temp=temp)) == ()
    quality = monitor(NORMAL)
    for time in range(1, 4):  # for as long as it lasts
        assert kinds(quality.step(float(time), changed(temp=125.0))) == [("temp", "sentinel")]


def test_a_slow_change_is_no_jump() -> None:
    assert monitor(NORMAL).step(100.0, changed(temp=35.0)) == ()
    assert kinds(monitor(NORMAL).step(100.0, changed(temp=35.2))) == [("temp", "jump")]
    quality = monitor(NORMAL)
    for time in range(1, 60):  # missing meanwhile
        quality.step(float(time), changed(temp=NAN))
    assert quality.step(60.0, changed(temp=31.0)) == ()


def test_nothing_is_said_of_what_happened_in_a_gap() -> None:
    assert monitor(NORMAL).step(7200.0, (400.0, 0.0, 10.0, 100.0)) == (
        Finding("time", "stale", "time: 7200 s since the reading before", unusable=False),
    )


def test_nothing_is_said_of_what_happened_while_a_signal_was_missing_for_long() -> None:
    for missing, said in ((30, [("temp", "jump")]), (130, [])):
        quality = monitor(NORMAL)
        for time in range(1, missing):
            quality.step(float(time), changed(temp=NAN))
        assert kinds(quality.step(float(missing), changed(temp=45.0))) == said


def test_far_back_in_time_a_new_recording_begins() -> None:
    quality = monitor(NORMAL)
    quality.step(5000.0, NORMAL)
    assert quality.step(10.0, changed(temp=60.0)) == (
        Finding("time", "time_backwards", "time: 4990 s before the reading before, a new recording", unusable=False),
    )
    assert quality.step(11.0, changed(temp=60.0)) == ()


def test_time_that_stands_still_or_goes_back() -> None:
    quality = monitor(NORMAL)
    assert quality.step(0.0, NORMAL) == (
        Finding("time", "duplicate_time", "time: the same as the reading before", unusable=False),
    )
    assert quality.step(-5.0, NORMAL) == (
        Finding("time", "time_backwards", "time: 5 s before the reading before", unusable=True),
    )
    assert quality.step(-4.0, NORMAL) == ()
    for nowhere in (NAN, math.inf, -math.inf):
        assert quality.step(nowhere, NORMAL) == (Finding("time", "missing", "time: missing", unusable=True),)
    assert quality.step(-3.0, NORMAL) == ()


def test_a_frozen_voltage() -> None:
    quality = monitor(NORMAL)
    said: list[tuple[Finding, ...]] = []
    for time in range(1, 10):
        state, quality = quality.state(), ReadingQuality(RULE, SIGNALS)
        quality.restore(state)
        said.append(quality.step(float(time), changed(current=10.0 * (time % 2))))
    assert [kinds(findings) for findings in said] == [[]] * 5 + [[("voltage", "frozen")]] * 4
    assert said[5][0].text == "voltage: unchanged at 350 for 6 s while current moved by 50 A"
    assert not said[5][0].unusable
    assert quality.step(10.0, changed(voltage=350.1, current=10.0)) == ()


def test_other_frozen_signals() -> None:
    quality = monitor(NORMAL)
    said = [kinds(quality.step(float(time), changed(voltage=350.0 + time % 2))) for time in range(1, 8)]
    assert said[-1] == [("current", "frozen")]
    quality = monitor(changed(current=120.0))
    said = [kinds(quality.step(float(t), changed(current=120.0, voltage=350.0 - t / 100))) for t in range(1, 72)]
    assert said.index([("soc", "frozen")]) == 29  # 30 s of 120 A are 3600 A s
    assert said.index([("temp", "frozen"), ("soc", "frozen")]) == 69  # 70 s of 120 A are 1.0e6 A² s


def test_rest_is_not_frozen() -> None:
    quality = monitor(changed(current=0.0))
    for time in range(1, 100_000, 60):
        assert quality.step(float(time), changed(current=0.0)) == ()


def test_a_gap_starts_runs_anew() -> None:
    quality = monitor(NORMAL)
    for time in range(1, 5):
        assert quality.step(float(time), changed(current=10.0 * (time % 2))) == ()
    assert kinds(quality.step(1000.0, NORMAL)) == [("time", "stale")]
    for time in range(1001, 1005):
        assert quality.step(float(time), changed(current=10.0 * (time % 2))) == ()


def test_a_signal_without_a_rule_is_missing_or_not() -> None:
    quality = ReadingQuality(RULE, ("cell_voltage_min", "voltage"))
    assert quality.step(0.0, (3.8, 350.0)) == ()
    assert kinds(quality.step(1.0, (1e30, 350.0))) == []
    assert kinds(quality.step(2.0, (NAN, 350.0))) == [("cell_voltage_min", "missing")]
    assert kinds(quality.step(3.0, (math.inf, 350.0))) == [("cell_voltage_min", "not_finite")]
    no_rule = ReadingQuality(QualityRule((RULE.signals[3],), 60.0), SIGNALS)
    for time in range(5):
        assert no_rule.step(float(time), changed(current=1.5e308, voltage=-1.5e308)) == ()
    no_rule.restore(json.loads(json.dumps(no_rule.state(), allow_nan=False)))


values = st.one_of(
    st.sampled_from([NAN, math.inf, -math.inf, 0.0, -40.0, 125.0, 511.0, 65535.0, 350.0, 25.0]),
    st.floats(-100.0, 400.0).map(lambda value: round(value, 1)),
    st.floats(),
)
readings = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 1.0, 30.0, 121.0, -3.0]), st.tuples(values, values, values, values)),
    max_size=30,
)


@given(readings, st.integers(0, 30))
def test_a_restored_state_goes_on_the_same(rows: list[tuple[float, tuple[float, ...]]], cut: int) -> None:
    whole, first, time = ReadingQuality(RULE, SIGNALS), ReadingQuality(RULE, SIGNALS), 1e9
    for number, (step, reading) in enumerate(rows):
        if number == cut:
            state = json.loads(json.dumps(first.state(), allow_nan=False))
            first = ReadingQuality(RULE, SIGNALS)
            first.restore(state)
        time += step
        assert whole.step(time, reading) == first.step(time, reading)
    assert whole.state() == first.state()


@given(readings)
def test_what_is_not_a_number_is_never_usable(rows: list[tuple[float, tuple[float, ...]]]) -> None:
    quality, time = ReadingQuality(RULE, SIGNALS), 0.0
    for step, reading in rows:
        time += step
        findings = quality.step(time, reading)
        unusable = {finding.signal for finding in findings if finding.unusable}
        for name, value, rule in zip(SIGNALS, reading, RULE.signals, strict=True):
            if not rule.lowest <= value <= rule.highest:
                assert name in unusable or "time" in unusable
        assert all(finding.text.startswith(f"{finding.signal}: ") for finding in findings)


@pytest.mark.parametrize(
    "change",
    [
        {"signals": ["voltage"]},
        {"time": "now"},
        {"time": math.nan},
        {"last": [1.0]},
        {"at": None},
        {"since": [1.0, 2.0, 3.0, True]},
        {"moved": [0.0, 0.0, 0.0, None]},
    ],
)
def test_a_state_that_is_none(change: dict[str, Any]) -> None:
    quality = monitor(NORMAL)
    state = quality.state()
    with pytest.raises(ArtifactError, match="this is no state of the reading quality of voltage, current, temp, soc"):
        quality.restore(state | change)
    with pytest.raises(ArtifactError, match="this is no state"):
        quality.restore({})
    assert quality.state() == state


def test_json_round_trip() -> None:
    document = quality_rule_document(RULE)
    data = json.dumps(document, allow_nan=False).encode()
    assert quality_rule_of(Members(parse_object(data), "quality")) == RULE
    document["later"] = document["signals"][0]["later"] = 1  # what a later minor writer adds
    assert quality_rule_of(Members(document, "quality")) == RULE
    never = dataclasses.replace(RULE.signals[0], frozen_after_s=None, driver="none")
    rule = QualityRule((never,), 60.0)
    assert quality_rule_of(Members(quality_rule_document(rule))) == rule


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("stale_after_s", "long", "quality.stale_after_s must be a number"),
        ("stale_after_s", 0.0, "stale_after_s must be above 0, not 0.0"),
        (
            "version",
            QUALITY_RULE_VERSION + 1,
            "the quality rule has version 2, this runtime reads up to 1: update ev-qa",
        ),
        ("signals", {}, "quality.signals must be a list"),
        ("signals", [quality_rule_document(RULE)["signals"][0]] * 2, "the quality rule names a signal twice"),
    ],
)
def test_malformed_rules(member: str, value: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        quality_rule_of(Members(quality_rule_document(RULE) | {member: value}, "quality"))


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("driver", "wind", r"quality.signals\[0\].driver must be one of none, current"),
        ("sentinels", ["x"], r"quality.signals\[0\].sentinels must be a number"),
        ("lowest", 1e6, "quality of 'voltage': lowest 1000000.0 is not below 780.0"),
        ("largest_rate", -1.0, "quality of 'voltage': a rate, step or resolution is negative"),
    ],
)
def test_malformed_signals(member: str, value: Any, message: str) -> None:
    document = quality_rule_document(RULE)
    document["signals"][0][member] = value
    with pytest.raises(ArtifactError, match=message):
        quality_rule_of(Members(document, "quality"))
