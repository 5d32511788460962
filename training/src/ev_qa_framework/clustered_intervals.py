"""95 % intervals of rates and counts that come in trips: rows of one trip are alike, trips differ.

``new_share`` says what an interval is for: what is seen in new trips that are together so many times as long as those
counted (a prediction interval), or with infinity the mean of all trips like them (a confidence interval).
Prediction is by counts that are Poisson with a mean that the counted trips tell as Garwood's interval does: Nelson,
"Applied Life Data Analysis" (1982), 6.6; for counts that vary more than that, count and time are divided by their
dispersion, as by Menssen, Schaarschmidt, "Prediction intervals for overdispersed binomial data with application to
historical controls", Statistics in Medicine 38 (2019), 2652-2663.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc
from scipy.stats import beta, gamma, norm
from scipy.stats import t as student

from ev_qa_runtime.calibration_record import Figure
from ev_qa_runtime.severity import FloatArray, IntArray

CONFIDENCE = 0.95
_TAIL = (1.0 - CONFIDENCE) / 2.0


def clustered_rate(flagged: IntArray, rows: IntArray, rows_alike: float = 1.0, new_share: float = math.inf) -> Figure:
    """The share of flagged rows, from ``flagged`` of ``rows`` int64 [T] in each of two or more trips.

    Korn, Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data", Survey Methodology 24 (1998), 193-201: Clopper and Pearson's interval for the number of independent
    rows that vary as much as the trips do, fewer for few trips (Student's quantile). At most one row in ``rows_alike``
    counts as independent. A prediction takes flagged rows for few: independent ones are Poisson.
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
    if math.isfinite(new_share) and independent > 0.0:
        low, high = _predicted(positive, new_share)
        return Figure(rate, min(low / independent, rate), min(max(high / independent, rate), 1.0))
    low = float(beta.ppf(_TAIL, positive, independent - positive + 1.0)) if positive > 0.0 else 0.0
    high = float(beta.ppf(1.0 - _TAIL, positive + 1.0, independent - positive)) if positive < independent else 1.0
    return Figure(rate, min(low, rate), max(high, rate))


def clustered_frequency(
    counts: IntArray, hours: FloatArray, per_hours: float = 100.0, new_share: float = math.inf
) -> Figure:
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
    if math.isfinite(new_share) and math.isfinite(dispersion):
        low, high = _predicted(scaled, new_share)
        return Figure(count * per_hours / time, low * unit, high * unit)
    low = float(gamma.ppf(_TAIL, scaled)) * unit if count else 0.0
    return Figure(count * per_hours / time, low, float(gamma.ppf(1.0 - _TAIL, scaled + 1.0)) * unit)


def _predicted(count: float, new_share: float) -> tuple[float, float]:
    """Ends of Nelson's interval for a new count, over ``new_share``; ``count`` need not be whole.

    The new count is negative binomial, with a gamma-distributed mean of shape ``count`` for the lower end and
    ``count`` + 1 for the upper. The lower end is 0 where a new count of 0 is not that rare.
    """
    seen = 1.0 / (1.0 + new_share)
    low = 0.0
    if count > 0.0 and seen**count < _TAIL:
        low = _rising(lambda new: float(betainc(count, new + 1.0, seen)) - _TAIL)
    high = _rising(lambda new: float(betainc(count + 1.0, new, seen)) - (1.0 - _TAIL))
    return low / new_share, high / new_share


def _rising(function: Callable[[float], float]) -> float:
    """Where a rising function of positive numbers crosses 0."""
    end = 1.0
    while function(end) < 0.0:
        end *= 2.0
    return float(brentq(function, 1e-12, end))


def _few(trips: int) -> float:
    """How much more a variance estimated from few trips must count."""
    ratio = float(student.ppf(1.0 - _TAIL, trips - 1) / norm.ppf(1.0 - _TAIL))
    return ratio * ratio if math.isfinite(ratio) else np.inf
