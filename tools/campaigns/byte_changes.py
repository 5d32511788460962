"""Every byte of a model's files changed, every truncation, bytes left out, doubled and appended: none may be loaded.

Usage: ``python -m tools.campaigns.byte_changes [--slice]``: the shipped model and one of another shape, some fifteen
minutes on two cores. The files lie on disk and are changed in place. Sidecars go through ``read_artifact``. Of the two
large files every byte goes through the function of the loader that opens, reads and hashes a payload, and a sample
through ``load_model`` of the runtime or, for the ``.joblib``, of the training side. Prints a row a kind of change, with
one for the untouched model, which must load. Exits with 1 where a changed model was loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tools.campaigns import reporting

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime import load_model
from ev_qa_runtime.artifact import ArtifactPaths, _verified, read_artifact, read_contract
from ev_qa_runtime.errors import ArtifactError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0"
JOBS_A_FILE = 32
COMPLETE_LOADS = 400
"""Changes of a payload that go through the complete loader, too."""
TRUNCATIONS = 6000
APPENDED = 64

Change = tuple[str, bytes]
"""Its kind, and the file's new content."""


@dataclass(frozen=True, slots=True)
class Job:
    """Part number ``part`` of the changes of one file of the model at ``model``."""

    model: Path
    suffix: str
    part: int
    step: int


@dataclass(frozen=True, slots=True)
class Row:
    """How many changes of one kind were made to one file, and how many of those loaded."""

    model: str
    file: str
    kind: str
    tried: int
    loaded: int


def other_values(byte: int) -> list[int]:
    """What to put in a byte's place: each bit flipped, and some characters that JSON knows."""
    wanted = [*(byte ^ 1 << bit for bit in range(8)), byte ^ 0xFF, 0, 0xFF, *b' 0"\n}']
    return [value for value in dict.fromkeys(wanted) if value != byte]


