"""Every benchmark in one go: writes ``benchmarks/RESULTS.md`` and ``benchmarks/results.png``.

    python -m benchmarks.run_all [--quick] [--telemetry CSV] [--runtime-python PYTHON]

``--quick`` is a smoke run: everything small, results into ``build/``. ``--runtime-python`` names the Python of an
environment with the runtime alone, for cold start and memory.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import batch, chart, exactness, export, fit_contamination, footprint, one_row, targets
from benchmarks.engines import Engines, prepared
from benchmarks.engines.base import needed
from benchmarks.tables import text_table
from benchmarks.timing import progress
from benchmarks.workload import Workload, arguments, clock_of, prepare

HERE = Path(__file__).resolve().parent
LIBRARIES = (
    *("numpy", "onnxruntime", "scikit-learn", "joblib", "skl2onnx", "treelite", "tl2cgen", "isotree", "coniferest"),
    *("threadpoolctl", "matplotlib"),
)
NOTES = """\
- Every comparison is interleaved: each engine once a round. A figure is the median over the rounds, a ratio the median
  of the rounds' ratios, so ratios are not quotients of the medians shown. Slow engines sit out some rounds.
- One row: 2,000 readings spread over all the telemetry, another at each call; rows are arrays before the clock starts.
  `Detector.score` takes keyword floats, checks them, and makes a `Verdict`.
- treelite and tl2cgen have no scaler: their rows are scaled by two numpy operations inside the timed call, with
  scikit-learn's bits. coniferest and isotree grow their own trees on the same rows, so they compute another forest.
- The C floor takes readings for complete, has no NaN routing, and is tuned to this processor by its compiler.
- scikit-learn and skl2onnx are timed as their users call them; skl2onnx's export is timed once.
- Where bounds are not reached, tried so far. One row: pruning the graph, bound buffers, the call past onnxruntime's
  Python wrapper and fewer Python steps (kept); arena, memory pattern, optimisation level, prepacking, trees without
  the routing of missing readings (no gain). Batch in time order: Z-order, scoring repeated rows once, trees without
  that routing (kept); lexicographic and Hilbert orders, cells by rank or threshold, other chunk sizes (no gain); even
  a batch of one repeated row takes onnxruntime 0.7 of the time. Telemetry that repeats more gains more. Cold start:
  deferred imports (kept); numpy's and onnxruntime's own imports are two thirds of what is left."""


def results(workload: Workload, options: Any) -> str:
    """Measure everything; the text of RESULTS.md."""
    quick, clock = options.quick, clock_of(options)
    engines = prepared(workload)
    agreement = exactness.measure(engines, workload)
    with needed("threadpoolctl").threadpool_limits(1):
        single = one_row.measure(engines, workload, 5 if quick else 60, clock)
    many = batch.measure(engines, workload, 3 if quick else 15, clock)
    exported = export.measure(engines, workload, 3 if quick else 11)
    fitted = fit_contamination.measure(workload, 1 if quick else 2)
    fresh = fresh_processes(workload, options.runtime_python, 3 if quick else 15)
    trees = workload.pipeline.steps[-1][1].n_estimators
    subtitle = f"IsolationForest, {trees} trees, {workload.source} · {footprint.machine()['cpu']}"
    chart.draw(single, many, picture(quick), subtitle)
    peers = engines.peers
    reached = [
        *targets.one_row_targets(single, peers),
        *targets.batch_targets(many, peers),
        *targets.export_targets(exported),
        *targets.footprint_targets(fresh),
    ]
    sections = {
        "Targets": targets.report(reached),
        "One row": f"{one_row.report(single)}\n\n![Latency and throughput by engine](results.png)",
        "Batch": batch.report(many),
        "Export, load, file size": export.report(exported),
        "Cold start and memory": f"{footprint.footprint_table(fresh)}\n\n{footprint.bounds_table(fresh)}\n\n"
        + footprint.disk_table(fresh),
        "Fitting with `contamination`": fit_contamination.report(fitted),
        "Exactness": exactness.report(agreement),
        "Engines": engine_table(engines),
        "Notes": NOTES,
    }
    parts = ["# Benchmark results", header(workload, options)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def header(workload: Workload, options: Any) -> str:
    """When, on what and with what this was measured."""
    host = footprint.machine()
    trees = workload.pipeline.steps[-1][1].n_estimators
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    model = f"{trees} trees, {workload.rows.shape[1]} features, default parameters"
    lines = [
        f"{when} · {host['cpu']}, {host['cores']} cores · {host['os']} · Python {platform.python_version()}",
        ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        f"{model}, {len(workload.rows):,} rows of {workload.source}; one thread each unless a table says otherwise",
    ]
    if hasattr(os, "getloadavg"):
        lines.append(
            f"load average at the end: {os.getloadavg()[1]:.1f} over five minutes, the benchmark's own included"
        )
    if core := os.environ.get("OPENBLAS_CORETYPE"):
        lines.append(f"OPENBLAS_CORETYPE={core}")
    if options.cpu_time:
        lines.append("**one-thread comparisons in processor time, not the wall's: the machine was busy**")
    if options.quick:
        lines.append("**quick run: figures mean nothing**")
    return "  \n".join(lines)


def version(name: str) -> str:
    """An installed version."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def engine_table(engines: Engines) -> str:
    """What each engine is, and which were skipped."""
    rows = [
        (name, setup, f"skipped: {engines.skipped[name]}" if name in engines.skipped else "ran")
        for name, setup in engines.setups.items()
    ]
    return text_table(("engine", "set up", ""), rows)


def fresh_processes(workload: Workload, runtime_python: str, rounds: int) -> dict[str, Any]:
    """``footprint.py`` in a process of its own: Linux counts what its parent holds as its children's memory."""
    progress("cold start and memory")
    command = [sys.executable, str(HERE / "footprint.py"), "--model", str(workload.stem), "--json"]
    command += ["--runtime-python", runtime_python, "--rounds", str(rounds)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    progress("")
    result: dict[str, Any] = json.loads(output)
    return result


def picture(quick: bool) -> Path:
    """Where the chart goes; beside RESULTS.md."""
    folder = HERE.parent / "build" if quick else HERE
    folder.mkdir(exist_ok=True)
    return folder / "results.png"


def main() -> int:
    """Measure, write, and say where."""
    parser = arguments(__doc__)
    parser.add_argument("--runtime-python", default=sys.executable, metavar="PYTHON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = results(prepare(Path(folder), options.telemetry, options.quick), options)
    file = picture(options.quick).with_name("RESULTS.md")
    file.write_text(text, encoding="utf-8")
    print(text)
    print(f"written: {file}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
