"""What is compared: recipes of ours and peers, each with ``fit``, ``score`` and ``calibrate`` on whole trips.

A trip is a table as ``benchmarks.faults`` has it. A score is lower for what is more anomalous.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.engines.base import UnavailableError, needed

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.severity import INVALID_CODE, FloatArray
from ev_qa_runtime.verdict import Verdicts

RAW_SIGNALS = ("voltage", "current", "temp", "soc")
ALARM_RATE = 0.001
"""Share of healthy rows below the threshold, on the trips it is calibrated on."""
UNJUDGED = -2.0
"""The score of a row that a detector cannot judge: under every score of a forest, for it is never normal."""
SEED = 42

Trips = Sequence[pd.DataFrame]


class Detector(Protocol):
    """One way to find faults. ``setup`` says what it is; ``threshold`` is set by ``calibrate``, an alarm lies below."""

    name: str
    setup: str
    threshold: float

    def fit(self, trips: Trips) -> None:
        """Learn from healthy trips; ``UnavailableError`` where it cannot run here."""
        ...

    def score(self, trip: pd.DataFrame) -> FloatArray:
        """float64 [N], of the rows of one trip."""
        ...

    def calibrate(self, trips: Trips) -> None:
        """Set the threshold on healthy trips that it was not fitted on."""
        ...


class Rows(Protocol):
    """What a peer sees of a trip."""

    name: str
    columns: str

    def fit(self, trips: Trips) -> None:
        """Learn what is to be learned."""
        ...

    def rows(self, trip: pd.DataFrame) -> FloatArray:
        """float64 [N, F], NaN in what cannot be computed."""
        ...


class Calibrated(ABC):
    """The threshold: the highest with at most :data:`ALARM_RATE` of the calibration rows strictly below it."""

    threshold = -np.inf

    @abstractmethod
    def score(self, trip: pd.DataFrame) -> FloatArray: ...

    def calibrate(self, trips: Trips) -> None:
        scores = np.sort(np.concatenate([self.score(trip) for trip in trips]))
        self.threshold = float(scores[int(ALARM_RATE * (len(scores) + 1))])


class RawRecipe(Calibrated):
    """The guide's recipe: ``EVBatteryAnalyzer()`` on voltage, current and temperature."""

    name = "raw recipe"
    setup = "`EVBatteryAnalyzer()`: StandardScaler and IsolationForest on voltage, current, temp"

    def __init__(self, trees: int) -> None:
        self._analyzer = EVBatteryAnalyzer(n_estimators=trees)

    def fit(self, trips: Trips) -> None:
        self._analyzer.fit(pd.concat(list(trips), ignore_index=True))

    def score(self, trip: pd.DataFrame) -> FloatArray:
        verdicts = self._analyzer.verdicts(trip)
        return np.where(verdicts.telemetry.valid, verdicts.score_samples, UNJUDGED)


class RawSignals:
    """The readings themselves: what the physics recipe starts from."""

    name, columns = "raw", "voltage, current, temp and soc"

    def fit(self, trips: Trips) -> None:
        """Nothing to learn."""

    def rows(self, trip: pd.DataFrame) -> FloatArray:
        return np.ascontiguousarray(trip[list(RAW_SIGNALS)].to_numpy(np.float64))


class PhysicsFeatures:
    """The physics recipe, fitted once for all who look at its features; keeps the verdicts on the last trip."""

    name, columns = "physics", "the physics features"

    def __init__(self, trees: int) -> None:
        self._trees = trees
        self._fitted_on: Trips | None = None
        self._last: tuple[pd.DataFrame, Verdicts] | None = None

    def fit(self, trips: Trips) -> None:
        if self._fitted_on is trips:
            return
        # Thresholds that no score undercuts: what severity is left is of data quality and limits, not of the forest.
        analyzer = EVBatteryAnalyzer(
            n_estimators=self._trees,
            critical_threshold=-1.0,
            warning_threshold=-1.0,
            features="physics",
            current_sign="discharge_positive",
            calibration_folds=0,
        )
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="the thresholds are not calibrated")
                self._analyzer = analyzer.fit(fleet(trips))
        except (ConfigurationError, TelemetryError) as error:  # too few rows for it, say
            raise UnavailableError(str(error)) from None
        self._fitted_on, self._last = trips, None

    def verdicts(self, trip: pd.DataFrame) -> Verdicts:
        """Of one trip."""
        if self._last is None or self._last[0] is not trip:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="current looks")  # right, where that is the fault
                self._last = (trip, self._analyzer.verdicts(fleet([trip])))
        return self._last[1]

    def rows(self, trip: pd.DataFrame) -> FloatArray:
        telemetry = self.verdicts(trip).telemetry
        return np.where(telemetry.valid[:, None], telemetry.values, np.nan)


class PhysicsForest(Calibrated):
    """The physics recipe's forest alone, without data quality and limits."""

    name = "physics forest alone"
    setup = "its forest alone: no findings of data quality, no limits; rows without features are anomalous"

    def __init__(self, features: PhysicsFeatures) -> None:
        self._features = features

    def fit(self, trips: Trips) -> None:
        self._features.fit(trips)

    def score(self, trip: pd.DataFrame) -> FloatArray:
        verdicts = self._features.verdicts(trip)
        judged = verdicts.telemetry.valid & np.isfinite(verdicts.score_samples)
        return np.where(judged, verdicts.score_samples, UNJUDGED)


