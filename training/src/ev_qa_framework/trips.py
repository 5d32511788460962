"""Which rows of telemetry were recorded in one go."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.severity import FloatArray, IntArray

TRIP_GAP_S = 600.0
"""A longer pause begins another trip."""

CLOCK_SLACK_S = 1.0
"""Clocks that are set may go back this far within a trip."""


def split_trips(
    time: FloatArray,
    vehicle: npt.NDArray[Any] | None = None,
    trip: npt.NDArray[Any] | None = None,
    gap_s: float = TRIP_GAP_S,
) -> IntArray:
    """The trip number of every row, int64 [N], counted from 0 in the order of rows.

    A trip ends where the next row is of another ``vehicle`` [N], comes more than ``gap_s`` seconds later or more than
    a second earlier, or has another value of ``trip`` [N]. ``time`` float64 [N] in seconds; a row without a time
    (NaN) belongs to the row before it. Missing values of ``vehicle`` and ``trip`` are alike.

    Raises ``TelemetryError`` where the arrays differ in length, ``ConfigurationError`` for a gap that is not positive.
    """
    if not gap_s > 0.0:
        raise ConfigurationError(f"gap_s must be positive seconds, not {gap_s}")
    rows = len(time)
    begins = np.zeros(rows, dtype=np.bool_)
    for name, labels in (("vehicle", vehicle), ("trip", trip)):
        if labels is not None:
            if len(labels) != rows:
                raise TelemetryError(f"{name} has {len(labels)} rows, time has {rows}: give one for each row")
            codes = _codes(labels)
            begins[1:] |= codes[1:] != codes[:-1]
    known = np.flatnonzero(~np.isnan(time))
    step = np.diff(time[known])
    begins[known[1:][(step > gap_s) | (step < -CLOCK_SLACK_S)]] = True
    return np.cumsum(begins, dtype=np.int64)


def _codes(labels: npt.NDArray[Any]) -> IntArray:
    """A number for each distinct value; one for all that are missing (None, NaN, NaT)."""
    import pandas as pd  # noqa: PLC0415 - only where there are labels

    codes, _ = pd.factorize(np.asarray(labels))
    return np.asarray(codes, dtype=np.int64)
