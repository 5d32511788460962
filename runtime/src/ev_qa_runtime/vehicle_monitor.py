"""One vehicle over time: quality, features, limits and events of its readings, one after the other.

Invariant: whatever the chunks, a vehicle's readings go through these steps one by one and in the same order, so a
batch, a stream and a stream that was saved and restored give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ev_qa_runtime.errors import ArtifactError, TelemetryError
from ev_qa_runtime.event_tracker import EventTracker
from ev_qa_runtime.events import Event
from ev_qa_runtime.limit_monitor import LimitMonitor
from ev_qa_runtime.limits import Breach, Limits
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.physics.extractor import PhysicsExtractor
from ev_qa_runtime.physics.recipe import PhysicsRecipe
from ev_qa_runtime.reading_quality import Finding, QualityRule, ReadingQuality
from ev_qa_runtime.severity import Severity

NO_LIMITS = Limits(())
NOT_FAULTS = frozenset({"stale", "duplicate_time", "time_backwards"})
"""Findings that are said, but are no fault of the pack: they force no severity."""


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
    """A reading with the limits it breaks, before the forest has seen it."""

    reading: Reading
    breaches: tuple[Breach, ...]

    @property
    def forced(self) -> int:
        """The severity code that findings and limits force whatever the forest says; −1 INVALID, 0 none."""
        forced = 0 if self.reading.features is not None else -1
        if any(finding.kind not in NOT_FAULTS and not finding.unusable for finding in self.reading.findings):
            forced = 1
        for breach in self.breaches:
            forced = max(forced, 2 if breach.severity is Severity.CRITICAL else 1)
        return forced

    def reasons(self) -> tuple[str, ...]:
        """Findings and limits in words."""
        return (*self.reading.reasons(), *(breach.text for breach in self.breaches))

    def event_reasons(self) -> tuple[str, ...]:
        """The same without values, so that an event can count them."""
        faults = (finding for finding in self.reading.findings if finding.kind not in NOT_FAULTS)
        said = (f"{fault.signal}: {fault.kind.replace('_', ' ')}" for fault in faults)
        return (*said, *(breach.reason for breach in self.breaches))


class VehicleMonitor:
    """One vehicle's state: what came before and what may follow. Not for several threads at once."""

    def __init__(self, monitoring: Monitoring, vehicle: str) -> None:
        self.vehicle = vehicle
        self._reader = VehicleReader(monitoring.recipe, monitoring.quality)
        self._limits = LimitMonitor(monitoring.limits or NO_LIMITS, monitoring.recipe.signals)
        self.events = EventTracker(monitoring.events, vehicle)

    def read(self, time: float, reading: Sequence[float]) -> Watched:
        """The next reading, up to the forest."""
        read = self._reader.step(time, reading)
        return Watched(read, self._limits.step(time, read.usable))

    def judge(
        self, time: float, watched: Watched | None, forest_code: int, score: float, row: int | None = None
    ) -> Event | None:
        """The same reading after the forest: ``forest_code`` is its severity code, −1 where it has none.

        ``watched`` may be None where nothing was found. Returns an event that begins or ends, see ``EventTracker``.
        """
        code = forest_code if watched is None else max(watched.forced, forest_code)
        if code <= 0:
            return self.events.step(time, code, score, (), row)
        said = () if watched is None else watched.event_reasons()
        if forest_code >= code:
            said = (*said, UNUSUAL)
        return self.events.step(time, code, score, said, row)

    def state(self) -> dict[str, Any]:
        """Everything that later verdicts and events depend on, in plain JSON types: a few hundred numbers at most."""
        return {
            "version": STATE_VERSION,
            "reader": self._reader.state(),
            "limits": self._limits.state(),
            "events": self.events.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``TelemetryError`` or ``ArtifactError`` where it is not one of this model."""
        if not isinstance(state, Mapping) or state.get("version") != STATE_VERSION:
            raise TelemetryError("this is not the state of a vehicle, or one of another version: start without it")
        try:
            self._reader.restore(state["reader"])
            self._limits.restore(state["limits"])
            self.events.restore(state["events"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, (TelemetryError, ArtifactError)):
                raise
            raise TelemetryError(f"this is not the state of a vehicle: {error!r:.80}") from None


STATE_VERSION = 1
UNUSUAL = "the readings together are unusual"
"""What an event says of rows that the forest flagged."""
