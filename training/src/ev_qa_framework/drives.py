"""Healthy rows by trip and time, which is how calibration looks at them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.severity import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Drives:
    """Rows by trip and time: ``scores``, ``time`` float64 [N], ``trip`` int64 [N], 0 … ``count`` − 1.

    ``begins``, ``lasts``: seconds of each trip; a row lasts ``step`` seconds. ``row`` int64 [N]: where each row stood
    among those given.
    """

    scores: FloatArray
    time: FloatArray
    trip: IntArray
    begins: FloatArray
    lasts: FloatArray
    step: float
    row: IntArray

    @property
    def count(self) -> int:
        """How many trips there are."""
        return len(self.lasts)

    @property
    def seconds(self) -> float:
        """Driving time of all trips."""
        return float(np.sort(self.lasts).sum())

    @property
    def as_given(self) -> FloatArray:
        """The scores in the order in which they were given."""
        return self.scores[np.argsort(self.row)]

    @classmethod
    def of(cls, scores: FloatArray, trips: IntArray, time: FloatArray, usable: BoolArray) -> Drives:
        """The rows of arrays [N] that are ``usable`` and have a time.

        Raises ``TelemetryError`` where there is none, or where the time stands still.
        """
        usable = usable & np.isfinite(time)
        if not usable.any():
            raise TelemetryError(f"none of {len(scores)} rows has a score and a time: nothing to calibrate on")
        row = np.flatnonzero(usable)
        _, trip = np.unique(np.asarray(trips)[row], return_inverse=True)
        order = np.lexsort((np.asarray(time, dtype=np.float64)[row], trip))
        row, trip = row[order], trip[order].astype(np.int64)
        seconds = np.asarray(time, dtype=np.float64)[row]
        steps = np.diff(seconds)[np.diff(trip) == 0]
        steps = steps[steps > 0.0]
        if not len(steps):
            raise TelemetryError("the time does not advance within any trip: calibration needs seconds")
        step = float(np.median(steps))
        first = np.flatnonzero(np.diff(trip, prepend=-1))
        last = np.append(first[1:], len(trip)) - 1
        lasts = seconds[last] - seconds[first] + step
        return cls(np.asarray(scores, dtype=np.float64)[row], seconds, trip, seconds[first], lasts, step, row)
