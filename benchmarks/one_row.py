"""How long does one reading take?

Each engine scores rows one at a time, another row each call, cycling through telemetry that spans all drives; the
full ``Detector.score`` with validation and severity is timed beside ``score_samples``. One thread. The floor is what
a call of onnxruntime costs that computes nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engines import Engines, prepared
from benchmarks.engines.identity_floor import NAME as FLOOR
from benchmarks.engines.ours import NAME as OURS
from benchmarks.engines.ours import Ours
from benchmarks.tables import number, table
from benchmarks.timing import WALL, Clock, Timings, Work, interleaved
from benchmarks.workload import Workload, arguments, clock_of, prepare

FULL = f"{OURS}, full `Detector.score`"
WINDOW_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class OneRow:
    """Seconds a row, with why some engines are missing."""

    timings: Timings
    skipped: Mapping[str, str]


def measure(engines: Engines, workload: Workload, rounds: int, clock: Clock = WALL) -> OneRow:
    """Time every engine and the full verdict in interleaved rounds."""
    rows = workload.single_rows
    works: dict[str, Work] = {}
    for name, engine in engines.ready.items():
        if name != "branch-free C floor":  # a floor for batches: its call through ctypes says nothing here
            works[name] = cycling(engine.score_samples, rows)
    ours = engines.ready[OURS]
    assert isinstance(ours, Ours)  # noqa: S101 - by its name
    score = ours.detector.score
    readings = [dict(zip(ours.detector.contract.feature_names, row[0].tolist(), strict=True)) for row in rows]

    def verdict(reading: dict[str, float]) -> object:
        return score(**reading)

    works[FULL] = cycling(verdict, readings)
    return OneRow(interleaved(works, rounds, 15.0, "one row", clock), engines.skipped)


def cycling(score: Callable[[Any], object], rows: list[Any]) -> Work:
    """A work that scores the next window of rows, sized to take about :data:`WINDOW_SECONDS`."""
    started = time.perf_counter()
    for row in rows[:5]:
        score(row)
    per_row = (time.perf_counter() - started) / 5
    count = max(min(int(WINDOW_SECONDS / per_row), len(rows)), 4)

    def work(number: int) -> int:
        first = number * count
        window = [rows[index % len(rows)] for index in range(first, first + count)]
        for row in window:
            score(row)
        return count

    return work


def report(result: OneRow) -> str:
    """Microseconds a row and ratios to ours and to the floor."""
    times = result.timings
    rows = [
        (
            name,
            number(1e6 * times.median(name)),
            f"{number(times.ratio(name, OURS))} ×",
            f"{number(times.ratio(name, FLOOR))} ×",
            str(times.rounds(name)),
        )
        for name in sorted(times.seconds, key=times.median)
    ]
    rows += [(name, "skipped", reason, "", "") for name, reason in result.skipped.items()]
    return table(("one row", "µs", "of our time", "of the Identity floor", "rounds"), rows)


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), options.telemetry, options.quick)
        print(report(measure(prepared(workload), workload, 5 if options.quick else 60, clock_of(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
