"""What does one reading cost a model over time, features, limits and events included?

A stream of a physics model and ``Detector.score`` of a raw model with as many trees judge the same healthy drive, one
reading after the other, in turns of drives; garbage collection is off while they are timed. Beside them a batch of the
same rows. Medians over the drives; a drive of the stream begins anew, so that every turn does the same work.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from benchmarks.tables import number, table
from benchmarks.timing import progress
from benchmarks.workload import arguments

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime import Detector, load_model

BOUND_MICROSECONDS = 60.0
ROOT = Path(__file__).parents[1]
DRIVES = sorted((ROOT / "demo" / "telemetry").glob("healthy_*.csv"))
SIGNALS = ["time_s", "voltage", "current", "temp", "soc"]


def models(folder: Path, trees: int) -> tuple[Detector, Detector]:
    """A raw model and one over time, fitted on the healthy demo trips, saved and loaded by the runtime."""
    trips = pd.concat([pd.read_csv(path).assign(trip=at) for at, path in enumerate(DRIVES)], ignore_index=True)
    EVBatteryAnalyzer(n_estimators=trees).fit(trips).save_model(folder / "raw_v1.0.0")
    physics = EVBatteryAnalyzer(n_estimators=trees, features="physics", current_sign="discharge_positive")
    physics.fit(trips).save_model(folder / "physics_v1.0.0")
    return load_model(folder / "raw_v1.0.0"), load_model(folder / "physics_v1.0.0")


def microseconds_a_reading(work: Callable[[], object], rows: int) -> float:
    """Wall-clock time of ``work`` by row, garbage collection off."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        work()
        return 1e6 * (time.perf_counter() - started) / rows
    finally:
        gc.enable()


def one_by_one(score: Callable[..., object], readings: list[dict[str, float]]) -> None:
    """Judge every reading of a drive."""
    for reading in readings:
        score(**reading)


def main() -> int:
    """Measure and print; exits with 1 where a reading costs more than the bound."""
    options = arguments(__doc__).parse_args()
    turns = 3 if options.quick else 21
    found: dict[str, list[float]] = {name: [] for name in ("raw, alone", "over time, stream", "over time, batch")}
    with tempfile.TemporaryDirectory() as folder:
        raw, physics = models(Path(folder), trees=50 if options.quick else 200)
        drive = pd.read_csv(DRIVES[-1])
        readings: list[Any] = drive[SIGNALS].to_dict("records")
        for turn in range(turns):
            progress(f"drive {turn + 1} of {turns}")
            stream = physics.stream(f"drive {turn}")
            work: list[tuple[str, Callable[[], object]]] = [
                ("raw, alone", lambda: one_by_one(raw.score, readings)),
                ("over time, stream", lambda stream=stream: one_by_one(stream.score, readings)),  # type: ignore[misc]
                ("over time, batch", lambda: physics.verdicts(drive)),
            ]
            for name, judge in work if turn % 2 == 0 else reversed(work):
                found[name].append(microseconds_a_reading(judge, len(drive)))
        progress("")
    medians = {name: statistics.median(costs) for name, costs in found.items()}
    rows = [
        (name, number(cost), number(cost / medians["raw, alone"]), number(min(found[name])))
        for name, cost in medians.items()
    ]
    print(table(("model", "µs a reading, median", "of a raw reading", "lowest"), rows))
    cost = medians["over time, stream"]
    print(f"one reading over time: {cost:.1f} µs, bound {BOUND_MICROSECONDS:.0f} µs")
    return 0 if cost <= BOUND_MICROSECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
