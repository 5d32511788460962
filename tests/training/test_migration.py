"""Legacy ``.joblib`` files in the guide's structure: refused as they are, converted on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.migration import migrate
from ev_qa_runtime import ArtifactError

FEATURES = ["voltage", "current", "temp"]
FilesIn = Callable[[Path], dict[str, bytes]]


def legacy_content(rows: Any) -> dict[str, Any]:
    """The guide's dictionary, fitted on ``rows``."""
    scaler = StandardScaler().fit(rows)
    model = IsolationForest(n_estimators=20, contamination=0.1, random_state=42).fit(scaler.transform(rows))
    return {
        "model": model,
        "scaler": scaler,
        "contamination": 0.1,
        "critical_threshold": -0.7,
        "warning_threshold": -0.55,
        "save_timestamp": "2024-01-28T12:00:00",
        "metadata": {"version": "1.0", "dataset": "Tesla_2024"},
    }


@pytest.fixture(scope="module")
def content(telemetry: pd.DataFrame) -> dict[str, Any]:
    return legacy_content(telemetry[FEATURES])


@pytest.fixture
def legacy(content: dict[str, Any], tmp_path: Path) -> Path:
    joblib.dump(content, tmp_path / "battery_v1.joblib", compress=3)
    return tmp_path / "battery_v1.joblib"


def test_a_legacy_file_is_refused_with_the_way_to_convert_it(legacy: Path) -> None:
    for path in (legacy, legacy.with_suffix("")):
        with pytest.raises(ValueError, match=r"`ev-qa migrate .*battery_v1\.joblib --trust`"):
            EVBatteryAnalyzer.load_model(path)


@pytest.mark.parametrize("named", [True, False])
def test_a_migrated_model_scores_the_legacy_pipelines_bits(
    named: bool, telemetry: pd.DataFrame, faulty: pd.DataFrame, tmp_path: Path
) -> None:
    rows, others = (frame[FEATURES] if named else frame[FEATURES].to_numpy() for frame in (telemetry, faulty))
    content = legacy_content(rows)
    joblib.dump(content, tmp_path / "old.joblib")
    pipeline = Pipeline([("scaler", content["scaler"]), ("model", content["model"])])
    expected = pipeline.score_samples(others)

    migrate(tmp_path / "old.joblib")

    models = [EVBatteryAnalyzer.load_model(tmp_path / "old", backend=backend) for backend in ("sklearn", "onnx")]
    for model in (*models, ev_qa_runtime.load_model(tmp_path / "old")):
        np.testing.assert_array_equal(model.score_samples(faulty), expected, strict=True)
        np.testing.assert_array_equal(model.predict(faulty), pipeline.predict(others), strict=True)


def test_metadata_thresholds_and_provenance_are_kept(legacy: Path, content: dict[str, Any]) -> None:
    migrated = migrate(legacy)

    loaded = EVBatteryAnalyzer.load_model(legacy)
    assert type(migrated) is EVBatteryAnalyzer
    for model in (migrated, loaded):
        info = model.get_model_info()
        assert info["metadata"] == content["metadata"]
        assert (info["version"], info["contamination"], info["n_estimators"]) == ("1.0.0", 0.1, 20)
        assert (info["critical_threshold"], info["warning_threshold"]) == (-0.7, -0.55)
        assert info["rows_trained_on"] is None
    assert ev_qa_runtime.load_model(legacy).contract.training.source == (
        "migrated from battery_v1.joblib, saved 2024-01-28T12:00:00"
    )


def test_another_output_leaves_the_legacy_file_as_it_was(legacy: Path, tmp_path: Path) -> None:
    before = legacy.read_bytes()

    migrate(legacy, tmp_path / "new" / "battery_v2.0")

    assert legacy.read_bytes() == before
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["battery_v1.joblib", "new"]
    assert EVBatteryAnalyzer.load_model(tmp_path / "new" / "battery_v2.0").get_model_info()["is_fitted"]


