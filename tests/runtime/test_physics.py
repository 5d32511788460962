"""Features over time: the same bits in any chunks, by time and not by rows, and what each feature says of its fault."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError, TelemetryError
from ev_qa_runtime.physics.extractor import PhysicsExtractor
from ev_qa_runtime.physics.recipe import (
    PhysicsRecipe,
    Relaxation,
    ThermalModel,
    VoltageModel,
    recipe_document,
    recipe_of,
)
from ev_qa_runtime.strict_json import Members

OHM = 0.1
RECIPE = PhysicsRecipe(
    signals=("voltage", "current", "temp", "soc"),
    voltage=VoltageModel(
        open_circuit=(300.0, 100.0, 0.0, 0.0, 0.0),
        slope_outside=100.0,
        per_10_degc=0.5,
        resistance=(OHM, 0.0, 0.0, 0.0),
        relaxations=(Relaxation(10.0, 0.02, 0.0), Relaxation(60.0, 0.01, 0.0)),
        soc_range=(10.0, 90.0),
        temp_range=(0.0, 40.0),
    ),
    thermal=ThermalModel((0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0)),
    percent_per_ampere_second=-1.0 / 6120.0,
    mean_square_current=900.0,
    mean_square_step=400.0,
    step_variance=(0.01, 1e-5),
    middle=(0.0,) * 13,
    spread=(1.0,) * 6 + (2.0,) * 7,
)
WITH_CELLS = dataclasses.replace(
    RECIPE,
    signals=(*RECIPE.signals, "temp_min", "cell_voltage_max", "cell_voltage_min"),
    middle=(0.5,) * 16,
    spread=(3.0,) * 16,
)
AT = {feature.name: index for index, feature in enumerate(RECIPE.features)}


def drive(seconds: int, step_s: float = 1.0, seed: int = 0) -> list[tuple[float, list[float]]]:
    """A healthy drive by the recipe's own physics: (time, reading)."""
    random = np.random.default_rng(seed)
    model = PhysicsExtractor(RECIPE)
    levels = np.repeat(random.normal(30.0, 40.0, seconds // 20 + 1), 20)
    soc, rows = 70.0, []
    for index in range(int(seconds / step_s)):
        time = index * step_s
        current = float(round(levels[int(time)], 1))
        soc -= current * step_s / 6120.0
        bare = model.step(time, [0.0, current, 25.0, soc])[0]  # a voltage of 0 leaves minus the expected one
        rows.append((time, [-bare, current, 25.0, soc]))
    return rows


def features_of(rows: list[tuple[float, list[float]]], recipe: PhysicsRecipe = RECIPE) -> np.ndarray:
    extractor = PhysicsExtractor(recipe)
    return np.array([extractor.step(time, reading) for time, reading in rows])


readings = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.5, 1.0, 30.0, 599.0, 601.0, -5.0]),
        st.floats(0, 500),
        st.floats(-400, 400),
        st.floats(-30, 90),
        st.floats(0, 100),
        st.floats(-30, 90),
        st.floats(2, 4.5),
        st.floats(2, 4.5),
    ),
    min_size=1,
    max_size=40,
)


@given(readings, st.data())
def test_a_saved_and_restored_state_goes_on_with_the_same_bits(
    rows: list[tuple[float, ...]], data: st.DataObject
) -> None:
    time, whole, broken = 0.0, PhysicsExtractor(WITH_CELLS), PhysicsExtractor(WITH_CELLS)
    at = data.draw(st.integers(0, len(rows)))
    for index, (dt, *reading) in enumerate(rows):
        time += dt
        if index == at:
            state = json.loads(json.dumps(broken.state(), allow_nan=False))
            broken = PhysicsExtractor(WITH_CELLS)
            broken.restore(state)
        expected = whole.step(time, reading)
        assert expected == broken.step(time, reading)
        assert len(expected) == len(WITH_CELLS.features)
        assert all(map(math.isfinite, expected))


