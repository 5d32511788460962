"""Confidence intervals: Wilson and Newcombe for independent rows, a block bootstrap for rows in a row.

Telemetry is sampled faster than anything in a pack changes, so neighbouring rows say nearly the same. Wilson's and
Newcombe's intervals take rows as independent and come out too narrow. The circular block bootstrap (Politis, Romano,
"A circular block-resampling procedure for stationary data", 1992) draws runs of neighbouring rows instead, whole, and
keeps what they have in common. Blocks wrap around within their recording and never run from one into another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from ev_qa_framework.comparison.number_format import plural
from ev_qa_framework.comparison.result import Estimate, Interval
from ev_qa_runtime.severity import FloatArray, IntArray

MINIMUM_BLOCKS = 5
"""With fewer blocks every resample holds nearly the same rows, and an interval would promise what nobody knows."""
MAXIMUM_BLOCKS = 20_000
"""Blocks in one resample at most: larger ones are as valid, and a million independent rows need no finer ones."""


def wilson(count: int, rows: int, confidence: float) -> Interval:
    """Wilson's score interval for ``count`` of ``rows`` (Wilson, JASA 22, 1927; Newcombe 1998, method 3)."""
    if rows == 0:
        return Interval(0.0, 1.0)
    found = binomtest(count, rows).proportion_ci(confidence, method="wilson")
    rate = count / rows
    return Interval(min(float(found.low), rate), max(float(found.high), rate))  # at 0 and 1 rounding can cross the rate


def newcombe_paired(both: int, a_only: int, b_only: int, neither: int, confidence: float) -> Interval:
    """Rate of B minus rate of A on the same rows.

    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 17 (1998), 2635-2650, method 10.
    """
    rows = both + a_only + b_only + neither
    rate_b, rate_a = (both + b_only) / rows, (both + a_only) / rows
    of_b, of_a = wilson(both + b_only, rows, confidence), wilson(both + a_only, rows, confidence)
    margins = (both + b_only) * (a_only + neither) * (both + a_only) * (b_only + neither)
    covariance = float(both * neither - a_only * b_only)
    if covariance > 0:
        covariance = max(covariance - rows / 2, 0.0)
    phi = covariance / math.sqrt(margins) if margins else 0.0
    return _combined(rate_b, of_b, rate_a, of_a, phi)


def newcombe_independent(count_a: int, rows_a: int, count_b: int, rows_b: int, confidence: float) -> Interval:
    """Rate of B minus rate of A on different rows.

    Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17
    (1998), 873-890, method 10. A side without rows has the rate 0 and the interval from 0 to 1.
    """
    rate_b, rate_a = count_b / rows_b if rows_b else 0.0, count_a / rows_a if rows_a else 0.0
    return _combined(rate_b, wilson(count_b, rows_b, confidence), rate_a, wilson(count_a, rows_a, confidence), 0.0)


def _combined(rate_b: float, of_b: Interval, rate_a: float, of_a: Interval, phi: float) -> Interval:
    difference = rate_b - rate_a
    below = _distance(rate_b - of_b.low, of_a.high - rate_a, phi)
    above = _distance(of_b.high - rate_b, rate_a - of_a.low, phi)
    return Interval(max(difference - below, -1.0), min(difference + above, 1.0))


def _distance(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(one * one - 2.0 * phi * one * other + other * other, 0.0))


def block_rows_for(series: Sequence[FloatArray]) -> int:
    """How many rows a block needs so that the bootstrap sees how rows hang together: the most that any series asks for.

    Politis, White, "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23 (2004),
    53-70, with the correction of Patton, Politis, White, 28 (2009), 372-375; the circular bootstrap's length.
    """
    rows = len(series[0])
    wanted = max(_optimal_block_rows(each) for each in series)
    at_most = math.ceil(min(3 * math.sqrt(rows), rows / 3))
    return max(min(math.ceil(wanted), at_most), math.ceil(rows / MAXIMUM_BLOCKS), 1)


def _optimal_block_rows(series: FloatArray) -> float:
    rows = len(series)
    centred = series - series.mean()
    if rows < 3 or not centred.any():
        return 1.0
    run = max(5, math.ceil(math.sqrt(math.log10(rows))))
    lags = min(math.ceil(math.sqrt(rows)) + run, rows - 1)
    covariance = np.array([(centred[lag:] * centred[: rows - lag]).sum() for lag in range(lags + 1)]) / rows
    insignificant = np.abs(covariance[1:] / covariance[0]) < 2.0 * math.sqrt(math.log10(rows) / rows)
    runs = np.convolve(insignificant, np.ones(run), mode="valid") >= run if len(insignificant) >= run else np.array([])
    last = int(np.argmax(runs)) if runs.any() else lags  # the largest lag before the correlations die out
    bandwidth = min(2 * last, lags)
    if bandwidth == 0:
        return 1.0
    lag = np.arange(1, bandwidth + 1)
    taper = np.where(lag <= bandwidth / 2, 1.0, 2.0 * (1.0 - lag / bandwidth))
    spread = covariance[0] + 2.0 * float(taper @ covariance[1 : bandwidth + 1])
    slope = 2.0 * float((taper * lag) @ covariance[1 : bandwidth + 1])
    if spread == 0.0:
        return math.inf
    return float((2.0 * slope**2 / (4.0 / 3.0 * spread**2)) ** (1 / 3) * rows ** (1 / 3))


