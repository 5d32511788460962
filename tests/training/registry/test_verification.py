"""``verify`` names whatever is not as the events say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime.registry_event import event_path

Fill = Callable[..., list[str]]


@pytest.fixture
def used(local: Registry, fill: Fill) -> Registry:
    """Three models, promoted in turn, one rollback, one archived: eight events."""
    for name in fill(local, 3):
        local.promote(name)
    local.rollback()
    local.archive("pack_v1.0.2")
    return local


def faults(registry: Registry) -> str:
    return "\n".join(verify(registry.store).faults)


def test_a_sound_registry_has_no_faults(used: Registry) -> None:
    told: list[tuple[int, int]] = []
    found = verify(used.store, lambda done, total: told.append((done, total)))
    assert found.as_dict() == {
        "events": 8, "models": 3, "files": 15, "faults": [], "remarks": [], "verified": True,
    }  # fmt: skip
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("suffix", ["json", "onnx", "joblib"])
@pytest.mark.parametrize("folder", ["production", "experiments", "archive"])
def test_a_changed_byte_of_any_file(used: Registry, folder: str, suffix: str) -> None:
    name = "pack_v1.0.2" if folder == "archive" else "pack_v1.0.1"
    file = Path(used.root) / folder / f"{name}.{suffix}"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert f"{folder}/{name}.{suffix}" in faults(used)


@pytest.mark.parametrize("suffix", ["json", "onnx", "joblib"])
def test_a_file_that_is_gone(used: Registry, suffix: str) -> None:
    (Path(used.root) / "production" / f"pack_v1.0.1.{suffix}").unlink()
    assert f"production/pack_v1.0.1.{suffix}" in faults(used)


@pytest.mark.parametrize("number", range(1, 8))
def test_an_event_that_was_rewritten_breaks_the_chain(used: Registry, number: int) -> None:
    file = Path(used.root) / event_path(number)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"who": "somebody else"}))
    assert f"event {number + 1}: event {number} is not the one it was written after" in faults(used)


def test_an_event_that_is_gone(used: Registry) -> None:
    (Path(used.root) / event_path(4)).unlink()
    assert "00000004.json is missing: restore it from a copy" in faults(used)


def test_a_torn_event(used: Registry) -> None:
    file = Path(used.root) / event_path(3)
    file.write_bytes(file.read_bytes()[:100])
    assert "00000003.json: the event is not valid JSON" in faults(used)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (("aliases", "pack", "champion", "model"), "pack_v1.0.2"),
        (("aliases", "pack", "champion", "parent"), None),
        (("aliases", "pack", "champion", "sidecar_sha256"), "0" * 64),
        (("aliases", "pack"), {}),
        (("aliases",), {}),
        (("time",), "2020-01-01T00:00:00Z"),
        (("action",), "promote"),
    ],
)
def test_a_last_event_whose_state_does_not_follow(used: Registry, member: tuple[str, ...], value: object) -> None:
    (Path(used.root) / event_path(8)).unlink()
    file = Path(used.root) / event_path(7)  # the rollback
    document = json.loads(file.read_text())
    inner = document
    for step in member[:-1]:
        inner = inner[step]
    inner[member[-1]] = value
    file.write_text(json.dumps(document))
    assert "event 7: " in faults(used)


def test_another_model_under_the_name(used: Registry) -> None:
    for suffix in ("json", "onnx", "joblib"):
        source = Path(used.root) / "production" / f"pack_v1.0.0.{suffix}"
        (Path(used.root) / "production" / f"pack_v1.0.1.{suffix}").write_bytes(source.read_bytes())
    assert "it is of pack_v1.0.0, version 1.0.0" in faults(used)
    assert "pack/champion: production/pack_v1.0.1 is not there as event 7 has it" in faults(used)


def test_what_pruning_removes_and_what_nobody_knows_are_remarks(used: Registry) -> None:
    production = Path(used.root) / "production"
    for suffix in ("json", "onnx", "joblib"):
        archived = Path(used.root) / "archive" / f"pack_v1.0.2.{suffix}"
        (production / archived.name).write_bytes(archived.read_bytes())
    (production / "cell_v1.0.0.onnx").write_bytes(b"half an upload")
    (production / "notes.txt").write_text("nothing of ours")
    (Path(used.root) / "registry" / "events" / ".00000009.json.0123456789abcdef.new").write_bytes(b"{")
    found = verify(used.store)
    assert found.faults == ()
    assert [remark.partition(": ")[0] for remark in found.remarks] == [
        "registry/events/.00000009.json.0123456789abcdef.new",
        "production/cell_v1.0.0.onnx",
        *(f"production/pack_v1.0.2.{suffix}" for suffix in ("json", "onnx", "joblib")),
    ]


def test_links_that_lead_out_are_refused(used: Registry, tmp_path: Path) -> None:
    file = Path(used.root) / "production" / "pack_v1.0.1.onnx"
    file.rename(tmp_path / "outside.onnx")
    file.symlink_to(tmp_path / "outside.onnx")
    assert "a link leads out of the registry" in faults(used)
