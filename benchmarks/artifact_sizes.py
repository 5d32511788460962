"""How large the files of a model are, and how long saving and loading takes, for three levels of compression.

Trains on the healthy demo telemetry, so that the figures can be had again:

    python benchmarks/artifact_sizes.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ev_qa_framework import EVBatteryAnalyzer

TELEMETRY = Path(__file__).resolve().parents[1] / "demo" / "telemetry"
LEVELS = (0, 3, 9)


def median_ms(work: Callable[[], object], repetitions: int) -> float:
    """Median wall-clock milliseconds of ``work``."""
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


def table(folder: Path, n_estimators: int, repetitions: int) -> list[str]:
    """Lines of a Markdown table, one row a level."""
    data = pd.concat([pd.read_csv(file) for file in sorted(TELEMETRY.glob("healthy_*.csv"))], ignore_index=True)
    analyzer = EVBatteryAnalyzer(n_estimators=n_estimators).fit(data)
    lines = [
        "| compress | .joblib kB | .onnx kB | .json kB | save ms | load, scikit-learn ms | load, ONNX ms |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for level in LEVELS:
        stem = folder / f"compress_{level}"

        def save(stem: Path = stem, level: int = level) -> None:
            analyzer.save_model(stem, compress=level)

        def load(backend: str, stem: Path = stem) -> Callable[[], object]:
            return lambda: EVBatteryAnalyzer.load_model(stem, backend=backend)  # type: ignore[arg-type]  # one of two

        milliseconds = [median_ms(work, repetitions) for work in (save, load("sklearn"), load("onnx"))]
        sizes = [(folder / f"{stem.name}.{suffix}").stat().st_size / 1000 for suffix in ("joblib", "onnx", "json")]
        cells = [str(level), *(f"{size:,.0f}" for size in sizes), *(f"{time_ms:,.0f}" for time_ms in milliseconds)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-estimators", type=int, default=200, help="trees in the forest (default: 200)")
    parser.add_argument("--repetitions", type=int, default=5, help="saves and loads a level (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(table(Path(folder), options.n_estimators, options.repetitions)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
