"""Shares of rows by severity as our recipes give them when used as fitting leaves them; and on the real car."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.engines.base import UnavailableError
from benchmarks.quality.shipped import Shipped
from benchmarks.quality.trips import read_signals
from benchmarks.timing import progress

from ev_qa_runtime.severity import IntArray

CAR = Path(__file__).resolve().parents[3] / "shared" / "data" / "ev_fault_car" / "car4.csv"
TRAINING_ROWS = 12_000
ORDINARY_UNTIL, EVENT_ROW, EVENT_WITHIN = 14_890, 14_900, 5
MOST_WARNING, MOST_CRITICAL = 0.01, 0.001


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


def on_the_car(file: Path, recipes: Sequence[Shipped]) -> dict[str, CarResult | str]:
    """Trained on data rows 0–12,000, judged on all; or why not. Empty where the telemetry is not there."""
    if not file.exists():
        return {}
    car = read_signals(file)
    results: dict[str, CarResult | str] = {}
    for recipe in recipes:
        progress(f"the real car: {recipe.name}")
        try:
            recipe.fit([car.iloc[:TRAINING_ROWS]])
        except UnavailableError as error:
            results[recipe.name] = f"skipped: {error}"
            continue
        severity = recipe.judge([car])[0].severity
        critical = np.flatnonzero(severity[ORDINARY_UNTIL:] == 2)
        ordinary = Shares.of(severity[TRAINING_ROWS:ORDINARY_UNTIL])
        results[recipe.name] = CarResult(ordinary, ORDINARY_UNTIL + int(critical[0]) if len(critical) else None)
    progress("")
    return results