def test_an_existing_model_is_not_replaced_unasked(legacy: Path, saved: Path, files_in: FilesIn) -> None:
    before = files_in(saved.parent)

    with pytest.raises(FileExistsError, match=r"pack_v1\.2\.json exists already.*--overwrite"):
        migrate(legacy, saved)

    assert files_in(saved.parent) == before
    migrate(legacy, saved, overwrite=True)
    assert EVBatteryAnalyzer.load_model(saved).get_model_info()["metadata"]["dataset"] == "Tesla_2024"


def test_a_model_that_has_a_sidecar_is_no_legacy_file(saved: Path, tmp_path: Path, files_in: FilesIn) -> None:
    before = files_in(saved.parent)
    whole = saved.with_name(f"{saved.name}.joblib")

    for options in ({}, {"overwrite": True}):
        with pytest.raises(ArtifactError, match=r"this is not a legacy file, its sidecar pack_v1\.2\.json .* is there"):
            migrate(whole, tmp_path / "elsewhere" / "new", **options)

    assert files_in(saved.parent) == before


def test_another_json_beside_a_legacy_file_is_no_sidecar(legacy: Path, tmp_path: Path) -> None:
    legacy.with_suffix(".json").write_text('{"trained by": "somebody"}')
    assert migrate(legacy, tmp_path / "new_v1.0.0").get_model_info()["version"] == "1.0.0"


def test_other_features_must_be_named(telemetry: pd.DataFrame, tmp_path: Path) -> None:
    joblib.dump(legacy_content(telemetry[["temp", "soc"]].to_numpy()), tmp_path / "two.joblib")

    with pytest.raises(ValueError, match="it has 2 features without names; name them with --features"):
        migrate(tmp_path / "two.joblib")

    model = migrate(tmp_path / "two.joblib", features=("temp", "soc"))
    assert [feature["name"] for feature in model.get_model_info()["features"]] == ["temp", "soc"]
    assert model.analyze_telemetry(telemetry)["total_samples"] == len(telemetry)


@pytest.mark.parametrize("features", [("temp",), ("temp", "soc", "voltage"), ("temp", "temp")])
def test_the_wrong_number_of_names_is_an_error(
    features: tuple[str, ...], telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    joblib.dump(legacy_content(telemetry[["temp", "soc"]].to_numpy()), tmp_path / "two.joblib")

    with pytest.raises(ValueError, match=r"it has 2 features, not [13]|distinct"):
        migrate(tmp_path / "two.joblib", features=features)

    assert [file.name for file in tmp_path.iterdir()] == ["two.joblib"]


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: [1, 2], "no dictionary with 'model' and 'scaler'"),
        (without("scaler"), "no dictionary with 'model' and 'scaler'"),
        (lambda content: content | {"model": "forest"}, "its 'model' is a str, not a IsolationForest"),
        (lambda content: content | {"scaler": content["model"]}, "its 'scaler' is a IsolationForest"),
        (lambda content: content | {"model": IsolationForest()}, "its 'model' is not fitted"),
        (lambda content: content | {"scaler": StandardScaler()}, "its 'scaler' is not fitted"),
        (lambda content: content | {"metadata": {"when": pd.Timestamp(0)}}, r"metadata\['when'\] is a Timestamp"),
    ],
    ids=["a list", "no scaler", "a text", "two forests", "unfitted model", "unfitted scaler", "bad metadata"],
)
def test_what_is_no_legacy_model_is_an_error(
    change: Callable[[dict[str, Any]], Any], message: str, content: dict[str, Any], tmp_path: Path
) -> None:
    joblib.dump(change(content), tmp_path / "old.joblib")

    with pytest.raises(ValueError, match=message):
        migrate(tmp_path / "old.joblib")

    assert [file.name for file in tmp_path.iterdir()] == ["old.joblib"]


def test_a_file_that_is_no_pickle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "old.joblib").write_bytes(b"not a pickle")

    with pytest.raises(ValueError, match="cannot be unpickled here"):
        migrate(tmp_path / "old.joblib")


def test_a_missing_legacy_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Model file not found: .*none\.joblib"):
        migrate(tmp_path / "none.joblib")
