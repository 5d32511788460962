"""Which way the current is counted is found on simulated and real drives, at any sampling; nothing is said at rest."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.current_direction import DirectionEvidence, contradiction, direction_evidence

ROOT = Path(__file__).parents[2]
TRIPS = sorted((ROOT / "demo" / "telemetry").glob("*.csv"))
CAR = ROOT.parent / "shared" / "data" / "ev_fault_car" / "car4.csv"
Columns = dict[str, np.ndarray]


def read(path: Path, time: str) -> Columns:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in ("voltage", "current", "soc")}
    seconds = [float(row[time]) if time == "time_s" else datetime.fromisoformat(row[time]).timestamp() for row in rows]
    return columns | {"time": np.array(seconds)}


def evidence(columns: Columns, every: int = 1, turn: bool = False, **changes: np.ndarray) -> DirectionEvidence:
    thinned = {name: column[::every] for name, column in (columns | changes).items()}
    current = -thinned["current"] if turn else thinned["current"]
    return direction_evidence(thinned["time"], current, soc=thinned["soc"], voltage=thinned["voltage"])


@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.stem)
def test_demo_trips(trip: Path) -> None:
    columns = read(trip, "time_s")
    assert evidence(columns).direction == "discharge_positive"
    assert evidence(columns, turn=True).direction == "charge_positive"


@pytest.mark.parametrize("every", [1, 5, 30])
def test_all_demo_trips_at_other_rates(every: int) -> None:
    trips = [read(trip, "time_s") for trip in TRIPS]
    numbers = np.concatenate([np.full(len(trip["time"][::every]), number) for number, trip in enumerate(trips)])
    columns = {name: np.concatenate([trip[name][::every] for trip in trips]) for name in trips[0]}
    for sign, direction in ((1.0, "discharge_positive"), (-1.0, "charge_positive")):
        found = direction_evidence(
            columns["time"],
            sign * columns["current"],
            soc=columns["soc"],
            voltage=columns["voltage"],
            vehicle=numbers,
        )
        assert found.direction == direction


def test_vehicles_may_be_interleaved() -> None:
    one, other = read(TRIPS[0], "time_s"), read(TRIPS[1], "time_s")
    rows = min(len(one["time"]), len(other["time"]))
    mixed = {name: np.column_stack([one[name][:rows], other[name][:rows]]).ravel() for name in one}
    vehicle = np.tile([0, 1], rows)
    both = [direction_evidence(c["time"][:rows], c["current"][:rows], soc=c["soc"][:rows], voltage=c["voltage"][:rows])
            for c in (one, other)]  # fmt: skip
    found = direction_evidence(
        mixed["time"], mixed["current"], soc=mixed["soc"], voltage=mixed["voltage"], vehicle=vehicle
    )
    assert found.soc_votes == tuple(map(sum, zip(*(each.soc_votes for each in both), strict=True)))
    assert found.voltage_votes == tuple(map(sum, zip(*(each.voltage_votes for each in both), strict=True)))


@pytest.mark.skipif(not CAR.exists(), reason="the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv")
@pytest.mark.parametrize("rows", [slice(None), slice(0, 500), slice(5000, 5500), slice(0, 14_890, 4)])
def test_the_real_car(rows: slice) -> None:
    columns = {name: column[rows] for name, column in read(CAR, "timestamp").items()}
    assert evidence(columns).direction == "discharge_positive"
    assert evidence(columns, turn=True).direction == "charge_positive"


def test_coarse_and_noisy_readings() -> None:
    columns = read(TRIPS[-1], "time_s")
    rows = len(columns["time"])
    rng = np.random.default_rng(0)
    rough = {
        "soc": np.round(columns["soc"]),
        "voltage": columns["voltage"] + rng.normal(0.0, 1.0, rows),
        "current": columns["current"] + rng.normal(0.0, 3.0, rows),
    }
    assert evidence(columns, **rough).direction == "discharge_positive"
    assert evidence(columns, turn=True, **rough).direction == "charge_positive"


@pytest.mark.parametrize("missing", ["soc", "voltage"])
def test_either_law_is_enough(missing: str) -> None:
    columns = read(TRIPS[-1], "time_s")
    found = evidence(columns, **{missing: np.full(len(columns["time"]), np.nan)})
    assert found.direction == "discharge_positive"
    assert (found.soc_votes if missing == "soc" else found.voltage_votes) == (0, 0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 30.0]), st.floats(-0.5, 0.5))
def test_nothing_is_said_at_rest(seed: int, step: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    rows = 3000
    found = direction_evidence(
        np.arange(rows) * step,
        offset + np.round(rng.normal(0.0, 0.2, rows), 1),
        soc=np.round(60.0 + np.cumsum(rng.normal(0.0, 0.01, rows)), 1),
        voltage=np.round(350.0 + rng.normal(0.0, 0.2, rows), 1),
    )
    assert found.direction is None
    assert contradiction(found, "charge_positive") is None


def test_an_offset_of_the_sensor_is_no_current() -> None:
    """SoC is corrected upwards at rest, while a sensor that reads 0.5 A says that it should fall."""
    seconds = np.arange(0.0, 100_000.0, 10.0)
    found = direction_evidence(seconds, np.full(len(seconds), 0.5), soc=np.round(50.0 + seconds / 5000.0, 1))
    assert found == DirectionEvidence(None, (0, 0), (0, 0), 0.0)


def test_too_little_to_say() -> None:
    for rows in range(3):
        nothing = np.zeros(rows)
        found = direction_evidence(nothing, nothing, soc=nothing, voltage=nothing)
        assert found == DirectionEvidence(None, (0, 0), (0, 0), 0.0)


def test_laws_that_contradict_each_other_say_nothing() -> None:
    columns = read(TRIPS[-1], "time_s")
    rows = len(columns["time"]) // 2
    half_turned = columns["current"] * np.where(np.arange(len(columns["time"])) < rows, 1.0, -1.0)
    assert evidence(columns, current=half_turned).confidence < 0.999


def test_a_contradiction_says_what_to_do() -> None:
    found = DirectionEvidence("charge_positive", (2, 31), (10, 240), 0.9999)
    assert contradiction(found, "charge_positive") is None
    assert contradiction(found, "unspecified") is None
    assert contradiction(found, "discharge_positive") == (
        "current looks charge_positive, but discharge_positive was given (SoC: 31 of 33 intervals, voltage: 240 of 250"
        " steps): give current_sign='charge_positive' or check the current sensor"
    )
