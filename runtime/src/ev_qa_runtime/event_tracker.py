"""Finding the events of a vehicle's verdicts: k of n, hysteresis, merging.

Streaming, batches in any chunks and a restored tracker give the same events.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ev_qa_runtime.errors import ArtifactError, TelemetryError
from ev_qa_runtime.events import LARGEST_WINDOW, Event, EventRule
from ev_qa_runtime.saved_state import finite_number, whole_number
from ev_qa_runtime.severity import SEVERITY_OF_CODE, FloatArray, IntArray

MOST_REASONS = 8
"""Of an event, the most frequent ones."""

MOST_COUNTED = 64
"""Different reasons of one event that are counted; later ones are not."""

_FOREIGN = "this saved state is not one of an event tracker with this rule: start the vehicle's stream without it"

_Flagged = tuple[int, int, float, int, float, tuple[str, ...]]
"""A reading above INFO: its ordinal among judged readings, row, time, severity code, score, reasons."""


class EventTracker:
    """The events of one vehicle, reading by reading. Not for several threads at once."""

    __slots__ = ("_event", "_judged", "_now", "_row", "_steps", "_timed", "_window", "rule", "vehicle")

    def __init__(self, rule: EventRule, vehicle: str = "") -> None:
        self.rule = rule
        self.vehicle = vehicle
        self._window: deque[_Flagged] = deque()
        self._event: _Gathered | None = None
        self._now = -math.inf
        self._row, self._steps, self._judged = -1, -1, 0
        self._timed = True

    @property
    def open_event(self) -> Event | None:
        """The event going on, or one that may still merge with a next one."""
        return None if self._event is None else self._event.event(self.vehicle, self._timed, is_open=True)

    def step(
        self,
        time: float | None,
        severity_code: int,
        score: float,
        reasons: Sequence[str] = (),
        row: int | None = None,
    ) -> Event | None:
        """One more reading: the event that it begins (``open``) or ends, None otherwise.

        ``severity_code``: −1 INVALID, 0 INFO, 1 WARNING, 2 CRITICAL; ``row``: its number, one more than the last by
        default. Times that run backwards a little count as no time, and so does NaN. A reading that ends one event and
        begins another gives the ended one; the next above INFO gives the other, and ``open_event`` has it at once.
        """
        self._row = row = self._row + 1 if row is None else row
        self._steps += 1
        self._timed = time is not None
        now = float(self._steps) if time is None else time
        ended = None
        if not 0.0 <= now - self._now <= self.rule.gap_s:
            now, ended = self._settled(now)
        if severity_code < 0:
            return ended
        self._now = now
        self._judged += 1
        if severity_code > 0:
            score = score if -math.inf < score < math.inf else math.nan
            flagged = (self._judged, row, now, severity_code, score, tuple(reasons[:MOST_REASONS]))
            return self._flag(flagged, ended)
        return ended if self._event is None else self._calm(self._event)

    def finish(self) -> Event | None:
        """The end of the recording: the event that it ends. The tracker may go on afterwards."""
        self._window.clear()
        event, self._event = self._event, None
        if event is None or not self._worthwhile(event):
            return None
        return event.event(self.vehicle, self._timed, is_open=False)

    def _settled(self, now: float) -> tuple[float, Event | None]:
        """The time to count with where ``now`` does not follow on the last one; a gap ends what is open."""
        if not -math.inf < now < math.inf:
            return (0.0 if self._now == -math.inf else self._now), None
        if -self.rule.gap_s <= now - self._now < 0.0:
            return self._now, None
        return now, self.finish()

    def _calm(self, event: _Gathered) -> Event | None:
        """A reading at INFO while there is an event."""
        event.quiet += 1
        if not event.held and event.quiet >= self.rule.clear_after:
            event.held = True
            self._window.clear()
        return self._end_if_over(event)

    def _flag(self, flagged: _Flagged, ended: Event | None) -> Event | None:
        """A reading above INFO."""
        window, event, rule = self._window, self._event, self.rule
        window.append(flagged)
        self._forget_old()
        if event is not None and not event.held:
            event.gather(flagged)
        elif len(window) >= rule.k:
            if event is not None and window[0][2] - event.end_time > rule.merge_gap_s:
                rest = tuple(window)
                ended = self.finish()
                window.extend(rest)
                event = None
            if event is None:
                event = self._event = _Gathered(window[0])
            between = [one for one in event.strays if one[0] < window[0][0]]
            for one in (*between, *window):
                event.gather(one)
            event.strays.clear()
        elif event is None:
            return ended
        else:
            event.strays.append(flagged)
            return self._end_if_over(event)
        if not event.critical and flagged[3] == 2:
            event.critical = sum(one[3] == 2 for one in window) >= rule.k
        return ended or self._announced(event)

    def _announced(self, event: _Gathered) -> Event | None:
        """The event, open, where it is long or severe enough to be reported and was not yet."""
        if event.announced or not self._worthwhile(event):
            return None
        event.announced = True
        return event.event(self.vehicle, self._timed, is_open=True)

    def _worthwhile(self, event: _Gathered) -> bool:
        return event.critical or event.end_time - event.start_time >= self.rule.minimum_s

    def _end_if_over(self, event: _Gathered) -> Event | None:
        """End an event that has calmed down, once nothing can merge with it any more."""
        if not event.held or self._now - event.end_time <= self.rule.merge_gap_s:
            return None
        self._forget_old()
        window = self._window
        if window and window[0][2] - event.end_time <= self.rule.merge_gap_s:
            return None
        rest = tuple(window)
        ended = self.finish()
        window.extend(rest)
        return ended

    def _forget_old(self) -> None:
        window, oldest = self._window, self._judged - self.rule.n
        while window and window[0][0] <= oldest:
            window.popleft()

    def state(self) -> dict[str, Any]:
        """Everything :meth:`step` remembers, as plain JSON."""
        return {
            "now": None if self._now == -math.inf else self._now,
            "row": self._row,
            "steps": self._steps,
            "judged": self._judged,
            "timed": self._timed,
            "window": [_flagged_document(flagged) for flagged in self._window],
            "event": None if self._event is None else self._event.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; ``ArtifactError``, and no change, where it is not of such a tracker."""
        try:
            now = -math.inf if state["now"] is None else finite_number(state["now"])
            counts = [whole_number(state[key], lowest) for key, lowest in (("row", -1), ("steps", -1), ("judged", 0))]
            window = deque(_flagged_of(item) for item in state["window"])
            event = None if state["event"] is None else _Gathered.of_state(state["event"])
            timed = state["timed"] is True
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ArtifactError(_FOREIGN) from None
        ordinals = [flagged[0] for flagged in window]
        if len(window) > self.rule.n or ordinals != sorted(set(ordinals)) or max(ordinals, default=0) > counts[2]:
            raise ArtifactError(_FOREIGN)
        self._row, self._steps, self._judged = counts
        self._now, self._window, self._event, self._timed = now, window, event, timed


