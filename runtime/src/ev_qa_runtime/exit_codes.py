"""How commands end: one exit code and one line for every error a user can cause."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ev_qa_runtime.errors import ArtifactError, ConfigurationError, ModelNotFoundError, TelemetryError

DIFFERS = 1
USAGE = 2
MODEL = 3
INPUT = 4
FILES = 5
INTERRUPTED = 130

USER_ERRORS = (OSError, ValueError, KeyboardInterrupt)
"""What a command reports in one line; anything else is a defect and keeps its traceback."""


def exit_code(error: BaseException) -> int:
    """The exit code for one of :data:`USER_ERRORS`."""
    kinds: tuple[tuple[type[BaseException], int], ...] = (
        (ArtifactError, MODEL),
        (ModelNotFoundError, MODEL),
        (TelemetryError, INPUT),
        (ConfigurationError, INPUT),
        (OSError, FILES),
        (KeyboardInterrupt, INTERRUPTED),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), USAGE)


def one_line(error: BaseException) -> str:
    """What to tell the user, printable whatever a file holds: for errors of the operating system, the path first."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.filename:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(" ".join(str(error).split()))


def in_options(text: str, options: Iterable[str]) -> str:
    """A message that speaks of Python's keywords, in the words of a command line that has these ``options``.

    ``current_sign='charge_positive'`` becomes ``--current-sign charge_positive``, ``warning_rate 1e-06`` becomes
    ``--warning-rate 1e-06``. A keyword of one word is replaced before ``=`` only: alone it may be plain English.
    """
    for name in sorted(options, key=len, reverse=True):
        option = "--" + name.replace("_", "-")
        text = re.sub(rf"(?<![\w.'\"-]){name}=(?:'([^']*)'|\"([^\"]*)\"|(?=[\w.…-]))", rf"{option} \1\2", text)
        if "_" in name:
            text = re.sub(rf"(?<![\w.'\"/\\-]){name}(?![\w.'\"/\\=-])", option, text)
    return text


def printable(text: str) -> str:
    r"""``text`` with everything that would move a cursor, colour a terminal or fake a line spelled out, as ``\x1b``."""
    return "".join(one if one.isprintable() or one == " " else one.encode("unicode_escape").decode() for one in text)
