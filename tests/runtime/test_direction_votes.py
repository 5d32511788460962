"""The running votes on a current's direction decide as the batch does, in bounded memory, saved and restored or not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import direction_votes
from ev_qa_runtime.current_direction import direction_evidence, evidence_of
from ev_qa_runtime.direction_votes import DirectionVotes

ROOT = Path(__file__).parents[2]
TRIPS = sorted((ROOT / "demo" / "telemetry").glob("*.csv"))
CAR = ROOT.parent / "shared" / "data" / "ev_fault_car" / "car4.csv"
SIGNALS = ("voltage", "current", "soc")
Rows = list[tuple[float, list[float]]]


def read(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    time = "time_s" if "time_s" in table[0] else "timestamp"
    return [
        (float(row[time]) if time == "time_s" else float(number) * 10.0, [float(row[name]) for name in SIGNALS])
        for number, row in enumerate(table)
    ]


def votes_of(rows: Rows, sign: float = 1.0) -> DirectionVotes:
    votes = DirectionVotes(SIGNALS)
    for time, (voltage, current, soc) in rows:
        votes.step(time, [voltage, sign * current, soc])
    return votes


def batch_direction(rows: Rows, sign: float) -> str | None:
    time = np.array([time for time, _ in rows])
    voltage, current, soc = np.array([reading for _, reading in rows]).T
    return direction_evidence(time, sign * current, soc=soc, voltage=voltage).direction


@pytest.mark.parametrize("every", [1, 5, 30])
def test_the_decision_is_that_of_the_batch(every: int) -> None:
    for path in TRIPS:
        rows = read(path)[::every]
        for sign, direction in ((1.0, "discharge_positive"), (-1.0, "charge_positive")):
            found = evidence_of(*votes_of(rows, sign).votes()).direction
            assert found == batch_direction(rows, sign), path.stem
            assert found in (None, direction)


@pytest.mark.skipif(not CAR.exists(), reason="the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv")
def test_the_real_car() -> None:
    rows = read(CAR)[:14_890]
    for sign, direction in ((1.0, "discharge_positive"), (-1.0, "charge_positive")):
        assert evidence_of(*votes_of(rows, sign).votes()).direction == direction == batch_direction(rows, sign)


def test_nothing_is_said_at_rest_or_of_nothing() -> None:
    assert votes_of([]).votes() == ((0, 0), (0, 0))
    at_rest = [(float(second), [350.0, 0.0, 80.0]) for second in range(1000)]
    assert evidence_of(*votes_of(at_rest).votes()).direction is None


odd = st.one_of(st.floats(-500.0, 500.0), st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e308, -0.0]))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), odd, odd, odd), max_size=40), st.integers(0, 40))
def test_a_restored_state_votes_on_with_the_same_bits(rows: list[tuple[float, ...]], at: int) -> None:
    whole, first = DirectionVotes(SIGNALS), DirectionVotes(SIGNALS)
    for number, (time, *reading) in enumerate(rows):
        if number == at:
            later = DirectionVotes(SIGNALS)
            later.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
            first = later
        whole.step(time, reading)
        first.step(time, reading)
    assert first.votes() == whole.votes()
    assert first.state() == whole.state()


def test_the_state_is_small_and_old_votes_fade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direction_votes, "MOST_STEPS", 2000)
    monkeypatch.setattr(direction_votes, "MOST_SOC_VOTES", 20)
    right, votes = read(TRIPS[0]), DirectionVotes(SIGNALS)
    for lap in range(6):
        sign = 1.0 if lap < 3 else -1.0
        for time, (voltage, current, soc) in right:
            votes.step(time + lap * 10_000.0, [voltage, sign * current, soc])
        if lap == 2:
            assert evidence_of(*votes.votes()).direction == "discharge_positive"
    assert evidence_of(*votes.votes()).direction == "charge_positive"
    state = votes.state()
    assert sum(steps for _, steps, *_ in state["steps"]) <= 2000
    assert sum(state["soc"]) <= 20
    assert len(json.dumps(state)) < 1000
    votes.clear()
    assert votes.votes() == ((0, 0), (0, 0))


@pytest.mark.parametrize(
    "damage",
    [
        {"steps": [[25, 1, 0, 0]]},
        {"steps": [[-1, 1, 0, 0]]},
        {"steps": [[1, 0.5, 0, 0]]},
        {"steps": [[1, 1]]},
        {"steps": None},
        {"soc": [1]},
        {"soc": [True, 1]},
        {"least": "x"},
        {"last": [1.0]},
        {"known": [1e400, 0.0, 0.0]},
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(damage: dict[str, object]) -> None:
    votes = votes_of(read(TRIPS[0])[:50])
    before = votes.state()
    with pytest.raises((ValueError, TypeError)):
        votes.restore(before | damage)
    assert votes.state() == before
