"""``save_model(profile="compat")``: a model for older gateways, saved, loaded, scored and saved again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime import load_model


@pytest.fixture(scope="module")
def telemetry() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    values = np.round(rng.normal(size=(3000, 3)) * [12.0, 70.0, 6.0] + [355.0, 5.0, 24.0], 1)
    return pd.DataFrame(values, columns=["voltage", "current", "temp"])


@pytest.fixture(scope="module")
def analyzer(telemetry: pd.DataFrame) -> EVBatteryAnalyzer:
    return EVBatteryAnalyzer(n_estimators=60).fit(telemetry)


def test_a_compat_model_says_so_and_judges_alike(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    analyzer.save_model(tmp_path / "gateway_v1.0", profile="compat")

    detector = load_model(tmp_path / "gateway_v1.0")

    assert detector.contract.onnx.profile == "compat"
    assert detector.contract.onnx.minimum_onnxruntime == "1.15"
    assert detector.contract.onnx.opsets["ai.onnx.ml"] == 3
    assert np.array_equal(detector.predict(telemetry), analyzer.predict(telemetry))
    assert np.abs(detector.score_samples(telemetry) - analyzer.score_samples(telemetry)).max() < 1e-11


def test_rows_that_score_exactly_the_offset_stay_normal(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    scores = analyzer.score_samples(telemetry)
    tie = EVBatteryAnalyzer(n_estimators=60, warning_threshold=float(np.sort(scores)[200])).fit(telemetry)
    tie.save_model(tmp_path / "tie", profile="compat")

    detector = load_model(tmp_path / "tie")

    at_threshold = telemetry[scores == tie.warning_threshold]
    assert len(at_threshold) >= 1
    assert set(detector.verdicts(at_threshold).severity) == {0}


def test_a_compat_model_without_its_pipeline_is_saved_again_with_other_thresholds(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    analyzer.save_model(tmp_path / "first", profile="compat")
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "first", backend="onnx").set_params(warning_threshold=-0.55)

    loaded.save_model(tmp_path / "second")

    detector = load_model(tmp_path / "second")
    assert detector.contract.onnx.profile == "compat"
    expected = int((analyzer.score_samples(telemetry) < -0.55).sum())
    assert detector.analyze_telemetry(telemetry)["warning_samples"] == expected


def test_an_unknown_profile_is_refused_before_anything_is_written(analyzer: EVBatteryAnalyzer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="profile must be 'exact' or 'compat', not 'fast'"):
        analyzer.save_model(tmp_path / "model", profile="fast")  # type: ignore[arg-type]  # the mistake under test

    assert list(tmp_path.iterdir()) == []
