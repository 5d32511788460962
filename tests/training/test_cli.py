"""``ev-qa`` as a shell sees it: what it prints, what it writes and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.cli import main

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = ("train", "info", "parity", "compare", "migrate", "keygen", "sign", "signatures")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs ``ev-qa`` with the given arguments in the test's own folder."""

    def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ev_qa_framework.cli", *map(str, arguments)]
        environment = os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "error::FutureWarning"}
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)

    return run_command


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The same within this process, for the many cases that would each take seconds to start."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run_command


@pytest.fixture
def small_config(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(
        "[analyzer]\nn_estimators = 5\n[profiles.careful]\ncontamination = 0.02\ncritical_threshold = -0.9\n"
    )
    return file


def refused(result: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    """One line on standard error, nothing on standard output, no traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("ev-qa: error: ")
    assert message in result.stderr
    assert result.stdout == ""


def test_training_on_several_files_writes_a_model_and_says_so_in_json(
    run: Run, telemetry: pd.DataFrame, small_config: Path, tmp_path: Path
) -> None:
    telemetry.iloc[:300].to_csv(tmp_path / "one.csv", index=False)
    telemetry.iloc[300:].to_parquet(tmp_path / "two.parquet")

    result = run(
        "train", "one.csv", "two.parquet", "-o", "models/pack_v1.3", "--config", small_config, "--profile", "careful",
        "--metadata", "dataset=demo=1", "--metadata", "folds=[1, 2.5]", "--json",
    )  # fmt: skip

    assert result.returncode == 0
    assert result.stderr.startswith("ev-qa: warning: no reading can ever score below critical_threshold -0.9: ")
    assert len(result.stderr.splitlines()) == 1
    said = json.loads(result.stdout)
    assert (said["name"], said["version"], said["parity_max_ulp"]) == ("pack_v1.3", "1.3.0", 0)
    assert said["rows_trained_on"] == said["training_data"]["total_samples"] == len(telemetry)
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "models" / "pack_v1.3")
    assert (loaded.n_estimators, loaded.contamination, loaded.critical_threshold) == (5, 0.02, -0.9)
    assert loaded.get_model_info()["metadata"] == {"dataset": "demo=1", "folds": [1, 2.5]}
    expected = EVBatteryAnalyzer(0.02, 5, critical_threshold=-0.9).fit(telemetry)
    assert loaded.score_samples(telemetry).tolist() == expected.score_samples(telemetry).tolist()
    document = json.loads((tmp_path / "models" / "pack_v1.3.json").read_text())
    assert document["training"]["source"] == "one.csv, two.parquet"


def test_rows_picks_data_rows_and_the_table_is_for_reading(
    run_here: Run, telemetry: pd.DataFrame, small_config: Path, tmp_path: Path
) -> None:
    telemetry.to_csv(tmp_path / "all.csv", index=False)

    result = run_here("train", "all.csv", "-o", "model", "--rows", "100:400", "--config", small_config)

    assert result.returncode == 0
    assert "trained model" in result.stdout
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "model")
    assert loaded.get_model_info()["rows_trained_on"] == 300
    expected = EVBatteryAnalyzer(n_estimators=5).fit(telemetry.iloc[100:400])
    assert loaded.score_samples(telemetry).tolist() == expected.score_samples(telemetry).tolist()


def test_no_overwrite_refuses_an_existing_model(
    run_here: Run, telemetry: pd.DataFrame, small_config: Path, saved: Path, tmp_path: Path
) -> None:
    telemetry.to_csv(tmp_path / "all.csv", index=False)
    before = saved.with_name("pack_v1.2.json").read_bytes()

    result = run_here("train", "all.csv", "-o", saved, "--config", small_config, "--no-overwrite")

    refused(result, 5, "pack_v1.2.joblib exists already")
    assert saved.with_name("pack_v1.2.json").read_bytes() == before


def test_info_shows_the_model_and_its_back_end(run: Run, run_here: Run, saved: Path) -> None:
    result = run("info", f"{saved}.onnx", "--json")

    assert (result.returncode, result.stderr) == (0, "")
    info = json.loads(result.stdout)
    assert info == EVBatteryAnalyzer.load_model(saved).get_model_info()
    assert info["backend"] == "sklearn"

    table = run_here("info", saved)
    assert table.returncode == 0
    assert "pack_v1.2" in table.stdout
    assert "1.2.0" in table.stdout


def test_parity_of_a_sound_model_is_zero_ulp(run: Run, saved: Path, telemetry: pd.DataFrame, tmp_path: Path) -> None:
    telemetry.to_csv(tmp_path / "all.csv", index=False)

    result = run(
        "parity", saved, "all.csv", "--rows", ":200", "--adversarial", "500", "--reference-rows", "20", "--json"
    )

    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["agrees"] is True
    assert [(row["engine"], row["rows"], row["max_ulp"]) for row in found["comparisons"]] == [
        ("runtime", 700, 0),
        ("onnx.reference", 20, 0),
    ]


def test_migrate_asks_for_trust_and_then_converts(
    run: Run, run_here: Run, analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    content = {"model": analyzer.model, "scaler": analyzer.scaler, "metadata": {"car": "A"}}
    joblib.dump(content, tmp_path / "old_v0.9.joblib")

    refused(run_here("migrate", "old_v0.9.joblib"), 3, "add --trust")
    assert not (tmp_path / "old_v0.9.json").exists()

    result = run("migrate", "old_v0.9.joblib", "--trust", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert (said["version"], said["metadata"], said["parity_max_ulp"]) == ("0.9.0", {"car": "A"}, 0)
    loaded = EVBatteryAnalyzer.load_model(tmp_path / "old_v0.9")
    assert loaded.score_samples(telemetry).tolist() == analyzer.score_samples(telemetry).tolist()


def test_a_model_that_is_missing_or_damaged_exits_with_3(run: Run, run_here: Run, saved: Path) -> None:
    refused(run_here("info", "nowhere/model"), 3, "Model file not found: ")
    saved.with_name("pack_v1.2.onnx").write_bytes(b"damaged")
    refused(run("info", saved), 3, "its bytes are not the ones")


def test_telemetry_or_configuration_that_will_not_do_exits_with_4(
    run: Run, run_here: Run, telemetry: pd.DataFrame, small_config: Path, tmp_path: Path
) -> None:
    telemetry.drop(columns="temp").to_csv(tmp_path / "two.csv", index=False)
    refused(run("train", "two.csv", "-o", "model"), 4, "missing column(s) 'temp'")
    (tmp_path / "not.parquet").write_bytes(b"not a table")
    refused(run_here("train", "not.parquet", "-o", "model"), 4, "not.parquet: not a readable table")
    small_config.write_text("[analyzer]\ntrees = 5\n")
    refused(run_here("train", "two.csv", "-o", "model", "--config", small_config), 4, "unknown key 'trees'")
    assert not list(tmp_path.glob("model*"))


def test_a_file_that_cannot_be_read_or_written_exits_with_5(
    run: Run, run_here: Run, telemetry: pd.DataFrame, small_config: Path, tmp_path: Path
) -> None:
    telemetry.to_csv(tmp_path / "all.csv", index=False)
    refused(run("train", "none.csv", "-o", "model"), 5, "none.csv")
    refused(
        run_here("train", "all.csv", "-o", "all.csv/model", "--config", small_config), 5, "all.csv: Not a directory"
    )
    refused(run_here("train", "all.csv", "-o", "model", "--config", "none.toml"), 5, "none.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Usage: ev-qa"),
        (("trian",), "No such command 'trian'"),
        (("train", "x.csv"), "Missing option '-o'"),
        (("train", "-o", "model"), "Missing argument 'TELEMETRY"),
        (("train", "x.csv", "-o", "m", "--rows", "5"), "'5' is not START:STOP"),
        (("train", "x.csv", "-o", "m", "--rows", "9:5"), "'9:5' is not START:STOP"),
        (("train", "x.csv", "-o", "m", "--profile", "p"), "--profile needs --config"),
        (("train", "x.csv", "-o", "m", "--metadata", "novalue"), "'novalue' is not KEY=VALUE"),
        (("parity", "m", "x.csv", "--adversarial", "many"), "'many' is not a valid integer"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: tuple[str, ...], message: str, run_here: Run) -> None:
    result = run_here(*arguments)

    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_explains_itself_and_the_exit_codes(command: tuple[str, ...], run_here: Run) -> None:
    result = run_here(*command, "--help")

    assert (result.returncode, result.stderr) == (0, "")
    assert "Exit codes:" in result.stdout
    for line in ("0  done", "3  the model is missing", "4  the telemetry or the configuration", "130  interrupted"):
        assert line in result.stdout
    if not command:
        assert all(name in result.stdout for name in COMMANDS)


def test_the_console_script_is_installed(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("ev-qa")

    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)

    assert result.returncode == 0
    assert "version 0." in result.stdout
