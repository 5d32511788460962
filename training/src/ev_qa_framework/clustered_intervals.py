"""95 % intervals of rates and counts that come in trips: rows of one trip are alike, trips differ."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta, gamma, norm
from scipy.stats import t as student

from ev_qa_runtime.calibration_record import Figure
from ev_qa_runtime.severity import FloatArray, IntArray

CONFIDENCE = 0.95
_TAIL = (1.0 - CONFIDENCE) / 2.0


def clustered_rate(flagged: IntArray, rows: IntArray, rows_alike: float = 1.0) -> Figure:
    """The share of flagged rows, from ``flagged`` of ``rows`` int64 [T] in each of two or more trips.

    Korn, Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data", Survey Methodology 24 (1998), 193-201: Clopper and Pearson's interval for the number of independent
    rows that vary as much as the trips do, fewer for few trips (Student's quantile). At most one row in ``rows_alike``
    counts as independent.
    """
    total = int(rows.sum())
    rate = float(flagged.sum()) / total
    independent = total / rows_alike
    if 0.0 < rate < 1.0:
        trips = len(rows)
        variance = trips / (trips - 1) * float(((flagged - rate * rows) ** 2).sum()) / total**2
        if variance > 0.0:
            independent = min(independent, rate * (1.0 - rate) / variance)
    independent /= _few(len(rows))
    positive = rate * independent
    low = float(beta.ppf(_TAIL, positive, independent - positive + 1.0)) if positive > 0.0 else 0.0
    high = float(beta.ppf(1.0 - _TAIL, positive + 1.0, independent - positive)) if positive < independent else 1.0
    return Figure(rate, min(low, rate), max(high, rate))


def clustered_frequency(counts: IntArray, hours: FloatArray, per_hours: float = 100.0) -> Figure:
    """Events in ``per_hours`` hours, from ``counts`` int64 [T] in ``hours`` float64 [T] of each of two or more trips.

    Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936), 437-442, for the count divided by
    the dispersion between trips (Pearson's chi-square over its degrees of freedom, at least 1; McCullagh, Nelder,
    "Generalized Linear Models" (1989), 6.2), which is taken larger for few trips (Student's quantile).
    """
    count, time = int(counts.sum()), float(hours.sum())
    expected = count * hours / time
    dispersion = 1.0
    if count:
        dispersion = max(float(((counts - expected) ** 2 / expected).sum()) / (len(counts) - 1), 1.0)
    dispersion *= _few(len(counts))
    scaled, unit = count / dispersion, dispersion * per_hours / time
    low = float(gamma.ppf(_TAIL, scaled)) * unit if count else 0.0
    return Figure(count * per_hours / time, low, float(gamma.ppf(1.0 - _TAIL, scaled + 1.0)) * unit)


def _few(trips: int) -> float:
    """How much more a variance estimated from few trips must count."""
    ratio = float(student.ppf(1.0 - _TAIL, trips - 1) / norm.ppf(1.0 - _TAIL))
    return ratio * ratio if math.isfinite(ratio) else np.inf
