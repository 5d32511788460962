"""The healthy range that fitting finds: from trips left out, and what it does with a handful of trips."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.healthy_range import FEWEST_TRIPS, TripExtremes, fit_healthy_range, forced_by_range
from ev_qa_framework.held_out import Forced
from ev_qa_runtime import load_model, sidecar
from ev_qa_runtime.healthy_range import HealthyRange
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts
from ev_qa_runtime.physics.recipe import PhysicsRecipe

ROOT = Path(__file__).parents[2]
TELEMETRY = ROOT / "demo" / "telemetry"
HEALTHY = sorted(TELEMETRY.glob("healthy_*.csv"))
FEW = HEALTHY[::2]
SEVERE = ("current_stuck_01", "internal_short_02", "resistance_x2_02", "voltage_stuck_01")


def physics(**parameters: object) -> EVBatteryAnalyzer:
    return EVBatteryAnalyzer(features="physics", current_sign="discharge_positive", **parameters)  # type: ignore[arg-type]


def trips(paths: list[Path]) -> pd.DataFrame:
    return pd.concat([pd.read_csv(path).assign(trip=number) for number, path in enumerate(paths)], ignore_index=True)


@pytest.fixture(scope="module")
def few() -> EVBatteryAnalyzer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thresholds near the floor: just what the range is there for
        return physics(n_estimators=50).fit(trips(FEW))


@pytest.fixture(scope="module")
def recipe() -> PhysicsRecipe:
    model = ROOT / "tests" / "data" / "models" / "over_time_v1.0.0.json"
    monitoring = sidecar.decode(model.read_bytes()).monitoring
    assert monitoring is not None
    return monitoring.recipe


def judged(analyzer: EVBatteryAnalyzer, path: Path) -> MonitoredVerdicts:
    verdicts = analyzer.verdicts(pd.read_csv(path))
    assert isinstance(verdicts, MonitoredVerdicts)
    return verdicts


@pytest.mark.parametrize("fault", SEVERE)
def test_ten_trips_are_enough_for_a_severe_fault_to_be_critical(few: EVBatteryAnalyzer, fault: str) -> None:
    path = TELEMETRY / f"fault_{fault}.csv"
    onset = int(np.argmax(pd.read_csv(path)["fault"].to_numpy() > 0))

    events = [event for event in judged(few, path).events if event.start_row >= onset]

    assert events
    assert str(events[0].severity) == "CRITICAL"
    assert any("far beyond what healthy trips showed" in reason for reason, _ in events[0].reasons)


def test_other_healthy_trips_stay_within_it(few: EVBatteryAnalyzer) -> None:
    forced = [
        sum(bool(watched.excesses) for watched in judged(few, path).telemetry.watched.values())
        for path in HEALTHY[1::2]
    ]

    assert sum(forced) <= 0.001 * sum(len(pd.read_csv(path)) for path in HEALTHY[1::2])


def test_the_runtime_forces_the_same_rows(few: EVBatteryAnalyzer, tmp_path: Path) -> None:
    few.save_model(tmp_path / "few_v1.0.0")
    table = pd.read_csv(TELEMETRY / "fault_internal_short_02.csv")

    here, there = few.verdicts(table), load_model(tmp_path / "few_v1.0.0").verdicts(table)

    assert np.array_equal(here.severity, there.severity)
    assert [here.row(row).reasons for row in range(len(here))] == [there.row(row).reasons for row in range(len(there))]


def test_a_reading_says_the_feature_its_value_and_the_range(few: EVBatteryAnalyzer) -> None:
    reasons = judged(few, TELEMETRY / "fault_voltage_stuck_01.csv").row(700).reasons

    assert any("pack voltage unchanged while the model moved by" in reason for reason in reasons)
    assert any(" (10 healthy trips kept to 0 V … " in reason for reason in reasons)


def test_with_fewer_than_eight_trips_there_is_none() -> None:
    with pytest.warns(UserWarning, match="not calibrated"):
        analyzer = physics(n_estimators=10).fit(trips(HEALTHY[: FEWEST_TRIPS - 1]))
    monitoring = analyzer._fitted().monitoring
    assert monitoring is not None
    assert monitoring.healthy_range is None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analyzer.calibrate(trips(HEALTHY[-FEWEST_TRIPS:]), warning_rate=0.05)
    monitoring = analyzer._fitted().monitoring
    assert monitoring is not None
    assert monitoring.healthy_range is not None
    assert monitoring.healthy_range.trips == FEWEST_TRIPS


def test_calibrating_only_widens_it(few: EVBatteryAnalyzer, tmp_path: Path) -> None:
    few.save_model(tmp_path / "few_v1.0.0")
    before = load_model(tmp_path / "few_v1.0.0").contract.monitoring
    again = EVBatteryAnalyzer.load_model(tmp_path / "few_v1.0.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again.calibrate(trips(HEALTHY[1::2]), warning_rate=0.05)
    after = again._fitted().monitoring

    assert before is not None
    assert before.healthy_range is not None
    assert after is not None
    assert after.healthy_range is not None
    assert all(new <= old for new, old in zip(after.healthy_range.lowest, before.healthy_range.lowest, strict=True))
    assert all(new >= old for new, old in zip(after.healthy_range.highest, before.healthy_range.highest, strict=True))


def made(recipe: PhysicsRecipe, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, trips and signals of ``count`` trips of five rows, all as usual."""
    rows = 5 * count
    values = np.tile([*recipe.middle, 0.0, 0.0], (rows, 1))
    within = {"temp": recipe.voltage.temp_range, "soc": recipe.voltage.soc_range}
    signals = np.tile([sum(within.get(name, (0.0, 0.0))) / 2.0 for name in recipe.signals], (rows, 1))
    return values, np.repeat(np.arange(count), 5), signals


