"""The compared rows' place in time, where the data say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ev_qa_framework.telemetry import TIME_COLUMNS
from ev_qa_runtime.features import normalise_name
from ev_qa_runtime.severity import FloatArray

ELAPSED_COLUMNS = ("time_s", "elapsed_s", "seconds", "t")
"""Columns of seconds since some start, beside those of points in time."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Seconds float64 [N], POSIX where ``is_date``; never running backwards."""

    seconds: FloatArray
    is_date: bool


def time_axis(tables: list[Any]) -> TimeAxis | None:
    """The times of all rows of all tables, or None where a table has none or time runs backwards anywhere.

    Several trips that each start at 0 run backwards at every start: their rows are counted instead.
    """
    parts = [_times(table) for table in tables]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or len({part.is_date for part in found}) != 1:
        return None
    seconds = np.concatenate([part.seconds for part in found])
    if not np.isfinite(seconds).all() or (np.diff(seconds) < 0).any():
        return None
    return TimeAxis(seconds, found[0].is_date)


def _times(table: Any) -> TimeAxis | None:
    if not isinstance(table, pd.DataFrame):
        return None
    if isinstance(table.index, pd.DatetimeIndex):
        return _dates(table.index.to_series())
    for column in table.columns:
        if isinstance(column, str) and normalise_name(column) in (*TIME_COLUMNS, *ELAPSED_COLUMNS):
            return _column_times(table[column])
    return None


def _column_times(column: pd.Series[Any]) -> TimeAxis | None:
    if pd.api.types.is_numeric_dtype(column):
        return TimeAxis(column.to_numpy(dtype=np.float64, na_value=np.nan), is_date=False)
    return _dates(column)


def _dates(column: pd.Series[Any]) -> TimeAxis | None:
    dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    if dates.isna().any():
        return None
    since = dates - pd.Timestamp(0, tz="UTC")
    seconds: FloatArray = since.dt.total_seconds().to_numpy().astype(np.float64)
    return TimeAxis(seconds, is_date=True)