class BlockBootstrap:
    """Resamples of rows in blocks, the same ones each time it is asked.

    ``recordings``: how many consecutive rows belong together, summing to N; a block stays within one. Where the rows
    make fewer than :data:`MINIMUM_BLOCKS` blocks there are no resamples, so that no interval comes of them.
    """

    def __init__(self, recordings: Sequence[int], block_rows: int, resamples: int, seed: int) -> None:
        self.rows = sum(recordings)
        self.block_rows = block_rows
        self.blocks = self.rows // block_rows
        self.resamples = resamples if self.blocks >= MINIMUM_BLOCKS else 0
        self._seed = seed
        if not self.resamples:
            return
        filled = [count for count in recordings if count]
        self._forwards = _Windows.of(filled, block_rows)
        self._backwards = _Windows.of(filled[::-1], block_rows)

    def sums(self, values: FloatArray) -> FloatArray:
        """Column sums over each resample: [N, C] → [resamples, C]."""
        if not self.resamples:
            return np.empty((0, values.shape[1]))
        of_block = self._forwards.sums(values)
        return np.array([of_block[starts].sum(axis=0) for starts in self._starts()])

    def why_none(self) -> str | None:
        """Why there are no intervals by blocks; None where there are resamples to make them of."""
        if self.resamples:
            return None
        return (
            f"{plural(self.rows, 'row')} make only {plural(self.blocks, 'block')} of {self.block_rows:,}, at least"
            f" {MINIMUM_BLOCKS} are needed"
        )

    def weights(self) -> Iterator[FloatArray]:
        """How often each row is in each resample, float64 [N] at a time."""
        for starts in self._starts():
            begun = np.bincount(starts, minlength=self.rows).astype(np.float64)
            yield self._backwards.sums(begun[::-1])[::-1]

    def _starts(self) -> Iterator[IntArray]:
        random = np.random.default_rng(self._seed)
        blocks = -(-self.rows // self.block_rows)
        for _ in range(self.resamples):
            yield random.integers(self.rows, size=blocks)


@dataclass(frozen=True, slots=True)
class _Windows:
    """Runs of ``length`` rows that go around the end of their recording.

    ``around`` lists the rows of every recording with its first ones again after its last, so that each run is a slice
    of it; ``begins`` says where the run that starts at each row begins.
    """

    around: IntArray
    begins: IntArray
    length: int

    @classmethod
    def of(cls, recordings: Sequence[int], length: int) -> _Windows:
        firsts = np.cumsum([0, *recordings[:-1]])
        around = [
            first + np.arange(count + length - 1) % count for first, count in zip(firsts, recordings, strict=True)
        ]
        begins = [
            first + number * (length - 1) + np.arange(count)
            for number, (first, count) in enumerate(zip(firsts, recordings, strict=True))
        ]
        return cls(np.concatenate(around), np.concatenate(begins), length)

    def sums(self, counts: FloatArray) -> FloatArray:
        """Sum over the run that starts at each row, [N, …]; exact for whole numbers."""
        total = np.zeros((len(self.around) + 1, *counts.shape[1:]))
        np.cumsum(counts[self.around], axis=0, out=total[1:])
        runs: FloatArray = total[self.begins + self.length] - total[self.begins]
        return runs


def percentile_interval(estimate: float | None, resampled: FloatArray, confidence: float) -> Interval | None:
    """The percentile interval of resampled values, widened to hold the estimate where it does not.

    NaN marks a resample in which the statistic is not defined. None where that is every second one or more, where
    there are no resamples, or where nothing varied, as with a rate of 0: such resamples say nothing of how certain the
    estimate is.
    """
    defined = resampled[~np.isnan(resampled)]
    if estimate is None or len(defined) * 2 <= len(resampled) or np.ptp(defined) == 0.0:
        return None
    low, high = np.quantile(defined, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(min(float(low), estimate), max(float(high), estimate))


def estimated(value: float | None, resampled: FloatArray, confidence: float) -> Estimate:
    """A statistic with its :func:`percentile_interval`."""
    return Estimate(value, percentile_interval(value, resampled, confidence))
