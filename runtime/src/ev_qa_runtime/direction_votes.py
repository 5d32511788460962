"""Which way one vehicle's current is counted, found as its readings arrive: the rule of ``current_direction``, running.

What a batch asks of all its rows at once (the largest steps of the current, the resolution of the state of charge) is
kept here as counts in buckets and as a running minimum. Old votes fade, so that a change is seen within hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ev_qa_runtime.current_direction import (
    LARGE_SHARE,
    LARGE_STEPS_QUANTILE,
    LEAST_CURRENT_A,
    LEAST_CURRENT_STEP_A,
    LEAST_SOC_STEP,
    LONGEST_RUN_STEP_S,
    LONGEST_VOLTAGE_STEP_S,
    Votes,
)
from ev_qa_runtime.saved_state import finite_number, whole_number

MOST_STEPS = 20_000
"""Steps of the current that are counted before all counts are halved."""
MOST_SOC_VOTES = 400

_BUCKETS = 25
"""By size: below 2 A, then two an octave; 0.2 of the largest steps lies at least a whole bucket below them."""
_Known = tuple[float, float, float]


class DirectionVotes:
    """The votes of one vehicle for ``discharge_positive`` and ``charge_positive``, in bounded memory."""

    __slots__ = ("_at", "_charging", "_discharging", "_known", "_last", "_least", "_soc", "_start", "_steps", "_total")

    def __init__(self, signals: Sequence[str]) -> None:
        """``signals``: the names of what :meth:`step` is given; voltage, current and soc are among them."""
        self._at = (signals.index("current"), signals.index("voltage"), signals.index("soc"))
        self.clear()

    def clear(self) -> None:
        """Begin anew, as after the sign was given otherwise."""
        self._total = 0
        self._steps = [0] * _BUCKETS
        self._discharging = [0] * _BUCKETS
        self._charging = [0] * _BUCKETS
        self._soc = [0, 0]
        self._least = math.inf
        self._last: _Known = (math.nan, math.nan, math.nan)  # time, current, voltage of the last reading
        self._known: _Known = (math.nan, math.nan, math.nan)  # time, current, soc of the last that has both
        self._start: _Known = (math.nan, math.nan, 0.0)  # time and soc where the interval began, A·s since then

    def step(self, time: float, reading: Sequence[float]) -> None:
        """The next reading: ``time`` in seconds, one float a signal, NaN where missing."""
        current_at, voltage_at, soc_at = self._at
        current, voltage, soc = reading[current_at], reading[voltage_at], reading[soc_at]
        before, current_before, voltage_before = self._last
        if 0.0 < time - before <= LONGEST_VOLTAGE_STEP_S:
            step = current - current_before
            product = step * (voltage - voltage_before)
            if -math.inf < product < math.inf:
                self._count(abs(step), product)
        self._last = (time, current, voltage)
        if -math.inf < current < math.inf and -math.inf < soc < math.inf:
            self._follow_charge(time, current, soc)

    def votes(self) -> tuple[Votes, Votes]:
        """By state of charge and by voltage, each (discharge_positive, charge_positive)."""
        steps = self._steps
        beyond = (1.0 - LARGE_STEPS_QUANTILE) * self._total
        bucket, larger = _BUCKETS - 1, steps[-1]
        while bucket > 0 and larger <= beyond:
            bucket -= 1
            larger += steps[bucket]
        first = _bucket_of(max(LEAST_CURRENT_STEP_A, LARGE_SHARE * _edge(bucket + 1)))
        return (self._soc[0], self._soc[1]), (sum(self._discharging[first:]), sum(self._charging[first:]))

    def state(self) -> dict[str, Any]:
        """What later votes depend on, in plain JSON types; only buckets that hold something."""
        counts = zip(range(_BUCKETS), self._steps, self._discharging, self._charging, strict=True)
        return {
            "steps": [list(one) for one in counts if one[1]],
            "soc": list(self._soc),
            "least": _plain(self._least),
            "last": [_plain(one) for one in self._last],
            "known": [_plain(one) for one in self._known],
            "start": [_plain(one) for one in self._start],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``ValueError``, ``TypeError`` or ``KeyError`` where it is none."""
        read = DirectionVotes(("current", "voltage", "soc"))
        for bucket, steps, discharging, charging in state["steps"]:
            at = whole_number(bucket)
            if at >= _BUCKETS:
                raise ValueError
            read._steps[at] = whole_number(steps)
            read._discharging[at], read._charging[at] = whole_number(discharging), whole_number(charging)
        read._total = sum(read._steps)
        discharging, charging = state["soc"]
        read._soc = [whole_number(discharging), whole_number(charging)]
        read._least = math.inf if state["least"] is None else finite_number(state["least"])
        read._last, read._known, read._start = (_three(state[name]) for name in ("last", "known", "start"))
        for name in self.__slots__:
            if name != "_at":
                setattr(self, name, getattr(read, name))

    def _count(self, size: float, product: float) -> None:
        """One step of the current by ``size`` A, with ``product`` V·A of it and the voltage's."""
        bucket = _bucket_of(size)
        self._steps[bucket] += 1
        if product < 0.0:
            self._discharging[bucket] += 1
        elif product > 0.0:
            self._charging[bucket] += 1
        self._total += 1
        if self._total > MOST_STEPS:
            for counts in (self._steps, self._discharging, self._charging):
                counts[:] = [count // 2 for count in counts]
            self._total = sum(self._steps)

    def _follow_charge(self, time: float, current: float, soc: float) -> None:
        before, current_before, soc_before = self._known
        self._known = (time, current, soc)
        moved = abs(soc - soc_before) * 0.999
        if 0.0 < moved < self._least:
            self._least = moved
        elapsed = time - before
        if not 0.0 < elapsed <= LONGEST_RUN_STEP_S:
            self._start = (time, soc, 0.0)
            return
        since, soc_then, charge = self._start
        charge += (current + current_before) / 2.0 * elapsed
        if abs(soc - soc_then) < max(LEAST_SOC_STEP, self._least):
            self._start = (since, soc_then, charge)
            return
        if abs(charge) >= LEAST_CURRENT_A * (time - since):
            self._soc[(charge > 0.0) == (soc > soc_then)] += 1
            if sum(self._soc) > MOST_SOC_VOTES:
                self._soc = [votes // 2 for votes in self._soc]
        self._start = (time, soc, 0.0)


def _bucket_of(size: float) -> int:
    if size < LEAST_CURRENT_STEP_A:
        return 0
    mantissa, exponent = math.frexp(size)
    return min(1 + 2 * (exponent - 2) + (mantissa >= 0.75), _BUCKETS - 1)


def _edge(bucket: int) -> float:
    """The smallest step of the current in a bucket, A; of the last one's follower where that is asked for."""
    octave, upper = divmod(bucket - 1, 2)
    return math.ldexp(1.5 if upper else 1.0, octave + 1) if bucket > 0 else 0.0


def _plain(number: float) -> float | None:
    return number if -math.inf < number < math.inf else None


def _three(numbers: Any) -> _Known:
    first, second, third = (math.nan if number is None else finite_number(number) for number in numbers)
    return first, second, third
