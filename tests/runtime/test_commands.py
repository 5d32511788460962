"""The commands as a shell sees them: output, exit codes, one line for every error, nothing left behind."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ev_qa_runtime import Detector, __version__
from ev_qa_runtime.__main__ import _table, main
from ev_qa_runtime.model_version import ModelVersion

Run = Callable[..., subprocess.CompletedProcess[str]]

HEADER = "time_s,voltage,current,temp\n"
GOOD = HEADER + "0,352.4,41.0,24.5\n1,352.5,40.0,24.6\n"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def telemetry(tmp_path: Path) -> Callable[..., Path]:
    """``telemetry(text)``: a CSV file with that text in a folder of its own."""

    def write(content: str | bytes, name: str = "telemetry.csv") -> Path:
        folder = tmp_path / "telemetry"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def the_one_line(code: int, expected: int, out: str, err: str) -> str:
    """What a failed command told, after checking that it was one line and nothing else."""
    assert (code, out) == (expected, ""), err
    assert "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ev-qa-runtime: error: ")
    return lines[0].removeprefix("ev-qa-runtime: error: ")


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``fails(code, …)``: a command that must end with that code and one line; that line. Runs in this process."""

    def check(expected: int, *arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        return the_one_line(code, expected, *capsys.readouterr())

    return check


# --- score ------------------------------------------------------------------------------------------------------------


def test_score_prints_a_table(run: Run, reference: Path, fault_csv: Path) -> None:
    done = run("score", reference, fault_csv)
    assert (done.returncode, done.stderr) == (0, "")
    table = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert table["total_samples"] == str(len(rows_of(fault_csv)))
    assert table["severity"] in ("INFO", "WARNING", "CRITICAL")
    assert table["model"] == reference.name


def test_score_prints_json_with_the_detectors_result(
    run: Run, reference: Path, fault_csv: Path, detector: Detector, demo_rows: np.ndarray
) -> None:
    done = run("score", reference, fault_csv, "--json")
    printed = json.loads(done.stdout)
    expected = detector.analyze_telemetry(demo_rows)
    assert {key: printed[key] for key in expected} == expected
    assert printed["onnx_sha256"] == detector.contract.files["onnx"].sha256
    assert printed["sidecar_sha256"] == hashlib.sha256(Path(f"{reference}.json").read_bytes()).hexdigest()
    assert printed["microseconds_per_row"] > 0


def test_scores_in_the_output_parse_back_to_the_same_bits(
    run: Run, reference: Path, fault_csv: Path, tmp_path: Path, detector: Detector, demo_rows: np.ndarray
) -> None:
    output = tmp_path / "out.csv"
    assert run("score", reference, fault_csv, "-o", output).returncode == 0
    written = rows_of(output)
    verdicts = detector.verdicts(demo_rows)
    assert np.array([float(row["score"]) for row in written]).tobytes() == verdicts.score_samples.tobytes()
    assert [int(row["label"]) for row in written] == verdicts.label.tolist()
    assert [row["severity"] for row in written] == [verdict.severity for verdict in verdicts]
    added = ("score", "label", "severity", "reasons")
    assert [{key: value for key, value in row.items() if key not in added} for row in written] == rows_of(fault_csv)
    assert list(written[0])[-4:] == list(added)
    assert names_in(tmp_path) == {"out.csv"}


def test_more_rows_than_a_chunk_come_out_in_order(
    run: Run, reference: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    count = 20_000
    path = telemetry(HEADER + "".join(f"{row},{300 + row % 90},{row % 200 - 100},{row % 40}\n" for row in range(count)))
    done = run("score", reference, path, "-o", tmp_path / "out.csv", "--json")
    assert json.loads(done.stdout)["total_samples"] == count
    assert [row["time_s"] for row in rows_of(tmp_path / "out.csv")] == [str(row) for row in range(count)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("0:3", ["0", "1", "2"]),
        ("10:12", ["10", "11"]),
        (":2", ["0", "1"]),
    ],
)
def test_rows_picks_data_rows_from_zero(
    run: Run, reference: Path, fault_csv: Path, tmp_path: Path, rows: str, expected: list[str]
) -> None:
    done = run("score", reference, fault_csv, "--rows", rows, "-o", tmp_path / "out.csv", "--json")
    assert json.loads(done.stdout)["total_samples"] == len(expected)
    assert [row["time_s"] for row in rows_of(tmp_path / "out.csv")] == expected


def test_rows_without_stop_takes_the_rest(run: Run, reference: Path, fault_csv: Path) -> None:
    total = len(rows_of(fault_csv))
    done = run("score", reference, fault_csv, "--rows", f"{total - 7}:", "--json")
    assert json.loads(done.stdout)["total_samples"] == 7


def test_the_same_rows_from_gzip_stdin_and_a_pipe(run: Run, reference: Path, fault_csv: Path, tmp_path: Path) -> None:
    data = fault_csv.read_bytes()
    packed, pipe = tmp_path / "trip.csv.gz", tmp_path / "pipe"
    packed.write_bytes(gzip.compress(data))
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    writer.start()
    results = [
        json.loads(run("score", reference, source, "--json", stdin=stdin).stdout)
        for source, stdin in ((fault_csv, b""), (packed, b""), ("-", data), (pipe, b""))
    ]
    writer.join()
    for result in results:
        del result["microseconds_per_row"]
    assert results[0]["total_samples"] == len(rows_of(fault_csv))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.replace("time_s,", "").replace("\n0,", "\n").replace("\n1,", "\n").encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.rstrip("\n").encode(),
        GOOD.replace("\n1,", "\n\n1,").encode() + b"\n\n",
        GOOD.replace("voltage", '"Voltage (V)"').replace("temp", "Temperature").encode(),
        GOOD.replace("352.4", '"352.4"').replace("41.0", " 4.1e1 ").encode(),
    ],
    ids=["byte order mark", "CRLF", "no last newline", "blank lines", "aliases", "quotes and spaces"],
)
def test_ways_to_write_the_same_csv(
    run: Run, reference: Path, telemetry: Callable[..., Path], detector: Detector, content: bytes
) -> None:
    printed = json.loads(run("score", reference, telemetry(content), "--json").stdout)
    assert printed["total_samples"] == 2
    assert printed["invalid_samples"] == 0
    scores = detector.score_samples([[352.4, 41.0, 24.5], [352.5, 40.0, 24.6]])
    assert printed["lowest_score"] == scores.min()


