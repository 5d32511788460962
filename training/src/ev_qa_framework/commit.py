"""Writing a model's files so that a crash, a full disk or a second writer never leaves a broken one.

Order: the old payloads get a second name under their digest; new payloads are written aside, synced and renamed over
the old; the sidecar is renamed last. That rename is the commit point: until then the old sidecar with the old
payloads' second names is a whole model (:mod:`ev_qa_runtime.artifact` looks there), after it the new one is. What
fails before it is undone; what a crash left half-way, the next save undoes first. One writer a folder at a time, by
a lock on the folder itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import LIMITS, SUFFIXES, ArtifactPaths
from ev_qa_runtime.errors import ArtifactError

try:
    import fcntl
except ImportError:  # not a Unix system: no lock there, the order of renames still holds
    fcntl = None  # type: ignore[assignment]  # the module is typed as always present


def commit(paths: ArtifactPaths, payloads: dict[str, bytes], sidecar_bytes: bytes, *, overwrite: bool) -> None:
    """Make ``payloads`` (by suffix without dot) and the sidecar the model at ``paths``, atomically and durably.

    Creates the folder. Raises ``FileExistsError`` where a file is there and ``overwrite`` is False, ``OSError`` with
    the path where the disk refuses; the old model is then untouched.
    """
    paths.folder.mkdir(parents=True, exist_ok=True)
    with _locked(paths.folder):
        if not overwrite:
            _refuse_existing(paths)
        _undo_interrupted(paths)
        old = _present_payloads(paths)
        staged: dict[str, Path] = {}
        replaced: list[str] = []
        try:
            for suffix, data in {**payloads, "json": sidecar_bytes}.items():
                staged[suffix] = _write_aside(paths, suffix, data)
            for suffix, second_name in old.items():
                _link(paths.file(suffix), second_name)
            _sync_folder(paths.folder)
            for suffix in payloads:
                staged[suffix].replace(paths.file(suffix))
                replaced.append(suffix)
            _sync_folder(paths.folder)
            staged["json"].replace(paths.sidecar)
        except BaseException:
            _undo(paths, old, replaced, staged)
            raise
        _sync_folder(paths.folder)
        _tidy(paths, keep=set(payloads))


def _refuse_existing(paths: ArtifactPaths) -> None:
    for suffix in SUFFIXES:
        file = paths.file(suffix[1:])
        if file.exists():
            raise FileExistsError(f"{file} exists already: choose another name, or save with overwrite=True")


def _undo_interrupted(paths: ArtifactPaths) -> None:
    """Put back the payloads that the present sidecar vouches for, where a crash left them under their second name."""
    try:
        with paths.sidecar.open("rb") as file:
            vouched = sidecar.decode(file.read(LIMITS.sidecar + 1)).files
    except (FileNotFoundError, ArtifactError):
        return  # no usable model is there, so there is none to put back
    for suffix, digest in vouched.items():
        second_name = paths.aside(suffix, digest.sha256)
        if f".{suffix}" in SUFFIXES and second_name.exists():
            _put_back(second_name, paths.file(suffix))


def _present_payloads(paths: ArtifactPaths) -> dict[str, Path]:
    """Suffix → second name of every payload that lies there now."""
    files = {suffix: paths.file(suffix) for suffix in ("joblib", "onnx")}
    return {
        suffix: paths.aside(suffix, hashlib.sha256(file.read_bytes()).hexdigest())
        for suffix, file in files.items()
        if file.exists()
    }


def _write_aside(paths: ArtifactPaths, suffix: str, data: bytes) -> Path:
    aside = paths.folder / f".{paths.name}.{suffix}.new"
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(paths.file(suffix))) from None
        raise
    return aside


def _link(file: Path, second_name: Path) -> None:
    second_name.unlink(missing_ok=True)
    try:
        second_name.hardlink_to(file)
    except OSError:  # a file system without hard links
        copy = second_name.with_name(second_name.name + ".copy")
        shutil.copyfile(file, copy)
        copy.replace(second_name)


def _put_back(second_name: Path, file: Path) -> None:
    second_name.replace(file)
    second_name.unlink(missing_ok=True)  # renaming one name of a file over its other name does nothing


def _undo(paths: ArtifactPaths, old: dict[str, Path], replaced: list[str], staged: dict[str, Path]) -> None:
    """Put the old payloads back; what cannot be put back stays loadable under its second name."""
    for suffix in replaced:
        if suffix not in old:
            with contextlib.suppress(OSError):
                paths.file(suffix).unlink()
    for suffix, second_name in old.items():
        with contextlib.suppress(OSError):
            _put_back(second_name, paths.file(suffix))
    for file in staged.values():
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _tidy(paths: ArtifactPaths, keep: set[str]) -> None:
    """Remove the second names, what interrupted saves left, and payloads the new sidecar does not list."""
    for suffix in SUFFIXES:
        prefix = f".{paths.name}{suffix}."
        for file in paths.folder.iterdir():
            if file.name.startswith(prefix):
                file.unlink(missing_ok=True)
        if suffix != ".json" and suffix[1:] not in keep:
            paths.file(suffix[1:]).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(descriptor)
