"""Is the forest itself sound? StandardScaler and IsolationForest on labelled outlier sets, scored by our runtime.

The model is exported and loaded again. Beside it stands the AUC that ADBench publishes for isolation forests (Han et
al., NeurIPS 2022, table D4). ADBench averages over splits of 70 and 30 %; here every set is fitted and scored whole,
averaged over seeds of the forest.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.quality.evaluation import area
from benchmarks.timing import progress

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime import load_model

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "adbench"
PUBLISHED = {"2_annthyroid": 82.01, "4_breastw": 98.32, "6_cardio": 93.19, "38_thyroid": 98.30}
"""AUC in percent."""
WITHIN_POINTS = 3.0


@dataclass(frozen=True, slots=True)
class OutlierSet:
    """AUC in percent by seed, and the published one."""

    name: str
    areas: tuple[float, ...]
    published: float

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.areas) / len(self.areas)

    @property
    def sound(self) -> bool:
        """Not more than three points below or above."""
        return abs(self.mean - self.published) <= WITHIN_POINTS


def measure(trees: int, seeds: int, folder: Path) -> list[OutlierSet]:
    """Of the sets that are there."""
    sets = []
    for name, published in PUBLISHED.items():
        file = folder / f"{name}.npz"
        if file.exists():
            with np.load(file, allow_pickle=False) as loaded:
                values, labels = loaded["X"].astype(np.float64), loaded["y"] > 0
            areas = []
            for seed in range(seeds):
                progress(f"{name}: seed {seed + 1} of {seeds}")
                areas.append(100.0 * exported_area(values, labels, trees, seed))
            sets.append(OutlierSet(name.partition("_")[2], tuple(areas), published))
    progress("")
    return sets


def exported_area(values: np.ndarray, labels: np.ndarray, trees: int, seed: int) -> float:
    """Fit, save, load into the runtime, score there: ROC-AUC of float64 [N, F] with bool [N]."""
    features = tuple(f"x{column}" for column in range(values.shape[1]))
    table = pd.DataFrame(values, columns=list(features))
    with tempfile.TemporaryDirectory() as scratch:
        stem = Path(scratch) / "outliers"
        EVBatteryAnalyzer(n_estimators=trees, random_state=seed, features=features).fit(table).save_model(stem)
        scores = load_model(stem).score_samples(table)
    return area(scores[labels], np.sort(scores[~labels]))
