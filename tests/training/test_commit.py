"""A crash, a full disk or a second writer never leaves a model that cannot be loaded."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
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


def test_an_interrupt_right_after_the_commit_keeps_the_new_model(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_in: FilesIn
) -> None:
    """Ctrl-C during the sidecar's rename: Python raises when the rename is done."""
    payloads, sidecar = payloads_of(models[0])
    paths = ArtifactPaths.of(tmp_path / "model")
    commit(paths, payloads, sidecar, overwrite=True)
    real_replace = os.replace

    def interrupted(source: Any, target: Any) -> None:
        real_replace(source, target)
        if Path(target) == paths.sidecar:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    payloads, sidecar = payloads_of(models[1])
    with pytest.raises(KeyboardInterrupt):
        commit(paths, payloads, sidecar, overwrite=True)

    assert files_in(tmp_path) == {
        "model.joblib": payloads["joblib"],
        "model.json": sidecar,
        "model.onnx": payloads["onnx"],
    }
    assert loaded_name(tmp_path) == "m1"


def test_an_interrupt_right_after_a_payloads_rename_leaves_nothing(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_in: FilesIn
) -> None:
    real_replace = os.replace

    def interrupted(source: Any, target: Any) -> None:
        real_replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    payloads, sidecar = payloads_of(models[0])
    with pytest.raises(KeyboardInterrupt):
        commit(ArtifactPaths.of(tmp_path / "model"), payloads, sidecar, overwrite=True)

    assert files_in(tmp_path) == {}


def test_a_folder_that_cannot_be_synced_after_the_commit_says_that_the_model_is_there(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_in: FilesIn
) -> None:
    paths = ArtifactPaths.of(tmp_path / "model")
    payloads, sidecar = payloads_of(models[0])
    commit(paths, payloads, sidecar, overwrite=True)
    old = payloads
    real_fsync = os.fsync

    def refused(descriptor: int) -> None:
        if paths.sidecar.read_bytes() != sidecar:  # the new one is in place
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(OSError, match=r"the new model is in place, but .* a power cut may undo that") as caught:
        commit(paths, *payloads_of(models[1]), overwrite=True)
    monkeypatch.undo()

    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(paths.sidecar))
    assert loaded_name(tmp_path) == "m1"
    paths.sidecar.write_bytes(sidecar)  # what a power cut may do: the old payloads are there still
    assert loaded_name(tmp_path) == "m0"
    assert {data for name, data in files_in(tmp_path).items() if name.startswith(".")} == set(old.values())
    commit(paths, *payloads_of(models[2]), overwrite=True)
    assert loaded_name(tmp_path) == "m2"
    assert len(files_in(tmp_path)) == 3


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
