"""A crash, a full disk or a second writer never leaves a model that cannot be loaded."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.commit import commit
from ev_qa_runtime.artifact import ArtifactPaths

HERE = Path(__file__).parent
FilesIn = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its children")


@pytest.fixture(scope="module")
def models(telemetry: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four small models with different scores, on disk."""
    folder = tmp_path_factory.mktemp("four")
    for number in range(4):
        analyzer = EVBatteryAnalyzer(n_estimators=2, max_samples=16, random_state=number).fit(telemetry)
        analyzer.save_model(folder / f"m{number}")
    return [folder / f"m{number}" for number in range(4)]


def faulty_saves(kind: str, models: list[Path], folder: Path) -> list[dict[str, Any]]:
    """What came of saving ``models[1]`` (over ``models[0]``) with a fault at each file operation."""
    command = [sys.executable, HERE / "disk_faults.py", kind, models[0], models[1], folder]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [outcome for outcome in found if outcome["ended"] == "crashed"] == []
    return found


def payloads_of(model: Path) -> tuple[dict[str, bytes], bytes]:
    files = {suffix: model.with_name(f"{model.name}.{suffix}").read_bytes() for suffix in ("joblib", "onnx", "json")}
    sidecar = files.pop("json")
    return files, sidecar


def loaded_name(folder: Path) -> str | None:
    """The name of the model that both packages load from ``folder``; None where there is none."""
    names = set()
    for load in (
        ev_qa_runtime.load_model,
        lambda path: EVBatteryAnalyzer.load_model(path, backend="sklearn"),
        lambda path: EVBatteryAnalyzer.load_model(path, backend="onnx"),
    ):
        try:
            model = load(folder / "model")
        except FileNotFoundError:
            names.add(None)
        except ValueError as error:
            if "has no sidecar" not in str(error):
                raise
            names.add(None)
        else:
            names.add(model.info["name"] if hasattr(model, "info") else model.get_model_info()["name"])
    assert len(names) == 1, f"{folder}: the packages load different models: {names}"
    return names.pop()


def contents(folder: Path) -> tuple[tuple[str, bytes], ...]:
    """What lies in a folder, comparable; empty where there is none."""
    files = sorted(folder.iterdir()) if folder.exists() else []
    return tuple((file.name, file.read_bytes()) for file in files)


def whole(model: Path) -> tuple[tuple[str, bytes], ...]:
    payloads, sidecar = payloads_of(model)
    files = payloads | {"json": sidecar}
    return tuple((f"model.{suffix}", files[suffix]) for suffix in sorted(files))


def test_a_disk_that_refuses_leaves_the_old_model_and_nothing_else(models: list[Path], tmp_path: Path) -> None:
    before = {"overwrite": whole(models[0]), "over": (("model.joblib", b"foreign"),), "first": ()}
    refused_early = refused_late = 0

    for outcome in faulty_saves("errors", models, tmp_path):
        folder = Path(outcome["folder"])
        there = contents(folder)
        if outcome["ended"] == "saved":  # what could not be tidied away waits, hidden, for the next save
            hidden = [name for name, _ in there if name.startswith(".")]
            assert tuple(file for file in there if file[0] not in hidden) == whole(models[1]), outcome
            assert len(hidden) <= (2 if outcome["fault_met"] else 0), outcome
            continue
        assert outcome["errno"] == getattr(errno, outcome["fault"]), outcome
        assert outcome["path"], outcome
        if dict(there).get("model.json") == dict(whole(models[1]))["model.json"]:  # the last sync, after the commit
            assert set(there) >= set(whole(models[1])), outcome
            refused_late += 1
        else:
            assert there == before[outcome["scenario"].split()[0]], outcome
            refused_early += 1

    assert refused_early > 150
    assert refused_late == 2 * 5 * 2  # opening and syncing the folder, by scenario and error


def test_a_process_that_dies_leaves_the_old_model_or_the_new_one(models: list[Path], tmp_path: Path) -> None:
    left: Counter[str | None] = Counter()
    put_back = 0
    seen: set[tuple[str, tuple[tuple[str, bytes], ...]]] = set()
    payloads, sidecar = payloads_of(models[2])

    for outcome in faulty_saves("deaths", models, tmp_path):
        folder = Path(outcome["folder"])
        state = (outcome["scenario"], contents(folder))
        if outcome["ended"] == "saved":
            visible = tuple(file for file in state[1] if not file[0].startswith("."))
            assert visible == whole(models[1]), outcome
        if outcome["ended"] == "error" and outcome["path"].endswith((".new", "/model.onnx")):
            visible = tuple(file for file in state[1] if not file[0].startswith("."))
            assert visible in (whole(models[0]), whole(models[1])), outcome  # put back before anything is written
            put_back += 1
        if outcome["ended"] == "saved" or state in seen:
            continue
        seen.add(state)
        name = loaded_name(folder)
        left[name] += 1
        allowed = ("m0", "m1") if outcome["scenario"].startswith("overwrite") else (None, "m1")
        assert name in allowed, outcome
        commit(ArtifactPaths.of(folder / "model"), payloads, sidecar, overwrite=True)
        assert contents(folder) == whole(models[2]), outcome

    assert left[None] > 5
    assert left["m0"] > 20
    assert left["m1"] > 5
    assert put_back > 20


