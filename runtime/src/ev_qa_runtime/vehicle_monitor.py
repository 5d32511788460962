"""One vehicle over time: quality, features, limits and events of its readings, one after the other.

Invariant: whatever the chunks, a vehicle's readings go through these steps one by one and in the same order, so a
batch, a stream and a stream that was saved and restored give the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ev_qa_runtime.direction_votes import DirectionVotes
from ev_qa_runtime.errors import ArtifactError, TelemetryError
from ev_qa_runtime.event_tracker import EventTracker
from ev_qa_runtime.events import Event
from ev_qa_runtime.limit_monitor import LimitMonitor
from ev_qa_runtime.limits import Breach, Limits
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.physics.extractor import PhysicsExtractor
from ev_qa_runtime.physics.recipe import PhysicsRecipe, recipe_document
from ev_qa_runtime.range_guard import Excess, guard_of
from ev_qa_runtime.reading_quality import Finding, QualityRule, ReadingQuality
from ev_qa_runtime.sampling_tally import SamplingTally
from ev_qa_runtime.saved_state import finite_number
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.unit_tally import UnitTally, suspicions_of

NO_LIMITS = Limits(())
NOT_FAULTS = frozenset({"stale", "duplicate_time", "time_backwards"})
"""Findings that are said, but are no fault of the pack: they force no severity."""
SENSOR_FAULTS = frozenset({"not_finite", "sentinel", "out_of_range"})
"""What makes a reading INVALID and is more than a value that did not come: in events it counts as WARNING."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a reading before the forest has seen it.

    ``features`` are None where the reading cannot be judged. ``usable``: the readings with NaN for what is unusable.
    """

    findings: tuple[Finding, ...]
    usable: Sequence[float]
    features: tuple[float, ...] | None

    def reasons(self) -> tuple[str, ...]:
        """What was found, in words."""
        return tuple(finding.text for finding in self.findings)


class VehicleReader:
    """Readings of one vehicle → features, or the reasons why there are none. Training and scoring both use it."""

    def __init__(self, recipe: PhysicsRecipe, quality: QualityRule) -> None:
        self._signals = recipe.signals
        self._quality = ReadingQuality(quality, recipe.signals)
        self._extractor = PhysicsExtractor(recipe)

    def step(self, time: float, reading: Sequence[float]) -> Reading:
        """The next reading: ``time`` in seconds, one float a signal, NaN where missing."""
        findings = self._quality.step(time, reading)
        if findings and any(finding.unusable for finding in findings):
            bad = {finding.signal for finding in findings if finding.unusable}
            usable = [math.nan if name in bad else value for name, value in zip(self._signals, reading, strict=True)]
            return Reading(findings, usable, None)
        return Reading(findings, reading, self._extractor.step(time, reading))

    def state(self) -> dict[str, Any]:
        """What the next reading depends on, in plain JSON types."""
        return {"quality": self._quality.state(), "features": self._extractor.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``TelemetryError`` where it is not one of this recipe."""
        self._quality.restore(state["quality"])
        self._extractor.restore(state["features"])


