"""The physics recipe: what was fitted on healthy telemetry, as it lies in the sidecar. Standard library only.

Invariants, checked on construction: every coefficient is finite, ranges are ordered, time constants are positive, and
the signals hold the four that every recipe needs.

The formulas are in :mod:`ev_qa_runtime.physics.extractor`, the least squares in ``ev_qa_framework.physics_fitting``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ev_qa_runtime.contract import FeatureSpec
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

RECIPE_NAME = "physics"
RECIPE_VERSION = 1
"""Of the formulas: other formulas are another version, and runtimes refuse versions that they do not know."""

NEEDED_SIGNALS = ("voltage", "current", "temp", "soc")
CELL_SIGNALS = ("cell_voltage_max", "cell_voltage_min")
PROBE_SIGNALS = ("temp_min",)
OPTIONAL_SIGNALS = (*PROBE_SIGNALS, *CELL_SIGNALS)

MOST_RELAXATIONS = 8
LARGEST_COEFFICIENT = 1e12
"""Coefficients and scales, and 1/scale: with more, squares of readings would leave the range of doubles."""

_OCV_TERMS, _RESISTANCE_TERMS, _THERMAL_TERMS = 5, 4, 7


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One smoothed current of the equivalent circuit: an RC pair in discrete time.

    ``time_constant_s`` in seconds; ``resistance`` in ohm at 25 °C, ``resistance_per_10_degc`` its change with 10 °C.
    """

    time_constant_s: float
    resistance: float
    resistance_per_10_degc: float


@dataclass(frozen=True, slots=True)
class VoltageModel:
    """Pack voltage that is expected of state of charge, temperature and current (an equivalent circuit).

    ``open_circuit``: V, coefficients of 1, s, s², s³, s⁴ with s the state of charge from 0 to 1, held to ``soc_range``
    (%); outside it the voltage goes on with ``slope_outside`` (V per unit of s). ``per_10_degc``: V.
    ``resistance``: ohm, coefficients of 1, t, t², s with t = (temp − 25 °C) / 10, held to ``temp_range`` (°C).
    """

    open_circuit: tuple[float, ...]
    slope_outside: float
    per_10_degc: float
    resistance: tuple[float, ...]
    relaxations: tuple[Relaxation, ...]
    soc_range: tuple[float, float]
    temp_range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ThermalModel:
    """Rise of the temperature over its own mean of ten minutes that is expected of the heat, in °C.

    ``coefficients`` of 1, warm, h₁, h₂, h₁·t, h₂·t, t: h₁ and h₂ are the squared current smoothed over one and over ten
    minutes, divided by its mean in training; ``warm`` goes from 0 to 1 after a start.
    """

    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PhysicsRecipe:
    """Everything that turns signals into features.

    ``signals`` in the order of readings; ``percent_per_ampere_second`` the change of state of charge with charge drawn
    (negative); ``mean_square_current`` (A²) and ``mean_square_step`` (A²) of the training data scale what is divided by
    them. ``step_variance``: variance (V²) that steps of the voltage residual usually have, without a step of the
    current and for each A² of one. ``middle`` and ``spread``: median and standard deviation of every feature but the
    last two, which are made of them. A pause longer than ``restart_after_s`` starts the filters anew.
    """

    signals: tuple[str, ...]
    voltage: VoltageModel
    thermal: ThermalModel
    percent_per_ampere_second: float
    mean_square_current: float
    mean_square_step: float
    step_variance: tuple[float, float]
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    restart_after_s: float = 600.0
    version: int = RECIPE_VERSION

    def __post_init__(self) -> None:
        model = self.voltage
        _lengths("open_circuit", model.open_circuit, _OCV_TERMS)
        _lengths("resistance", model.resistance, _RESISTANCE_TERMS)
        _lengths("thermal coefficients", self.thermal.coefficients, _THERMAL_TERMS)
        if not set(NEEDED_SIGNALS) <= set(self.signals) or len(set(self.signals)) != len(self.signals):
            raise ArtifactError(f"the recipe's signals {self.signals!r:.200} lack one of {', '.join(NEEDED_SIGNALS)}")
        if unknown := set(self.signals) - {*NEEDED_SIGNALS, *OPTIONAL_SIGNALS}:
            raise ArtifactError(f"the recipe reads signals that it does not know: {sorted(unknown)!r:.200}")
        for low, high in (model.soc_range, model.temp_range):
            if not low <= high:
                raise ArtifactError("the recipe has a range whose lowest value lies above its highest")
        _lengths("step_variance", self.step_variance, 2)
        plain = count_plain(self.signals)
        _lengths("middle", self.middle, plain)
        _lengths("spread", self.spread, plain)
        positive = [
            self.mean_square_current,
            self.mean_square_step,
            self.restart_after_s,
            self.step_variance[0],
            *self.spread,
        ]
        positive += [relaxation.time_constant_s for relaxation in model.relaxations]
        others = [model.slope_outside, model.per_10_degc, *model.open_circuit, *model.resistance, *model.soc_range]
        others += [
            *model.temp_range,
            *self.thermal.coefficients,
            *self.step_variance,
            *self.middle,
            self.percent_per_ampere_second,
        ]
        others += [number for one in model.relaxations for number in (one.resistance, one.resistance_per_10_degc)]
        if min(positive) <= 0.0 or self.step_variance[1] < 0.0 or len(model.relaxations) > MOST_RELAXATIONS:
            raise ArtifactError("the recipe has a scale or time constant that is not positive, or too many relaxations")
        if max(map(abs, (*positive, *others))) > LARGEST_COEFFICIENT or min(positive) < 1.0 / LARGEST_COEFFICIENT:
            raise ArtifactError(f"the recipe has a coefficient beyond {LARGEST_COEFFICIENT:g}, or a scale that small")

    @property
    def has_cells(self) -> bool:
        """Whether highest and lowest cell voltage are among the signals."""
        return set(CELL_SIGNALS) <= set(self.signals)

    @property
    def has_probes(self) -> bool:
        """Whether the coldest probe is among the signals."""
        return set(PROBE_SIGNALS) <= set(self.signals)

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        """What the extractor gives, in order: names and units, without statistics."""
        names = _plain_features(self.signals) | DEVIATION_FEATURES
        return tuple(FeatureSpec(name, unit) for name, unit in names.items())