@given(st.integers(0, 2**32 - 1))
def test_a_healthy_drive_by_the_model_has_no_residual(seed: int) -> None:
    found = features_of(drive(400, seed=seed))
    for name in ("voltage_residual", "voltage_residual_mean", "voltage_step_ratio", "resistance_step_residual"):
        assert np.abs(found[:, AT[name]]).max() < 1e-9, name


def test_features_have_the_same_bits_on_every_machine() -> None:
    """Golden: additions, multiplications, divisions and square roots only. Another value here is another recipe."""
    rows = [(time, [round(reading[0] - 0.5, 1), *reading[1:]]) for time, reading in drive(120, seed=7)]
    last = features_of(rows)[-1]
    assert [value.hex() for value in last.tolist()] == GOLDEN


def test_doubled_resistance_is_seen_in_ohm() -> None:
    rows = [(time, [reading[0] - OHM * reading[1], *reading[1:]]) for time, reading in drive(1200)]
    found = features_of(rows)[600:]
    assert np.median(found[:, AT["resistance_step_residual"]]) == pytest.approx(OHM, rel=0.25)
    assert np.median(found[:, AT["resistance_level_residual"]]) == pytest.approx(OHM, rel=0.1)


@pytest.mark.parametrize(
    ("signal", "feature"), [(0, "voltage_stillness"), (1, "current_stillness"), (3, "soc_stillness")]
)
def test_a_stuck_signal_is_still_while_physics_moves(signal: int, feature: str) -> None:
    rows = drive(600)
    stuck = [
        (time, [rows[300][1][at] if at == signal and index >= 300 else value for at, value in enumerate(reading)])
        for index, (time, reading) in enumerate(rows)
    ]
    healthy, found = features_of(rows)[:, AT[feature]], features_of(stuck)[:, AT[feature]]
    assert np.array_equal(found[:300], healthy[:300])
    assert found[-1] > 2.0 * healthy.max() + 0.5


def test_at_rest_nothing_is_stuck() -> None:
    found = features_of([(float(time), [350.0, 0.0, 25.0, 50.0]) for time in range(5000)])
    assert np.abs(found[-1, [AT[f"{name}_stillness"] for name in ("voltage", "current", "temp", "soc")]]).max() == 0.0


def test_a_leak_shows_as_charge_that_no_current_explains() -> None:
    leaking = [
        (time, [*reading[:3], reading[3] - max(0.0, time - 300.0) * 40.0 / 6120.0]) for time, reading in drive(900)
    ]
    assert features_of(leaking)[-1, AT["soc_residual"]] < -1.0
    assert abs(features_of(drive(900))[-1, AT["soc_residual"]]) < 0.01


def test_time_counts_and_not_rows() -> None:
    """Ten rows a second say of the same faulty drive what one row a second does."""
    slow = [(time, [reading[0] - OHM * reading[1], *reading[1:]]) for time, reading in drive(600, 1.0)]
    fast = [(time, [reading[0] - OHM * reading[1], *reading[1:]]) for time, reading in drive(600, 0.1)]
    at_end_slow, at_end_fast = features_of(slow)[-1], features_of(fast)[-1]
    for name in ("voltage_residual_mean", "resistance_level_residual", "soc_residual"):
        assert at_end_fast[AT[name]] == pytest.approx(at_end_slow[AT[name]], rel=0.1, abs=0.02), name


def test_deviations_are_the_furthest_and_the_mean_of_all_features() -> None:
    found = features_of([(time, [reading[0] - 3.0, *reading[1:]]) for time, reading in drive(100)])
    deviations = np.abs(found[:, :-2] - np.array(RECIPE.middle)) / np.array(RECIPE.spread)
    assert np.array_equal(found[:, AT["largest_deviation"]], deviations.max(axis=1))
    assert found[:, AT["mean_deviation"]] == pytest.approx(np.sqrt((deviations**2).mean(axis=1)), rel=1e-12)


