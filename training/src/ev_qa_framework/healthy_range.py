"""The healthy range of features, from trips that the recipe was not fitted on.

That the range of n trips holds for the next one is a matter of ranks: a trip drawn like them goes beyond it in a given
feature and direction with a probability of 1 / (n + 1) (Wilks, "Determination of sample sizes for setting tolerance
limits", Annals of Mathematical Statistics 12, 1941). The factors of ``HealthyRange`` lie beyond that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_qa_framework.held_out import Forced
from ev_qa_runtime.healthy_range import HealthyRange
from ev_qa_runtime.physics.recipe import PhysicsRecipe
from ev_qa_runtime.range_guard import RangeGuard
from ev_qa_runtime.severity import FloatArray, IntArray, Severity

FEWEST_TRIPS = 8
"""Fewer trips say too little of what the next one does."""


SEEN_BY = 2
"""So many trips make a temperature or a state of charge one where healthy trips have been: one trip's excursion is
little evidence of what others do there."""


@dataclass(frozen=True, slots=True)
class TripExtremes:
    """Of each trip with a row to judge: lowest and highest features float64 [T, F], and of temp and soc float64 [T].

    ``trip`` int64 [T]: its number.
    """

    trip: IntArray
    lowest: FloatArray
    highest: FloatArray
    temp: tuple[FloatArray, FloatArray]
    soc: tuple[FloatArray, FloatArray]

    @classmethod
    def of(cls, values: FloatArray, trips: IntArray, signals: FloatArray, recipe: PhysicsRecipe) -> TripExtremes:
        """From features float64 [N, F], NaN where there are none, and signals float64 [N, S] in the recipe's order."""
        plain = values[:, : len(recipe.middle)]
        known = np.isfinite(plain).all(axis=1)
        trip = np.unique(trips[known])
        rows = [known & (trips == one) for one in trip]

        def ends(column: FloatArray) -> tuple[FloatArray, FloatArray]:
            lowest = np.array([column[each].min(axis=0) for each in rows])
            return lowest, np.array([column[each].max(axis=0) for each in rows])

        lowest, highest = ends(plain)
        temp, soc = (ends(signals[:, recipe.signals.index(name)]) for name in ("temp", "soc"))
        return cls(trip, lowest, highest, temp, soc)

    def without(self, trip: int) -> TripExtremes:
        """Of the other trips."""
        others = self.trip != trip
        pairs = ((low[others], high[others]) for low, high in (self.temp, self.soc))
        return TripExtremes(self.trip[others], self.lowest[others], self.highest[others], *pairs)

    def range(self, fewest: int) -> HealthyRange | None:
        """Around all of them; None where there are fewer than ``fewest``."""
        if len(self.trip) < max(fewest, SEEN_BY):
            return None
        temp, soc = _seen(self.temp), _seen(self.soc)
        if temp is None or soc is None:
            return None
        lowest, highest = self.lowest.min(axis=0), self.highest.max(axis=0)
        return HealthyRange(tuple(lowest.tolist()), tuple(highest.tolist()), temp, soc, len(self.trip))


def fit_healthy_range(trips: TripExtremes, known: HealthyRange | None) -> HealthyRange | None:
    """The range of these trips, and of those that are ``known``; as it was for too few."""
    if known is None:
        return trips.range(FEWEST_TRIPS)
    found = trips.range(SEEN_BY)
    return known if found is None else known.widened(found)


def forced_by_range(
    trips: TripExtremes,
    values: FloatArray,
    trip_of_row: IntArray,
    signals: FloatArray,
    recipe: PhysicsRecipe,
    known: HealthyRange | None,
) -> Forced:
    """Rows of each trip beyond the range of all other trips and of those that are ``known``."""
    warning, critical = np.zeros(len(values), dtype=np.bool_), np.zeros(len(values), dtype=np.bool_)
    for trip in trips.trip.tolist():
        healthy = trips.without(trip).range(FEWEST_TRIPS - 1 if known is None else SEEN_BY)
        healthy = healthy if known is None else known if healthy is None else known.widened(healthy)
        if healthy is None:
            continue
        guard = RangeGuard(healthy, recipe)
        for row in np.flatnonzero((trip_of_row == trip) & np.isfinite(values).all(axis=1)).tolist():
            found = guard.check(signals[row].tolist(), values[row].tolist())
            warning[row] = bool(found)
            critical[row] = any(excess.severity is Severity.CRITICAL for excess in found)
    return Forced(warning, critical)


def _seen(ends: tuple[FloatArray, FloatArray]) -> tuple[float, float] | None:
    """From the lowest to the highest that ``SEEN_BY`` trips reached; None where they have nothing in common."""
    low, high = float(np.sort(ends[0])[SEEN_BY - 1]), float(np.sort(ends[1])[-SEEN_BY])
    return (low, high) if low <= high else None
