"""The files of a registry: a local folder, or any store that fsspec reaches.

Invariants:

* what was created is never replaced: creating a file is refused where another is there with other content;
* a file that was created has its whole content: a crash leaves a temporary file, never a torn one;
* a model's sidecar comes last, and goes first when a model is removed: without it the other files are no model.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ev_qa_framework.commit import commit, make_folder, named, sync_files, sync_folder, write_synced
from ev_qa_runtime.artifact import ArtifactPaths
from ev_qa_runtime.errors import ArtifactError, RegistryError
from ev_qa_runtime.registry_event import EVENTS
from ev_qa_runtime.registry_reference import REGISTRY, Files, LocalFiles

if sys.platform != "win32":
    import fcntl

PAYLOADS = ("onnx", "joblib")
SUFFIXES = ("json", *PAYLOADS)


class Store(Files, Protocol):
    """What a registry needs of the place its files lie in. Paths are relative to the root, with ``/``.

    ``takes_turns`` says whether :meth:`turn` keeps other writers out; without it creating an event is all that
    stands between two writers, so whatever is decided must be decided from the events.
    """

    takes_turns: bool

    def read_many(self, paths: list[str], limit: int) -> list[bytes | None]:
        """:meth:`read` of each, together where the store can."""
        ...  # a protocol has no body

    def create(self, path: str, data: bytes) -> None:
        """Make a new file, whole and durably; ``FileExistsError`` where one with other content is there."""
        ...  # a protocol has no body

    def replace(self, path: str, data: bytes) -> None:
        """Make or replace a small file that may be lost."""
        ...  # a protocol has no body

    def add_model(self, folder: str, name: str, payloads: dict[str, bytes], sidecar: bytes) -> None:
        """Make a new model, sidecar last; ``FileExistsError`` where another lies under that name."""
        ...  # a protocol has no body

    def restore_model(self, folder: str, name: str, payloads: dict[str, bytes], sidecar: bytes) -> None:
        """Make a model's files these, as its events recorded them, durably; only what differs is written."""
        ...  # a protocol has no body

    def sync(self, path: str) -> None:
        """Make a file durable that lies there already, where that is not the store's own business."""
        ...  # a protocol has no body

    def remove(self, path: str) -> None:
        """Remove a file; nothing where it is not there."""
        ...  # a protocol has no body

    def age(self, path: str) -> float | None:
        """Seconds since the file was written, None where that is not known."""
        ...  # a protocol has no body

    def turn(self) -> AbstractContextManager[None]:
        """Wait for this writer's turn, and keep others out for as long, where the store can."""
        ...  # a protocol has no body