class _Gathered:
    """What is known of an event so far. ``held``: it has calmed down, and waits for another one to merge with.

    ``strays``: readings above INFO since then, too few to go on by; they are inside if it does.
    """

    __slots__ = (
        "announced",
        "critical",
        "end_row",
        "end_time",
        "held",
        "peak",
        "quiet",
        "reasons",
        "rows",
        "start_row",
        "start_time",
        "strays",
    )

    def __init__(self, first: _Flagged) -> None:
        self.start_row, self.start_time = self.end_row, self.end_time = first[1], first[2]
        self.peak = first[1:5]
        self.reasons: dict[str, int] = {}
        self.strays: deque[_Flagged] = deque(maxlen=LARGEST_WINDOW)
        self.rows = self.quiet = 0
        self.critical = self.announced = self.held = False

    def gather(self, flagged: _Flagged) -> None:
        """One more reading above INFO."""
        _, self.end_row, self.end_time, code, score, reasons = flagged
        self.rows += 1
        self.quiet, self.held = 0, False
        _, _, worst, lowest = self.peak
        if code > worst or (code == worst and (score < lowest or (math.isnan(lowest) and not math.isnan(score)))):
            self.peak = flagged[1:5]
        counts = self.reasons
        for reason in reasons:
            if reason in counts or len(counts) < MOST_COUNTED:
                counts[reason] = counts.get(reason, 0) + 1

    def event(self, vehicle: str, timed: bool, *, is_open: bool) -> Event:
        """The event as it stands."""
        peak_row, peak_time, _, peak_score = self.peak
        frequent = sorted(self.reasons.items(), key=lambda item: -item[1])  # stable: first seen first
        return Event(
            vehicle=vehicle,
            start_row=self.start_row,
            end_row=self.end_row,
            start_time=self.start_time if timed else None,
            end_time=self.end_time if timed else None,
            peak_row=peak_row,
            peak_time=peak_time if timed else None,
            peak_score=peak_score,
            severity=SEVERITY_OF_CODE[2 if self.critical else 1],
            reasons=tuple(frequent[:MOST_REASONS]),
            rows=self.rows,
            open=is_open,
        )

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {
            "start": [self.start_row, self.start_time],
            "end": [self.end_row, self.end_time],
            "peak": [*self.peak[:3], None if math.isnan(self.peak[3]) else self.peak[3]],
            "reasons": list(map(list, self.reasons.items())),
            "counts": [self.rows, self.quiet],
            "critical": self.critical,
            "announced": self.announced,
            "held": self.held,
            "strays": list(map(_flagged_document, self.strays)),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> _Gathered:
        """From :meth:`state`; ``KeyError``, ``TypeError`` or ``ValueError`` where it is none of ours."""
        (start_row, start_time), (end_row, end_time) = state["start"], state["end"]
        gathered = cls((0, whole_number(start_row), finite_number(start_time), 1, math.nan, ()))
        gathered.end_row, gathered.end_time = whole_number(end_row), finite_number(end_time)
        gathered.peak = _flagged_of([0, *state["peak"], []])[1:5]
        gathered.reasons = {_text(text): whole_number(count, 1) for text, count in state["reasons"]}
        gathered.rows, gathered.quiet = map(whole_number, state["counts"])
        for name in ("critical", "announced", "held"):
            setattr(gathered, name, state[name] is True)
        gathered.strays.extend(_flagged_of(item) for item in state.get("strays", ()))  # not in older states
        if len(gathered.reasons) > MOST_COUNTED:
            raise ValueError
        return gathered


def _flagged_document(flagged: _Flagged) -> list[Any]:
    ordinal, row, time, code, score, reasons = flagged
    return [ordinal, row, time, code, None if math.isnan(score) else score, list(reasons)]


def _flagged_of(item: Any) -> _Flagged:
    ordinal, row, time, code, score, reasons = item
    if code not in (1, 2) or len(reasons) > MOST_REASONS:
        raise ValueError
    return (
        whole_number(ordinal),
        whole_number(row),
        finite_number(time),
        whole_number(code),
        math.nan if score is None else finite_number(score),
        tuple(map(_text, reasons)),
    )


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text


def events_of(
    time: FloatArray | None,
    severity: IntArray,
    score: FloatArray,
    reasons_of: Callable[[int], Sequence[str]],
    rule: EventRule,
    vehicle: str = "",
    rows: IntArray | None = None,
) -> tuple[Event, ...]:
    """The events of one vehicle's readings in their order; the same as from :meth:`EventTracker.step` one by one.

    ``time`` float64 [N] in seconds, or None: then row numbers count; ``severity`` int64 [N], codes; ``score`` float64
    [N]; ``reasons_of(row)`` is asked for rows above INFO alone; ``rows`` int64 [N]: their numbers in the caller's
    table, 0 … N−1 by default. An event that the last reading leaves open is ``open``. ``TelemetryError`` where the
    lengths differ.
    """
    lengths = {len(column) for column in (time, severity, score, rows) if column is not None}
    if len(lengths) != 1:
        raise TelemetryError(f"events need one time, severity, score and row number a reading, not {sorted(lengths)}")
    tracker = EventTracker(rule, vehicle)
    found: list[Event] = []
    times = [None] * len(severity) if time is None else time.tolist()
    numbers = range(len(severity)) if rows is None else rows.tolist()
    for moment, code, value, row in zip(times, severity.tolist(), score.tolist(), numbers, strict=True):
        event = tracker.step(moment, code, value, reasons_of(row) if code > 0 else (), row)
        if event is not None and not event.open:
            found.append(event)
    going_on = tracker.open_event
    if tracker.finish() is not None and going_on is not None:
        found.append(going_on)
    return tuple(found)