def sidecar_changes(data: bytes, positions: range) -> Iterator[Change]:
    """Of the bytes at ``positions``: every change of content, and the file cut off there."""
    for position in positions:
        before, byte, after = data[:position], data[position], data[position + 1 :]
        for value in other_values(byte):
            yield "byte changed", before + bytes([value]) + after
        yield "byte left out", before + after
        yield "byte doubled", before + bytes([byte, byte]) + after
        yield "cut off", before
    if positions.start == 0:
        yield from appended(data, positions.step // JOBS_A_FILE)


def appended(data: bytes, step: int = 1) -> Iterator[Change]:
    """The file with bytes after its end."""
    for count in range(1, APPENDED + 1, 1 if step == 1 else APPENDED // 3):
        for byte in (b"\0", b" ", b"\n", data[-1:]):
            yield "appended to", data + byte * count


def outcome(load: Callable[[], object]) -> int:
    """1 where ``load`` gave something; errors other than the documented one go through."""
    try:
        load()
    except ArtifactError:
        return 0
    return 1


def work(job: Job) -> Counter[tuple[str, bool]]:
    """Kind and whether it loaded → how often, on a copy of the model in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="byte_changes_", dir=_memory()) as name:
        copy = ArtifactPaths(Path(name), job.model.name)
        for source in job.model.parent.glob(f"{job.model.name}.*"):
            shutil.copyfile(source, copy.folder / source.name)
        found = _sidecar_outcomes if job.suffix == "json" else _payload_outcomes
        return Counter(found(copy, job))


def _memory() -> str | None:
    """A folder in memory, where the machine has one: two million files are written."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a fresh folder is made inside


def _sidecar_outcomes(copy: ArtifactPaths, job: Job) -> Iterator[tuple[str, bool]]:
    data = copy.sidecar.read_bytes()
    for kind, changed in sidecar_changes(data, range(len(data))[job.part * job.step :: JOBS_A_FILE * job.step]):
        copy.sidecar.write_bytes(changed)
        yield kind, bool(outcome(lambda: read_artifact(copy.sidecar)))


def _payload_outcomes(copy: ArtifactPaths, job: Job) -> Iterator[tuple[str, bool]]:
    path, expected = copy.file(job.suffix), read_contract(copy.sidecar).files[job.suffix]
    data = path.read_bytes()
    positions = range(len(data))[job.part * job.step :: JOBS_A_FILE * job.step]
    completely = set(positions[:: max(JOBS_A_FILE * len(positions) // COMPLETE_LOADS, 1)])
    with path.open("r+b", buffering=0) as file:
        for position in positions:
            _put(file.fileno(), position, data[position] ^ (1 << position % 8))
            yield "byte changed", bool(outcome(lambda: _verified(path, expected)))
            if position in completely:
                yield "byte changed, complete load", bool(outcome(lambda: _complete_load(copy, job.suffix)))
            _put(file.fileno(), position, data[position])
        yield "untouched again", bool(outcome(lambda: _verified(path, expected)))
    sampled = {*range(0, len(data), max(len(data) * job.step // TRUNCATIONS, 1)), *range(len(data) - 64, len(data))}
    for length in sorted(sampled, reverse=True)[job.part :: JOBS_A_FILE]:
        path.write_bytes(data[:length])
        yield "cut off", bool(outcome(lambda: _complete_load(copy, job.suffix)))
    if job.part == 0:
        for kind, changed in appended(data, job.step):
            path.write_bytes(changed)
            yield kind, bool(outcome(lambda: _complete_load(copy, job.suffix)))


def _put(descriptor: int, position: int, value: int) -> None:
    os.pwrite(descriptor, bytes([value]), position)


def _complete_load(copy: ArtifactPaths, suffix: str) -> object:
    if suffix == "onnx":
        return load_model(copy.sidecar)
    return EVBatteryAnalyzer.load_model(copy.sidecar, backend="sklearn")


def jobs(models: Sequence[Path], step: int) -> list[Job]:
    """All the work, every ``step``-th position of it, longest first."""
    return [
        Job(model, suffix, part, step)
        for suffix in ("joblib", "onnx", "json")
        for model in models
        for part in range(JOBS_A_FILE)
    ]


def run(models: Sequence[Path], step: int) -> list[Row]:
    """Do the work on every core; a row for each model, file and kind."""
    everything = jobs(models, step)
    counts: dict[tuple[str, str, str], list[int]] = {}
    with multiprocessing.get_context("spawn").Pool() as pool, reporting.progress() as progress:
        task = progress.add_task("changing bytes", total=len(everything))
        for job, found in zip(everything, pool.imap(work, everything), strict=True):
            for (kind, loaded), count in found.items():
                row = counts.setdefault((job.model.name, f".{job.suffix}", kind), [0, 0])
                row[0] += count
                row[1] += count * loaded
            progress.update(task, advance=1)
            progress.refresh()
    return [Row(*names, tried, loaded) for names, (tried, loaded) in sorted(counts.items())]


def faults(rows: Sequence[Row]) -> list[str]:
    """Changed models that loaded, and untouched ones that did not."""
    found = []
    for row in rows:
        expected = row.tried if row.kind == "untouched again" else 0
        if row.loaded != expected:
            found.append(f"{row.model}{row.file}: {row.kind}: {row.loaded} of {row.tried} loaded, not {expected}")
    return found


def other_model(folder: Path) -> Path:
    """A freshly trained model of another shape: five features, 40 trees, the ``compat`` profile."""
    rows = np.random.default_rng(4).normal([350.0, 10.0, 25.0, 60.0, 0.9], [5.0, 20.0, 3.0, 20.0, 0.1], (600, 5))
    names = ("voltage", "current", "temp", "soc", "soh")
    analyzer = EVBatteryAnalyzer(n_estimators=40, contamination=0.05, max_samples=64, features=names)
    analyzer.fit(rows).save_model(folder / "five_v2.1.0", profile="compat", metadata={"größe": "fünf", "list": [1, {}]})
    return folder / "five_v2.1.0"


def main(argv: Sequence[str] | None = None) -> int:
    """Change everything, print the table; 1 where something loaded."""
    options = reporting.parser(__doc__ or "").parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        models = [SHIPPED, other_model(Path(folder))]
        rows = run(models, step=997 if options.slice else 1)
    figures = [(f"{row.model} {row.file}: {row.kind}", row.tried, row.loaded) for row in rows]
    reporting.print_table("Changed files", ("change", "tried", "loaded"), figures)
    changed = [row for row in rows if row.kind != "untouched again"]
    tried, loaded = sum(row.tried for row in changed), sum(row.loaded for row in changed)
    return reporting.finish("byte_changes", f"{loaded:,} of {tried:,} changed models loaded", faults(rows))


if __name__ == "__main__":
    sys.exit(main())
