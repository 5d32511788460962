"""Explanations in words: "pack voltage 9.1 V below the model at this current"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ev_qa_runtime.contract import FeatureSpec, FeatureStatistics

if TYPE_CHECKING:  # words need no trees
    from ev_qa_runtime.explanation import Explanation

OF_ALL_FEATURES = frozenset(("largest_deviation", "mean_deviation"))
"""Features that say how unusual the others are, and not which."""

SMALLEST_SHARE = 0.05
"""A feature that pushes less than this share of the strongest one is no reason worth reading."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words for one feature: ``{size}`` is the value without its sign and with its unit, ``{usual}`` the training mean.

    ``below`` for values under zero, ``above`` for the others. Where ``when_high``, the words only hold for values
    above the training mean.
    """

    above: str
    below: str
    when_high: bool = False


def _signed(text: str) -> Phrase:
    """A residual: ``text`` with ``{side}`` for above or below."""
    return Phrase(text.replace("{side}", "above"), text.replace("{side}", "below"))


def _level(what: str) -> Phrase:
    """A quantity that is never negative and is judged by what is usual."""
    text = f"{what} {{size}}, usually {{usual}}"
    return Phrase(text, text)


def _ratio(text: str) -> Phrase:
    """Something over what is usual under the same conditions."""
    return Phrase(text, text)


def _stillness(what: str, mover: str) -> Phrase:
    text = f"{what} unchanged while {mover} by {{size}}"
    return Phrase(text, text, when_high=True)


PHRASES: Mapping[str, Phrase] = {
    "voltage_residual": _signed("pack voltage {size} {side} the model at this current"),
    "voltage_residual_mean": _signed("pack voltage {size} {side} the model at this current, averaged over a minute"),
    "voltage_noise_ratio": _ratio("pack voltage scatters around the model {size} times as much as usual"),
    "voltage_step_ratio": _ratio("pack voltage stepped away from the model {size} times as far as usual"),
    "resistance_step_residual": _signed("internal resistance {size} {side} the model, from steps of the current"),
    "resistance_level_residual": _signed("internal resistance {size} {side} the model, from the current's level"),
    "soc_residual": _signed("state of charge {size} {side} what the current adds up to"),
    "temp_residual": _signed("temperature {size} {side} the model for the heat of this current"),
    "temp_noise": _level("temperature jumps from reading to reading by"),
    "voltage_stillness": _stillness("pack voltage", "the model moved"),
    "current_stillness": _stillness("current", "the pack voltage stepped away from the model"),
    "temp_stillness": _stillness("temperature", "the model moved"),
    "soc_stillness": _stillness("state of charge", "the current moved it"),
    "cell_spread": _level("highest and lowest cell voltage apart by"),
    "cell_spread_mean": _level("highest and lowest cell voltage on average apart by"),
    "probe_spread": _level("hottest and coldest temperature probe apart by"),
    "largest_deviation": _ratio("what is furthest from usual is {size} standard deviations off"),
    "mean_deviation": _ratio("all figures together are {size} standard deviations from usual"),
}
"""Phrases of the physics features by name; any other feature is told with its value and training range."""


def explain_in_words(
    explanation: Explanation, values: Sequence[float], features: Sequence[FeatureSpec], limit: int = 3
) -> tuple[str, ...]:
    """What pushes a reading towards anomaly, in words, the strongest first, at most ``limit`` texts.

    ``values``: one float for each of ``features``, in their units; for the explanation of an event, the reading at its
    peak. Features that push less than :data:`SMALLEST_SHARE` of the strongest are left out. For a figure of all
    features together stands the feature that is furthest from its training mean.
    """
    reading = {spec.name: (spec, float(value)) for spec, value in zip(features, values, strict=True)}
    ranked = [(name, push) for name, push in explanation.ranked() if push < 0.0]
    enough = SMALLEST_SHARE * ranked[0][1] if ranked else 0.0
    furthest = _furthest(reading)
    named = (furthest or name if name in OF_ALL_FEATURES else name for name, push in ranked if push <= enough)
    return tuple(phrase(*reading[name]) for name in list(dict.fromkeys(named))[:limit])


def _furthest(reading: Mapping[str, tuple[FeatureSpec, float]]) -> str | None:
    """The feature that is most standard deviations from its training mean; None where that is unknown of all."""
    off = {
        name: abs(value - spec.training.mean) / spec.training.std
        for name, (spec, value) in reading.items()
        if name not in OF_ALL_FEATURES and spec.training is not None and spec.training.std > 0.0
    }
    known = {name: distance for name, distance in off.items() if not math.isnan(distance)}
    return max(known, key=known.__getitem__) if known else None


def phrase(feature: FeatureSpec, value: float) -> str:
    """What to say of ``value`` of a feature, in its unit."""
    known = PHRASES.get(feature.name)
    if math.isnan(value):
        return f"{feature.name} is missing"
    if known is None or (known.when_high and value <= (feature.training.mean if feature.training else 0.0)):
        return f"{feature.name} {number_with_unit(value, feature)}{_beside_training(feature, value)}"
    template = known.below if value < 0.0 else known.above
    if feature.training is None:
        template = template.removesuffix(", usually {usual}")
    usual = number_with_unit(feature.training.mean, feature) if feature.training else ""
    return template.format(size=number_with_unit(abs(value), feature), usual=usual)


def _beside_training(feature: FeatureSpec, value: float) -> str:
    """Where a value lies beside what the model was trained on; nothing where that is unknown."""
    training = feature.training
    if training is None:
        return ""
    span = f"{_number(training.minimum)} to {number_with_unit(training.maximum, feature)}"
    if value > training.maximum:
        return f", above the training range {span}"
    if value < training.minimum:
        return f", below the training range {span}"
    return _inside_training(training, value, feature)


def _inside_training(training: FeatureStatistics, value: float, feature: FeatureSpec) -> str:
    distance = abs(value - training.mean)
    if training.std > 0.0 and distance >= training.std:
        side = "above" if value > training.mean else "below"
        mean = number_with_unit(training.mean, feature)
        return f", {distance / training.std:.1f} standard deviations {side} the training mean {mean}"
    return ", usual by itself but not together with the other readings"


def number_with_unit(value: float, feature: FeatureSpec) -> str:
    """Three digits and the feature's unit, where it has one."""
    if feature.unit is None:
        return _number(value)
    return f"{_number(value)} {feature.unit}"


def _number(value: float) -> str:
    """Three digits, or all before the point, as people write them: 9.1, 0.0123, 1350; tiny and huge with exponent."""
    if not math.isfinite(value):
        return "infinity" if value > 0.0 else "-infinity"
    if value == 0.0 or not 1e-6 <= abs(value) < 1e9:
        return "0" if value == 0.0 else f"{value:.2e}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