def test_a_repeated_time_stamp_moves_no_mean() -> None:
    rows = drive(100)
    repeated = [row for row in rows for _ in range(3)]
    assert np.array_equal(
        features_of(repeated)[2::3][:, AT["resistance_level_residual"]],
        features_of(rows)[:, AT["resistance_level_residual"]],
    )


@pytest.mark.parametrize("pause", [600.5, -1.0])
def test_a_pause_and_a_clock_set_back_start_anew(pause: float) -> None:
    first, again = drive(50, seed=1), drive(50, seed=2)
    moved = [(time + 49.0 + pause, reading) for time, reading in again]
    assert np.array_equal(features_of([*first, *moved])[50:], features_of(moved))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "not the state of a vehicle's features: KeyError"),
        ({"time": "x"}, "not the state of a vehicle's features: ValueError"),
        (PhysicsExtractor(RECIPE).state() | {"filters": [1.0]}, "under this recipe: numbers are missing"),
    ],
)
def test_another_state_is_refused(state: dict[str, object], said: str) -> None:
    with pytest.raises(TelemetryError, match=said):
        PhysicsExtractor(RECIPE).restore(state)


def test_a_recipe_comes_back_from_json_with_the_same_numbers() -> None:
    for recipe in (RECIPE, WITH_CELLS):
        document = json.loads(json.dumps(recipe_document(recipe), allow_nan=False))
        assert recipe_of(Members(document)) == recipe


@pytest.mark.parametrize(
    ("path", "value", "said", "error"),
    [
        (("version",), 2, "version 2, this runtime knows 'physics' up to 1: update", IncompatibleModelError),
        (("name",), "chemistry", "recipe 'chemistry' version 1", IncompatibleModelError),
        (("signals",), ["voltage", "current", "temp"], "lack one of voltage, current, temp, soc", ArtifactError),
        (("signals",), ["voltage", "current", "temp", "soc", "colour"], r"does not know: \['colour'\]", ArtifactError),
        (("signals",), [1], "recipe.signals must hold texts", ArtifactError),
        (("mean_square_current",), 0.0, "not positive", ArtifactError),
        (("step_variance",), [0.0, 1.0], "not positive", ArtifactError),
        (("step_variance",), [1.0], "step_variance must be 2 finite numbers", ArtifactError),
        (("middle",), [1.0], "middle must be 13 finite numbers", ArtifactError),
        (("spread",), [0.0] * 13, "not positive", ArtifactError),
        (("voltage", "open_circuit"), [1.0], "open_circuit must be 5 finite numbers", ArtifactError),
        (("voltage", "soc_range"), [2.0, 1.0], "lowest value lies above", ArtifactError),
        (("voltage", "resistance"), "x", "resistance must be a list", ArtifactError),
        (("thermal",), {}, "coefficients is missing", ArtifactError),
    ],
)
def test_a_malformed_recipe_is_refused(path: tuple[str, ...], value: object, said: str, error: type[Exception]) -> None:
    document = recipe_document(RECIPE)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(error, match=said):
        recipe_of(Members(document))


GOLDEN = [
    "-0x1.0bdf2894d8000p-1",
    "-0x1.feee4e2efbb81p-2",
    "0x1.32a5749de1452p-2",
    "0x1.c90d9444daaf8p-3",
    "-0x1.43b95eed14db4p-15",
    "0x1.e693e175c9015p-7",
    "0x1.57c0000000000p-45",
    "-0x1.ebcab39c0f848p-2",
    "0x0.0p+0",
    "0x1.ec45893922000p-5",
    "0x1.8224182bd9410p-4",
    "0x1.b79f4d77702b8p-5",
    "0x0.0p+0",
    "0x1.0bdf2894d8000p-1",
    "0x1.e34693f2360d2p-3",
]
