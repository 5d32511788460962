"""How long do exporting and loading take, and how large is the file: our exporter and skl2onnx's converter.

Export: from the fitted Pipeline to the model's bytes; ours is timed several times around skl2onnx's single run. Load:
from bytes in memory to a session that can score; the checked ``load_model`` (digests, sidecar, golden rows) beside.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
from benchmarks.engines import Engines, prepared
from benchmarks.engines.ours import NAME as OURS
from benchmarks.engines.skl2onnx_converter import NAME as SKL2ONNX
from benchmarks.engines.skl2onnx_converter import Skl2OnnxConverter
from benchmarks.tables import number, table
from benchmarks.timing import Timings, Work, interleaved, timed
from benchmarks.workload import Workload, arguments, prepare

from ev_qa_framework.export import to_onnx
from ev_qa_runtime import load_model
from ev_qa_runtime.session import TreeSession

CHECKED = f"{OURS}, `load_model`"


@dataclass(frozen=True, slots=True)
class Export:
    """Seconds, bytes and nodes; empty of skl2onnx where that is missing."""

    export_seconds: dict[str, float]
    loading: Timings
    file_bytes: dict[str, int]
    nodes: dict[str, int]


def measure(engines: Engines, workload: Workload, rounds: int) -> Export:
    """Export ours ``rounds`` times; load both in interleaved rounds."""
    ours = Path(f"{workload.stem}.onnx").read_bytes()

    def export_ours(_: int) -> int:
        to_onnx(workload.pipeline).SerializeToString()
        return 1

    def load_ours(_: int) -> int:
        TreeSession(ours, "benchmark")
        return 1

    def load_checked(_: int) -> int:
        load_model(workload.stem)
        return 1

    export_ours(0)
    seconds = {OURS: statistics.median(timed(export_ours, number) for number in range(rounds))}
    works: dict[str, Work] = {OURS: load_ours, CHECKED: load_checked}
    models = {OURS: ours}
    peer = engines.ready.get(SKL2ONNX)
    if isinstance(peer, Skl2OnnxConverter):
        converter = peer

        def load_skl2onnx(_: int) -> int:
            converter.session()
            return 1

        seconds[SKL2ONNX] = converter.export_seconds
        works[SKL2ONNX], models[SKL2ONNX] = load_skl2onnx, converter.model
    return Export(
        export_seconds=seconds,
        loading=interleaved(works, rounds, 30.0, "load"),
        file_bytes={name: len(model) for name, model in models.items()},
        nodes={name: len(onnx.load_model_from_string(model).graph.node) for name, model in models.items()},
    )


def report(result: Export) -> str:
    """One row an exporter."""
    rows = [
        (
            name,
            number(result.export_seconds[name]) if name in result.export_seconds else "",
            number(1e3 * result.loading.median(name)),
            number(result.file_bytes[name] / 1e3) if name in result.file_bytes else "",
            f"{result.nodes[name]:,}" if name in result.nodes else "",
        )
        for name in result.loading.seconds
    ]
    return table(("", "export, s", "load, ms", "file, kB", "nodes"), rows)


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), options.telemetry, options.quick)
        print(report(measure(prepared(workload), workload, 3 if options.quick else 11)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
