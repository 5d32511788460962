"""Environments of the matrix: made once with ``venv`` and pip, kept under the work folder, brought up to date."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.matrix.versions import Cell

ROOT = Path(__file__).resolve().parents[2]
_PROJECTS = {"train": ("runtime", "training"), "score": ("runtime",)}


class MatrixError(Exception):
    """Something that a cell needs failed; the message ends with the output of what failed."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A cell with the Python that runs it."""

    cell: Cell
    python: Path

    def run(self, module: str, *arguments: str) -> Any:
        """Run a module of this folder there and return the JSON it prints; ``MatrixError`` where it fails."""
        command = [str(self.python), "-E", "-s", "-W", "default", "-m", f"tools.matrix.{module}", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MatrixError(f"{self.cell.name}: {module} exited with {done.returncode}:\n{done.stderr[-4000:]}")
        return json.loads(done.stdout)


def find_python(version: str) -> str | None:
    """An interpreter of ``version`` ("3.12") that runs: on the PATH, or under pyenv's usual folder; else None."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}*/bin/python"))
    probe = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in (f"python{version}", *map(str, reversed(pyenv))):
        if shutil.which(candidate) is None:
            continue
        done = subprocess.run([candidate, "-c", probe], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def build_wheels(folder: Path) -> dict[str, Path]:
    """The project's wheels by folder name, built from the sources as they are."""
    shutil.rmtree(folder, ignore_errors=True)
    offline = ["--no-build-isolation", "--no-index"] if importlib.util.find_spec("hatchling") else []
    wheels = {}
    for project in _PROJECTS["train"]:
        source = str(ROOT / project)  # a path: the bare name would be a registry's package of that name
        _pip(sys.executable, "building wheels", "wheel", "--no-deps", *offline, "-w", str(folder / project), source)
        (wheels[project],) = (folder / project).glob("*.whl")
    return wheels


def prepare(cell: Cell, work: Path, wheels: dict[str, Path]) -> Environment | None:
    """The cell's environment, made or reused; None where its Python is not installed here."""
    folder = work / "environments" / cell.name
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    requirements = [*cell.requirements, *(_other_training_needs(cell) if cell.kind == "train" else ())]
    made, current = folder / "made.json", folder / "wheels.json"
    if not _says(made, requirements):
        interpreter = find_python(cell.python)
        if interpreter is None:
            return None
        _run([interpreter, "-m", "venv", "--clear", str(folder)], f"{cell.name}: venv")
        _pip(python, cell.name, "install", "--no-compile", "--only-binary", ":all:", *requirements)
        made.write_text(json.dumps(requirements), encoding="utf-8")
    digests = [hashlib.sha256(wheels[project].read_bytes()).hexdigest() for project in _PROJECTS[cell.kind]]
    if not _says(current, digests):
        files = [str(wheels[project]) for project in _PROJECTS[cell.kind]]
        _pip(python, cell.name, "install", "--no-deps", "--no-index", "--force-reinstall", *files)
        if not cell.compat_only:  # there the runtime's declared needs are not met, which is the point
            _pip(python, cell.name, "check")
        current.write_text(json.dumps(digests), encoding="utf-8")
    return Environment(cell, python.absolute())


def _other_training_needs(cell: Cell) -> list[str]:
    """What the training side declares to need, less what the cell pins and the runtime, which comes as a wheel."""
    project = tomllib.loads((ROOT / "training" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=!~; \[]", needed, maxsplit=1)[0] for needed in project["dependencies"]]
    at_hand = {*cell.pins, "ev-qa-runtime"}
    return [needed for name, needed in zip(names, project["dependencies"], strict=True) if name not in at_hand]


def _says(stamp: Path, content: list[str]) -> bool:
    return stamp.exists() and bool(json.loads(stamp.read_text(encoding="utf-8")) == content)


def _pip(python: str | Path, what: str, *arguments: str) -> None:
    _run([str(python), "-m", "pip", "--disable-pip-version-check", *arguments], f"{what}: pip {arguments[0]}")


def _run(command: list[str], what: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise MatrixError(f"{what} exited with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
