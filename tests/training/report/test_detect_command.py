"""``ev-qa detect`` and ``ev-qa report`` as a shell sees them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from ev_qa_framework.cli import main
from ev_qa_framework.report.detection import detection
from ev_qa_framework.report.detection_text import model_heading, print_detections
from ev_qa_framework.time_scale import local_text
from ev_qa_runtime import Detector

TELEMETRY = Path(__file__).parents[3] / "demo" / "telemetry"
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

    def test_what_healthy_trips_kept_to_comes_first(self, run: Run, over_time_once: Path) -> None:
        done = run("detect", over_time_once, TELEMETRY / "fault_resistance_x2_02.csv")
        said = " ".join(done.stdout.split())
        assert -1 < said.find("10 healthy trips kept to") < said.find("far beyond what healthy trips showed")

    def test_json_agrees_with_the_detector(
        self, run: Run, over_time_once: Path, detector: Detector, fleet: pd.DataFrame
    ) -> None:
        done = run("detect", over_time_once, "fleet.parquet", "stuck.csv", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        said = json.loads(done.stdout, parse_constant=pytest.fail)
        assert (said["model"], said["version"]) == ("pack_v2.0.0", "2.0.0")
        assert said["onnx_sha256"] == detector.contract.files["onnx"].sha256
        sidecar = over_time_once.with_name("pack_v2.0.0.json").read_bytes()
        assert said["sidecar_sha256"] == hashlib.sha256(sidecar).hexdigest()
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
        print_detections(model_heading(detector), [found], Console(width=120))
        printed = capsys.readouterr().out
        assert "\x1b" not in printed
        assert "[red]car[/red]\\x1b[2J" in printed


class TestWhatAnOperatorReads:
    def test_invalid_rows_are_told_with_reason_first_and_last(
        self, run: Run, over_time_once: Path, fleet: pd.DataFrame
    ) -> None:
        printed = run("detect", over_time_once, "fleet.parquet").stdout
        assert "not judged in fleet.parquet" in printed
        assert "soc: missing" in printed
        said = json.loads(run("detect", over_time_once, "fleet.parquet", "--json").stdout)["recordings"][0]
        [reason] = [one for one in said["invalid"] if one["reason"] == "soc: missing"]
        rows = fleet.index[fleet["soc"].isna()]
        times = fleet["timestamp"].astype("int64") / 10 ** (9 if fleet["timestamp"].dtype.unit == "ns" else 6)
        assert reason == {
            "vehicle": "car <2>", "reason": "soc: missing", "rows": len(rows),
            "first_row": rows[0], "last_row": rows[-1], "first_time": times[rows[0]], "last_time": times[rows[-1]],
        }  # fmt: skip
        counted = {one["reason"]: one["rows"] for one in said["invalid"]}
        assert counted == said["summary"]["invalid_reasons"]
        assert sum(one["invalid"] for one in said["vehicles"]) == said["summary"]["invalid_samples"]

    def test_invalid_rows_of_a_model_without_time_have_row_numbers(self, run: Run, saved_once: Path) -> None:
        Path("gaps.csv").write_text("voltage,current,temp\n350,1,20\n,1,20\n350,1,\n,1,20\n")
        assert "voltage: missing" in run("detect", saved_once, "gaps.csv").stdout
        said = json.loads(run("detect", saved_once, "gaps.csv", "--json").stdout)["recordings"][0]
        assert [(one["reason"], one["rows"], one["first_row"], one["last_row"]) for one in said["invalid"]] == [
            ("voltage: missing", 2, 1, 3), ("temp: missing", 1, 2, 2)
        ]  # fmt: skip
        assert said["invalid"][0]["first_time"] is None

    def test_an_event_has_its_end_its_peak_and_who_pushed(self, run: Run, over_time_once: Path) -> None:
        printed = run("detect", over_time_once, "fleet.parquet").stdout
        digest = hashlib.sha256(over_time_once.with_name("pack_v2.0.0.json").read_bytes()).hexdigest()
        assert f"pack_v2.0.0 version 2.0.0 (sidecar sha256 {digest[:12]}…)" in printed
        for said in ("from 2024-", "to   2024-", "for  ", "peak 2024-", ", score -0.", "path shortened by"):
            assert said in printed
        event = json.loads(run("detect", over_time_once, "fleet.parquet", "--json").stdout)["recordings"][0]["events"][
            0
        ]
        assert 1 <= len(event["contributions"]) <= 5
        assert {"feature", "share", "value", "usual", "unit"} == set(event["contributions"][0])


class TestLimitsAlone:
    def test_events_and_invalid_rows_without_a_model(self, run: Run) -> None:
        done = run("detect", "fleet.parquet", "stuck.csv", "--limits", "nmc")
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "limits nmc, and ranges of the readings; no model" in done.stdout
        for said in ("events in fleet.parquet", "car <2>", "CRITICAL",
                     "temp above the critical limit of 60 °C", "Limits not watched"):  # fmt: skip
            assert said in done.stdout
        assert "events in stuck.csv" not in done.stdout

    def test_json_is_that_of_a_model_without_scores(self, run: Run, over_time_once: Path) -> None:
        said = json.loads(
            run("detect", "fleet.parquet", "--limits", "lfp", "--json").stdout, parse_constant=pytest.fail
        )
        assert (said["model"], said["limits"]) == (None, "lfp")
        by_model = json.loads(run("detect", over_time_once, "fleet.parquet", "--json").stdout)["recordings"][0]
        found = said["recordings"][0]
        assert set(found) == set(by_model)
        assert set(found["summary"]) == set(by_model["summary"])
        assert set(found["events"][0]) == set(by_model["events"][0])
        assert found["summary"]["lowest_score"] is None
        assert found["events"][0]["raised_by"] == ["limits"]
        assert found["unwatched_limits"] == ["probe_spread", "cell_voltage", "cell_spread", "c_rate"]

    def test_a_file_of_limits_and_the_sign_of_the_current(self, run: Run) -> None:
        Path("pack.toml").write_text('profile = "nmc"\ncells_in_series = 96\ncapacity_ah = 60\n')
        said = json.loads(run("detect", "stuck.csv", "--limits", "pack.toml", "--json").stdout)
        assert (said["limits"], said["cells_in_series"], said["capacity_ah"]) == ("nmc", 96, 60.0)
        printed = run("detect", "stuck.csv", "--limits", "pack.toml", "--current-sign", "discharge_positive").stdout
        assert "for 96 cells in series, 60 Ah" in printed
        turned = run("detect", "stuck.csv", "--limits", "pack.toml", "--current-sign", "charge_positive")
        assert turned.returncode == 0
        assert "ev-qa: warning: stuck.csv: current looks discharge_positive" in turned.stderr

    def test_sentinels_are_invalid_without_any_training(self, run: Run, healthy: pd.DataFrame) -> None:
        broken = healthy.iloc[:60].copy()
        broken.loc[broken.index[10:13], "temp"] = [-40.0, 511.0, 300.0]
        broken.to_csv("broken.csv", index=False)
        said = json.loads(run("detect", "broken.csv", "--limits", "nmc", "--json").stdout)["recordings"][0]
        assert said["summary"]["invalid_reasons"] == {"temp: out of range": 1, "temp: sentinel": 2}
        assert (said["summary"]["invalid_samples"], said["events"]) == (3, [])

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("stuck.csv",), 2, "name a model and telemetry, or telemetry and --limits PROFILE|FILE"),
            (("MODEL", "stuck.csv", "--limits", "nmc"), 2, "is one that carries its own limits"),
            (("RAW", "stuck.csv", "--limits", "nmc"), 2, "is one, of readings alone: leave one of them out"),
            (("artifacts@champion", "stuck.csv", "--limits", "nmc"), 2, "leave one of them out"),
            (("stuck.csv", "--limits", "nmcc"), 4, "did you mean 'nmc'?"),
            (("stuck.csv", "--limits", "no.toml"), 5, "Limits file not found: no.toml"),
            (("no.csv", "--limits", "nmc"), 5, "Telemetry file not found: no.csv"),
            (("bare.csv", "--limits", "nmc"), 4, "bare.csv: none of the limits can be watched here"),
            (("stuck.csv", "--limits", "nmc", "--rows", "0:0"), 4, "stuck.csv: there are no data rows to judge"),
        ],
    )
    def test_mistakes_end_with_their_code(
        self,
        run: Run,
        over_time_once: Path,
        saved_once: Path,
        arguments: tuple[str, ...],
        code: int,
        message: str,
    ) -> None:
        Path("bare.csv").write_text("time_s,soc\n1,50\n2,50\n")
        models = {"MODEL": over_time_once, "RAW": saved_once}
        done = run("detect", *(models.get(argument, argument) for argument in arguments))
        assert done.returncode == code, done.stderr
        assert message in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_a_sign_that_cannot_matter_is_warned_of(self, run: Run, healthy: pd.DataFrame) -> None:
        healthy.assign(current=-healthy["current"]).to_csv("turned.csv", index=False)
        Path("large.toml").write_text('profile = "nmc"\ncells_in_series = 96\ncapacity_ah = 170\n')
        done = run("detect", "turned.csv", "--limits", "large.toml", "--json")
        assert done.returncode == 0
        assert done.stderr.startswith("ev-qa: warning: turned.csv: current looks charge_positive")
        remark = json.loads(done.stdout)["recordings"][0]["summary"]["remark"]
        assert "--current-sign charge_positive" in remark
        assert "current_sign=" not in remark
        Path("small.toml").write_text('profile = "nmc"\ncells_in_series = 96\ncapacity_ah = 10\n')
        done = run("detect", "turned.csv", "--limits", "small.toml")
        assert (done.returncode, done.stdout) == (4, "")
        assert "current looks charge_positive" in done.stderr

    def test_the_help_shows_both_uses(self, run: Run) -> None:
        printed = run("detect", "--help").stdout
        assert "  ev-qa detect models/pack_v1.0.0 drive.csv\n" in printed
        assert "  ev-qa detect drive.csv --limits nmc\n" in printed


@pytest.mark.parametrize(
    ("zone", "seconds", "said"),
    [
        ("Europe/Berlin", 1_717_200_000.0, "2024-06-01 02:00:00 CEST"),
        ("UTC", 1_717_200_000.0, "2024-06-01 00:00:00 UTC"),
        ("Europe/Berlin", 732.0, "0:12:12"),
    ],
)
def test_dates_are_on_the_clock_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, zone: str, seconds: float, said: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert local_text(seconds) == said
    monkeypatch.undo()
    time.tzset()


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
