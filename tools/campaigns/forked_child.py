"""A piece of work in a forked process that waits to be told to begin and says what came of it.

Forking from a process that has imported everything makes hundreds of runs cheap, and the work is all that the child
does from then on: neither waiting nor reporting uses a system call that a campaign injects faults into.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

HUNG_SECONDS = 60.0
Ended = Literal["saved", "refused", "interrupted", "killed", "crashed", "hung"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child's work ended; ``errno`` and ``path`` of the ``OSError`` where it was refused."""

    ended: Ended
    errno: int | None = None
    path: str | None = None
    message: str = ""
    seconds: float = 0.0


class Child:
    """A forked process that does ``work`` after :meth:`release`."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            _do(work, theirs)
        theirs.close()
        self._ours.settimeout(HUNG_SECONDS)

    def release(self) -> None:
        """Let it begin; returns when it is about to."""
        self._ours.send(b"g")
        self._ours.recv(1)

    def kill(self) -> None:
        """Kill it where it stands."""
        os.kill(self.pid, signal.SIGKILL)

    def outcome(self) -> Outcome:
        """Wait for its end. A process that died has said nothing."""
        try:
            said = b"".join(iter(lambda: self._ours.recv(65536), b""))
        except TimeoutError:
            self.kill()
            return Outcome("hung", message=f"no end within {HUNG_SECONDS:.0f} s")
        finally:
            self._ours.close()
            os.waitpid(self.pid, 0)
        return Outcome(**json.loads(said)) if said else Outcome("killed")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind, whatever went wrong here."""
        if self._ours.fileno() != -1:
            self.kill()
            self.outcome()


def _do(work: Callable[[], object], channel: socket.socket) -> None:
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        select.select([channel], [], [])
        channel.recv(1)
        channel.send(b"s")
        channel.send(json.dumps(asdict(_outcome_of(work))).encode())
    finally:
        os._exit(0)


def _outcome_of(work: Callable[[], object]) -> Outcome:
    started = time.perf_counter()
    try:
        work()
    except KeyboardInterrupt:
        return Outcome("interrupted")
    except OSError as error:
        return Outcome("refused", error.errno, None if error.filename is None else str(error.filename), str(error))
    except BaseException as error:  # noqa: BLE001 - reported
        return Outcome("crashed", message=repr(error))
    return Outcome("saved", seconds=time.perf_counter() - started)


@contextlib.contextmanager
def no_core_dumps() -> Iterator[None]:
    """Children that die of a signal leave no core file."""
    import resource  # noqa: PLC0415 - not on every system that can import this module

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
