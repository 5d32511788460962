"""What a model, or limits alone, flag in one recording, for the terminal and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ev_qa_framework.report.event_story import EventStory, event_stories, plain_stories
from ev_qa_framework.report.invalid_reason import InvalidReason, invalid_reasons
from ev_qa_framework.report.judged import Advance, Judged, VehicleVerdicts, judge, judge_by_limits, vehicles_of
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.detector import Detector
from ev_qa_runtime.events import EventRule
from ev_qa_runtime.limit_watch import unwatched_limits
from ev_qa_runtime.limits import Limits


@dataclass(frozen=True, slots=True)
class Detection:
    """One recording: the result of ``analyze_telemetry``, its vehicles, and its events with their reasons.

    ``over_time``: whether the model knows events at all. ``invalid``: why rows could not be judged. ``remark``: what
    the data say against the current's sign. ``unwatched``: limits that this telemetry leaves unwatched.
    """

    source: str
    over_time: bool
    summary: dict[str, Any]
    vehicles: tuple[VehicleVerdicts, ...]
    stories: tuple[EventStory, ...]
    invalid: tuple[InvalidReason, ...]
    remark: str | None
    unwatched: tuple[str, ...] = ()

    def as_dict(self, *, events_only: bool = False) -> dict[str, Any]:
        """Plain JSON types."""
        events = [story.as_dict() for story in self.stories] if self.over_time else None
        if events_only:
            return {"source": self.source, "events": events}
        return {
            "source": self.source,
            "summary": {name: value for name, value in self.summary.items() if name != "events"},
            "vehicles": [vehicle_summary(vehicle) for vehicle in self.vehicles],
            "invalid": [reason.as_dict() for reason in self.invalid],
            "unwatched_limits": list(self.unwatched),
            "events": events,
        }


def detection(
    detector: Detector,
    data: Any,
    source: str,
    advance: Advance = lambda _: None,
    current_sign: CurrentSign | None = None,
) -> Detection:
    """Judge a table; raises and tells as :func:`~ev_qa_framework.report.judged.judge` does."""
    judged = judge(detector, data, source, advance, current_sign)
    monitoring = detector.contract.monitoring
    unwatched: tuple[str, ...] = ()
    if monitoring is not None and monitoring.limits is not None:
        unwatched = unwatched_limits(monitoring.limits, monitoring.recipe.signals)
    return _told(judged, event_stories(detector, judged), unwatched)


def detection_by_limits(
    limits: Limits, data: Any, source: str, current_sign: CurrentSign, advance: Advance = lambda _: None
) -> Detection:
    """Judge a table without a model; raises as :func:`~ev_qa_framework.report.judged.judge_by_limits` does."""
    judged = judge_by_limits(limits, data, source, current_sign, advance)
    signals = () if judged.signals is None else judged.signals.names
    return _told(judged, plain_stories(judged, EventRule()), unwatched_limits(limits, signals))


def _told(judged: Judged, stories: tuple[EventStory, ...], unwatched: tuple[str, ...]) -> Detection:
    return Detection(
        source=judged.source,
        over_time=judged.signals is not None,
        summary=judged.verdicts.summary(),
        vehicles=vehicles_of(judged),
        stories=stories,
        invalid=invalid_reasons(judged),
        remark=judged.remark,
        unwatched=unwatched,
    )


def limits_line(limits: Limits) -> dict[str, Any]:
    """Which limits spoke, where there was no model."""
    return {
        "model": None,
        "limits": limits.profile,
        "cells_in_series": limits.cells_in_series,
        "capacity_ah": limits.capacity_ah,
        "source": limits.source,
    }


def vehicle_summary(vehicle: VehicleVerdicts) -> dict[str, Any]:
    """One vehicle as plain JSON types; of its events only the number."""
    return {
        "vehicle": vehicle.vehicle,
        "rows": vehicle.rows,
        "invalid": vehicle.invalid,
        "warning": vehicle.warning,
        "critical": vehicle.critical,
        "severity": str(vehicle.severity),
        "lowest_score": vehicle.lowest_score,
        "from": None if vehicle.span is None else vehicle.span[0],
        "to": None if vehicle.span is None else vehicle.span[1],
        "events": len(vehicle.events),
    }
