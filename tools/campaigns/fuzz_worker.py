"""One fuzzing process: ``python -m tools.campaigns.fuzz_worker KIND SEED SECONDS EXECUTIONS FOLDER``.

Writes each input to ``FOLDER/input`` before it tries it, so that it is known what killed the process, and figures to
``FOLDER/figures.json``. Its memory is limited. An input that takes more than 20 seconds of computing, or 120 of
waiting, ends the process by a signal or with 1; a finding ends it with 99. Where ``atheris`` is installed it drives the
mutations by the coverage of the runtime's code; otherwise an input that ends in a new way is mutated further.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

COMPUTES, WAITS = 20, 120
"""Seconds that an input may take; a busy machine makes everything wait."""

MEMORY = 4 * 2**30
FINDING = 99
FROM_SOUND = 0.4
KEPT = 400
"""Inputs that are mutated further, at most."""

atheris: Any = None
with contextlib.suppress(ImportError):
    atheris = importlib.import_module("atheris")

with atheris.instrument_imports(include=["ev_qa_runtime"]) if atheris else contextlib.nullcontext():
    from tools.campaigns.fuzz_mutations import mutated_json, mutated_onnx
    from tools.campaigns.fuzz_targets import CORPUS, FindingError, Target


@dataclass(slots=True)
class Figures:
    """What a process has done."""

    executions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def write(self, folder: Path) -> None:
        """For the process that started this one; replaced as a whole."""
        part = folder / "figures.part"
        part.write_text(json.dumps({"executions": self.executions, "outcomes": self.outcomes}), encoding="utf-8")
        part.replace(folder / "figures.json")


class Fuzzer:
    """Tries inputs of one kind and keeps the books."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.figures = Figures()
        (folder / "model").mkdir()
        self.target = Target(folder / "model")
        self._others = tuple(path.read_bytes() for path in sorted(CORPUS.glob("*.onnx")) if path.stat().st_size < 2**14)
        self._written = time.monotonic()
        self._input = (folder / "input").open("wb", buffering=0)

    def seeds(self) -> list[bytes]:
        """Sound inputs."""
        return list((self.target.sidecars if self.kind == "sidecar" else self.target.sound).values())

    def mutated(self, data: bytes, random: Random) -> bytes:
        """Another input: often from a sound one, since what is broken early hides what comes later."""
        if random.random() < FROM_SOUND:
            data = random.choice(self.seeds())
        if self.kind == "sidecar":
            return mutated_json(data, random)
        if self.kind == "model":
            return mutated_onnx(data, random, self._others)
        return str(random.randrange(2**63)).encode()

    def attempt(self, data: bytes) -> bool:
        """Whether ``data`` ended as no input before it. A finding ends the process."""
        self._input.seek(0)
        self._input.truncate()
        self._input.write(data)
        faulthandler.dump_traceback_later(WAITS, exit=True)
        signal.setitimer(signal.ITIMER_PROF, COMPUTES)  # kills the process, onnxruntime's loops included
        try:
            if self.kind == "files":
                outcome = self.target.files(int(data))
            else:
                outcome = self.target.sidecar(data) if self.kind == "sidecar" else self.target.model(data)
        except FindingError:
            traceback.print_exc()
            self.figures.write(self.folder)
            os._exit(FINDING)
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        self.figures.executions += 1
        self.figures.outcomes[outcome] += 1
        if time.monotonic() > self._written + 1:
            self._written = time.monotonic()
            self.figures.write(self.folder)
        return self.figures.outcomes[outcome] == 1


def by_outcome(fuzzer: Fuzzer, seed: int, goes_on: Callable[[int], bool]) -> None:
    """Mutate sound inputs, and those that ended in a new way."""
    random = Random(seed)  # noqa: S311 - mutations are to be repeated
    pool = fuzzer.seeds()
    while goes_on(fuzzer.figures.executions):
        data = fuzzer.mutated(random.choice(pool), random)
        if fuzzer.attempt(data) and len(pool) < KEPT and len(data) < 2**16:
            pool.append(data)


def by_coverage(fuzzer: Fuzzer, seed: int, seconds: float) -> None:
    """Let atheris choose what to mutate; it ends the process itself."""
    corpus = fuzzer.folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(fuzzer.seeds()):
        (corpus / str(number)).write_bytes(data)

    def mutator(data: bytes, _: int, chosen: int) -> bytes:
        random = Random(chosen)  # noqa: S311 - the same
        return fuzzer.mutated(data, random)[: 2**16]

    options = [
        f"-seed={seed}",
        f"-max_total_time={max(int(seconds), 1)}",
        "-max_len=65536",
        "-timeout=60",
        "-print_final_stats=1",
    ]
    arguments = [sys.argv[0], str(corpus), *options, f"-artifact_prefix={fuzzer.folder}/", "-rss_limit_mb=0"]
    atheris.Setup(arguments, lambda data: fuzzer.attempt(data) and None, custom_mutator=mutator)
    atheris.Fuzz()


def main() -> int:
    """Fuzz until the time or the number of executions is over."""
    kind, seed, seconds, executions, folder = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    fuzzer = Fuzzer(kind, Path(folder))
    until = time.monotonic() + float(seconds)
    if atheris and kind != "files" and int(executions) == 0:
        by_coverage(fuzzer, int(seed), float(seconds))
    else:
        by_outcome(
            fuzzer,
            int(seed),
            lambda done: time.monotonic() < until and (int(executions) == 0 or done < int(executions)),
        )
    fuzzer.figures.write(fuzzer.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
