"""Interleaved timing: every engine once a round, so that whatever else the machine does hits all of them.

A figure is the median over the rounds; a ratio is taken within each round and its median is what counts. Garbage
collection is off while the clock runs. Slow engines take part in fewer rounds, spread over the whole run.

The clock is the wall's. ``--cpu-time`` makes one-thread comparisons count the processor time of this process instead,
for a look on a machine that is busy with other things; tables say so.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[int], int]
"""Given the number of the round, do the work and return how many units (rows, files) were done."""

Clock = Callable[[], float]

MINIMUM_ROUNDS = 3
WALL: Clock = time.perf_counter
CPU: Clock = time.process_time


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds a unit by name and round; None in a round that the engine sat out."""

    seconds: Mapping[str, Sequence[float | None]]

    def __contains__(self, name: str) -> bool:
        return name in self.seconds

    def median(self, name: str) -> float:
        """Median seconds a unit."""
        return statistics.median(each for each in self.seconds[name] if each is not None)

    def ratio(self, over: str, under: str) -> float:
        """Median over the shared rounds of the time of ``over`` divided by that of ``under``."""
        pairs = zip(self.seconds[over], self.seconds[under], strict=True)
        return statistics.median(top / bottom for top, bottom in pairs if top is not None and bottom is not None)

    def rounds(self, name: str) -> int:
        """In how many rounds it took part."""
        return sum(each is not None for each in self.seconds[name])


def timed(work: Work, number: int, clock: Clock = WALL) -> float:
    """Seconds a unit of one call, garbage collection off."""
    gc.collect()
    gc.disable()
    try:
        started = clock()
        units = work(number)
        return (clock() - started) / units
    finally:
        gc.enable()


def interleaved(
    works: Mapping[str, Work], rounds: int, budget_seconds: float, title: str, clock: Clock = WALL
) -> Timings:
    """Time every work in up to ``rounds`` rounds, after one warm-up each; none for much longer than the budget."""
    strides = {}
    for name, work in works.items():
        started = time.perf_counter()
        work(0)
        affordable = int(budget_seconds / max(time.perf_counter() - started, 1e-9))
        strides[name] = max(rounds // max(min(affordable, rounds), min(MINIMUM_ROUNDS, rounds)), 1)
    seconds: dict[str, list[float | None]] = {name: [] for name in works}
    for number in range(rounds):
        progress(f"{title}: round {number + 1} of {rounds}")
        for name, work in works.items():
            seconds[name].append(timed(work, number, clock) if number % strides[name] == 0 else None)
    progress("")
    return Timings(seconds)


def progress(text: str) -> None:
    """One line that overwrites itself on a terminal; silent elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
