"""Detectors as their users get them: thresholds, data quality and limits as fitting leaves them, rows made to events.

Nothing is set on trips beside those of the fit. A model that has no events of its own gets them by the same rule.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
from benchmarks.engines.base import UnavailableError
from benchmarks.quality.detectors import Peer, RawSignals, Trips, fleet, peers

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.event_tracker import events_of
from ev_qa_runtime.events import Event, EventRule
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts
from ev_qa_runtime.severity import FloatArray, IntArray

RULE = EventRule()
"""As models over time have it."""
FEW_TRIPS = 10


@dataclass(frozen=True, slots=True)
class JudgedTrip:
    """``severity`` int64 [N], codes of ``ev_qa_runtime.severity``; events with row numbers of this trip."""

    severity: IntArray
    events: tuple[Event, ...]


class Shipped(Protocol):
    """A detector that needs no more than healthy trips."""

    name: str
    setup: str

    def fit(self, trips: Trips) -> None:
        """Learn from healthy trips; ``UnavailableError`` where it cannot run here, or not on these."""
        ...

    def judge(self, trips: Trips) -> list[JudgedTrip]:
        """Each a recording of its own."""
        ...


class ShippedRaw:
    """The guide's recipe with the guide's thresholds."""

    name = "raw recipe"
    setup = "`EVBatteryAnalyzer()`, its thresholds; it knows rows alone, the rule makes events of them"

    def __init__(self, trees: int) -> None:
        self._analyzer = EVBatteryAnalyzer(n_estimators=trees)

    def fit(self, trips: Trips) -> None:
        try:
            self._analyzer.fit(pd.concat(list(trips), ignore_index=True))
        except (ConfigurationError, TelemetryError) as error:
            raise UnavailableError(str(error)) from None

    def judge(self, trips: Trips) -> list[JudgedTrip]:
        severity = self._analyzer.verdicts(pd.concat(list(trips), ignore_index=True)).severity
        return [with_events(trip, part) for trip, part in zip(trips, np.split(severity, ends(trips)[:-1]), strict=True)]


class ShippedPhysics:
    """The physics recipe; ``few`` trips of those that it is given, evenly picked, where that is not None.

    It calibrates itself across the trips where they suffice (``docs/calibration.md``).
    """

    def __init__(self, trees: int, few: int | None = None) -> None:
        self._trees, self._few = trees, few
        self.name = "physics recipe" if few is None else f"physics recipe, {few} trips"
        self.setup = (
            '`EVBatteryAnalyzer(features="physics", current_sign="discharge_positive")`: thresholds, data quality,'
            " limits and events as `fit` leaves them"
        ) + ("" if few is None else f"; fitted on {few} trips")
        self._fitted_on: Trips | None = None
        self._rows: dict[int, tuple[pd.DataFrame, FloatArray]] = {}

    def fit(self, trips: Trips) -> None:
        if self._fitted_on is trips:
            return
        analyzer = EVBatteryAnalyzer(n_estimators=self._trees, features="physics", current_sign="discharge_positive")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what the thresholds are worth is what is measured
                self._analyzer = analyzer.fit(fleet(self._chosen(trips)))
        except (ConfigurationError, TelemetryError) as error:
            raise UnavailableError(str(error)) from None
        self._fitted_on, self._rows = trips, {}

    def _chosen(self, trips: Trips) -> Trips:
        if self._few is None:
            return trips
        if len(trips) <= self._few:
            raise UnavailableError(f"there are {len(trips)} trips to fit on")
        return [trips[number * len(trips) // self._few] for number in range(self._few)]

    def judge(self, trips: Trips) -> list[JudgedTrip]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="current looks")  # right, where that is the fault
            verdicts = self._analyzer.verdicts(fleet(trips))
        assert isinstance(verdicts, MonitoredVerdicts)  # noqa: S101 - a model over time gives no others
        self._keep(trips, verdicts.telemetry)
        events: list[list[Event]] = [[] for _ in trips]
        starts = np.concatenate([[0], ends(trips)])
        for event in verdicts.events:
            number = int(np.searchsorted(starts, event.start_row, side="right")) - 1
            own = {name: getattr(event, name) - int(starts[number]) for name in ("start_row", "end_row", "peak_row")}
            events[number].append(replace(event, **own))
        parts = np.split(verdicts.severity, ends(trips)[:-1])
        return [JudgedTrip(part, tuple(found)) for part, found in zip(parts, events, strict=True)]

    def rows(self, trip: pd.DataFrame) -> FloatArray:
        """The features of a trip, float64 [N, F], NaN where it cannot be judged; each trip is read once."""
        if id(trip) not in self._rows:
            self._keep([trip], self._analyzer.read(fleet([trip])))
        return self._rows[id(trip)][1]

    def _keep(self, trips: Trips, telemetry: Telemetry) -> None:
        values = np.where(telemetry.valid[:, None], telemetry.values, np.nan)
        for trip, part in zip(trips, np.split(values, ends(trips)[:-1]), strict=True):
            self._rows[id(trip)] = (trip, part)  # with the trip, so that its id stays its own


class FeaturesOf:
    """The recipe's features, for peers to look at."""

    name, columns = "physics", "the physics features"

    def __init__(self, recipe: ShippedPhysics) -> None:
        self.fit, self.rows = recipe.fit, recipe.rows


class ShippedPeer:
    """A peer with the threshold that its library sets: what it calls an outlier is WARNING, it knows no CRITICAL."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.name, self.setup = peer.name, f"{peer.setup}; {peer.default}, by the same event rule"

    def fit(self, trips: Trips) -> None:
        self._peer.fit(trips)

    def judge(self, trips: Trips) -> list[JudgedTrip]:
        return [with_events(trip, self._peer.outliers(trip).astype(np.int64)) for trip in trips]


def with_events(trip: pd.DataFrame, severity: IntArray) -> JudgedTrip:
    """The events that the rule makes of a trip's rows."""
    unscored = np.full(len(severity), np.nan)
    return JudgedTrip(severity, events_of(trip["time_s"].to_numpy(), severity, unscored, lambda _: (), RULE))


def ends(trips: Trips) -> IntArray:
    """Where each trip ends among the rows of all, int64 [T]."""
    return np.cumsum([len(trip) for trip in trips], dtype=np.int64)


def shipped(trees: int) -> Sequence[Shipped]:
    """All that are compared; peers on physics features take them from the recipe, which is fitted once."""
    physics = ShippedPhysics(trees)
    ours: list[Shipped] = [ShippedRaw(trees), physics, ShippedPhysics(trees, FEW_TRIPS)]
    return [*ours, *(ShippedPeer(peer) for rows in (RawSignals(), FeaturesOf(physics)) for peer in peers(rows, trees))]
