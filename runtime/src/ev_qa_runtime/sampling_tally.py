"""One vehicle's readings against the sampling that its model was trained on, in bounded counters. Plain floats.

The time between readings is compared by counting how many steps are far longer or shorter than those of training. A
resolution is the common divisor of a signal's changes (Euclid), to half the resolution of training. A change of a finer
signal would pass for a multiple of a divisor that is k times coarser once in k times, so as many changes are asked for
as make that next to impossible. Only changes that turn round or follow a standstill count: a charge at constant power
moves by the same again and again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.sampling import Sampling
from ev_qa_runtime.saved_state import finite_number, whole_number

OUTSIDE = 3.0
"""So many times the figure of training is another sampling."""
FAR = 5.0
"""A reading that comes so many times a step of training after the last one is no more like training's."""
FEWEST_STEPS = 20
MOST_STEPS = 1000
"""Steps that are counted before the counts are halved, so that a change is noticed."""
KEPT_STEPS = 9

_ROUNDING = 1e-9
_NEEDED = ((10.0, 9), (5.0, 13), (0.0, 19))
"""Times coarser → changes that must agree: 10⁻⁹, 5⁻¹³ and 3⁻¹⁹ by chance."""
_FINE_AGAIN = 8
_UNITS = {"voltage": "V", "current": "A", "temp": "degC", "soc": "%", "temp_min": "degC"}


class GridTally:
    """The changes of one signal: whether their common divisor is ``OUTSIDE`` times the resolution of training."""

    __slots__ = ("agreed", "coarse", "direction", "divisor", "fine", "last", "resolution", "stood")

    def __init__(self, resolution: float) -> None:
        """``resolution`` of training, above 0, in the signal's unit."""
        self.resolution = resolution
        self.last = math.nan
        self.divisor = self.coarse = 0.0
        self.agreed = self.fine = self.direction = 0
        self.stood = False

    def step(self, value: float) -> None:
        """The next reading; NaN where missing."""
        change = value - self.last
        if not -math.inf < change < math.inf:
            if -math.inf < value < math.inf:
                self.last = value
            return
        if change == 0.0:
            self.stood = True
            return
        self.last = value
        direction = 1 if change > 0.0 else -1
        counts = self.stood or direction != self.direction
        self.direction, self.stood = direction, False
        self.divisor = _common_divisor(abs(change), self.divisor, self.resolution / 2.0)
        times = self.divisor / self.resolution * (1.0 + _ROUNDING)
        if times < OUTSIDE:
            self.divisor, self.agreed = 0.0, 0
            self.fine = min(self.fine + 1, _FINE_AGAIN)
            if self.fine == _FINE_AGAIN:
                self.coarse = 0.0
        elif counts:
            self.agreed += 1
            if any(times >= least and self.agreed >= needed for least, needed in _NEEDED):
                self.coarse, self.fine, self.agreed = self.divisor, 0, min(self.agreed, _NEEDED[-1][1])

    def state(self) -> list[float | int | bool | None]:
        """What later answers depend on, in plain JSON types."""
        last = self.last if math.isfinite(self.last) else None
        return [last, self.divisor, self.coarse, self.agreed, self.fine, self.direction, self.stood]

    def restore(self, state: Sequence[Any]) -> None:
        """Go on from a :meth:`state`; ``ValueError`` or ``TypeError`` where it is none."""
        last, divisor, coarse, agreed, fine, direction, stood = state
        self.last = math.nan if last is None else finite_number(last)
        self.divisor, self.coarse = abs(finite_number(divisor)), abs(finite_number(coarse))
        self.agreed, self.fine = whole_number(agreed), whole_number(fine)
        self.direction, self.stood = whole_number(direction, -1), bool(stood)


