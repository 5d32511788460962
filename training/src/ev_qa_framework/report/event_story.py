"""An event told: who raised it, why in words, and what every feature contributed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from ev_qa_framework.report.judged import Judged
from ev_qa_framework.time_scale import clock_text, duration_text
from ev_qa_runtime.detector import Detector
from ev_qa_runtime.event_document import event_document
from ev_qa_runtime.events import Event, EventRule
from ev_qa_runtime.explanation import Explanation
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry
from ev_qa_runtime.phrases import explain_in_words
from ev_qa_runtime.range_guard import FAR_BEYOND
from ev_qa_runtime.reading_quality import FindingKind
from ev_qa_runtime.severity import SEVERITY_OF_CODE, IntArray, Severity
from ev_qa_runtime.vehicle_monitor import UNUSUAL

EXPLAINED_ROWS = 24
"""Rows of an event whose contributions are averaged, spread evenly; each takes some milliseconds."""

TOLD_CONTRIBUTIONS = 5
"""The strongest, in JSON; a page has all of them."""

NEAR_ZERO = 1e-6

Speaker = Literal["forest", "limits", "reading check", "healthy range"]
SPEAKERS: dict[Speaker, str] = {
    "forest": "the trained model (isolation forest)",
    "limits": "a physical limit",
    "healthy range": "the range that healthy trips kept to",
    "reading check": "the check of the readings",
}
_WRITTEN = {"degC": "°C", "ohm": "Ω"}
_UNIT = re.compile(r"\b(?:degC|ohm)\b")
_FAULTS = frozenset(kind.replace("_", " ") for kind in get_args(FindingKind))


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature of an explanation.

    ``share``: what it adds to the path length, of the average one; negative pushes towards anomaly. ``value``: at the
    peak, in ``unit``; ``usual``: mean of the training data, None where unknown.
    """

    feature: str
    unit: str | None
    value: float
    usual: float | None
    share: float


