"""Everything a report says of one recording under one model."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ev_qa_framework.report.event_story import (
    Contribution,
    EventStory,
    event_stories,
    explain_rows,
    rank,
    worst_first,
)
from ev_qa_framework.report.findings import (
    LimitLine,
    QualityFinding,
    drift_report,
    limit_lines,
    quality_findings,
)
from ev_qa_framework.report.headline import Headline, headline
from ev_qa_framework.report.judged import Judged, VehicleVerdicts, judge, load_detector, vehicles_of
from ev_qa_runtime.contract import CurrentSign, ModelContract
from ev_qa_runtime.detector import Detector
from ev_qa_runtime.drift import DriftReport

TOLD_EVENTS = 12
"""Events with a section of their own, the worst; the others are in the table."""
LISTED_EVENTS = 200
DRAWN_VEHICLES = 6


@dataclass(frozen=True, slots=True)
class WorstRow:
    """The lowest score of a recording, of a model that judges each reading alone."""

    row: int
    score: float
    words: tuple[str, ...]
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A recording under a model. ``stories``: all events in order; ``worst``: where there can be no events."""

    contract: ModelContract
    signed_by: tuple[str, ...]
    sidecar_sha256: str
    judged: Judged
    vehicles: tuple[VehicleVerdicts, ...]
    stories: tuple[EventStory, ...]
    headline: Headline
    quality: tuple[QualityFinding, ...]
    limits: tuple[LimitLine, ...]
    drift: DriftReport | None
    worst: WorstRow | None

    @property
    def told(self) -> tuple[EventStory, ...]:
        """The events with a section of their own, the worst first."""
        return worst_first(self.stories)[:TOLD_EVENTS]

    @property
    def unwatched(self) -> tuple[str, ...]:
        """What is limited but cannot be watched here."""
        return tuple(dict.fromkeys(line.signal.replace("_", " ") for line in self.limits if not line.watched))

    @property
    def listed(self) -> tuple[EventStory, ...]:
        """The events in the table, in order; the worst where there are too many."""
        return tuple(sorted(worst_first(self.stories)[:LISTED_EVENTS], key=lambda story: story.number))

    @property
    def drawn(self) -> tuple[int, ...]:
        """Numbers of the vehicles that are drawn: the worst, in order."""
        order = sorted(
            range(len(self.vehicles)),
            key=lambda number: (-_worst_event(self.vehicles[number]), -self.vehicles[number].critical, number),
        )
        return tuple(sorted(order[:DRAWN_VEHICLES]))


def report_on(
    model: str | os.PathLike[str] | Detector,
    data: Any,
    source: str = "telemetry",
    advance: Callable[[int], object] = lambda _: None,
    current_sign: CurrentSign | None = None,
) -> ModelReport:
    """Judge a table and gather what a report says of it.

    ``model``: a detector, a path or a reference. ``current_sign``: what the table's current is; None: what the
    model's is. ``advance`` is told how many more rows are judged. Raises
    ``TelemetryError`` beginning with ``source`` for telemetry that will not do, else what loading raises.
    """
    detector = model if isinstance(model, Detector) else load_detector(model)
    judged = judge(detector, data, source, advance, current_sign)
    stories = event_stories(detector, judged, TOLD_EVENTS)
    vehicles = vehicles_of(judged)
    return ModelReport(
        contract=detector.contract,
        signed_by=tuple(detector.info["signed_by"]),
        sidecar_sha256=detector.sidecar_sha256,
        judged=judged,
        vehicles=vehicles,
        stories=stories,
        headline=headline(judged, vehicles, stories),
        quality=quality_findings(judged),
        limits=limit_lines(detector.contract, judged),
        drift=drift_report(detector.contract, judged),
        worst=_worst_row(detector, judged),
    )


def _worst_event(vehicle: VehicleVerdicts) -> int:
    return max((rank(event.severity) for event in vehicle.events), default=0)


def _worst_row(detector: Detector, judged: Judged) -> WorstRow | None:
    telemetry = judged.verdicts.telemetry
    valid = telemetry.valid.nonzero()[0]
    if judged.signals is not None or not len(valid):
        return None
    row = int(valid[judged.verdicts.score_samples[valid].argmin()])
    words, contributions = explain_rows(detector, telemetry, valid[valid == row], row)
    return WorstRow(row, float(judged.verdicts.score_samples[row]), words, contributions)
