"""Fuzzing of the loader: sidecars, ONNX models and whatever lies in their place, with fitting digests.

Usage: ``python -m tools.campaigns.fuzz_artifacts [--slice] [--minutes 10] [--python PYTHON]``. One process on each core
mutates sidecars, ONNX models (field by field) or the files of a folder and loads them as users do; only documented
errors may come out, in one printable line. A crash, a hang, too much memory or another error is a finding; its input is
kept in ``--keep``. PYTHON names an interpreter that has ``atheris``, which then drives the mutations by coverage;
without it they are driven by new outcomes. Prints what was done and found; exits with 1 on a finding.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.campaigns import reporting
from tools.campaigns.small_models import ROOT

KINDS = ("sidecar", "model", "files")
SHARES = {"sidecar": 0.4, "model": 0.5, "files": 0.1}
SLICE_EXECUTIONS = 500
ENDS = {
    99: "an error that is not documented",
    1: "120 seconds of waiting, or an error of the fuzzer",
    -signal.SIGPROF: "20 seconds of computing",
}


@dataclass(slots=True)
class Tally:
    """What all processes of one kind did."""

    executions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Worker:
    """A running process and its folder."""

    kind: str
    seed: int
    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, python: str, kind: str, seed: int, seconds: float, executions: int) -> Worker:
        """Start one in a folder of its own."""
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz_{kind}_"))
        command = [python, "-m", "tools.campaigns.fuzz_worker", kind, str(seed), str(seconds), str(executions)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*command, str(folder)], cwd=ROOT, stdout=log, stderr=log, env=_environment())
        return cls(kind, seed, folder, process)

    def figures(self) -> tuple[int, Counter[str]]:
        """Its executions and outcomes so far."""
        path = self.folder / "figures.json"
        if not path.exists():
            return 0, Counter()
        read = json.loads(path.read_text("utf-8"))
        return read["executions"], Counter(read["outcomes"])

    def finish(self, tally: Tally, keep: Path) -> None:
        """Take its figures over, and its input where it did not end well."""
        executions, outcomes = self.figures()
        tally.executions += executions
        tally.outcomes += outcomes
        code = self.process.returncode
        if code != 0:
            keep.mkdir(parents=True, exist_ok=True)
            kept = keep / f"{self.kind}_{self.seed}"
            shutil.copyfile(self.folder / "input", kept)
            shutil.copyfile(self.folder / "log", keep / f"{kept.name}.log")
            log = (self.folder / "log").read_text("utf-8", "replace").strip().splitlines()
            why = ENDS.get(code, f"a crash, signal {-code}" if code < 0 else f"exit {code}")
            told = [line for line in log if "FindingError" in line] or log[-1:]
            tally.findings.append(f"{self.kind}: {why}: {told[-1] if told else ''} (input: {kept})")
        shutil.rmtree(self.folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    """The packages of this interpreter for another one, which need have nothing but ``atheris``."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    sources = [str(ROOT / "runtime" / "src"), str(ROOT / "training" / "src")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sources, *packages]), "PYTHONWARNINGS": "ignore"}


def fuzz(python: str, seconds: float, executions: int, keep: Path, seed: int) -> dict[str, Tally]:
    """One kind after the other, each on every core, for its share of ``seconds`` or ``executions`` a core."""
    tallies = {kind: Tally() for kind in KINDS}
    cores = 1 if executions else os.cpu_count() or 1
    with reporting.progress() as progress:
        task = progress.add_task("fuzzing", total=round(seconds))
        began = time.monotonic()
        for kind in KINDS:
            until = time.monotonic() + seconds * SHARES[kind]
            running: list[Worker] = []
            while time.monotonic() < until or running:
                left = until - time.monotonic()
                while len(running) < cores and left > 0 and not (executions and seed % 1000 >= cores):
                    running.append(Worker.start(python, kind, seed, left, executions))
                    seed += 1
                for worker in [one for one in running if one.process.poll() is not None]:
                    running.remove(worker)
                    worker.finish(tallies[kind], keep)
                if executions and not running:
                    break
                progress.update(task, completed=round(time.monotonic() - began), description=f"fuzzing: {kind}")
                progress.refresh()
                time.sleep(0.2)
            seed += 1000 - seed % 1000
    return tallies


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, print the table; 1 on a finding."""
    given = reporting.parser(__doc__ or "")
    given.add_argument("--minutes", type=float, default=10.0)
    given.add_argument("--python", default=sys.executable, help="an interpreter that has atheris")
    given.add_argument("--seed", type=int, default=int(time.time()), help="of a run without atheris; 0 for the slice")
    given.add_argument("--keep", type=Path, default=Path("build") / "fuzz_findings", help="folder for inputs")
    given.add_argument("--outcomes", action="store_true", help="print every outcome, too")
    options = given.parse_args(argv)
    executions = SLICE_EXECUTIONS if options.slice else 0
    seconds, seed = (600.0, 0) if options.slice else (60 * options.minutes, options.seed * 1000)
    started = time.monotonic()
    tallies = fuzz(options.python, seconds, executions, options.keep, seed)
    rows = [
        (kind, tally.executions, len(tally.outcomes), tally.outcomes["loads"], len(tally.findings))
        for kind, tally in tallies.items()
    ]
    minutes = (time.monotonic() - started) / 60
    reporting.print_table(
        f"Fuzzing, {minutes:.1f} minutes", ("kind", "executions", "distinct outcomes", "loaded", "findings"), rows
    )
    if options.outcomes:
        for kind, tally in tallies.items():
            for outcome, count in tally.outcomes.most_common():
                print(f"{kind:8} {count:9,} {outcome}")
    findings = [finding for tally in tallies.values() for finding in tally.findings]
    total = sum(tally.executions for tally in tallies.values())
    return reporting.finish("fuzz_artifacts", f"{total:,} inputs, {len(findings)} findings", findings)


if __name__ == "__main__":
    sys.exit(main())
