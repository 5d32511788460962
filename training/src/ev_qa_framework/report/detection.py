"""What a model flags in one recording, for the terminal and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ev_qa_framework.report.event_story import EventStory, event_stories
from ev_qa_framework.report.judged import Advance, VehicleVerdicts, judge, vehicles_of
from ev_qa_runtime.detector import Detector


@dataclass(frozen=True, slots=True)
class Detection:
    """One recording: the result of ``analyze_telemetry``, its vehicles, and its events with their reasons.

    ``over_time``: whether the model knows events at all. ``remark``: what the data say against the current's sign.
    """

    source: str
    over_time: bool
    summary: dict[str, Any]
    vehicles: tuple[VehicleVerdicts, ...]
    stories: tuple[EventStory, ...]
    remark: str | None

    def as_dict(self, *, events_only: bool = False) -> dict[str, Any]:
        """Plain JSON types."""
        events = [story.as_dict() for story in self.stories] if self.over_time else None
        if events_only:
            return {"source": self.source, "events": events}
        return {
            "source": self.source,
            "summary": {name: value for name, value in self.summary.items() if name != "events"},
            "vehicles": [vehicle_summary(vehicle) for vehicle in self.vehicles],
            "events": events,
        }


def detection(detector: Detector, data: Any, source: str, advance: Advance = lambda _: None) -> Detection:
    """Judge a table; raises and tells as :func:`~ev_qa_framework.report.judged.judge` does."""
    judged = judge(detector, data, source, advance)
    return Detection(
        source=source,
        over_time=judged.signals is not None,
        summary=judged.verdicts.summary(),
        vehicles=vehicles_of(judged),
        stories=event_stories(detector, judged),
        remark=judged.remark,
    )


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
