"""The ONNX model against the scikit-learn Pipeline it came from: the same bits, on every kind of row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.export import folded_forest, to_onnx
from ev_qa_framework.parity import adversarial_rows, scored_by_sklearn, ulp_distance
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.severity import scores_from_path_length

CAR = Path(__file__).parents[3] / "shared" / "data" / "ev_fault_car" / "car4.csv"
FEATURES = ["voltage", "current", "temp"]
RawOutputs = Callable[[bytes, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def same(raw_outputs: RawOutputs) -> Callable[[Path, np.ndarray], None]:
    """Asserts that a saved model's engines agree on raw rows [N, F]."""

    def assert_same(path: Path, rows: np.ndarray) -> None:
        analyzer = EVBatteryAnalyzer.load_model(path, backend="sklearn")
        detector = ev_qa_runtime.load_model(path)
        expected = scored_by_sklearn(analyzer.pipeline, rows, detector.contract.thresholds)
        valid = (np.abs(rows) <= np.finfo(np.float32).max).all(axis=1)

        verdicts = detector.verdicts(rows)
        np.testing.assert_array_equal(detector.score_samples(rows), expected.score_samples, strict=True)
        np.testing.assert_array_equal(verdicts.score_samples, expected.score_samples, strict=True)
        np.testing.assert_array_equal(verdicts.label, np.where(valid, expected.label, -1), strict=True)
        np.testing.assert_array_equal(verdicts.severity, np.where(valid, expected.severity, -1), strict=True)

        graph = raw_outputs(path.with_name(f"{path.name}.onnx").read_bytes(), rows)
        np.testing.assert_array_equal(graph["path_length"], detector.path_length(rows), strict=True)
        np.testing.assert_array_equal(graph["label"], expected.label, strict=True)
        np.testing.assert_array_equal(graph["severity"], expected.severity, strict=True)
        assert ulp_distance(graph["score_samples"], expected.score_samples).max(initial=0) <= 1
        np.testing.assert_array_equal(graph["scores"], graph["score_samples"] - analyzer.model.offset_, strict=True)

    return assert_same


def test_on_every_demo_recording(demo_model: Path, demo_files: list[Path], same: Any) -> None:
    rows = np.concatenate([pd.read_csv(file)[FEATURES].to_numpy(float) for file in demo_files])
    assert len(rows) > 50_000

    same(demo_model, rows)

    labels = ev_qa_runtime.load_model(demo_model).verdicts(rows)
    assert set(labels.label.tolist()) == {-1, 1}  # the comparison is not of constants
    assert set(labels.severity.tolist()) == {0, 1, 2}


def test_on_the_real_car(same: Any, tmp_path: Path) -> None:
    if not CAR.exists():
        pytest.skip("the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv")
    frame = pd.read_csv(CAR)
    EVBatteryAnalyzer().fit(frame.iloc[:12_000]).save_model(tmp_path / "car")

    same(tmp_path / "car", frame[["voltage", "current", "temperature"]].to_numpy(float))


def test_on_random_rows(demo_model: Path, same: Any) -> None:
    rng = np.random.default_rng(7)
    near = rng.normal([355.0, 0.0, 20.0], [30.0, 120.0, 25.0], (20_000, 3))
    everywhere = rng.standard_normal((5_000, 3)) * 10.0 ** rng.integers(-40, 45, (5_000, 3))
    bits = rng.integers(0, 2**64, (5_000, 3), dtype=np.uint64).view(np.float64)

    same(demo_model, np.concatenate([near, everywhere, bits]))


@pytest.fixture(scope="module")
def hard_rows(demo_model: Path, demo_files: list[Path]) -> np.ndarray:
    """100,000 rows around split thresholds, with NaN, ±inf, denormal and huge cells."""
    pipeline = EVBatteryAnalyzer.load_model(demo_model, backend="sklearn").pipeline
    around = pd.read_csv(demo_files[0])[FEATURES].to_numpy(float)
    rows = adversarial_rows(pipeline, around, 100_000, seed=3)
    rows[::97, 0], rows[1::89, 1], rows[2::83, 2] = np.inf, -np.inf, np.inf
    rows[:8] = [[a, b, c] for a in (np.nan, np.inf) for b in (np.nan, -np.inf) for c in (np.nan, np.inf)]
    assert np.isnan(rows).any(axis=1).sum() > 5_000
    return rows


def test_on_adversarial_rows(demo_model: Path, hard_rows: np.ndarray, same: Any) -> None:
    same(demo_model, hard_rows)


def test_adversarial_rows_lie_on_the_splits_and_beside_them(demo_model: Path, hard_rows: np.ndarray) -> None:
    forest = folded_forest(EVBatteryAnalyzer.load_model(demo_model, backend="sklearn").pipeline)
    for column in range(3):
        splits = forest.threshold[forest.column == column]
        for place in (splits, np.nextafter(splits, -np.inf), np.nextafter(splits, np.inf)):
            assert np.isin(hard_rows[:, column], place).sum() > 10_000


