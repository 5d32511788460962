"""A column of points in time → float64 seconds: numbers, datetime64, timestamps of any library, ISO 8601 texts.

Points without a time zone are UTC. A double holds seconds since 1970 to a quarter of a microsecond.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import TelemetryError

LATEST_SECOND = 1e11
"""Seconds since 1970 at the year 5138: a larger number is in another unit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}


def seconds_of(name: str, column: Any, divisor: float = 1.0) -> npt.NDArray[np.float64]:
    """Float64 [N] seconds of ``column``; ``divisor`` is how many of its numbers make a second (1000 for ms).

    Raises ``TelemetryError`` naming the column and the first row that is no point in time.
    """
    points = np.atleast_1d(np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column))
    if points.ndim != 1:
        raise TelemetryError(f"column {name!r} must have one dimension, not shape {points.shape}")
    if points.dtype.kind in "mM":
        seconds = _of_datetime64(points)
    elif points.dtype.kind in "iu":
        seconds = _of_integers(points, int(divisor))
    elif points.dtype.kind == "f":
        seconds = points.astype(np.float64) / divisor
    else:
        seconds = np.array([_of_object(point, divisor) for point in points.tolist()], dtype=np.float64)
    unreadable = np.flatnonzero(~(np.abs(seconds) <= LATEST_SECOND))
    if len(unreadable):
        row = int(unreadable[0])
        raise TelemetryError(_complaint(name, row, points[row], float(seconds[row])))
    return seconds


def _complaint(name: str, row: int, point: Any, second: float) -> str:
    if math.isfinite(second):
        return f"column {name!r}: row {row} holds {point!s:.40}, too large for seconds: name the unit, as in 'time_ms'"
    return f"column {name!r}: row {row} holds {point!s:.40}, no point in time: give seconds, datetimes or ISO 8601"


def _of_datetime64(points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """datetime64 or timedelta64 of any unit; NaT → NaN."""
    unit = np.datetime_data(points.dtype)[0]
    if unit not in _PER_SECOND:
        unit = "s" if unit in ("Y", "M", "W", "D", "h", "m") else "ns"
    exact = points.astype(f"{points.dtype.kind}8[{unit}]")
    seconds = _of_integers(exact.astype(np.int64), _PER_SECOND[unit])
    seconds[np.isnat(exact)] = math.nan
    return seconds


def _of_integers(points: npt.NDArray[Any], per_second: int) -> npt.NDArray[np.float64]:
    """Whole seconds and the rest apart: nanoseconds since 1970 do not fit into a double."""
    whole, rest = np.divmod(points, points.dtype.type(per_second)) if per_second > 1 else (points, points * 0)
    seconds: npt.NDArray[np.float64] = whole.astype(np.float64) + rest.astype(np.float64) / float(per_second)
    return seconds


def _of_object(point: Any, divisor: float) -> float:
    """Seconds of a datetime (or pandas' Timestamp), a text or a number; NaN for anything else."""
    if isinstance(point, (str, bytes)):
        return _of_text(point if isinstance(point, str) else point.decode("utf-8", "replace"), divisor)
    if isinstance(point, datetime):
        return _of_datetime(point)
    if isinstance(point, np.datetime64):
        return float(_of_datetime64(np.array([point]))[0])
    if isinstance(point, int) and not isinstance(point, bool):
        whole, rest = divmod(point, int(divisor))
        return float(whole) + rest / divisor if abs(whole) <= LATEST_SECOND else math.copysign(math.inf, whole)
    try:
        return math.nan if isinstance(point, bool) else float(point) / divisor
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _of_text(text: str, divisor: float) -> float:
    try:
        return float(text) / divisor
    except ValueError:
        pass  # then it is a date
    try:
        return _of_datetime(datetime.fromisoformat(text.strip()))
    except ValueError:
        return math.nan


def _of_datetime(point: Any) -> float:
    if point != point:  # NaT, which is a datetime too  # noqa: PLR0124 - it alone is not equal to itself
        return math.nan
    try:
        since = (point if point.tzinfo is not None else point.replace(tzinfo=UTC)) - _EPOCH
    except (OverflowError, ValueError):
        return math.nan
    nanoseconds: int = since.microseconds * 1000 + getattr(since, "nanoseconds", 0)
    whole: int = since.days * 86400 + since.seconds
    return float(whole) + nanoseconds / 1e9
