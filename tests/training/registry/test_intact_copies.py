"""Files that are damaged or gone are put back by promoting and rolling back, and what is there already is synced."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ev_qa_framework.registry.event import Event
from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime import load_model
from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError, RegistryError

Fill = Callable[..., list[str]]
SUFFIXES = ("json", "onnx", "joblib")


def damage(registry: Registry, path: str, how: str) -> None:
    """Through the store itself, whatever kind it is."""
    data = registry.store.read(path, 2**20)
    assert data is not None
    registry.store.remove(path)
    if how != "gone":
        registry.store.replace(path, {"longer": data + b"x", "other": b"x" * len(data), "empty": b""}[how])


@pytest.mark.parametrize("how", ["longer", "other", "empty", "gone"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_rollback_puts_back_what_another_folder_holds(registry: Registry, fill: Fill, suffix: str, how: str) -> None:
    for name in fill(registry, 2):
        registry.promote(name)
    damage(registry, f"production/pack_v1.0.0.{suffix}", how)

    registry.rollback()

    assert registry.place("champion").model == "pack_v1.0.0"
    assert verify(registry.store).faults == ()


def test_files_come_from_whichever_folder_has_each(local: Registry, fill: Fill) -> None:
    for name in fill(local, 2):
        local.promote(name)
    damage(local, "production/pack_v1.0.0.onnx", "gone")
    damage(local, "experiments/pack_v1.0.0.json", "longer")
    local.rollback()
    assert load_model(f"{local.root}@champion").contract.name == "pack_v1.0.0"


def test_promoting_the_champion_checks_it_and_puts_it_back(registry: Registry, fill: Fill) -> None:
    fill(registry, 1)
    registry.promote("pack_v1.0.0")
    damage(registry, "production/pack_v1.0.0.onnx", "longer")

    assert registry.promote("champion") is None

    assert verify(registry.store).faults == ()
    for folder in ("production", "experiments"):
        damage(registry, f"{folder}/pack_v1.0.0.onnx", "longer")
    with pytest.raises(IntegrityError, match=r"onnx: its bytes are not the ones event 1 vouches for, and no folder"):
        registry.promote("pack_v1.0.0")
    for folder in ("production", "experiments"):
        registry.store.remove(f"{folder}/pack_v1.0.0.onnx")
    with pytest.raises(ModelNotFoundError, match=r"event 1 recorded it, and no folder holds a copy: restore it"):
        registry.promote("pack_v1.0.0")


def test_a_copy_without_joblib_is_enough(local: Registry, fill: Fill) -> None:
    fill(local, 1)
    local.store.remove("experiments/pack_v1.0.0.joblib")
    assert local.promote("pack_v1.0.0") is not None
    assert load_model(f"{local.root}@champion").contract.name == "pack_v1.0.0"


def test_a_link_that_leads_out_is_not_written_through(local: Registry, fill: Fill, tmp_path: Path) -> None:
    for name in fill(local, 2):
        local.promote(name)
    (tmp_path / "outside").write_bytes(b"of somebody else")
    inside = Path(local.root) / "production" / "pack_v1.0.0.onnx"
    inside.unlink()
    inside.symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="a link leads out of the registry"):
        local.rollback()
    assert (tmp_path / "outside").read_bytes() == b"of somebody else"


def synced_by(work: Callable[[], object]) -> set[str]:
    """The names of the files and folders that ``work`` syncs."""
    paths: set[str] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        paths.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        work()
    return paths


WHOLE = {f"pack_v1.0.0.{suffix}" for suffix in SUFFIXES} | {"production"}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads what a descriptor is of from /proc")
def test_what_an_earlier_try_left_is_synced_before_it_is_acknowledged(local: Registry, fill: Fill) -> None:
    fill(local, 1)
    files = local.store.add_model
    model = [local.store.read(f"experiments/pack_v1.0.0.{suffix}", 2**20) for suffix in SUFFIXES]
    sidecar, onnx, joblib = (data or b"" for data in model)
    files("production", "pack_v1.0.0", {"onnx": onnx, "joblib": joblib}, sidecar)
    assert synced_by(lambda: local.promote("pack_v1.0.0")) >= WHOLE | {"events"}
    assert synced_by(lambda: local.promote("pack_v1.0.0")) >= WHOLE | {"events", "00000002.json"}
    with local.store.turn():
        data = local.store.read("registry/events/00000002.json", 2**20) or b""
        assert synced_by(lambda: local.store.create("registry/events/00000002.json", data)) >= {"00000002.json"}


def test_a_refused_sync_is_tried_again(local: Registry, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(local, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _refused)
        with pytest.raises(OSError, match="Input/output error"):
            local.promote("pack_v1.0.0")
    assert local.promote("pack_v1.0.0") is not None


def _refused(_descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def future(registry: Registry, named: Callable[..., ModelFiles], minutes: float) -> Event:
    """An event by somebody whose clock is ahead."""
    ahead = datetime.now(UTC) + timedelta(minutes=minutes)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # the one use
            return ahead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ev_qa_framework.registry.journal.datetime", Ahead)
        return registry.publish("pack_v1.0.0", named("pack_v1.0.0"))


def test_nothing_follows_an_event_from_the_future(registry: Registry, named: Callable[..., ModelFiles]) -> None:
    event = future(registry, named, 60)

    with pytest.raises(RegistryError, match=r"event 1 is dated .*, ahead of this clock .*give --despite-clock"):
        registry.promote("pack_v1.0.0")

    assert [fault.partition(", ")[2] for fault in verify(registry.store).faults] == ["which is in the future"]
    assert registry.store.names("production") == []
    told = Registry(registry.root, who="on call", despite_clock=True).promote("pack_v1.0.0")
    assert told is not None
    assert told.time == event.time


def test_clocks_may_be_some_minutes_apart(local: Registry, named: Callable[..., ModelFiles]) -> None:
    future(local, named, 4)
    assert local.promote("pack_v1.0.0") is not None
    assert verify(local.store).faults == ()
