"""Whether readings can be used: missing, sentinel, out of range, jumping, frozen, stale; one vehicle, one at a time.

Plain arithmetic on floats and comparisons only, so that one reading after the other, a batch, and a batch after the
state was saved and restored give the same bits on every machine.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.strict_json import Members

FindingKind = Literal[
    "missing",
    "not_finite",
    "sentinel",
    "out_of_range",
    "jump",
    "frozen",
    "stale",
    "time_backwards",
    "duplicate_time",
]
Driver = Literal["none", "current", "voltage", "charge", "heat"]
DRIVERS: tuple[Driver, ...] = get_args(Driver)

QUALITY_RULE_VERSION = 1
MOST_SENTINELS = 64
MOST_SIGNALS = 64
LARGEST_BOUND = 1e12
"""Of a range that readings are held to: their squares stay in the range of doubles."""
TIME = "time"
"""The name that findings about time go by."""

_MOVED_BY = {
    "current": "current moved by {:.4g} A",
    "voltage": "voltage moved by {:.4g} V",
    "charge": "{:.4g} A s flowed",
    "heat": "the current made heat of {:.4g} A² s",
}


@dataclass(frozen=True, slots=True)
class SignalQuality:
    """What readings of ``signal`` can be, in its unit.

    Outside of ``lowest`` … ``highest`` there are none; a ``sentinels`` value stands for "no reading" unless it was
    reached continuously. From one reading to the next the signal moves by at most ``largest_step``, or by
    ``largest_rate`` (unit/s) times the time between them plus ``resolution``: whichever is more.

    Unchanged for ``frozen_after_s`` or longer it is frozen once ``driver`` says that it had to change: the sum of the
    driver's steps of at least ``driver_step`` reached ``frozen_after_drive``. Drivers: ``current`` (Σ|ΔI|, A),
    ``voltage`` (Σ|ΔV|, V), ``charge`` (|Σ I Δt|, A s), ``heat`` (Σ I² Δt, A² s). None: never frozen.
    """

    signal: str
    lowest: float
    highest: float
    sentinels: tuple[float, ...]
    largest_rate: float
    largest_step: float
    resolution: float
    frozen_after_s: float | None = None
    driver: Driver = "none"
    driver_step: float = 0.0
    frozen_after_drive: float = 0.0

    def __post_init__(self) -> None:
        if not self.lowest < self.highest:
            raise ArtifactError(f"quality of {self.signal!r:.40}: lowest {self.lowest} is not below {self.highest}")
        if (self.signal and max(-self.lowest, self.highest) > LARGEST_BOUND) or len(self.sentinels) > MOST_SENTINELS:
            raise ArtifactError(
                f"quality of {self.signal!r:.40}: a range beyond {LARGEST_BOUND:g}, or more than "
                f"{MOST_SENTINELS} sentinels"
            )
        if min(self.largest_rate, self.largest_step, self.resolution, self.driver_step) < 0.0:
            raise ArtifactError(f"quality of {self.signal!r:.40}: a rate, step or resolution is negative")


@dataclass(frozen=True, slots=True)
class QualityRule:
    """The rule of every signal, and how long may pass between readings. Signals without one are only missing or not."""

    signals: tuple[SignalQuality, ...]
    stale_after_s: float
    version: int = QUALITY_RULE_VERSION

    def __post_init__(self) -> None:
        names = [quality.signal for quality in self.signals]
        if len(set(names)) != len(names) or len(names) > MOST_SIGNALS:
            raise ArtifactError(f"the quality rule names a signal twice, or more than {MOST_SIGNALS}")
        if not self.stale_after_s > 0.0:
            raise ArtifactError(f"stale_after_s must be above 0, not {self.stale_after_s}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with one reading. ``unusable``: the signal says nothing; for time: the whole reading."""

    signal: str
    kind: FindingKind
    text: str
    unusable: bool


_LATEST = 1e300
_LARGEST = sys.float_info.max
_UNKNOWN = SignalQuality("", -_LARGEST, _LARGEST, (), math.inf, math.inf, 0.0)
_DRIVER_INDEX = {driver: index for index, driver in enumerate(("current", "voltage", "charge", "heat"))}


