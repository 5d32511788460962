"""Corrupted, truncated, foreign and hostile files are refused, and nothing in them runs."""

from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer

BACKENDS = ("auto", "sklearn", "onnx")


class Bomb:
    """Unpickling one creates a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "unpickled"


@pytest.fixture
def bomb(marker: Path) -> bytes:
    return pickle.dumps({"model": Bomb(marker), "scaler": None})


def test_the_bomb_is_live(bomb: bytes, marker: Path) -> None:
    pickle.loads(bomb)  # noqa: S301 - the point of it

    assert marker.is_dir()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_joblib_whose_digest_is_stale_is_never_unpickled(
    backend: str, saved: Path, bomb: bytes, marker: Path
) -> None:
    file = saved.with_name("pack_v1.2.joblib")
    file.write_bytes(bomb.ljust(file.stat().st_size, b"\0"))  # of the right size: only the digest tells

    with pytest.raises(
        ValueError, match=r"pack_v1\.2\.joblib: its bytes are not the ones pack_v1\.2\.json vouches for"
    ):
        EVBatteryAnalyzer.load_model(saved, backend=backend)

    assert not marker.exists()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("onnx_there", [False, True])
def test_a_joblib_without_sidecar_is_never_unpickled(
    onnx_there: bool, backend: str, saved: Path, bomb: bytes, marker: Path
) -> None:
    saved.with_name("pack_v1.2.joblib").write_bytes(bomb)
    saved.with_name("pack_v1.2.json").unlink()
    if not onnx_there:
        saved.with_name("pack_v1.2.onnx").unlink()

    for path in (saved, saved.with_name("pack_v1.2.joblib")):
        with pytest.raises(ValueError, match=r"has no sidecar pack_v1\.2\.json.*`ev-qa migrate .*pack_v1\.2\.joblib"):
            EVBatteryAnalyzer.load_model(path, backend=backend)

    assert not marker.exists()


def test_a_set_aside_file_is_not_trusted_by_its_name(saved: Path, bomb: bytes, marker: Path) -> None:
    from ev_qa_runtime.artifact import ArtifactPaths, read_contract  # noqa: PLC0415 - of this test alone

    aside = ArtifactPaths.of(saved).aside("joblib", read_contract(saved).files["joblib"].sha256)
    aside.write_bytes(bomb)
    saved.with_name("pack_v1.2.joblib").write_bytes(bomb)

    with pytest.raises(ValueError, match="its bytes are not the ones"):
        EVBatteryAnalyzer.load_model(saved, backend="sklearn")

    assert not marker.exists()


def same_size(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["joblib", "onnx"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        same_size,
        lambda data: gzip.compress(b"something else"),
        lambda data: b"PK\x03\x04" + data,
    ],
    ids=["empty", "half", "one byte short", "one byte more", "one bit", "foreign", "prefixed"],
)
def test_a_damaged_payload_is_a_value_error(
    damage: Callable[[bytes], bytes], suffix: str, backend: str, saved: Path
) -> None:
    file = saved.with_name(f"pack_v1.2.{suffix}")
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(ValueError, match=rf"pack_v1\.2\.{suffix}: .*(corrupted, truncated or replaced|larger than)"):
        EVBatteryAnalyzer.load_model(saved, backend=backend)
    if suffix == "onnx":
        with pytest.raises(ValueError, match=r"pack_v1\.2\.onnx"):
            ev_qa_runtime.load_model(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"not json", b'{"schema_version": 1}', b"\x80\x04", b'{"a": 1, "a": 2}'],
)
def test_a_damaged_sidecar_is_a_value_error(content: bytes, saved: Path) -> None:
    saved.with_name("pack_v1.2.json").write_bytes(content)

    for load in (EVBatteryAnalyzer.load_model, ev_qa_runtime.load_model):
        with pytest.raises(ValueError, match=r"pack_v1\.2\.json: .*sidecar"):
            load(saved)


@pytest.mark.parametrize("content", [{"weights": [1, 2]}, np.ones(3), "text"], ids=["dictionary", "array", "text"])
def test_a_foreign_joblib_is_a_value_error(content: Any, tmp_path: Path) -> None:
    joblib.dump(content, tmp_path / "foreign.joblib")

    with pytest.raises(ValueError, match=r"foreign\.joblib has no sidecar"):
        EVBatteryAnalyzer.load_model(tmp_path / "foreign")


def test_payloads_of_two_models_do_not_mix(saved: Path, telemetry: Any, tmp_path: Path) -> None:
    EVBatteryAnalyzer(n_estimators=3).fit(telemetry).save_model(tmp_path / "other")
    for suffix in ("joblib", "onnx"):
        (tmp_path / f"other.{suffix}").replace(saved.with_name(f"pack_v1.2.{suffix}"))

    with pytest.raises(ValueError, match="its bytes are not the ones"):
        EVBatteryAnalyzer.load_model(saved)
    with pytest.raises(FileNotFoundError, match=r"Model file not found: .*other\.onnx \(its sidecar is there"):
        ev_qa_runtime.load_model(tmp_path / "other")


def test_an_onnx_file_without_sidecar_says_what_is_missing(saved: Path) -> None:
    saved.with_name("pack_v1.2.json").unlink()
    saved.with_name("pack_v1.2.joblib").unlink()

    with pytest.raises(
        FileNotFoundError, match=r"Model file not found: .*the sidecar is missing beside pack_v1\.2\.onnx"
    ):
        EVBatteryAnalyzer.load_model(saved)
