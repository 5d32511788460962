"""The training API call by call: what the guide promises of an analyzer in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import ev_qa_framework
import ev_qa_framework.analysis
from ev_qa_framework import AnomalyDetector, EVBatteryAnalyzer, ModelService

GUIDE_INFO = {"contamination", "n_estimators", "critical_threshold", "warning_threshold", "is_fitted"}
GUIDE_RESULT = {"total_samples", "anomalies_detected", "anomaly_percentage", "severity", "invalid_samples"}


def test_the_analyzer_is_importable_from_both_places() -> None:
    assert ev_qa_framework.EVBatteryAnalyzer is ev_qa_framework.analysis.EVBatteryAnalyzer
    assert ev_qa_framework.AnomalyDetector is ev_qa_framework.analysis.AnomalyDetector


def test_the_guides_parameters_work_by_position_and_further_ones_by_name_only() -> None:
    assert EVBatteryAnalyzer(0.2, 50, 7, -0.9, -0.6).get_params() == {
        "contamination": 0.2,
        "n_estimators": 50,
        "random_state": 7,
        "critical_threshold": -0.9,
        "warning_threshold": -0.6,
        "max_samples": "auto",
        "features": ("voltage", "current", "temp"),
        "current_sign": "unspecified",
        "limits": "li_ion",
        "calibration_folds": 5,
    }
    with pytest.raises(TypeError, match="positional argument"):
        EVBatteryAnalyzer(0.2, 50, 7, -0.9, -0.6, 256)


def test_before_fitting_there_is_an_unfitted_pipeline_and_an_empty_frame() -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=30, contamination=0.2)

    assert isinstance(analyzer.pipeline, Pipeline)
    assert isinstance(analyzer.model, IsolationForest)
    assert isinstance(analyzer.scaler, StandardScaler)
    assert (analyzer.model.n_estimators, analyzer.model.contamination) == (30, 0.2)
    assert not hasattr(analyzer.model, "estimators_")
    assert isinstance(analyzer.anomalies, pd.DataFrame)
    assert analyzer.anomalies.empty
    info = analyzer.get_model_info()
    assert info.keys() >= GUIDE_INFO
    assert info["is_fitted"] is False
    assert info["backend"] is None


def test_after_fitting_model_and_scaler_are_the_pipelines_own_parts(analyzer: EVBatteryAnalyzer) -> None:
    assert [step for _, step in analyzer.pipeline.steps] == [analyzer.scaler, analyzer.model]
    assert len(analyzer.model.estimators_) == 10
    assert list(analyzer.scaler.feature_names_in_) == ["voltage", "current", "temp"]
    assert analyzer.n_features_in_ == 3


def test_under_onnx_there_is_no_pipeline_but_everything_else(saved: Path, telemetry: pd.DataFrame) -> None:
    loaded = EVBatteryAnalyzer.load_model(saved, backend="onnx")

    assert (loaded.pipeline, loaded.model, loaded.scaler) == (None, None, None)
    assert loaded.anomalies.empty
    assert loaded.n_features_in_ == 3
    assert loaded.analyze_telemetry(telemetry)["anomalies_detected"] == len(loaded.anomalies)


def test_the_first_call_fits_and_later_ones_only_score(telemetry: pd.DataFrame, faulty: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=10)
    analyzer.analyze_telemetry(telemetry)
    pipeline, forest, trees = analyzer.pipeline, analyzer.model, list(analyzer.model.estimators_)
    scores = analyzer.score_samples(telemetry)

    result = analyzer.analyze_telemetry(faulty)

    assert analyzer.pipeline is pipeline
    assert analyzer.model is forest
    assert all(now is before for now, before in zip(analyzer.model.estimators_, trees, strict=True))
    np.testing.assert_array_equal(analyzer.score_samples(telemetry), scores, strict=True)
    assert (result["total_samples"], result["training_samples"]) == (len(faulty), len(telemetry))


def test_fit_fits_anew(telemetry: pd.DataFrame, faulty: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=10).fit(telemetry)
    before = analyzer.score_samples(faulty)

    assert analyzer.fit(faulty) is analyzer

    fresh = EVBatteryAnalyzer(n_estimators=10).fit(faulty)
    np.testing.assert_array_equal(analyzer.score_samples(faulty), fresh.score_samples(faulty))
    assert not np.array_equal(analyzer.score_samples(faulty), before)


def test_the_same_seed_gives_the_same_model(telemetry: pd.DataFrame, analyzer: EVBatteryAnalyzer) -> None:
    again = EVBatteryAnalyzer(n_estimators=10, contamination=0.05).fit(telemetry)
    other = EVBatteryAnalyzer(n_estimators=10, contamination=0.05, random_state=1).fit(telemetry)

    np.testing.assert_array_equal(again.score_samples(telemetry), analyzer.score_samples(telemetry), strict=True)
    assert not np.array_equal(other.score_samples(telemetry), analyzer.score_samples(telemetry))


def test_a_result_is_plain_json_and_adds_up(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    result = analyzer.analyze_telemetry(faulty)

    assert result.keys() >= GUIDE_RESULT
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    scores = analyzer.score_samples(faulty)
    flagged = (analyzer.predict(faulty) == -1) | (scores < -0.5)
    assert result["total_samples"] == len(faulty)
    assert result["anomalies_detected"] == flagged.sum() > 0
    assert result["anomaly_percentage"] == 100 * flagged.sum() / len(faulty)
    assert result["warning_samples"] == (scores < -0.5).sum() - (scores < -0.8).sum()
    assert result["critical_samples"] == (scores < -0.8).sum()
    assert result["lowest_score"] == scores.min()
    assert result["lowest_score_row"] == scores.argmin()
    assert result["invalid_samples"] == 0
    assert result["invalid_reasons"] == {}


def test_severity_is_that_of_the_lowest_score_and_thresholds_are_strict(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    lowest = float(analyzer.score_samples(telemetry).min())
    above = float(np.nextafter(lowest, 0))
    for critical, warning, severity in (
        (above, above, "CRITICAL"),
        (lowest, above, "WARNING"),
        (lowest, lowest, "INFO"),
        (-0.99, -0.99, "INFO"),
    ):
        model = EVBatteryAnalyzer(
            n_estimators=10, contamination=0.05, critical_threshold=critical, warning_threshold=warning
        ).fit(telemetry)
        assert model.analyze_telemetry(telemetry)["severity"] == severity


def test_thresholds_changed_after_fitting_count_from_the_next_call_on(telemetry: pd.DataFrame, saved: Path) -> None:
    for backend in ("sklearn", "onnx"):
        model = EVBatteryAnalyzer.load_model(saved, backend=backend)
        assert model.analyze_telemetry(telemetry)["severity"] == "WARNING"

        model.set_params(critical_threshold=-0.2, warning_threshold=-0.1)
        changed = model.analyze_telemetry(telemetry)

        assert (changed["severity"], changed["critical_samples"]) == ("CRITICAL", len(telemetry))
        model.set_params(critical_threshold=-0.1, warning_threshold=-0.2)
        with pytest.raises(ValueError, match=r"critical_threshold -0\.1 lies above warning_threshold -0\.2"):
            model.analyze_telemetry(telemetry)


def test_scores_labels_and_decisions_are_the_pipelines_bit_for_bit(
    analyzer: EVBatteryAnalyzer, saved: Path, faulty: pd.DataFrame
) -> None:
    pipeline, frame = analyzer.pipeline, faulty[["voltage", "current", "temp"]]
    for model in (analyzer, *(EVBatteryAnalyzer.load_model(saved, backend=backend) for backend in ("sklearn", "onnx"))):
        np.testing.assert_array_equal(model.score_samples(faulty), pipeline.score_samples(frame), strict=True)
        np.testing.assert_array_equal(model.decision_function(faulty), pipeline.decision_function(frame), strict=True)
        np.testing.assert_array_equal(model.predict(faulty), pipeline.predict(frame), strict=True)


def test_model_info_tells_of_the_training_once_fitted(analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    info = analyzer.get_model_info()

    assert info.keys() >= GUIDE_INFO
    assert (info["contamination"], info["n_estimators"], info["is_fitted"]) == (0.05, 10, True)
    assert (info["backend"], info["rows_trained_on"]) == ("sklearn", len(telemetry))
    assert info["features"] == [
        {"name": "voltage", "unit": "V"},
        {"name": "current", "unit": "A"},
        {"name": "temp", "unit": "degC"},
    ]
    assert info["library_versions"].keys() >= {"python", "scikit-learn", "numpy", "onnxruntime"}
    json.dumps(info, allow_nan=False)


def test_model_info_of_a_saved_model_has_version_and_creation_time(saved: Path) -> None:
    for backend in ("sklearn", "onnx"):
        info = EVBatteryAnalyzer.load_model(saved, backend=backend).get_model_info()
        assert info["backend"] == backend
        assert (info["name"], info["version"], info["parity_max_ulp"]) == ("pack_v1.2", "1.2.0", 0)
        assert pd.Timestamp(info["created"]).tzinfo is not None
        json.dumps(info, allow_nan=False)


def test_contamination_auto_takes_scikit_learns_offset(telemetry: pd.DataFrame, tmp_path: Path) -> None:
    analyzer = EVBatteryAnalyzer(contamination="auto", n_estimators=10).fit(telemetry)
    analyzer.save_model(tmp_path / "auto")

    assert analyzer.get_model_info()["offset"] == -0.5
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "auto", backend="onnx")
    assert loaded.contamination == "auto"
    np.testing.assert_array_equal(loaded.predict(telemetry), analyzer.predict(telemetry), strict=True)


@pytest.mark.parametrize(("max_samples", "taken"), [("auto", 256), (100, 100), (0.25, 180), (np.int64(64), 64), (1, 1)])
def test_max_samples_reaches_the_forest_and_the_saved_model(
    max_samples: int | float | str, taken: int, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=5, max_samples=max_samples).fit(telemetry.iloc[:720])
    analyzer.save_model(tmp_path / "model")

    assert analyzer.model.max_samples_ == taken
    for backend in ("sklearn", "onnx"):
        loaded = EVBatteryAnalyzer.load_model(tmp_path / "model", backend=backend)
        assert loaded.max_samples == max_samples
        np.testing.assert_array_equal(loaded.score_samples(telemetry), analyzer.score_samples(telemetry), strict=True)


def test_features_can_be_chosen(telemetry: pd.DataFrame, tmp_path: Path) -> None:
    frame = telemetry.rename(columns={"soc": "State of Charge", "time_s": "ageing index"})
    analyzer = EVBatteryAnalyzer(n_estimators=10, features=("temp", "soc", "ageing index")).fit(frame)
    analyzer.save_model(tmp_path / "custom")

    assert analyzer.get_model_info()["features"] == [
        {"name": "temp", "unit": "degC"},
        {"name": "soc", "unit": "%"},
        {"name": "ageing index", "unit": None},
    ]
    columns = telemetry[["temp", "soc", "time_s"]].set_axis(["temp", "soc", "ageing index"], axis=1)
    expected = analyzer.pipeline.score_samples(columns)
    for backend in ("sklearn", "onnx"):
        loaded = EVBatteryAnalyzer.load_model(tmp_path / "custom", backend=backend)
        assert loaded.features == ("temp", "soc", "ageing index")
        np.testing.assert_array_equal(loaded.score_samples(frame), expected, strict=True)


def test_soc_is_no_default_feature_and_extra_columns_change_nothing(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    changed = telemetry.assign(soc="unknown", driver=None)

    np.testing.assert_array_equal(analyzer.score_samples(changed), analyzer.score_samples(telemetry), strict=True)


def test_the_time_span_the_source_and_the_current_sign_go_into_the_contract(
    telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    frame = telemetry.copy()
    frame.attrs["source"] = "drives 1 and 4"
    frame.index = pd.date_range("2024-01-28", periods=len(frame), freq="s")
    analyzer = EVBatteryAnalyzer(n_estimators=5, current_sign="discharge_positive").fit(frame)
    analyzer.save_model(tmp_path / "model")

    document = json.loads((tmp_path / "model.json").read_text())
    assert document["training"]["source"] == "drives 1 and 4"
    assert document["training"]["time_span"] == [str(frame.index[0]), str(frame.index[-1])]
    assert document["current_sign"] == "discharge_positive"
    assert EVBatteryAnalyzer.load_model(tmp_path / "model").current_sign == "discharge_positive"


def test_the_anomaly_detector_trains_detects_saves_and_loads_as_itself(
    telemetry: pd.DataFrame, faulty: pd.DataFrame, tmp_path: Path
) -> None:
    detector = AnomalyDetector(n_estimators=20)
    assert detector.contamination == 0.01
    assert detector.train(telemetry) is detector

    predictions, scores = detector.detect(faulty)

    assert set(predictions.tolist()) == {-1, 1}
    np.testing.assert_array_equal(predictions, detector.predict(faulty), strict=True)
    np.testing.assert_array_equal(scores, detector.score_samples(faulty), strict=True)
    detector.save_model(tmp_path / "detector")
    for backend in ("sklearn", "onnx"):
        loaded = AnomalyDetector.load_model(tmp_path / "detector", backend=backend)
        assert type(loaded) is AnomalyDetector
        for found, expected in zip(loaded.detect(faulty), (predictions, scores), strict=True):
            np.testing.assert_array_equal(found, expected, strict=True)


def test_the_model_service_loads_once_and_shares(saved: Path, telemetry: pd.DataFrame) -> None:
    service = ModelService(saved)
    assert not service.loaded

    result = service.predict(telemetry)

    assert service.loaded
    assert service.model is service.model
    assert isinstance(service.model, EVBatteryAnalyzer)
    assert result == EVBatteryAnalyzer.load_model(saved).analyze_telemetry(telemetry)
