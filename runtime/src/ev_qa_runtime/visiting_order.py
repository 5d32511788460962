"""In which order a batch's rows are sent through the trees, and which of them need not be sent.

Rows that lie close together take the same branches, which the processor then predicts: a shuffled batch scores up to
three times as fast when similar rows follow each other. Sensors are quantised, so telemetry repeats itself: equal
rows are scored once (``benchmarks/``). Neither changes a score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.severity import FloatArray, IntArray

_CURVE_BITS = 30
_LARGEST_LEVEL_BITS = 10  # of one column: a table of so many levels is kept
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio (Knuth, TAOCP 3, 6.4)


@dataclass(frozen=True, slots=True)
class VisitingOrder:
    """``order`` int64 [N] is a permutation of the rows; ``first`` bool [N] marks, in that order, rows to be scored.

    A row that is not marked has the bits of the last marked one before it.
    """

    order: IntArray
    first: npt.NDArray[np.bool_]

    def spread(self, of_first: FloatArray) -> FloatArray:
        """What was found for the marked rows, repeated for all, in this order; float64 [N]."""
        spread: FloatArray = of_first[np.cumsum(self.first) - 1]
        return spread


def visiting_order(values: FloatArray) -> VisitingOrder:
    """Bring similar rows of float64 [N, F] together, N ≥ 1, and find the repeated ones.

    Rows are sorted by the Z-order curve (Morton, 1966) over a grid of the columns' ranges, then by a hash of their
    bits; missing and infinite readings count as the ends of the range.
    """
    columns = min(values.shape[1], _CURVE_BITS)
    bits = min(_CURVE_BITS // columns, _LARGEST_LEVEL_BITS)
    spread = _spread_bits(bits, columns)
    curve, hashed = np.zeros((2, len(values)), dtype=np.uint64)
    for column, readings in enumerate(np.ascontiguousarray(values.T)):
        if column < columns:
            curve |= spread[_levels(readings, 1 << bits)] << np.uint64(column)
        hashed = (hashed ^ readings.view(np.uint64)) * _MULTIPLIER
        hashed ^= hashed >> np.uint64(29)
    key = curve << np.uint64(64 - _CURVE_BITS) | hashed >> np.uint64(_CURVE_BITS)
    order = np.argsort(key)
    ordered = values[order].view(np.int64)
    first = np.ones(len(values), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return VisitingOrder(order, first)


def _levels(readings: FloatArray, count: int) -> IntArray:
    """Readings as cells 0 … count − 1 of their finite range, int64."""
    finite = readings[np.isfinite(readings)]
    if not len(finite):
        return np.zeros(len(readings), dtype=np.int64)
    low, high = finite.min(), finite.max()
    with np.errstate(all="ignore"):  # constant columns and ranges beyond float64 end in infinities and NaN
        cells = (readings - low) * (count / (high - low))
    levels: IntArray = np.nan_to_num(cells, nan=0.0).clip(0, count - 1).astype(np.int64)
    return levels


@cache
def _spread_bits(bits: int, stride: int) -> npt.NDArray[np.uint64]:
    """Level → the level with its bits ``stride`` apart, for levels below 2**bits."""
    levels = np.arange(1 << bits, dtype=np.uint64)
    spread = np.zeros_like(levels)
    for bit in range(bits):
        spread |= (levels >> np.uint64(bit) & np.uint64(1)) << np.uint64(bit * stride)
    return spread
