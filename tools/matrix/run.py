"""The compatibility matrix: train under every scikit-learn, score under every onnxruntime, compare.

Usage: ``python -m tools.matrix.run [--work build/matrix] [--slice | --cells PATTERN …]``. Environments are made under
the work folder once and reused. A run of all cells writes its tables into ``docs/compatibility.md``; the results of
any run lie in ``results.json`` of the work folder. Exits with 1 on any failure. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.matrix import report
from tools.matrix.environments import ROOT, Environment, MatrixError, build_wheels, prepare
from tools.matrix.versions import SLICE, Cell, cells

DOCUMENT = ROOT / "docs" / "compatibility.md"


class Runner:
    """Runs the phases on a few threads, each task a process, and keeps what came of them."""

    def __init__(self, work: Path, jobs: int) -> None:
        self._work = work
        self._jobs = jobs
        self._started = time.monotonic()
        self.results: dict[str, Any] = {
            "errors": [],
            "missing_pythons": [],
            "training": {},
            "scoring": {},
            "joblib": {},
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": f"{platform.system()} on {platform.machine()}",
        }

    def run(self, chosen: list[Cell]) -> None:
        """Every phase on the chosen cells."""
        wheels = build_wheels(self._work / "wheels")
        made = self._each("environment", chosen, lambda cell: prepare(cell, self._work, wheels))
        found = [made[cell.name] for cell in chosen if made.get(cell.name) is not None]
        self.results["missing_pythons"] = [cell.name for cell in chosen if made.get(cell.name, "") is None]
        trainers = [environment for environment in found if environment.cell.kind == "train"]
        scorers = [environment for environment in found if environment.cell.kind == "score"]
        self.results["training"] = self._each("train", trainers, self._train)
        folders = [str(self._folder(name)) for name in self.results["training"]]
        self.results["scoring"] = self._each("score", scorers, lambda scorer: scorer.run("score_cell", *folders))
        self.results["joblib"] = self._each("joblib", trainers, self._loaded)
        if not (self.results["training"] and (self.results["scoring"] or not scorers)):
            self.results["errors"].append("nothing was compared")
        self.results["minutes"] = (time.monotonic() - self._started) / 60
        (self._work / "results.json").write_text(json.dumps(self.results, indent=1), encoding="utf-8")

    def _folder(self, name: str) -> Path:
        return self._work.absolute() / "artifacts" / name

    def _train(self, environment: Environment) -> Any:
        folder = self._folder(environment.cell.name)
        shutil.rmtree(folder, ignore_errors=True)
        return environment.run("train_cell", str(folder))

    def _loaded(self, environment: Environment) -> dict[str, Any]:
        loaded = {}
        for name in self.results["training"]:
            try:
                loaded[name] = environment.run("joblib_cell", str(self._folder(name)))
            except MatrixError:
                loaded[name] = {"all": {"outcome": "fails", "stage": "loading", "error": "the process dies"}}
        return loaded

    def _each(self, phase: str, items: Iterable[Any], task: Callable[[Any], Any]) -> dict[str, Any]:
        """Results by cell name; what fails is told, noted and left out."""
        work, done, results = list(items), 0, {}

        def attempt(item: Any) -> None:
            nonlocal done
            name = (item if isinstance(item, Cell) else item.cell).name
            started = time.monotonic()
            try:
                results[name] = task(item)
                word = "ok"
            except (MatrixError, OSError) as error:
                self.results["errors"].append(f"{phase} {error}")
                word = f"FAILED\n{error}"
            done += 1
            took = time.monotonic() - started
            print(f"[{done:2}/{len(work)}] {phase:<11} {name:<22} {took:4.0f} s  {word}", file=sys.stderr, flush=True)

        with ThreadPoolExecutor(self._jobs) as pool:
            list(pool.map(attempt, work))
        order = [(item if isinstance(item, Cell) else item.cell).name for item in work]
        return {name: results[name] for name in order if name in results}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Train under every scikit-learn, score under every onnxruntime.")
    parser.add_argument("--work", type=Path, default=Path("build/matrix"), help="folder for environments and results")
    parser.add_argument("--cells", nargs="+", metavar="PATTERN", help="only cells with such names, as 'score-*-py3.11'")
    parser.add_argument("--slice", action="store_true", help=f"only {', '.join(SLICE)}")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the cells and what they hold, run nothing")
    options = parser.parse_args()
    patterns = list(SLICE) if options.slice else options.cells
    try:
        chosen = cells(patterns)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print("\n".join(f"{cell.name:<22} {' '.join(cell.requirements)}" for cell in chosen))
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    runner = Runner(options.work, max(options.jobs, 1))
    runner.run(chosen)
    found = report.failures(runner.results)
    if patterns:
        print(report.markdown(runner.results, chosen))
    else:
        DOCUMENT.write_text(
            report.written(DOCUMENT.read_text(encoding="utf-8"), runner.results, chosen), encoding="utf-8"
        )
    for failure in found:
        print(f"FAILED: {failure}", file=sys.stderr)
    scorers = runner.results["scoring"].values()
    pairs = sum(len(scored.get(profile, {})) for scored in scorers for profile in ("exact", "compat"))
    skipped = len(runner.results["missing_pythons"])
    print(
        f"matrix: {len(runner.results['training'])} trainings, {len(scorers)} scorers, {pairs} pairs"
        f" compared, {len(found)} failures, {skipped} cells without their Python, {runner.results['minutes']:.1f} min"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