class ReadingQuality:
    """The quality of one vehicle's readings, in the order in which they arrive."""

    __slots__ = ("_at", "_current", "_last", "_moved", "_plan", "_qualities", "_since", "_stale", "_time", "_voltage",
                 "signals")  # fmt: skip

    def __init__(self, rule: QualityRule, signals: tuple[str, ...]) -> None:
        self.signals = signals
        rules = {quality.signal: quality for quality in rule.signals}
        self._qualities = [rules.get(signal, _UNKNOWN) for signal in signals]
        self._stale = rule.stale_after_s
        # Drivers only by a rule, whose bounds keep sums finite.
        self._current, self._voltage = (
            signals.index(name) if name in signals and name in rules else -1 for name in ("current", "voltage")
        )
        self._plan = [self._plan_of(quality) for quality in self._qualities]
        self._forget()

    @staticmethod
    def _plan_of(quality: SignalQuality) -> tuple[float, float, frozenset[float], float, int, float, float, float]:
        """What a step needs of a rule, in one tuple."""
        driver = -1 if quality.frozen_after_s is None else _DRIVER_INDEX.get(quality.driver, -1)
        needed = quality.frozen_after_drive if driver >= 0 else math.inf
        frozen_after = 0.0 if quality.frozen_after_s is None else quality.frozen_after_s
        sentinels = frozenset(quality.sentinels)
        return (
            quality.lowest,
            quality.highest,
            sentinels,
            quality.largest_step,
            driver,
            quality.driver_step,
            needed,
            frozen_after,
        )

    def _forget(self) -> None:
        count = len(self.signals)
        self._time = math.nan
        self._last = [math.nan] * count  # the last usable reading,
        self._at = [math.nan] * count  # when it was,
        self._since = [math.nan] * count  # since when it has been that,
        self._moved = [0.0] * count  # and by how much its driver moved meanwhile

    def step(self, time: float, reading: Sequence[float]) -> tuple[Finding, ...]:
        """Findings on the next reading: ``time`` s, one float per signal, NaN where missing; usually ``()``.

        A reading a little before the last one is unusable, and what comes after it starts anew. Bounded memory.
        """
        findings: list[Finding] = []
        elapsed = time - self._time
        if not 0.0 < elapsed <= self._stale:
            if elapsed < -self._stale and time > -_LATEST:
                findings.append(self._new_recording(time))
                elapsed = math.nan
            elif elapsed < 0.0 or not -_LATEST < time < _LATEST:
                return self._misplaced(time)
            elapsed = self._uncommon(time, elapsed, findings)
        self._time = time
        last, at = self._last, self._at
        drives = self._drives(reading, elapsed)
        index = -1
        for lowest, highest, sentinels, largest_step, driver, _, _, _ in self._plan:
            index += 1
            value = reading[index]
            old = last[index]
            if value == old:
                at[index] = time
                if driver >= 0 and self._stuck(index, drives[driver], time):
                    findings.append(self._frozen(index, time))
                continue
            self._moved[index] = 0.0
            self._since[index] = time
            change = abs(value - old)
            if not lowest <= value <= highest or (value in sentinels and not change <= largest_step):
                findings.append(self._unusable(index, value))
                continue
            if change > largest_step and change > self._allowed(index, time):
                findings.append(self._jump(index, value, time))
            last[index] = value
            at[index] = time
        return tuple(findings)

    def _uncommon(self, time: float, elapsed: float, findings: list[Finding]) -> float:
        """A first reading, a duplicate time or a gap; returns the seconds for which a current flowed: none."""
        if elapsed == 0.0:
            findings.append(Finding(TIME, "duplicate_time", f"{TIME}: the same as the reading before", unusable=False))
            return 0.0
        if elapsed > 0.0:
            findings.append(Finding(TIME, "stale", f"{TIME}: {elapsed:.6g} s since the reading before", unusable=False))
        self._moved = [0.0] * len(self.signals)  # nothing is known of what moved in a gap
        self._since = [time] * len(self.signals)
        return 0.0

    def _stuck(self, index: int, drive: float, time: float) -> bool:
        """Whether an unchanged signal is frozen, now that its driver moved by ``drive`` more."""
        _, _, _, _, _, least, needed, frozen_after = self._plan[index]
        moved = self._moved
        if drive >= least or drive <= -least:  # never for NaN: there was no reading before
            moved[index] += drive
        return abs(moved[index]) >= needed and time - self._since[index] >= frozen_after

    def _drives(self, reading: Sequence[float], elapsed: float) -> tuple[float, float, float, float]:
        """|ΔI|, |ΔV|, I Δt and I² Δt since the last reading; 0 where a reading is missing or unusable."""
        of_current = of_voltage = charge = heat = 0.0
        if self._current >= 0:
            current, plan = reading[self._current], self._plan[self._current]
            if plan[0] <= current <= plan[1] and current not in plan[2]:
                of_current = abs(current - self._last[self._current])
                charge = current * elapsed
                heat = current * charge
        if self._voltage >= 0:
            voltage, plan = reading[self._voltage], self._plan[self._voltage]
            if plan[0] <= voltage <= plan[1] and voltage not in plan[2]:
                of_voltage = abs(voltage - self._last[self._voltage])
        return of_current, of_voltage, charge, heat

    def _allowed(self, index: int, time: float) -> float:
        """How far the signal may have moved by its rate since its last usable reading; without bounds after a gap."""
        quality = self._qualities[index]
        elapsed = time - self._at[index]
        return quality.largest_rate * elapsed + quality.resolution if elapsed <= self._stale else math.inf

    def _new_recording(self, time: float) -> Finding:
        """Far back in time another recording begins, or the clock was set: there is nothing before this reading."""
        text = f"{TIME}: {self._time - time:.6g} s before the reading before, a new recording"
        self._forget()
        return Finding(TIME, "time_backwards", text, unusable=False)

    def _misplaced(self, time: float) -> tuple[Finding, ...]:
        if not -_LATEST < time < _LATEST:
            return (Finding(TIME, "missing", f"{TIME}: missing", unusable=True),)
        text = f"{TIME}: {self._time - time:.6g} s before the reading before"
        self._forget()
        self._time = time
        return (Finding(TIME, "time_backwards", text, unusable=True),)

    def _unusable(self, index: int, value: float) -> Finding:
        signal, quality = self.signals[index], self._qualities[index]
        if math.isnan(value):
            return Finding(signal, "missing", f"{signal}: missing", unusable=True)
        if math.isinf(value):
            return Finding(signal, "not_finite", f"{signal}: not finite", unusable=True)
        if value in quality.sentinels:
            return Finding(signal, "sentinel", f"{signal}: {value:.6g} is a sentinel value", unusable=True)
        bounds = f"{quality.lowest:.6g} to {quality.highest:.6g}"
        return Finding(signal, "out_of_range", f"{signal}: {value:.6g} is out of range, {bounds}", unusable=True)

    def _jump(self, index: int, value: float, time: float) -> Finding:
        signal, elapsed = self.signals[index], time - self._at[index]
        text = f"{signal}: jumped from {self._last[index]:.6g} to {value:.6g} in {elapsed:.6g} s"
        return Finding(signal, "jump", text, unusable=False)

    def _frozen(self, index: int, time: float) -> Finding:
        signal, driver = self.signals[index], self._qualities[index].driver
        moved = _MOVED_BY[driver].format(abs(self._moved[index]))
        text = f"{signal}: unchanged at {self._last[index]:.6g} for {time - self._since[index]:.6g} s while {moved}"
        return Finding(signal, "frozen", text, unusable=False)

    def state(self) -> dict[str, Any]:
        """What the next step depends on, in plain JSON types; None for what is not there."""
        return {
            "signals": list(self.signals),
            "time": _to_json(self._time),
            "last": [_to_json(value) for value in self._last],
            "at": [_to_json(value) for value in self._at],
            "since": [_to_json(value) for value in self._since],
            "moved": list(self._moved),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`. ``ArtifactError`` for one that is malformed or of other signals."""
        lists = [state.get(key) for key in ("last", "at", "since", "moved")]
        sound = state.get("signals") == list(self.signals) and _is_number(state.get("time"))
        for values in lists:
            sound = sound and isinstance(values, list) and len(values) == len(self.signals)
            sound = sound and all(_is_number(value) for value in values)  # type: ignore[union-attr]  # a list by now
        if not sound or None in (state["moved"] or ()):
            raise ArtifactError(f"this is no state of the reading quality of {', '.join(self.signals)}")
        self._time = _from_json(state["time"])
        self._last, self._at, self._since, self._moved = (
            [_from_json(value) for value in state[key]] for key in ("last", "at", "since", "moved")
        )


def _to_json(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _from_json(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number or None."""
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


_NUMBERS = ("lowest", "highest", "largest_rate", "largest_step", "resolution", "driver_step", "frozen_after_drive")


def quality_rule_document(rule: QualityRule) -> dict[str, Any]:
    """The rule as a JSON object for the sidecar."""
    return {
        "version": rule.version,
        "stale_after_s": rule.stale_after_s,
        "signals": [
            {
                "signal": quality.signal,
                "lowest": quality.lowest,
                "highest": quality.highest,
                "sentinels": list(quality.sentinels),
                "largest_rate": quality.largest_rate,
                "largest_step": quality.largest_step,
                "resolution": quality.resolution,
                "frozen_after_s": quality.frozen_after_s,
                "driver": quality.driver,
                "driver_step": quality.driver_step,
                "frozen_after_drive": quality.frozen_after_drive,
            }
            for quality in rule.signals
        ],
    }


def quality_rule_of(members: Members) -> QualityRule:
    """The rule in a sidecar's object. ``ArtifactError`` naming the member, or for a newer version of the rule."""
    version = members.integer("version", lowest=1)
    if version > QUALITY_RULE_VERSION:
        raise ArtifactError(
            f"the quality rule has version {version}, this runtime reads up to {QUALITY_RULE_VERSION}: "
            "update ev-qa-runtime"
        )
    signals = tuple(_signal_quality_of(section) for section in members.sections("signals"))
    return QualityRule(signals, members.number("stale_after_s"), version)


def _signal_quality_of(section: Members) -> SignalQuality:
    number: Callable[[str], float] = section.number
    return SignalQuality(
        signal=section.text("signal"),
        sentinels=section.numbers("sentinels"),
        frozen_after_s=None if section.any("frozen_after_s") is None else number("frozen_after_s"),
        driver=section.choice("driver", DRIVERS),
        **{name: number(name) for name in _NUMBERS},
    )
