"""Limits: hysteresis, hold time, derived signals, missing values, JSON, and the same bits in tables and streams."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError, TelemetryError
from ev_qa_runtime.limit_monitor import GAP_S, LimitMonitor
from ev_qa_runtime.limit_profiles import PROFILES, profile_limits
from ev_qa_runtime.limit_table import LimitChecker, highest_code
from ev_qa_runtime.limits import Breach, Limit, Limits, limits_document, limits_of
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.strict_json import Members
from ev_qa_runtime.temperature_rate import MOST_KEPT, TemperatureRate

NAN = math.nan
CAR = Path(__file__).parents[3] / "shared" / "data" / "ev_fault_car" / "car4.csv"
TELEMETRY = Path(__file__).parents[2] / "demo" / "telemetry"
SIGNALS = ("voltage", "current", "temp", "temp_min", "cell_voltage_max", "cell_voltage_min")
HOT = Limit("temp", "above", warning=50.0, critical=60.0, hysteresis=2.0)

steps_s = st.sampled_from([0.0, 0.1, 1.0, 1.0, 3.0, 30.0, 700.0, -1.0, -5000.0, NAN])
values = st.one_of(
    st.sampled_from([NAN, math.inf, 1.9, 4.3, 4.6, 29.0, 58.0, 61.0, 109.0, 350.0, 3000.0]), st.floats(-1e3, 1e3)
)
recordings = st.lists(st.tuples(steps_s, st.lists(values, min_size=6, max_size=6)), max_size=40)


def severities(limit: Limit, readings: list[float], step_s: float = 1.0) -> list[str]:
    monitor = LimitMonitor(Limits((limit,)), (limit.signal,))
    return [worst(monitor.step(row * step_s, (value,))) for row, value in enumerate(readings)]


def worst(breaches: tuple[Breach, ...]) -> str:
    return "IWC"[highest_code(breaches)]


def timed(recording: list[tuple[float, list[float]]]) -> list[tuple[float, list[float]]]:
    now, result = 1e9, []
    for step, reading in recording:
        now = now + step if math.isfinite(step) else now
        result.append((now if math.isfinite(step) else NAN, reading))
    return result


def text(breaches: tuple[Breach, ...]) -> tuple[str, ...]:
    return tuple(breach.text for breach in breaches)


def test_a_bound_itself_is_not_beyond() -> None:
    assert severities(HOT, [50.0, 50.1, 60.0, 60.1]) == ["I", "W", "W", "C"]


def test_a_breach_ends_when_the_value_is_back_by_the_hysteresis() -> None:
    assert severities(HOT, [61.0, 59.0, 58.1, 58.0, 49.0, 48.1, 48.0, 49.9]) == list("CCCWWWII")


def test_a_lower_bound_is_an_upper_one_upside_down() -> None:
    low = Limit("soc", "below", warning=5.0, critical=1.0, hysteresis=1.0)
    assert severities(low, [5.0, 4.9, 0.9, 1.9, 2.0, 5.9, 6.0]) == list("IWCCWWI")


def test_a_breach_counts_after_its_hold_time() -> None:
    held = dataclasses.replace(HOT, hold_s=3.0)
    assert severities(held, [55.0] * 5 + [49.0] + [55.0] * 2) == list("IIIWWWWW")
    assert severities(held, [55.0, 55.0, 49.0, 55.0, 55.0, 55.0, 55.0]) == list("IIIIIIW")
    assert severities(held, [61.0, 61.0], step_s=30.0) == ["I", "C"]


def test_a_missing_value_neither_ends_a_breach_nor_counts_towards_one() -> None:
    assert severities(HOT, [61.0, NAN, math.inf, 40.0, NAN]) == list("CCCII")
    held = dataclasses.replace(HOT, hold_s=2.0)
    assert severities(held, [55.0, NAN, 55.0, 55.0, 55.0]) == list("IIIIW")


def test_a_missing_value_is_forgotten_in_the_end() -> None:
    monitor = LimitMonitor(Limits((HOT,)), ("temp", "soc"))
    assert worst(monitor.step(0.0, (61.0, 50.0))) == "C"
    assert worst(monitor.step(GAP_S, (NAN, 50.0))) == "C"
    assert worst(monitor.step(GAP_S + 1.0, (NAN, 50.0))) == "I"


def test_after_a_gap_all_is_judged_afresh() -> None:
    monitor = LimitMonitor(Limits((HOT,)), ("temp",))
    assert worst(monitor.step(0.0, (61.0,))) == "C"
    assert worst(monitor.step(GAP_S + 1.0, (59.0,))) == "W"
    assert worst(monitor.step(-1e6, (49.0,))) == "I"


def test_time_that_runs_backwards_a_little_ends_nothing() -> None:
    monitor = LimitMonitor(Limits((HOT,)), ("temp",))
    assert [worst(monitor.step(time, (temp,))) for time, temp in ((100.0, 61.0), (99.0, 59.0), (NAN, 59.0))] == list(
        "CCC"
    )


def test_the_words() -> None:
    monitor = LimitMonitor(Limits((HOT,)), ("temp",))
    assert text(monitor.step(0.0, (109.0,))) == ("temp 109 degC is above the critical limit of 60 degC",)
    assert text(monitor.step(1.0, (59.0,))) == (
        "temp 59 degC is not yet 2 degC back from above the critical limit of 60 degC",
    )
    (missing,) = monitor.step(2.0, (NAN,))
    assert missing.text == "temp was 59 degC, above the critical limit of 60 degC, and is missing since"
    assert missing.reason == "temp above the critical limit of 60 degC"
    assert (missing.limit, missing.value, missing.severity) == (HOT, 59.0, Severity.CRITICAL)


def test_cell_voltage_is_judged_on_the_extreme_cell_and_on_the_mean_one() -> None:
    limits = Limits((Limit("cell_voltage", "above", 4.25, 4.35),), cells_in_series=96)
    pack = LimitMonitor(limits, ("voltage",))
    assert text(pack.step(0.0, (96 * 4.3,))) == ("cell_voltage 4.3 V is above the warning limit of 4.25 V",)
    both = LimitMonitor(limits, ("voltage", "cell_voltage_max"))
    assert text(both.step(0.0, (96 * 4.1, 4.4))) == ("cell_voltage_max 4.4 V is above the critical limit of 4.35 V",)
    assert both.unwatched == ()
    assert LimitMonitor(Limits(limits.limits), ("voltage",)).unwatched == ("cell_voltage",)


def test_spreads_and_c_rate() -> None:
    limits = Limits(
        (
            Limit("cell_spread", "above", 0.2, 0.5),
            Limit("probe_spread", "above", 15.0, 25.0),
            Limit("c_rate", "below", -4.0, -6.0),
        ),
        capacity_ah=50.0,
    )
    breaches = LimitMonitor(limits, SIGNALS).step(0.0, (350.0, -250.0, 40.0, 20.0, 4.1, 3.5))
    assert text(breaches) == (
        "cell_spread 0.6 V is above the critical limit of 0.5 V",
        "probe_spread 20 degC is above the warning limit of 15 degC",
        "c_rate -5 C is below the warning limit of -4 C",
    )


def test_limits_on_signals_that_are_not_there_rest_and_are_named() -> None:
    monitor = LimitMonitor(PROFILES["nmc"], ("voltage", "temp"))
    assert monitor.unwatched == ("probe_spread", "cell_voltage", "cell_spread", "c_rate")
    assert monitor.step(0.0, (0.0, 20.0)) == ()


@pytest.mark.parametrize("step_s", [0.1, 1.0, 7.0, 30.0])
def test_a_rise_has_its_rate_however_often_it_is_sampled(step_s: float) -> None:
    rate = TemperatureRate()
    found = [rate.step(row * step_s, 20.0 + 0.5 * row * step_s) for row in range(400)]
    assert found[-1] == pytest.approx(0.5)
    assert sum(map(math.isnan, found)) == math.ceil(10.0 / step_s)
    assert len(rate.state()) <= MOST_KEPT


def test_the_window_is_no_longer_than_it_must_be() -> None:
    rate = TemperatureRate()
    found = [rate.step(float(second), 20.0 if second == 0 else 30.0) for second in range(12)]
    assert found[10:] == [1.0, 0.0]


@pytest.mark.parametrize("step_s", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_a_probe_of_whole_degrees_raises_no_alarm(step_s: float, noise: float) -> None:
    temps = np.round(25.5 + np.random.default_rng(0).normal(0.0, noise, 5000))
    found = LimitChecker(PROFILES["li_ion"], ("temp",)).check(np.arange(5000) * step_s, temps[:, None])
    assert not found.severity.any()


def test_a_runaway_is_told_by_its_rate_before_it_is_hot() -> None:
    temps = [20.0] * 20 + [20.0 + 1.5 * second for second in range(1, 20)]
    found = LimitChecker(PROFILES["nmc"], ("temp",)).check(np.arange(39.0), np.array(temps)[:, None])
    assert max(temps) < 50.0
    assert found.severity[:21].max() == 0
    assert found.severity.max() == 2
    assert any("temp_rate" in reason for reason in found.reasons(38))


@given(recordings)
def test_a_table_says_what_the_steps_say(recording: list[tuple[float, list[float]]]) -> None:
    limits = profile_limits("nmc", 96, 50.0)
    rows = timed(recording)
    monitor = LimitMonitor(limits, SIGNALS)
    stepped = [monitor.step(time, reading) for time, reading in rows]
    matrix = np.array([reading for _, reading in rows]).reshape(-1, 6)
    found = LimitChecker(limits, SIGNALS).check(np.array([time for time, _ in rows]), matrix)
    assert found.severity.tolist() == [highest_code(breaches) for breaches in stepped]
    assert [found.reasons(row) for row in range(len(rows))] == [text(breaches) for breaches in stepped]


@given(recordings, st.integers(0, 40))
def test_a_restored_monitor_goes_on_as_if_nothing_had_happened(
    recording: list[tuple[float, list[float]]], cut: int
) -> None:
    limits, rows = profile_limits("nmc", 96, 50.0), timed(recording)
    whole, first, second = (LimitMonitor(limits, SIGNALS) for _ in range(3))
    expected = [whole.step(time, reading) for time, reading in rows]
    found = [first.step(time, reading) for time, reading in rows[:cut]]
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    found += [second.step(time, reading) for time, reading in rows[cut:]]
    assert found == expected
    assert second.state() == whole.state()


@given(recordings)
def test_what_no_bound_allows_is_always_critical(recording: list[tuple[float, list[float]]]) -> None:
    monitor = LimitMonitor(PROFILES["li_ion"], SIGNALS)
    for time, reading in timed(recording):
        breaches = monitor.step(time, reading)
        assert not 60.0 < reading[2] < math.inf or worst(breaches) == "C"
        assert len({(breach.limit, breach.reason) for breach in breaches}) == len(breaches)


def test_vehicles_are_watched_apart() -> None:
    found = LimitChecker(Limits((HOT,)), ("temp",)).check(
        np.zeros(4), np.array([[61.0], [49.0], [59.0], [NAN]]), np.array([0, 1, 0, 1])
    )
    assert found.severity.tolist() == [2, 0, 2, 0]
    assert list(found.breaches) == [0, 2]
    assert found.severity.dtype == np.int64


@pytest.mark.parametrize("shape", [(2, 2), (3, 1), (2,)])
def test_a_table_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TelemetryError, match="limits need one time"):
        LimitChecker(Limits((HOT,)), ("temp",)).check(np.zeros(2), np.zeros(shape))


def test_a_reading_of_another_width_is_refused() -> None:
    with pytest.raises(TelemetryError, match="a reading of 2 values was given to the limits of 1 signals"):
        LimitMonitor(Limits((HOT,)), ("temp",)).step(0.0, (1.0, 2.0))


def damaged(**changes: Any) -> dict[str, Any]:
    monitor = LimitMonitor(Limits((HOT,)), ("temp",))
    monitor.step(0.0, (61.0,))
    return monitor.state() | changes


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        damaged(time="soon"),
        damaged(time=True),
        damaged(temperatures=None),
        damaged(temperatures=[[2.0, 1.0], [1.0, 1.0]]),
        damaged(temperatures=[[0.0, 1.0]] * (MOST_KEPT + 1)),
        damaged(checks={}),
        damaged(checks={"temp above": None, "soc above": None}),
        damaged(checks={"temp above": {"seen": 0.0, "value": 61.0, "levels": [[0.0, True]]}}),
        damaged(checks={"temp above": {"seen": 0.0, "value": 61.0, "levels": [[None, True], [0.0, True]]}}),
        damaged(checks={"temp above": {"seen": math.inf, "value": 61.0, "levels": [[0.0, True], [0.0, True]]}}),
    ],
)
def test_a_state_that_is_not_its_own_is_refused_and_changes_nothing(state: Any) -> None:
    monitor = LimitMonitor(Limits((HOT,)), ("temp",))
    monitor.step(5.0, (61.0,))
    before = monitor.state()
    with pytest.raises(ArtifactError, match="this saved state is not one of these limits"):
        monitor.restore(state)
    assert monitor.state() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tmep", "above", 50.0, 60.0), "there is no such signal or side"),
        (("temp", "beside", 50.0, 60.0), "there is no such signal or side"),
        (("temp", "above", None, None), "needs a warning or a critical bound"),
        (("temp", "above", NAN, 60.0), "needs a warning or a critical bound, finite"),
        (("temp", "above", 60.0, 50.0), "the critical bound 50 is milder than the warning 60"),
        (("temp", "below", -20.0, -10.0), "the critical bound -10 is milder than the warning -20"),
        (("temp", "above", 50.0, 60.0, -1.0), "must be finite and not negative"),
        (("temp", "above", 50.0, 60.0, 0.0, math.inf), "must be finite and not negative"),
    ],
)
def test_a_limit_without_sense_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Limit(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limits": (HOT, HOT)}, "one for each signal and side"),
        ({"cells_in_series": 0}, "cells_in_series must be from 1 to 10000, not 0"),
        ({"capacity_ah": NAN}, "capacity_ah must be a positive number of Ah, not nan"),
    ],
)
def test_limits_without_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        dataclasses.replace(PROFILES["nmc"], **changes)


@pytest.mark.parametrize("profile", PROFILES)
def test_limits_come_back_from_json(profile: str) -> None:
    limits = profile_limits(profile, 96, 0.1 + 0.2)
    document = json.loads(json.dumps(limits_document(limits), allow_nan=False))
    assert limits_of(Members(document)) == limits
    assert limits_of(Members(document | {"later": 1})) == limits


def test_limits_of_a_later_runtime_are_refused() -> None:
    document = limits_document(PROFILES["lfp"])
    with pytest.raises(IncompatibleModelError, match="the limits have version 2, this runtime reads up to 1"):
        limits_of(Members(document | {"version": 2}))
    with pytest.raises(ArtifactError, match=r"limits\[0\]\.signal is missing"):
        limits_of(Members(document | {"limits": [{}]}))


@pytest.mark.parametrize("profile", PROFILES)
def test_healthy_demo_trips_break_no_limit(profile: str) -> None:
    checker = LimitChecker(
        profile_limits(profile, 96 if profile != "lfp" else 108, 170.0), ("voltage", "current", "temp")
    )
    trips = sorted(TELEMETRY.glob("healthy_*.csv"))
    assert len(trips) == 20
    for trip in trips:
        with trip.open(newline="", encoding="utf-8") as file:
            rows = [[float(row[name]) for name in ("time_s", *checker.signals)] for row in csv.DictReader(file)]
        table = np.array(rows)
        assert not checker.check(table[:, 0], table[:, 1:]).severity.any(), trip.name


@pytest.mark.skipif(not CAR.exists(), reason="the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv")
@pytest.mark.parametrize("width", [3, 6])
def test_the_real_fire_is_critical_from_its_first_row(width: int) -> None:
    names = ("voltage", "current", "temperature", "temp_min", "cell_v_max", "cell_v_min")[:width]
    with CAR.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    time = np.array([datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows])
    table = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    found = LimitChecker(profile_limits("li_ion", 88), SIGNALS[:width]).check(time, table)
    assert not found.severity[:14_900].any()
    assert (found.severity[14_900:14_967] == 2).all()
    assert "temp 109 degC is above the critical limit of 60 degC" in found.reasons(14_900)
    if width == 6:  # the probes are dead in the end, the cells are not
        assert (found.severity[14_900:] == 2).all()
