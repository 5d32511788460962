"""Hostile sidecars and hostile files in a model's place: refused with the reason, at once, and nothing else happens."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ev_qa_runtime import ArtifactError, load_model, sidecar

HOSTILE = Path(__file__).parents[1] / "data" / "hostile"
SOUND = HOSTILE / "models" / "sound_exact"
OVER_TIME = HOSTILE.parent / "models" / "over_time_v1.0.0"
RUNNER = Path(__file__).parent / "hostile_runner.py"
SECONDS = 60.0
"""Far above what any case takes (below 1 s), for machines that do other things too."""


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_HOSTILE = _module(HOSTILE / "sidecar_cases.py")
CASES = {
    name: (data, error, match)
    for name, data, error, match in _HOSTILE.hostile_sidecars(Path(f"{SOUND}.json").read_bytes())
}
OVER_TIME_CASES = {
    f"over_time_{name}": (data, error, match)
    for name, data, error, match in _HOSTILE.hostile_sidecars(
        Path(f"{OVER_TIME}.json").read_bytes(), _HOSTILE.OVER_TIME_CASES
    )
}
ALL_CASES = CASES | OVER_TIME_CASES


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """How loading and verifying every model in ``folder`` ends, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(RUNNER), str(folder), str(SECONDS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sidecars")
    for name, (data, _, _) in ALL_CASES.items():
        (folder / f"{name}.json").write_bytes(data)
        shutil.copyfile(f"{SOUND if name in CASES else OVER_TIME}.onnx", folder / f"{name}.onnx")
    return outcomes(folder)


@pytest.mark.parametrize("name", ALL_CASES)
def test_a_hostile_sidecar_is_refused_with_the_reason(name: str, found: dict[str, dict[str, Any]]) -> None:
    _, error, match = ALL_CASES[name]
    outcome = found[name]
    assert outcome["error"] == error, outcome
    assert "ArtifactError" in outcome["kinds"]
    assert re.search(match, outcome["message"]), outcome["message"]


@pytest.mark.parametrize("name", ALL_CASES)
def test_verify_says_so_in_one_short_printable_line(name: str, found: dict[str, dict[str, Any]]) -> None:
    outcome = found[name]
    assert outcome["code"] == 3, outcome
    line = outcome["stderr"].removesuffix("\n")
    assert line.isprintable(), line
    assert len(line) < 1000, line
    assert outcome["seconds"] < SECONDS


def test_the_sound_sidecar_of_the_corpus_loads() -> None:
    assert load_model(SOUND).score(voltage=350.0, current=1.0, temp=20.0).valid


def test_monitoring_in_a_sidecar_of_schema_1_is_kept_and_not_used(tmp_path: Path) -> None:
    document = json.loads(Path(f"{SOUND}.json").read_bytes())
    document["monitoring"] = {"later": [1]}
    (tmp_path / "model.json").write_bytes(_HOSTILE.sealed(_HOSTILE.spelled({"monitoring": 0} | document)))
    shutil.copyfile(f"{SOUND}.onnx", tmp_path / "model.onnx")

    contract = load_model(tmp_path / "model").contract

    assert contract.monitoring is None
    assert contract.unknown == {"monitoring": {"later": [1]}}


def test_a_file_of_an_unknown_kind_is_kept_and_never_opened(tmp_path: Path) -> None:
    document = json.loads(Path(f"{SOUND}.json").read_bytes())
    document["files"]["later"] = {"bytes": 1, "sha256": "0" * 64}
    cases = _module(HOSTILE / "sidecar_cases.py")
    (tmp_path / "model.json").write_bytes(cases.sealed(cases.spelled(document)))
    shutil.copyfile(f"{SOUND}.onnx", tmp_path / "model.onnx")
    (tmp_path / "model.later").mkdir()

    assert load_model(tmp_path / "model").contract.files["later"].bytes == 1


def test_a_great_many_lists_are_read_in_time(tmp_path: Path) -> None:
    document = json.loads(Path(f"{SOUND}.json").read_bytes())
    document["metadata"] = {"list": [[]] * 500_000}  # 2 MB of text
    cases = _module(HOSTILE / "sidecar_cases.py")
    (tmp_path / "model.json").write_bytes(cases.sealed(json.dumps(document)[:-1] + "\n}\n"))
    shutil.copyfile(f"{SOUND}.onnx", tmp_path / "model.onnx")

    outcome = outcomes(tmp_path)["model"]

    assert (outcome["error"], outcome["code"]) == (None, 0), outcome
    assert outcome["seconds"] < SECONDS


# --- what lies in a model's place -------------------------------------------------------------------------------------

Place = Callable[[Path], None]


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/urandom")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for suffix in ("json", "onnx"):
        shutil.copyfile(f"{SOUND}.{suffix}", tmp_path / f"model.{suffix}")
    return tmp_path / "model"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes and /dev belong to POSIX")
@pytest.mark.parametrize("suffix", ["json", "onnx"])
@pytest.mark.parametrize("place", [a_pipe, a_folder, a_device, an_endless_device])
def test_only_regular_files_are_read(copy: Path, suffix: str, place: Place) -> None:
    file = copy.with_suffix(f".{suffix}")
    file.unlink()
    place(file)

    outcome = outcomes(copy.parent)["model"]

    assert outcome["error"] == "ArtifactError", outcome
    assert f"model.{suffix}: it is a folder, a pipe or a device" in outcome["message"]
    assert outcome["code"] == 3
    assert outcome["seconds"] < SECONDS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes belong to POSIX")
@pytest.mark.parametrize("place", [a_pipe, a_folder, a_device])
def test_what_lies_in_the_place_of_the_joblib_does_not_concern_the_runtime(copy: Path, place: Place) -> None:
    place(copy.with_suffix(".joblib"))

    assert load_model(copy).info["backend"] == "onnx"


def test_links_are_followed_and_what_they_lead_to_is_verified(copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    for suffix in ("json", "onnx"):
        (folder / f"current.{suffix}").symlink_to(copy.with_suffix(f".{suffix}"))
    assert load_model(folder / "current").contract.name == "sound_exact"

    (folder / "current.onnx").unlink()
    (folder / "current.onnx").symlink_to("/etc/passwd")
    with pytest.raises(ArtifactError, match="its bytes are not the ones"):
        load_model(folder / "current")


@pytest.mark.parametrize("suffix", ["json", "onnx"])
def test_a_link_that_leads_to_itself_is_an_operating_systems_error(copy: Path, suffix: str) -> None:
    file = copy.with_suffix(f".{suffix}")
    file.unlink()
    file.symlink_to(file)

    outcome = outcomes(copy.parent).get("model")

    if outcome is not None:  # glob does not list what leads nowhere on every release of Python
        assert outcome["code"] in (3, 5), outcome
        assert "OSError" in outcome["kinds"], outcome


def test_a_sidecar_that_is_the_onnx_file_of_itself_is_refused(copy: Path) -> None:
    copy.with_suffix(".onnx").unlink()
    copy.with_suffix(".onnx").symlink_to(copy.with_suffix(".json"))

    with pytest.raises(ArtifactError, match="its bytes are not the ones"):
        load_model(copy)


def test_a_contract_may_not_be_made_with_such_a_name_either() -> None:
    import dataclasses  # noqa: PLC0415 - of this test alone

    contract = sidecar.decode(Path(f"{SOUND}.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"name: .* holds a separator of paths"):
        dataclasses.replace(contract, name="../x")
