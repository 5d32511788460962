"""Hostile ONNX models, vouched for by their sidecars: refused with the reason before onnxruntime sees them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import ArtifactError, ModelContract, load_model, onnx_inspection, sidecar
from ev_qa_runtime.contract import FileDigest
from ev_qa_runtime.onnx_inspection import inspect
from ev_qa_runtime.protobuf_wire import OUT_OF_RANGE, encoded_varint, fields, varint_run
from ev_qa_runtime.session import ScoringSession

MODELS = Path(__file__).parents[1] / "data" / "hostile" / "models"
RUNNER = Path(__file__).parent / "hostile_runner.py"
EXPECTED: dict[str, dict[str, str]] = json.loads((MODELS / "expectations.json").read_bytes())
SECONDS = 60.0


def contract_for(profile: str, onnx_model: bytes) -> ModelContract:
    """A contract that vouches for ``onnx_model``."""
    contract = sidecar.decode((MODELS / f"sound_{profile}.json").read_bytes())
    digest = FileDigest(len(onnx_model), hashlib.sha256(onnx_model).hexdigest())
    return dataclasses.replace(contract, files={"onnx": digest})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How loading and verifying every model of the corpus ends, in a process of its own."""
    folder = tmp_path_factory.mktemp("models")
    for name, expected in EXPECTED.items():
        data = (MODELS / f"{name}.onnx").read_bytes()
        (folder / f"{name}.onnx").write_bytes(data)
        (folder / f"{name}.json").write_bytes(sidecar.encode(contract_for(expected["profile"], data)))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(RUNNER), str(folder), str(SECONDS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_every_file_of_the_corpus_is_expected_to_be_refused() -> None:
    assert {path.stem for path in MODELS.glob("*.onnx")} - {"sound_exact", "sound_compat"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_model_is_refused_with_the_reason(name: str, found: dict[str, dict[str, Any]]) -> None:
    outcome = found[name]
    assert outcome["error"] == "ArtifactError", outcome
    assert re.search(EXPECTED[name]["match"], outcome["message"]), outcome["message"]
    assert "its ONNX model is refused: " in outcome["message"]


@pytest.mark.parametrize("name", EXPECTED)
def test_verify_says_so_in_one_short_printable_line(name: str, found: dict[str, dict[str, Any]]) -> None:
    outcome = found[name]
    assert outcome["code"] == 3, outcome
    line = outcome["stderr"].removesuffix("\n")
    assert line.isprintable(), line
    assert len(line) < 1000, line
    assert outcome["seconds"] < SECONDS


@pytest.mark.parametrize("name", EXPECTED)
def test_onnxruntime_never_sees_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object, **__: object) -> None:
        pytest.fail("onnxruntime saw the model")

    monkeypatch.setattr("ev_qa_runtime.session._session", seen)
    data = (MODELS / f"{name}.onnx").read_bytes()
    with pytest.raises(ArtifactError, match="its ONNX model is refused"):
        ScoringSession(data, contract_for(EXPECTED[name]["profile"], data))


@pytest.mark.parametrize("profile", ["exact", "compat"])
def test_the_sound_models_of_the_corpus_load(profile: str) -> None:
    assert load_model(MODELS / f"sound_{profile}").contract.onnx.profile == profile


@pytest.mark.parametrize("profile", ["exact", "compat"])
def test_a_model_of_one_profile_is_not_one_of_the_other(profile: str) -> None:
    other = {"exact": "compat", "compat": "exact"}[profile]
    data = (MODELS / f"sound_{other}.onnx").read_bytes()
    with pytest.raises(ArtifactError, match=r"its opsets .* are not those of its sidecar"):
        inspect(data, contract_for(profile, data))


def test_inspecting_the_shipped_model_takes_little_time(reference: Path) -> None:
    data = reference.with_name(f"{reference.name}.onnx").read_bytes()
    contract = load_model(reference).contract
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        inspect(data, contract)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.02  # 3 ms on the machine it was made on


# --- the time is proportional to the size -----------------------------------------------------------------------------


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return encoded_varint(number << 3) + encoded_varint(value)
    return encoded_varint(number << 3 | 2) + encoded_varint(len(value)) + value


def of_attribute(content: bytes) -> bytes:
    """A model whose tree operator has one attribute with this content."""
    node = field(1, b"telemetry") + field(2, b"path_length") + field(4, b"TreeEnsemble") + field(5, content)
    row, column = field(2, b"N"), field(1, 3)
    one = field(1, 1)

    def value(name: str, element: int, second: bytes) -> bytes:
        shape = field(2, field(1, row) + field(1, second))
        return field(1, name.encode()) + field(2, field(1, field(1, element) + shape))

    outputs = b"".join(field(12, value(name, kind, one)) for name, kind in onnx_inspection.OUTPUTS.items())
    graph = field(1, node + field(7, b"ai.onnx.ml")) + field(11, value("telemetry", 11, column)) + outputs
    opsets = field(8, field(2, 18)) + field(8, field(1, b"ai.onnx.ml") + field(2, 5))
    return field(1, 10) + opsets + field(7, graph)


def long_runs() -> Iterator[tuple[str, bytes]]:
    name, ints = field(1, b"nodes_featureids"), field(20, 7)
    million = 2_000_000
    yield "flags", name + b"\x40\x01" * million + ints
    yield "mixed", name + b"\x40\x01\x40\x81\x01" * million + ints
    yield "negative", name + b"\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" * (million // 4) + ints
    yield "unfinished", name + b"\x40\x01" * million + b"\x40" + b"\xff" * million
    yield "longest", name + b"\x40" + b"\x80" * million + b"\x01"
    yield "scattered", name + (b"\x40\x01" * 100 + field(13, b"")) * (million // 100)
    yield "texts", name + (b"\x4a\x04LEAF" * million) + field(20, 8)
    yield "small fields", name + field(13, b"") * million
    yield "nameless", b"\x40\x01" * million + name + ints


@pytest.mark.parametrize(("kind", "content"), [pytest.param(*run, id=run[0]) for run in long_runs()])
def test_long_runs_are_read_or_refused_at_once(kind: str, content: bytes) -> None:
    data = of_attribute(content)
    started = time.perf_counter()
    with pytest.raises(ArtifactError, match="its ONNX model is refused"):
        inspect(data, contract_for("exact", data))
    assert time.perf_counter() - started < 5, kind  # 0.1 s; a scan that is not linear takes minutes


# --- the encoding -----------------------------------------------------------------------------------------------------

numbers = st.one_of(*(st.integers(0, 2**bits - 1) for bits in (1, 7, 8, 14, 21, 31, 35, 36, 64)))


@given(
    st.lists(st.tuples(numbers, st.integers(1, 3000)), max_size=6),
    st.sampled_from([b"", b"\xa0\x01\x07", b"\x48\x01", b"\x40", b"\x40\xff"]),
)
def test_runs_of_numbers_come_out_as_they_went_in(runs: list[tuple[int, int]], after: bytes) -> None:
    values = [number for number, count in runs for _ in range(count)]
    data = b"".join(b"\x40" + encoded_varint(number) for number in values)
    read, end = varint_run(memoryview(b"ab" + data + after), 2, 0x40)
    assert read.tolist() == [number if number < 2**35 else OUT_OF_RANGE for number in values]
    assert end == 2 + len(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_an_error(data: bytes) -> None:
    try:
        whole = b"".join(item.encoding for item in fields(memoryview(data)))
    except ArtifactError as error:
        assert "not an ONNX model" in str(error)  # noqa: PT017 - most bytes are no fields, some are
    else:
        assert whole == data


@given(st.data())
def test_a_changed_model_is_refused_or_scores(data: st.DataObject) -> None:
    """Behind the digest: whatever the bytes say, only an ``ArtifactError`` comes out."""
    profile = data.draw(st.sampled_from(["exact", "compat"]))
    sound = (MODELS / f"sound_{profile}.onnx").read_bytes()
    changed = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    contract = contract_for(profile, bytes(changed))
    try:
        session = ScoringSession(bytes(changed), contract)
        session.self_test(contract)
    except ArtifactError:
        return
    assert np.isfinite(session.path_length(np.array([[350.0, 1.0, 20.0], [np.nan, -1e300, 0.0]]))).all()