@dataclass(frozen=True, slots=True)
class EventStory:
    """An event, its number in the recording, and why.

    ``speakers`` raised it. ``at_peak``: what lies beyond the healthy range in its peak row, with values.
    ``words`` and ``contributions``, the most anomalous first, are the forest's; empty where it could not judge the
    rows. ``lasting``: it had not cleared when the telemetry ended.
    """

    number: int
    event: Event
    speakers: tuple[Speaker, ...]
    words: tuple[str, ...]
    contributions: tuple[Contribution, ...]
    lasting: bool
    at_peak: tuple[str, ...] = ()

    @property
    def began(self) -> str:
        """When it began."""
        return when(self.event.start_time, self.event.start_row)

    @property
    def ended(self) -> str:
        """When it ended, as far as the telemetry goes."""
        return when(self.event.end_time, self.event.end_row)

    @property
    def lasted(self) -> str:
        """How long it took."""
        if self.event.start_time is None or self.event.end_time is None:
            return f"{self.event.end_row - self.event.start_row + 1:,} rows"
        return duration_text(self.event.end_time - self.event.start_time)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons with their number of rows."""
        return tuple(f"{readable(reason)} ({rows:,} rows)" for reason, rows in self.event.reasons)

    @property
    def further_words(self) -> tuple[str, ...]:
        """The words that ``at_peak`` does not begin with already."""
        return tuple(text for text in self.words if not any(said.startswith(text) for said in self.at_peak))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return (
            {"number": self.number}
            | event_document(self.event)
            | {
                "lasting": self.lasting,
                "raised_by": list(self.speakers),
                "at_peak": list(self.at_peak),
                "explanation": list(self.words),
                "contributions": [asdict(one) for one in self.contributions[:TOLD_CONTRIBUTIONS]],
            }
        )


def when(seconds: float | None, row: int) -> str:
    """A time, or the row where there is none."""
    return f"row {row:,}" if seconds is None else clock_text(seconds)


def readable(text: str) -> str:
    """A unit, or a text with one, as people write it."""
    return _UNIT.sub(lambda found: _WRITTEN[found[0]], text)


def listed(texts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(text for text in (", ".join(texts[:-1]), *texts[-1:]) if text)


def rank(severity: Severity) -> int:
    """The severity code: −1 INVALID, 0 INFO, 1 WARNING, 2 CRITICAL."""
    return -1 if severity is Severity.INVALID else SEVERITY_OF_CODE.index(severity)


def worst_first(stories: Sequence[EventStory]) -> tuple[EventStory, ...]:
    """CRITICAL before WARNING, then the one with more rows, then the earlier one."""
    return tuple(sorted(stories, key=lambda one: (-rank(one.event.severity), -one.event.rows, one.number)))


def plain_stories(judged: Judged, rule: EventRule) -> tuple[EventStory, ...]:
    """The events of a recording in its order, with nothing of what a forest made of them."""
    return tuple(
        EventStory(number, event, speakers_of(event), (), (), _lasting(rule, judged, event), _at_peak(judged, event))
        for number, event in enumerate(judged.events, start=1)
    )


def event_stories(detector: Detector, judged: Judged, most_explained: int = 100) -> tuple[EventStory, ...]:
    """The events of a recording in its order; only the worst ``most_explained`` are explained by their features."""
    monitoring = detector.contract.monitoring
    plain = () if monitoring is None else plain_stories(judged, monitoring.events)
    explained = {story.number for story in worst_first(plain)[:most_explained]}
    return tuple(_explained(detector, judged, story) if story.number in explained else story for story in plain)


def speakers_of(event: Event) -> tuple[Speaker, ...]:
    """Who raised an event, by its reasons."""
    said: list[Speaker] = []
    for reason, _ in event.reasons:
        _, colon, kind = reason.partition(": ")
        if reason == UNUSUAL:
            said.append("forest")
        elif reason.endswith(FAR_BEYOND):
            said.append("healthy range")
        else:
            said.append("reading check" if colon and kind in _FAULTS else "limits")
    return tuple(dict.fromkeys(said))


def explain_rows(
    detector: Detector, telemetry: Telemetry, rows: IntArray, peak: int
) -> tuple[tuple[str, ...], tuple[Contribution, ...]]:
    """Words and contributions for rows of telemetry, the values those of row ``peak``; empty without valid rows."""
    chosen = rows[telemetry.valid[rows]]
    if not len(chosen) or not telemetry.valid[peak]:
        return (), ()
    if len(chosen) > EXPLAINED_ROWS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, EXPLAINED_ROWS).astype(int)]
    part = Telemetry(telemetry.names, telemetry.values[chosen], telemetry.valid[chosen])
    explanation = detector.explain(part).mean()
    values = telemetry.values[peak].tolist()
    words = explain_in_words(explanation, values, detector.contract.features)
    return tuple(readable(text) for text in words), _contributions(detector, explanation, values)


def _explained(detector: Detector, judged: Judged, story: EventStory) -> EventStory:
    event, telemetry = story.event, judged.verdicts.telemetry
    rows = np.arange(event.start_row, event.end_row + 1)
    if judged.signals is not None:
        rows = rows[judged.signals.vehicle[rows] == judged.signals.vehicle[event.start_row]]
    flagged = rows[judged.verdicts.severity[rows] > 0]
    words, contributions = explain_rows(detector, telemetry, flagged, event.peak_row)
    return replace(story, words=words, contributions=contributions)


def _at_peak(judged: Judged, event: Event) -> tuple[str, ...]:
    telemetry = judged.verdicts.telemetry
    seen = telemetry.watched.get(event.peak_row) if isinstance(telemetry, MonitoredTelemetry) else None
    return () if seen is None else tuple(readable(excess.text) for excess in seen.excesses)


def _contributions(detector: Detector, explanation: Explanation, values: Sequence[float]) -> tuple[Contribution, ...]:
    features = detector.contract.features
    reading = {spec.name: (spec, value) for spec, value in zip(features, values, strict=True)}
    found = []
    for name, push in explanation.ranked():
        spec, value = reading[name]
        usual = None if spec.training is None else spec.training.mean
        if spec.training is not None and abs(spec.training.mean) < NEAR_ZERO * spec.training.std:
            usual = 0.0  # residuals are zero on average, save for rounding
        found.append(
            Contribution(name, readable(spec.unit or "") or None, value, usual, push / (explanation.base_value or 1.0))
        )
    return tuple(found)


def _lasting(rule: EventRule, judged: Judged, event: Event) -> bool:
    """Whether fewer readings follow than it takes to clear."""
    table = judged.signals
    if table is None:
        return False
    after = table.vehicle[event.end_row + 1 :] == table.vehicle[event.start_row]
    judged_after = after & (judged.verdicts.severity[event.end_row + 1 :] >= 0)
    return int(np.count_nonzero(judged_after)) < rule.clear_after
