"""The append-only history of a registry.

Invariants:

* events are numbered 1, 2, 3 …; creating event n+1 is the commit point of a change, and fails for all but one writer;
* each event holds the digest of the one before, and a time that is not before that one's;
* an event that was read once is never read again: events do not change.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta

from ev_qa_framework.registry.event import Change, Event, parse, render, time_text
from ev_qa_framework.registry.store import Store
from ev_qa_runtime.errors import ArtifactError, RegistryError
from ev_qa_runtime.registry_event import EVENTS, event_number, event_path
from ev_qa_runtime.registry_reference import EVENT_LIMIT, HINT, latest_event

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the clocks of two writers may be apart."""


class Journal:
    """Reads and appends events of the registry in ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, Event] = {}

    def last(self) -> Event | None:
        """The last event; None where nothing has happened yet. Raises ``ArtifactError`` for a damaged one."""
        found = latest_event(self._store)
        return None if found is None else self._remembered(*found)

    def event(self, number: int) -> Event:
        """Event ``number``; ``RegistryError`` where it is not there, ``ArtifactError`` where it is damaged."""
        return self.events([number])[0]

    def events(self, numbers: list[int]) -> list[Event]:
        """These events, in the same order; those not known yet are read together."""
        missing = [number for number in numbers if number not in self._known]
        found = self._store.read_many([event_path(number) for number in missing], EVENT_LIMIT)
        for number, data in zip(missing, found, strict=True):
            if data is None:
                raise RegistryError(f"{self._store.root}/{event_path(number)} is missing: restore it from a copy")
            self._remembered(number, data)
        return [self._known[number] for number in numbers]

    def history(self, last: Event | None = None) -> list[Event]:
        """All events up to ``last``, or all there are, the oldest first."""
        last = self.last() if last is None else last
        return [] if last is None else self.events(list(range(1, last.number + 1)))

    def numbers(self) -> list[int]:
        """The numbers of the event files that are there, gaps and all."""
        return sorted(filter(None, map(event_number, self._store.names(EVENTS))))

    def refuse_future(self, last: Event | None) -> None:
        """Raise ``RegistryError`` where ``last`` is dated ahead of this clock: every later event would be as well."""
        now = datetime.now(UTC)
        if last is not None and last.time > now + CLOCKS_DIFFER:
            raise RegistryError(
                f"{self._store.root}: event {last.number} is dated {time_text(last.time)}, ahead of this clock"
                f" ({time_text(now)}): set the clock that is wrong; if it was that event's, see docs/registry.md or"
                " give --despite-clock"
            )

    def confirm(self, last: Event | None) -> None:
        """Make ``last`` durable, which an earlier try may have left undone; ``OSError`` where the disk refuses."""
        if last is not None:
            self._store.sync(event_path(last.number))

    def append(self, change: Change, last: Event | None) -> Event:
        """Record ``change`` right after ``last``; ``FileExistsError`` where another writer came first."""
        now = datetime.now(UTC).replace(microsecond=0)
        event = Event(
            number=1 if last is None else last.number + 1,
            nonce=secrets.token_hex(16),
            time=now if last is None else max(now, last.time),
            change=change,
            previous_sha256=None if last is None else last.sha256,
        )
        data = render(event)
        self._store.create(event_path(event.number), data)
        self._hint(event.number)
        return self._remembered(event.number, data)

    def _hint(self, number: int) -> None:
        """Tell readers where to start; an old hint costs them a few looks, so a failure is none of the change."""
        try:
            self._store.replace(HINT, (json.dumps({"event": number}) + "\n").encode())
        except OSError:
            return

    def _remembered(self, number: int, data: bytes) -> Event:
        event = self._known.get(number)
        if event is None:
            try:
                event = parse(number, data)
            except ArtifactError as error:
                raise type(error)(f"{self._store.root}/{event_path(number)}: {error}") from None
            self._known[number] = event
        return event
