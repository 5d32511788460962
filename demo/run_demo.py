"""``make demo``: train on simulated healthy trips, save, and score the others with the slim runtime.

Training happens in this environment; scoring in the one whose Python is given with ``--runtime-python``, which holds
numpy, onnxruntime and ``ev-qa-runtime`` only. Every figure in the closing table comes from that run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ev_qa_framework.analysis import EVBatteryAnalyzer
from ev_qa_framework.model_parity import ModelParity, model_parity
from ev_qa_framework.telemetry import read_table

TELEMETRY = Path(__file__).parent / "telemetry"
HELD_OUT_EVERY = 5
"""Every fifth healthy trip is kept out of training."""


@dataclass(frozen=True, slots=True)
class Trips:
    """Files to train on, and files to score: healthy ones the model has not seen, and faulty ones."""

    training: tuple[Path, ...]
    held_out: tuple[Path, ...]
    faulty: tuple[Path, ...]


def shipped_trips() -> Trips:
    """The trips in ``demo/telemetry``."""
    healthy = sorted(TELEMETRY.glob("healthy_*.csv"))
    held_out = healthy[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    training = tuple(path for path in healthy if path not in held_out)
    return Trips(training, tuple(held_out), tuple(sorted(TELEMETRY.glob("fault_*.csv"))))


def read_all(paths: Iterable[Path], progress: Progress) -> pd.DataFrame:
    """One frame of many files."""
    files = list(paths)
    frames = [read_table(path) for path in progress.track(files, description="reading telemetry")]
    data = pd.concat(frames, ignore_index=True)
    data.attrs["source"] = ", ".join(path.name for path in files)
    return data


def train(data: pd.DataFrame, name: Path, progress: Progress) -> EVBatteryAnalyzer:
    """Fit and save."""
    task = progress.add_task(f"fitting 200 trees on {len(data):,} rows", total=1)
    analyzer = EVBatteryAnalyzer()
    analyzer.fit(data)
    progress.update(task, advance=1)
    task = progress.add_task("saving .joblib + .onnx + .json", total=1)
    analyzer.save_model(name, metadata={"version": "1.0", "dataset": "demo drives"})
    progress.update(task, advance=1)
    return analyzer


def score_with_runtime(python: str, model: Path, trips: Trips, progress: Progress) -> dict[str, dict[str, Any]]:
    """Trip → the result of ``ev-qa-runtime score``, run in the runtime's own environment."""
    results = {}
    for path in progress.track([*trips.held_out, *trips.faulty], description="scoring with the runtime alone"):
        command = [python, "-m", "ev_qa_runtime", "score", str(model), str(path), "--json"]
        results[path.stem] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return results


def check_parity(model: Path, paths: Iterable[Path], progress: Progress) -> ModelParity:
    """Both back ends on the scored rows and on 20,000 adversarial ones."""
    task = progress.add_task("comparing with scikit-learn, bit by bit", total=1)
    data = pd.concat([read_table(path) for path in paths], ignore_index=True)
    found = model_parity(model, data, adversarial=20_000, reference_rows=100)
    progress.update(task, advance=1)
    return found


def trip_table(results: dict[str, dict[str, Any]]) -> Table:
    """One line a trip."""
    table = Table(title="Verdicts", title_justify="left", box=box.SIMPLE, padding=(0, 0, 0, 1))
    for heading in ("trip", "rows", "anomalous", "INVALID", "severity", "lowest"):
        table.add_column(heading, justify="left" if heading in ("trip", "severity") else "right", no_wrap=True)
    for trip, result in results.items():
        table.add_row(
            trip,
            f"{result['total_samples']:,}",
            f"{result['anomaly_percentage']:.1f} %",
            str(result["invalid_samples"]),
            result["severity"],
            f"{result['lowest_score']:.3f}",
        )
    return table


def closing_table(results: dict[str, dict[str, Any]], parity: ModelParity) -> Table:
    """Rows scored, verdicts, parity, µs a row."""
    rows = sum(result["total_samples"] for result in results.values())
    microseconds = sum(result["microseconds_per_row"] * result["total_samples"] for result in results.values()) / rows
    severities = [result["severity"] for result in results.values()]
    verdicts = ", ".join(f"{severities.count(name)} {name}" for name in ("CRITICAL", "WARNING", "INFO"))
    found = parity.comparisons[0].found
    table = Table(title="Summary", title_justify="left", show_header=False, box=box.SIMPLE)
    table.add_row("rows scored", f"{rows:,} in {len(results)} trips")
    table.add_row("verdicts", f"{verdicts} (trips)")
    table.add_row(
        "parity", f"{found.max_ulp} ulp at most on {found.rows:,} rows, {found.labels_differing} labels differ"
    )
    table.add_row("µs a row", f"{microseconds:.1f}")
    return table


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description="Train on simulated drives, score others with the slim runtime.")
    parser.add_argument("--runtime-python", default=sys.executable, help="Python of the runtime's environment")
    parser.add_argument("--output", type=Path, default=Path("models/demo_v1.0"), help="model to write")
    options = parser.parse_args()
    console = Console()
    trips = shipped_trips()
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        train(read_all(trips.training, progress), options.output, progress)
        results = score_with_runtime(options.runtime_python, options.output, trips, progress)
        parity = check_parity(options.output, [*trips.held_out, *trips.faulty], progress)
    console.print(trip_table(results))
    console.print(closing_table(results, parity))
    console.print(
        "Parity is what this shows: 0 ulp means that both sides computed the same bits. The verdicts are those of the\n"
        "default recipe, three raw signals and fixed thresholds: it flags much of what is healthy and rates nothing\n"
        "CRITICAL (README.md, What it does not do).\nTry next:\n"
        f"  {options.runtime_python} -m ev_qa_runtime info {options.output}\n"
        f"  {options.runtime_python} -m ev_qa_runtime bench {options.output}\n"
        f"  {os.path.relpath(sys.executable)} examples/model_persistence_example.py\n"
        "  docs/model_persistence.md",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
