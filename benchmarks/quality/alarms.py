"""Alarms at a threshold: how often falsely, how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.quality.areas import Interval, draws, interval

from ev_qa_runtime.severity import FloatArray

MERGED_S = 60.0
"""Rows below the threshold that lie closer than this are one alarm."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """A held-out healthy trip: alarms, hours, and the share of its rows below the threshold."""

    alarms: int
    hours: float
    flagged: float


def healthy_alarms(time: FloatArray, scores: FloatArray, threshold: float) -> Healthy:
    """Count the alarms of a trip without a fault; ``time`` in s."""
    flagged = scores < threshold
    at = time[flagged]
    alarms = int(np.count_nonzero(np.diff(at) > MERGED_S)) + 1 if len(at) else 0
    return Healthy(alarms, float(time[-1] - time[0]) / 3600.0, float(flagged.mean()))


def false_alarms_per_100h(trips: Sequence[Healthy]) -> Interval:
    """Over all trips, with an interval by resampling trips."""
    alarms, hours = np.array([trip.alarms for trip in trips], float), np.array([trip.hours for trip in trips])
    drawn = draws(len(trips))
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = 100.0 * (drawn @ alarms) / (drawn @ hours)
    return interval(100.0 * float(alarms.sum() / hours.sum()), samples)


def delay(time: FloatArray, scores: FloatArray, fault: FloatArray, threshold: float) -> float:
    """Seconds from the first faulted row to the first one below the threshold; NaN where there is none."""
    onset = int(np.argmax(fault > 0))
    found = np.flatnonzero(scores[onset:] < threshold)
    return float(time[onset + found[0]] - time[onset]) if len(found) else float("nan")


def delay_text(delays: FloatArray) -> str:
    """The median delay of those found, and the share found."""
    found = delays[np.isfinite(delays)]
    return f"{np.median(found):,.0f} s, {100 * len(found) / len(delays):.0f} %" if len(found) else "–, 0 %"
