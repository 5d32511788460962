"""Watching the healthy range: features far beyond what any healthy trip showed, whatever the forest says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ev_qa_runtime.healthy_range import HealthyRange
from ev_qa_runtime.phrases import number_with_unit, phrase
from ev_qa_runtime.physics.recipe import PhysicsRecipe
from ev_qa_runtime.severity import Severity

FAR_BEYOND = "far beyond what healthy trips showed"
"""How every ``reason`` here ends."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A feature far beyond the healthy range. ``text`` has the value; ``reason`` has not, so that it can be counted."""

    feature: str
    value: float
    severity: Severity
    text: str
    reason: str


class RangeGuard:
    """The healthy range of a recipe's features. Stateless: the vehicles of a model share one, see :func:`guard_of`.

    It only counts while temperature and state of charge lie where healthy trips have been: elsewhere the recipe's own
    model is a guess, and what it leaves over is no evidence.
    """

    __slots__ = ("_bounds", "_features", "_range", "_soc", "_soc_range", "_temp", "_temp_range")

    def __init__(self, healthy: HealthyRange, recipe: PhysicsRecipe) -> None:
        self._range = healthy
        self._bounds = healthy.bounds(recipe.middle, recipe.spread)
        self._features = recipe.features[: len(recipe.middle)]
        self._temp, self._soc = recipe.signals.index("temp"), recipe.signals.index("soc")
        self._temp_range, self._soc_range = healthy.temp_range, healthy.soc_range

    def check(self, reading: Sequence[float], features: Sequence[float]) -> tuple[Excess, ...]:
        """The features of a reading that lie beyond the range, in the recipe's order; empty where all is well.

        ``reading``: the recipe's signals, finite; ``features``: what the recipe's extractor makes of it.
        """
        found: tuple[Excess, ...] = ()
        for number, bounds in enumerate(self._bounds):
            if not bounds[1] <= features[number] <= bounds[2]:
                found += (self._excess(number, features[number]),)
        return found if found and self._covered(reading) else ()

    def _covered(self, reading: Sequence[float]) -> bool:
        temp, soc = self._temp_range, self._soc_range
        return temp[0] <= reading[self._temp] <= temp[1] and soc[0] <= reading[self._soc] <= soc[1]

    def _excess(self, number: int, value: float) -> Excess:
        bounds, feature, healthy = self._bounds[number], self._features[number], self._range
        severity = Severity.WARNING if bounds[0] <= value <= bounds[3] else Severity.CRITICAL
        low, high = healthy.lowest[number], number_with_unit(healthy.highest[number], feature)
        seen = f"{healthy.trips} healthy trips kept to {number_with_unit(low, feature)} … {high}"
        reason = f"{feature.name.replace('_', ' ')} {FAR_BEYOND}"
        return Excess(feature.name, value, severity, f"{phrase(feature, value)} ({seen})", reason)


@lru_cache(maxsize=8)
def guard_of(healthy: HealthyRange, recipe: PhysicsRecipe) -> RangeGuard:
    """The guard of a model, made once."""
    return RangeGuard(healthy, recipe)
