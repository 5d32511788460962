"""Time on the axis of a picture, in a unit that reads well, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from ev_qa_runtime.severity import FloatArray

FIRST_DATE_S = 315_532_800.0
"""1980: seconds from here on are points in time, fewer are counted from a start of their own."""
_LAST_DATE_S = 253_402_300_800.0

_Number = TypeVar("_Number", float, FloatArray)


@dataclass(frozen=True, slots=True)
class TimeScale:
    """``label`` names the axis; a place on it is (seconds − ``origin``) / ``unit_s``."""

    origin: float
    unit_s: float
    label: str

    def place(self, seconds: _Number) -> _Number:
        """Where seconds lie on the axis."""
        return (seconds - self.origin) / self.unit_s


def time_scale(first: float, last: float, *, is_date: bool) -> TimeScale:
    """The scale for seconds from ``first`` to ``last``, POSIX where ``is_date``."""
    origin, since = 0.0, ""
    if is_date:
        origin, since = first, f" since {datetime.fromtimestamp(first, UTC):%Y-%m-%d %H:%M} UTC"
    for seconds, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if last - first >= 3.0 * seconds:
            return TimeScale(origin, seconds, unit + since)
    return TimeScale(origin, 1.0, "seconds" + since)


def is_date(seconds: float) -> bool:
    """Whether seconds are a point in time (POSIX), not counted from the start of a trip."""
    return FIRST_DATE_S <= seconds < _LAST_DATE_S


def clock_text(seconds: float) -> str:
    """``2024-05-01 13:04:09 UTC``, or ``0:18:22`` after a start."""
    if is_date(seconds):
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def local_text(seconds: float) -> str:
    """:func:`clock_text` on the clock of this machine: ``2024-05-01 15:04:09 CEST``."""
    if not is_date(seconds):
        return clock_text(seconds)
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def duration_text(seconds: float) -> str:
    """``45 s``, ``11 min 37 s``, ``3 h 5 min``, ``4 d 2 h``."""
    whole = max(round(seconds), 0)
    for larger, name, smaller, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= larger:
            count, rest = divmod(whole, larger)
            return f"{count} {name} {rest // smaller} {part}" if rest // smaller else f"{count} {name}"
    return f"{whole} s"
