"""ROC-AUC over trips, with intervals that resample trips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_qa_runtime.severity import FloatArray

DRAWS, LEVEL = 2_000, 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """For a table."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def wins(positive: FloatArray, sorted_negative: FloatArray) -> float:
    """In how many pairs a positive row scores lower than a negative one; equal scores count half."""
    below = len(sorted_negative) - np.searchsorted(sorted_negative, positive, side="right")
    equal = np.searchsorted(sorted_negative, positive, side="right") - np.searchsorted(sorted_negative, positive)
    return float(np.sum(below) + 0.5 * np.sum(equal))


def draws(trips: int, seed: int = 0, count: int = DRAWS) -> FloatArray:
    """How often each trip is drawn, float64 [count, trips]: the bootstrap's samples, the same for all who compare."""
    return np.random.default_rng(seed).multinomial(trips, np.full(trips, 1.0 / trips), size=count).astype(np.float64)


def interval(value: float, samples: FloatArray) -> Interval:
    """The percentile interval of the samples that are defined."""
    defined = samples[np.isfinite(samples)]
    if len(defined) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return Interval(value, float(low), float(high))


class PairedTrips:
    """Wins and pairs of faulted trip i against healthy trip j, for every kind of fault: float64 [K, T, T]."""

    def __init__(self, kinds: int, trips: int) -> None:
        self._wins = np.zeros((kinds, trips, trips))
        self._pairs = np.zeros((kinds, trips, trips))

    def add(self, kind: int, faulted: int, healthy: int, positive: FloatArray, sorted_negative: FloatArray) -> None:
        """Compare the faulted rows of one trip with the healthy rows of another."""
        self._wins[kind, faulted, healthy] = wins(positive, sorted_negative)
        self._pairs[kind, faulted, healthy] = len(positive) * len(sorted_negative)

    def areas(self, drawn: FloatArray) -> FloatArray:
        """AUC by draw and kind, float64 [D, K]; a trip drawn twice counts twice, faulted and healthy."""
        with np.errstate(invalid="ignore"):
            found: FloatArray = weighted(self._wins, drawn) / weighted(self._pairs, drawn)
        return found

    def intervals(self) -> tuple[list[Interval], Interval]:
        """Of every kind, and of their mean."""
        trips = self._wins.shape[1]
        values, samples = self.areas(np.ones((1, trips)))[0], self.areas(draws(trips))
        kinds = [interval(float(value), samples[:, kind]) for kind, value in enumerate(values)]
        return kinds, interval(float(values.mean()), samples.mean(axis=1))


def weighted(pairs: FloatArray, drawn: FloatArray) -> FloatArray:
    """Σ w_i w_j pairs[k, i, j] for every draw, float64 [D, K]."""
    return np.stack([np.sum((drawn @ kind) * drawn, axis=1) for kind in pairs], axis=1)
