"""``ev-qa detect`` and ``ev-qa report`` as a shell sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from ev_qa_framework.cli import main
from ev_qa_framework.report.detection import detection
from ev_qa_framework.report.detection_text import print_detections
from ev_qa_runtime import Detector

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    stuck: pd.DataFrame, healthy: pd.DataFrame, fleet: pd.DataFrame,
) -> Run:  # fmt: skip
    """Runs ``ev-qa`` in a folder with three recordings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    stuck.to_csv("stuck.csv", index=False)
    healthy.iloc[:60].to_csv("healthy.csv", index=False)
    fleet.to_parquet("fleet.parquet")

    def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run_command


class TestDetect:
    def test_tables_fit_a_terminal_of_80_columns(self, run: Run, over_time_once: Path) -> None:
        done = run("detect", over_time_once, "stuck.csv", "healthy.csv", "fleet.parquet")
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 80
        for said in (
            "recordings",
            "stuck.csv",
            "healthy.csv",
            "events in stuck.csv",
            "current: frozen",
            "car <2>",
            "limit",
        ):
            assert said in done.stdout
        assert "events in healthy.csv" not in done.stdout

    def test_json_agrees_with_the_detector(
        self, run: Run, over_time_once: Path, detector: Detector, fleet: pd.DataFrame
    ) -> None:
        done = run("detect", over_time_once, "fleet.parquet", "stuck.csv", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        said = json.loads(done.stdout, parse_constant=pytest.fail)
        assert (said["model"], said["version"]) == ("pack_v2.0.0", "2.0.0")
        assert [one["source"] for one in said["recordings"]] == ["fleet.parquet", "stuck.csv"]
        of_fleet = said["recordings"][0]
        summary = detector.verdicts(fleet).summary()
        events = summary.pop("events")
        assert of_fleet["summary"] == json.loads(json.dumps(summary))
        assert [one["vehicle"] for one in of_fleet["vehicles"]] == ["car 1", "car <2>"]
        assert sum(one["events"] for one in of_fleet["vehicles"]) == len(events) == len(of_fleet["events"])
        told = sorted(
            ({key: one[key] for key in events[0]} for one in of_fleet["events"]), key=lambda one: one["end_row"]
        )
        assert told == json.loads(json.dumps(sorted(events, key=lambda one: one["end_row"])))
        assert any(one["explanation"] for one in of_fleet["events"])

    def test_events_only(self, run: Run, over_time_once: Path) -> None:
        done = run("detect", over_time_once, "stuck.csv", "healthy.csv", "--events-only", "--json")
        recordings = json.loads(done.stdout)["recordings"]
        assert [set(one) for one in recordings] == [{"source", "events"}] * 2
        assert [bool(one["events"]) for one in recordings] == [True, False]
        printed = run("detect", over_time_once, "stuck.csv", "healthy.csv", "--events-only").stdout
        assert "events in stuck.csv" in printed
        assert "recordings" not in printed
        assert run("detect", over_time_once, "healthy.csv", "--events-only").stdout == "No events.\n"

    def test_models_without_time_have_no_events(self, run: Run, saved_once: Path) -> None:
        done = run("detect", saved_once, "stuck.csv")
        assert done.returncode == 0
        assert "judges each reading alone" in done.stdout
        said = json.loads(run("detect", saved_once, "stuck.csv", "--json").stdout)["recordings"][0]
        assert said["events"] is None
        assert said["vehicles"][0]["rows"] == said["summary"]["total_samples"] == 1800

    def test_rows(self, run: Run, over_time_once: Path) -> None:
        said = json.loads(run("detect", over_time_once, "stuck.csv", "--rows", "0:40", "--json").stdout)
        assert said["recordings"][0]["summary"]["total_samples"] == 40

    def test_a_wrong_sign_is_warned_of(self, run: Run, over_time_once: Path, stuck: pd.DataFrame) -> None:
        stuck.iloc[:1000].assign(current=-stuck["current"]).to_csv("turned.csv", index=False)
        done = run("detect", over_time_once, "turned.csv", "--json")
        assert done.returncode == 0
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("ev-qa: warning: turned.csv: current looks charge_positive")

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("nowhere", "stuck.csv"), 3, "Model file not found: nowhere"),
            (("MODEL", "nowhere.csv"), 5, "Telemetry file not found: nowhere.csv"),
            (("MODEL", "few.csv"), 4, "few.csv: missing column(s)"),
            (("MODEL", "stuck.csv", "--rows", "0:0"), 4, "stuck.csv: there are no data rows to judge"),
        ],
    )
    def test_mistakes_are_one_line(
        self, run: Run, over_time_once: Path, arguments: tuple[str, ...], code: int, message: str
    ) -> None:
        Path("few.csv").write_text("time_s,voltage\n1,2\n")
        done = run("detect", *(over_time_once if argument == "MODEL" else argument for argument in arguments))
        assert done.returncode == code, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr
        assert done.stdout == ""

    def test_names_from_outside_reach_the_terminal_as_text(
        self, detector: Detector, stuck: pd.DataFrame, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = stuck.iloc[1000:1300].assign(vehicle_id="[red]car[/red]\x1b[2J")
        found = detection(detector, hostile, "[b]\x1b[2Jfile")
        print_detections(detector.contract, [found], Console(width=120))
        printed = capsys.readouterr().out
        assert "\x1b" not in printed
        assert "[red]car[/red]\\x1b[2J" in printed


class TestReport:
    def test_page_and_picture(self, run: Run, over_time_once: Path) -> None:
        done = run("report", over_time_once, "stuck.csv", "-o", "report.html", "--png", "report.png")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0].startswith("report.html: ")
        assert "current: frozen" in Path("report.html").read_text(encoding="utf-8")
        assert Path("report.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("nowhere", "stuck.csv", "-o", "r.html"), 3, "Model file not found: nowhere"),
            (("MODEL", "stuck.csv", "-o", "no/r.html"), 5, "no/r.html: No such file"),
            (("MODEL", "stuck.csv", "-o", "r.html", "--png", "."), 5, ".: Is a directory"),
            (("MODEL", "few.csv", "-o", "r.html"), 4, "few.csv: missing column(s)"),
            (("MODEL", "few.csv", "-o", "few.csv"), 4, "few.csv: this would replace telemetry that is being read"),
        ],
    )
    def test_mistakes_are_one_line_and_leave_no_file(
        self, run: Run, over_time_once: Path, arguments: tuple[str, ...], code: int, message: str
    ) -> None:
        Path("few.csv").write_text("time_s,voltage\n1,2\n")
        done = run("report", *(over_time_once if argument == "MODEL" else argument for argument in arguments))
        assert done.returncode == code, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr
        assert not Path("r.html").exists()

    def test_the_page_must_be_named(self, run: Run) -> None:
        assert run("report", "model", "stuck.csv").returncode == 2
        assert run("report", "model", "stuck.csv", "-o", "r.html", "--png", "./r.html").returncode == 2


@pytest.mark.parametrize("command", ["detect", "report"])
def test_help_answers_without_the_training_stack(command: str) -> None:
    program = (
        f"import sys\nfrom ev_qa_framework.cli import main\ncode = main(['{command}', '--help'])\n"
        "print(code, sorted({'sklearn', 'scipy', 'matplotlib', 'pandas', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