def test_writers_take_turns_and_readers_never_notice(models: list[Path], tmp_path: Path) -> None:
    expected = set()
    golden = np.array([[355.0, 10.0, 20.0], [300.0, -50.0, 60.0]])
    for model in models:
        loaded = ev_qa_runtime.load_model(model)
        expected.add((model.name, *loaded.score_samples(golden).tolist()))
    assert len(expected) == 4
    folder = tmp_path / "shared"
    command = [sys.executable, HERE / "concurrent_saves.py", folder / "model", "25", *models]

    reports = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert len(reports) == 7
    for who, report in reports.items():
        assert report["errors"] == [], who
        if who.startswith("reader"):
            assert report["loads"] > 5, who
            assert {tuple(seen) for seen in report["seen"]} <= expected, who
    assert loaded_name(folder) in {"m0", "m1", "m2", "m3"}
    assert {file.name for file in folder.iterdir() if file.is_file()} == {"model.joblib", "model.onnx", "model.json"}


FULL_DISK = """
import resource, signal, sys
from ev_qa_framework import EVBatteryAnalyzer
model, *targets = sys.argv[1:]
analyzer = EVBatteryAnalyzer.load_model(model)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for target in targets:
    for size in (0, 1000, 4000, 10000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            analyzer.save_model(target)
        except OSError as error:
            print(error.errno, error.filename)
        else:
            print("saved")
"""


def test_a_real_limit_on_file_size_leaves_things_as_they_were(
    models: list[Path], saved: Path, tmp_path: Path, files_in: FilesIn
) -> None:
    first, over = tmp_path / "first", tmp_path / "over"
    payloads, sidecar = payloads_of(models[0])
    commit(ArtifactPaths.of(over / "model"), payloads, sidecar, overwrite=True)
    before = files_in(over)

    command = [sys.executable, "-c", FULL_DISK, saved, first / "model", over / "model"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert [line.split()[0] for line in lines] == [str(errno.EFBIG)] * 8
    assert {Path(line.split(maxsplit=1)[1]).parent for line in lines} == {first, over}
    assert files_in(first) == {}
    assert files_in(over) == before
    assert loaded_name(over) == "m0"


READ_ONLY = """
import os, sys
from pathlib import Path
from ev_qa_framework.commit import commit
from ev_qa_runtime.artifact import ArtifactPaths
model, folder = sys.argv[1:]
payloads = {suffix: Path(f"{model}.{suffix}").read_bytes() for suffix in ("joblib", "onnx")}
sidecar = Path(f"{model}.json").read_bytes()
os.chdir(folder)
os.chmod(".", 0o555)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for name in ("model", "below/model"):
    try:
        commit(ArtifactPaths.of(name), payloads, sidecar, overwrite=True)
    except OSError as error:
        print(error.errno, error.filename)
"""


def test_a_read_only_folder_is_an_os_error_with_the_path(models: list[Path], tmp_path: Path, files_in: FilesIn) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    payloads, sidecar = payloads_of(models[0])
    commit(ArtifactPaths.of(folder / "model"), payloads, sidecar, overwrite=True)
    before = files_in(folder)

    command = [sys.executable, "-c", READ_ONLY, models[1], folder]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    folder.chmod(0o755)
    assert [line.split()[0] for line in lines] == [str(errno.EACCES)] * 2
    assert "model" in lines[0].split(maxsplit=1)[1]
    assert lines[1].split(maxsplit=1)[1] == "below"
    assert files_in(folder) == before
    assert loaded_name(folder) == "m0"


def test_a_file_where_the_folder_should_be_is_an_os_error_with_the_path(
    saved: Path, tmp_path: Path, files_in: FilesIn
) -> None:
    (tmp_path / "somefile").write_bytes(b"mine")
    analyzer = EVBatteryAnalyzer.load_model(saved)
    before = files_in(tmp_path)

    for target in ("somefile/x", "somefile/below/x"):
        with pytest.raises(NotADirectoryError, match="somefile") as caught:
            analyzer.save_model(tmp_path / target)
        assert str(tmp_path / "somefile") in caught.value.filename

    assert files_in(tmp_path) == before


def test_a_folder_where_a_file_should_be_is_an_os_error_with_the_path(
    saved: Path, models: list[Path], tmp_path: Path, files_in: FilesIn
) -> None:
    for suffix in ("joblib", "onnx", "json"):
        folder = tmp_path / suffix
        (folder / f"model.{suffix}").mkdir(parents=True)

        with pytest.raises(OSError, match=rf"model\.{suffix}|{suffix}/\.model") as caught:
            EVBatteryAnalyzer.load_model(saved).save_model(folder / "model")

        assert caught.value.filename is not None
        assert [file.name for file in folder.iterdir()] == [f"model.{suffix}"]


def test_the_sidecar_is_renamed_last_and_everything_is_synced_before(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    names = {}
    real_replace, real_fsync = os.replace, os.fsync

    def replaced(source: Any, target: Any) -> None:
        calls.append(f"rename {Path(target).name}")
        real_replace(source, target)

    def synced(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        names.update({file.stat().st_ino: file.name for file in [tmp_path, *tmp_path.iterdir()]})
        calls.append(f"sync {names[inode]}")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "fsync", synced)
    payloads, sidecar = payloads_of(models[0])

    commit(ArtifactPaths.of(tmp_path / "model"), payloads, sidecar, overwrite=True)

    renames = [call for call in calls if call.startswith("rename")]
    assert renames == ["rename model.joblib", "rename model.onnx", "rename model.json"]
    first = calls.index(renames[0])
    assert set(calls[:first]) >= {f"sync .model.{suffix}.new" for suffix in ("joblib", "onnx", "json")}
    last = calls.index("rename model.json")
    assert calls[last - 1] == f"sync {tmp_path.name}"
    assert calls[last + 1 :] == [f"sync {tmp_path.name}"]
