"""The report in a few sentences, for whoever is called at night: what, since when, how bad, who says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ev_qa_framework.report.event_story import SPEAKERS, EventStory, listed, rank, readable, worst_first
from ev_qa_framework.report.judged import Judged, VehicleVerdicts
from ev_qa_framework.time_scale import clock_text, duration_text
from ev_qa_runtime.range_guard import FAR_BEYOND
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.vehicle_monitor import UNUSUAL

TOLD_AT_THE_TOP = 3
TOLD_REASONS = 2
SHAPES = {Severity.CRITICAL: "▲", Severity.WARNING: "◆", Severity.INFO: "●", Severity.INVALID: "✕"}
"""A severity by its shape, beside its colour and its name."""


@dataclass(frozen=True, slots=True)
class Headline:
    """``severity`` is the worst event's, or the worst row's where there are no events; then sentences."""

    severity: Severity
    title: str
    sentences: tuple[str, ...]

    @property
    def shape(self) -> str:
        """The severity's shape."""
        return SHAPES[self.severity]


def headline(judged: Judged, vehicles: Sequence[VehicleVerdicts], stories: Sequence[EventStory]) -> Headline:
    """The sentences at the top of the page."""
    if judged.signals is None:
        return _of_rows(vehicles[0])
    rows = sum(one.rows for one in vehicles)
    judged_rows = rows - sum(one.invalid for one in vehicles)
    if not judged_rows:
        return Headline(
            Severity.INVALID, "Nothing could be judged", (f"All {rows:,} rows are INVALID: see data quality.",)
        )
    if not stories:
        single = sum(one.warning + one.critical for one in vehicles)
        said = (
            f"{single:,} single rows were above INFO, too few together to be an event."
            if single
            else "No row was flagged."
        )
        return Headline(Severity.INFO, "No events", (said, _covered(vehicles)))
    ranked = worst_first(stories)
    worst = ranked[0].event.severity
    critical = sum(story.event.severity is Severity.CRITICAL for story in stories)
    counted = [f"{critical} CRITICAL", f"{len(stories) - critical} WARNING"]
    shown = [text for text in counted if not text.startswith("0 ")]
    title = f"{worst}: {_events(len(stories))}" + (f" ({', '.join(shown)})" if len(shown) > 1 else "")
    told = [event_sentence(story) for story in ranked[:TOLD_AT_THE_TOP]]
    if len(ranked) > TOLD_AT_THE_TOP:
        told.append(f"The table below has {_events(len(ranked) - TOLD_AT_THE_TOP)} more.")
    return Headline(worst, title, (*told, _covered(vehicles)))


def event_sentence(story: EventStory) -> str:
    """One event: since when, how bad, who says so, why."""
    event = story.event
    whose = f"{event.vehicle}: event" if event.vehicle else "Event"
    lasting = "; it had not cleared when the telemetry ended" if story.lasting else f", until {story.ended}"
    who = listed([SPEAKERS[speaker] for speaker in story.speakers])
    reasons = [readable(reason) for reason, _ in event.reasons if reason != UNUSUAL]
    if story.at_peak:  # says the same with its values
        reasons = [reason for reason in reasons if not reason.endswith(FAR_BEYOND)]
    said = (*story.at_peak[:TOLD_REASONS], *reasons[:TOLD_REASONS], *story.further_words[:TOLD_REASONS])
    why = f" Why: {'; '.join(said)}." if said else ""
    told = f"{whose} {story.number}, {event.severity}, since {story.began} for {story.lasted}{lasting}."
    return f"{told} Raised by {who}.{why}"


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def _covered(vehicles: Sequence[VehicleVerdicts]) -> str:
    rows, invalid = sum(one.rows for one in vehicles), sum(one.invalid for one in vehicles)
    spans = [one.span for one in vehicles if one.span is not None]
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    fleet = f" of {len(vehicles)} vehicles" if len(vehicles) > 1 else ""
    lost = f"; {invalid:,} of them could not be judged (INVALID)" if invalid else ""
    span = f"from {clock_text(first)} to {clock_text(last)} ({duration_text(last - first)})"
    return f"Looked at: {rows:,} rows{fleet} {span}{lost}."


def _of_rows(found: VehicleVerdicts) -> Headline:
    sentences = [
        f"Of {found.rows:,} rows {found.critical:,} are CRITICAL and {found.warning:,} WARNING.",
        "This model judges each reading alone: it knows no time, so there are rows here and no events.",
    ]
    if found.invalid:
        sentences.append(f"{found.invalid:,} rows could not be judged (INVALID).")
    if found.lowest_score is None:
        return Headline(Severity.INVALID, "Nothing could be judged", tuple(sentences[1:]))
    flagged = found.critical + found.warning
    title = f"{found.severity}: {flagged:,} of {found.rows:,} rows flagged" if flagged else "No row was flagged"
    return Headline(found.severity if rank(found.severity) > 0 else Severity.INFO, title, tuple(sentences))
