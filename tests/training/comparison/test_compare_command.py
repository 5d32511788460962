"""``ev-qa compare`` as a shell sees it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from ev_qa_framework import EVBatteryAnalyzer, compare_models
from ev_qa_framework.cli import main
from ev_qa_framework.comparison.report_text import print_comparison

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], saved_once: Path,
    faulty: pd.DataFrame, telemetry: pd.DataFrame,
) -> Run:  # fmt: skip
    """Runs ``ev-qa`` in a folder with two recordings and a second model ``b_v1.3.0``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    faulty.to_csv("faulty.csv", index=False)
    faulty.rename(columns={"voltage": "Pack Voltage"}).to_parquet("same.parquet")
    EVBatteryAnalyzer(n_estimators=6, random_state=5).fit(telemetry).save_model("b_v1.3.0")

    def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run_command


def test_tables_fit_a_terminal_of_80_columns(run: Run, saved_once: Path) -> None:
    done = run("compare", saved_once, "b_v1.3.0", "faulty.csv", "same.parquet", "--labels", "fault")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for heading in ("flagged", "agreement", "severity", "data against training", "against labels", "on this machine"):
        assert heading in done.stdout
    assert "pack_v1.2" in done.stdout
    assert "…" not in [cell.strip() for cell in done.stdout.split("│")]  # nothing was cut off


def test_json_is_plain(run: Run, saved_once: Path, faulty: pd.DataFrame) -> None:
    done = run("compare", saved_once, "b_v1.3.0", "faulty.csv", "same.parquet", "--labels", "fault", "--json")
    said = json.loads(done.stdout, parse_constant=pytest.fail)
    assert said["rows"]["given"] == 2 * len(faulty)
    assert said["method"]["recordings"] == 2
    assert said["labelled"]["faults"] == 2 * faulty["fault"].sum()
    assert (said["a"]["name"], said["b"]["version"]) == ("pack_v1.2", "1.3.0")


def test_rows_and_block_rows(run: Run, saved_once: Path) -> None:
    done = run("compare", saved_once, saved_once, "faulty.csv", "--rows", "10:60", "--block-rows", "7", "--json")
    said = json.loads(done.stdout)
    assert (said["rows"]["given"], said["method"]["block_rows"]) == (50, 7)
    assert said["labelled"] is None


def test_too_few_blocks_leave_the_intervals_out(run: Run, saved_once: Path, tmp_path: Path) -> None:
    command = ("compare", saved_once, "b_v1.3.0", "faulty.csv", "--labels", "fault", "--rows", "0:200")
    enough = json.loads(run(*command, "--block-rows", "40", "--json").stdout)
    assert (enough["method"]["blocks"], enough["method"]["left_out"]) == (5, None)
    few = json.loads(run(*command, "--block-rows", "150", "--json").stdout)
    reason = "200 rows make only 1 block of 150, at least 5 are needed"
    assert (few["method"]["blocks"], few["method"]["left_out"]) == (1, reason)
    assert few["a"]["flagged"]["blocks"] is few["agreement"]["kappa"]["interval"] is None
    assert few["labelled"]["difference"]["roc_auc"]["interval"] is None
    assert few["labelled"]["a"]["roc_auc"]["value"] == enough["labelled"]["a"]["roc_auc"]["value"]
    table = " ".join(run(*command, "--block-rows", "150", "--html", "report.html").stdout.split())
    assert f"None by blocks: {reason}." in table
    assert f"None by blocks: {reason}." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_table_is_printed_even_where_the_report_cannot_be_written(
    run: Run, saved_once: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "report.html")

    monkeypatch.setattr("ev_qa_framework.comparison.report_html.write_html", full)
    done = run("compare", saved_once, "b_v1.3.0", "faulty.csv", "--html", "report.html")
    assert done.returncode == 5
    assert "agreement" in done.stdout
    assert done.stderr.strip() == "ev-qa: error: report.html: No space left on device"


def test_the_report_is_written(run: Run, saved_once: Path, tmp_path: Path) -> None:
    done = run("compare", saved_once, "b_v1.3.0", "faulty.csv", "--html", "report.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pack_v1.2" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere", "b_v1.3.0", "faulty.csv"), 3, "Model file not found: nowhere"),
        (("b_v1.3.0", "b_v1.3.0", "nowhere.csv"), 5, "Telemetry file not found: nowhere.csv"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--labels", "label"), 4, "there is no column 'label' of labels"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--labels", "current"), 4, "0 means normal here and 1 a fault"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--labels", "voltage"), 4, "different numbers, more than 20 fault"),
        (("b_v1.3.0", "b_v1.3.0", "few.csv"), 4, "few.csv: missing column(s) 'temp'"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--rows", "0:0"), 4, "none of the 0 row(s) is valid for both"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--block-rows", "0"), 4, "--block-rows must be at least 1, not 0"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--html", "no/report.html"), 5, "no/report.html: No such file"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--html", "."), 5, ".: Is a directory"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--html", "b_v1.3.0.json"), 4, "call the report b_v1.3.0.html"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--html", "b_v1.3.0.onnx"), 4, ".onnx is for a model's files"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--html", "./faulty.csv"), 4, "would replace telemetry"),
        (("b_v1.3.0", "b_v1.3.0", "faulty.csv", "--html", "pipe"), 4, "a pipe or a device is not replaced"),
        (("nowhere", "nowhere", "faulty.csv", "--html", "faulty.csv/report.html"), 5, "report.html: Not a directory"),
    ],
)
def test_mistakes_are_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (tmp_path / "few.csv").write_text("voltage,current\n1,2\n")
    os.mkfifo(tmp_path / "pipe")
    done = run("compare", *arguments)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ev-qa: error: ")
    assert message in done.stderr
    assert done.stdout == ""


def test_a_command_line_without_telemetry_is_a_usage_error(run: Run) -> None:
    assert run("compare", "a", "b").returncode == 2


def test_help_answers_without_the_training_stack() -> None:
    program = (
        "import sys\nfrom ev_qa_framework.cli import main\ncode = main(['compare', '--help'])\n"
        "print(code, sorted({'sklearn', 'scipy', 'matplotlib', 'pandas', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_names_from_outside_reach_the_terminal_as_text(
    analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["[red]hot[/red]" if fault else "" for fault in faulty["fault"]]
    labels[-1] = "\x1b[2Jcleared"
    found = compare_models(analyzer, analyzer, faulty, labels, resamples=100, measure_speed=False)
    print_comparison(found, Console(width=80))
    printed = capsys.readouterr().out
    assert "[red]hot[/red]" in printed
    assert "\x1b" not in printed
    assert "\\x1b[2Jcleared" in printed
