"""Readings in another unit than the model's, told by running counts; the same in any chunks, and from a saved state."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import Detector, load_model
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.sample_drive import sample_drive
from ev_qa_runtime.unit_tally import FEWEST_READINGS, Suspicion, UnitTally

MODEL = Path(__file__).parents[1] / "data" / "models" / "over_time_v1.1.0"
SUSPECTED = (
    Suspicion(0, "soc", 0.0, 1.0, 0.95, False, "", "a share of 1"),
    Suspicion(1, "current", 3000.0, 3e6, 0.5, True, " A", "like milliamperes"),
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_model(MODEL)


@pytest.fixture(scope="module")
def drive(detector: Detector) -> dict[str, Any]:
    monitoring = detector.contract.monitoring
    assert monitoring is not None
    table = {name: np.array(column) for name, column in sample_drive(monitoring.recipe, 300).items()}
    middle = sum(monitoring.recipe.voltage.soc_range) / 2.0
    return table | {"soc": middle - 0.001 * np.arange(300)}


MISTAKES = [
    ("soc", lambda soc: soc / 100.0, "a share of 1 where per cent .* 'soc_fraction'"),
    ("voltage", lambda volts: volts * 1000.0, "voltage goes from .* like millivolts .* 'voltage_mv'"),
    ("current", lambda amperes: amperes * 1000.0 + 9e4, "current goes from .* like milliamperes .* 'current_ma'"),
    ("temp", lambda degrees: degrees + 273.15, "temp goes from .* like kelvin .* 'temp_k'"),
]


@pytest.mark.parametrize(("signal", "mistaken", "said"), MISTAKES)
def test_another_unit_is_said(detector: Detector, drive: dict[str, Any], signal: str, mistaken: Any, said: str) -> None:
    wrong = drive | {signal: mistaken(drive[signal])}
    with pytest.warns(UserWarning, match=said):
        remark = detector.verdicts(wrong).telemetry.remark
    stream = detector.stream(f"in other units: {signal}")
    rows = zip(*(column.tolist() for column in wrong.values()), strict=True)
    for row in rows:
        stream.score(**dict(zip(wrong, row, strict=True)))
    assert stream.remark == remark
    assert f"{signal} comes in steps" not in (remark or "")


def test_the_units_of_training_are_not(detector: Detector, drive: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        remark = detector.verdicts(drive).telemetry.remark or ""
    assert "name the column" not in remark


def tally_of(rows: list[tuple[float, float]]) -> UnitTally:
    tally = UnitTally(SUSPECTED)
    for row in rows:
        tally.step(row)
    return tally


def test_how_many_readings_it_takes() -> None:
    assert tally_of([(0.5, 10.0)] * (FEWEST_READINGS - 1)).remark() is None
    assert tally_of([(0.5, 10.0)] * FEWEST_READINGS).suspected() == ("soc",)
    assert tally_of([(0.5, 4000.0)] * FEWEST_READINGS + [(50.0, 10.0)] * 2).suspected() == ("current",)
    assert tally_of([(0.0, float("nan"))] * 99).remark() is None


READINGS = st.sampled_from([0.0, 0.3, 0.9, 1.0, 55.0, -4e4, 2e5, float("nan")])


@given(st.lists(st.tuples(READINGS, READINGS), max_size=80), st.integers(0, 80))
def test_a_saved_state_goes_on(rows: list[tuple[float, float]], cut: int) -> None:
    first = tally_of(rows[:cut])
    later = UnitTally(SUSPECTED)
    later.restore(json.loads(json.dumps(first.state())))
    for row in rows[cut:]:
        later.step(row)
    whole = tally_of(rows)
    assert (later.remark(), later.state()) == (whole.remark(), whole.state())
    inside = [value for value, _ in rows if 0.0 < value <= 1.0]
    told = [value for value, _ in rows if not math.isnan(value) and value != 0.0]
    assert ("soc" in whole.suspected()) == (len(told) >= FEWEST_READINGS and len(inside) >= 0.95 * len(told))


@pytest.mark.parametrize("state", [{}, {"soc": [1, 2]}, {"soc": [1, 2, None, 3.0], "current": [0, 0, None, None]}])
def test_a_foreign_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(TelemetryError, match="this is not the state of a vehicle's units: "):
        UnitTally(SUSPECTED).restore(state)