class SamplingTally:
    """One vehicle's readings, one after the other; :meth:`remark` says where they are sampled unlike training."""

    __slots__ = ("_counts", "_far", "_grids", "_high", "_low", "_outside", "_sampling", "_time")

    def __init__(self, sampling: Sampling, signals: Sequence[str]) -> None:
        """``signals``: the names of what :meth:`step` is given."""
        self._sampling = sampling
        self._low = sampling.step_s[0] / OUTSIDE * (1.0 + _ROUNDING)
        self._high = sampling.step_s[2] * OUTSIDE * (1.0 - _ROUNDING)
        self._far = sampling.step_s[2] * FAR
        self._time = math.nan
        self._counts = [0, 0, 0]  # steps too short, too long, all
        self._outside: list[float] = []
        known = {one.signal: one.step for one in sampling.resolutions if one.step > 0.0}
        self._grids = [(at, name, GridTally(known[name])) for at, name in enumerate(signals) if name in known]

    def step(self, time: float, reading: Sequence[float]) -> bool:
        """The next reading: ``time`` in seconds, one float a signal, NaN where missing.

        False where it comes long after the one before, or where a signal is known to come coarser than in training.
        """
        elapsed = time - self._time
        alike = not elapsed > self._far
        if elapsed > 0.0:
            self._count(elapsed)
        if -math.inf < time < math.inf:
            self._time = time
        for at, _, grid in self._grids:
            grid.step(reading[at])
            if grid.coarse:
                alike = False
        return alike

    def _count(self, elapsed: float) -> None:
        counts = self._counts
        counts[2] += 1
        side = 0 if elapsed <= self._low else 1 if elapsed >= self._high else None
        if side is not None:
            counts[side] += 1
            if len(self._outside) == KEPT_STEPS:
                del self._outside[0]
            self._outside.append(elapsed)
        if counts[2] > MOST_STEPS:
            counts[:] = [count // 2 for count in counts]

    def remark(self, besides: Sequence[str] = ()) -> str | None:
        """What is sampled unlike training, with both figures and what to do; None where nothing is, or too little seen.

        Nothing of the resolution of the signals ``besides``, which are known to be in another unit. The same from the
        same readings, in whatever chunks they come.
        """
        said = [part for part in (self._of_steps(), self._of_resolutions(besides)) if part is not None]
        return "; ".join(said) if said else None

    def _of_steps(self) -> str | None:
        short, long, count = self._counts
        if count < FEWEST_STEPS or 2 * max(short, long) <= count or not self._outside:
            return None
        do = "thin it out" if short > long else "score more often"
        return (
            f"readings come every {median(self._outside):.3g} s, in training every {self._sampling.step_s[1]:.3g} s: "
            f"{do}, or train on telemetry at this rate"
        )

    def _of_resolutions(self, besides: Sequence[str]) -> str | None:
        coarse = [
            f"{name} comes in steps of {_figure(name, grid.coarse)}, in training of {_figure(name, grid.resolution)}"
            for _, name, grid in self._grids
            if grid.coarse and name not in besides
        ]
        return f"{', '.join(coarse)}: keep the resolution, or train on telemetry with this one" if coarse else None

    def state(self) -> dict[str, Any]:
        """What later remarks depend on, in plain JSON types."""
        return {
            "time": self._time if math.isfinite(self._time) else None,
            "counts": list(self._counts),
            "outside": list(self._outside),
            "grids": {name: grid.state() for _, name, grid in self._grids},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``TelemetryError`` where it is not one of this model's sampling."""
        try:
            time = math.nan if state["time"] is None else finite_number(state["time"])
            short, long, count = map(whole_number, state["counts"])
            outside = [finite_number(step) for step in state["outside"]][-KEPT_STEPS:]
            for _, name, grid in self._grids:
                grid.restore(state["grids"][name])
        except (KeyError, TypeError, ValueError) as error:
            raise TelemetryError(f"this is not the state of a vehicle's sampling: {error!r:.80}") from None
        self._time, self._counts, self._outside = time, [short, long, count], outside


def _common_divisor(one: float, other: float, tolerance: float) -> float:
    """Of two numbers, 0 or more; what is left over below ``tolerance`` is rounding."""
    while other > tolerance:
        left = math.fmod(one, other)
        one, other = other, 0.0 if other - left <= tolerance else left
    return one


def _figure(signal: str, step: float) -> str:
    """With its unit; a divisor of decimal fractions carries their rounding, so three digits."""
    return f"{step:.3g} {_UNITS.get(signal, 'V')}"
