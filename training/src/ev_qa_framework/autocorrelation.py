"""How long a series stays like itself: the integrated autocorrelation time."""

from __future__ import annotations

import math

import numpy as np

from ev_qa_runtime.severity import FloatArray, IntArray

WINDOW = 5.0
"""Correlations are added up to this many autocorrelation times (Sokal's c); later ones are noise."""


def autocorrelation_rows(series: FloatArray, trips: IntArray, *, around_each_trip: bool = True) -> float:
    """Integrated autocorrelation time of ``series`` float64 [N] in rows, at least 1; NaN rows are left out.

    That many neighbouring rows say as much as one independent row. ``trips`` int64 [N]: lags stay within a trip.
    ``around_each_trip`` takes out each trip's mean (what differs between trips is then not counted), else the mean of
    all. Estimate: Sokal, "Monte Carlo Methods in Statistical Mechanics" (1997), section 3, with the automatic window;
    the lags end at half the longest trip. A series that never varies counts as independent.
    """
    usable = np.isfinite(series)
    if not usable.any():
        return 1.0
    _, trip = np.unique(trips, return_inverse=True)
    counts: FloatArray = np.bincount(trip, usable.astype(np.float64)).astype(np.float64)
    centred = _centred(series, trip, usable, counts, around_each_trip=around_each_trip)
    lags = max(int(np.bincount(trip).max()) // 2, 1)
    products, pairs = np.zeros(lags), np.zeros(lags)
    order = np.argsort(trip, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(trip))[:-1]):
        here = min(lags, len(rows))
        products[:here] += _lagged(centred[rows])[:here]
        pairs[:here] += np.rint(_lagged(usable[rows].astype(np.float64)))[:here]
    if not products[0] > 0.0:
        return 1.0
    covariance = np.divide(products, pairs, out=np.zeros(lags), where=pairs > 0)
    times = 1.0 + 2.0 * np.cumsum(covariance[1:] / covariance[0])
    reached = np.flatnonzero(np.arange(1, len(times) + 1) >= WINDOW * times)
    time = float(times[reached[0]] if len(reached) else times.max(initial=1.0))
    return max(time, 1.0)


def _centred(
    series: FloatArray,
    trip: IntArray,
    usable: np.ndarray[tuple[int], np.dtype[np.bool_]],
    counts: FloatArray,
    *,
    around_each_trip: bool,
) -> FloatArray:
    """Deviations from the mean, 0 where there is no value; scaled, so that squares neither overflow nor vanish."""
    values = np.where(usable, series, 0.0)
    scale = float(np.abs(values).max())
    values = values / scale if scale > 0.0 else values
    sums = np.bincount(trip, values)
    means = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
    mean = means[trip] if around_each_trip else np.full(len(values), sums.sum() / counts.sum())
    centred: FloatArray = np.where(usable, values - mean, 0.0)
    centred[np.abs(centred) < 1e-12] = 0.0  # what rounding leaves of a series that never varies
    return centred


def _lagged(series: FloatArray) -> FloatArray:
    """Sums of products with itself at each lag, by the fast Fourier transform."""
    length = 2 ** math.ceil(math.log2(2 * len(series)))
    spectrum = np.fft.rfft(series, length)
    products: FloatArray = np.fft.irfft(spectrum * spectrum.conj(), length)[: len(series)]
    return products
