"""Histograms of the rows that a model is trained on, for the runtime to compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ev_qa_framework.autocorrelation import autocorrelation_rows
from ev_qa_runtime.drift_baseline import DriftBaseline, Histogram
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.severity import FloatArray, IntArray

BINS = 20
"""Bins with about as many training rows each; fewer where values repeat."""


def fit_drift_baseline(
    values: FloatArray,
    scores: FloatArray,
    names: Sequence[str],
    trips: IntArray | None = None,
    row_s: float | None = None,
) -> DriftBaseline:
    """The baseline of ``values`` float64 [N, F], features ``names``, and of their ``scores`` float64 [N].

    Missing values are NaN. ``trips`` int64 [N]: which rows were recorded in one go (default: all), for how alike
    neighbours are. ``row_s``: median seconds between rows. Raises ``TelemetryError`` for arrays that do not fit.
    """
    rows = len(scores)
    if not rows or values.shape != (rows, len(names)) or (trips is not None and len(trips) != rows):
        raise TelemetryError(f"a drift baseline needs rows of {len(names)} features with scores and trips, one a row")
    trips = np.zeros(rows, dtype=np.int64) if trips is None else trips
    return DriftBaseline(
        names=tuple(names),
        features=tuple(fit_histogram(column, trips) for column in values.T),
        score=fit_histogram(scores, trips),
        row_s=row_s,
    )


def fit_histogram(values: FloatArray, trips: IntArray) -> Histogram:
    """Edges at the 5 % quantiles of ``values`` float64 [N], the outermost around all of them.

    Bins are half open, so the last edge lies just above the highest value: what is not below it is above the range.
    """
    known = values[np.isfinite(values)]
    edges = np.zeros(1)
    if len(known):
        quantiles = np.quantile(known, np.linspace(0.0, 1.0, BINS + 1), method="inverted_cdf")
        edges = np.unique(quantiles + 0.0)  # no negative zero
        top = math.nextafter(edges[-1], math.inf)
        often = np.count_nonzero(known == edges[-1]) * 2 * BINS >= len(known)  # a value of its own, as of a switch
        edges = np.append(edges if often else edges[:-1], top if math.isfinite(top) else [])
    places = np.searchsorted(edges, values, side="right")
    places[np.isnan(values)] = len(edges) + 1
    counts = np.bincount(places, minlength=len(edges) + 2)
    return Histogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        rows_alike=autocorrelation_rows(values, trips, around_each_trip=False),
    )
