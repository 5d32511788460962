"""The Pipelines that every training cell fits, and the demo telemetry they are fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.analysis import DEFAULT_FEATURES
from ev_qa_framework.telemetry import read_table
from ev_qa_runtime.severity import FloatArray

TELEMETRY = Path(__file__).resolve().parents[2] / "demo" / "telemetry"
Rows = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Case:
    """An unfitted Pipeline and how the rows it is fitted on are made from the demo's."""

    name: str
    pipeline: Pipeline
    rows: Rows


def demo_frame() -> pd.DataFrame:
    """Healthy trips of the demo as one frame, the analyzer's three columns."""
    frames = [read_table(path) for path in sorted(TELEMETRY.glob("healthy_*.csv"))]
    return pd.concat(frames, ignore_index=True)[list(DEFAULT_FEATURES)]


def cases() -> list[Case]:
    """Plain Pipelines, one a trait that versions of scikit-learn might treat differently."""
    clipped = [("clip", MinMaxScaler(clip=True)), ("robust", RobustScaler())]
    standard = [("scaler", StandardScaler())]
    return [
        Case("standard", _pipeline(standard, contamination=0.1), _sample(3000)),
        Case("offset_is_a_score", _pipeline(standard, contamination=0.1), _sample(1001)),
        Case("contamination_auto", _pipeline(standard, contamination="auto"), _sample(3000)),
        Case("minmax_clip_robust", _pipeline(clipped, contamination=0.1), _sample(3000)),
        Case("no_scaler", _pipeline([], contamination=0.05), _sample(3000)),
        Case("max_features", _pipeline(standard, max_features=0.5), _wide),
        Case("bootstrap", _pipeline(standard, bootstrap=True, contamination=0.1), _sample(3000)),
        Case("max_samples_2", _pipeline(standard, max_samples=2, contamination=0.1), _sample(3000)),
        Case("max_samples_int", _pipeline(standard, max_samples=777, contamination=0.1), _sample(3000)),
        Case("max_samples_float", _pipeline([], max_samples=0.3, contamination=0.1), _sample(3000)),
        Case("max_samples_4096", _pipeline(standard, max_samples=4096, contamination=0.01), _sample(6000)),
        Case("constant_data", _pipeline(standard, contamination=0.1), _constant),
        Case("missing_in_training", _pipeline(standard, contamination=0.1), _with_missing),
    ]


def _pipeline(scalers: list[tuple[str, Any]], **parameters: Any) -> Pipeline:
    fresh = [(name, type(scaler)(**scaler.get_params())) for name, scaler in scalers]
    return Pipeline([*fresh, ("forest", IsolationForest(n_estimators=50, random_state=7, **parameters))])


def _sample(count: int) -> Rows:
    return lambda demo: demo[np.linspace(0, len(demo) - 1, count).astype(int)]


def _wide(demo: FloatArray) -> FloatArray:
    rows = _sample(3000)(demo)
    return np.concatenate([rows, rows[::-1] * [1e-3, -1e3, 1e6], rows**2], axis=1)


def _constant(demo: FloatArray) -> FloatArray:
    return np.repeat(demo[:1], 300, axis=0)


def _with_missing(demo: FloatArray) -> FloatArray:
    rows = _sample(3000)(demo).copy()
    rows[::17, 1] = np.nan
    rows[5::23, 2] = np.nan
    return rows
