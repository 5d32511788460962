"""The golden model over time, with the runtime alone: it stays readable, and what it says stays the same."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ev_qa_runtime import Detector, csv_telemetry, load_model, sidecar
from ev_qa_runtime.__main__ import main
from ev_qa_runtime.errors import ArtifactError, TelemetryError
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts

MODELS = Path(__file__).parents[1] / "data" / "models"
MODEL = MODELS / "over_time_v1.0.0"
TELEMETRY = Path(__file__).parents[2] / "demo" / "telemetry"
FAULTY = TELEMETRY / "fault_resistance_x2_02.csv"
ALL_EXPECTED: dict[str, dict[str, dict[str, Any]]] = json.loads((MODELS / "expected.json").read_text(encoding="utf-8"))
EXPECTED = ALL_EXPECTED[MODEL.name]
SIGNALS = ("time_s", "voltage", "current", "temp", "soc")
Run = Callable[..., subprocess.CompletedProcess[str]]
Called = Callable[..., tuple[int, str, str]]


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_models", MODELS / "make_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_model(MODEL)


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str]) -> Called:
    """``called("score", …)``: exit code, standard output and standard error of a command in this process."""

    def call(*arguments: object) -> tuple[int, str, str]:
        return main([str(argument) for argument in arguments]), *capsys.readouterr()

    return call


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def without_scores(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in event.items() if key != "peak_score"} for event in events]


def without_rows(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in event.items() if not key.endswith("_row")} for event in events]


@pytest.mark.parametrize("recording", EXPECTED)
@pytest.mark.parametrize("name", ALL_EXPECTED)
def test_it_says_what_it_said_on_every_machine(name: str, recording: str) -> None:
    detector, expected = load_model(MODELS / name), ALL_EXPECTED[name][recording]
    found = MAKER.figures(detector, recording)
    assert without_scores(found.pop("events")) == without_scores(expected["events"])
    assert found == {key: value for key, value in expected.items() if key != "events"}
    peaks = [
        event["peak_score"] for event in detector.verdicts(MAKER.columns(TELEMETRY / recording)).summary()["events"]
    ]
    assert peaks == pytest.approx([event["peak_score"] for event in expected["events"]], rel=1e-12)


def test_the_faults_are_among_them() -> None:
    assert set(ALL_EXPECTED) == set(MAKER.MODELS)
    for expected in ALL_EXPECTED.values():
        assert [len(figures["events"]) > 0 for figures in expected.values()] == [False, True, True]


@pytest.mark.parametrize("name", ALL_EXPECTED)
def test_its_sidecar_comes_back_byte_for_byte(name: str) -> None:
    data = (MODELS / f"{name}.json").read_bytes()
    assert json.loads(data)["schema_version"] == 2
    assert sidecar.encode(load_model(MODELS / name).contract) == data


def test_the_newer_one_has_what_the_older_one_lacks() -> None:
    old, new = (load_model(MODELS / name).contract.monitoring for name in MAKER.MODELS)
    assert old is not None
    assert new is not None
    assert (old.healthy_range, old.sampling) == (None, None)
    assert new.healthy_range is not None
    assert new.sampling is not None
    reasons = [
        event["reasons"][0]["reason"]
        for figures in ALL_EXPECTED[MAKER.MODELS[-1]].values()
        for event in figures["events"]
    ]
    assert any(reason.endswith("far beyond what healthy trips showed") for reason in reasons)


def test_another_models_state_is_refused_and_changes_nothing(detector: Detector) -> None:
    columns = MAKER.columns(FAULTY)
    rows = [{name: float(column[row]) for name, column in columns.items()} for row in range(60)]
    other = load_model(MODELS / MAKER.MODELS[-1]).stream("pack")
    stream = detector.stream("a failed restore")
    for row in rows[:50]:
        other.score(**row)
        stream.score(**row)
    before = json.dumps(stream.state())

    with pytest.raises(TelemetryError, match="state of a vehicle under another model: start without it"):
        stream.restore(other.state())
    for broken in (
        {"limits": 1},
        {"events": {}},
        {"direction": {}},
        {"current_sign": "up"},
        {"reader": {"quality": 1}},
    ):
        with pytest.raises((TelemetryError, ArtifactError), match=r"state|current_sign"):
            detector.stream("a failed restore", stream.state() | broken)

    assert json.dumps(stream.state()) == before
    assert "recipe" in stream.state()
    stream.restore({key: value for key, value in stream.state().items() if key != "recipe"})
    assert json.dumps(stream.state()) == before


# --- commands ---------------------------------------------------------------------------------------------------------


def test_score_prints_the_events(run: Run) -> None:
    done = run("score", MODEL, FAULTY)
    assert (done.returncode, done.stderr) == (0, "")
    event = EXPECTED[FAULTY.name]["events"][0]
    said = f"  {event['severity']} rows {event['start_row']} to {event['end_row']}, {event['start_time']:g} to "
    assert "\nevents\n" + said in done.stdout
    assert ": the readings together are unusual\n" in done.stdout


@pytest.mark.parametrize("chunk_rows", [1, 700, 8192])
def test_score_gives_the_detectors_result_whatever_the_chunks(
    called: Called, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(csv_telemetry, "CHUNK_ROWS", chunk_rows)
    source = write(tmp_path / "short.csv", [*rows_of(FAULTY)[600:1000]]) if chunk_rows == 1 else FAULTY
    code, out, err = called("score", MODEL, source, "--json", "-o", tmp_path / "out.csv")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    columns = MAKER.columns(source)
    expected = detector.analyze_telemetry(columns)
    assert {key: printed[key] for key in expected} == json.loads(json.dumps(expected))
    assert printed["events"]
    verdicts = detector.verdicts(columns)
    written = rows_of(tmp_path / "out.csv")
    assert np.array([float(row["score"]) for row in written]).tobytes() == verdicts.score_samples.tobytes()
    assert [row["severity"] for row in written] == [str(verdict.severity) for verdict in verdicts]
    assert [int(row["label"]) for row in written] == verdicts.label.tolist()


def test_vehicles_other_units_dates_and_missing_cells_are_read(
    called: Called, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_telemetry, "CHUNK_ROWS", 333)
    plain, faulty = (MAKER.columns(TELEMETRY / name) for name in ("healthy_drive_03.csv", FAULTY.name))
    rows = []
    for row in range(1200):
        for vehicle, trip in (("007", plain), ("b", faulty)):
            minute, second = divmod(row, 60)
            rows.append(
                {
                    "VIN": vehicle,
                    "Timestamp": f"1970-01-01T00:{minute:02}:{second:02}Z",
                    "pack_voltage_mV": trip["voltage"][row].item() * 1000.0,
                    "Current [A]": trip["current"][row],
                    "temp": trip["temp"][row] if row != 300 else "n/a",
                    "SoC (%)": trip["soc"][row],
                }
            )
    code, out, err = called("score", MODEL, write(tmp_path / "fleet.csv", rows), "--json", "-o", tmp_path / "out.csv")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert {event["vehicle"] for event in printed["events"]} == {"b"}
    assert printed["invalid_reasons"] == {"temp: missing": 2}
    assert rows_of(tmp_path / "out.csv")[600]["reasons"] == "temp: missing"
    faulty = {name: values[:1200].copy() for name, values in faulty.items()}
    faulty["temp"][300] = np.nan
    faulty["voltage"] = faulty["voltage"] * 1000.0 / 1000.0
    alone = detector.verdicts(faulty).summary()["events"]
    mine = [event | {"vehicle": ""} for event in printed["events"]]
    assert without_rows(mine) == without_rows(alone)


def test_a_wrong_sign_of_the_current_is_the_summarys_remark(called: Called, tmp_path: Path) -> None:
    turned = [row | {"current": -float(row["current"])} for row in rows_of(FAULTY)]
    code, out, err = called("score", MODEL, write(tmp_path / "turned.csv", turned), "--json")
    assert (code, err) == (0, "")
    assert "current looks charge_positive" in json.loads(out)["remark"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"soc": None}, "missing column"),
        ({"time_s": None}, "missing column"),
        ({"temp": "warm"}, "column 'temp' is not numeric: it holds 'warm'"),
        ({"time_s": "noon"}, r"column 'time_s': row 0 holds noon, no point in time"),
    ],
)
def test_telemetry_that_will_not_do_ends_with_4(
    called: Called, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    rows = [row | change for row in rows_of(FAULTY)[:20]]
    rows = [{key: value for key, value in row.items() if value is not None} for row in rows]
    code, out, err = called("score", MODEL, write(tmp_path / "bad.csv", rows))
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert f"{tmp_path / 'bad.csv'}: " in err
    assert said in err


def test_a_bad_row_of_a_later_chunk_is_counted_from_the_file(
    called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_telemetry, "CHUNK_ROWS", 10)
    rows = rows_of(FAULTY)[:40]
    rows[27]["time_s"] = "noon"
    _, _, err = called("score", MODEL, write(tmp_path / "bad.csv", rows))
    assert "row 7 holds noon" in err
    assert "(rows counted from the file's data row 20)" in err


def test_info_says_what_judges_beside_the_forest(called: Called, detector: Detector) -> None:
    code, out, err = called("info", MODEL, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)["monitoring"]
    assert said == detector.info["monitoring"]
    assert said["signals"] == ["voltage", "current", "temp", "soc"]
    assert said["limits"] == "li_ion, 8 limits"
    assert said["calibration"]["warning"].startswith("At most 0.5 % of the rows")
    assert "\nmonitoring\n" in called("info", MODEL)[1]


def test_verify_and_bench_work(called: Called) -> None:
    assert json.loads(called("verify", MODEL, "--json")[1])["verified"]
    printed = json.loads(called("bench", MODEL, "--seconds", "0.01", "--json")[1])
    assert 0 < printed["one_reading_microseconds"] < 100_000
    assert 0 < printed["batch_microseconds_per_row"] < 100_000


def test_the_made_up_drive_is_an_ordinary_one(detector: Detector) -> None:
    from ev_qa_runtime.sample_drive import sample_drive  # noqa: PLC0415 - of this test alone

    monitoring = detector.contract.monitoring
    assert monitoring is not None
    verdicts = detector.verdicts(sample_drive(monitoring.recipe, 2000))
    assert isinstance(verdicts, MonitoredVerdicts)
    assert verdicts.telemetry.valid.all()
    assert len(verdicts.telemetry.watched) < 20


# --- loose contacts ---------------------------------------------------------------------------------------------------


def loose(value: float, *, awake: bool, missing: bool = False) -> list[dict[str, float]]:
    """Readings of a healthy drive in which the temperature is off for ten rows, from row 100 on or from the first."""
    columns = MAKER.columns(TELEMETRY / "healthy_drive_03.csv")
    rows = [{name: float(column[row]) for name, column in columns.items()} for row in range(200)]
    for number, row in enumerate(rows):
        if 0 <= number - 100 * awake < 10:
            row["temp"] = float("nan") if missing else value
    return rows


@pytest.mark.parametrize("value", [-40.0, 511.0, 1e6, float("inf")])
def test_a_loose_contact_makes_an_event_in_batch_and_stream(detector: Detector, value: float) -> None:
    rows = loose(value, awake=True)
    stream = load_model(MODEL).stream("pack")
    verdicts = [stream.score(**row) for row in rows]
    (event,) = stream.finish()
    batch = detector.verdicts({name: np.array([row[name] for row in rows]) for name in rows[0]})
    assert isinstance(batch, MonitoredVerdicts)

    assert all(str(verdict.severity) == "INVALID" for verdict in verdicts[100:110])
    assert str(event.severity) == "WARNING"
    assert event.start_time == rows[100]["time_s"]
    assert event.reasons[0][0].startswith("temp: ")
    assert [(one.start_time, one.end_time, one.reasons) for one in batch.events] == [
        (event.start_time, event.end_time, event.reasons)
    ]


@pytest.mark.parametrize("rows", [loose(-40.0, awake=False), loose(0.0, awake=True, missing=True)])
def test_sensors_that_wake_up_and_values_that_do_not_come_make_none(
    detector: Detector, rows: list[dict[str, float]]
) -> None:
    batch = detector.verdicts({name: np.array([row[name] for row in rows]) for name in rows[0]})
    assert isinstance(batch, MonitoredVerdicts)

    assert (batch.severity == -1).sum() == 10
    assert not [reason for event in batch.events for reason, _ in event.reasons if reason.startswith("temp: ")]
