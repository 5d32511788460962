"""Millions of adversarial rows: the ``exact`` profile against scikit-learn, bit by bit.

Usage: ``python -m tools.matrix.adversarial_campaign --rows 1000000``. Pipelines are random but seeded: number n of a
run is the same Pipeline with the same rows on every machine. For each, rows on its split thresholds and one ulp to
either side, missing, denormal, huge and infinite, are scored by scikit-learn and by the runtime. Exits with
1 where a path length, a score, a label or a severity differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.backends import pipeline_scores
from ev_qa_framework.export import export_steps, model_rule, to_onnx
from ev_qa_framework.folding import to_float32, transform_rows
from ev_qa_framework.forest import FlatForest, path_length
from ev_qa_framework.parity import adversarial_rows, compare, scored_by_sklearn, scored_from_path_length, ulp_distance
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.session import TreeSession
from ev_qa_runtime.severity import FloatArray

ROWS_A_PIPELINE = 50_000
WIDE_ROWS = 8_000
"""Rows a wide Pipeline, which bounds its time and memory."""

SHAPES = {7: "wide", 13: "many trees"}
"""Which Pipelines of twenty are special."""

MAX_SAMPLES = ["auto", 2, 17, 0.5, 1.0, 4096]
FITS_MISSING = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 6)
PATH_LENGTH_CHECKED = 2_000
"""Rows a Pipeline whose path lengths are also added up from scikit-learn's trees, which is slow."""

ONE_BY_ONE = 200
"""Rows a Pipeline that are also scored one at a time."""
FIGURES = ("path_lengths_differing", "labels_differing", "severities_differing", "batch_dependent")


def random_pipeline(rng: np.random.Generator, shape: str = "usual") -> tuple[Pipeline, FloatArray]:
    """A fitted Pipeline and the rows it was fitted on: any scalers, shapes of data and forest parameters.

    ``shape`` is ``"usual"``, ``"wide"`` (up to 500 features, few trees) or ``"many trees"`` (1,000 small ones).
    """
    rows = _training_rows(rng, int(rng.choice([100, 250, 500] if shape == "wide" else [1, 2, 3, 3, 3, 5, 12, 40])))
    max_samples = rng.choice(np.array([2, 8, 17] if shape == "many trees" else MAX_SAMPLES, dtype=object))
    trees = {"usual": [1, 7, 25, 50], "wide": [1, 5, 10], "many trees": [1000]}[shape]
    forest = IsolationForest(
        n_estimators=int(rng.choice(trees)),
        max_samples=min(max_samples, len(rows)) if isinstance(max_samples, int) else max_samples,
        max_features=float(rng.choice([1.0, 1.0, 0.6])),
        bootstrap=bool(rng.random() < 0.3),
        contamination=rng.choice(np.array(["auto", 0.1, 0.01, 0.5], dtype=object)),
        random_state=int(rng.integers(2**31)),
    )
    pipeline = Pipeline([*_scalers(rng), ("forest", forest)])
    columns = [f"feature {number}" for number in range(rows.shape[1])]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scalers warn of constant columns
        pipeline.fit(pd.DataFrame(rows, columns=columns) if rng.random() < 0.3 else rows)
    if rng.random() < 0.3:
        _set_scales(pipeline, rng)
    return pipeline, rows


def _training_rows(rng: np.random.Generator, n_features: int) -> FloatArray:
    n_rows = int(rng.integers(50, 3000))
    rows = rng.normal(size=(n_rows, n_features)) * 10.0 ** rng.uniform(-6, 6, n_features)
    rows += 10.0 ** rng.uniform(-3, 6, n_features) * rng.choice([-1, 0, 1], n_features)
    decimals = int(rng.integers(0, 4))
    rows = np.round(rows, decimals) if rng.random() < 0.3 else rows
    if rng.random() < 0.2:
        rows[:, int(rng.integers(n_features))] = rng.normal()
    if rng.random() < 0.3 and FITS_MISSING:
        rows[rng.random(rows.shape) < 0.02] = np.nan
    return rows


def _scalers(rng: np.random.Generator) -> list[tuple[str, Any]]:
    kinds = [
        StandardScaler(with_mean=bool(rng.random() < 0.8), with_std=bool(rng.random() < 0.8)),
        MinMaxScaler(feature_range=(-1, float(rng.choice([1, 3]))), clip=bool(rng.random() < 0.5)),
        RobustScaler(with_centering=bool(rng.random() < 0.8)),
        MaxAbsScaler(),
        "passthrough",
    ]
    chosen = rng.permutation(len(kinds))[: int(rng.choice([0, 1, 1, 1, 2, 3]))]
    return [(f"scaler{number}", kinds[number]) for number in chosen]


