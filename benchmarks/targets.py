"""The figures the project sets itself, beside what a run reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.batch import CORES, Batch, many
from benchmarks.engines.c_floor import NAME as C_FLOOR
from benchmarks.engines.identity_floor import BOUND_NAME
from benchmarks.engines.identity_floor import NAME as FLOOR
from benchmarks.engines.ours import NAME as OURS
from benchmarks.engines.skl2onnx_converter import NAME as SKL2ONNX
from benchmarks.engines.sklearn_joblib import NAME as SKLEARN
from benchmarks.export import Export
from benchmarks.one_row import FULL, OneRow
from benchmarks.tables import number, text_table


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio and its bound: at most, or at least."""

    what: str
    figure: float | None
    bound: float
    at_most: bool = False
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the figure keeps the bound."""
        if self.figure is None:
            return False
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound

    def cells(self) -> tuple[str, str, str, str]:
        """A row of the table."""
        bound = f"{'≤' if self.at_most else '≥'} {self.bound:g} ×"
        if self.figure is None:
            return self.what, bound, "not measured", self.note
        verdict = "reached" if self.reached else "**not reached**"
        return self.what, bound, f"{number(self.figure)} ×", f"{verdict}{f': {self.note}' if self.note else ''}"


def one_row_targets(result: OneRow, peers: Sequence[str]) -> list[Target]:
    """Bounds on a single reading."""
    times = result.timings
    fastest = min((name for name in peers if name in times), key=times.median)
    return [
        Target("one row, of the Identity floor", times.ratio(OURS, FLOOR), 2.2, at_most=True),
        Target("one row, faster than every peer", times.ratio(fastest, OURS), 1.0, note=f"the fastest is {fastest}"),
        Target("one row, faster than scikit-learn", ratio(result, SKLEARN), 700),
        Target("one row, faster than skl2onnx's converter", ratio(result, SKL2ONNX), 300),
        Target(
            "one row, full `Detector.score`, of the Identity floor",
            times.ratio(FULL, FLOOR),
            4,
            at_most=True,
            note=f"{number(times.ratio(FULL, BOUND_NAME))} × of the floor with bound buffers",
        ),
    ]


def ratio(result: OneRow, peer: str) -> float | None:
    """How many times longer a peer takes, if it ran."""
    return result.timings.ratio(peer, OURS) if peer in result.timings else None


def batch_targets(result: Batch, peers: list[str]) -> list[Target]:
    """Bounds on batches."""
    order, shuffled, threaded = result.in_order, result.shuffled, result.threaded
    first, second = result.fastest_peer(order, peers), result.fastest_peer(shuffled, peers)
    c_speed = order.ratio(C_FLOOR, OURS) if C_FLOOR in order else None
    gain = threaded.ratio(OURS, many(OURS)) if many(OURS) in threaded else None
    return [
        Target("batch in time order, faster than every peer", order.ratio(first, OURS), 1.2, note=f"fastest: {first}"),
        Target("batch in time order, speed of the branch-free C floor", c_speed, 0.55),
        Target("shuffled batch, faster than every peer", shuffled.ratio(second, OURS), 1.5, note=f"fastest: {second}"),
        Target(f"batch, {CORES} cores over one", gain, 1.8),
    ]


def export_targets(result: Export) -> list[Target]:
    """Bounds against skl2onnx's converter."""
    if SKL2ONNX not in result.export_seconds:
        names = (("export", 50.0), ("load", 20.0), ("file size", 3.0))
        return [Target(f"{name}, against skl2onnx's converter", None, bound) for name, bound in names]
    seconds, sizes = result.export_seconds, result.file_bytes
    return [
        Target("export, faster than skl2onnx's converter", seconds[SKL2ONNX] / seconds[OURS], 50),
        Target("load, faster than skl2onnx's model", result.loading.ratio(SKL2ONNX, OURS), 20),
        Target("file, smaller than skl2onnx's", sizes[SKL2ONNX] / sizes[OURS], 3),
    ]


def footprint_targets(result: Mapping[str, Any]) -> list[Target]:
    """Bounds on a fresh process, against joblib + scikit-learn."""
    at = result["against"][SCIKIT_LEARN]
    names = (("seconds", "cold start"), ("peak_bytes", "peak memory"))
    return [
        Target(f"{name}, of joblib + scikit-learn", at[key]["ratio"], at[key]["goal"], at_most=True)
        for key, name in names
    ]


SCIKIT_LEARN = "joblib + scikit-learn"


def report(targets: Sequence[Target]) -> str:
    """The table."""
    return text_table(("target", "bound", "figure", ""), [target.cells() for target in targets])
