"""What all engines score: one trained model, saved once, and telemetry in time order and shuffled."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from benchmarks.timing import CPU, WALL, Clock
from sklearn.pipeline import Pipeline

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.export import folded_forest
from ev_qa_framework.forest import FlatForest
from ev_qa_framework.telemetry import read_table
from ev_qa_runtime.severity import FloatArray

TELEMETRY = Path(__file__).resolve().parents[1] / "demo" / "telemetry"
TREES, QUICK_TREES = 200, 20
ONE_ROW_CYCLE = 2_000
SENSOR_NOISE = 0.05
"""Standard deviation that copies of the telemetry differ by: half of its resolution of 0.1."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A fitted Pipeline, its saved artifact, and raw rows float64 [N, F] in time order.

    ``training_rows`` is what the Pipeline was fitted on; peers that cannot import it are fitted on the same.
    """

    source: str
    stem: Path
    pipeline: Pipeline
    forest: FlatForest
    training_rows: FloatArray
    rows: FloatArray
    quick: bool

    @property
    def shuffled(self) -> FloatArray:
        """The rows in random order, always the same one."""
        return self.rows[np.random.default_rng(7).permutation(len(self.rows))]

    @property
    def single_rows(self) -> list[FloatArray]:
        """Rows [1, F], evenly spaced over the telemetry, so that consecutive calls see different readings."""
        picked = np.linspace(0, len(self.rows) - 1, min(ONE_ROW_CYCLE, len(self.rows))).astype(int)
        return [self.rows[index : index + 1].copy() for index in picked]

    def enlarged(self, count: int) -> FloatArray:
        """``count`` rows in time order: the telemetry over and over, each copy with its own small sensor noise."""
        noise = np.random.default_rng(11)
        copies = [self.rows]
        while sum(map(len, copies)) < count:
            copies.append(self.rows + noise.normal(0.0, SENSOR_NOISE, self.rows.shape))
        return np.ascontiguousarray(np.concatenate(copies)[:count])

    def rows_at_splits(self, count: int) -> FloatArray:
        """Telemetry with one reading of each row put on a split's threshold or one unit in the last place beside."""
        random = np.random.default_rng(13)
        rows = self.rows[random.integers(len(self.rows), size=count)].copy()
        nodes = random.integers(len(self.forest.threshold), size=count)
        step = random.integers(-1, 2, size=count)
        on_split = self.forest.threshold[nodes]
        beside = np.where(step == 0, on_split, np.nextafter(on_split, np.where(step < 0, -np.inf, np.inf)))
        rows[np.arange(count), self.forest.column[nodes]] = beside
        return rows


def prepare(folder: Path, telemetry: Path | None, quick: bool) -> Workload:
    """Train with the default parameters, save the artifact into ``folder`` and read its Pipeline back.

    The demo's healthy drives train, all its files are scored; another CSV serves for both.
    """
    if telemetry is None:
        files = sorted(TELEMETRY.glob("*.csv"))
        scored = pd.concat([read_table(file) for file in files], ignore_index=True)
        training = pd.concat([read_table(file) for file in files if "healthy" in file.name], ignore_index=True)
    else:
        scored = training = read_table(telemetry).rename(columns={"temperature": "temp"})
    analyzer = EVBatteryAnalyzer(n_estimators=QUICK_TREES if quick else TREES).fit(training)
    stem = folder / "benchmark_model"
    analyzer.save_model(stem)
    pipeline = joblib.load(f"{stem}.joblib")["pipeline"]
    names = list(analyzer.features)
    rows = np.ascontiguousarray(scored[names].dropna().to_numpy(dtype=np.float64))
    if quick:
        rows = rows[:8_000].copy()
    return Workload(
        source="the demo's telemetry" if telemetry is None else telemetry.name,
        stem=stem,
        pipeline=pipeline,
        forest=folded_forest(pipeline),
        training_rows=training[names].dropna().to_numpy(dtype=np.float64),
        rows=rows,
        quick=quick,
    )


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every script here understands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--telemetry", type=Path, metavar="CSV", help="instead of the demo's (columns as in the demo)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 20 trees, few rows and rounds")
    parser.add_argument("--cpu-time", action="store_true", help="one thread: processor time instead of the wall's")
    return parser


def clock_of(options: argparse.Namespace) -> Clock:
    """The clock for comparisons on one thread."""
    return CPU if options.cpu_time else WALL
