"""The healthy range: what lies far beyond what any healthy trip showed is forced, and says so."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_runtime import sidecar
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.healthy_range import HealthyRange, healthy_range_document, healthy_range_of
from ev_qa_runtime.monitoring import Monitoring, monitoring_document, monitoring_of
from ev_qa_runtime.physics.recipe import PhysicsRecipe
from ev_qa_runtime.range_guard import RangeGuard
from ev_qa_runtime.sampling import Resolution, Sampling
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.strict_json import Members
from ev_qa_runtime.vehicle_monitor import VehicleMonitor

MODEL = Path(__file__).parents[1] / "data" / "models" / "over_time_v1.0.0"


@pytest.fixture(scope="module")
def monitoring() -> Monitoring:
    found = sidecar.decode(MODEL.with_name(f"{MODEL.name}.json").read_bytes()).monitoring
    assert found is not None
    return found


@pytest.fixture(scope="module")
def recipe(monitoring: Monitoring) -> PhysicsRecipe:
    return monitoring.recipe


def around(recipe: PhysicsRecipe, deviations: float, **given: Any) -> HealthyRange:
    """A range that goes so many standard deviations to both sides."""
    pairs = list(zip(recipe.middle, recipe.spread, strict=True))
    lowest = tuple(middle - deviations * spread for middle, spread in pairs)
    highest = tuple(middle + deviations * spread for middle, spread in pairs)
    return HealthyRange(lowest, highest, recipe.voltage.temp_range, recipe.voltage.soc_range, 9, **given)


def touchy(recipe: PhysicsRecipe, usual: tuple[float, ...]) -> HealthyRange:
    """A range of no width: everything that is not just so is far beyond it."""
    return replace(around(recipe, 1.0), lowest=usual, highest=usual, warning_deviations=1e-6, critical_deviations=1e-6)


def covered(recipe: PhysicsRecipe) -> list[float]:
    """A reading whose temperature and state of charge the recipe was fitted on."""
    within = {"temp": recipe.voltage.temp_range, "soc": recipe.voltage.soc_range}
    return [sum(within[name]) / 2.0 if name in within else 0.0 for name in recipe.signals]


def features(recipe: PhysicsRecipe, name: str, deviations: float) -> list[float]:
    """Usual features but one."""
    names = [feature.name for feature in recipe.features]
    values = [*recipe.middle, 0.0, 0.0]
    values[names.index(name)] += deviations * recipe.spread[names.index(name)]
    return values


@pytest.mark.parametrize(
    ("healthy", "deviations", "expected"),
    [
        (2.0, 14.9, None),  # at least fifteen standard deviations, however narrow the range
        (2.0, 15.1, Severity.WARNING),
        (2.0, -15.1, Severity.WARNING),
        (2.0, 20.1, Severity.CRITICAL),
        (2.0, -20.1, Severity.CRITICAL),
        (12.0, 23.9, None),  # twice as far as healthy trips went
        (12.0, 24.1, Severity.WARNING),
        (12.0, 36.1, Severity.CRITICAL),
    ],
)
def test_both_the_range_and_the_spread_must_be_left_far_behind(
    recipe: PhysicsRecipe, healthy: float, deviations: float, expected: Severity | None
) -> None:
    guard = RangeGuard(around(recipe, healthy), recipe)

    found = guard.check(covered(recipe), features(recipe, "voltage_residual", deviations))

    assert [excess.severity for excess in found] == ([] if expected is None else [expected])


def test_it_says_what_was_seen_and_what_healthy_trips_kept_to(recipe: PhysicsRecipe) -> None:
    guard = RangeGuard(around(recipe, 2.0), recipe)

    (found,) = guard.check(covered(recipe), features(recipe, "voltage_residual", -30.0))

    assert found.text.startswith("pack voltage ")
    assert " V below the model at this current (9 healthy trips kept to -" in found.text
    assert "; " not in found.text  # which joins reasons in `score -o`
    assert found.reason == "voltage residual far beyond what healthy trips showed"


@pytest.mark.parametrize("signal", ["temp", "soc"])
@pytest.mark.parametrize("side", [0, 1])
def test_where_no_healthy_trip_has_been_it_is_no_evidence(recipe: PhysicsRecipe, signal: str, side: int) -> None:
    guard, far = RangeGuard(around(recipe, 2.0), recipe), features(recipe, "voltage_residual", 99.0)
    bound = (recipe.voltage.temp_range if signal == "temp" else recipe.voltage.soc_range)[side]
    inside, outside = covered(recipe), covered(recipe)
    inside[recipe.signals.index(signal)] = bound
    outside[recipe.signals.index(signal)] = math.nextafter(bound, -math.inf if side == 0 else math.inf)

    assert guard.check(inside, far)
    assert not guard.check(outside, far)


def test_the_deviations_of_all_features_together_have_no_range(recipe: PhysicsRecipe) -> None:
    guard = RangeGuard(around(recipe, 2.0), recipe)
    values = features(recipe, "voltage_residual", 0.0)
    values[-2:] = [1e6, 1e6]

    assert not guard.check(covered(recipe), values)


@settings(max_examples=60)
@given(far=st.floats(0.0, 1e6), further=st.floats(1.0, 10.0), healthy=st.floats(0.0, 100.0))
def test_further_off_is_never_milder(recipe: PhysicsRecipe, far: float, further: float, healthy: float) -> None:
    guard = RangeGuard(around(recipe, healthy), recipe)
    order: list[Severity | None] = [None, Severity.WARNING, Severity.CRITICAL]

    codes = []
    for deviations in (far, far * further):
        found = guard.check(covered(recipe), features(recipe, "temp_residual", deviations))
        codes.append(order.index(found[0].severity if found else None))

    assert codes[0] <= codes[1]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=5), st.integers(1, 99))
def test_widened_holds_both_and_a_document_comes_back(pairs: list[tuple[float, float]], trips: int) -> None:
    lowest, highest = tuple(map(min, pairs)), tuple(map(max, pairs))
    one = HealthyRange(lowest, highest, (0.0, 9.0), (20.0, 80.0), trips, critical_times=4.0)
    other = HealthyRange(tuple(low - 1.0 for low in one.lowest), one.highest, (-5.0, 5.0), (10.0, 70.0), 5)

    both = one.widened(other)

    assert both.lowest == other.lowest
    assert both.highest == one.highest
    assert (both.temp_range, both.soc_range) == ((-5.0, 9.0), (10.0, 80.0))
    assert (both.trips, both.critical_times) == (trips + 5, 4.0)
    assert healthy_range_of(Members(json.loads(json.dumps(healthy_range_document(both))), "here")) == both


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lowest": (1.0,)}, "a lowest and a highest value for each feature"),
        ({"lowest": (), "highest": ()}, "a lowest and a highest value for each feature"),
        ({"lowest": (2.0, math.nan)}, "not finite or lies above the highest"),
        ({"lowest": (2.0, -math.inf)}, "not finite or lies above the highest"),
        ({"lowest": (9.0, 0.0)}, "not finite or lies above the highest"),
        ({"temp_range": (1.0, 0.0)}, "temp_range must be two finite numbers"),
        ({"soc_range": (math.nan, 1.0)}, "soc_range must be two finite numbers"),
        ({"trips": 0}, "at least one trip"),
        ({"warning_times": 0.9}, "factors must be at least 1"),
        ({"critical_times": 1.9}, "critical not milder"),
        ({"warning_deviations": 0.0}, "deviations positive"),
        ({"critical_deviations": 14.0}, "critical not milder"),
        ({"critical_deviations": math.inf}, "deviations positive"),
    ],
)
def test_a_range_without_sense_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        replace(HealthyRange((1.0, 2.0), (3.0, 4.0), (0.0, 30.0), (10.0, 90.0), 8), **change)


def test_a_newer_layout_and_another_number_of_features_are_refused(monitoring: Monitoring) -> None:
    healthy = around(monitoring.recipe, 5.0)
    document = healthy_range_document(healthy)

    with pytest.raises(IncompatibleModelError, match="healthy range has version 2, this runtime reads up to 1: update"):
        healthy_range_of(Members(document | {"version": 2}, "here"))
    with pytest.raises(ArtifactError, match="another number of features than the recipe makes of readings"):
        replace(monitoring, healthy_range=replace(healthy, lowest=healthy.lowest[1:], highest=healthy.highest[1:]))


def test_sidecars_without_the_member_have_no_range(monitoring: Monitoring) -> None:
    document = monitoring_document(monitoring)
    with_range = monitoring_document(replace(monitoring, healthy_range=around(monitoring.recipe, 5.0)))

    assert monitoring.healthy_range is None
    assert monitoring_of(Members({k: v for k, v in document.items() if k != "healthy_range"}, "here")) == monitoring
    assert monitoring_of(Members(json.loads(json.dumps(with_range)), "here")).healthy_range is not None
    assert monitoring.summary()["healthy_range"] is None


def test_a_vehicle_beyond_the_range_is_forced_and_its_event_says_why(monitoring: Monitoring) -> None:
    lower = tuple(
        one - 0.01 * spread for one, spread in zip(monitoring.recipe.middle, monitoring.recipe.spread, strict=True)
    )
    tight = replace(
        monitoring,
        limits=None,
        healthy_range=replace(
            around(monitoring.recipe, 1.0),
            lowest=lower,
            highest=lower,
            warning_deviations=1e-6,
            critical_deviations=1e-6,
        ),
    )
    vehicle, temp = VehicleMonitor(tight, "pack"), sum(monitoring.recipe.voltage.temp_range) / 2.0
    soc = sum(monitoring.recipe.voltage.soc_range) / 2.0
    event = None
    for second in range(30):
        values = {"voltage": 350.0 + second % 3, "current": 10.0 + second % 2, "temp": temp, "soc": soc}
        watched = vehicle.read(float(second), [values[name] for name in monitoring.recipe.signals])
        assert watched
        assert watched.forced == 2
        vehicle.judge(float(second), watched, 0, -0.4)
        event = vehicle.events.open_event

    assert event is not None
    assert event.severity is Severity.CRITICAL
    assert event.reasons[0][0].endswith(" far beyond what healthy trips showed")


@pytest.mark.parametrize(
    ("seconds", "grid", "watched"), [(1.0, 0.1, True), (4.9, 0.1, True), (5.1, 0.1, False), (1.0, 5.0, False)]
)
def test_it_only_counts_for_readings_sampled_as_in_training(
    monitoring: Monitoring, seconds: float, grid: float, watched: bool
) -> None:
    sampling = Sampling((1.0, 1.0, 1.0), (Resolution("voltage", 0.1),))
    lower = tuple(middle - 1e-3 for middle in monitoring.recipe.middle)
    tight = touchy(monitoring.recipe, lower)
    vehicle = VehicleMonitor(replace(monitoring, limits=None, healthy_range=tight, sampling=sampling), "pack")
    within = {"temp": monitoring.recipe.voltage.temp_range, "soc": monitoring.recipe.voltage.soc_range}
    fixed = {name: sum(pair) / 2.0 for name, pair in within.items()}

    for number in range(60):
        values = fixed | {"voltage": 350.0 + grid * (number * 7 % 5), "current": 10.0 + number % 2}
        found = vehicle.read(number * seconds, [values[name] for name in monitoring.recipe.signals])

    assert bool(found.excesses) is watched
