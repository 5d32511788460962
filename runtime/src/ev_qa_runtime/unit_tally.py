"""One vehicle's readings in another unit than their names say, in bounded counters. Plain floats.

Training refuses such telemetry; a stream cannot know at its first reading, so it counts. A signal is suspected where
nearly all its readings lie outside of what the model knows, and where another unit would put them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.physics.recipe import PhysicsRecipe
from ev_qa_runtime.reading_quality import QualityRule
from ev_qa_runtime.saved_state import finite_number, whole_number

FEWEST_READINGS = 20
_NEARLY_ALL = 0.95
_MOST_OF_CURRENT = 0.5
"""A current in milliamperes is small often enough to pass for amperes."""
_COLDEST_K = 200.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Readings of the signal in place ``at`` that lie in ``lowest`` … ``highest`` speak for another unit.

    ``size`` where only their size counts. ``text`` says what and what to do, after what was seen.
    """

    at: int
    signal: str
    lowest: float
    highest: float
    share: float
    size: bool
    unit: str
    text: str


@lru_cache(maxsize=8)
def suspicions_of(recipe: PhysicsRecipe, quality: QualityRule) -> tuple[Suspicion, ...]:
    """Where other units would put each signal of a recipe, as far as the model's own range excludes it."""
    found = []
    ranges = {one.signal: (one.lowest, one.highest) for one in quality.signals}
    soc, temp = recipe.voltage.soc_range, recipe.voltage.temp_range
    for at, name in enumerate(recipe.signals):
        highest = ranges[name][1]
        if name == "soc" and soc[0] > 1.0:
            text = f"a share of 1 where per cent are needed, in training {soc[0]:.4g} to {soc[1]:.4g}: "
            text += "name the column 'soc_fraction', or multiply by 100"
            found.append(Suspicion(at, name, 0.0, 1.0, _NEARLY_ALL, False, "", text))
        elif name in ("temp", "temp_min") and temp[1] < _COLDEST_K:
            text = f"like kelvin where degC are needed, in training {temp[0]:.4g} to {temp[1]:.4g}: "
            text += f"name the column '{name}_k', or subtract 273.15"
            found.append(Suspicion(at, name, _COLDEST_K, ranges[name][1] + 273.15, _NEARLY_ALL, False, " degC", text))
        elif name == "current":
            text = f"like milliamperes where A are needed, at most {highest:.4g} A can be: "
            text += "name the column 'current_ma', or divide by 1000"
            found.append(Suspicion(at, name, highest, 1000.0 * highest, _MOST_OF_CURRENT, True, " A", text))
        elif "voltage" in name:
            text = f"like millivolts where V are needed, at most {highest:.4g} V can be: "
            text += f"name the column '{name}_mv', or divide by 1000"
            found.append(Suspicion(at, name, highest, 1000.0 * highest, _NEARLY_ALL, False, " V", text))
    return tuple(found)


class UnitTally:
    """One vehicle's readings, one after the other; :meth:`remark` says which are in another unit."""

    __slots__ = ("_counts", "_suspicions")

    def __init__(self, suspected: tuple[Suspicion, ...]) -> None:
        """``suspected``: that of :func:`suspicions_of` for a model, which its vehicles share."""
        self._suspicions = suspected
        self._counts: list[list[Any]] = [[0, 0, math.inf, -math.inf] for _ in suspected]  # inside, all, from, to

    def step(self, reading: Sequence[float]) -> None:
        """The next reading, one float a signal, NaN where missing; zeros say nothing of units."""
        for one, counts in zip(self._suspicions, self._counts, strict=True):
            value = reading[one.at]
            if value == 0.0 or not -math.inf < value < math.inf:
                continue
            counts[1] += 1
            size = abs(value) if one.size else value
            if one.lowest <= size <= one.highest:
                counts[0] += 1
                counts[2] = min(counts[2], value)
                counts[3] = max(counts[3], value)

    def suspected(self) -> tuple[str, ...]:
        """The signals whose readings look like another unit."""
        return tuple(one.signal for one, _ in self._found())

    def remark(self) -> str | None:
        """What looks like another unit, what was seen and what to do; None where nothing does, or too little was seen.

        The same from the same readings, in whatever chunks they come.
        """
        said = [
            f"{one.signal} goes from {counts[2]:.4g} to {counts[3]:.4g}{one.unit}, {one.text}"
            for one, counts in self._found()
        ]
        return "; ".join(said) if said else None

    def _found(self) -> list[tuple[Suspicion, list[Any]]]:
        return [
            (one, counts)
            for one, counts in zip(self._suspicions, self._counts, strict=True)
            if counts[1] >= FEWEST_READINGS and counts[0] >= one.share * counts[1]
        ]

    def state(self) -> dict[str, Any]:
        """What later remarks depend on, in plain JSON types."""
        return {
            one.signal: [counts[0], counts[1], *(counts[2:] if counts[0] else (None, None))]
            for one, counts in zip(self._suspicions, self._counts, strict=True)
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``TelemetryError`` where it is not one of this model's signals."""
        try:
            restored = []
            for one in self._suspicions:
                inside, seen, low, high = state[one.signal]
                ends = [finite_number(low), finite_number(high)] if inside else [math.inf, -math.inf]
                restored.append([whole_number(inside), whole_number(seen), *ends])
        except (KeyError, TypeError, ValueError) as error:
            raise TelemetryError(f"this is not the state of a vehicle's units: {error!r:.80}") from None
        self._counts = restored
