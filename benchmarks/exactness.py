"""How far is each engine from scikit-learn's ``score_samples``, and how many labels differ?

On the telemetry, and on rows with one reading exactly on a split's threshold or one unit in the last place beside it.
A label is the sign of score − ``offset_``. Engines that grow their own trees cannot agree; theirs is another forest.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.engines import Engines, prepared
from benchmarks.engines.sklearn_joblib import without_names
from benchmarks.tables import table
from benchmarks.timing import progress
from benchmarks.workload import Workload, arguments, prepare

ROWS_AT_SPLITS = 20_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """An engine against scikit-learn, on telemetry and on rows at splits."""

    name: str
    same_forest: bool
    difference: tuple[float, float]
    labels: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Exactness:
    """All agreements, and how many rows there were of either kind."""

    agreements: Sequence[Agreement]
    rows: tuple[int, int]


def measure(engines: Engines, workload: Workload) -> Exactness:
    """Score both sets with every engine that computes scores."""
    pipeline = without_names(workload.pipeline)
    offset = float(pipeline.steps[-1][1].offset_)
    sets = (workload.rows, workload.rows_at_splits(2_000 if workload.quick else ROWS_AT_SPLITS))
    expected = [pipeline.score_samples(rows) for rows in sets]
    agreements = []
    for name, engine in engines.ready.items():
        if name.startswith("Identity"):
            continue
        progress(f"exactness of {name}")
        scores = [engine.score_samples(rows) for rows in sets]
        differences = [float(np.abs(got - want).max()) for got, want in zip(scores, expected, strict=True)]
        labels = [
            int(np.count_nonzero((got < offset) != (want < offset))) for got, want in zip(scores, expected, strict=True)
        ]
        pair = (differences[0], differences[1]), (labels[0], labels[1])
        agreements.append(Agreement(name, engine.same_forest, *pair))
    progress("")
    return Exactness(agreements, (len(sets[0]), len(sets[1])))


def report(result: Exactness) -> str:
    """One row an engine."""
    rows = []
    for each in result.agreements:
        cells = [f"{value:.1e}" if value else "0" for value in each.difference]
        labels = [f"{count:,}" for count in each.labels]
        name = each.name if each.same_forest else f"{each.name} (another forest)"
        rows.append((name, cells[0], labels[0], cells[1], labels[1]))
    telemetry, at_splits = (f"{count:,} rows" for count in result.rows)
    head = ("", f"telemetry, {telemetry}: largest difference", "labels differ")
    return table((*head, f"at splits, {at_splits}: largest difference", "labels differ"), rows)


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), options.telemetry, options.quick)
        print(report(measure(prepared(workload), workload)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
