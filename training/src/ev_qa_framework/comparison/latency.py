"""How fast both models are here: one reading, and a batch, in turns so that a busy machine slows both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ev_qa_framework.comparison.result import Latency, Speed
from ev_qa_framework.comparison.subject import Subject
from ev_qa_runtime.severity import FloatArray

ONE_ROW_TURNS = 400
BATCH_TURNS = 15
MINIMUM_TURNS = 5
BUDGET_SECONDS = 0.6
"""For each of the two measurements; slow models take part in fewer turns, :data:`MINIMUM_TURNS` at least."""
BATCH_ROWS = 10_000
DIFFERENT_ROWS = 64
"""Rows that single readings cycle through, so that no branch of the trees is learned by heart."""


@dataclass(slots=True)
class _Turns:
    """Seconds by turn of both."""

    a: list[float] = field(default_factory=list)
    b: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """Median of B's time by A's in the same turn."""
        return statistics.median(b / a for a, b in zip(self.a, self.b, strict=True))


def measure_latency(a: Subject, b: Subject, values_a: FloatArray, values_b: FloatArray) -> Latency:
    """Time both on the same rows, each with its own columns: float64 [N, F_A] and [N, F_B] of valid rows."""
    picked = np.linspace(0, len(values_a) - 1, min(DIFFERENT_ROWS, len(values_a))).astype(int)
    one_a, one_b = a.one_row_scorer(values_a[picked]), b.one_row_scorer(values_b[picked])
    one = _in_turns(lambda turn: one_a(turn % len(picked)), lambda turn: one_b(turn % len(picked)), ONE_ROW_TURNS)
    batch_a = np.ascontiguousarray(values_a[:BATCH_ROWS])
    batch_b = np.ascontiguousarray(values_b[:BATCH_ROWS])
    batch = _in_turns(lambda _: a.verdicts(batch_a), lambda _: b.verdicts(batch_b), BATCH_TURNS)
    return Latency(
        a=_speed(a.one_row_call, one.a, batch.a, len(batch_a)),
        b=_speed(b.one_row_call, one.b, batch.b, len(batch_b)),
        batch_rows=len(batch_a),
        one_row_ratio=one.ratio(),
        batch_ratio=batch.ratio(),
    )


def _in_turns(a: Callable[[int], object], b: Callable[[int], object], turns: int) -> _Turns:
    """Both once a turn, after a warm-up, the one that goes first changing; garbage collection waits."""
    a(0), b(0)
    found = _Turns()
    collecting = gc.isenabled()
    gc.disable()
    try:
        ends = time.perf_counter() + BUDGET_SECONDS
        for turn in range(turns):
            if turn >= MINIMUM_TURNS and time.perf_counter() > ends:
                break
            pairs = [(a, found.a), (b, found.b)]
            for work, seconds in pairs if turn % 2 == 0 else reversed(pairs):
                started = time.perf_counter()
                work(turn)
                seconds.append(time.perf_counter() - started)
    finally:
        if collecting:
            gc.enable()
    return found


def _speed(call: str, one: list[float], batch: list[float], batch_rows: int) -> Speed:
    return Speed(
        call=call,
        one_row_median_us=1e6 * statistics.median(one),
        one_row_p95_us=1e6 * float(np.quantile(one, 0.95)),
        batch_median_ms=1e3 * statistics.median(batch),
        batch_p95_ms=1e3 * float(np.quantile(batch, 0.95)),
        rows_per_second=batch_rows / statistics.median(batch),
    )