FEATURES: dict[str, str | None] = {
    "voltage_residual": "V",
    "voltage_residual_mean": "V",
    "voltage_noise_ratio": None,
    "voltage_step_ratio": None,
    "resistance_step_residual": "ohm",
    "resistance_level_residual": "ohm",
    "soc_residual": "%",
    "temp_residual": "degC",
    "temp_noise": "degC",
    "voltage_stillness": "V",
    "current_stillness": "V",
    "temp_stillness": "degC",
    "soc_stillness": "%",
}
"""Name → unit of every feature that is always there; ratios have none and are 1 where all is as usual."""

CELL_FEATURES = {"cell_spread": "V", "cell_spread_mean": "V"}
PROBE_FEATURES = {"probe_spread": "degC"}
DEVIATION_FEATURES = {"largest_deviation": None, "mean_deviation": None}
"""How far all the others are from usual, in standard deviations: the furthest, and the root of the mean square.

A tree splits on one feature at a time and seldom meets the one that is far off; it meets these."""


def _plain_features(signals: Iterable[str]) -> dict[str, str | None]:
    """Name → unit of the features that are made of readings."""
    given = set(signals)
    names = dict(FEATURES)
    if set(CELL_SIGNALS) <= given:
        names |= CELL_FEATURES
    if set(PROBE_SIGNALS) <= given:
        names |= PROBE_FEATURES
    return names


def count_plain(signals: Iterable[str]) -> int:
    """How many features are made of these signals, without the deviations."""
    return len(_plain_features(signals))


def recipe_document(recipe: PhysicsRecipe) -> dict[str, Any]:
    """The recipe as the sidecar's JSON object."""
    model = recipe.voltage
    return {
        "name": RECIPE_NAME,
        "version": recipe.version,
        "signals": list(recipe.signals),
        "voltage": {
            "open_circuit": list(model.open_circuit),
            "slope_outside": model.slope_outside,
            "per_10_degc": model.per_10_degc,
            "resistance": list(model.resistance),
            "relaxations": [{name: getattr(one, name) for name in Relaxation.__slots__} for one in model.relaxations],
            "soc_range": list(model.soc_range),
            "temp_range": list(model.temp_range),
        },
        "step_variance": list(recipe.step_variance),
        "middle": list(recipe.middle),
        "spread": list(recipe.spread),
        "thermal": {"coefficients": list(recipe.thermal.coefficients)},
        **{name: getattr(recipe, name) for name in _NUMBERS},
    }


def recipe_of(members: Members) -> PhysicsRecipe:
    """Read the sidecar's object.

    Raises ``IncompatibleModelError`` for a recipe or version that this runtime does not know, ``ArtifactError`` naming
    the member for anything malformed.
    """
    name, version = members.text("name"), members.integer("version", lowest=1)
    if name != RECIPE_NAME or version > RECIPE_VERSION:
        raise IncompatibleModelError(
            f"the model's features are made by recipe {name!r:.40} version {version}, this runtime knows"
            f" {RECIPE_NAME!r} up to {RECIPE_VERSION}: update ev-qa-runtime"
        )
    voltage = members.section("voltage")
    return PhysicsRecipe(
        signals=_texts(members, "signals"),
        voltage=VoltageModel(
            open_circuit=voltage.numbers("open_circuit"),
            slope_outside=voltage.number("slope_outside"),
            per_10_degc=voltage.number("per_10_degc"),
            resistance=voltage.numbers("resistance"),
            relaxations=tuple(
                Relaxation(**{name: section.number(name) for name in Relaxation.__slots__})
                for section in voltage.sections("relaxations")
            ),
            soc_range=_pair(voltage, "soc_range"),
            temp_range=_pair(voltage, "temp_range"),
        ),
        thermal=ThermalModel(members.section("thermal").numbers("coefficients")),
        version=version,
        step_variance=_pair(members, "step_variance"),
        middle=members.numbers("middle"),
        spread=members.numbers("spread"),
        **{name: members.number(name) for name in _NUMBERS},
    )


_NUMBERS = ("percent_per_ampere_second", "mean_square_current", "mean_square_step", "restart_after_s")


def _texts(members: Members, key: str) -> tuple[str, ...]:
    items = members.items(key)
    if not all(isinstance(item, str) for item in items):
        raise ArtifactError(f"sidecar: recipe.{key} must hold texts")
    return tuple(items)


def _pair(members: Members, key: str) -> tuple[float, float]:
    two = members.numbers(key)
    _lengths(key, two, 2)
    return two[0], two[1]


def _lengths(name: str, numbers: Iterable[float], expected: int) -> None:
    given = tuple(numbers)
    if len(given) != expected or not all(map(math.isfinite, given)):
        raise ArtifactError(f"the recipe's {name} must be {expected} finite numbers")