def forced(
    recipe: PhysicsRecipe, values: np.ndarray, trip: np.ndarray, signals: np.ndarray, known: HealthyRange | None = None
) -> Forced:
    extremes = TripExtremes.of(values, trip, signals, recipe)
    return forced_by_range(extremes, values, trip, signals, recipe, known)


def test_a_trip_is_held_against_the_others_alone(recipe: PhysicsRecipe) -> None:
    values, trip, signals = made(recipe, FEWEST_TRIPS)
    values[12, 0] = recipe.middle[0] + 16.0 * recipe.spread[0]
    values[13, 0] = recipe.middle[0] + 21.0 * recipe.spread[0]
    values[30] = np.nan

    found = forced(recipe, values, trip, signals)

    assert np.flatnonzero(found.warning).tolist() == [12, 13]
    assert np.flatnonzero(found.critical).tolist() == [13]


def test_where_fewer_than_two_other_trips_have_been_nothing_is_held_against_a_trip(recipe: PhysicsRecipe) -> None:
    values, trip, signals = made(recipe, FEWEST_TRIPS)
    values[12, 0] = recipe.middle[0] + 16.0 * recipe.spread[0]
    temp = recipe.signals.index("temp")
    signals[12, temp] += 0.5
    assert not forced(recipe, values, trip, signals).warning.any()

    signals[0, temp] += 0.5
    assert not forced(recipe, values, trip, signals).warning.any()

    signals[39, temp] += 0.5
    assert forced(recipe, values, trip, signals).warning.any()


def test_what_is_known_counts_with_however_few_other_trips(recipe: PhysicsRecipe) -> None:
    values, trip, signals = made(recipe, 2)
    values[2, 0] = recipe.middle[0] + 16.0 * recipe.spread[0]
    eight = TripExtremes.of(*made(recipe, FEWEST_TRIPS), recipe).range(FEWEST_TRIPS)
    assert eight is not None

    assert not forced(recipe, values, trip, signals).warning.any()
    assert np.flatnonzero(forced(recipe, values, trip, signals, eight).warning).tolist() == [2]


def test_two_more_trips_widen_what_is_known(recipe: PhysicsRecipe) -> None:
    known = TripExtremes.of(*made(recipe, FEWEST_TRIPS), recipe).range(FEWEST_TRIPS)
    values, trip, signals = made(recipe, 2)
    values[2, 0] = recipe.middle[0] + 16.0 * recipe.spread[0]

    wider = fit_healthy_range(TripExtremes.of(values, trip, signals, recipe), known)

    assert known is not None
    assert wider is not None
    assert wider.highest[0] == values[2, 0]
    assert wider.trips == FEWEST_TRIPS + 2
    assert fit_healthy_range(TripExtremes.of(*made(recipe, 1), recipe), known) == known


def test_a_trip_without_a_row_to_judge_does_not_count(recipe: PhysicsRecipe) -> None:
    values, trip, signals = made(recipe, FEWEST_TRIPS)
    values[:5] = np.nan

    assert fit_healthy_range(TripExtremes.of(values, trip, signals, recipe), None) is None
