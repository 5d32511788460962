"""Every detector on every fault, split by trip: fitted on some trips, calibrated on others, tested on the rest.

Positives are the rows after the onset of a faulted held-out trip (of an intermittent fault: those it is present in),
negatives all rows of the healthy held-out trips of the same fold; scores of different folds are never compared, for
they come from different models. The second figure compares with the rows before the onset in the same trip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from benchmarks.engines.base import UnavailableError
from benchmarks.faults import FAULT_KINDS, ONSET, FaultKind, inject
from benchmarks.pack_estimate import PackEstimate
from benchmarks.quality.alarms import Healthy, delay, healthy_alarms
from benchmarks.quality.areas import PairedTrips, wins
from benchmarks.quality.detectors import Detector, Trips
from benchmarks.quality.trips import Telemetry, folds
from benchmarks.timing import progress

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.severity import FloatArray

Makers = Callable[[], Sequence[Detector]]


@dataclass(slots=True)
class Found:
    """Of one detector; ``within`` and ``delays`` float64 [K, T], ``simulated_*`` by trip and fold.

    ``by_chance``: the delays where there is no fault, from the time on at which the others begin.
    """

    setup: str
    paired: PairedTrips
    within: FloatArray
    delays: FloatArray
    after_onset: PairedTrips
    healthy: list[Healthy] = field(default_factory=list)
    by_chance: list[float] = field(default_factory=list)
    simulated_area: dict[str, list[float]] = field(default_factory=dict)
    simulated_delay: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found by detector, and why others could not run."""

    kinds: Sequence[FaultKind]
    pack: PackEstimate
    found: dict[str, Found]
    skipped: dict[str, str]
    ways: int


def evaluate(
    telemetry: Telemetry, makers: Makers, ways: int, kinds: Sequence[FaultKind] = FAULT_KINDS, seed: int = 0
) -> Evaluation:
    """Run all folds. Raises ``TelemetryError`` for fewer healthy trips than folds, or fewer than three folds."""
    tables = [trip.table for trip in telemetry.healthy]
    if ways < 3 or len(tables) < ways:
        raise TelemetryError(f"{telemetry.source}: {len(tables)} healthy trips do not make {max(ways, 3)} folds")
    pack = PackEstimate.of(tables)
    result = Evaluation(kinds, pack, {}, {}, ways)
    for number, (fitting, calibrating, testing) in enumerate(folds(len(tables), ways), start=1):
        title = f"fold {number} of {ways}"
        ready = fitted(makers(), [tables[k] for k in fitting], [tables[k] for k in calibrating], result, title)
        fold = Fold(result, ready, tables, testing)
        fold.healthy()
        for kind, fault in enumerate(kinds):
            progress(f"{title}: {fault.name}")
            fold.injected(kind, fault, seed)
        for trip in telemetry.faulty:
            progress(f"{title}: {trip.name}")
            fold.simulated(trip.name, trip.table)
    progress("")
    return result


def fitted(
    made: Sequence[Detector], fitting: Trips, calibrating: Trips, into: Evaluation, title: str
) -> list[Detector]:
    """Those that can run, fitted and calibrated; a detector that cannot is skipped for good."""
    ready = []
    for detector in made:
        if detector.name in into.skipped:
            continue
        progress(f"{title}: fitting {detector.name}")
        try:
            detector.fit(fitting)
        except UnavailableError as error:
            into.skipped[detector.name] = str(error)
            continue
        detector.calibrate(calibrating)
        ready.append(detector)
    return ready


class Fold:
    """The held-out trips of a fold under the detectors fitted for it."""

    def __init__(self, result: Evaluation, ready: Sequence[Detector], tables: Trips, testing: Sequence[int]) -> None:
        self._result, self._ready, self._tables, self._testing = result, ready, tables, testing
        self._negatives: dict[str, dict[int, FloatArray]] = {}
        kinds, trips = len(result.kinds), len(tables)
        for detector in ready:
            undefined = np.full((kinds, trips), np.nan)
            paired = PairedTrips(kinds, trips), PairedTrips(kinds, trips)
            empty = Found(detector.setup, paired[0], undefined.copy(), undefined.copy(), paired[1])
            result.found.setdefault(detector.name, empty)
            self._negatives[detector.name] = {}

    def healthy(self) -> None:
        """Score the held-out trips as they are: the negatives, and the false alarms."""
        for trip in self._testing:
            table = self._tables[trip]
            time = table["time_s"].to_numpy()
            later = (time - time[0] >= ONSET * (time[-1] - time[0])).astype(np.float64)
            for detector in self._ready:
                scores = detector.score(table)
                alarms = healthy_alarms(time, scores, detector.threshold)
                found = self._result.found[detector.name]
                found.healthy.append(alarms)
                found.by_chance.append(delay(time, scores, later, detector.threshold))
                self._negatives[detector.name][trip] = np.sort(scores)

    def injected(self, kind: int, fault: FaultKind, seed: int) -> None:
        """Put a fault into every held-out trip and compare."""
        for trip in self._testing:
            table = inject(fault, self._tables[trip], self._result.pack, seed=seed + trip)
            label, time = table["fault"].to_numpy(np.float64), table["time_s"].to_numpy()
            if not label.any():
                continue  # a short trip in which an intermittent fault never showed
            after = np.arange(len(label)) >= np.argmax(label)
            for detector in self._ready:
                scores, found = detector.score(table), self._result.found[detector.name]
                for other, negative in self._negatives[detector.name].items():
                    found.paired.add(kind, trip, other, scores[label > 0], negative)
                    found.after_onset.add(kind, trip, other, scores[after], negative)
                if not after.all():
                    found.within[kind, trip] = area(scores[label > 0], np.sort(scores[~after]))
                found.delays[kind, trip] = delay(time, scores, label, detector.threshold)

    def simulated(self, name: str, table: pd.DataFrame) -> None:
        """A trip that came with a fault, under this fold's detectors."""
        label, time = table["fault"].to_numpy(np.float64), table["time_s"].to_numpy()
        for detector in self._ready:
            scores, found = detector.score(table), self._result.found[detector.name]
            negative = np.sort(np.concatenate(list(self._negatives[detector.name].values())))
            found.simulated_area.setdefault(name, []).append(area(scores[label > 0], negative))
            late = delay(time, scores, label, detector.threshold)
            found.simulated_delay.setdefault(name, []).append(late)


def area(positive: FloatArray, sorted_negative: FloatArray) -> float:
    """ROC-AUC of two groups of scores."""
    return wins(positive, sorted_negative) / (len(positive) * len(sorted_negative))
