"""Watching the limits of one vehicle, with hysteresis and hold times; works on whatever signals are usable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ev_qa_runtime.errors import ArtifactError, TelemetryError
from ev_qa_runtime.limits import UNITS, Breach, Limit, Limits, upward
from ev_qa_runtime.saved_state import finite_number
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.temperature_rate import TemperatureRate

GAP_S = 600.0
"""Seconds without a reading after which everything is judged afresh; a missing signal's breach lasts as long."""

_DIFFERENCES = {"cell_spread": ("cell_voltage_max", "cell_voltage_min"), "probe_spread": ("temp", "temp_min")}
_FOREIGN = "this saved state is not one of these limits: start the vehicle's stream without it"
_Memory = tuple[float, float, list[tuple[float | None, bool]]]


class LimitMonitor:
    """The limits of one vehicle, reading by reading. Not for several threads at once.

    ``signals`` names the readings that :meth:`step` gets, in order; current is positive when discharging. Limits on
    other signals rest: ``unwatched`` names them.
    """

    __slots__ = ("_checks", "_differences", "_now", "_quotients", "_rate", "_temp", "_width", "unwatched")

    def __init__(self, limits: Limits, signals: tuple[str, ...]) -> None:
        names = list(signals)
        self._differences = []
        for name, pair in _DIFFERENCES.items():
            if name not in names and {*pair} <= {*signals}:
                self._differences.append((signals.index(pair[0]), signals.index(pair[1])))
                names.append(name)
        self._quotients = []
        for name, signal, divisor in (
            ("cell_voltage", "voltage", limits.cells_in_series),
            ("c_rate", "current", limits.capacity_ah),
        ):
            if name not in names and signal in signals and divisor is not None:
                self._quotients.append((signals.index(signal), divisor))
                names.append(name)
        self._temp = signals.index("temp") if "temp" in signals and "temp_rate" not in signals else None
        names += ["temp_rate"] * (self._temp is not None)
        self._width = len(signals)
        self._now = -math.inf
        self._rate = TemperatureRate()
        self._checks = tuple(
            _Check(limit, name, names.index(name))
            for limit in limits.limits
            for name in _measures(limit)
            if name in names
        )
        watched = {check.limit.signal for check in self._checks}
        self.unwatched = tuple(dict.fromkeys(limit.signal for limit in limits.limits if limit.signal not in watched))

    def step(self, time: float, reading: Sequence[float]) -> tuple[Breach, ...]:
        """The limits in force after one more reading, in the order of the limits; empty where all is well.

        ``time`` in seconds: what runs backwards a little counts as no time, and so does NaN. ``reading``: one float a
        signal, NaN where missing; what is not finite is missing. ``TelemetryError`` for a reading of another width.
        """
        if len(reading) != self._width:
            raise TelemetryError(f"a reading of {len(reading)} values was given to the limits of {self._width} signals")
        if not 0.0 <= time - self._now <= GAP_S:
            time = self._settled(time)
        self._now = time
        values = list(reading)
        for high, low in self._differences:
            values.append(values[high] - values[low])
        for column, divisor in self._quotients:
            values.append(values[column] / divisor)
        if self._temp is not None:
            values.append(self._rate.step(time, values[self._temp]))
        found: tuple[Breach, ...] = ()
        for check in self._checks:
            value = values[check.column]
            if (check.active or check.sign * value > check.mildest) and (breach := check.judge(time, value)):
                found += (breach,)
        return found

    def _settled(self, time: float) -> float:
        """The time to count with where ``time`` does not follow on the last one; after a gap all is forgotten."""
        if not -math.inf < time < math.inf:
            return 0.0 if self._now == -math.inf else self._now
        if -GAP_S <= time - self._now < 0.0:
            return self._now
        self._rate.clear()
        for check in self._checks:
            check.clear()
        return time

    def state(self) -> dict[str, Any]:
        """Everything :meth:`step` remembers, as plain JSON."""
        return {
            "time": None if self._now == -math.inf else self._now,
            "temperatures": self._rate.state(),
            "checks": {check.name: check.state() for check in self._checks},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; ``ArtifactError``, and no change, where it is not of these limits."""
        rate = TemperatureRate()
        try:
            now = state["time"]
            rate.restore(state["temperatures"])
            checks = {check.name: check.memory_of(state["checks"][check.name]) for check in self._checks}
            now = -math.inf if now is None else finite_number(now)
            if len(state["checks"]) != len(checks):
                raise ArtifactError(_FOREIGN)
        except (KeyError, TypeError, ValueError):
            raise ArtifactError(_FOREIGN) from None
        self._now, self._rate = now, rate
        for check in self._checks:
            check.take(checks[check.name])


class _Level:
    """One bound of a check, in upward terms: since when it is exceeded, and whether that counts yet."""

    __slots__ = ("bound", "broken", "holding", "severity", "since", "told", "told_beyond")

    def __init__(self, limit: Limit, bound: float, severity: Severity) -> None:
        self.bound = upward(limit.side) * bound
        self.broken = f"{limit.side} the {severity.lower()} limit of {_figure(bound)} {UNITS[limit.signal]}"
        self.severity = severity
        self.since: float | None = None
        self.holding = False
        self.told: Breach | None = None
        self.told_beyond: bool | None = None


class _Check:
    """One limit on one measured or derived value. ``sign`` turns a lower bound into an upper one."""

    __slots__ = (
        "_levels",
        "_seen",
        "_unit",
        "_value",
        "active",
        "column",
        "limit",
        "mildest",
        "name",
        "sign",
        "signal",
    )

    def __init__(self, limit: Limit, signal: str, column: int) -> None:
        self.limit, self.signal, self.column = limit, signal, column
        self.name = f"{limit.signal} {limit.side}" + (f" by {signal}" if signal != limit.signal else "")
        self.sign = upward(limit.side)
        self._unit = UNITS[signal]
        bounds = ((limit.critical, Severity.CRITICAL), (limit.warning, Severity.WARNING))
        self._levels = tuple(_Level(limit, bound, severity) for bound, severity in bounds if bound is not None)
        self.mildest = self._levels[-1].bound
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.active = False
        self._seen, self._value = 0.0, 0.0
        for level in self._levels:
            level.since, level.holding = None, False

    def judge(self, time: float, value: float) -> Breach | None:
        """The breach in force, if any. Called where something is remembered, or where a bound may be exceeded."""
        if not -math.inf < value < math.inf:
            return self._without_value(time)
        limit, height = self.limit, self.sign * value
        self._seen, self._value = time, value
        self.active = False
        worst = None
        for level in self._levels:
            if height > level.bound:
                if level.since is None:
                    level.since = time
                if time - level.since >= limit.hold_s:
                    level.holding = True
            elif not level.holding or height <= level.bound - limit.hysteresis:
                level.since, level.holding = None, False
            if level.since is not None:
                self.active = True
            if level.holding and worst is None:
                worst = level
        return None if worst is None else self._breach(worst, height > worst.bound)

    def _without_value(self, time: float) -> Breach | None:
        """A missing value neither ends a breach nor counts towards one; after a while it is forgotten."""
        if time - self._seen > GAP_S:
            self.clear()
        self.active = False
        worst = None
        for level in self._levels:
            if not level.holding:
                level.since = None
            else:
                self.active = True
                worst = worst or level
        return None if worst is None else self._breach(worst, None)

    def _breach(self, level: _Level, beyond: bool | None) -> Breach:
        """``beyond``: whether the value is past the bound, None where it is missing. The same breach is made once."""
        value, told = self._value, level.told
        if told is not None and level.told_beyond is beyond and told.value == value:
            return told
        said = f"{_figure(value)} {self._unit}"
        if beyond:
            text = f"{self.signal} {said} is {level.broken}"
        elif beyond is None:
            text = f"{self.signal} was {said}, {level.broken}, and is missing since"
        else:
            back = f"{_figure(self.limit.hysteresis)} {self._unit}"
            text = f"{self.signal} {said} is not yet {back} back from {level.broken}"
        level.told_beyond = beyond
        level.told = told = Breach(self.limit, value, level.severity, text, f"{self.signal} {level.broken}")
        return told

    def state(self) -> dict[str, Any] | None:
        """What is remembered, None where there is nothing."""
        if not self.active:
            return None
        levels = [[level.since, level.holding] for level in self._levels]
        return {"seen": self._seen, "value": self._value, "levels": levels}

    def memory_of(self, state: Any) -> _Memory | None:
        """:meth:`state` checked; ``KeyError``, ``TypeError`` or ``ValueError`` where it is none of ours."""
        if state is None:
            return None
        levels = [
            (None if since is None else finite_number(since), holding is True) for since, holding in state["levels"]
        ]
        if len(levels) != len(self._levels) or any(holding and since is None for since, holding in levels):
            raise ValueError
        return finite_number(state["seen"]), finite_number(state["value"]), levels

    def take(self, memory: _Memory | None) -> None:
        """Go on from ``memory``."""
        self.clear()
        if memory is None:
            return
        self._seen, self._value, levels = memory
        for level, (since, holding) in zip(self._levels, levels, strict=True):
            level.since, level.holding = since, holding
            self.active = self.active or level.since is not None


def _measures(limit: Limit) -> tuple[str, ...]:
    """What a limit is checked on: a cell's voltage on the extreme cell, and on the pack's mean cell as well."""
    if limit.signal != "cell_voltage":
        return (limit.signal,)
    return ("cell_voltage_max" if limit.side == "above" else "cell_voltage_min", "cell_voltage")


def _figure(value: float) -> str:
    """As many digits as a probe has: 109, 4.356, 0.35, 12345."""
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"
