"""Saves on a disk that fails, or in a process that dies, at the k-th file operation: ``test_commit`` runs this.

``python disk_faults.py errors|deaths OLD NEW ROOT``: for each scenario and each k, model NEW is committed over what
the scenario put into ROOT/SCENARIO/FAULT-k, and meets the fault there. Prints what happened as JSON, one object a
save. A process that is to die is forked from this one.
"""

from __future__ import annotations

import builtins
import errno
import importlib.util
import io
import json
import os
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Any


def _skip_initialisation(package: str) -> None:
    """Import modules of ``package`` without what its ``__init__`` brings along: hundreds of forks stay cheap."""
    found = importlib.util.find_spec(package)
    module = types.ModuleType(package)
    module.__path__ = list(found.submodule_search_locations)
    sys.modules[package] = module


for _package in ("ev_qa_framework", "ev_qa_runtime"):
    _skip_initialisation(_package)

from ev_qa_framework.commit import commit  # noqa: E402 - after the packages were prepared
from ev_qa_runtime.artifact import ArtifactPaths  # noqa: E402

ERRORS: dict[str, int | None] = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
SCENARIOS = ("first", "first in a new folder", "overwrite", "over a foreign joblib", "overwrite without hard links")
SUFFIXES = ("joblib", "onnx", "json")
_DIED = 77


class Disk:
    """Counts file operations and lets the one with number ``fail_at`` fail; ``errno`` None stands for dying there."""

    def __init__(self, fail_at: int, number: int | None) -> None:
        self._left = fail_at
        self._errno = number
        self._real: list[tuple[Any, str, Any]] = []

    @property
    def fault_met(self) -> bool:
        return self._left <= 0

    def meets_fault(self) -> bool:
        self._left -= 1
        return self._left == 0

    def fail(self, path: object) -> None:
        if self._errno is None:
            os._exit(_DIED)
        raise OSError(self._errno, os.strerror(self._errno), path)

    def _replace(self, module: Any, name: str, replacement: Any) -> None:
        self._real.append((module, name, getattr(module, name)))
        setattr(module, name, replacement)

    def _wrap(self, name: str, *, path_known: bool = True) -> None:
        real = getattr(os, name)

        def operation(*args: Any, **kwargs: Any) -> Any:
            if self.meets_fault():
                self.fail(str(args[0]) if path_known else None)
            return real(*args, **kwargs)

        self._replace(os, name, operation)

    def remove(self) -> None:
        while self._real:
            setattr(*self._real.pop())

    def install(self, *, hard_links: bool) -> None:
        disk = self

        class Writer(io.BufferedWriter):
            def write(self, data: Any) -> int:
                if disk.meets_fault():
                    super().write(data[: len(data) // 2])
                    super().flush()
                    disk.fail(None)  # as the operating system: a write knows no path
                return super().write(data)

        real_open = io.open

        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if disk.meets_fault():
                disk.fail(str(file))
            if "w" in mode and "b" in mode:
                return Writer(io.FileIO(file, "w"))
            return real_open(file, mode, *args, **kwargs)

        self._replace(io, "open", opened)
        self._replace(builtins, "open", opened)
        if not hard_links:

            def refused(source: object, *_args: object, **_kwargs: object) -> None:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source))

            self._replace(os, "link", refused)
        self._replace(os, "fsync", lambda _descriptor: None)  # no power is cut here, and syncing is slow
        for name in ("open", "replace", "rename", "link", "unlink", "mkdir", "scandir", "listdir"):
            self._wrap(name)
        self._wrap("fsync", path_known=False)


def read_model(path: str) -> dict[str, bytes]:
    return {suffix: Path(f"{path}.{suffix}").read_bytes() for suffix in SUFFIXES}


def prepare(scenario: str, folder: Path, old: dict[str, bytes]) -> ArtifactPaths:
    folder.mkdir(parents=True)
    if scenario == "first in a new folder":
        return ArtifactPaths.of(folder / "a" / "b" / "model")
    if scenario.startswith("overwrite"):
        for suffix, data in old.items():
            (folder / f"model.{suffix}").write_bytes(data)
    elif scenario == "over a foreign joblib":
        (folder / "model.joblib").write_bytes(b"foreign")
    return ArtifactPaths.of(folder / "model")


def run_child(work: Callable[[], dict[str, Any]], report: Path) -> dict[str, Any]:
    """What ``work`` returns in a forked child, or that it died."""
    child = os.fork()
    if child == 0:
        write, dump = os.write, json.dumps
        descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            outcome = work()
        except BaseException as error:  # noqa: BLE001 - reported
            outcome = {"ended": "crashed", "message": repr(error)}
        write(descriptor, dump(outcome).encode())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    outcome = json.loads(report.read_bytes() or b"{}")
    return outcome or {"ended": "died" if os.waitstatus_to_exitcode(status) == _DIED else "crashed"}


def commit_with_fault(
    paths: ArtifactPaths, new: dict[str, bytes], k: int, number: int | None, *, hard_links: bool
) -> dict[str, Any]:
    disk = Disk(k, number)
    payloads = {suffix: data for suffix, data in new.items() if suffix != "json"}
    disk.install(hard_links=hard_links)
    try:
        commit(paths, payloads, new["json"], overwrite=True)
    except OSError as error:
        return {"ended": "error", "errno": error.errno, "path": error.filename, "message": str(error)}
    finally:
        disk.remove()
    return {"ended": "saved", "fault_met": disk.fault_met}


def outcomes(faults: dict[str, int | None], old: dict[str, bytes], new: dict[str, bytes], root: Path) -> Iterator[Any]:
    for scenario, (fault, number) in product(SCENARIOS, faults.items()):
        for k in count(1):
            paths = prepare(scenario, root / scenario / f"{fault}-{k}", old)
            save = partial(commit_with_fault, paths, new, k, number, hard_links="without" not in scenario)
            found = run_child(save, root / "report") if number is None else save()
            yield {"scenario": scenario, "fault": fault, "k": k, "folder": str(paths.folder), **found}
            if found["ended"] == "saved" and not found["fault_met"]:
                break


def second_faults(new: dict[str, bytes], root: Path, states: list[Path]) -> Iterator[Any]:
    """A save that dies, or is refused, at every operation, from each of the folders ``states`` that a death left."""
    for (number, state), fault in product(enumerate(states), ("death", "ENOSPC")):
        for k in count(1):
            folder = root / f"again-{number}-{fault}-{k}"
            shutil.copytree(state, folder)
            paths = ArtifactPaths.of(folder / "model")
            save = partial(commit_with_fault, paths, new, k, ERRORS.get(fault), hard_links=True)
            found = run_child(save, root / "report") if fault == "death" else save()
            yield {"scenario": "overwrite after a crash", "fault": fault, "k": k, "folder": str(folder), **found}
            if found["ended"] == "saved" and not found["fault_met"]:
                break


def different(folders: list[Path]) -> list[Path]:
    """One folder of every content."""
    states: dict[tuple[tuple[str, bytes], ...], Path] = {}
    for folder in folders:
        states.setdefault(tuple(sorted((file.name, file.read_bytes()) for file in folder.iterdir())), folder)
    return list(states.values())


def main() -> None:
    kind, root = sys.argv[1], Path(sys.argv[4])
    old, new = map(read_model, sys.argv[2:4])
    found = list(outcomes(ERRORS if kind == "errors" else {"death": None}, old, new, root))
    if kind == "deaths":
        over = [item for item in found if item["scenario"] == "overwrite" and item["ended"] == "died"]
        found += second_faults(new, root, different([Path(item["folder"]) for item in over]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