def _set_scales(pipeline: Pipeline, rng: np.random.Generator) -> None:
    """Scales that fitting never gives: negative, tiny and both."""
    for _, step in pipeline.steps[:-1]:
        scale = getattr(step, "scale_", None)
        if scale is not None:
            step.scale_ = scale * rng.choice([-1.0, 1.0, 1e-30, -1e-12], scale.shape)


def hard_rows(pipeline: Pipeline, data: FloatArray, count: int, seed: int) -> FloatArray:
    """Adversarial rows, one cell in a hundred infinite."""
    rows = adversarial_rows(pipeline, data, count, seed=seed)
    rng = np.random.default_rng(seed)
    return np.where(rng.random(rows.shape) < 0.01, rng.choice([-np.inf, np.inf], rows.shape), rows)


def compared(job: tuple[int, int]) -> dict[str, Any]:
    """Pipeline number ``job[0]`` on ``job[1]`` rows: what differs."""
    number, count = job
    rng = np.random.default_rng(number)
    shape = SHAPES.get(number % 20, "usual")
    pipeline, data = random_pipeline(rng, shape)
    ordinary = pipeline_scores(pipeline, data[:500])
    low, high = np.sort(rng.choice(ordinary, 2)).tolist()  # thresholds that are scores: strictness matters
    thresholds = Thresholds(critical=low, warning=high)
    model = to_onnx(pipeline, thresholds=thresholds).SerializeToString()
    steps = export_steps(pipeline)
    rule = model_rule(FlatForest.of(steps.forest), "exact", thresholds)
    rows = np.concatenate([data[:500], hard_rows(pipeline, data, count, seed=number)])[:count]
    session = TreeSession(model, "of the campaign")
    by_runtime = session.path_length(rows)
    found = compare(scored_by_sklearn(pipeline, rows, thresholds), scored_from_path_length(by_runtime, rule))
    some = rng.integers(0, len(rows), min(PATH_LENGTH_CHECKED, count))
    by_trees = path_length(steps.forest, to_float32(transform_rows(steps.folded, rows[some])))
    alone = [session.path_length_of_one(row) for row in rows[some[:ONE_BY_ONE]].tolist()]
    elsewhere = np.append(session.path_length(rows[some]), alone)
    return {
        "number": number,
        "rows": found.rows,
        "trees": len(steps.forest.estimators_),
        "max_ulp": found.max_ulp,
        "path_lengths_differing": int(np.count_nonzero(ulp_distance(by_runtime[some], by_trees))),
        "labels_differing": found.labels_differing,
        "severities_differing": found.severities_differing,
        "batch_dependent": int(
            np.count_nonzero(np.append(by_runtime[some], by_runtime[some[:ONE_BY_ONE]]) != elsewhere)
        ),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _work(rows: int, first: int) -> list[tuple[int, int]]:
    """Numbers of Pipelines and how many rows each is given."""
    work = []
    number = first
    while rows:
        given = min(rows, WIDE_ROWS if SHAPES.get(number % 20) == "wide" else ROWS_A_PIPELINE)
        work.append((number, given))
        rows, number = rows - given, number + 1
    return work


def run(rows: int, jobs: int, first: int) -> dict[str, Any]:
    """The whole campaign, with a progress bar; figures added up."""
    work = _work(rows, first)
    started, found = time.monotonic(), []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        multiprocessing.get_context("spawn").Pool(jobs) as pool,
    ):
        task = progress.add_task(f"{rows:,} adversarial rows, {len(work)} pipelines", total=len(work))
        for one in pool.imap_unordered(compared, work):
            found.append(one)
            progress.advance(task)
    failed = sorted(one["number"] for one in found if one["max_ulp"] or any(one[name] for name in FIGURES))
    return {
        "rows": sum(one["rows"] for one in found),
        "pipelines": len(found),
        "trees": sum(one["trees"] for one in found),
        "max_ulp": max(one["max_ulp"] for one in found),
        **{name: sum(one[name] for one in found) for name in FIGURES},
        "failed_pipelines": failed,
        "seconds": round(time.monotonic() - started, 1),
        "megabytes_a_process": max(one["megabytes"] for one in found),
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Score adversarial rows with the exact profile and scikit-learn.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in all (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first pipeline, to repeat one that failed")
    options = parser.parse_args()
    if options.rows < 1 or options.jobs < 1 or options.first < 0:
        parser.error("--rows and --jobs must be at least 1, --first at least 0")
    figures = run(options.rows, options.jobs, options.first)
    print(json.dumps(figures))
    agree = not figures["failed_pipelines"]
    print(f"campaign: {figures['rows']:,} rows, {'all agree to the last bit' if agree else 'NOT ALL AGREE'}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
