"""What calibrated thresholds flag in trips that did not set them: shares of rows and alarms, with intervals.

The intervals are for what new driving shows, not for the mean of the trips calibrated on: whoever checks them has new
driving, which varies by itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ev_qa_framework.clustered_intervals import clustered_frequency, clustered_rate
from ev_qa_framework.conformal import UnitLosses
from ev_qa_framework.drives import BoolArray, Drives
from ev_qa_runtime.calibration_record import Figure, HeldOut
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.severity import FloatArray, IntArray

ALARM_GAP_S = 60.0
"""Flagged rows of a trip that are closer are one alarm."""

FOLDS = 100
"""At most so many thresholds are worked out with trips left out; more trips are left out several at a time."""
STRETCHES = 10
"""Parts of an only trip that are left out in turn."""
NEW_SHARE = 0.25
"""The intervals hold for new driving of this share of the driving calibrated on; for more of it all the more."""


@dataclass(frozen=True, slots=True)
class Forced:
    """Rows that something other than the scores makes WARNING or worse, and CRITICAL: bool [N], held out already.

    Limits and faulty readings do. What is CRITICAL counts as WARNING or worse too.
    """

    warning: BoolArray
    critical: BoolArray

    @classmethod
    def none(cls, rows: int) -> Forced:
        """Nothing is forced."""
        return cls(np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_))

    @property
    def any(self) -> BoolArray:
        """Bool [N]: WARNING or worse."""
        return self.warning | self.critical

    def check(self, rows: int) -> None:
        """Raises ``TelemetryError`` where there is not one value for each of so many rows."""
        if not len(self.warning) == len(self.critical) == rows:
            raise TelemetryError(
                f"forced has {len(self.warning)} and {len(self.critical)} values for {rows} rows: give one for each row"
            )


@dataclass(frozen=True, slots=True)
class HeldOutFigures:
    """Share of flagged rows, ``alarms`` and alarms in 100 h of driving, of one severity."""

    observed_rate: Figure
    alarms: int
    false_alarms_per_100h: Figure


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Rows that are counted, with what is held out together: ``part`` int64 [N], a trip or a tenth of the only one.

    ``rows``: how many were given, counted or not.
    """

    drives: Drives
    part: IntArray
    rows: int

    @classmethod
    def of(cls, drives: Drives, rows: int) -> HeldOutRows:
        """From the rows that count, of ``rows`` given."""
        if drives.count > 1:
            return cls(drives, drives.trip, rows)
        into = (drives.time - drives.begins[0]) / drives.lasts[0]
        return cls(drives, np.minimum(np.floor(into * STRETCHES), STRETCHES - 1).astype(np.int64), rows)

    @property
    def kind(self) -> HeldOut:
        """What a part is."""
        return "trips" if self.drives.count > 1 else "stretches"

    def below(self, scored: Drives, losses: UnitLosses, rate: float) -> BoolArray:
        """Rows as given, bool [``rows``], below the threshold that all units without rows of their own part give.

        ``scored``: the rows with a score, whose ``losses`` these are.
        """
        part = self._as_given(self.part)[scored.row]
        count = int(self.part.max()) + 1
        fold = part * min(FOLDS, count) // count
        crossed = np.unique(fold[losses.order] * losses.units + losses.unit)  # units with rows in each fold
        firsts = np.searchsorted(crossed, np.arange(int(fold.max()) + 2) * losses.units)
        without = crossed % losses.units
        thresholds = [losses.threshold(rate, without[first:end]) for first, end in itertools.pairwise(firsts.tolist())]
        below = np.zeros(self.rows, dtype=np.bool_)
        below[scored.row] = scored.scores < np.array(thresholds)[fold]
        return below

    def trips_with(self, rows: BoolArray) -> int:
        """How many trips have any of these rows as given, bool [``rows``]."""
        return len(np.unique(self.drives.trip[rows[self.drives.row]]))

    def _as_given(self, values: IntArray) -> IntArray:
        given = np.zeros(self.rows, dtype=np.int64)
        given[self.drives.row] = values
        return given

    def figures(self, flagged_as_given: BoolArray, rows_alike: float, *, crossed: bool) -> HeldOutFigures:
        """Of flagged rows as given, bool [``rows``]; at most one row in ``rows_alike`` counts as independent.

        ``crossed``: scored by models that knew fewer trips than the one which is calibrated. They flag more than it
        will, how much more nobody can see on these trips: so the intervals begin at 0.
        """
        flagged = flagged_as_given[self.drives.row]
        rows = np.bincount(self.part)
        there = rows > 0
        counts = np.bincount(self.part, flagged).astype(np.int64)[there]
        alarms = self._alarms(flagged)[there]
        rate = clustered_rate(counts, rows[there], max(rows_alike, 1.0), NEW_SHARE)
        frequency = clustered_frequency(alarms, self._hours(rows[there]), new_share=NEW_SHARE)
        if crossed:
            rate, frequency = (Figure(figure.estimate, 0.0, figure.high) for figure in (rate, frequency))
        return HeldOutFigures(rate, int(alarms.sum()), frequency)

    def _hours(self, rows: IntArray) -> FloatArray:
        drives = self.drives
        if drives.count > 1:
            return drives.lasts / 3600.0
        return rows / len(self.part) * drives.seconds / 3600.0

    def _alarms(self, flagged: BoolArray) -> IntArray:
        """How many alarms begin in each part: runs of flagged rows of a trip less than a minute apart."""
        rows = np.flatnonzero(flagged)
        time, trip = self.drives.time[rows], self.drives.trip[rows]
        begins = np.ones(len(rows), dtype=np.bool_)
        begins[1:] = (np.diff(trip) != 0) | (np.diff(time) >= ALARM_GAP_S)
        return np.bincount(self.part[rows[begins]], minlength=int(self.part.max()) + 1)
