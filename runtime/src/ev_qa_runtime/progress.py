"""A progress line on a terminal; silent where standard error is not one."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_QUIET_SECONDS = 0.5
_REDRAW_SECONDS = 0.1
_WIDTH = 30


class Progress:
    """Draws ``task  [####----]  40 %`` for work that takes longer than half a second."""

    def __init__(self, task: str, total: int) -> None:
        self._task = task
        self._total = max(total, 1)
        self._shown = False
        self._next = time.monotonic() + _QUIET_SECONDS
        self._visible = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def update(self, done: int) -> None:
        """Say how much of the total is done."""
        now = time.monotonic()
        if not self._visible or now < self._next:
            return
        self._next = now + _REDRAW_SECONDS
        self._shown = True
        share = min(done / self._total, 1.0)
        bar = "#" * round(_WIDTH * share)
        sys.stderr.write(f"\r{self._task}  [{bar:-<{_WIDTH}}] {share:4.0%}")
        sys.stderr.flush()
