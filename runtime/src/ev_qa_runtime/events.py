"""Events, not rows: what an event is, and when rows of a vehicle's verdicts make one.

One row above INFO is often chance. :mod:`ev_qa_runtime.event_tracker` finds the events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

if TYPE_CHECKING:  # sidecars need no numpy
    from ev_qa_runtime.severity import Severity

EVENT_RULE_VERSION = 1
"""The newest layout of event rules that this package reads."""

LARGEST_WINDOW = 1000
"""Readings; what a tracker remembers grows with it."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """When rows make an event.

    INVALID readings count for nothing here, but for those of a sensor that gave a sentinel, or what no pack can have,
    not long after a reading that could be judged: they count as WARNING.

    An event begins when ``k`` of the last ``n`` readings are WARNING or worse, and becomes CRITICAL when ``k`` of
    ``n`` are; it ends when ``clear_after`` readings in a row are below WARNING. Events no further apart than
    ``merge_gap_s`` are one. One shorter than ``minimum_s`` is not reported unless it is CRITICAL. ``gap_s`` without a
    reading ends an event. Seconds, or rows where there is no time. ``ArtifactError`` for a rule without sense.
    """

    k: int = 3
    n: int = 5
    clear_after: int = 10
    minimum_s: float = 0.0
    merge_gap_s: float = 60.0
    gap_s: float = 600.0
    version: int = EVENT_RULE_VERSION

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= LARGEST_WINDOW or not 1 <= self.clear_after <= LARGEST_WINDOW:
            raise ArtifactError(f"event rule: k, n and clear_after must keep to 1 <= k <= n <= {LARGEST_WINDOW}")
        if not all(0 <= seconds < math.inf for seconds in (self.minimum_s, self.merge_gap_s, self.gap_s)):
            raise ArtifactError("event rule: minimum_s, merge_gap_s and gap_s must be finite and not negative")


@dataclass(frozen=True, slots=True)
class Event:
    """Readings above INFO that belong together.

    ``start_row`` is the first of the ``k`` that made it an event, ``end_row`` the last reading above INFO, the peak the
    lowest score among the worst rows, the first of them where none has a score (then ``peak_score`` is NaN). Times are
    seconds, None where there were none. ``severity``: the highest that ``k`` of ``n`` readings reached. ``reasons``:
    the most frequent texts with their number of rows. ``rows``: readings above INFO. ``open``: it may go on.
    """

    vehicle: str
    start_row: int
    end_row: int
    start_time: float | None
    end_time: float | None
    peak_row: int
    peak_time: float | None
    peak_score: float
    severity: Severity
    reasons: tuple[tuple[str, int], ...]
    rows: int
    open: bool


def event_rule_document(rule: EventRule) -> dict[str, Any]:
    """The rule as a sidecar's JSON object."""
    names = ("version", "k", "n", "clear_after", "minimum_s", "merge_gap_s", "gap_s")
    return {name: getattr(rule, name) for name in names}


def event_rule_of(section: Members) -> EventRule:
    """A rule from a sidecar's JSON object; ``IncompatibleModelError`` where a newer runtime wrote it."""
    version = section.integer("version", lowest=1)
    if version > EVENT_RULE_VERSION:
        raise IncompatibleModelError(
            f"the event rule has version {version}, this runtime reads up to {EVENT_RULE_VERSION}: update ev-qa-runtime"
        )
    return EventRule(
        k=section.integer("k", lowest=1),
        n=section.integer("n", lowest=1),
        clear_after=section.integer("clear_after", lowest=1),
        minimum_s=section.number("minimum_s"),
        merge_gap_s=section.number("merge_gap_s"),
        gap_s=section.number("gap_s"),
        version=version,
    )