class PhysicsRecipe(PhysicsForest):
    """The whole: a row that data quality or limits force to WARNING or CRITICAL ranks below all others."""

    name = "physics recipe"
    setup = (
        '`EVBatteryAnalyzer(features="physics", current_sign="discharge_positive")` as a whole: the forest on physics'
        " features; rows that data quality or limits force to a severity rank below all others"
    )

    def score(self, trip: pd.DataFrame) -> FloatArray:
        severity = self._features.verdicts(trip).severity
        ranked = np.where(severity > 0, UNJUDGED - severity, super().score(trip))
        return np.where(severity == INVALID_CODE, UNJUDGED, ranked)


class Peer(Calibrated):
    """A model of somebody else on rows of a kind; rows with a missing value are left out of fitting, and anomalous."""

    def __init__(
        self, name: str, setup: str, rows: Rows, make: Callable[[], tuple[Any, Scorer]], default: DefaultThreshold
    ) -> None:
        self.name, self.setup = f"{name}, {rows.name}", f"{setup}; on {rows.columns}"
        self.default, self._default = default
        self._rows, self._make = rows, make

    def fit(self, trips: Trips) -> None:
        self._rows.fit(trips)
        rows = np.concatenate([self._rows.rows(trip) for trip in trips])
        rows = rows[np.isfinite(rows).all(axis=1)]
        self._model, self._anomaly = self._make()
        self._model.fit(rows)

    def score(self, trip: pd.DataFrame) -> FloatArray:
        rows = self._rows.rows(trip)
        complete = np.isfinite(rows).all(axis=1)
        scores = np.full(len(rows), -np.inf)
        if complete.any():
            scores[complete] = -np.asarray(self._anomaly(self._model, rows[complete]), np.float64)
        return scores

    def outliers(self, trip: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Bool [N]: the rows that the library calls outliers when nothing is set, and those with a missing value."""
        outliers: npt.NDArray[np.bool_] = -self.score(trip) > self._default(self._model)
        return outliers


Scorer = Callable[[Any, FloatArray], npt.ArrayLike]
"""Anomaly of rows under a fitted model, higher is more anomalous."""

DefaultThreshold = tuple[str, Callable[[Any], float]]
"""The anomaly above which a library calls a row an outlier when nothing is set, of a fitted model; and its name."""

BY_CONTAMINATION: DefaultThreshold = ("`contamination` 0.1, its default", lambda model: float(model.threshold_))
BY_HALF: DefaultThreshold = ("scores above 0.5, for it has no labels", lambda _: 0.5)
BY_THREE_SIGMA: DefaultThreshold = ("more than three standard deviations", lambda _: 3.0)


class SigmaLimits:
    """How many standard deviations the worst signal lies off its mean."""

    def fit(self, rows: FloatArray) -> None:
        self._mean, self._deviation = rows.mean(axis=0), rows.std(axis=0)
        self._deviation[self._deviation == 0.0] = 1.0

    def decision_function(self, rows: FloatArray) -> FloatArray:
        worst: FloatArray = np.abs((rows - self._mean) / self._deviation).max(axis=1)
        return worst


def decision(model: Any, rows: FloatArray) -> npt.ArrayLike:
    scores: npt.ArrayLike = model.decision_function(rows)
    return scores


def predicted(model: Any, rows: FloatArray) -> npt.ArrayLike:
    scores: npt.ArrayLike = model.predict(rows)
    return scores


def peers(rows: Rows, trees: int) -> list[Peer]:
    """PyOD's forest and ECOD, isotree, and limits of so many standard deviations."""

    def iforest() -> tuple[Any, Scorer]:
        return needed("pyod.models.iforest").IForest(n_estimators=trees, random_state=SEED), decision

    def ecod() -> tuple[Any, Scorer]:
        return needed("pyod.models.ecod").ECOD(), decision

    def isotree() -> tuple[Any, Scorer]:
        settings = {"prob_pick_pooled_gain": 0.0, "prob_pick_avg_gain": 0.0, "missing_action": "fail", "nthreads": 1}
        forest = needed("isotree").IsolationForest
        return forest(ntrees=trees, sample_size=256, ndim=1, max_depth=8, random_seed=SEED, **settings), predicted

    return [
        Peer(
            "3-sigma",
            "limits at so many standard deviations off the mean, the worst column counts",
            rows,
            sigma,
            BY_THREE_SIGMA,
        ),
        Peer("PyOD IForest", "`pyod.models.iforest.IForest`, as many trees", rows, iforest, BY_CONTAMINATION),
        Peer("PyOD ECOD", "`pyod.models.ecod.ECOD`, which ranks a trip's rows together", rows, ecod, BY_CONTAMINATION),
        Peer(
            "isotree",
            "`isotree.IsolationForest`, as many trees of 256 rows, `ndim=1`, random splits",
            rows,
            isotree,
            BY_HALF,
        ),
    ]


def sigma() -> tuple[Any, Scorer]:
    return SigmaLimits(), decision


def detectors(trees: int) -> list[Detector]:
    """All that are compared; those on physics features share one extraction."""
    physics = PhysicsFeatures(trees)
    ours: list[Detector] = [RawRecipe(trees), PhysicsRecipe(physics), PhysicsForest(physics)]
    return [*ours, *peers(RawSignals(), trees), *peers(physics, trees)]


def fleet(trips: Trips) -> pd.DataFrame:
    """Trips as one table for the recipe: each a vehicle of its own, so that none continues another."""
    named = [trip.rename(columns={"time_s": "time"}).assign(vehicle_id=f"trip {k}") for k, trip in enumerate(trips)]
    return pd.concat(named, ignore_index=True).drop(columns=["fault", "trip"], errors="ignore")
