"""What an alias pointed to and when: "what served on that day?"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from ev_qa_framework.registry.event import Event, time_text
from ev_qa_runtime.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ServicePeriod:
    """A model that was an alias of a family from ``since`` until just before ``until`` (None: it still is)."""

    family: str
    alias: str
    model: str
    sidecar_sha256: str
    event: int
    since: datetime
    until: datetime | None

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it served at some moment from ``start`` to ``end``, both included."""
        return self.since <= end and (self.until is None or self.until > start)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "family": self.family,
            "alias": self.alias,
            "model": self.model,
            "sidecar_sha256": self.sidecar_sha256,
            "event": self.event,
            "since": time_text(self.since),
            "until": None if self.until is None else time_text(self.until),
        }


def service_periods(events: Iterable[Event]) -> list[ServicePeriod]:
    """Every period of every alias, in the order they began; ``events`` is the whole history."""
    ended: list[ServicePeriod] = []
    running: dict[tuple[str, str], ServicePeriod] = {}
    for event in events:
        now = {
            (family, alias): ServicePeriod(
                family, alias, target.model, target.sidecar_sha256, target.event, event.time, None
            )
            for family, targets in event.change.aliases.items()
            for alias, target in targets.items()
        }
        for key, period in list(running.items()):
            if key not in now or now[key].event != period.event:
                ended.append(replace(running.pop(key), until=event.time))
        running = {key: running.get(key, period) for key, period in now.items()}
    return sorted([*ended, *running.values()], key=lambda period: period.event)


def served(events: Iterable[Event], at: str) -> list[ServicePeriod]:
    """What served at ``at``: a moment such as ``2026-11-23T12:00:00Z``, or a day, then whatever served on it (UTC).

    Raises ``ConfigurationError`` for anything else.
    """
    start, end = moments(at)
    return [period for period in service_periods(events) if period.overlaps(start, end)]


def moments(text: str) -> tuple[datetime, datetime]:
    """First and last moment that ``text`` means; a time without offset is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text!r:.60} is no time such as 2026-11-23T12:00:00Z or 2026-11-23") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if len(text) > len("2026-11-23"):
        return moment, moment
    return moment, datetime.combine(moment, time.min, UTC) + timedelta(days=1, microseconds=-1)
