"""Corrupted, truncated, foreign and hostile files are refused, and nothing in them runs."""

from __future__ import annotations

import dataclasses
import gzip
import importlib.util
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.severity import contradicting_cut, scoring_rule

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


# --- files that vouch for each other ----------------------------------------------------------------------------------


def vouched_for(saved: Path, suffix: str, data: bytes) -> None:
    """Put ``data`` in a file's place and its digest into the sidecar, as somebody who can write both would."""
    from ev_qa_framework.persistence import digest_of  # noqa: PLC0415 - of this function alone
    from ev_qa_runtime import sidecar  # noqa: PLC0415 - the same

    path = saved.with_name(f"{saved.name}.json")
    contract = sidecar.decode(path.read_bytes())
    files = {**contract.files, suffix: digest_of(data)}
    path.write_bytes(sidecar.encode(dataclasses.replace(contract, files=files)))
    saved.with_name(f"{saved.name}.{suffix}").write_bytes(data)


def test_the_onnx_back_end_and_the_runtime_unpickle_nothing_even_if_it_is_vouched_for(
    saved: Path, bomb: bytes, marker: Path
) -> None:
    vouched_for(saved, "joblib", bomb)

    assert EVBatteryAnalyzer.load_model(saved, backend="onnx").model is None
    assert ev_qa_runtime.load_model(saved).info["backend"] == "onnx"

    assert not marker.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes belong to POSIX")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_in_the_place_of_the_joblib_keeps_nobody_waiting(kind: str, backend: str, saved: Path) -> None:
    file = saved.with_name("pack_v1.2.joblib")
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")

    with pytest.raises(ValueError, match=r"pack_v1\.2\.joblib: it is a folder, a pipe or a device"):
        EVBatteryAnalyzer.load_model(saved, backend=backend)
    assert ev_qa_runtime.load_model(saved).info["backend"] == "onnx"  # which never looks at it


HOSTILE = Path(__file__).parents[1] / "data" / "hostile"
MODELS = json.loads((HOSTILE / "models" / "expectations.json").read_bytes())


@pytest.mark.parametrize("backend", ["auto", "onnx"])
@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_model_is_refused_by_the_training_side_too(name: str, backend: str, tmp_path: Path) -> None:
    expected = MODELS[name]
    for suffix in ("json", "onnx"):
        sound = HOSTILE / "models" / f"sound_{expected['profile']}.{suffix}"
        (tmp_path / f"model.{suffix}").write_bytes(sound.read_bytes())
    vouched_for(tmp_path / "model", "onnx", (HOSTILE / "models" / f"{name}.onnx").read_bytes())

    with pytest.raises(ArtifactError, match=expected["match"]):
        EVBatteryAnalyzer.load_model(tmp_path / "model", backend=backend)


def sidecar_cases() -> list[Any]:
    spec = importlib.util.spec_from_file_location("sidecar_cases", HOSTILE / "sidecar_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sound = (HOSTILE / "models" / "sound_exact.json").read_bytes()
    return [pytest.param(data, match, id=name) for name, data, _, match in module.hostile_sidecars(sound)]


@pytest.mark.parametrize("backend", ["auto", "onnx"])
@pytest.mark.parametrize(("data", "match"), sidecar_cases())
def test_a_hostile_sidecar_is_refused_by_the_training_side_too(
    data: bytes, match: str, backend: str, tmp_path: Path
) -> None:
    (tmp_path / "model.json").write_bytes(data)
    (tmp_path / "model.onnx").write_bytes((HOSTILE / "models" / "sound_exact.onnx").read_bytes())

    with pytest.raises(ArtifactError, match=match):
        EVBatteryAnalyzer.load_model(tmp_path / "model", backend=backend)


def test_the_kept_models_are_what_their_generator_writes() -> None:
    command = [sys.executable, str(HOSTILE / "make_models.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- what the exporter writes is what is allowed ----------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["exact", "compat"])
@pytest.mark.parametrize("features", [1, 3, 40])
@pytest.mark.parametrize("trees", [1, 7, 120])
@pytest.mark.parametrize("max_samples", [1, 2, 256])
def test_every_shape_that_is_saved_is_loaded(
    profile: Any, features: int, trees: int, max_samples: int, tmp_path: Path
) -> None:
    rows = np.random.default_rng(trees).normal(size=(300, features)).round(1)
    names = tuple(f"feature {number}" for number in range(features))
    analyzer = EVBatteryAnalyzer(n_estimators=trees, max_samples=max_samples, features=names).fit(rows)
    analyzer.save_model(tmp_path / "model", profile=profile)

    again = EVBatteryAnalyzer.load_model(tmp_path / "model", backend="onnx")  # without its Pipeline
    again.save_model(tmp_path / "restated", metadata={"note": "ä"})

    expected = ev_qa_runtime.load_model(tmp_path / "model").score_samples(rows)
    assert np.array_equal(ev_qa_runtime.load_model(tmp_path / "restated").score_samples(rows), expected)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-1.2, 0.2),
    st.floats(0, 1.0),
    st.sampled_from([0.0, 1.0, 2.0, 6.592503255827385, 2048.9541840239835, 1e6]),
    st.floats(-1.0, -1e-300) | st.sampled_from([-1.0, -0.5, -math.nextafter(1.0, 0.0)]),
    st.sampled_from(["exact", "compat"]),
)
def test_no_rule_of_ours_contradicts_itself(
    warning: float, lower: float, denominator: float, offset: float, profile: Any
) -> None:
    thresholds = Thresholds(critical=warning - lower, warning=warning)
    rule = scoring_rule(offset, denominator, thresholds, profile)
    assert contradicting_cut(rule, thresholds) is None
    if denominator and 0.01 < rule.warning_cut / denominator < 30:
        wrong = dataclasses.replace(rule, warning_cut=rule.warning_cut * 1.001)
        assert contradicting_cut(wrong, thresholds) == "warning_cut"
