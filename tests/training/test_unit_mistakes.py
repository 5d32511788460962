"""Telemetry in another unit than its column says is refused in training; odd but possible telemetry is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.over_time import prepare
from ev_qa_framework.unit_mistakes import refuse_unit_mistakes
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.physics.recipe import NEEDED_SIGNALS, OPTIONAL_SIGNALS
from ev_qa_runtime.signals import read_signals

TELEMETRY = Path(__file__).parents[2] / "demo" / "telemetry"
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def healthy() -> pd.DataFrame:
    frames = [pd.read_csv(path).assign(trip=number) for number, path in enumerate(sorted(TELEMETRY.glob("healthy_*")))]
    return pd.concat(frames[:6], ignore_index=True)


def check(frame: pd.DataFrame) -> None:
    table = read_signals(frame, NEEDED_SIGNALS, "discharge_positive", optional=OPTIONAL_SIGNALS)
    refuse_unit_mistakes(frame, table)


def slow_charge(frame: pd.DataFrame, per_ampere: float) -> pd.DataFrame:
    """20 A h, charged with 2 A."""
    current = 2.0 + 0.2 * np.sin(np.arange(len(frame)))
    soc = 10.0 + 100.0 * np.cumsum(current) / 3600.0 / 20.0
    return frame.assign(time_s=np.arange(len(frame)), current=-current * per_ampere, soc=np.round(soc, 1), trip=0)


MISTAKES: list[tuple[Change, str]] = [
    (lambda f: f.assign(soc=f["soc"] / 100.0), r"column 'soc' goes from 0\.\d+ to 0\.\d+, a share of 1 .*soc_fraction"),
    (lambda f: f.assign(temp=f["temp"] + 273.15), r"column 'temp' lies around 2\d\d.* degC, .* 'temp_k' for kelvin"),
    (
        lambda f: f.assign(voltage=f["voltage"] * 1000.0).rename(columns={"voltage": "Pack Voltage"}),
        r"column 'Pack Voltage' lies around 3\d{5} V, more than any vehicle shows: .* 'voltage_mv' for millivolts",
    ),
    (lambda f: f.assign(current=f["current"] * 1000.0), r"column 'current' lies around .* A, .* 'current_ma'"),
    (
        lambda f: slow_charge(f, 1000.0),  # of a small pack, in milliamperes
        r"column 'current': by current and time [\d,]+ A h flow for 100 % of charge, .* 'current_ma' for milliamperes",
    ),
    (lambda f: f.assign(time_s=f["time_s"] * 1e3), r"column 'time_s': rows are 1000 s apart, too far .* 'time_ms'"),
    (lambda f: f.assign(time_s=f["time_s"] * 1e6), r"column 'time_s': rows are 1e\+06 s apart, too far"),
    (lambda f: f.assign(time_s=f["time_s"] * 1e9), r"column 'time_s': row 101 holds .* name the unit, as in 'time_ms'"),
    (
        lambda f: f.assign(time_s=f["time_s"] * 100.0),  # 10 Hz in milliseconds
        r"column 'time_s': by current and time [\d,]+ A h flow .* 'time_ms' for milliseconds",
    ),
    (
        lambda f: f.assign(cell_voltage_max=f["voltage"] * 10.5, cell_voltage_min=f["voltage"] * 10.4),
        r"column 'cell_voltage_max' lies around 3\d{3}.* V, .* 'cell_voltage_max_mv' for millivolts",
    ),
    (lambda f: f.assign(temp_min=f["temp"] + 272.0), r"column 'temp_min' lies around .* 'temp_min_k' for kelvin"),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES)
def test_a_mistaken_unit_is_refused_in_training(mistake: Change, said: str, healthy: pd.DataFrame) -> None:
    with pytest.raises(TelemetryError, match=said):
        EVBatteryAnalyzer(features="physics").fit(mistake(healthy))


NAMED: list[Change] = [
    lambda f: f.assign(soc=f["soc"] / 100.0).rename(columns={"soc": "soc_fraction"}),
    lambda f: f.assign(temp=f["temp"] + 273.15).rename(columns={"temp": "temp_k"}),
    lambda f: f.assign(voltage=f["voltage"] * 1000.0).rename(columns={"voltage": "voltage_mv"}),
    lambda f: f.assign(current=f["current"] * 1000.0).rename(columns={"current": "current_ma"}),
    lambda f: f.assign(time_s=f["time_s"] * 1000).rename(columns={"time_s": "time_ms"}),
]


@pytest.mark.parametrize("name", NAMED)
def test_the_unit_that_the_message_asks_for_is_taken(name: Change, healthy: pd.DataFrame) -> None:
    check(name(healthy))


ODD: list[Change] = [
    lambda f: f,
    lambda f: slow_charge(f, 1.0),
    lambda f: f.assign(voltage=f["voltage"] / 30.0),  # 12 V
    lambda f: f.assign(voltage=f["voltage"] / 7.5, current=f["current"] / 40.0),  # 48 V, a small pack
    lambda f: f.assign(voltage=f["voltage"] * 2.3, current=f["current"] * 8.0),  # an 800 V truck
    lambda f: f.assign(temp=f["temp"] - 50.0),  # -30 degC
    lambda f: f.assign(temp=f["temp"] + 40.0),
    lambda f: f.assign(temp=255.0),  # a dead probe is for the quality rule to name
    lambda f: f.assign(soc=0.0),
    lambda f: f.assign(soc=np.nan, current=np.nan),
    lambda f: f.assign(soc=f["soc"] / 20.0),  # a low charge: 1 to 5 %
    lambda f: f[::30],
    lambda f: f[::120],
    lambda f: f.assign(time_s=f["time_s"] + 1.7e9),
    lambda f: f.assign(time_s=pd.to_datetime(f["time_s"] + 1.7e9, unit="s")),
    lambda f: f.assign(current=f["current"].clip(-2.0, 2.0), soc=f["soc"].iloc[0]),  # slow charging, charge unmoved
    lambda f: f[:1],
    lambda f: f[:0],
]


@pytest.mark.parametrize("change", ODD)
def test_odd_but_possible_telemetry_passes(change: Change, healthy: pd.DataFrame) -> None:
    check(change(healthy))


@given(
    voltage=st.floats(10.0, 1000.0),
    capacity_ah=st.floats(2.0, 2000.0),
    hours=st.floats(0.5, 20.0),
    temp=st.floats(-40.0, 70.0),
    step=st.sampled_from([0.1, 1.0, 30.0, 60.0]),
    low=st.floats(0.0, 90.0),
)
def test_any_possible_pack_passes(
    voltage: float, capacity_ah: float, hours: float, temp: float, step: float, low: float
) -> None:
    """A charge by ten per cent, at the rate that this takes, with a ripple; a reading each step, at most 500."""
    rows = np.arange(max(min(500, int(hours * 3600.0 / step / 10.0)), 2))
    time = rows * step
    current = np.minimum(capacity_ah / hours * (1.0 + 0.2 * np.sin(rows)), 2900.0)
    frame = {
        "time": time,
        "voltage": voltage + 0.01 * np.sin(rows),
        "current": -current,
        "temp": temp + 0.1 * np.sin(rows),
        "soc": low + 100.0 * np.cumsum(current) * step / 3600.0 / capacity_ah + 1.0,
    }
    refuse_unit_mistakes(frame, read_signals(frame, NEEDED_SIGNALS, "discharge_positive"))


def test_calibrating_refuses_too_and_scoring_does_not(healthy: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer.load_model(Path(__file__).parents[1] / "data" / "models" / "over_time_v1.0.0")
    kelvin = healthy.assign(temp=healthy["temp"] + 273.15)
    with pytest.raises(TelemetryError, match="column 'temp' lies around"):
        analyzer.calibrate(kelvin, warning_rate=0.05)
    with pytest.warns(UserWarning, match="temp goes from 2.*, like kelvin where degC are needed"):
        verdicts = analyzer.verdicts(kelvin[:100])
    assert verdicts.telemetry.invalid_count == 100
    assert "temp: out of range" in verdicts.summary()["reasons"]


def test_a_table_already_read_is_named_by_its_signals(healthy: pd.DataFrame) -> None:
    table = read_signals(healthy.assign(temp=healthy["temp"] + 273.15), NEEDED_SIGNALS, "discharge_positive")
    with pytest.raises(TelemetryError, match="column 'temp' lies around"):
        prepare(table, "discharge_positive")
