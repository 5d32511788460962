"""How many rows a second, in time order and shuffled, with one thread and with all cores?

All rows of the telemetry at once (of engines that take seconds for that, one stretch a round), from raw float64 to
scores. In time order similar rows follow each other and the processor predicts their branches; shuffled they do not.
All cores: each engine's own threads, on a batch that is made longer by copies with a little sensor noise; every engine
beside itself with one thread, in the same rounds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engines import Engine, Engines, prepared
from benchmarks.engines.c_floor import NAME as C_FLOOR
from benchmarks.engines.ours import NAME as OURS
from benchmarks.tables import number, table
from benchmarks.timing import WALL, Clock, Timings, Work, interleaved
from benchmarks.workload import Workload, arguments, clock_of, prepare

from ev_qa_runtime.severity import FloatArray

THREADED_ROWS, QUICK_THREADED_ROWS = 300_000, 70_000
CORES = os.cpu_count() or 1
BUDGET_SECONDS = 6.0
CALL_SECONDS, PROBE_ROWS = 1.0, 4_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Seconds a row for every way to score a batch."""

    rows: int
    threaded_rows: int
    in_order: Timings
    shuffled: Timings
    threaded: Timings
    skipped: Mapping[str, str]

    def fastest_peer(self, times: Timings, peers: list[str]) -> str:
        """Whose median is the lowest."""
        return min((name for name in peers if name in times), key=times.median)


def measure(engines: Engines, workload: Workload, rounds: int, clock: Clock = WALL) -> Batch:
    """Three interleaved runs."""
    scorers = {name: engine for name, engine in engines.ready.items() if not engine.floor or name == C_FLOOR}
    shuffled = workload.shuffled
    long = workload.enlarged(QUICK_THREADED_ROWS if workload.quick else THREADED_ROWS)
    threaded: dict[str, Work] = {}
    for name, engine in scorers.items():
        if engine.threads and CORES > 1:
            threaded[name] = scoring(engine, long, 1)
            threaded[many(name)] = scoring(engine, long, CORES)
    return Batch(
        rows=len(workload.rows),
        threaded_rows=len(long),
        in_order=interleaved(
            {name: scoring(engine, workload.rows, 1) for name, engine in scorers.items()},
            rounds,
            BUDGET_SECONDS,
            "batch in time order",
            clock,
        ),
        shuffled=interleaved(
            {name: scoring(engine, shuffled, 1) for name, engine in scorers.items()},
            rounds,
            BUDGET_SECONDS,
            "shuffled batch",
            clock,
        ),
        threaded=interleaved(threaded, max(rounds // 2, 3), BUDGET_SECONDS, "batch on all cores"),
        skipped=engines.skipped,
    )


def many(name: str) -> str:
    """The key of an engine's timings on all cores."""
    return f"{name} on {CORES} threads"


def scoring(engine: Engine, rows: FloatArray, threads: int) -> Work:
    """A work that scores all rows, or, of a slow engine, the next stretch of them that takes :data:`CALL_SECONDS`."""
    probe = rows[:PROBE_ROWS]
    engine.score_samples(probe, threads)
    started = time.perf_counter()
    engine.score_samples(probe, threads)
    affordable = int(CALL_SECONDS / (time.perf_counter() - started) * len(probe))
    count = len(rows) if affordable > len(rows) // 2 else max(affordable, PROBE_ROWS)
    stretches = [rows[first : first + count] for first in range(0, len(rows) - count + 1, count)]

    def work(number: int) -> int:
        engine.score_samples(stretches[number % len(stretches)], threads)
        return count

    return work


def report(result: Batch) -> str:
    """Throughputs and ratios."""
    order, shuffled = result.in_order, result.shuffled
    rows = [
        (
            name,
            number(1e-3 / order.median(name)),
            f"{number(order.ratio(name, OURS))} ×",
            number(1e-3 / shuffled.median(name)),
            f"{number(shuffled.ratio(name, OURS))} ×",
        )
        for name in sorted(order.seconds, key=order.median)
    ]
    rows += [(name, "skipped", reason, "", "") for name, reason in result.skipped.items()]
    head = ("one thread", "in time order, 1,000 rows/s", "of our time", "shuffled, 1,000 rows/s", "of our time")
    parts = [f"{result.rows:,} rows.", table(head, rows)]
    times = result.threaded
    names = [name for name in times.seconds if many(name) in times]
    if names:
        gains = [
            (
                name,
                number(1e-3 / times.median(name)),
                number(1e-3 / times.median(many(name))),
                f"{number(times.ratio(name, many(name)))} ×",
            )
            for name in sorted(names, key=lambda name: times.median(many(name)))
        ]
        gain_head = ("in time order", "one thread, 1,000 rows/s", f"{CORES} threads, 1,000 rows/s", "gain")
        parts += [f"{result.threaded_rows:,} rows.", table(gain_head, gains)]
    return "\n\n".join(parts)


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), options.telemetry, options.quick)
        print(report(measure(prepared(workload), workload, 3 if options.quick else 15, clock_of(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
