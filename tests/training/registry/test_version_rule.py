"""MAJOR, MINOR, PATCH by rule: the guide's examples, and laws that hold for any two contracts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.version_rule import Level, check_version, level_of, next_version, step_between, stepped
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
from ev_qa_runtime.model_version import ModelVersion

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
