"""MAJOR, MINOR, PATCH by rule: the guide's examples, and laws that hold for any two contracts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework.registry.model_diff import side_by_side
from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.version_rule import (
    Level,
    check_version,
    differences,
    level_of,
    next_version,
    step_between,
    stepped,
)
from ev_qa_runtime import sidecar
from ev_qa_runtime.contract import (
    FeatureSpec,
    GoldenRows,
    ModelContract,
    OnnxRequirements,
    ParityRecord,
    ScoringRule,
    Thresholds,
    TrainingRecord,
)
from ev_qa_runtime.errors import RegistryError
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.physics.recipe import PhysicsRecipe

versions = st.builds(ModelVersion, *[st.integers(0, 50)] * 3)


@st.composite
def contracts(draw: st.DrawFn) -> ModelContract:
    """Contracts that often agree in some of what the rule looks at."""
    names = draw(st.sampled_from([("voltage", "current"), ("current", "voltage"), ("voltage", "current", "temp")]))
    units = draw(st.sampled_from([None, "V", "mV"]))
    aliases = draw(st.sampled_from([(), ("volts",), ("volts", "u")]))
    features = tuple(FeatureSpec(name, units, aliases if name == "voltage" else ()) for name in names)
    parameters = {"contamination": draw(st.sampled_from([0.1, 0.05])), "max_samples": draw(st.sampled_from([1, 1.0]))}
    return ModelContract(
        name="pack",
        version=draw(versions),
        created="2026-11-23T00:00:00Z",
        features=features,
        current_sign=draw(st.sampled_from(["unspecified", "charge_positive"])),
        thresholds=draw(st.sampled_from([Thresholds(), Thresholds(-0.9)])),
        scoring=ScoringRule(-0.5, 1.0, 1.0, 1.0, 1.0),
        parameters=parameters,
        training=TrainingRecord(draw(st.integers(0, 9)), 0, "0" * 64),
        environment={},
        onnx=OnnxRequirements(draw(st.sampled_from(["exact", "compat"])), {}, "1.21"),
        parity=ParityRecord(0, 0, 0, 0),
        golden=GoldenRows(((0.0,) * len(names),), (1.0,), (-0.5,), (1,), (0,)),
        files={},
        algorithm=draw(st.sampled_from(["IsolationForest", "Other"])),
    )


@given(contracts(), contracts())
def test_the_version_that_follows_is_higher_by_the_level_of_the_rule(old: ModelContract, new: ModelContract) -> None:
    following = next_version(old, new)
    assert following > old.version
    assert step_between(old.version, following) == level_of(old, new)
    check_version(old, dataclasses.replace(new, version=following))


@given(contracts())
def test_the_same_recipe_is_a_patch(contract: ModelContract) -> None:
    again = dataclasses.replace(contract, training=TrainingRecord(10**6, 3, "1" * 64), metadata={"x": 1})
    assert level_of(contract, again) == Level.PATCH


@given(contracts(), contracts(), contracts())
def test_two_steps_are_never_less_than_the_direct_one(a: ModelContract, b: ModelContract, c: ModelContract) -> None:
    assert level_of(a, c) <= max(level_of(a, b), level_of(b, c))


@given(contracts(), contracts())
def test_only_a_lost_column_name_weighs_more_in_one_direction(old: ModelContract, new: ModelContract) -> None:
    if [feature.aliases for feature in old.features] == [feature.aliases for feature in new.features]:
        assert level_of(old, new) == level_of(new, old)


@given(contracts(), contracts(), versions)
def test_exactly_the_versions_of_the_rules_level_are_taken(
    old: ModelContract, new: ModelContract, version: ModelVersion
) -> None:
    level = level_of(old, new)
    before = old.version
    allowed = {
        Level.MAJOR: version.major > before.major and (version.minor, version.patch) == (0, 0),
        Level.MINOR: version.major == before.major and version.minor > before.minor and version.patch == 0,
        Level.PATCH: (version.major, version.minor) == (before.major, before.minor) and version.patch > before.patch,
    }[level]
    try:
        check_version(old, dataclasses.replace(new, version=version))
    except RegistryError:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("1.0.0", {"training": TrainingRecord(5, 0, "1" * 64)}, "1.0.1"),  # the guide's three examples
        ("1.0.1", {"parameters": {"contamination": 0.05}}, "1.1.0"),
        ("1.1.0", {"algorithm": "LocalOutlierFactor"}, "2.0.0"),
        ("1.1.0", {"current_sign": "charge_positive"}, "2.0.0"),
        ("1.1.7", {"thresholds": Thresholds(-0.9, -0.5)}, "1.2.0"),
    ],
)
def test_the_guides_examples(before: str, change: dict[str, Any], after: str, named: Callable[..., ModelFiles]) -> None:
    old = named(f"pack_v{before}").contract
    assert str(next_version(old, dataclasses.replace(old, **change))) == after


def test_a_number_that_cannot_grow_is_refused() -> None:
    with pytest.raises(RegistryError, match="its PATCH number cannot grow: begin a new family"):
        stepped(ModelVersion(1, 0, 999_999_999), Level.PATCH)


def test_a_version_that_is_not_higher_does_not_follow() -> None:
    with pytest.raises(RegistryError, match=r"version 1\.0\.0 does not follow 1\.0\.0"):
        step_between(ModelVersion(1), ModelVersion(1))


# --- models over time -------------------------------------------------------------------------------------------------

OVER_TIME = Path(__file__).parents[2] / "data" / "models" / "over_time_v1.0.0"


@pytest.fixture(scope="module")
def over_time() -> ModelContract:
    return sidecar.decode(OVER_TIME.with_name(f"{OVER_TIME.name}.json").read_bytes())


def changed(contract: ModelContract, **members: Any) -> ModelContract:
    assert contract.monitoring is not None
    return dataclasses.replace(contract, monitoring=dataclasses.replace(contract.monitoring, **members))


def other_limits(monitoring: Monitoring, **members: Any) -> Limits:
    assert monitoring.limits is not None
    return dataclasses.replace(monitoring.limits, **members)


def _with_cells(recipe: PhysicsRecipe) -> PhysicsRecipe:
    return dataclasses.replace(
        recipe, signals=(*recipe.signals, "temp_min"), middle=(*recipe.middle, 0.0), spread=(*recipe.spread, 1.0)
    )


def _hotter(limits: Limits) -> Limits:
    first, *others = limits.limits
    return dataclasses.replace(limits, limits=(dataclasses.replace(first, warning=50.0), *others))


CHANGES: list[tuple[Callable[[Monitoring], dict[str, Any]], Level, str | None]] = [
    (lambda old: {"events": dataclasses.replace(old.events, k=2)}, Level.MINOR, "event rule k: 3 -> 2"),
    (lambda old: {"limits": None}, Level.MINOR, "limit on temp above: .* -> null"),
    (lambda old: {"limits": _hotter(old.limits)}, Level.MINOR, 'limit on temp above: .*"warning": 55.* -> .*50'),  # type: ignore[arg-type]  # it has limits
    (lambda old: {"limits": other_limits(old, cells_in_series=96)}, Level.MINOR, "cells_in_series: null -> 96"),
    (lambda old: {"limits": other_limits(old, source="a datasheet", profile="mine")}, Level.PATCH, None),
    (lambda old: {"calibration": None}, Level.MINOR, "calibrated warning rate: 0.005 -> null"),
    (lambda old: {"drift": None}, Level.PATCH, None),
    (lambda old: {"recipe": dataclasses.replace(old.recipe, mean_square_step=1.5)}, Level.PATCH, None),
    (lambda old: {"quality": dataclasses.replace(old.quality, stale_after_s=99.0)}, Level.PATCH, None),
    (lambda old: {"quality": dataclasses.replace(old.quality, version=2)}, Level.MINOR, "quality rule version: 1 -> 2"),
    (lambda old: {"recipe": dataclasses.replace(old.recipe, version=2)}, Level.MAJOR, "recipe version: 1 -> 2"),
]


@pytest.mark.parametrize(("change", "level", "said"), CHANGES)
def test_what_is_over_time_counts_by_what_it_does(
    over_time: ModelContract, change: Callable[[Monitoring], dict[str, Any]], level: Level, said: str | None
) -> None:
    assert over_time.monitoring is not None
    new = changed(over_time, **change(over_time.monitoring))
    assert level_of(over_time, new) == level_of(new, over_time) == level
    found = [str(difference) for difference in differences(over_time, new)]
    assert bool(found) == (said is not None)
    assert said is None or any(re.search(said, one) for one in found), found


def test_other_signals_and_the_step_from_raw_readings_are_major(over_time: ModelContract) -> None:
    raw = dataclasses.replace(over_time, monitoring=None, schema_version=1)
    assert level_of(raw, over_time) == level_of(over_time, raw) == Level.MAJOR
    assert "judges readings" in {difference.what for difference in differences(raw, over_time)}
    assert over_time.monitoring is not None
    old = over_time.monitoring
    rule = dataclasses.replace(old.quality.signals[2], signal="temp_min")
    quality = dataclasses.replace(old.quality, signals=(*old.quality.signals, rule))
    recipe = _with_cells(old.recipe)
    new = dataclasses.replace(
        over_time,
        features=recipe.features,
        golden=GoldenRows(((0.0,) * len(recipe.features),), (1.0,), (-0.5,), (1,), (0,)),
        monitoring=dataclasses.replace(old, recipe=recipe, quality=quality, drift=None),
    )
    assert {difference.what for difference in differences(over_time, new)} == {"features", "signals"}
    assert level_of(over_time, new) == Level.MAJOR


def test_a_rate_that_was_calibrated_for_is_minor(over_time: ModelContract) -> None:
    assert over_time.monitoring is not None
    record = over_time.monitoring.calibration
    assert record is not None
    milder = dataclasses.replace(record, warning=dataclasses.replace(record.warning, rate=0.02))
    found = differences(over_time, changed(over_time, calibration=milder))
    assert [str(difference) for difference in found] == ["calibrated warning rate: 0.005 -> 0.02"]


def recalibrated(contract: ModelContract, thresholds: Thresholds, **members: Any) -> ModelContract:
    """``contract`` with thresholds that were calibrated anew."""
    assert contract.monitoring is not None
    record = contract.monitoring.calibration
    assert record is not None
    record = dataclasses.replace(
        record,
        warning=dataclasses.replace(record.warning, threshold=thresholds.warning),
        critical=dataclasses.replace(record.critical, threshold=thresholds.critical),
    )
    calibrated = changed(contract, calibration=dataclasses.replace(record, **members))
    return dataclasses.replace(calibrated, thresholds=thresholds)


def test_thresholds_calibrated_anew_at_the_same_rates_are_a_patch(over_time: ModelContract) -> None:
    new = recalibrated(over_time, Thresholds(-0.71, -0.66), trips=40, hours=99.0, rows=10**6)
    assert level_of(over_time, new) == level_of(new, over_time) == Level.PATCH
    assert [str(difference) for difference in differences(over_time, new)] == [
        "critical_threshold, calibrated anew at a rate of 0.0005: -0.7081785550497316 -> -0.71",
        "warning_threshold, calibrated anew at a rate of 0.005: -0.6545094612684639 -> -0.66",
    ]
    patch = dataclasses.replace(new, version=ModelVersion(1, 1, 0))
    with pytest.raises(RegistryError, match=r"the rule asks for PATCH \(critical_threshold, calibrated anew .*1\.0\.1"):
        check_version(over_time, patch)


def test_a_threshold_set_by_hand_after_calibrating_is_minor(over_time: ModelContract) -> None:
    new = dataclasses.replace(over_time, thresholds=Thresholds(over_time.thresholds.critical, -0.66))
    found = {str(difference): difference.level for difference in differences(over_time, new)}
    assert found == {
        "warning_threshold: -0.6545094612684639 -> -0.66": Level.MINOR,
        "calibrated warning rate: 0.005 -> null": Level.MINOR,
    }


def test_another_kind_of_promise_is_minor(over_time: ModelContract) -> None:
    elsewhere = recalibrated(over_time, Thresholds(-0.71, -0.66), folds=None)
    assert level_of(over_time, elsewhere) == Level.MINOR
    said = [str(difference) for difference in differences(over_time, elsewhere)]
    assert any(re.search("warning rate calibrated on: .*its own trips.* -> .*trips not fitted on", one) for one in said)
    assert elsewhere.monitoring is not None
    record = elsewhere.monitoring.calibration
    assert record is not None
    by_trips = dataclasses.replace(record.warning, unit="trip", unit_seconds=None)
    trips = changed(elsewhere, calibration=dataclasses.replace(record, warning=by_trips))
    assert 'warning rate promised by: "blocks" -> "trips"' in map(str, differences(elsewhere, trips))
    assert level_of(elsewhere, trips) == Level.MINOR


@st.composite
def calibrated_contracts(draw: st.DrawFn) -> ModelContract:
    """Models over time that differ in how their thresholds came about, often by chance at the same place."""
    contract = sidecar.decode(OVER_TIME.with_name(f"{OVER_TIME.name}.json").read_bytes())
    assert contract.monitoring is not None
    places = [Thresholds(-0.75, -0.6), Thresholds(-0.75, -0.65), Thresholds(-0.7, -0.65)]
    new = recalibrated(contract, draw(st.sampled_from(places)), folds=draw(st.sampled_from([None, 5, 6])))
    assert new.monitoring is not None
    record = new.monitoring.calibration
    assert record is not None
    if draw(st.booleans()):
        milder = dataclasses.replace(record.warning, rate=0.02)
        new = changed(new, calibration=dataclasses.replace(record, warning=milder))
    by_hand = draw(st.one_of(st.none(), st.sampled_from(places)))
    if by_hand is not None:
        new = dataclasses.replace(new, thresholds=by_hand)
    return changed(new, calibration=None) if draw(st.booleans()) else new


@given(calibrated_contracts(), calibrated_contracts(), calibrated_contracts())
def test_calibrations_keep_to_the_laws_of_steps(a: ModelContract, b: ModelContract, c: ModelContract) -> None:
    assert level_of(a, a) == Level.PATCH
    assert not differences(a, a)
    assert level_of(a, b) == level_of(b, a)
    assert level_of(a, c) <= max(level_of(a, b), level_of(b, c))


def test_both_sides_of_what_is_over_time_are_shown(over_time: ModelContract) -> None:
    assert over_time.monitoring is not None
    old = over_time.monitoring
    new = dataclasses.replace(old, limits=None, events=dataclasses.replace(old.events, k=2))
    shown = {name: (before, after) for name, before, after in side_by_side(old, new)}
    assert shown["events.k"] == ("3", "2")
    assert shown["limit on temp above.critical"] == ("60.0", None)
    assert shown["calibration.warning.rate"] == ("0.005", "0.005")
    assert shown["recipe.voltage.relaxations[0].time_constant_s"] == ("10.0", "10.0")
    assert not any("curve" in name or name.startswith("drift") for name in shown)
    assert side_by_side(None, None) == ()


def test_a_healthy_range_that_comes_goes_or_forces_otherwise_is_minor(over_time: ModelContract) -> None:
    now = sidecar.decode(OVER_TIME.with_name("over_time_v1.1.0.json").read_bytes()).monitoring
    assert now is not None
    healthy = now.healthy_range
    assert healthy is not None
    guarded = changed(over_time, healthy_range=healthy)
    lower = tuple(one - 1.0 for one in healthy.lowest)
    wider = changed(over_time, healthy_range=dataclasses.replace(healthy, lowest=lower))
    milder = changed(over_time, healthy_range=dataclasses.replace(healthy, critical_times=9.0))

    assert level_of(over_time, guarded) == level_of(guarded, over_time) == Level.MINOR
    assert level_of(guarded, milder) == Level.MINOR
    assert level_of(guarded, wider) == Level.PATCH
    assert level_of(over_time, changed(over_time, sampling=now.sampling)) == Level.MINOR
