"""Writing a model's files so that a crash, a full disk or a second writer never leaves a broken one.

Order: the old payloads get a second name under their digest; new payloads are written aside, synced and renamed over
the old; the sidecar is renamed last. That rename is the commit point: until then the old sidecar with the old
payloads' second names is a whole model (:mod:`ev_qa_runtime.artifact` looks there), after it the new one is. What
fails before it is undone; what a crash left half-way, the next save undoes first. One writer a folder at a time, by
a lock on the folder itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import LIMITS, SUFFIXES, ArtifactPaths
from ev_qa_runtime.errors import ArtifactError

if sys.platform != "win32":
    import fcntl

_OURS = re.compile(r"new|[0-9a-f]{16}(\.copy)?")
"""How the names of files set aside go on; another model's hidden file may begin like them."""


def commit(paths: ArtifactPaths, payloads: dict[str, bytes], sidecar_bytes: bytes, *, overwrite: bool) -> None:
    """Make ``payloads`` (by suffix without dot) and the sidecar the model at ``paths``, atomically and durably.

    Creates the folder. Raises ``FileExistsError`` where a file is there and ``overwrite`` is False, ``OSError`` with
    the path where the disk refuses; the old model is then untouched.
    """
    _refuse_oversized(payloads, sidecar_bytes)
    _make_folder(paths.folder)
    with _locked(paths.folder):
        if not overwrite:
            refuse_existing(paths)
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


def _refuse_oversized(payloads: dict[str, bytes], sidecar_bytes: bytes) -> None:
    sizes = {suffix: (len(data), LIMITS.payload) for suffix, data in payloads.items()}
    for suffix, (size, limit) in {**sizes, "json": (len(sidecar_bytes), LIMITS.sidecar)}.items():
        if size > limit:
            raise ValueError(f"not saved: the .{suffix} would have {size} bytes, no reader takes more than {limit}")


def _make_folder(folder: Path) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            _sync_folder(made.parent)
    except FileExistsError:  # a file: not what FileExistsError says of a model
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def refuse_existing(paths: ArtifactPaths) -> None:
    """Raise ``FileExistsError`` where one of the model's files is there already."""
    for suffix in SUFFIXES:
        file = paths.file(suffix[1:])
        if file.exists():
            raise FileExistsError(f"{file} exists already: choose another name or allow overwriting")


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
    _write_synced(aside, data, paths.file(suffix))
    return aside


def _write_synced(target: Path, data: bytes, named: Path) -> None:
    """Write ``target`` and sync it, or leave nothing; an ``OSError`` without a path gets that of ``named``."""
    try:
        with target.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(named)) from None
        raise


def _link(file: Path, second_name: Path) -> None:
    second_name.unlink(missing_ok=True)
    try:
        second_name.hardlink_to(file)
    except OSError:  # a file system without hard links
        copy = second_name.with_name(second_name.name + ".copy")
        _write_synced(copy, file.read_bytes(), file)
        try:
            copy.replace(second_name)
        except BaseException:
            with contextlib.suppress(OSError):
                copy.unlink()
            raise


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
    """Remove the second names, what interrupted saves left, and payloads the new sidecar does not list.

    The new model is in place: what cannot be removed is no reason to call the save failed, the next one tries again.
    """
    with contextlib.suppress(OSError):
        there = list(paths.folder.iterdir())
        prefixes = [f".{paths.name}{suffix}." for suffix in SUFFIXES]
        left = [file for file in there for prefix in prefixes if _is_ours(file.name, prefix)]
        unlisted = [paths.file(suffix[1:]) for suffix in SUFFIXES if suffix[1:] not in {*keep, "json"}]
        for file in left + unlisted:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def _is_ours(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and _OURS.fullmatch(name, len(prefix)) is not None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":  # no such lock there; the order of renames still holds
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
