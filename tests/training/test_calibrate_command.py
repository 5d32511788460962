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
        ((MODEL, *HEALTHY, "-o", "x", "--critical-rate", "1e-7"), 4, "critical_rate 1e-07 needs"),
        ((MODEL, HEALTHY[0], "-o", "x", "--warning-rate", "2"), 4, "warning_rate must lie between 0 and 1"),
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
