"""The shipped model still gives the scores it was shipped with, through every entry point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn

import ev_qa_runtime
from ev_qa_framework import AnomalyDetector, EVBatteryAnalyzer, ModelService
from ev_qa_framework.parity import ulp_distance
from ev_qa_runtime.artifact import read_contract

MODEL = Path(__file__).parents[2] / "artifacts" / "production" / "demo_pack_v1.0.0"
MATHS_LIBRARY_ULP = 4  # the power's last bits are another processor's own; labels and severities are not

ENTRY_POINTS: dict[str, Callable[[str], Any]] = {
    "EVBatteryAnalyzer": lambda backend: EVBatteryAnalyzer.load_model(MODEL, backend=backend),
    "AnomalyDetector": lambda backend: AnomalyDetector.load_model(f"{MODEL}.joblib", backend=backend),
    "resaved": lambda backend: EVBatteryAnalyzer.load_model(MODEL, backend=backend),
}


@pytest.fixture(params=["sklearn", "onnx"])
def backend(request: pytest.FixtureRequest) -> str:
    trained_with = read_contract(MODEL).environment["scikit-learn"]
    if request.param == "sklearn" and trained_with != sklearn.__version__:
        pytest.skip(f"the shipped model was trained with scikit-learn {trained_with}, this is {sklearn.__version__}")
    return request.param


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_the_golden_rows_score_as_shipped(entry: str, backend: str, tmp_path: Path) -> None:
    contract = read_contract(MODEL)
    golden = contract.golden
    rows, expected = np.array(golden.readings), np.array(golden.score_samples)
    valid = (np.abs(rows) <= np.finfo(np.float32).max).all(axis=1)
    assert 4 < valid.sum() < len(rows)
    model = ENTRY_POINTS[entry](backend)
    if entry == "resaved":
        model.save_model(tmp_path / "again")
        model = EVBatteryAnalyzer.load_model(tmp_path / "again", backend=backend)

    scores = model.score_samples(rows)
    verdicts = model.verdicts(rows)

    assert ulp_distance(scores, expected).max() <= MATHS_LIBRARY_ULP
    np.testing.assert_array_equal(model.decision_function(rows), scores - contract.scoring.offset)
    np.testing.assert_array_equal(model.predict(rows), np.where(valid, golden.label, -1))
    np.testing.assert_array_equal(verdicts.severity, np.where(valid, golden.severity, -1))
    by_name = {name: rows[:, position] for position, name in enumerate(contract.feature_names)}
    np.testing.assert_array_equal(model.score_samples(by_name), scores, strict=True)
    result = model.analyze_telemetry(by_name)
    assert result["anomalies_detected"] == len(model.anomalies) == verdicts.anomalous.sum()
    assert result["invalid_samples"] == (~valid).sum()
    if isinstance(model, AnomalyDetector):
        labels, detected = model.detect(rows)
        np.testing.assert_array_equal(labels, model.predict(rows), strict=True)
        np.testing.assert_array_equal(detected, scores, strict=True)


def test_the_services_of_both_packages_say_the_same_of_the_shipped_model() -> None:
    rows = np.array(read_contract(MODEL).golden.readings)

    assert ModelService(MODEL).predict(rows) == ev_qa_runtime.ModelService(MODEL).predict(rows)


def test_the_summed_path_lengths_are_the_shipped_ones_to_the_last_bit() -> None:
    golden = read_contract(MODEL).golden

    found = ev_qa_runtime.load_model(MODEL).path_length(np.array(golden.readings))

    np.testing.assert_array_equal(found, np.array(golden.path_length), strict=True)