def test_a_byte_order_mark_is_no_part_of_the_first_column(
    run: Run, reference: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    assert run("score", reference, telemetry("\ufeff" + GOOD), "-o", tmp_path / "out.csv").returncode == 0
    assert (tmp_path / "out.csv").read_bytes().startswith(b"time_s,voltage,")


def test_missing_cells_make_their_rows_invalid(
    run: Run, reference: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    cells = ("", "NaN", "nan", "null", "None", "NA", "n/a", "-", "  ")
    path = telemetry(GOOD + "".join(f"2,352.4,41.0,{cell}\n" for cell in cells))
    printed = json.loads(run("score", reference, path, "-o", tmp_path / "out.csv", "--json").stdout)
    assert (printed["total_samples"], printed["invalid_samples"]) == (2 + len(cells), len(cells))
    assert printed["invalid_reasons"] == {"temp: missing": len(cells)}
    for row in rows_of(tmp_path / "out.csv")[2:]:
        assert (row["score"], row["label"], row["severity"], row["reasons"]) == ("", "-1", "INVALID", "temp: missing")


def test_cells_that_no_sensor_gives_make_their_rows_invalid(
    run: Run, reference: Path, telemetry: Callable[..., Path]
) -> None:
    path = telemetry(GOOD + "2,inf,41,20\n3,352.4,-Infinity,20\n4,352.4,41,1e39\n5,1e400,41,1e-400\n")
    printed = json.loads(run("score", reference, path, "--json").stdout)
    assert printed["invalid_reasons"] == {"current: not finite": 1, "temp: beyond float32": 1, "voltage: not finite": 2}


def test_no_rows_are_an_error_not_a_healthy_batch(
    run: Run, reference: Path, fault_csv: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    for given in ([telemetry(HEADER)], [fault_csv, "--rows", "5:5"], [fault_csv, "--rows", "9999999:"]):
        done = run("score", reference, *given, "-o", tmp_path / "out.csv")
        assert done.returncode == 4
        assert "there are no data rows to score" in done.stderr
        assert ("(the file has 1,800)" in done.stderr) == ("9999999:" in given)
        assert list(tmp_path.glob("*out.csv*")) == []


def test_the_output_never_replaces_what_it_is_made_from(run: Run, copied: Path, telemetry: Callable[..., Path]) -> None:
    path = telemetry(GOOD)
    for output in (path, Path(f"{copied}.onnx"), Path(f"{copied}.json")):
        before = output.read_bytes()
        done = run("score", copied, path, "-o", output)
        assert done.returncode == 2
        assert "which is being read: choose another output" in done.stderr
        assert output.read_bytes() == before


def test_an_output_that_is_a_pipe_is_written_to_and_stays_one(
    run: Run, reference: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    assert run("score", reference, telemetry(GOOD), "-o", pipe).returncode == 0
    assert pipe.is_fifo()
    reader.join()
    assert len(read[0].splitlines()) == 3


# --- info, verify, bench ----------------------------------------------------------------------------------------------


def digests_of(model: Path) -> dict[str, str]:
    """What tells a model: a registry's history has the sidecar's digest."""
    suffixes = {"onnx_sha256": "onnx", "sidecar_sha256": "json"}
    return {
        name: hashlib.sha256(Path(f"{model}.{suffix}").read_bytes()).hexdigest() for name, suffix in suffixes.items()
    }


def test_info_prints_what_the_detector_says(run: Run, reference: Path, detector: Detector) -> None:
    printed = json.loads(run("info", reference, "--json").stdout)
    assert {key: printed.pop(key) for key in ("onnx_sha256", "sidecar_sha256")} == digests_of(reference)
    assert printed == detector.info
    table = run("info", reference).stdout
    assert "voltage V, current A, temp degC" in table
    assert "\nlibrary_versions\n" in table


def test_verify_checks_every_file_that_is_there(run: Run, copied: Path) -> None:
    printed = json.loads(run("verify", copied, "--json").stdout)
    assert digests_of(copied).items() <= printed.items()
    assert {suffix: file["state"] for suffix, file in printed["files"].items()} == {
        "onnx": "verified",
        "joblib": "verified",
    }
    assert (printed["verified"], printed["golden_rows"]) == (True, 16)
    Path(f"{copied}.joblib").unlink()
    assert json.loads(run("verify", copied, "--json").stdout)["files"]["joblib"]["state"] == "absent"


def test_verify_notices_a_damaged_joblib_that_scoring_never_opens(
    run: Run, fails: Callable[..., str], copied: Path, telemetry: Callable[..., Path]
) -> None:
    with Path(f"{copied}.joblib").open("ab") as file:
        file.write(b"\x00")
    assert run("score", copied, telemetry(GOOD)).returncode == 0
    assert "joblib: its bytes are not the ones" in fails(3, "verify", copied)


def test_bench_measures(run: Run, reference: Path) -> None:
    done = run("bench", reference, "--seconds", "0.01", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    measured = ("load_milliseconds", "one_reading_microseconds", "batch_microseconds_per_row", "repetitions")
    assert all(printed[key] > 0 for key in measured)
    assert digests_of(reference).items() <= printed.items()


def test_a_model_without_version_is_told_so_in_the_table(
    run: Run, copied: Path, rewrite_contract: Callable[..., object]
) -> None:
    rewrite_contract(copied, version=ModelVersion(0, 0, 0))
    for command in ("info", "verify"):
        assert "0.0.0, which stands for none (name it NAME_vX.Y.Z)" in run(command, copied).stdout
        assert json.loads(run(command, copied, "--json").stdout)["version"] == "0.0.0"


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["score", "info", "verify", "bench"])
def test_a_missing_model_ends_with_3(fails: Callable[..., str], tmp_path: Path, fault_csv: Path, command: str) -> None:
    arguments = [fault_csv] if command == "score" else []
    assert "Model file not found: " in fails(3, command, tmp_path / "nothing_v1.0", *arguments)


@pytest.mark.parametrize("command", ["info", "verify", "bench"])
def test_a_damaged_model_ends_with_3(fails: Callable[..., str], copied: Path, command: str) -> None:
    with Path(f"{copied}.onnx").open("r+b") as file:
        file.write(b"damage")
    assert "demo_pack_v1.0.0.onnx: its bytes are not the ones" in fails(3, command, copied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; expected a header line"),
        (b"\n", "the file is empty; expected a header line"),
        (b"time,voltage\n1,2\n", "missing column(s) 'current', 'temp'; there were: 'time', 'voltage'"),
        (b"1,2,3\n", "missing column(s) 'voltage', 'current', 'temp'; there were: '1', '2', '3'"),
        (b"voltage,Voltage (V),current,temp,volts\n", "duplicate columns for 'voltage'"),
        (b"voltage,voltage,current,temp\n", "duplicate columns for 'voltage'"),
        (GOOD.encode() + b"2,352.4,41.0\n", "line 4 has 3 cells, the header has 4"),
        (GOOD.encode() + b"2,352.4,41.0,24.5,9\n", "line 4 has 5 cells, the header has 4"),
        (GOOD.encode() + b"\n\n2,352.4\n", "line 6 has 2 cells, the header has 4"),
        (GOOD.encode() + b"2,352.4,41.0,hot\n", "column 'temp' is not numeric: it holds 'hot'"),
        (GOOD.encode() + b"2,352.4,41.0,\xff\n", "not readable as CSV"),
        (b"\xff\xfev\x00o\x00", "not readable as CSV"),
        (GOOD.encode() + b'2,"' + b"9" * 200_000 + b'",1,1\n', "not readable as CSV: field larger than"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_telemetry_that_does_not_fit_ends_with_4(
    fails: Callable[..., str],
    reference: Path,
    telemetry: Callable[..., Path],
    tmp_path: Path,
    content: bytes,
    message: str,
) -> None:
    path = telemetry(content)
    line = fails(4, "score", reference, path, "-o", tmp_path / "out.csv")
    assert line.startswith(f"{path}: ")
    assert message in line
    assert names_in(tmp_path) == {"telemetry"}
    assert names_in(path.parent) == {"telemetry.csv"}


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "scrambled"])
def test_a_damaged_gzip_file_ends_with_4(
    fails: Callable[..., str], reference: Path, telemetry: Callable[..., Path], fault_csv: Path, damage: str
) -> None:
    packed = bytearray(gzip.compress(fault_csv.read_bytes()))
    if damage == "truncated":
        del packed[len(packed) // 2 :]
    elif damage == "not gzip":
        packed[:2] = b"no"
    else:
        packed[10] = 0xFF  # no valid first block: zlib itself fails
    path = telemetry(bytes(packed), "trip.csv.gz")
    assert "not readable as CSV" in fails(4, "score", reference, path)


@pytest.mark.parametrize(
    ("stdin", "message"), [(b"a,b\n1,2\n", "-: missing column(s) 'voltage'"), (b"", "-: the file is empty")]
)
def test_telemetry_on_stdin_that_does_not_fit_ends_with_4(
    run: Run, reference: Path, stdin: bytes, message: str
) -> None:
    done = run("score", reference, "-", stdin=stdin)
    assert the_one_line(done.returncode, 4, done.stdout, done.stderr).startswith(message)


@pytest.mark.parametrize(
    ("code", "model", "source"),
    [(2, "", "demo.csv"), (3, "nothing_v1.0", "demo.csv"), (4, None, "bad.csv"), (5, None, "nothing.csv")],
)
def test_every_exit_code_in_a_process_of_its_own(
    run: Run, reference: Path, telemetry: Callable[..., Path], code: int, model: str | None, source: str
) -> None:
    bad = telemetry("a,b\n1,2\n", "bad.csv")
    done = run("score", reference if model is None else model, bad.parent / source)
    assert the_one_line(done.returncode, code, done.stdout, done.stderr)


def test_telemetry_that_is_not_there_ends_with_5(fails: Callable[..., str], reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    assert fails(5, "score", reference, path) == f"{path}: No such file or directory"
    assert fails(5, "score", reference, tmp_path).startswith(f"{tmp_path}: Is a directory")


def test_an_output_that_cannot_be_written_ends_with_5(
    fails: Callable[..., str], reference: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    line = fails(5, "score", reference, telemetry(GOOD), "-o", tmp_path / "no folder" / "out.csv")
    assert "No such file or directory" in line
    assert "Is a directory" in fails(5, "score", reference, telemetry(GOOD), "-o", tmp_path)
    assert names_in(tmp_path) == {"telemetry"}


def test_a_failure_leaves_the_old_output_as_it_was(
    fails: Callable[..., str], reference: Path, telemetry: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    output.write_text("from before")
    many = "".join(f"{row},352.4,41.0,24.5\n" for row in range(10_000))  # a chunk is written before the fault is seen
    fails(4, "score", reference, telemetry(HEADER + many + "ragged\n"), "-o", output)
    assert output.read_text() == "from before"
    assert names_in(tmp_path) == {"telemetry", "out.csv"}


def test_a_path_that_names_no_model_ends_with_2(fails: Callable[..., str], tmp_path: Path) -> None:
    assert "does not name a model" in fails(2, "info", f"{tmp_path}/")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["score"],
        ["info"],
        ["info", "NAME", "--yaml"],
        ["score", "NAME", "x.csv", "--rows", "5:2"],
        ["score", "NAME", "x.csv", "--rows", "1-2"],
        ["bench", "NAME", "--seconds", "0"],
        ["bench", "NAME", "--seconds", "-1"],
        ["bench", "NAME", "--seconds", "nan"],
        ["bench", "NAME", "--seconds", "soon"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_2_and_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: ev-qa-runtime")
    assert ": error: " in shown.err.splitlines()[-1]


def test_a_wrong_command_line_has_no_traceback(run: Run) -> None:
    done = run("score")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_rows_that_are_none_are_explained(run: Run, reference: Path, fault_csv: Path) -> None:
    done = run("score", reference, fault_csv, "--rows", "7")
    assert "'7' is not START:STOP with 0 <= START <= STOP" in done.stderr


def test_a_reader_that_stops_early_is_no_error(reference: Path) -> None:
    shell = f'"{sys.executable}" -m ev_qa_runtime info "{reference}" | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["score"], ["info"], ["verify"], ["bench"]], ids=" ".join)
def test_help_tells_the_exit_codes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*arguments, "--help"])
    shown = capsys.readouterr().out
    for line in ("exit codes:", "  0  done", "  2  the command", "  3  the model", "  4  the telemetry", "  5  a file"):
        assert f"\n{line}" in shown


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout == f"ev-qa-runtime {__version__}\n"


EVENT: dict[str, Any] = {
    "vehicle": "car", "severity": "WARNING", "start_row": 3, "end_row": 9, "start_time": 0.25, "end_time": 12345678.5,
    "peak_score": -0.6, "reasons": [{"reason": letter, "rows": 2} for letter in "abcde"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        ((0.25, 12345678.5), "0.25 to 12345678.5 s"),
        ((1772440700.0, 1772441799.0), "2026-03-02 08:38:20 to 2026-03-02 08:56:39 UTC"),
    ],
)
def test_an_event_is_told_with_readable_times_and_three_reasons(times: tuple[float, float], shown: str) -> None:
    event = EVENT | dict(zip(("start_time", "end_time"), times, strict=True))
    told = f"car: WARNING rows 3 to 9, {shown}, lowest score -0.6000: a, b, c (and 2 more)"
    assert _table({"events": [event]}) == f"events\n  {told}"
    assert _table({"events": [EVENT | {"start_time": None, "end_time": None, "reasons": EVENT["reasons"][:3]}]}) == (
        "events\n  car: WARNING rows 3 to 9, lowest score -0.6000: a, b, c"
    )
