"""The runtime's explanations beside ``shap.TreeExplainer`` on the fitted forest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.folding import to_float32, transform_rows
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.contract import Profile
from ev_qa_runtime.explanation import Explainer, Explanations

shap = pytest.importorskip("shap", reason="shap is no dependency of ours; the brute-force check of tests/runtime runs")

ATOL = 1e-9  # rounding: sums here and in shap are near 100
NAMES = tuple(f"feature_{number}" for number in range(8))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(size=(1500, len(NAMES))) @ rng.normal(size=(len(NAMES), len(NAMES)))


@pytest.fixture(scope="module", params=[256, 1024])
def analyzer(request: pytest.FixtureRequest, rows: np.ndarray) -> EVBatteryAnalyzer:
    table = pd.DataFrame(rows, columns=list(NAMES))
    return EVBatteryAnalyzer(n_estimators=40, max_samples=request.param, features=NAMES).fit(table)


@pytest.fixture(scope="module")
def asked(rows: np.ndarray) -> np.ndarray:
    """Usual and unusual readings."""
    return rows[:60] * np.where(np.arange(60) % 2, 1.0, 2.5)[:, None]


def explained(analyzer: EVBatteryAnalyzer, rows: np.ndarray, folder: Path, profile: Profile) -> Explanations:
    analyzer.save_model(folder / "model", profile=profile)
    artifact = read_artifact(folder / "model")
    return Explainer(artifact.payloads["onnx"], artifact.contract).explain(rows)


def explained_by_shap(analyzer: EVBatteryAnalyzer, rows: np.ndarray) -> Any:
    """Values and base value in summed path length; shap's are of the mean over the trees."""
    steps = [step for _, step in analyzer.pipeline.steps]
    forest = steps[-1]
    by_shap = shap.TreeExplainer(forest)
    scaled = to_float32(transform_rows(steps[:-1], rows)).astype(np.float64)
    values = by_shap.shap_values(scaled, check_additivity=False)
    return values * len(forest.estimators_), float(np.ravel(by_shap.expected_value)[0]) * len(forest.estimators_)


@pytest.mark.parametrize("profile", ["exact", "compat"])
def test_the_same_values_and_ranks(
    analyzer: EVBatteryAnalyzer, asked: np.ndarray, tmp_path: Path, profile: Profile
) -> None:
    found = explained(analyzer, asked, tmp_path, profile)
    expected, base_value = explained_by_shap(analyzer, asked)

    print("largest difference", np.abs(found.contributions - expected).max(), "of values to", np.abs(expected).max())
    np.testing.assert_allclose(found.contributions, expected, rtol=0.0, atol=ATOL)
    assert found.base_value == pytest.approx(base_value, abs=ATOL)
    ranks = [np.argsort(np.argsort(values, axis=1), axis=1) for values in (found.contributions, expected)]
    agreement = [np.corrcoef(ours, theirs)[0, 1] for ours, theirs in zip(*ranks, strict=True)]
    assert min(agreement) > 0.99


def test_rows_from_training_score_as_shap_says(analyzer: EVBatteryAnalyzer, asked: np.ndarray, tmp_path: Path) -> None:
    found = explained(analyzer, asked, tmp_path, "exact")
    denominator = read_artifact(tmp_path / "model").contract.scoring.denominator
    scores = -(2.0 ** -(found.path_length / denominator))
    np.testing.assert_allclose(scores, analyzer.score_samples(asked), rtol=1e-12)
