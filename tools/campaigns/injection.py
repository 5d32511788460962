"""Faults at chosen system calls of a child: by strace, and by a stand-in inside Python where strace cannot trace.

``strace -e inject=fsync:signal=KILL:when=3`` kills a process as it enters its third ``fsync``; ``error=EIO`` lets the
call fail instead, without being carried out. The stand-in counts the operations of Python's ``os`` and ``open``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tools.campaigns.forked_child import Child, Outcome
from tools.campaigns.python_disk import PythonDisk

Fault = Literal["KILL", "INT", "ENOSPC", "EIO"]
Work = Callable[[], object]

DISK_CALLS = [
    *("open", "openat", "openat2", "creat", "close", "read", "pread64", "write", "pwrite64", "writev", "ftruncate"),
    *("truncate", "fallocate", "copy_file_range", "sendfile", "fsync", "fdatasync", "sync_file_range", "flock"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "utimensat", "getdents64", "lseek", "stat", "lstat", "fstat"),
    *("newfstatat", "statx", "access", "faccessat", "faccessat2"),
]
LOOKING = {"close", "read", "pread64", "lseek", "stat", "lstat", "fstat", "newfstatat", "statx", "getdents64", "access"}
"""Calls that change nothing on the disk: a kill there leaves what a kill at the next other call does."""

LINKS = ("link", "linkat")


class InjectionError(Exception):
    """The tool itself failed: the campaign has shown nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a save: the ``occurrence``-th of its ``name``, counted from one."""

    name: str
    occurrence: int


class Injector(Protocol):
    """Runs ``work`` in a child with a fault at one of its calls."""

    name: str

    def calls(self, work: Work, folder: Path, *, hard_links: bool = True) -> list[Call]:
        """Every call by which ``work`` touches ``folder`` or what lies in it, in order."""

    def run(self, work: Work, call: Call, fault: Fault, *, lasting: bool = False, hard_links: bool = True) -> Outcome:
        """What comes of ``work`` with ``fault`` at ``call``; ``lasting``: at every later call of that name too."""


class Strace:
    """System calls, through ptrace."""

    def __init__(self) -> None:
        version = subprocess.run([_strace(), "--version"], check=True, capture_output=True, text=True).stdout
        self.name = " ".join(["strace", *version.splitlines()[0].split("version ")[-1:]])

    def calls(self, work: Work, folder: Path, *, hard_links: bool = True) -> list[Call]:
        """See :class:`Injector`."""
        options = ["-y", "-s0", f"-etrace={_set(DISK_CALLS)}", *_without_links(hard_links)]
        outcome, lines = _traced(work, options)
        if outcome.ended != "saved":
            raise InjectionError(f"without a fault the work already ended as {outcome}")
        counted: Counter[str] = Counter()
        found = []
        inside = re.compile(rf"[<\"]{re.escape(str(folder))}[/>\"]")
        for line in lines:
            match = re.match(r"\d+ +(\w+)\(", line)
            if match is None:
                continue
            counted[match[1]] += 1
            if inside.search(line):
                found.append(Call(match[1], counted[match[1]]))
        return [call for call in found if hard_links or call.name not in LINKS]

    def run(self, work: Work, call: Call, fault: Fault, *, lasting: bool = False, hard_links: bool = True) -> Outcome:
        """See :class:`Injector`."""
        kind = f"signal={fault}" if fault in ("KILL", "INT") else f"error={fault}"
        inject = f"-einject={call.name}:{kind}:when={call.occurrence}{'+' * lasting}"
        outcome, lines = _traced(work, [f"-etrace={_set([call.name, *LINKS])}", *_without_links(hard_links), inject])
        met = outcome.ended == "killed" or any("INJECTED" in line for line in lines if call.name in line)
        met = met or any("--- SIG" in line for line in lines)
        if not met:
            raise InjectionError(f"{fault} at {call} was not met: {outcome}")
        return outcome


class PythonStandIn:
    """Operations of Python's ``os`` and ``open``, replaced in the child."""

    name = "a stand-in inside Python"

    def calls(self, work: Work, folder: Path, *, hard_links: bool = True) -> list[Call]:
        """See :class:`Injector`. Anything that the work opens counts, wherever it lies."""
        del folder
        with tempfile.TemporaryDirectory() as scratch:
            names = Path(scratch, "names")

            def counted() -> None:
                disk = PythonDisk(fail=lambda _name, _path: None)
                with disk.installed(hard_links=hard_links):
                    work()
                names.write_text(" ".join(disk.names), encoding="utf-8")

            outcome = _finished(counted)
            if outcome.ended != "saved":
                raise InjectionError(f"without a fault the work already ended as {outcome}")
            listed = names.read_text(encoding="utf-8").split()
        return [Call(name, listed[: place + 1].count(name)) for place, name in enumerate(listed)]

    def run(self, work: Work, call: Call, fault: Fault, *, lasting: bool = False, hard_links: bool = True) -> Outcome:
        """See :class:`Injector`."""
        seen = 0

        def fail(name: str, path: str | None) -> None:
            nonlocal seen
            seen += name == call.name
            if name != call.name or not (seen == call.occurrence or (lasting and seen > call.occurrence)):
                return
            if fault in ("KILL", "INT"):
                os.kill(os.getpid(), signal.Signals[f"SIG{fault}"])
                return
            number = getattr(errno, fault)
            raise OSError(number, os.strerror(number), path)

        def faulty() -> None:
            with PythonDisk(fail).installed(hard_links=hard_links):
                work()

        return _finished(faulty)


def chosen_injector(*, without_strace: bool) -> Injector:
    """Strace where it is installed and allowed to trace, else the stand-in; the stand-in alone when told so."""
    if without_strace:
        return PythonStandIn()
    with contextlib.suppress(InjectionError):
        strace = Strace()
        strace.run(lambda: os.close(os.open(os.curdir, os.O_RDONLY)), Call("openat", 1), "KILL")
        return strace
    return PythonStandIn()


def _strace() -> str:
    found = shutil.which("strace")
    if found is None:
        raise InjectionError("strace is not installed")
    return found


def _finished(work: Work) -> Outcome:
    with Child(work) as child:
        child.release()
        return child.outcome()


def _set(names: Iterable[str]) -> str:
    """The names as strace takes them; those that this processor does not have are passed over."""
    return ",".join(f"?{name}" for name in names)


def _without_links(hard_links: bool) -> list[str]:
    return [] if hard_links else [f"-einject={_set(LINKS)}:error=EPERM"]


def _traced(work: Work, options: list[str]) -> tuple[Outcome, list[str]]:
    """What came of the work, and what strace wrote down of it."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as log, Child(work) as child:
        with _attached(child.pid, ["-o", log.name, *options]):
            child.release()
            outcome = child.outcome()
        return outcome, log.read().splitlines()


@contextlib.contextmanager
def _attached(pid: int, options: list[str]) -> Iterator[None]:
    command = [_strace(), "-f", "-p", str(pid), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None  # noqa: S101 - a pipe was asked for
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.kill()
            raise InjectionError(f"strace cannot trace here: {said.strip() or 'it said nothing'}")
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # gone already, but where something went wrong here
            tracer.wait()
