"""The sign of the current, given where telemetry is scored: converted to the model's, and a wrong one is said."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_runtime import Detector, load_model
from ev_qa_runtime.__main__ import main
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts
from ev_qa_runtime.vehicle_stream import VehicleStream

ROOT = Path(__file__).parents[2]
OVER_TIME = ROOT / "tests" / "data" / "models" / "over_time_v1.0.0"
ALONE = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0"
TRIP = ROOT / "demo" / "telemetry" / "fault_resistance_x2_02.csv"
SIGNALS = ("time_s", "voltage", "current", "temp", "soc")
VSS = "Vehicle.Powertrain.TractionBattery."
Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def over_time() -> Detector:
    return load_model(OVER_TIME)


@pytest.fixture(scope="module")
def alone() -> Detector:
    return load_model(ALONE)


@pytest.fixture(scope="module")
def drive() -> Columns:
    with TRIP.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:1000]
    return {name: np.array([float(row[name]) for row in rows]) for name in SIGNALS}


def turned(columns: Columns) -> Columns:
    return columns | {"current": -columns["current"]}


def in_vss(columns: Columns) -> Columns:
    return {
        "timestamp": columns["time_s"],
        f"{VSS}CurrentVoltage": columns["voltage"],
        f"{VSS}CurrentCurrent": -columns["current"],
        f"{VSS}Temperature.Max": columns["temp"],
        f"{VSS}StateOfCharge.Current": columns["soc"],
    }


def readings(columns: Columns) -> Iterator[dict[str, float]]:
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        yield dict(zip(columns, row, strict=True))


def streamed(stream: VehicleStream, columns: Columns) -> list[str]:
    return [repr(stream.score(**reading)) for reading in readings(columns)]


def wrong(detector: Detector, columns: Columns) -> Any:
    with pytest.warns(UserWarning, match="current looks charge_positive, but discharge_positive was given") as caught:
        verdicts = detector.verdicts(columns)
    assert len(caught) == 1
    return verdicts


@pytest.mark.parametrize("which", ["over_time", "alone"])
def test_every_method_has_the_bits_of_the_models_own_sign(
    which: str, drive: Columns, request: pytest.FixtureRequest
) -> None:
    detector: Detector = request.getfixturevalue(which)
    other: CurrentSign = "charge_positive"
    some = {name: column[:60] for name, column in drive.items()}
    for method in ("path_length", "score_samples", "decision_function", "predict"):
        of_method = getattr(detector, method)
        np.testing.assert_array_equal(of_method(turned(some), current_sign=other), of_method(some), strict=True)
        np.testing.assert_array_equal(of_method(some, current_sign="discharge_positive"), of_method(some))
    assert detector.read(turned(some), current_sign=other).values.tobytes() == detector.read(some).values.tobytes()
    explained = detector.explain(turned(some), current_sign=other)
    np.testing.assert_array_equal(explained.contributions, detector.explain(some).contributions)
    theirs, ours = detector.verdicts(turned(drive), current_sign=other), detector.verdicts(drive)
    assert [repr(theirs.row(row)) for row in range(len(theirs))] == [repr(ours.row(row)) for row in range(len(ours))]
    assert repr(detector.analyze_telemetry(turned(drive), current_sign=other)) == repr(
        detector.analyze_telemetry(drive)
    )


def test_one_bare_row_is_turned_too(alone: Detector, drive: Columns) -> None:
    row = np.array([[drive[name][500] for name in alone.contract.feature_names]])
    other = row * [[1.0, -1.0, 1.0]]
    assert alone.score_samples(other, current_sign="charge_positive") == alone.score_samples(row)
    assert alone.score_samples(other) != alone.score_samples(row)


def test_a_stream_and_a_monitor_convert_as_a_batch(drive: Columns) -> None:
    expected = streamed(load_model(OVER_TIME).stream("a"), drive)
    detector = load_model(OVER_TIME)
    stream = detector.stream("a", current_sign="charge_positive")
    assert streamed(stream, turned(drive)) == expected
    assert stream.remark is None
    assert detector.stream("a") is stream
    restored = load_model(OVER_TIME).stream("a", json.loads(json.dumps(stream.state(), allow_nan=False)))
    more = drive | {"time_s": drive["time_s"] + 1000.0}
    assert streamed(restored, turned(more)) == streamed(stream, turned(more))
    monitor = detector.monitor(current_sign="charge_positive")
    np.testing.assert_array_equal(monitor.verdicts(turned(drive)).severity, detector.verdicts(drive).severity)


def test_paths_of_the_specification_are_converted_unless_another_sign_is_given(drive: Columns) -> None:
    detector = load_model(OVER_TIME)
    ours = detector.verdicts(drive)
    for sign in (None, "charge_positive"):
        theirs = detector.verdicts(in_vss(drive), current_sign=sign)  # type: ignore[arg-type]
        assert [repr(theirs.row(row)) for row in range(900)] == [repr(ours.row(row)) for row in range(900)]
    said = (
        rf"^column '{VSS}CurrentCurrent' is charge_positive by the Vehicle Signal Specification, not "
        r"discharge_positive: give current_sign='charge_positive', or none$"
    )
    with pytest.raises(TelemetryError, match=said):
        detector.verdicts(in_vss(drive), current_sign="discharge_positive")
    stream = detector.stream("vss", current_sign="discharge_positive")
    with pytest.raises(TelemetryError, match=said):
        stream.score(**next(readings(in_vss(drive))))
    stream = detector.stream("vss", current_sign="unspecified")  # as if nothing had been said
    assert streamed(stream, in_vss(drive)) == streamed(detector.stream("plain"), drive)


def test_models_of_readings_alone_say_what_they_cannot_convert(drive: Columns) -> None:
    artifact = load_model(ALONE)
    object.__setattr__(artifact.contract, "current_sign", "unspecified")
    with pytest.raises(ConfigurationError, match=r"does not say which way its current is counted, so charge_positive"):
        artifact.verdicts(drive, current_sign="charge_positive")
    artifact.verdicts(drive, current_sign="unspecified")
    for detector in (load_model(ALONE), load_model(OVER_TIME)):
        with pytest.raises(ValueError, match=r"current_sign must be one of discharge_positive, .* not 'positive'"):
            detector.verdicts(drive, current_sign="positive")  # type: ignore[arg-type]


def test_a_sign_is_no_reading(over_time: Detector, alone: Detector) -> None:
    reading: dict[str, Any] = {"voltage": 350.0, "current": 1.0, "temp": 20.0, "current_sign": "charge_positive"}
    with pytest.raises(TelemetryError, match=r"current_sign is no reading: turn the current, or use verdicts"):
        alone.score(**reading)
    with pytest.raises(TelemetryError, match=r"current_sign is no reading: give it once, to stream\("):
        over_time.stream("x").score(time=0.0, soc=50.0, **reading)


def test_a_model_without_a_current_has_none_to_convert(drive: Columns) -> None:
    from ev_qa_runtime.features import Telemetry  # noqa: PLC0415
    from ev_qa_runtime.model_input import in_sign_of  # noqa: PLC0415

    telemetry = Telemetry(("voltage",), np.array([[350.0]]), np.array([True]))
    with pytest.raises(ConfigurationError, match="the model has no feature 'current' to convert"):
        in_sign_of("discharge_positive", telemetry, "charge_positive")
    assert in_sign_of("charge_positive", telemetry, "charge_positive") is telemetry


def test_a_stream_says_a_wrong_sign_as_the_batch_does(drive: Columns) -> None:
    detector = load_model(OVER_TIME)
    verdicts = wrong(detector, turned(drive))
    stream = detector.stream("wrong")
    assert stream.remark is None
    streamed(stream, turned(drive))
    assert stream.remark == verdicts.telemetry.remark
    assert detector.stream("later", json.loads(json.dumps(stream.state()))).remark == stream.remark
    detector.stream("wrong", current_sign="charge_positive")
    assert stream.remark is None  # what was seen before was seen under another sign
    streamed(stream, turned(drive) | {"time_s": drive["time_s"] + 1000.0})
    assert stream.remark is None


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=6))
def test_a_monitor_warns_once_and_says_the_same_after_any_chunks(cuts: list[int]) -> None:
    detector = load_model(OVER_TIME)
    with TRIP.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:1000]
    columns = turned({name: np.array([float(row[name]) for row in rows]) for name in SIGNALS})
    whole = wrong(detector, columns)
    monitor = detector.monitor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for first, last in pairwise(sorted({0, 1000, *cuts})):
            part = monitor.verdicts({name: column[first:last] for name, column in columns.items()})
    assert part.telemetry.remark == whole.telemetry.remark
    assert len(caught) == 1


def test_the_fleets_vehicles_vote_together(drive: Columns) -> None:
    """Each of many vehicles shows too little by itself."""
    detector = load_model(OVER_TIME)
    short = {name: np.tile(column[:24], 30) for name, column in turned(drive).items()}
    vehicles = np.repeat(np.arange(30), 24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = detector.verdicts(short | {"vehicle_id": vehicles})
        one = detector.verdicts({name: column[:24] for name, column in short.items()})
    assert isinstance(together, MonitoredVerdicts)
    assert "current looks charge_positive" in str(together.telemetry.remark)
    assert isinstance(one, MonitoredVerdicts)
    assert one.telemetry.remark is None


def test_a_state_of_an_older_release_is_restored(over_time: Detector) -> None:
    state = over_time.stream("old").state()
    older = {name: value for name, value in state.items() if name not in ("direction", "current_sign")}
    assert load_model(OVER_TIME).stream("old", older).remark is None
    for damage in ({"direction": 3}, {"current_sign": "up"}, {"current_sign": [1]}):
        with pytest.raises(TelemetryError, match=r"state of a vehicle|current_sign must be one of"):
            load_model(OVER_TIME).stream("old", state | damage)


def test_a_whole_number_names_the_stream_of_its_text(over_time: Detector) -> None:
    assert over_time.stream(7) is over_time.stream("7") is over_time.stream(" 7 ")
    assert over_time.stream(7).vehicle == "7"
    for nothing in (None, math.nan, 7.5, "  "):
        with pytest.raises(TelemetryError, match="names no vehicle: give a text or a whole number"):
            over_time.stream(nothing)  # type: ignore[arg-type]


def write(path: Path, columns: Columns, separator: str = ",") -> Path:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    lines = [separator.join(map(str, row)) for row in (columns, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("model", [OVER_TIME, ALONE], ids=["over time", "alone"])
def test_the_command_converts(model: Path, drive: Columns, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for name, columns, option in (
        ("own.csv", drive, ()),
        ("turned.csv", turned(drive), ("--current-sign", "charge_positive")),
    ):
        path = write(tmp_path / name, columns)
        assert main(["score", str(model), str(path), "--json", *option]) == 0
        results.append(json.loads(capsys.readouterr().out))
        del results[-1]["microseconds_per_row"]
    assert results[0] == results[1]


def test_the_command_speaks_of_its_options(drive: Columns, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "vss.csv", in_vss(drive))
    assert main(["score", str(OVER_TIME), str(path), "--current-sign", "discharge_positive"]) == 4
    assert capsys.readouterr().err == (
        f"ev-qa-runtime: error: {path}: column '{VSS}CurrentCurrent' is charge_positive by the Vehicle Signal "
        "Specification, not discharge_positive: give --current-sign charge_positive, or none\n"
    )
    path = write(tmp_path / "turned.csv", turned(drive))
    assert main(["score", str(OVER_TIME), str(path)]) == 0
    assert "give --current-sign charge_positive or check the current sensor" in capsys.readouterr().out


@pytest.mark.parametrize(("separator", "named"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
@pytest.mark.parametrize("model", [OVER_TIME, ALONE], ids=["over time", "alone"])
def test_other_separators_are_named(
    model: Path, separator: str, named: str, drive: Columns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "other.csv", drive, separator)
    path.write_text(path.read_text(encoding="utf-8").replace(".", ","), encoding="utf-8")
    assert main(["score", str(model), str(path)]) == 4
    assert capsys.readouterr().err == (
        f"ev-qa-runtime: error: {path}: the columns are separated by {named}, not by commas: save it with commas "
        "between the columns and points in the numbers\n"
    )


def test_a_file_of_vehicles_without_an_id_in_a_row_names_it(
    drive: Columns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "fleet.csv", drive | {"vehicle_id": np.array(["7"] * 999 + ["NA"])})
    assert main(["score", str(OVER_TIME), str(path)]) == 4
    assert "column 'vehicle_id': row 999 holds , which names no vehicle" in capsys.readouterr().err
