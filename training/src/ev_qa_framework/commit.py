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
from collections.abc import Callable, Iterable, Iterator
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
    make_folder(paths.folder)
    with _locked(paths.folder):
        if not overwrite:
            refuse_existing(paths)
        with named(str(paths)):
            _replace(paths, payloads, sidecar_bytes)


def _replace(paths: ArtifactPaths, payloads: dict[str, bytes], sidecar_bytes: bytes) -> None:
    _undo_interrupted(paths)
    old = _present_payloads(paths)
    committing = False
    try:
        for suffix, data in {**payloads, "json": sidecar_bytes}.items():
            write_synced(_staged(paths, suffix), data, paths.file(suffix))
        for suffix, second_name in old.items():
            _link(paths.file(suffix), second_name)
        sync_folder(paths.folder)
        for suffix in payloads:
            _staged(paths, suffix).replace(paths.file(suffix))
        sync_folder(paths.folder)
        committing = True
        _staged(paths, "json").replace(paths.sidecar)
        _finish(paths, keep=set(payloads))
    except BaseException as error:  # an interrupt too, which may arrive right after the rename that commits
        if not committing or os.path.lexists(_staged(paths, "json")):
            _undo(paths, old, payloads)
        elif not isinstance(error, OSError):
            _finish(paths, keep=set(payloads))
        raise


def _finish(paths: ArtifactPaths, keep: set[str]) -> None:
    """Make the commit durable, then remove what the old model needed: until then a power cut may bring it back."""
    _sync_committed(paths)
    _tidy(paths, keep)


def _sync_committed(paths: ArtifactPaths) -> None:
    try:
        sync_folder(paths.folder)
    except OSError as error:
        undurable = "the new model is in place, but its folder could not be synced, so a power cut may undo that"
        raise OSError(error.errno, f"{error.strerror}; {undurable}; try again", str(paths.sidecar)) from None


def rewrite_sidecar(paths: ArtifactPaths, rewrite: Callable[[bytes], bytes]) -> None:
    """Replace the sidecar alone by what ``rewrite`` makes of its bytes; no save comes between.

    Raises what ``rewrite`` raises, and ``OSError`` with the path; the old sidecar is then untouched, unless it was
    only the folder that could not be synced afterwards.
    """
    staged = _staged(paths, "json")
    with _locked(paths.folder):
        with named(str(paths.sidecar)), paths.sidecar.open("rb") as file:
            rewritten = rewrite(file.read(LIMITS.sidecar + 1))
        _refuse_oversized({}, rewritten)
        write_synced(staged, rewritten, paths.sidecar)
        try:
            staged.replace(paths.sidecar)
        except BaseException:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)
            raise
        _sync_committed(paths)


def _refuse_oversized(payloads: dict[str, bytes], sidecar_bytes: bytes) -> None:
    sizes = {suffix: (len(data), LIMITS.payload) for suffix, data in payloads.items()}
    for suffix, (size, limit) in {**sizes, "json": (len(sidecar_bytes), LIMITS.sidecar)}.items():
        if size > limit:
            raise ValueError(f"not saved: the .{suffix} would have {size} bytes, no reader takes more than {limit}")


def make_folder(folder: Path) -> None:
    """Create ``folder`` and the folders above it that are missing, durably."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            sync_folder(made.parent)
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
    there = {}
    for suffix in ("joblib", "onnx"):
        file = paths.file(suffix)
        if file.exists():
            with named(str(file)):
                there[suffix] = paths.aside(suffix, hashlib.sha256(file.read_bytes()).hexdigest())
    return there


def _staged(paths: ArtifactPaths, suffix: str) -> Path:
    return paths.folder / f".{paths.name}.{suffix}.new"


def write_synced(target: Path, data: bytes, meant: Path) -> None:
    """Write ``target`` and sync it, or leave nothing; an ``OSError`` without a path gets that of ``meant``."""
    try:
        with named(str(meant)), target.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Give ``path`` to an ``OSError`` of the system that names none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, path) from None


def _link(file: Path, second_name: Path) -> None:
    second_name.unlink(missing_ok=True)
    try:
        second_name.hardlink_to(file)
    except OSError:  # a file system without hard links
        copy = second_name.with_name(second_name.name + ".copy")
        write_synced(copy, file.read_bytes(), file)
        try:
            copy.replace(second_name)
        except BaseException:
            with contextlib.suppress(OSError):
                copy.unlink()
            raise


def _put_back(second_name: Path, file: Path) -> None:
    second_name.replace(file)
    second_name.unlink(missing_ok=True)  # renaming one name of a file over its other name does nothing


def _undo(paths: ArtifactPaths, old: dict[str, Path], payloads: Iterable[str]) -> None:
    """Put the old payloads back; what cannot be put back stays loadable under its second name."""
    for suffix in set(payloads) - old.keys():
        with contextlib.suppress(OSError):
            paths.file(suffix).unlink()
    for suffix, second_name in old.items():
        with contextlib.suppress(OSError):
            _put_back(second_name, paths.file(suffix))
    for suffix in SUFFIXES:
        with contextlib.suppress(OSError):
            _staged(paths, suffix[1:]).unlink(missing_ok=True)


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
        with named(str(folder)):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        _close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable; ``OSError`` with the path where the disk refuses."""
    _sync(folder)


def sync_files(files: Iterable[Path]) -> None:
    """Make files durable that lie there already, and their names; ``OSError`` with the path where the disk refuses."""
    synced = list(files)
    for file in synced:
        _sync(file)
    for folder in dict.fromkeys(file.parent for file in synced):
        _sync(folder)


def _sync(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named(str(path)):
            os.fsync(descriptor)
    finally:
        _close(descriptor)


def _close(descriptor: int) -> None:
    """Close a folder's descriptor; nothing was written through it, so an error says nothing of the model."""
    with contextlib.suppress(OSError):
        os.close(descriptor)
