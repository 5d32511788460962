"""``ev-qa calibrate`` and what is said of thresholds that a forest cannot reach."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.cli import main
from ev_qa_framework.registry.version_rule import Level, level_of
from ev_qa_runtime import load_model

ROOT = Path(__file__).parents[2]
HEALTHY = sorted((ROOT / "demo" / "telemetry").glob("healthy_*.csv"))
MODEL = ROOT / "tests" / "data" / "models" / "over_time_v1.0.0"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("calibrate", …)`` in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return command


def test_a_saved_model_is_calibrated_anew_without_fitting(run: Run, tmp_path: Path) -> None:
    done = run("calibrate", MODEL, *HEALTHY, "-o", "pack_v1.1.0", "--warning-rate", "0.02", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    old, new = load_model(MODEL).contract, load_model(tmp_path / "pack_v1.1.0").contract
    assert (printed["calibrated_from"], printed["name"], printed["trips"]) == (old.name, "pack_v1.1.0", len(HEALTHY))
    assert printed["warning"]["threshold"] == new.thresholds.warning != old.thresholds.warning
    assert new.monitoring is not None
    assert old.monitoring is not None
    record = new.monitoring.calibration
    assert record is not None
    assert (record.warning.rate, record.folds) == (0.02, None)
    assert printed["warning"]["guarantee"] == record.warning.guarantee
    low, high = printed["critical"]["false_alarms_per_100h_interval"]
    assert low <= printed["critical"]["false_alarms_per_100h"] <= high
    assert new.monitoring.recipe == old.monitoring.recipe
    assert new.training == old.training
    assert level_of(old, new) == Level.MINOR
    assert "guarantee: At most 2 %" in run("calibrate", MODEL, *HEALTHY, "-o", "b", "--warning-rate", "0.02").stdout


def test_the_same_bits_are_scored_afterwards(run: Run, tmp_path: Path) -> None:
    assert run("calibrate", MODEL, *HEALTHY, "-o", "pack_v1.1.0").returncode == 0
    trip = pd.read_csv(HEALTHY[0])
    before, after = (load_model(path).verdicts(trip).score_samples for path in (MODEL, tmp_path / "pack_v1.1.0"))
    assert before.tobytes() == after.tobytes()


def test_a_raw_model_is_calibrated_too(run: Run, tmp_path: Path) -> None:
    shipped = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0"
    done = run("calibrate", shipped, *HEALTHY, "-o", "raw_v1.1.0", "--warning-rate", "0.05", "--json")
    assert done.returncode == 0, done.stderr
    assert (
        load_model(tmp_path / "raw_v1.1.0").contract.thresholds.warning
        == json.loads(done.stdout)["warning"]["threshold"]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((MODEL, *HEALTHY, "-o", "x", "--critical-rate", "1e-7"), 4, "--critical-rate 1e-07 needs"),
        ((MODEL, HEALTHY[0], "-o", "x", "--warning-rate", "2"), 4, "--warning-rate must lie between 0 and 1"),
        (("nothing", HEALTHY[0], "-o", "x"), 3, "Model file not found"),
        ((MODEL, "nothing.csv", "-o", "x"), 5, "Telemetry file not found"),
        ((MODEL, HEALTHY[0]), 2, "Missing option"),
    ],
)
def test_what_will_not_do_is_one_line_and_writes_nothing(
    run: Run, tmp_path: Path, arguments: tuple[object, ...], code: int, said: str
) -> None:
    done = run("calibrate", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_model_may_be_kept(run: Run, tmp_path: Path) -> None:
    for suffix in ("json", "onnx"):
        shutil.copyfile(MODEL.with_name(f"{MODEL.name}.{suffix}"), tmp_path / f"kept.{suffix}")
    done = run("calibrate", MODEL, *HEALTHY, "-o", "kept", "--no-overwrite")
    assert done.returncode != 0
    assert load_model(tmp_path / "kept").contract.name == MODEL.name


# --- thresholds under the forest's floor ------------------------------------------------------------------------------


def test_training_says_that_the_default_threshold_is_out_of_reach(run: Run) -> None:
    done = run("train", *HEALTHY[:3], "-o", "raw_v1.0.0")
    assert done.returncode == 0
    assert done.stderr.startswith("ev-qa: warning: no reading ")
    assert "critical_threshold -0.8: the lowest score" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_thresholds_within_reach_are_not_spoken_of() -> None:
    trip = pd.read_csv(HEALTHY[0])
    analyzer = EVBatteryAnalyzer(n_estimators=10, critical_threshold=-0.55, warning_threshold=-0.5)
    assert analyzer.threshold_remark() is None
    assert analyzer.fit(trip).threshold_remark() is None
    analyzer.set_params(critical_threshold=-0.99)
    assert "below critical_threshold -0.99" in str(analyzer.threshold_remark())


def test_a_model_without_its_trees_here_says_nothing() -> None:
    assert EVBatteryAnalyzer.load_model(MODEL, backend="onnx").threshold_remark() is None


def test_calibrating_warns_where_healthy_rows_already_reach_the_floor() -> None:
    trips = pd.concat([pd.read_csv(path).assign(trip=number) for number, path in enumerate(HEALTHY)])
    analyzer = EVBatteryAnalyzer(n_estimators=1, max_samples=4, random_state=0).fit(trips)
    with pytest.warns(UserWarning, match="no reading can ever score below critical_threshold"):
        analyzer.calibrate(trips, warning_rate=0.01)


def test_files_that_the_model_was_fitted_on_are_warned_of(run: Run) -> None:
    few = [path for path in HEALTHY if "drive" in path.name][:9]
    assert run("train", *few, "-o", "pack_v1.0.0", *OVER_TIME).returncode == 0
    done = run("calibrate", "pack_v1.0.0", *few[:8], "-o", "pack_v1.1.0", "--warning-rate", "0.2")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1), done.stderr
    assert done.stderr.startswith("ev-qa: warning: 8 of 8 files have the name of one that the model was fitted on, ")
    others = [path for path in HEALTHY if path not in few]
    done = run("calibrate", "pack_v1.0.0", *others, "-o", "pack_v1.1.0", "--warning-rate", "0.2")
    assert (done.returncode, done.stderr) == (0, "")


OVER_TIME = ("--features", "physics", "--current-sign", "discharge_positive")


def test_too_few_trips_are_said_in_one_line(run: Run) -> None:
    done = run("train", *HEALTHY[-3:], "-o", "few_v1.0.0", *OVER_TIME, "--limits", "nmc")
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert first == (
        "ev-qa: warning: the thresholds are not calibrated: run ev-qa calibrate with healthy trips that were not "
        "fitted on; there are 3 trips, 8 are needed, and without them there is no healthy range"
    )
    assert second == (
        "ev-qa: warning: the limits on cell_voltage, c_rate rest, for want of cells_in_series and capacity_ah: give "
        "them in a .toml file as --limits, see docs/limits.md"
    )
    assert "warning_threshold" in done.stdout
    assert "(ev-qa detect lists them)" in done.stdout


def test_a_table_says_what_calibration_promises(run: Run) -> None:
    done = run("train", *HEALTHY[:9], "-o", "pack_v1.0.0", *OVER_TIME)
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning_false_alarms_per_100h: " in done.stdout
    assert "warning: At most" in " ".join(done.stdout.split())


def test_a_missing_column_is_told_with_its_file_and_other_names(run: Run, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("time,voltage,temp,soc\n0,350,20,50\n")
    done = run("train", "few.csv", "-o", "pack_v1.0.0", *OVER_TIME)
    assert done.returncode == 4
    assert done.stderr == (
        "ev-qa: error: few.csv: missing column(s) 'current'; there were: 'time', 'voltage', 'temp', 'soc' ('current' "
        "may also be called 'pack_current', 'battery_current', 'hv_current'; all names: docs/telemetry.md)\n"
    )
