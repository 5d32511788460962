"""A registry's files in any store that fsspec reaches; the only importer of fsspec.

What such a store cannot give: there is no lock, so two writers may prepare a change at once; one of them creates the
event, the other decides anew. Files that a change leaves behind when its process dies stay until they are pruned.
Listing and time stamps are the store's. Creating a file that is there must be refused by the store itself: that is
tried before the first event is written.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from ev_qa_framework.registry.store import PAYLOADS, already_there, holds
from ev_qa_runtime.errors import ConfigurationError, IntegrityError, RegistryError
from ev_qa_runtime.registry_reference import REGISTRY

PROBE = f"{REGISTRY}/exclusive-creation.txt"
_PROBE_TEXT = b"A store that lets this file be created twice cannot hold a registry.\n"
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_MEMORY = threading.Lock()
"""fsspec's memory:// is a dictionary of open files: one reader or writer at a time."""


class ObjectStore:
    """A registry in a bucket, a bucket-like store, or memory://; see the module for what it cannot give."""

    takes_turns = False

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.root = url.rstrip("/")
        try:
            self._files, base = url_to_fs(self.root, **options)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"{url}: this kind of store is not installed here: {error}") from None
        self._base = str(base).rstrip("/")
        protocol = self._files.protocol
        self._memory = "memory" in ((protocol,) if isinstance(protocol, str) else protocol)
        self._exclusive = False

    def read(self, path: str, limit: int) -> bytes | None:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        return self.read_many([path], limit)[0]

    def read_many(self, paths: list[str], limit: int) -> list[bytes | None]:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        if not paths:
            return []
        with self._asked():
            found = self._files.cat_ranges([self._at(path) for path in paths], 0, limit + 1, on_error="return")
        return [self._checked(path, data, limit) for path, data in zip(paths, found, strict=True)]

    def _checked(self, path: str, data: Any, limit: int) -> bytes | None:
        if isinstance(data, FileNotFoundError):
            return None
        if isinstance(data, Exception):
            if _code(data) in ("InvalidRange", "416"):  # an empty file has no first byte to ask for
                return b""
            raise self._failed(data) from None
        if len(data) > limit:
            raise IntegrityError(f"{self.root}/{path}: larger than {limit} bytes, which is more than it may be")
        return bytes(data)

    def names(self, folder: str) -> list[str]:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        with self._asked():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._at(folder), detail=False)
            except FileNotFoundError:
                return []
        return sorted(filter(None, (str(name).rstrip("/").rpartition("/")[2] for name in found)))

    def create(self, path: str, data: bytes) -> None:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        self._prove_exclusive()
        # A request that was sent twice finds its own file there: then the content is ours.
        if not self._created(path, data) and not holds(self, path, data):
            raise FileExistsError(already_there(f"{self.root}/{path}"))

    def replace(self, path: str, data: bytes) -> None:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        with self._asked():
            try:
                self._files.pipe_file(self._at(path), data)
            except FileNotFoundError as error:  # a bucket that does not exist
                raise self._failed(error) from None

    def add_model(self, folder: str, name: str, payloads: dict[str, bytes], sidecar: bytes) -> None:
        """See :class:`~ev_qa_framework.registry.store.Store`; all begin with the .onnx, so one of two writers wins."""
        for suffix in PAYLOADS:
            if suffix in payloads:
                self.create(f"{folder}/{name}.{suffix}", payloads[suffix])
        self.create(f"{folder}/{name}.json", sidecar)

    def restore_model(self, folder: str, name: str, payloads: dict[str, bytes], sidecar: bytes) -> None:
        """See :class:`~ev_qa_framework.registry.store.Store`; the sidecar last, vouching for what is there."""
        for suffix, data in {**payloads, "json": sidecar}.items():
            path = f"{folder}/{name}.{suffix}"
            if not holds(self, path, data):
                self.replace(path, data)

    def sync(self, path: str) -> None:
        """Nothing: what the store confirmed is as durable as the store."""

    def remove(self, path: str) -> None:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        with self._asked(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._at(path))

    def age(self, path: str) -> float | None:
        """See :class:`~ev_qa_framework.registry.store.Store`."""
        try:
            with self._asked():
                written = self._files.modified(self._at(path))
        except (FileNotFoundError, NotImplementedError):
            return None
        seconds: float = (written if written.tzinfo else written.replace(tzinfo=UTC)).timestamp()
        return time.time() - seconds

    def turn(self) -> AbstractContextManager[None]:
        """Nobody is kept out: see the module."""
        return contextlib.nullcontext()

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"

    def _created(self, path: str, data: bytes) -> bool:
        with self._asked():
            try:
                self._files.pipe_file(self._at(path), data, mode="create")
            except FileExistsError:
                return False
            except FileNotFoundError as error:  # a bucket that does not exist
                raise self._failed(error) from None
            except OSError as error:
                if _code(error) not in _TAKEN:
                    raise
                return False
        return True

    def _prove_exclusive(self) -> None:
        """Raise ``RegistryError`` where the store lets a file be created that is there: entries would be lost."""
        if not self._exclusive and self._created(PROBE, _PROBE_TEXT) and self._created(PROBE, _PROBE_TEXT):
            raise RegistryError(
                f"{self.root}: this store creates files that exist already, so two writers would lose each other's"
                " entries: it cannot hold a registry"
            )
        self._exclusive = True

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """One request; whatever the store's client raises becomes an ``OSError`` with the root's name."""
        with _MEMORY if self._memory else contextlib.nullcontext():
            try:
                yield
            except (FileExistsError, FileNotFoundError, NotImplementedError):
                raise
            except Exception as error:  # noqa: BLE001 - clients have error classes of their own
                raise self._failed(error) from None

    def _failed(self, error: Exception) -> OSError:
        absent = isinstance(error, FileNotFoundError)
        number = errno.EIO if absent else getattr(error, "errno", None) or errno.EIO  # absence means other things here
        failure = OSError(number, f"{type(error).__name__}: {error}", self.root)
        failure.__cause__ = error.__cause__
        return failure


def local_path(url: str) -> str | None:
    """The folder of a ``file://`` URL; None for any other."""
    try:
        files, path = url_to_fs(url) if url.startswith(("file://", "local://")) else (None, "")
    except (ImportError, ValueError):
        return None
    return path if files is not None and isinstance(files, fsspec.get_filesystem_class("file")) else None


def _code(error: BaseException) -> str:
    """The code that an S3 client's error carries, else nothing."""
    for found in (error, error.__cause__):
        response = getattr(found, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""
