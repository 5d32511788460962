"""Random fitted pipelines, the rows made to break them, and the engines that score them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.export import folded_forest
from ev_qa_framework.folding import from_ordered_bits, ordered_bits
from ev_qa_framework.forest import score_denominator
from ev_qa_framework.parity import Scored, adversarial_rows, scored_by_sklearn
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.severity import scores_from_path_length


@dataclass(frozen=True)
class GraphResult:
    """What a bare onnxruntime session says, each [N]."""

    label: Any
    scores: Any
    score_samples: Any
    severity: Any
    path_length: Any


def _run_graph(model: Any, rows: Any, threads: int = 1) -> GraphResult:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return GraphResult(*(output[:, 0] for output in session.run(None, {"telemetry": rows})))


def _judged_by_runtime(pipeline: Pipeline, result: GraphResult) -> Scored:
    """The runtime's last step: the power in numpy, on the graph's path lengths."""
    denominator = score_denominator(pipeline.steps[-1][1])
    return Scored(scores_from_path_length(result.path_length, denominator), result.label, result.severity)


@pytest.fixture(scope="session")
def run_graph() -> Callable[..., GraphResult]:
    return _run_graph


@pytest.fixture(scope="session")
def judged_by_runtime() -> Callable[[Pipeline, GraphResult], Scored]:
    return _judged_by_runtime


@pytest.fixture(scope="session")
def scored() -> Callable[[Pipeline, Any], Scored]:
    return lambda pipeline, rows: scored_by_sklearn(pipeline, rows, Thresholds())


@pytest.fixture(scope="session")
def hard_rows() -> Callable[[Pipeline, Any, int], Any]:
    """Adversarial rows, and the same with infinities."""

    def make(pipeline: Pipeline, data: Any, count: int) -> Any:
        rows = adversarial_rows(pipeline, data, count)
        rows[:3] = [[np.inf] * rows.shape[1], [-np.inf] * rows.shape[1], [np.nan] * rows.shape[1]]
        return rows

    return make


@pytest.fixture(scope="session")
def split_rows() -> Callable[..., Any]:
    """Three rows for every split: on its threshold in raw units, one ulp below and one above; other cells from data."""

    def make(pipeline: Pipeline, data: Any) -> Any:
        forest = folded_forest(pipeline)
        splits = np.unique(np.stack([forest.column.astype(np.float64), forest.threshold], axis=1), axis=0)
        column, threshold = np.repeat(splits[:, 0].astype(int), 3), np.repeat(splits[:, 1], 3)
        order = ordered_bits(threshold) + np.tile([-1, 0, 1], len(splits))
        ends = ordered_bits(np.array([-np.inf, np.inf]))
        rows = data[np.random.default_rng(0).integers(0, len(data), len(column))].copy()
        rows[np.arange(len(rows)), column] = from_ordered_bits(np.clip(order, *ends))
        return rows

    return make


SCALERS = {
    "standard": StandardScaler,
    "standard, no mean": lambda: StandardScaler(with_mean=False),
    "standard, no deviation": lambda: StandardScaler(with_std=False),
    "min-max": MinMaxScaler,
    "min-max, clipping": lambda: MinMaxScaler(feature_range=(-3, 7), clip=True),
    "robust": RobustScaler,
    "robust, no centring": lambda: RobustScaler(with_centering=False),
    "max-abs": MaxAbsScaler,
    "passthrough": lambda: "passthrough",
}


@st.composite
def _pipelines(draw: st.DrawFn) -> tuple[Pipeline, Any]:
    """A fitted pipeline and its training data."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_features, n_rows = draw(st.integers(1, 8)), draw(st.integers(12, 300))
    data = rng.normal(size=(n_rows, n_features))
    data *= 10.0 ** rng.integers(-8, 9, n_features) * rng.choice([-1, 1], n_features)
    data += rng.normal(size=n_features) * 10.0 ** rng.integers(-3, 6, n_features)
    if draw(st.booleans()):
        data = np.round(data, draw(st.integers(0, 2)))  # quantised telemetry: many equal readings
    if draw(st.booleans()):
        data[:, draw(st.integers(0, n_features - 1))] = draw(st.sampled_from([0.0, 42.0, -1e9]))
    max_samples = draw(st.sampled_from(["auto", 2, 3, 17, 0.5, 1.0, 4096]))
    forest = IsolationForest(
        n_estimators=draw(st.integers(1, 20)),
        max_samples=max_samples if not isinstance(max_samples, int) else min(max_samples, n_rows),
        max_features=draw(st.sampled_from([1.0, 0.5])) if n_features > 1 else 1.0,
        bootstrap=draw(st.booleans()),
        contamination=draw(st.sampled_from(["auto", 0.01, 0.1, 0.5])),
        random_state=draw(st.integers(0, 1000)),
    )
    names = draw(st.lists(st.sampled_from(sorted(SCALERS)), max_size=3))
    steps = [(f"step{index}", SCALERS[name]()) for index, name in enumerate(names)]
    pipeline = Pipeline([*steps, ("forest", forest)])
    table = pd.DataFrame(data, columns=[f"f{i}" for i in range(n_features)]) if draw(st.booleans()) else data
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scalers warn of constant columns, the forest of few rows
        pipeline.fit(table)
    if draw(st.booleans()):
        _distort(pipeline, rng)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            forest.set_params(contamination="auto")
    return pipeline, data


def _distort(pipeline: Pipeline, rng: Any) -> None:
    """Scales that fitting never gives: negative and tiny ones."""
    for _, step in pipeline.steps[:-1]:
        for name in ("scale_",):
            scale = getattr(step, name, None)
            if scale is not None:
                setattr(step, name, scale * rng.choice([-1.0, 1.0, 1e-30, -1e-12], scale.shape))


@pytest.fixture(scope="session")
def pipelines() -> st.SearchStrategy[tuple[Pipeline, Any]]:
    return _pipelines()


@pytest.fixture(scope="session")
def telemetry_pipeline() -> tuple[Pipeline, Any]:
    """A scaled forest of 50 trees on three columns."""
    rng = np.random.default_rng(3)
    data = np.round(rng.normal(size=(2000, 3)) * [10.0, 60.0, 5.0] + [355.0, 10.0, 24.0], 1)
    return Pipeline([("scaler", StandardScaler()), ("model", IsolationForest(n_estimators=50, random_state=0))]).fit(
        data
    ), data
