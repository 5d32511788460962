"""How far two histograms of the same bins are apart, and whether chance alone could do that. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

FEWEST_EXPECTED = 5.0
"""Neighbouring bins are joined until the smaller sample expects so many rows in each (Cochran 1954)."""

_STEPS = 10_000
_PRECISION = 1e-15


def population_stability_index(training: Sequence[float], now: Sequence[float]) -> float:
    """PSI = sum of (p − q) ln(p/q) over the shares of both, at least 0.

    Siddiqi, "Credit Risk Scorecards" (2006), chapter 8. Half a row is added to each bin of both, so that empty ones
    neither divide by zero nor weigh without limit; samples without rows have PSI 0.
    """
    bins = len(training)
    of_training, of_now = sum(training) + 0.5 * bins, sum(now) + 0.5 * bins
    if not sum(training) or not sum(now):
        return 0.0
    total = 0.0
    for one, other in zip(now, training, strict=True):
        share, trained = (one + 0.5) / of_now, (other + 0.5) / of_training
        total += (share - trained) * math.log(share / trained)
    return total


def homogeneity_p_value(
    training: Sequence[float], now: Sequence[float], training_rows: float, now_rows: float
) -> float | None:
    """Pearson's chi-square test that both samples come from one distribution; None where there is too little to say.

    ``training_rows``, ``now_rows``: how many independent rows the counts are worth. Scaling by them is the first-order
    correction of Rao, Scott, "The analysis of categorical data from complex sample surveys", JASA 76 (1981), 221-230.
    The last bin holds missing values and is joined with no neighbour unless it is nearly empty.
    """
    counted, seen = sum(training), sum(now)
    if not counted or not seen or min(training_rows, now_rows) < 2 * FEWEST_EXPECTED:
        return None
    expected = [
        [one * training_rows / counted, other * now_rows / seen] for one, other in zip(training, now, strict=True)
    ]
    cells = _joined(expected, min(training_rows, now_rows) / (training_rows + now_rows))
    if len(cells) < 2:
        return 1.0
    ratio = math.sqrt(now_rows / training_rows)
    statistic = sum((one * ratio - other / ratio) ** 2 / (one + other) for one, other in cells)
    return chi_square_tail(statistic, len(cells) - 1)


def _joined(cells: list[list[float]], smaller: float) -> list[list[float]]:
    """Neighbours joined from the first bin on, what is left over with the last; missing values stay apart."""
    joined: list[list[float]] = []
    open_cell = [0.0, 0.0]
    *bins, missing = cells
    for cell in bins:
        open_cell = [open_cell[0] + cell[0], open_cell[1] + cell[1]]
        if sum(open_cell) * smaller >= FEWEST_EXPECTED:
            joined.append(open_cell)
            open_cell = [0.0, 0.0]
    if sum(missing) * smaller >= FEWEST_EXPECTED:
        joined.append(missing)
        missing = [0.0, 0.0]
    rest = [open_cell[0] + missing[0], open_cell[1] + missing[1]]
    if sum(rest) > 0.0:
        last = joined.pop() if joined else [0.0, 0.0]
        joined.append([last[0] + rest[0], last[1] + rest[1]])
    return joined


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(X >= ``statistic``) of a chi-square variable: the regularised upper incomplete gamma function Q(k/2, x/2).

    DLMF 8.11.4 (series) below the mean, 8.9.2 (continued fraction, by Lentz's method) above.
    """
    shape, at = degrees / 2.0, statistic / 2.0
    if at <= 0.0:
        return 1.0
    factor = math.exp(shape * math.log(at) - at - math.lgamma(shape))
    if at < shape + 1.0:
        return max(1.0 - factor * _series(shape, at), 0.0)
    return min(factor * _continued_fraction(shape, at), 1.0)


def _series(shape: float, at: float) -> float:
    term = total = 1.0 / shape
    for step in range(1, _STEPS):
        term *= at / (shape + step)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _continued_fraction(shape: float, at: float) -> float:
    tiny = 1e-300
    below = at + 1.0 - shape
    upper, lower = 1.0 / tiny, 1.0 / below
    fraction = lower
    for step in range(1, _STEPS):
        numerator = -step * (step - shape)
        below += 2.0
        lower = 1.0 / (numerator * lower + below or tiny)
        upper = below + numerator / upper or tiny
        fraction *= lower * upper
        if abs(lower * upper - 1.0) < _PRECISION:
            break
    return fraction


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for how many there are; None stays None and does not count.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    places = [place for place, p_value in enumerate(p_values) if p_value is not None]
    places.sort(key=lambda place: p_values[place] or 0.0)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(places):
        largest = max(largest, min((len(places) - rank) * (p_values[place] or 0.0), 1.0))
        adjusted[place] = largest
    return adjusted