@dataclass(frozen=True, slots=True)
class Watched:
    """A reading with the limits it breaks and its features beyond the healthy range, before the forest has seen it."""

    reading: Reading
    breaches: tuple[Breach, ...]
    excesses: tuple[Excess, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to say."""
        return bool(self.reading.findings or self.breaches or self.excesses)

    @property
    def sensor_fault(self) -> bool:
        """Whether a sensor gave what no pack can have."""
        return any(finding.kind in SENSOR_FAULTS for finding in self.reading.findings)

    @property
    def _forcing(self) -> tuple[Breach | Excess, ...]:
        return (*self.breaches, *self.excesses)

    @property
    def forced(self) -> int:
        """The severity code that is forced whatever the forest says; −1 INVALID, 0 none."""
        forced = 0 if self.reading.features is not None else -1
        if any(finding.kind not in NOT_FAULTS and not finding.unusable for finding in self.reading.findings):
            forced = 1
        for found in self._forcing:
            forced = max(forced, 2 if found.severity is Severity.CRITICAL else 1)
        return forced

    def reasons(self) -> tuple[str, ...]:
        """Findings, limits and what is beyond the healthy range, in words."""
        return (*self.reading.reasons(), *(found.text for found in self._forcing))

    def event_reasons(self) -> tuple[str, ...]:
        """The same without values, so that an event can count them."""
        faults = (finding for finding in self.reading.findings if finding.kind not in NOT_FAULTS)
        said = (f"{fault.signal}: {fault.kind.replace('_', ' ')}" for fault in faults)
        return (*said, *(found.reason for found in self._forcing))


class VehicleMonitor:
    """One vehicle's state: what came before and what may follow. Not for several threads at once."""

    def __init__(self, monitoring: Monitoring, vehicle: str) -> None:
        self.vehicle = vehicle
        self._recipe = fingerprint(monitoring.recipe)
        self._judged_s: float | None = None
        self._reader = VehicleReader(monitoring.recipe, monitoring.quality)
        self._limits = LimitMonitor(monitoring.limits or NO_LIMITS, monitoring.recipe.signals)
        healthy = monitoring.healthy_range
        self._guard = None if healthy is None else guard_of(healthy, monitoring.recipe)
        self.events = EventTracker(monitoring.events, vehicle)
        self.direction = DirectionVotes(monitoring.recipe.signals)
        sampling = monitoring.sampling
        self._sampling = None if sampling is None else SamplingTally(sampling, monitoring.recipe.signals)
        self._units = UnitTally(suspicions_of(monitoring.recipe, monitoring.quality))

    def read(self, time: float, reading: Sequence[float]) -> Watched:
        """The next reading, up to the forest."""
        self.direction.step(time, reading)
        self._units.step(reading)
        alike = self._sampling is None or self._sampling.step(time, reading)
        read = self._reader.step(time, reading)
        breaches = self._limits.step(time, read.usable)
        if self._guard is None or read.features is None or not alike:
            return Watched(read, breaches)
        return Watched(read, breaches, self._guard.check(reading, read.features))

    def judge(
        self, time: float, watched: Watched | None, forest_code: int, score: float, row: int | None = None
    ) -> Event | None:
        """The same reading after the forest: ``forest_code`` is its severity code, −1 where it has none.

        ``watched`` may be None where nothing was found. Returns an event that begins or ends, see ``EventTracker``.
        """
        code = forest_code if watched is None else max(watched.forced, forest_code)
        if watched is None or watched.reading.features is not None:
            self._judged_s = time
        elif code < 0 and watched.sensor_fault and self._was_judged(time):
            code = 1
        if code <= 0:
            return self.events.step(time, code, score, (), row)
        said = () if watched is None else watched.event_reasons()
        if forest_code >= code:
            said = (*said, UNUSUAL)
        return self.events.step(time, code, score, said, row)

    def _was_judged(self, time: float) -> bool:
        """Whether a reading could be judged not long ago: what wakes up gives sentinels until its sensors are awake."""
        return self._judged_s is not None and 0.0 <= time - self._judged_s <= self.events.rule.gap_s

    def unit_remark(self) -> str | None:
        """Which signals look like another unit than the training data's, and what to do; None where none does."""
        return self._units.remark()

    def sampling_remark(self) -> str | None:
        """What the readings so far say against the sampling of the training data; None where nothing does."""
        if self._sampling is None:
            return None
        remark = self._sampling.remark(besides=self._units.suspected())
        return remark if remark is None or self._guard is None else f"{remark} ({UNWATCHED})"

    def state(self) -> dict[str, Any]:
        """Everything that later verdicts and events depend on, in plain JSON types: a few hundred numbers at most."""
        return {
            "version": STATE_VERSION,
            "recipe": self._recipe,
            "judged_s": self._judged_s,
            "reader": self._reader.state(),
            "limits": self._limits.state(),
            "events": self.events.state(),
            "direction": self.direction.state(),
            "sampling": None if self._sampling is None else self._sampling.state(),
            "units": self._units.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`.

        Raises ``TelemetryError`` or ``ArtifactError`` where it is not one of this model; it is not to be used then.
        """
        if not isinstance(state, Mapping) or state.get("version") != STATE_VERSION:
            raise TelemetryError("this is not the state of a vehicle, or one of another version: start without it")
        if state.get("recipe", self._recipe) != self._recipe:  # states of older releases do not say
            raise TelemetryError("this is the state of a vehicle under another model: start without it")
        try:
            judged_s = state.get("judged_s")  # not in states of older releases
            self._judged_s = None if judged_s is None else finite_number(judged_s)
            self._reader.restore(state["reader"])
            self._limits.restore(state["limits"])
            self.events.restore(state["events"])
            if "direction" in state:  # not in states of older releases
                self.direction.restore(state["direction"])
            if self._sampling is not None and state.get("sampling") is not None:
                self._sampling.restore(state["sampling"])
            if "units" in state:
                self._units.restore(state["units"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, (TelemetryError, ArtifactError)):
                raise
            raise TelemetryError(f"this is not the state of a vehicle: {error!r:.80}") from None


@lru_cache(maxsize=8)
def fingerprint(recipe: PhysicsRecipe) -> str:
    """Of the fitted coefficients: whose state a state is."""
    return hashlib.sha256(json.dumps(recipe_document(recipe)).encode()).hexdigest()[:16]


UNWATCHED = "the healthy range is not watched where readings are far apart or coarse"
STATE_VERSION = 1
UNUSUAL = "the readings together are unusual"
"""What an event says of rows that the forest flagged."""
