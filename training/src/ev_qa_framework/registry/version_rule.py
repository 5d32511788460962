"""Semantic versions of models by rule: MAJOR, MINOR or PATCH follows from two contracts.

MAJOR: another algorithm, or another feature contract (names, order, units, current sign, a column name it no longer
answers to); of models over time also other signals or another version of the recipe. MINOR: other parameters,
thresholds or ONNX profile, or a further column name; over time also other limits, another event rule, version of the
quality rule, or other rates or another kind of promise that was calibrated for. PATCH: anything else, that is the same
recipe trained again, with new coefficients, quality figures and histograms, and with thresholds that were calibrated
anew for the same rates: what they promise is what was promised before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ev_qa_runtime.calibration_record import LevelCalibration
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import RegistryError
from ev_qa_runtime.events import event_rule_document
from ev_qa_runtime.limits import Limits, limits_document
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.monitoring import Monitoring

HIGHEST_NUMBER = 999_999_999


class Level(IntEnum):
    """Which number of a version steps."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two contracts say differently, as text on both sides."""

    level: Level
    what: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.what}: {self.old} -> {self.new}"


def differences(old: ModelContract, new: ModelContract) -> list[Difference]:
    """What counts for the version, the weightiest first; at PATCH only thresholds that moved with their calibration."""
    found = [
        *_of_contract(old, new),
        *_of_recipe(old, new),
        *_of_monitoring(old.monitoring, new.monitoring),
        *_of_calibration(old, new),
    ]
    return sorted(found, key=lambda difference: -difference.level)


def level_of(old: ModelContract, new: ModelContract) -> Level:
    """The step that the rule asks for between two contracts."""
    return max((difference.level for difference in differences(old, new)), default=Level.PATCH)


def next_version(old: ModelContract, new: ModelContract) -> ModelVersion:
    """The version that ``new`` must have if it follows ``old``."""
    return stepped(old.version, level_of(old, new))


def stepped(version: ModelVersion, level: Level) -> ModelVersion:
    """``version`` with the number of ``level`` one higher and those after it 0.

    Raises ``RegistryError`` where that number cannot grow any more.
    """
    numbers = {
        Level.MAJOR: (version.major + 1, 0, 0),
        Level.MINOR: (version.major, version.minor + 1, 0),
        Level.PATCH: (version.major, version.minor, version.patch + 1),
    }[level]
    if max(numbers) > HIGHEST_NUMBER:
        raise RegistryError(f"no version follows {version}: its {level.name} number cannot grow: begin a new family")
    return ModelVersion(*numbers)


def step_between(old: ModelVersion, new: ModelVersion) -> Level:
    """The step that was taken from ``old`` to the higher ``new``: of the first number that differs.

    Raises ``RegistryError`` where a number after it is not 0, or ``new`` is not higher.
    """
    if new <= old:
        raise RegistryError(f"version {new} does not follow {old}")
    level = Level.MINOR if new.minor != old.minor else Level.PATCH
    if new.major != old.major:
        level = Level.MAJOR
    if (level is Level.MAJOR and new.minor) or (level is not Level.PATCH and new.patch):
        raise RegistryError(
            f"version {new} does not follow {old}: after a {level.name} step the numbers behind it are 0"
        )
    return level


def check_version(old: ModelContract, new: ModelContract) -> None:
    """Raise ``RegistryError``, with both sides, where the version of ``new`` contradicts the rule."""
    found = differences(old, new)
    wanted = max((difference.level for difference in found), default=Level.PATCH)
    taken = step_between(old.version, new.version)
    if taken != wanted:
        said = "; ".join(map(str, found)) or "neither features, algorithm, parameters nor thresholds differ"
        raise RegistryError(
            f"version {new.version} after {old.version} is a {taken.name} step, the rule asks for {wanted.name}"
            f" ({said}): publish it as {stepped(old.version, wanted)}"
        )


def _of_contract(old: ModelContract, new: ModelContract) -> Iterator[Difference]:
    yield from _unequal(Level.MAJOR, "algorithm", old.algorithm, new.algorithm)
    yield from _unequal(Level.MAJOR, "features", list(old.feature_names), list(new.feature_names))
    yield from _unequal(Level.MAJOR, "current sign", old.current_sign, new.current_sign)
    before = {feature.name: feature for feature in old.features}
    for feature in new.features:
        known = before.get(feature.name)
        if known is None:
            continue
        yield from _unequal(Level.MAJOR, f"unit of {feature.name}", known.unit, feature.unit)
        lost, gained = sorted({*known.aliases} - {*feature.aliases}), sorted({*feature.aliases} - {*known.aliases})
        if lost:
            yield Difference(Level.MAJOR, f"{feature.name} no longer answers to", _shown(lost), "[]")
        if gained:
            yield Difference(Level.MINOR, f"{feature.name} also answers to", "[]", _shown(gained))


