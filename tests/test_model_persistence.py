"""The persistence guide's seven scenarios, on the demo telemetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer

TELEMETRY = Path(__file__).parents[1] / "demo" / "telemetry"


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return pd.concat([pd.read_csv(TELEMETRY / f"healthy_drive_{n:02}.csv") for n in (1, 5, 9)], ignore_index=True)


@pytest.fixture(scope="module")
def new_data() -> pd.DataFrame:
    return pd.read_csv(TELEMETRY / "fault_internal_short_01.csv")


@pytest.fixture(scope="module")
def trained(history: pd.DataFrame) -> EVBatteryAnalyzer:
    analyzer = EVBatteryAnalyzer(contamination=0.05, n_estimators=100, critical_threshold=-0.7)
    analyzer.analyze_telemetry(history)
    return analyzer


def test_a_saved_model_loads_with_its_parameters_and_its_training(trained: EVBatteryAnalyzer, tmp_path: Path) -> None:
    trained.save_model(str(tmp_path / "battery_v1"))

    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "battery_v1.joblib",
        "battery_v1.json",
        "battery_v1.onnx",
    ]
    for path in (tmp_path / "battery_v1", tmp_path / "battery_v1.joblib"):
        loaded = EVBatteryAnalyzer.load_model(path)
        assert type(loaded) is EVBatteryAnalyzer
        assert loaded.get_params() == trained.get_params()
        info = loaded.get_model_info()
        assert {key: info[key] for key in ("contamination", "n_estimators", "is_fitted")} == {
            "contamination": 0.05,
            "n_estimators": 100,
            "is_fitted": True,
        }
        assert (info["critical_threshold"], info["warning_threshold"]) == (-0.7, -0.5)


def test_metadata_is_saved_and_loaded_untouched(trained: EVBatteryAnalyzer, tmp_path: Path) -> None:
    metadata = {
        "version": "2.0",
        "dataset": "demo drives",
        "dataset_size": 5_400,
        "trained_on": "2024-01-28",
        "performance_metrics": {"precision": 0.93, "recall": None, "folds": [1, 2, 3]},
    }

    trained.save_model(tmp_path / "baseline", metadata=metadata)

    for backend in ("sklearn", "onnx"):
        info = EVBatteryAnalyzer.load_model(tmp_path / "baseline", backend=backend).get_model_info()
        assert info["metadata"] == metadata
        assert info["version"] == "2.0.0"
    assert ev_qa_runtime.load_model(tmp_path / "baseline").info["metadata"] == metadata


def test_an_untrained_model_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Model not trained"):
        EVBatteryAnalyzer().save_model(tmp_path / "folder" / "model.joblib")

    assert list(tmp_path.iterdir()) == []


def test_inference_after_loading_gives_the_originals_scores_exactly(
    trained: EVBatteryAnalyzer, new_data: pd.DataFrame, tmp_path: Path
) -> None:
    trained.save_model(tmp_path / "model")
    scores, labels = trained.score_samples(new_data), trained.predict(new_data)
    result = trained.analyze_telemetry(new_data)
    assert 0 < result["anomalies_detected"] < len(new_data)

    models = [EVBatteryAnalyzer.load_model(tmp_path / "model", backend=backend) for backend in ("sklearn", "onnx")]
    for model in [*models, ev_qa_runtime.load_model(tmp_path / "model")]:
        np.testing.assert_array_equal(model.score_samples(new_data), scores, strict=True)
        np.testing.assert_array_equal(model.predict(new_data), labels, strict=True)
        np.testing.assert_array_equal(
            model.decision_function(new_data), trained.decision_function(new_data), strict=True
        )
        assert model.analyze_telemetry(new_data) == result


@pytest.mark.parametrize("name", ["nonexistent", "nonexistent.joblib", "no/such/folder/model"])
def test_a_model_file_that_is_not_there_is_reported_as_not_found(name: str, tmp_path: Path) -> None:
    for load in (EVBatteryAnalyzer.load_model, ev_qa_runtime.load_model):
        with pytest.raises(FileNotFoundError, match=f"^Model file not found: .*{name.removesuffix('.joblib')}"):
            load(tmp_path / name)


def test_folders_are_created(trained: EVBatteryAnalyzer, tmp_path: Path) -> None:
    trained.save_model(tmp_path / "models" / "production" / "baseline_v2.0")

    assert (tmp_path / "models" / "production" / "baseline_v2.0.joblib").is_file()
    assert EVBatteryAnalyzer.load_model(tmp_path / "models/production/baseline_v2.0").get_model_info()["is_fitted"]


def test_versions_lie_side_by_side(history: pd.DataFrame, tmp_path: Path) -> None:
    percentages = {}
    for version, contamination in (("1.0", 0.02), ("1.1", 0.2), ("2.0", 0.4)):
        analyzer = EVBatteryAnalyzer(contamination, n_estimators=30, critical_threshold=-0.9, warning_threshold=-0.9)
        percentages[version] = analyzer.analyze_telemetry(history)["anomaly_percentage"]
        analyzer.save_model(tmp_path / f"baseline_v{version}", metadata={"version": version})

    assert percentages == pytest.approx({"1.0": 2.0, "1.1": 20.0, "2.0": 40.0}, abs=1.0)
    assert len(list(tmp_path.iterdir())) == 9
    for version, percentage in percentages.items():
        loaded = EVBatteryAnalyzer.load_model(tmp_path / f"baseline_v{version}")
        assert loaded.get_model_info()["version"] == f"{version}.0"
        assert loaded.analyze_telemetry(history)["anomaly_percentage"] == percentage