def test_the_graphs_own_scores_are_exact_where_numpy_takes_the_plain_power(
    demo_model: Path, hard_rows: np.ndarray, tmp_path: Path
) -> None:
    from numpy._core._multiarray_umath import __cpu_dispatch__  # noqa: PLC0415 - numpy's own, of this test alone

    wide = [name for name in __cpu_dispatch__ if name == "X86_V4" or name.startswith("AVX512")]
    np.save(tmp_path / "rows.npy", hard_rows[:30_000])
    command = [sys.executable, "-W", "error", Path(__file__).with_name("disabled_features.py"), demo_model]

    result = subprocess.run(
        [*command, tmp_path / "rows.npy"],
        env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(wide)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stderr == ""
    assert json.loads(result.stdout) == {"score_samples": 0, "scores": 0, "rows": 30_000}


def columns_of(draw: st.DrawFn, rows: int) -> np.ndarray:
    """Small data with all that upsets scalers and trees: duplicated, constant, rounded, tiny and huge columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns: list[np.ndarray] = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["normal", "constant", "copy", "rounded", "two values", "skewed"]))
        scale = 10.0 ** draw(st.integers(-30, 30))
        values = rng.standard_normal(rows)
        if kind == "copy" and columns:
            columns.append(columns[-1].copy())
            continue
        shaped = {
            "constant": np.full(rows, values[0]),
            "rounded": np.round(values, 1),
            "two values": np.where(values > 0, 1.0, -0.0),
            "skewed": np.exp(3 * values),
        }.get(kind, values)
        columns.append(shaped * scale + draw(st.sampled_from([0.0, scale, 355.0 * scale, -1e3 * scale])))
    return np.column_stack(columns)


@st.composite
def datasets(draw: st.DrawFn) -> np.ndarray:
    return columns_of(draw, draw(st.integers(10, 120)))


parameters = st.fixed_dictionaries(
    {
        "n_estimators": st.integers(1, 60),
        "max_samples": st.sampled_from(["auto", 1, 2, 7, 10, 0.1, 0.73, 1.0]),
        "contamination": st.sampled_from(["auto", 0.5, 0.1, 0.01, 1e-6]),
        "random_state": st.integers(0, 1000),
    }
)
few = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(data=datasets(), given_parameters=parameters, thresholds=st.tuples(st.floats(-1, -0.3), st.floats(-1, -0.3)))
def test_on_small_random_models_through_the_saved_files(
    data: np.ndarray,
    given_parameters: dict[str, Any],
    thresholds: tuple[float, float],
    same: Any,
    tmp_path: Path,
) -> None:
    critical, warning = sorted(thresholds)
    names = tuple(f"x{number}" for number in range(data.shape[1]))
    analyzer = EVBatteryAnalyzer(
        **given_parameters, features=names, critical_threshold=critical, warning_threshold=warning
    ).fit(data)
    analyzer.save_model(tmp_path / "model")

    same(tmp_path / "model", np.concatenate([data, adversarial_rows(analyzer.pipeline, data, 500, seed=9)]))


scalers = st.lists(
    st.sampled_from(
        [
            StandardScaler(),
            StandardScaler(with_mean=False),
            StandardScaler(with_std=False),
            MinMaxScaler(),
            MinMaxScaler((-3, 7), clip=True),
            MaxAbsScaler(),
            RobustScaler(),
        ]
    ),
    max_size=3,
)


@few
@given(data=datasets(), steps=scalers, given_parameters=parameters, max_features=st.sampled_from([1.0, 0.5, 1]))
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_on_pipelines_of_any_scalers(
    data: np.ndarray,
    steps: list[Any],
    given_parameters: dict[str, Any],
    max_features: float,
    raw_outputs: RawOutputs,
) -> None:
    forest = IsolationForest(**given_parameters, max_features=max_features)
    pipeline = make_pipeline(*steps, forest).fit(data)
    rows = np.concatenate([data, adversarial_rows(pipeline, data, 500, seed=4)])
    expected = scored_by_sklearn(pipeline, rows, Thresholds())

    graph = raw_outputs(to_onnx(pipeline).SerializeToString(), rows)

    scores = scores_from_path_length(graph["path_length"], folded_forest(pipeline).denominator)
    np.testing.assert_array_equal(scores, expected.score_samples, strict=True)
    np.testing.assert_array_equal(graph["label"], expected.label, strict=True)
    np.testing.assert_array_equal(graph["severity"], expected.severity, strict=True)
    assert ulp_distance(graph["score_samples"], expected.score_samples).max() <= 1


def test_on_models_that_learned_where_missing_readings_go(raw_outputs: RawOutputs) -> None:
    """scikit-learn's trees keep a side for NaN in each split; ours never see NaN in training, others may have."""
    rng = np.random.default_rng(5)
    data = rng.standard_normal((400, 3))
    data[rng.random(data.shape) < 0.2] = np.nan
    pipeline = make_pipeline(StandardScaler(), IsolationForest(n_estimators=40, random_state=0)).fit(data)
    sides = [tree.tree_.__getstate__()["nodes"]["missing_go_to_left"] for tree in pipeline[-1].estimators_]
    assert 0 < np.concatenate(sides).mean() < 1
    rows = np.concatenate([data, adversarial_rows(pipeline, data, 5_000)])
    expected = scored_by_sklearn(pipeline, rows, Thresholds())

    graph = raw_outputs(to_onnx(pipeline).SerializeToString(), rows)

    scores = scores_from_path_length(graph["path_length"], folded_forest(pipeline).denominator)
    np.testing.assert_array_equal(scores, expected.score_samples, strict=True)
    np.testing.assert_array_equal(graph["label"], expected.label, strict=True)


@pytest.mark.parametrize("threads", [1, 4])
def test_on_batches_of_every_size_and_one_row_at_a_time(threads: int, demo_model: Path, hard_rows: np.ndarray) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - of this test alone

    detector = ev_qa_runtime.load_model(demo_model)
    expected = detector.path_length(hard_rows[:4_000])
    sizes = [1, 2, 3, 7, 16, 31, 64, 129, 500]
    starts = np.cumsum([0, *sizes] * 4)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(detector.path_length, np.split(hard_rows[: starts[-1]], starts[1:-1])))

    np.testing.assert_array_equal(np.concatenate(parts), expected[: starts[-1]], strict=True)
