"""An event as a JSON object, and back."""

from __future__ import annotations

import math
from typing import Any

from ev_qa_runtime.events import Event
from ev_qa_runtime.severity import SEVERITY_OF_CODE
from ev_qa_runtime.strict_json import Members


def event_document(event: Event) -> dict[str, Any]:
    """The event as a JSON object, as results and commands show it; ``peak_score`` null where there was none."""
    document = {name: getattr(event, name) for name in Event.__slots__}
    return document | {
        "peak_score": None if math.isnan(event.peak_score) else event.peak_score,
        "severity": str(event.severity),
        "reasons": [{"reason": reason, "rows": rows} for reason, rows in event.reasons],
    }


def event_of(section: Members) -> Event:
    """An event from its JSON object."""
    score = _optional_number(section, "peak_score")
    return Event(
        vehicle=section.text("vehicle"),
        start_row=section.integer("start_row"),
        end_row=section.integer("end_row"),
        start_time=_optional_number(section, "start_time"),
        end_time=_optional_number(section, "end_time"),
        peak_row=section.integer("peak_row"),
        peak_time=_optional_number(section, "peak_time"),
        peak_score=math.nan if score is None else score,
        severity=section.choice("severity", SEVERITY_OF_CODE),
        reasons=tuple((item.text("reason"), item.integer("rows")) for item in section.sections("reasons")),
        rows=section.integer("rows"),
        open=section.any("open") is True,
    )


def _optional_number(section: Members, key: str) -> float | None:
    return None if section.any(key) is None else section.number(key)
