"""Rules learnt on healthy telemetry let healthy telemetry pass, at any sampling rate, and find what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ev_qa_framework.quality_rule import LEAST_STALE_AFTER_S, fit_quality_rule
from ev_qa_runtime import TelemetryError
from ev_qa_runtime.physics.recipe import NEEDED_SIGNALS, OPTIONAL_SIGNALS
from ev_qa_runtime.reading_quality import QualityRule, ReadingQuality, quality_rule_document, quality_rule_of
from ev_qa_runtime.signals import SignalTable, read_signals
from ev_qa_runtime.strict_json import Members

ROOT = Path(__file__).parents[2]
TELEMETRY = ROOT / "demo" / "telemetry"
CAR = ROOT.parent / "shared" / "data" / "ev_fault_car" / "car4.csv"
NO_CAR = pytest.mark.skipif(
    not CAR.exists(), reason="the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv"
)
HEALTHY = sorted(TELEMETRY.glob("healthy_*.csv"))


def trip(path: Path, every: int = 1) -> pd.DataFrame:
    return pd.read_csv(path).iloc[::every].assign(vehicle_id=path.stem)


def read(frame: Any) -> SignalTable:
    return read_signals(frame, NEEDED_SIGNALS, "discharge_positive", optional=OPTIONAL_SIGNALS)


def found(rule: QualityRule, frame: pd.DataFrame) -> Counter[tuple[str, str]]:
    """How often each kind was found for each signal, every vehicle on its own."""
    table = read(frame)
    counts: Counter[tuple[str, str]] = Counter()
    for vehicle in range(len(table.vehicles)):
        quality, rows = ReadingQuality(rule, table.names), table.rows_of(vehicle)
        for time, reading in zip(table.time[rows].tolist(), table.values[rows].tolist(), strict=True):
            counts.update((finding.signal, finding.kind) for finding in quality.step(time, reading))
    return counts


@pytest.fixture(scope="module")
def held_out() -> list[Path]:
    return HEALTHY[::3]


@pytest.fixture(scope="module")
def rule(held_out: list[Path]) -> QualityRule:
    return fit_quality_rule(read(pd.concat([trip(path) for path in HEALTHY if path not in held_out])))


def test_what_is_learnt(rule: QualityRule) -> None:
    by_name = {quality.signal: quality for quality in rule.signals}
    assert tuple(by_name) == NEEDED_SIGNALS
    assert rule.stale_after_s == LEAST_STALE_AFTER_S
    assert {quality.resolution for quality in rule.signals} == {0.1}
    assert [quality.driver for quality in rule.signals] == ["current", "voltage", "heat", "charge"]
    assert -40.0 in by_name["temp"].sentinels
    assert 0.0 in by_name["voltage"].sentinels
    assert quality_rule_of(Members(quality_rule_document(rule))) == rule


@pytest.mark.parametrize("every", [1, 5, 30])
def test_held_out_trips_pass(rule: QualityRule, held_out: list[Path], every: int) -> None:
    assert not found(rule, pd.concat([trip(path, every) for path in held_out]))


def test_a_rule_learnt_at_30_s_lets_1_s_pass(held_out: list[Path]) -> None:
    slow = fit_quality_rule(read(pd.concat([trip(path, 30) for path in HEALTHY if path not in held_out])))
    assert not found(slow, pd.concat([trip(path) for path in held_out]))


@pytest.mark.parametrize("signal", ["voltage", "current"])
def test_stuck_sensors_of_the_demo(rule: QualityRule, signal: str) -> None:
    frame = pd.read_csv(TELEMETRY / f"fault_{signal}_stuck_01.csv")
    counts = found(rule, frame)
    assert set(counts) == {(signal, "frozen")}
    assert counts[signal, "frozen"] > 0.9 * frame["fault"].sum()


@pytest.mark.parametrize("signal", ["voltage", "current", "soc"])
def test_sensors_that_get_stuck_on_a_drive(rule: QualityRule, signal: str) -> None:
    for path in HEALTHY:
        if "drive" in path.name:
            frame = trip(path)
            frame.loc[600:, signal] = frame.loc[600, signal]
            assert found(rule, frame)[signal, "frozen"] > 0, path.name


def test_dropouts_and_sentinels(rule: QualityRule, held_out: list[Path]) -> None:
    frame = trip(held_out[-1])
    frame.loc[100:199, "voltage"] = 0.0
    frame.loc[300:349, "temp"] = -40.0
    frame.loc[400, "soc"] = np.nan
    frame.loc[500, "soc"] -= 8.0
    assert found(rule, frame) == {
        ("voltage", "sentinel"): 100,
        ("temp", "sentinel"): 50,
        ("soc", "missing"): 1,
        ("soc", "jump"): 2,
    }


def test_bad_readings_do_not_widen_the_rule(rule: QualityRule, held_out: list[Path]) -> None:
    frame = pd.concat([trip(path) for path in HEALTHY if path not in held_out], ignore_index=True)
    frame.loc[::500, "temp"] = -40.0
    frame.loc[::700, "voltage"] = 0.0
    frame.loc[::900, "soc"] = np.nan
    for quality, clean in zip(fit_quality_rule(read(frame)).signals, rule.signals, strict=True):
        assert quality.sentinels == clean.sentinels
        assert quality.largest_step == pytest.approx(clean.largest_step, rel=0.05)
        assert quality.lowest == clean.lowest


def test_a_sentinel_value_that_healthy_cars_show_is_none(held_out: list[Path]) -> None:
    winter = pd.concat([trip(path) for path in held_out])
    winter["temp"] -= np.round(winter["temp"].median()) + 40.0
    quality = {quality.signal: quality for quality in fit_quality_rule(read(winter)).signals}["temp"]
    assert -40.0 not in quality.sentinels
    assert 125.0 in quality.sentinels


@NO_CAR
def test_the_real_car() -> None:
    """Trained on rows 0 to 12,000; the rows up to the thermal event pass, but for gaps, which are real."""
    frame = pd.read_csv(CAR)
    rule = fit_quality_rule(read(frame[:12_001]))
    assert set(found(rule, frame[:14_891])) == {("time", "stale")}
    event = found(rule, frame[14_880:])
    assert event["temp", "jump"] >= 1
    assert event["cell_voltage_min", "jump"] >= 1
    assert event["cell_voltage_max", "sentinel"] == 3
    assert not event["temp", "sentinel"]  # 125 °C is reached continuously: it burns


def test_too_little_to_learn_from() -> None:
    frame = trip(HEALTHY[0])
    with pytest.raises(TelemetryError, match="too few readings one after the other to learn their quality: give at"):
        fit_quality_rule(read(frame[:5]))
    with pytest.raises(TelemetryError, match="signal 'temp' has too few usable readings to learn their quality"):
        fit_quality_rule(read(frame.assign(temp=np.nan)))


def test_signals_that_never_move(held_out: list[Path]) -> None:
    rule = fit_quality_rule(read(trip(held_out[-1])[:500].assign(current=0.0, soc=50.0, voltage=350.0, temp=20.0)))
    assert all(quality.frozen_after_s is None for quality in rule.signals)
    assert all(quality.largest_step > 0.0 for quality in rule.signals)


@pytest.mark.parametrize("form", [lambda frame: frame, pa.Table.from_pandas], ids=["pandas", "pyarrow"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_tables_of_every_library(form: Callable[[pd.DataFrame], Any], zone: str | None) -> None:
    frame = trip(HEALTHY[0])[:50]
    seconds = frame["time_s"].to_numpy() + 1_555_403_211.0
    moments = pd.Series(pd.to_datetime(seconds, unit="s", utc=True), index=frame.index)
    frame = frame.drop(columns="time_s").assign(timestamp=moments.dt.tz_convert(zone))
    table = read(form(frame))
    assert table.time.tolist() == seconds.tolist()
    assert table.vehicles == (HEALTHY[0].stem,)
    np.testing.assert_array_equal(table.values, frame[list(NEEDED_SIGNALS)].to_numpy())


def test_nanoseconds_of_pandas() -> None:
    moments = pd.to_datetime(np.array([1_555_403_211_123_456_789, 0]), utc=True)
    frame = pd.DataFrame({"time": moments, "voltage": [1.0, 2.0]})
    for column in (frame, frame.astype({"time": object}), frame.assign(time=moments.tz_localize(None))):
        table = read_signals(column, ("voltage",), "discharge_positive")
        assert table.time.tolist() == [1_555_403_211 + 0.123456789, 0.0]
