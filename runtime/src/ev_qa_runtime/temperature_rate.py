"""How fast a temperature rises, over a window long enough for a probe that reads whole degrees.

Over one second a step of a 1 degC probe is 1 degC/s, as fast as a thermal runaway; over :data:`WINDOW_S` it is 0.1.
"""

from __future__ import annotations

import math
from typing import Any

from ev_qa_runtime.saved_state import finite_number

WINDOW_S = 10.0
"""The change is taken from the newest temperature that is at least this old."""

SPACING_S = 0.9
"""Readings that follow faster are not all kept, so that 10 Hz needs no more memory than 1 Hz."""

MOST_KEPT = 14
"""Temperatures of the window, and the one before it."""


class TemperatureRate:
    """The rate of one temperature signal, degC/s; the caller hands in times that never fall."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[tuple[float, float]] = []

    def step(self, time: float, temperature: float) -> float:
        """Degrees per second since a moment at least ``WINDOW_S`` ago; NaN where there is none, or no temperature."""
        if not -math.inf < temperature < math.inf:
            return math.nan
        kept = self._kept
        if not kept:
            kept.append((time, temperature))
            return math.nan
        latest = time - WINDOW_S
        while len(kept) > 1 and kept[1][0] <= latest:
            del kept[0]
        then, before = kept[0]
        rate = (temperature - before) / (time - then) if then <= latest else math.nan
        if time - kept[-1][0] >= SPACING_S:
            kept.append((time, temperature))
        return rate

    def clear(self) -> None:
        """Forget everything, as after a gap."""
        self._kept.clear()

    def state(self) -> list[list[float]]:
        """What is kept, as plain JSON: at most ``MOST_KEPT`` pairs of time and temperature."""
        return [[time, temperature] for time, temperature in self._kept]

    def restore(self, state: Any) -> None:
        """Take over what :meth:`state` gave; ``ValueError`` or ``TypeError`` for anything else."""
        kept = [(finite_number(time), finite_number(temperature)) for time, temperature in state]
        times = [time for time, _ in kept]
        if len(kept) > MOST_KEPT or times != sorted(times):
            raise ValueError
        self._kept = kept
