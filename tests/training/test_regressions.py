"""Faults that once were: each test fails on the code that had it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from ev_qa_framework import ConfigurationError, EVBatteryAnalyzer, TelemetryError
from ev_qa_framework.export import to_onnx
from ev_qa_framework.telemetry import feature_specs, read_table, read_tables
from ev_qa_runtime import load_model

SPECS = feature_specs(("voltage", "current", "temp"))


@pytest.fixture(scope="module")
def telemetry() -> pd.DataFrame:
    values = np.round(np.random.default_rng(4).normal(size=(1500, 3)) * [12, 70, 6] + [355, 5, 24], 1)
    return pd.DataFrame(values, columns=["voltage", "current", "temp"])


@pytest.fixture(scope="module")
def analyzer(telemetry: pd.DataFrame) -> EVBatteryAnalyzer:
    return EVBatteryAnalyzer(n_estimators=40).fit(telemetry)


def test_rows_longer_than_the_header_are_never_shifted(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("voltage,current,temp\n379.6,1.3,22.0,82.0\n379.5,1.4,22.0,82.0\n")
    with pytest.raises(TelemetryError, match=r"long\.csv: not a readable table"):
        read_table(path)


def test_a_file_that_lacks_a_column_is_named_among_several(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("voltage,current,temp\n1,2,3\n")
    (tmp_path / "bad.csv").write_text("voltage,current\n1,2\n")
    with pytest.raises(TelemetryError, match=r"bad.csv: missing column\(s\) 'temp'"):
        read_tables([tmp_path / "good.csv", tmp_path / "bad.csv"], SPECS)


def test_each_file_may_name_its_columns_in_its_own_way(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("voltage,current,temp\n1,2,3\n")
    (tmp_path / "b.csv").write_text("Temperature,Voltage (V),current_a\n6,4,5\n")
    data = read_tables([tmp_path / "a.csv", tmp_path / "b.csv"], SPECS)
    assert data[["voltage", "current", "temp"]].to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.attrs["source"] == "a.csv, b.csv"


def test_the_cell_that_makes_a_column_text_is_named(telemetry: pd.DataFrame) -> None:
    spoilt = telemetry.astype(str)
    spoilt.loc[77, "temp"] = "error"
    with pytest.raises(TelemetryError, match="column 'temp' is not numeric: row 77 holds 'error'"):
        EVBatteryAnalyzer().fit(telemetry.assign(temp=spoilt["temp"]))


def test_scores_do_not_depend_on_the_callers_joblib_threads(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    expected = analyzer.score_samples(telemetry)
    with joblib.parallel_config("threading", n_jobs=4):
        assert np.array_equal(analyzer.score_samples(telemetry), expected)
        analyzer.save_model(tmp_path / "model")
    assert load_model(tmp_path / "model").contract.parity.max_ulp == 0


def test_a_model_too_large_to_be_read_never_replaces_a_good_one(analyzer: EVBatteryAnalyzer, tmp_path: Path) -> None:
    analyzer.save_model(tmp_path / "model")
    with pytest.raises(ValueError, match=r"not saved: the .json would have \d+ bytes"):
        analyzer.save_model(tmp_path / "model", metadata={"x": "a" * 17 * 2**20})
    assert load_model(tmp_path / "model").contract.metadata == {}


def test_what_onnxruntime_cannot_run_is_not_exported() -> None:
    data = np.random.default_rng(0).normal(size=(60, 3))
    pipeline = Pipeline([("imputer", SimpleImputer()), ("model", IsolationForest(n_estimators=5))]).fit(data)
    with pytest.raises(TypeError, match=r"step 'imputer' \(SimpleImputer\) cannot be exported: onnxruntime does not"):
        to_onnx(pipeline)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("huge.toml", "[analyzer]\ncritical_threshold = -1" + "0" * 400),
        ("deep.json", "[" * 100_000),
        ("twice.json", '{"analyzer": {"n_estimators": 5, "n_estimators": 6}}'),
    ],
)
def test_absurd_configurations_are_refused_in_one_line(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=name) as caught:
        EVBatteryAnalyzer.from_config(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_features_that_answer_to_one_name_are_refused(telemetry: pd.DataFrame) -> None:
    with pytest.raises(TelemetryError, match="features 'temperature' and 'temp' both answer to"):
        EVBatteryAnalyzer(features=("temperature", "temp")).fit(telemetry)


def test_a_reading_given_twice_is_an_error_for_one_row_too(analyzer: EVBatteryAnalyzer, tmp_path: Path) -> None:
    analyzer.save_model(tmp_path / "model")
    detector = load_model(tmp_path / "model")
    with pytest.raises(TelemetryError, match="duplicate columns for 'temp'"):
        detector.score(voltage=350.0, current=1.0, temp=25.0, temperature=99.0)
    assert detector.score(voltage=350.0, current=1.0, temperature=25.0, soc=50.0).valid


def test_a_fraction_of_less_than_one_row_is_named(telemetry: pd.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match=r"max_samples must reach one row, not 0\.0001 of 1500"):
        EVBatteryAnalyzer(max_samples=0.0001).fit(telemetry)


def test_a_model_loaded_with_onnx_keeps_its_profile(analyzer: EVBatteryAnalyzer, tmp_path: Path) -> None:
    analyzer.save_model(tmp_path / "exact")
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "exact", backend="onnx")
    with pytest.raises(ValueError, match="profile 'compat' needs the Pipeline"):
        loaded.save_model(tmp_path / "other", profile="compat")
    assert not (tmp_path / "other.json").exists()


def test_a_compat_model_can_be_saved_again_with_a_threshold_on_any_golden_score(
    analyzer: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    analyzer.save_model(tmp_path / "compat", profile="compat")
    for score in load_model(tmp_path / "compat").contract.golden.score_samples:
        loaded = EVBatteryAnalyzer.load_model(tmp_path / "compat", backend="onnx")
        loaded.set_params(warning_threshold=score, critical_threshold=-0.9).save_model(tmp_path / "again")
        assert load_model(tmp_path / "again").contract.thresholds.warning == score


def test_new_folders_are_synced_into_their_parents(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "synced = []\n"
        "fsync, is_folder = os.fsync, os.path.isdir\n"
        "os.fsync = lambda fd: (synced.append(os.readlink(f'/proc/self/fd/{fd}')), fsync(fd))\n"
        "import numpy as np\n"
        "from ev_qa_framework import EVBatteryAnalyzer\n"
        "rows = np.random.default_rng(0).normal(size=(50, 3))\n"
        "EVBatteryAnalyzer(n_estimators=3).fit(rows).save_model(sys.argv[1] + '/one/two/model')\n"
        "print('\\n'.join(path for path in synced if is_folder(path)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert {str(tmp_path), str(tmp_path / "one"), str(tmp_path / "one" / "two")} <= set(done.stdout.split())
