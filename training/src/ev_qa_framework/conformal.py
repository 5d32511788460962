"""Thresholds with a bound on the expected share of flagged rows: conformal risk control.

Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal Risk Control", ICLR 2024, theorem 1. Units (trips, or blocks of
time) are exchangeable; a unit's loss is the share of its rows scored below the threshold, at most B = 1. The highest
threshold at which (sum of losses + B)/(n + 1) is at most ``rate`` keeps the expected loss of a new unit at ``rate``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ev_qa_runtime.severity import FloatArray, IntArray

_SLACK = 1e-9
"""Relative; so that 1/(n + 1) is supported by n units however it rounds."""


def units_needed(rate: float) -> int:
    """The fewest units that support ``rate``: 1/rate − 1."""
    return math.ceil(1.0 / rate * (1.0 - _SLACK)) - 1


@dataclass(frozen=True, slots=True)
class UnitLosses:
    """Every row's score, rising, with its share of its unit: ``scores``, ``shares`` float64, ``unit`` int64 [N].

    ``units`` is how many there are, ``summed`` the running sum of ``shares``, ``order`` the row that each place holds.
    """

    scores: FloatArray
    shares: FloatArray
    summed: FloatArray
    unit: IntArray
    units: int
    order: IntArray

    @classmethod
    def of(cls, scores: FloatArray, unit: IntArray) -> UnitLosses:
        """From finite ``scores`` float64 [N] and the unit number of every row, int64 [N], N at least 1."""
        _, unit, rows = np.unique(unit, return_inverse=True, return_counts=True)
        shares = 1.0 / rows[unit]
        order = np.lexsort((shares, scores))  # sums do not depend on the order of trips
        return cls(scores[order], shares[order], np.cumsum(shares[order]), unit[order], len(rows), order)

    def threshold(self, rate: float, without: IntArray | None = None) -> float:
        """The highest threshold that ``rate`` allows, from all units but those ``without``, int64 [W].

        Too few units flag nothing of what was seen: the lowest score. Among equal scores all or none are flagged.
        """
        if without is None or not len(without):
            place = int(np.searchsorted(self.summed, self._allowed(rate, self.units), side="right"))
            return float(self.scores[min(place, len(self.scores) - 1)])
        allowed = self._allowed(rate, self.units - len(without))
        left_out = np.zeros(self.units, dtype=np.bool_)
        left_out[without] = True
        enough = allowed + len(without) + 1.0  # a unit's loss is at most 1: further up nothing can decide
        rows = np.flatnonzero(~left_out[self.unit[: int(np.searchsorted(self.summed, enough, side="right")) + 1]])
        place = int(np.searchsorted(np.cumsum(self.shares[rows]), allowed, side="right"))
        return float(self.scores[rows[min(place, len(rows) - 1)]] if len(rows) else self.scores[0])

    @staticmethod
    def _allowed(rate: float, units: int) -> float:
        return max(rate * (units + 1) * (1.0 + _SLACK) - 1.0, 0.0)

    def loss(self, threshold: float) -> float:
        """The sum of the units' shares of rows below ``threshold``."""
        return float(self.shares[: np.searchsorted(self.scores, threshold, side="left")].sum())

    def bound(self, threshold: float) -> float:
        """The expected share of flagged rows in a new unit is at most this."""
        return (self.loss(threshold) + 1.0) / (self.units + 1)