class LocalStore(LocalFiles):
    """A registry in a local folder. Writers take turns by a lock on its folder ``registry``, where there are such."""

    takes_turns = sys.platform != "win32"

    def read_many(self, paths: list[str], limit: int) -> list[bytes | None]:
        """See :class:`Store`."""
        return [self.read(path, limit) for path in paths]

    def create(self, path: str, data: bytes) -> None:
        """See :class:`Store`. Where there are no hard links, only inside :meth:`turn`."""
        target = self.path(path)
        make_folder(target.parent)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
        try:
            write_synced(aside, data, target)
            _give_name(aside, target)
        except FileExistsError:
            if not holds(self, path, data):
                raise
            sync_files([target])
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        try:
            sync_folder(target.parent)
        except OSError as error:
            undurable = "it is in place, but its folder could not be synced, so a power cut may undo that"
            raise OSError(error.errno, f"{error.strerror}; {undurable}", str(target)) from None

    def replace(self, path: str, data: bytes) -> None:
        """See :class:`Store`."""
        target = self.path(path)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
        try:
            with named(str(target)):
                aside.write_bytes(data)
            aside.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise

    def add_model(self, folder: str, name: str, payloads: dict[str, bytes], sidecar: bytes) -> None:
        """See :class:`Store`."""
        paths = self._model(folder, name)
        given = {**payloads, "json": sidecar}
        there = _same_files(paths, given)
        if not there:
            try:
                commit(paths, payloads, sidecar, overwrite=False)
            except FileExistsError:  # another writer was quicker, with the same model or another
                there = _same_files(paths, given)
        if 0 < len(there) < len(given):  # a crash left some of them, or a writer without turns is at it
            commit(paths, payloads, sidecar, overwrite=True)
        elif there:
            sync_files(map(paths.file, there))

    def restore_model(self, folder: str, name: str, payloads: dict[str, bytes], sidecar: bytes) -> None:
        """See :class:`Store`; atomic, as a save is."""
        paths = self._model(folder, name)
        given = {**payloads, "json": sidecar}
        if all(holds(self, f"{folder}/{name}.{suffix}", data) for suffix, data in given.items()):
            sync_files(map(paths.file, given))
        else:
            commit(paths, payloads, sidecar, overwrite=True)

    def sync(self, path: str) -> None:
        """See :class:`Store`."""
        sync_files([self.path(path)])

    def _model(self, folder: str, name: str) -> ArtifactPaths:
        """Where a model's files lie; ``ArtifactError`` where links lead out of the root."""
        for suffix in SUFFIXES:
            self.path(f"{folder}/{name}.{suffix}")
        return ArtifactPaths.of(self.path(f"{folder}/{name}.json"))

    def remove(self, path: str) -> None:
        """See :class:`Store`."""
        self.path(path).unlink(missing_ok=True)

    def age(self, path: str) -> float | None:
        """See :class:`Store`."""
        try:
            return time.time() - self.path(path).stat().st_mtime
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """See :class:`Store`."""
        folder = self.path(REGISTRY)
        make_folder(self.path(EVENTS))
        if sys.platform == "win32":
            yield
            return
        descriptor = os.open(folder, os.O_RDONLY)
        with named(str(folder)):  # closing fails too, and would hide the path of what failed before
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def holds(files: Files, path: str, data: bytes) -> bool:
    """Whether the file holds exactly ``data``; a longer one does not."""
    try:
        return files.read(path, len(data)) == data
    except ArtifactError:
        return False


def _same_files(paths: ArtifactPaths, given: dict[str, bytes]) -> list[str]:
    """The suffixes of the files that are there already; ``FileExistsError`` where one has other content."""
    there = [suffix for suffix in SUFFIXES if paths.file(suffix).exists()]
    for suffix in there:
        if suffix not in given or paths.file(suffix).read_bytes() != given[suffix]:
            raise FileExistsError(already_there(str(paths.file(suffix))))
    return there


def _give_name(aside: Path, target: Path) -> None:
    """Make ``target`` a name of ``aside``; ``FileExistsError`` where it is taken."""
    try:
        target.hardlink_to(aside)
    except FileExistsError:
        raise
    except OSError:  # no hard links here: writers take turns, or renaming refuses to replace (Windows)
        if target.exists():
            raise FileExistsError(already_there(str(target))) from None
        aside.rename(target)


def already_there(path: str) -> str:
    """What to say of a file that is there with other content."""
    return (
        f"{path} exists already with other content, and what was published is never replaced: take another version;"
        " what an interrupted upload left is removed by `ev-qa registry prune`"
    )


def open_store(root: str | os.PathLike[str], options: dict[str, Any] | None = None) -> Store:
    """The store at ``root``: a folder, or an URL such as ``s3://bucket/models``; ``options`` are fsspec's.

    Raises ``ConfigurationError`` for an URL that no installed package reaches.
    """
    text = os.fspath(root)
    if "://" not in text:
        if not text:
            raise RegistryError("the registry's root is empty: name a folder or an URL")
        return LocalStore(text)
    from ev_qa_framework.registry.object_store import ObjectStore, local_path  # noqa: PLC0415 - fsspec is slow to import

    folder = local_path(text)
    return ObjectStore(text, options or {}) if folder is None else LocalStore(folder)
