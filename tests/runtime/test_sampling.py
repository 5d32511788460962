"""How readings are sampled against the training data: the record, the running counters, and what is said of it."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ev_qa_runtime import Detector, load_model
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError, TelemetryError
from ev_qa_runtime.fleet_monitor import joined_remarks
from ev_qa_runtime.monitoring import Monitoring, monitoring_document, monitoring_of
from ev_qa_runtime.sample_drive import sample_drive
from ev_qa_runtime.sampling import Resolution, Sampling, sampling_document, sampling_of
from ev_qa_runtime.sampling_tally import FEWEST_STEPS, SamplingTally
from ev_qa_runtime.strict_json import Members

MODEL = Path(__file__).parents[1] / "data" / "models" / "over_time_v1.0.0"
SIGNALS = ("voltage", "temp")
TRAINED = Sampling((1.0, 1.0, 1.2), (Resolution("voltage", 0.1), Resolution("temp", 0.1)))
Row = tuple[float, tuple[float, ...]]
NAMES = count()


def drive(step_s: float, resolution: float, rows: int = 400, seed: int = 0) -> list[Row]:
    """A voltage that jumps and a temperature that creeps up, both in steps of ``resolution``."""
    drawn = random.Random(seed)  # noqa: S311 - readings, no secret
    found = []
    for row in range(rows):
        exact = (drawn.gauss(350.0, 4.0), 20.0 + 0.03 * row + drawn.gauss(0.0, 0.05))
        found.append((step_s * row, tuple(round(round(value / resolution) * resolution, 6) for value in exact)))
    return found


def remark_of(rows: Sequence[Row], sampling: Sampling = TRAINED) -> str | None:
    tally = SamplingTally(sampling, SIGNALS)
    for time, reading in rows:
        tally.step(time, reading)
    return tally.remark()


# --- the record -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(1e-6, 1e9), min_size=3, max_size=3).map(sorted),
    st.lists(
        st.tuples(st.text(max_size=9), st.just(0.0) | st.floats(1e-12, 1e9)), max_size=9, unique_by=lambda x: x[0]
    ),
)
def test_the_record_comes_back_with_the_same_bits(steps: list[float], known: list[tuple[str, float]]) -> None:
    sampling = Sampling((steps[0], steps[1], steps[2]), tuple(Resolution(*one) for one in known))
    assert sampling_of(Members(json.loads(json.dumps(sampling_document(sampling))))) == sampling


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("step_s", [1.0, 1.0], "step_s must be three rising numbers"),
        ("step_s", [2.0, 1.0, 3.0], "step_s must be three rising numbers"),
        ("step_s", [0.0, 1.0, 3.0], "step_s must be three rising numbers"),
        ("step_s", [1.0, 1.0, 1e300], "step_s must be three rising numbers"),
        ("step_s", None, "step_s must be a list"),
        ("version", 0, "version must be an integer of at least 1"),
        ("resolutions", [{"signal": "temp"}], r"resolutions\[0\].step is missing"),
        ("resolutions", [{"signal": "temp", "step": -0.1}], "resolution of 'temp' must be 0 or lie between"),
        ("resolutions", [{"signal": "temp", "step": 1e-300}], "resolution of 'temp' must be 0 or lie between"),
        ("resolutions", [{"signal": "temp", "step": 0.1}] * 2, "at most 64 distinct signals"),
        ("resolutions", [{"signal": str(n), "step": 1.0} for n in range(65)], "at most 64 distinct signals"),
    ],
)
def test_a_malformed_record_is_refused(member: str, value: object, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        sampling_of(Members(sampling_document(TRAINED) | {member: value}))


def test_a_newer_record_is_refused() -> None:
    with pytest.raises(IncompatibleModelError, match="the sampling record has version 2, this runtime reads up to 1"):
        sampling_of(Members(sampling_document(TRAINED) | {"version": 2}))


def test_models_without_a_record_are_read_and_say_so() -> None:
    monitoring = monitoring_at(MODEL)
    document = monitoring_document(replace(monitoring, sampling=None))
    assert "sampling" not in document
    assert monitoring_of(Members(document)).sampling is None
    assert replace(monitoring, sampling=None).summary()["sampling"] is None
    known = monitoring_of(Members(document | {"sampling": sampling_document(TRAINED)}))
    assert known.summary()["sampling"] == "every 1 s (1 to 1.2); resolution: voltage 0.1, temp 0.1"


# --- the counters -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 40.0), st.integers(0, 99))
def test_another_rate_is_said_with_both_figures(step_s: float, seed: int) -> None:
    assume(not (0.99 / 3.0 < step_s < 1.01 / 3.0 or 3.59 < step_s < 3.61))
    said = remark_of(drive(step_s, 0.1, seed=seed))
    if 1.0 / 3.0 < step_s < 3.6:
        assert said is None
    else:
        assert said is not None
        assert said.startswith(f"readings come every {step_s:.3g} s, in training every 1 s: ")
        assert ("thin it out" if step_s < 1.0 else "score more often") in said


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([0.01, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]), st.integers(0, 99))
def test_a_coarser_resolution_is_said_with_both_figures(resolution: float, seed: int) -> None:
    said = remark_of(drive(1.0, resolution, rows=2000, seed=seed))
    if resolution < 0.3:
        assert said is None
    else:
        assert said is not None
        assert f"voltage comes in steps of {resolution:g} V, in training of 0.1 V" in said
        assert f"temp comes in steps of {resolution:g} degC, in training of 0.1 degC: keep the resolution" in said


def test_too_few_rows_say_nothing() -> None:
    rows = drive(10.0, 0.1)
    assert remark_of(rows[:FEWEST_STEPS]) is None
    assert remark_of(rows[: FEWEST_STEPS + 1]) is not None


def test_a_charge_at_constant_power_is_no_coarse_resolution() -> None:
    rows = [(1.0 * row, (round(300.0 + 0.4 * row, 1), 20.0)) for row in range(200)]
    assert remark_of(rows) is None


def test_readings_of_single_precision_are_no_other_resolution() -> None:
    rows = [(time, tuple(float(np.float32(value)) for value in reading)) for time, reading in drive(1.0, 0.1)]
    assert remark_of(rows) is None


def test_pauses_repeated_times_and_missing_readings_are_no_other_rate() -> None:
    rows = drive(1.0, 0.1)
    rows[100:] = [(time + 500.0, reading) for time, reading in rows[100:]]
    doubled = [row for row in rows for _ in range(3)]
    missing = [
        (math.nan, reading) if at % 7 == 0 else (time, (math.nan, 20.0)) for at, (time, reading) in enumerate(rows)
    ]
    assert remark_of(doubled) is None
    assert remark_of(missing) is None


def test_what_is_over_is_no_longer_said() -> None:
    tally = SamplingTally(TRAINED, SIGNALS)
    for time, reading in drive(10.0, 1.0):
        tally.step(time, reading)
    assert tally.remark() is not None
    for time, reading in drive(1.0, 0.1, rows=1500):
        tally.step(1e5 + time, reading)
    assert tally.remark() is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.1, 1.0, 10.0, -5.0, math.nan]), st.sampled_from([20.0, 20.1, 21.0, math.nan])
        ),
        max_size=80,
    ),
    st.integers(0, 80),
)
def test_a_saved_state_goes_on_as_if_nothing_had_happened(steps: list[tuple[float, float]], at: int) -> None:
    whole, tally, time = SamplingTally(TRAINED, SIGNALS), SamplingTally(TRAINED, SIGNALS), 0.0
    for row, (step, temp) in enumerate(steps):
        if row == at:
            state = json.loads(json.dumps(tally.state(), allow_nan=False))
            tally = SamplingTally(TRAINED, SIGNALS)
            tally.restore(state)
        time = time + step if math.isfinite(step) else time
        for one in (whole, tally):
            one.step(time if math.isfinite(step) else math.nan, (350.0 + temp, temp))
        assert tally.remark() == whole.remark()
    assert tally.state() == whole.state()
    assert len(json.dumps(whole.state())) < 800


@pytest.mark.parametrize(
    "damage",
    [
        {"time": "now"},
        {"counts": [1, 2]},
        {"counts": [1, 2, -3]},
        {"outside": [math.nan]},
        {"outside": 3},
        {"grids": {}},
        {"grids": {"voltage": [1.0], "temp": [1.0]}},
    ],
)
def test_a_damaged_state_is_refused(damage: dict[str, object]) -> None:
    tally = SamplingTally(TRAINED, SIGNALS)
    with pytest.raises(TelemetryError, match="this is not the state of a vehicle's sampling"):
        tally.restore(tally.state() | damage)


# --- in monitors and streams ------------------------------------------------------------------------------------------


def monitoring_at(path: Path) -> Monitoring:
    monitoring = load_model(path).contract.monitoring
    assert monitoring is not None
    return monitoring


@pytest.fixture
def known() -> Detector:
    """The golden model, with a record of how its training data were sampled."""
    detector = load_model(MODEL)
    recorded = replace(monitoring_at(MODEL), sampling=Sampling((1.0, 1.0, 1.0), (Resolution("temp", 0.1),)))
    detector.contract = replace(detector.contract, monitoring=recorded)
    return detector


def slow_drive(step_s: float, vehicle: str, rows: int = 120) -> dict[str, np.ndarray]:
    table = sample_drive(monitoring_at(MODEL).recipe, rows)
    return {"vehicle_id": np.array([vehicle] * rows), **table, "time": step_s * np.arange(rows, dtype=np.float64)}


def stacked(*tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 120), max_size=4), step_s=st.sampled_from([1.0, 10.0]))
def test_batches_chunks_and_streams_say_the_same_at_the_same_reading(
    known: Detector, cuts: list[int], step_s: float
) -> None:
    table = slow_drive(step_s, "car")
    stream, monitor = known.stream(f"car {next(NAMES)}"), known.monitor()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for first, last in pairwise(sorted({0, 120, *cuts})):
            chunk = {name: column[first:last] for name, column in table.items()}
            remark = monitor.read(chunk).remark
            for row in range(first, last):
                stream.score(**{name: float(table[name][row]) for name in table if name != "vehicle_id"})
            said = None if stream.remark is None else f"vehicle car: {stream.remark}"
            assert remark == said
        assert known.monitor().read(table).remark == said
    assert (said is None) == (step_s == 1.0)


def test_a_fleet_is_warned_of_once_and_its_vehicles_are_judged_each(known: Detector) -> None:
    fleet = stacked(slow_drive(1.0, "usual", 900), slow_drive(10.0, "slow"), slow_drive(30.0, "slower"))
    monitor = known.monitor()
    with pytest.warns(
        UserWarning, match=r"vehicle slow \(and 1 more\): readings come every 10 s, in training every 1 s"
    ):
        told = monitor.read(fleet).remark
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        later = fleet | {"time": fleet["time"] + 1e4}
        assert monitor.read(later).remark == told


def test_a_stream_goes_on_from_states_with_and_without_counters(known: Detector) -> None:
    table = slow_drive(10.0, "car")
    rows = [{name: float(table[name][row]) for name in table if name != "vehicle_id"} for row in range(120)]
    first, whole = known.stream("first"), known.stream("whole")
    for row in rows[:15]:
        first.score(**row)
    state = json.loads(json.dumps(first.state(), allow_nan=False))
    again, older = (
        known.stream("again", state),
        known.stream("older", {k: v for k, v in state.items() if k != "sampling"}),
    )
    for row in rows[:25]:
        whole.score(**row)
    for row in rows[15:25]:
        again.score(**row)
        older.score(**row)
    assert again.remark == whole.remark
    assert again.remark is not None
    assert older.remark is None


def test_remarks_on_sign_and_sampling_stand_side_by_side() -> None:
    assert joined_remarks(None, None) is None
    assert joined_remarks(None, "b") == "b"
    assert joined_remarks("a", "b") == "a; b"