def _of_recipe(old: ModelContract, new: ModelContract) -> Iterator[Difference]:
    for name in sorted({*old.parameters, *new.parameters}):
        before, after = old.parameters.get(name, "none"), new.parameters.get(name, "none")
        yield from _unequal(Level.MINOR, name, before, after)
    for name in ("critical", "warning"):
        level, what = Level.MINOR, f"{name}_threshold"
        promise = _calibration(old, name)
        if promise is not None and promise == _calibration(new, name):
            level, what = Level.PATCH, f"{what}, calibrated anew at a rate of {promise.rate:g}"
        yield from _unequal(level, what, getattr(old.thresholds, name), getattr(new.thresholds, name))
    yield from _unequal(Level.MINOR, "ONNX profile", old.onnx.profile, new.onnx.profile)


def _of_monitoring(old: Monitoring | None, new: Monitoring | None) -> Iterator[Difference]:
    if old is None and new is None:
        return
    if old is None or new is None:
        yield from _unequal(Level.MAJOR, "judges readings", _manner(old), _manner(new))
        return
    yield from _unequal(Level.MAJOR, "signals", list(old.recipe.signals), list(new.recipe.signals))
    yield from _unequal(Level.MAJOR, "recipe version", old.recipe.version, new.recipe.version)
    yield from _unequal(Level.MINOR, "quality rule version", old.quality.version, new.quality.version)
    before, after = event_rule_document(old.events), event_rule_document(new.events)
    for name in before:
        yield from _unequal(Level.MINOR, f"event rule {name}", before[name], after[name])
    yield from _of_limits(old.limits, new.limits)
    yield from _unequal(Level.MINOR, "healthy range", _guard(old), _guard(new))
    known = ["none" if each.sampling is None else "known" for each in (old, new)]
    yield from _unequal(Level.MINOR, "sampling of the training data", *known)


def _guard(monitoring: Monitoring) -> str:
    """Whether far excesses are forced, and from where on; how far healthy trips went is a figure of the data."""
    healthy = monitoring.healthy_range
    if healthy is None:
        return "none"
    return (
        f"WARNING at {healthy.warning_times:g} times it and {healthy.warning_deviations:g} deviations, "
        f"CRITICAL at {healthy.critical_times:g} and {healthy.critical_deviations:g}"
    )


def _manner(monitoring: Monitoring | None) -> str:
    return "each alone" if monitoring is None else "over time"


@dataclass(frozen=True, slots=True)
class _Promise:
    """What a threshold was calibrated for. The length of blocks and the number of folds are figures of the data."""

    rate: float
    by: str
    on: str


def _calibration(contract: ModelContract, name: str) -> _Promise | None:
    """The promise of one threshold; None where it was given, or set by hand after it was calibrated."""
    record = None if contract.monitoring is None else contract.monitoring.calibration
    if record is None:
        return None
    level: LevelCalibration = getattr(record, name)
    if level.threshold != getattr(contract.thresholds, name):
        return None
    on = "trips not fitted on" if record.folds is None else "its own trips, by models fitted on the others"
    return _Promise(level.rate, f"{level.unit}s", on)


def _of_calibration(old: ModelContract, new: ModelContract) -> Iterator[Difference]:
    for name in ("warning", "critical"):
        before, after = _calibration(old, name), _calibration(new, name)
        yield from _unequal(Level.MINOR, f"calibrated {name} rate", before and before.rate, after and after.rate)
        if before is not None and after is not None:
            yield from _unequal(Level.MINOR, f"{name} rate promised by", before.by, after.by)
            yield from _unequal(Level.MINOR, f"{name} rate calibrated on", before.on, after.on)


def _of_limits(old: Limits | None, new: Limits | None) -> Iterator[Difference]:
    """Limit by limit; where the figures come from is no difference."""
    before, after = _limits_by_name(old), _limits_by_name(new)
    for name in dict.fromkeys((*before, *after)):
        yield from _unequal(Level.MINOR, name, before.get(name), after.get(name))


def _limits_by_name(limits: Limits | None) -> dict[str, Any]:
    if limits is None:
        return {}
    document = limits_document(limits)
    named = {f"limits' {name}": document[name] for name in ("version", "cells_in_series", "capacity_ah")}
    for limit in document["limits"]:
        bounds = {name: value for name, value in limit.items() if name not in ("signal", "side")}
        named[f"limit on {limit['signal']} {limit['side']}"] = bounds
    return named


def _unequal(level: Level, what: str, old: Any, new: Any) -> Iterator[Difference]:
    """As JSON has them: ``max_samples`` 1 is one row, 1.0 is all of them."""
    if _shown(old) != _shown(new):
        yield Difference(level, what, _shown(old), _shown(new))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
