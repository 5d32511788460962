"""The sign of the current given to the training side and its commands: the same bits, the same words."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.cli import main
from ev_qa_framework.report.judged import judge
from ev_qa_framework.telemetry import read_table
from ev_qa_runtime import load_model
from ev_qa_runtime.errors import ConfigurationError, TelemetryError

ROOT = Path(__file__).parents[2]
OVER_TIME = ROOT / "tests" / "data" / "models" / "over_time_v1.0.0"
ALONE = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0"
TRIP = ROOT / "demo" / "telemetry" / "fault_resistance_x2_02.csv"
HEALTHY = sorted((ROOT / "demo" / "telemetry").glob("healthy_*.csv"))
VSS = "Vehicle.Powertrain.TractionBattery.CurrentCurrent"
ADVICE = "save it with commas between the columns and points in the numbers"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("detect", …)`` in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def drive() -> pd.DataFrame:
    return pd.read_csv(TRIP)[:1000]


def turned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(current=-frame["current"])


@pytest.mark.parametrize("backend", ["sklearn", "onnx"])
@pytest.mark.parametrize("model", [OVER_TIME, ALONE], ids=["over time", "alone"])
def test_every_method_has_the_bits_of_the_models_own_sign(model: Path, backend: str, drive: pd.DataFrame) -> None:
    if backend == "sklearn" and not model.with_name(f"{model.name}.joblib").exists():
        pytest.skip("this model has no Pipeline")
    analyzer = EVBatteryAnalyzer.load_model(model, backend=backend)  # type: ignore[arg-type]
    for method in ("score_samples", "decision_function", "predict"):
        of_method = getattr(analyzer, method)
        np.testing.assert_array_equal(of_method(turned(drive), current_sign="charge_positive"), of_method(drive))
    ours = analyzer.read(turned(drive), current_sign="charge_positive")
    assert ours.values.tobytes() == analyzer.read(drive).values.tobytes()
    result = analyzer.analyze_telemetry(turned(drive), current_sign="charge_positive")
    assert repr(result) == repr(load_model(model).analyze_telemetry(drive))
    judged = judge(load_model(model), turned(drive), "turned", current_sign="charge_positive")
    assert repr(judged.verdicts.summary()) == repr(load_model(model).verdicts(drive).summary())


def test_calibrating_on_the_other_sign(drive: pd.DataFrame) -> None:
    trips = pd.concat([pd.read_csv(path).assign(trip=at) for at, path in enumerate(HEALTHY[:12])], ignore_index=True)
    records = []
    for frame, sign in ((trips, None), (turned(trips), "charge_positive")):
        for model in (OVER_TIME, ALONE):
            analyzer = EVBatteryAnalyzer.load_model(model)
            options = {"warning_rate": 0.1, "critical_rate": 0.09}
            records.append(analyzer.calibrate(frame, current_sign=sign, **options))  # type: ignore[arg-type]
    assert records[:2] == records[2:]
    analyzer = EVBatteryAnalyzer.load_model(OVER_TIME)
    with pytest.raises(TelemetryError, match="current looks charge_positive, but discharge_positive was given"):
        analyzer.calibrate(turned(trips))


def test_a_path_of_the_specification_contradicts_in_training_too(drive: pd.DataFrame) -> None:
    frame = turned(drive).rename(columns={"current": VSS})
    said = rf"column '{VSS}' is charge_positive by the Vehicle Signal Specification, not discharge_positive"
    with pytest.raises(TelemetryError, match=said):
        EVBatteryAnalyzer(features="physics", current_sign="discharge_positive").fit(frame)
    for sign in ("unspecified", "charge_positive"):
        with pytest.warns(UserWarning, match="not calibrated"):
            analyzer = EVBatteryAnalyzer(features="physics", n_estimators=5, current_sign=sign).fit(frame)  # type: ignore[arg-type]
        assert analyzer.get_model_info()["current_sign"] == "charge_positive"
        np.testing.assert_array_equal(
            analyzer.read(frame).values, analyzer.read(drive, current_sign="discharge_positive").values
        )
    with pytest.raises(TelemetryError, match=said):
        EVBatteryAnalyzer.load_model(OVER_TIME).calibrate(frame, current_sign="discharge_positive")


def test_an_analyzer_is_fitted_with_its_own_sign(drive: pd.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="a model is fitted with its own current_sign: give it when making"):
        EVBatteryAnalyzer().analyze_telemetry(drive, current_sign="charge_positive")
    analyzer = EVBatteryAnalyzer(n_estimators=5, current_sign="charge_positive")
    analyzer.analyze_telemetry(drive, current_sign="charge_positive")


@pytest.mark.parametrize("model", [OVER_TIME, ALONE], ids=["over time", "alone"])
def test_detect_and_report_convert(model: Path, run: Run, drive: pd.DataFrame, tmp_path: Path) -> None:
    drive.to_csv(tmp_path / "drive.csv", index=False)
    own = run("detect", model, "drive.csv", "--json")
    turned(drive).to_csv(tmp_path / "drive.csv", index=False)
    other = run("detect", model, "drive.csv", "--json", "--current-sign", "charge_positive")
    assert (other.returncode, other.stdout, other.stderr) == (0, own.stdout, "")
    done = run("report", model, "drive.csv", "-o", "page.html", "--current-sign", "charge_positive")
    assert (done.returncode, done.stderr) == (0, "")
    assert "current looks" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_commands_speak_of_their_options(run: Run, drive: pd.DataFrame, tmp_path: Path) -> None:
    turned(drive).to_csv(tmp_path / "drive.csv", index=False)
    done = run("detect", OVER_TIME, "drive.csv")
    assert done.returncode == 0
    assert "give --current-sign charge_positive or check the current sensor" in done.stderr
    done = run("calibrate", OVER_TIME, "drive.csv", "-o", "new_v1.0.0")
    assert (done.returncode, done.stdout) == (4, "")
    assert "give --current-sign charge_positive or check the current sensor" in done.stderr
    done = run("train", "drive.csv", "-o", "new_v1.0.0", "--features", "physics")
    assert re.search(r"give --current-sign discharge_positive or --current-sign charge_positive\n$", done.stderr)
    done = run("calibrate", OVER_TIME, *HEALTHY[:3], "-o", "new_v1.0.0", "--warning-rate", "1e-6")
    assert "error: --critical-rate" in done.stderr or "error: --warning-rate" in done.stderr


def test_calibrate_converts(run: Run, tmp_path: Path) -> None:
    rates = ("--warning-rate", "0.2", "--critical-rate", "0.15", "--json")
    printed = []
    for sign, options in ((1, ()), (-1, ("--current-sign", "charge_positive"))):
        for number, path in enumerate(HEALTHY[:8]):
            frame = pd.read_csv(path)
            frame.assign(current=sign * frame["current"]).to_csv(tmp_path / f"{number}.csv", index=False)
        done = run(
            "calibrate", OVER_TIME, *(f"{number}.csv" for number in range(8)), "-o", "new_v1.0.0", *rates, *options
        )
        assert done.returncode == 0, done.stderr
        printed.append({key: value for key, value in json.loads(done.stdout).items() if key != "created"})
    assert printed[0] == printed[1]


@pytest.mark.parametrize(("separator", "named"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_other_separators_are_named(separator: str, named: str, run: Run, drive: pd.DataFrame, tmp_path: Path) -> None:
    drive.to_csv(tmp_path / "drive.csv", index=False, sep=separator, decimal=",")
    for command in (("train", "drive.csv", "-o", "x"), ("detect", ALONE, "drive.csv")):
        done = run(*command)
        assert (done.returncode, done.stderr) == (
            4,
            f"ev-qa: error: drive.csv: the columns are separated by {named}, not by commas: {ADVICE}\n",
        )


def test_vehicles_of_a_file_have_the_same_ids_on_both_sides(tmp_path: Path, drive: pd.DataFrame) -> None:
    ids = ["007", "7", "7.0", "1e3"] * 250
    drive.assign(vin=ids).to_csv(tmp_path / "fleet.csv", index=False)
    table = read_table(tmp_path / "fleet.csv")
    assert table["vin"].tolist() == ids
    verdicts = load_model(OVER_TIME).verdicts(table)
    assert verdicts.telemetry.vehicles == ("007", "7", "7.0", "1e3")  # type: ignore[attr-defined]
    drive.assign(vehicle_id=[7, None] * 500).to_csv(tmp_path / "fleet.csv", index=False)
    with pytest.raises(TelemetryError, match="column 'vehicle_id': row 1 holds nan, which names no vehicle"):
        load_model(OVER_TIME).verdicts(pd.read_csv(tmp_path / "fleet.csv"))
    floats = drive.assign(vehicle_id=7.0)
    whole = load_model(OVER_TIME).verdicts(floats)
    assert whole.telemetry.vehicles == ("7",)  # type: ignore[attr-defined]
