"""A disk that fails at a chosen file operation, by replacing functions of ``os`` and ``open`` in this process."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

OPERATIONS = ("open", "close", "replace", "rename", "link", "unlink", "mkdir", "scandir", "listdir", "fsync")
WITHOUT_PATH = ("close", "fsync")


class PythonDisk:
    """Calls ``fail(name, path)`` before every operation; whatever that raises, the operation raises."""

    def __init__(self, fail: Callable[[str, str | None], None]) -> None:
        self.names: list[str] = []
        self._fail = fail
        self._real: list[tuple[Any, str, Any]] = []

    @contextlib.contextmanager
    def installed(self, *, hard_links: bool) -> Iterator[None]:
        """Replace the functions, until the end of the block."""
        try:
            self._install(hard_links=hard_links)
            yield
        finally:
            while self._real:
                setattr(*self._real.pop())

    def _meet(self, name: str, path: str | None) -> None:
        self.names.append(name)
        self._fail(name, path)

    def _replace(self, module: Any, name: str, replacement: Any) -> None:
        self._real.append((module, name, getattr(module, name)))
        setattr(module, name, replacement)

    def _wrap(self, name: str) -> None:
        real = getattr(os, name)

        def operation(*args: Any, **kwargs: Any) -> Any:
            self._meet(name, None if name in WITHOUT_PATH else str(args[0]))
            return real(*args, **kwargs)

        self._replace(os, name, operation)

    def _install(self, *, hard_links: bool) -> None:
        disk, real_open = self, io.open

        class Writer(io.BufferedWriter):
            def write(self, data: Any) -> int:
                super().write(data[: len(data) // 2])
                super().flush()
                disk._meet("write", None)  # half is on the disk; a write knows no path
                return super().write(data[len(data) // 2 :])

        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            disk._meet("open", str(file))
            if "w" in mode and "b" in mode:
                return Writer(io.FileIO(file, "w"))
            return real_open(file, mode, *args, **kwargs)

        if not hard_links:
            self._replace(os, "link", _no_hard_links)
        for name in OPERATIONS:
            if hard_links or name != "link":
                self._wrap(name)
        self._replace(io, "open", opened)
        self._replace(builtins, "open", opened)


def _no_hard_links(source: object, *_args: object, **_kwargs: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source))
