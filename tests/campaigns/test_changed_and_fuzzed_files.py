"""The campaigns against files, in their short form; each must notice a loader that is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from tools.campaigns import byte_changes, fuzz_targets
from tools.campaigns.fuzz_mutations import mutated_json, mutated_onnx

from ev_qa_runtime import artifact
from ev_qa_runtime.vehicle_stream import VehicleStream
from ev_qa_runtime.verdict import invalid_verdict

ROOT = Path(__file__).parents[2]


def campaign(name: str, *arguments: str) -> str:
    """What a campaign prints; it must find nothing."""
    command = [sys.executable, "-m", f"tools.campaigns.{name}", "--slice", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_changed_byte_is_loaded() -> None:
    printed = campaign("byte_changes")

    assert "byte_changes: 0 of " in printed
    for file in ("demo_pack_v1.0.0 .json", "demo_pack_v1.0.0 .onnx", "five_v2.1.0 .joblib"):
        assert f"{file}: byte changed" in printed
        assert f"{file}: cut off" in printed


def test_a_loader_that_hashes_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = artifact.read_contract(byte_changes.SHIPPED).files["onnx"].sha256

    class Agreeable:
        def __init__(self, _: bytes) -> None: ...

        def hexdigest(self) -> str:
            return expected

    monkeypatch.setattr(artifact, "hashlib", SimpleNamespace(sha256=Agreeable))
    outcomes = byte_changes.work(byte_changes.Job(byte_changes.SHIPPED, "onnx", part=0, step=40_000))
    rows = [
        byte_changes.Row("demo", ".onnx", kind, count, count * loaded) for (kind, loaded), count in outcomes.items()
    ]
    assert any("byte changed: 1 of 1 loaded, not 0" in fault for fault in byte_changes.faults(rows))


def test_fuzzing_finds_nothing() -> None:
    printed = campaign("fuzz_artifacts")

    assert "findings: no fault" in printed
    assert all(f"│ {kind} " in printed for kind in ("sidecar", "model", "files"))


@pytest.fixture
def target(tmp_path: Path) -> fuzz_targets.Target:
    return fuzz_targets.Target(tmp_path)


def test_the_fuzzed_models_are_sound_to_begin_with(target: fuzz_targets.Target) -> None:
    assert target.sidecar(target.sidecars["exact"]) == target.sidecar(target.sidecars["over_time"]) == "loads"
    assert [target.model(data) for data in target.sound.values()] == ["loads", "loads"]


def test_a_stream_that_differs_from_the_batch_is_a_finding(
    target: fuzz_targets.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VehicleStream, "restore", lambda *_: None)  # no harm: it is the same stream
    assert target.sidecar(target.sidecars["over_time"]) == "loads"
    monkeypatch.setattr(VehicleStream, "score", lambda self, **_: invalid_verdict(("broken",)))
    with pytest.raises(fuzz_targets.FindingError, match="in a stream and"):
        target.sidecar(target.sidecars["over_time"])


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ValueError("two\nlines\x1b[2J")])
def test_an_error_that_is_not_documented_is_a_finding(
    error: Exception, target: fuzz_targets.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise error

    monkeypatch.setattr(fuzz_targets, "load_model", broken)
    with pytest.raises(fuzz_targets.FindingError, match=type(error).__name__):
        target.sidecar(b"{}")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - mutations are to be repeated


def test_mutations_can_be_repeated_and_reach_behind_the_digest(target: fuzz_targets.Target) -> None:
    sidecar, model = target.sidecars["exact"], target.sound["exact"]
    for seed in range(50):
        assert mutated_json(sidecar, seeded(seed)) == mutated_json(sidecar, seeded(seed))
        assert mutated_onnx(model, seeded(seed), (model,)) == mutated_onnx(model, seeded(seed), (model,))
    outcomes = {target.sidecar(mutated_json(sidecar, seeded(seed))) for seed in range(200)}
    assert sum("sidecar: " in outcome for outcome in outcomes) > 20
