"""Fewer points for a picture, none of its peaks lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ev_qa_runtime.severity import FloatArray, IntArray


def thinned(values: FloatArray, bins: int) -> IntArray:
    """The rows of ``values`` float64 [N] to draw: first, lowest, highest and last of every bin, int64, rising.

    That draws a line as all rows would on so many columns of a screen (M4: Jugel et al., "M4: A Visualization-Oriented
    Time Series Data Aggregation", VLDB 2014). All rows where that is no more; a bin of missing values keeps one.
    """
    rows = len(values)
    if rows <= 4 * bins:
        return np.arange(rows)
    edges = np.linspace(0, rows, bins + 1).astype(np.int64).tolist()
    chosen: set[int] = set()
    for start, stop in pairwise(edges):
        part = values[start:stop]
        known = np.flatnonzero(np.isfinite(part))
        if len(known):
            of_known = part[known]
            picked = (known[0], known[of_known.argmin()], known[of_known.argmax()], known[-1])
            chosen.update(start + int(place) for place in picked)
        else:
            chosen.add(start)
    return np.array(sorted(chosen), dtype=np.int64)


def with_breaks(x: FloatArray, y: FloatArray, rows: IntArray, breaks: IntArray) -> tuple[FloatArray, FloatArray]:
    """``x`` and ``y`` float64 [N] at ``rows``, with NaN before every row in ``breaks``, where a line must not go on."""
    stretch = np.searchsorted(breaks, rows, side="right")
    before = np.flatnonzero(np.diff(stretch)) + 1
    return np.insert(x[rows], before, np.nan), np.insert(y[rows], before, np.nan)
