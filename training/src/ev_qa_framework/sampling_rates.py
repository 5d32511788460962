"""How training data are sampled, and the same trips at lower rates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.reading_quality import QualityRule
from ev_qa_runtime.sampling import COARSEST, FINEST, LONGEST_STEP_S, Resolution, Sampling
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import SignalTable

THINNINGS = (3, 10, 30, 100, 300)
SLOWEST_STEP_S = 40.0
"""No copy is thinned beyond this: the features are for sampling from 0.03 Hz on."""


def fit_sampling(table: SignalTable, trips: IntArray, quality: QualityRule) -> Sampling | None:
    """The time between the readings of each trip, ``trips`` int64 [N], and the resolutions that ``quality`` learnt.

    None where no two readings of a trip follow each other in time.
    """
    steps = _steps(table, trips)
    if not len(steps):
        return None
    low, middle, high = (float(f"{step:.6g}") for step in np.quantile(steps, (0.05, 0.5, 0.95)))
    resolutions = tuple(
        Resolution(one.signal, one.resolution if FINEST <= one.resolution <= COARSEST else 0.0)
        for one in quality.signals
        if one.signal in table.names
    )
    return Sampling((low, middle, high), resolutions) if 0.0 < low <= high <= LONGEST_STEP_S else None


def thinned_rows(table: SignalTable, trips: IntArray) -> Iterator[npt.NDArray[np.bool_]]:
    """For each lower rate that still makes sense, which rows of each trip are kept: bool [N].

    Every 3rd, 10th, 30th … reading, by time: the first one in each stretch of so many usual steps.
    """
    steps = _steps(table, trips)
    usual = float(np.median(steps)) if len(steps) else np.inf
    known = np.isfinite(table.time)
    first = np.full(int(trips.max(initial=-1)) + 1, np.inf)
    np.minimum.at(first, trips[known], table.time[known])
    for times in THINNINGS:
        if times * usual > SLOWEST_STEP_S:
            return
        # half a step of slack, so that a clock that jitters does not drop or double readings
        stretch = np.floor((table.time - first[trips]) / (times * usual) + 0.5 / times)
        begins = np.ones(len(stretch), dtype=np.bool_)
        begins[1:] = (stretch[1:] != stretch[:-1]) | (trips[1:] != trips[:-1])
        yield begins & known


def _steps(table: SignalTable, trips: IntArray) -> FloatArray:
    """Seconds from each reading to the next of its vehicle and trip, where time goes on."""
    order = np.argsort(table.vehicle, kind="stable")
    elapsed = np.diff(table.time[order])
    same = (np.diff(table.vehicle[order]) == 0) & (np.diff(trips[order]) == 0)
    steps: FloatArray = elapsed[same & (elapsed > 0.0)]
    return steps
