"""Writing a page, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from ev_qa_runtime.artifact import SUFFIXES
from ev_qa_runtime.errors import ConfigurationError


def write_page(content: str | bytes, path: str | os.PathLike[str]) -> None:
    """Write ``content``, a page's text or a picture's bytes, to ``path``. Raises ``OSError`` with the path."""
    target = Path(path)
    page = content.encode("utf-8", "xmlcharrefreplace") if isinstance(content, str) else content
    aside = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with aside.open("wb") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise


def refuse_unwritable(path: str | os.PathLike[str], read: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Before the work rather than after it: what would destroy something, and what cannot be written.

    ``read``: files that the page is made from. ``ConfigurationError`` for them, a model's file, a pipe or a device,
    ``OSError`` with the path where :func:`write_page` could not write.
    """
    page = Path(path)
    if page.suffix in SUFFIXES:
        raise ConfigurationError(f"{page}: {page.suffix} is for a model's files: call the report {page.stem}.html")
    if any(page.resolve() == Path(source).resolve() for source in read):
        raise ConfigurationError(f"{page}: this would replace telemetry that is being read: choose another output")
    if page.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(page))
    if page.exists() and not page.is_file():
        raise ConfigurationError(f"{page}: a pipe or a device is not replaced by a report: choose another output")
    trial = page.with_name(f".{page.name}.{os.getpid()}.new")
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(page)) from None
