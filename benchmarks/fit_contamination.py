"""What does ``contamination`` cost when fitting on a million rows?

scikit-learn scores all training rows to place ``offset_``; ``ev_qa_framework`` lets its own scorer do that. Both fit
the default model on the same rows, in turns; the offsets must be equal to the bit.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from benchmarks.tables import number, table
from benchmarks.timing import progress, timed
from benchmarks.workload import QUICK_TREES, TREES, Workload, arguments, prepare
from sklearn.pipeline import Pipeline

from ev_qa_framework.fitting import fit_pipeline
from ev_qa_framework.pipeline import build_pipeline

ROWS, QUICK_ROWS = 1_000_000, 50_000


@dataclass(frozen=True, slots=True)
class Fit:
    """Seconds of both ways, by turn, and what they placed."""

    rows: int
    sklearn_seconds: list[float]
    our_seconds: list[float]
    sklearn_offset: float
    our_offset: float

    @property
    def gain(self) -> float:
        """How many times faster, the middle of the turns."""
        gains = sorted(theirs / ours for theirs, ours in zip(self.sklearn_seconds, self.our_seconds, strict=True))
        return gains[len(gains) // 2]


def measure(workload: Workload, turns: int) -> Fit:
    """Fit both ways ``turns`` times."""
    values = workload.enlarged(QUICK_ROWS if workload.quick else ROWS)
    rows = pd.DataFrame(values, columns=["voltage", "current", "temp"])
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    offsets: dict[str, float] = {}
    for turn in range(turns):
        for name in ("theirs", "ours"):
            progress(f"fit on {len(rows):,} rows, {name}")
            pipeline = unfitted(workload.quick)

            def work(_: int, pipeline: Pipeline = pipeline, name: str = name) -> int:
                if name == "ours":
                    fit_pipeline(pipeline, rows)
                else:
                    pipeline.fit(rows)
                return 1

            seconds[name].append(timed(work, turn))
            offsets[name] = float(pipeline.steps[-1][1].offset_)
    progress("")
    return Fit(len(rows), seconds["theirs"], seconds["ours"], offsets["theirs"], offsets["ours"])


def unfitted(quick: bool) -> Pipeline:
    """The default Pipeline."""
    trees = QUICK_TREES if quick else TREES
    return build_pipeline(contamination=0.1, n_estimators=trees, max_samples="auto", random_state=42)


def report(result: Fit) -> str:
    """Seconds, gain and offsets."""
    rows = [
        ("scikit-learn's `fit`", number(min(result.sklearn_seconds)), repr(result.sklearn_offset)),
        ("`fit_pipeline`", number(min(result.our_seconds)), repr(result.our_offset)),
    ]
    same = "the same bits" if result.sklearn_offset == result.our_offset else "**not the same**"
    text = f"{result.rows:,} rows, contamination 0.1: {number(result.gain)} × faster; the offsets are {same}."
    return f"{table(('', 'best, s', '`offset_`'), rows)}\n\n{text}"


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(report(measure(prepare(Path(folder), options.telemetry, options.quick), 1 if options.quick else 2)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
