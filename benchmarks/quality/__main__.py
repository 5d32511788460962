"""How well are faults found, how soon, and how often falsely? Ours and peers, split by trip.

    python -m benchmarks.quality [--telemetry DIR|CSV ...] [--quick] [--folds N]

Writes ``benchmarks/QUALITY.md`` with its pictures ``quality.png`` and ``as_shipped.png`` and prints the tables.
Telemetry: columns time_s, voltage, current (positive when discharging), temp, soc and, where a fault is labelled,
fault; by default the demo's.
``--quick`` is a smoke run: few trees and the first rows of few trips, results into ``build/``.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from benchmarks import footprint
from benchmarks.engines.base import UnavailableError
from benchmarks.quality import adbench, as_shipped, heatmap, report, severities
from benchmarks.quality.detectors import detectors
from benchmarks.quality.evaluation import evaluate
from benchmarks.quality.shipped import shipped
from benchmarks.quality.shipped_report import shipped_section
from benchmarks.quality.trips import Telemetry, read_telemetry
from benchmarks.run_all import HERE, version
from benchmarks.workload import QUICK_TREES, TELEMETRY, TREES

LIBRARIES = ("numpy", "scikit-learn", "onnxruntime", "pyod", "isotree", "matplotlib")
SEEDS = 5
QUICK_TRIPS, QUICK_FAULTY, QUICK_ROWS = 6, 3, 600

Result = TypeVar("Result")


def results(telemetry: Telemetry, ways: int, quick: bool, folder: Path) -> str:
    """Measure everything; the text of QUALITY.md."""
    started = time.monotonic()
    trees = QUICK_TREES if quick else TREES
    evaluation = evaluate(telemetry, lambda: detectors(trees), ways)
    users = as_shipped.measure(telemetry, lambda: shipped(trees), ways)
    car = {} if quick else severities.on_the_car(severities.CAR, shipped(trees)[:2])
    sets = adbench.measure(trees, 1 if quick else SEEDS, adbench.FOLDER)
    subtitle = f"{telemetry.source}, {len(telemetry.healthy)} trips, {trees} trees"
    areas = picture(heatmap.draw, evaluation, folder / "quality.png", subtitle)
    events = picture(heatmap.draw_shipped, users, folder / "as_shipped.png", subtitle)
    sections = {
        "Targets": report.targets_table(evaluation),
        "Summary": f"{report.summary_table(evaluation)}\n\n{areas}",
        "As shipped": shipped_section(users, events),
        "By fault": report.area_table(evaluation),
        "How soon": report.delay_table(evaluation),
        "Second figures": report.within_table(evaluation),
        "Simulated faults": report.simulated_table(evaluation),
        "A real car": "Skipped: quick run." if quick else report.car_table(car),
        "Labelled outlier sets": report.adbench_table(sets),
        "Detectors": report.detector_table(evaluation),
        "Faults": f"{report.fault_table()}\n\n{report.pack_line(evaluation.pack)}",
        "Method": report.METHOD,
    }
    parts = ["# Detection quality", header(telemetry, ways, trees, quick, time.monotonic() - started)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def picture(draw: Callable[[Result, Path, str], str], result: Result, file: Path, subtitle: str) -> str:
    """Draw it; the line that shows it, or says why there is none."""
    try:
        shows = draw(result, file, subtitle)
    except UnavailableError as error:
        return f"No picture: {error}."
    return f"![{shows}]({file.name})"


def header(telemetry: Telemetry, ways: int, trees: int, quick: bool, seconds: float) -> str:
    """When, on what and with what this was measured."""
    host = footprint.machine()
    hours = sum(trip.hours for trip in telemetry.healthy)
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    trips = f"{len(telemetry.healthy)} healthy trips of {hours:.1f} h, {len(telemetry.faulty)} with a simulated fault"
    lines = [
        f"{when} · {host['cpu']}, {host['cores']} cores · {host['os']} · Python {platform.python_version()}",
        ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        f"{telemetry.source}: {trips}; {ways} folds, {trees} trees, everything seeded; {seconds:,.0f} s",
    ]
    if quick:
        lines.append("**quick run: figures mean nothing**")
    return "  \n".join(lines)


def shortened(telemetry: Telemetry) -> Telemetry:
    """A few trips, evenly picked, and of those the first rows; faulty ones keep rows of both kinds."""
    step = max(len(telemetry.healthy) // QUICK_TRIPS, 1)
    healthy = [replace(trip, table=trip.table.head(QUICK_ROWS)) for trip in telemetry.healthy[::step][:QUICK_TRIPS]]
    return Telemetry(f"a slice of {telemetry.source}", healthy, telemetry.faulty[:QUICK_FAULTY])


def arguments() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--telemetry", type=Path, nargs="+", metavar="DIR|CSV", help="instead of the demo's")
    parser.add_argument("--folds", type=int, default=None, metavar="N", help="default 5, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few trees, trips and rows")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    """Measure, write, print, and say where."""
    options = arguments().parse_args(given)
    folder = HERE.parent / "build" if options.quick else HERE
    folder.mkdir(exist_ok=True)
    paths = options.telemetry or [TELEMETRY]
    source = ", ".join(path.name for path in paths) if options.telemetry else "the demo's telemetry"
    try:
        telemetry = read_telemetry(paths, source)
        if options.quick:
            telemetry = shortened(telemetry)
        text = results(telemetry, options.folds or (3 if options.quick else 5), options.quick, folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    file = folder / "QUALITY.md"
    file.write_text(text, encoding="utf-8")
    print(text)
    print(f"written: {file}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
