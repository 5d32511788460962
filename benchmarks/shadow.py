"""What does a shadow add to the champion's answer?

The same readings are judged by a plain ``Detector`` and by a ``ShadowDetector`` whose challenger is another copy of the
model, in turns of windows; every single call is timed. Once back to back, as fast as the loop goes, and once with a
pause before every reading, as a gateway sees them. The difference of medians and of 99th percentiles is what the
shadow adds.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.tables import number, table
from benchmarks.timing import progress
from benchmarks.workload import arguments, prepare

from ev_qa_runtime import ShadowDetector, ShadowStatistics, load_model

WINDOW = 200
PAUSE_SECONDS = 0.002
Score = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Seconds a call by pattern of traffic, and what the shadow counted meanwhile."""

    name: str
    plain: list[float]
    shadowed: list[float]
    counted: ShadowStatistics


def measure(stem: Path, readings: list[dict[str, float]], windows: int, pause: float, name: str) -> Pattern:
    """Time calls of both in turns."""
    champion = load_model(stem)
    plain: list[float] = []
    shadowed: list[float] = []
    with ShadowDetector(champion, load_model(stem)) as shadow:
        window(champion.score, readings, pause=0.0)
        window(shadow.score, readings, pause=0.0)
        shadow.wait(10.0)
        for turn in range(windows):
            progress(f"{name}: window {turn + 1} of {windows}")
            pairs: list[tuple[Score, list[float]]] = [(champion.score, plain), (shadow.score, shadowed)]
            for score, calls in pairs if turn % 2 == 0 else reversed(pairs):
                first = turn * WINDOW % len(readings)
                calls.extend(window(score, readings[first : first + WINDOW], pause))
                shadow.wait(10.0)  # what the challenger has left to do must not fall into the other's window
        progress("")
        return Pattern(name, plain, shadowed, shadow.statistics)


def window(score: Score, readings: list[dict[str, float]], pause: float) -> list[float]:
    """Seconds of each call, garbage collection off."""
    seconds = []
    gc.collect()
    gc.disable()
    try:
        for reading in readings:
            if pause:
                time.sleep(pause)
            started = time.perf_counter()
            score(**reading)
            seconds.append(time.perf_counter() - started)
    finally:
        gc.enable()
    return seconds


def report(patterns: list[Pattern]) -> str:
    """Medians and 99th percentiles, and what the shadow did."""
    rows = []
    for pattern in patterns:
        for shown, over in (("median", statistics.median), ("p99", lambda calls: float(np.quantile(calls, 0.99)))):
            without, beside = 1e6 * over(pattern.plain), 1e6 * over(pattern.shadowed)
            rows.append((pattern.name, shown, number(without), number(beside), f"{beside - without:+.1f}"))
    times = table(("traffic", "µs a reading", "Detector", "ShadowDetector", "added"), rows)
    counted = [
        (
            pattern.name,
            f"{len(pattern.shadowed):,}",
            f"{pattern.counted.compared:,}",
            f"{pattern.counted.skipped:,}",
            f"{pattern.counted.over_budget:,}",
        )
        for pattern in patterns
    ]
    return f"{times}\n\n{table(('traffic', 'calls timed', 'compared', 'skipped', 'over budget'), counted)}"


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), options.telemetry, options.quick)
        names = load_model(workload.stem).contract.feature_names
        readings = [dict(zip(names, row[0].tolist(), strict=True)) for row in workload.single_rows]
        windows = 4 if options.quick else 60
        patterns = [
            measure(workload.stem, readings, windows, 0.0, "back to back"),
            measure(workload.stem, readings, windows, PAUSE_SECONDS, f"every {1e3 * PAUSE_SECONDS:g} ms"),
        ]
    print(report(patterns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
