"""The severities that our two recipes give as they are used: on held-out healthy trips, and on the real car.

Both as ``fit`` leaves them: the physics recipe calibrates on trips that it keeps apart, the raw recipe has the
thresholds of the guide.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from benchmarks.quality.detectors import fleet
from benchmarks.quality.trips import Telemetry, folds, read_signals
from benchmarks.timing import progress

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.severity import IntArray

CAR = Path(__file__).resolve().parents[3] / "shared" / "data" / "ev_fault_car" / "car4.csv"
TRAINING_ROWS = 12_000
ORDINARY_UNTIL, EVENT_ROW, EVENT_WITHIN = 14_890, 14_900, 5
MOST_WARNING, MOST_CRITICAL = 0.01, 0.001

Result = TypeVar("Result")
Judge = Callable[[pd.DataFrame, pd.DataFrame], IntArray]
"""Severities, int64 [N], of the second table after fitting on the first."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Of rows: WARNING or worse, CRITICAL, INVALID; and how many rows there were."""

    warning: float
    critical: float
    invalid: float
    rows: int

    @classmethod
    def of(cls, severity: IntArray) -> Shares:
        """Count the codes of ``ev_qa_runtime.severity``."""
        warning, critical, invalid = (float(each.mean()) for each in (severity >= 1, severity == 2, severity == -1))
        return cls(warning, critical, invalid, len(severity))

    @property
    def bounded(self) -> bool:
        """At most 1 % WARNING or worse, at most 0.1 % CRITICAL."""
        return self.warning <= MOST_WARNING and self.critical <= MOST_CRITICAL


@dataclass(frozen=True, slots=True)
class CarResult:
    """Shares on the ordinary rows after training, and the first CRITICAL row from the last of them on."""

    ordinary: Shares
    first_critical: int | None

    @property
    def found(self) -> bool:
        """CRITICAL within five rows of the event's first row."""
        return self.first_critical is not None and abs(self.first_critical - EVENT_ROW) <= EVENT_WITHIN


def raw(training: pd.DataFrame, judged: pd.DataFrame) -> IntArray:
    """The guide's recipe."""
    return EVBatteryAnalyzer().fit(training).verdicts(judged).severity


def physics(training: pd.DataFrame, judged: pd.DataFrame) -> IntArray:
    """The physics recipe with its own calibration, or none where the trips are too few."""
    analyzer = EVBatteryAnalyzer(features="physics", current_sign="discharge_positive")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the thresholds are not calibrated")
        analyzer.fit(training)
    return analyzer.verdicts(judged).severity


JUDGES: dict[str, Judge] = {"raw recipe": raw, "physics recipe": physics}


def held_out(telemetry: Telemetry, ways: int) -> dict[str, Shares | str]:
    """Shares on the healthy trips, each judged by the model that never saw it; or why there are none."""
    tables = [trip.table for trip in telemetry.healthy]

    def shares(judge: Judge) -> Shares:
        parts = []
        for fitting, calibrating, testing in folds(len(tables), ways):
            training, judged = ([tables[trip] for trip in group] for group in (fitting + calibrating, testing))
            parts.append(judge(fleet(training), fleet(judged)))
        return Shares.of(np.concatenate(parts))

    return judged_by_all(shares, "held-out severities")


def on_the_car(file: Path) -> dict[str, CarResult | str]:
    """Trained on data rows 0–12,000, judged on all; empty where the telemetry is not there."""
    if not file.exists():
        return {}
    car = fleet([read_signals(file)])

    def result(judge: Judge) -> CarResult:
        severity = judge(car.iloc[:TRAINING_ROWS], car)
        critical = np.flatnonzero(severity[ORDINARY_UNTIL:] == 2)
        ordinary = Shares.of(severity[TRAINING_ROWS:ORDINARY_UNTIL])
        return CarResult(ordinary, ORDINARY_UNTIL + int(critical[0]) if len(critical) else None)

    return judged_by_all(result, "the real car")


def judged_by_all(measure: Callable[[Judge], Result], title: str) -> dict[str, Result | str]:
    """A result for each recipe, or why it has none."""
    results: dict[str, Result | str] = {}
    for name, judge in JUDGES.items():
        progress(f"{title}: {name}")
        try:
            results[name] = measure(judge)
        except (ConfigurationError, TelemetryError) as error:
            results[name] = f"skipped: {error}"
    progress("")
    return results
