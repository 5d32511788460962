"""What the commands do: ``score``, ``info``, ``verify``, ``bench``. Each returns what it prints as a dictionary."""

from __future__ import annotations

import csv
import errno
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_qa_runtime.artifact import SUFFIXES, Artifact, ArtifactPaths, read_artifact, read_referenced
from ev_qa_runtime.chunked_scoring import Scoring, scoring
from ev_qa_runtime.csv_telemetry import Chunk
from ev_qa_runtime.detector import Detector, load_model
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.progress import Progress
from ev_qa_runtime.verdict import Verdicts

if TYPE_CHECKING:
    from ev_qa_runtime.contract import CurrentSign
    from ev_qa_runtime.trust import TrustPolicy

RESULT_COLUMNS = ("score", "label", "severity", "reasons")

BATCH_ROWS = 10_000
ONE_BY_ONE = 1000
"""What ``bench`` times."""


def score(
    model: str,
    telemetry: str,
    output: str | None,
    rows: slice,
    policy: TrustPolicy | None,
    current_sign: CurrentSign | None = None,
) -> dict[str, Any]:
    """Score a CSV file; with ``output`` also write its rows with :data:`RESULT_COLUMNS` appended."""
    artifact = read_artifact(model, policy=policy)
    detector = Detector(artifact)
    if output is not None:
        _refuse_to_replace(output, telemetry, artifact.paths)
    seconds = 0.0
    work: Scoring = scoring(detector, telemetry, rows, current_sign)
    with (
        work.source as source,
        Progress("scoring", source.size) as progress,
        _rows_written_to(output, source.header) as write,
    ):
        started = time.perf_counter()
        for chunk, verdicts in work:
            seconds += time.perf_counter() - started
            write(chunk, verdicts)
            progress.update(chunk.bytes_read)
            started = time.perf_counter()
        if not work.judged:
            raise TelemetryError(f"{telemetry}: there are no data rows to score{source.rows_there()}")
    result = work.joined().summary() | detector.contract.training.summary()
    return (
        result | _model(artifact, detector) | {"microseconds_per_row": 1e6 * seconds / max(result["total_samples"], 1)}
    )


def info(model: str, policy: TrustPolicy | None) -> dict[str, Any]:
    """Everything a model says of itself."""
    artifact = read_artifact(model, policy=policy)
    return Detector(artifact).info | _digests(artifact)


def verify(model: str, policy: TrustPolicy | None) -> dict[str, Any]:
    """Check the signatures of a model, every file of it that is there, and its golden rows."""
    return read_referenced(model, lambda path: _verified(path, policy))


def _verified(model: str | os.PathLike[str], policy: TrustPolicy | None) -> dict[str, Any]:
    paths = ArtifactPaths.of(model)
    artifact = read_artifact(model, policy=policy)
    detector = Detector(artifact)
    files = {}
    for suffix, digest in sorted(detector.contract.files.items()):
        present = f".{suffix}" in SUFFIXES and paths.file(suffix).exists()
        if present:
            read_artifact(model, wanted=(suffix,), policy=policy)
        files[suffix] = {"sha256": digest.sha256, "bytes": digest.bytes, "state": "verified" if present else "absent"}
    checked = {"files": files, "golden_rows": len(detector.contract.golden.readings), "verified": True}
    return _model(artifact, detector) | checked


def bench(model: str, seconds: float) -> dict[str, Any]:
    """Time loading, one reading and a batch on this machine; medians.

    On the model's golden rows, or for a model over time on a made-up drive: one reading is then one of a stream.
    """
    load_ms = [1e3 * _timed(lambda: load_model(model)) for _ in range(5)]
    artifact = read_artifact(model)
    detector = Detector(artifact)
    one_by_one, count, batch = _to_time(detector)
    one: list[float] = []
    many: list[float] = []
    until = time.perf_counter() + seconds
    with Progress("timing", 1000) as progress:
        while time.perf_counter() < until or not many:
            one.append(_timed(one_by_one) / count)
            many.append(_timed(lambda: detector.verdicts(batch)) / BATCH_ROWS)
            progress.update(round(1000 - 1000 * (until - time.perf_counter()) / seconds))
    return _model(artifact, detector) | {
        "load_milliseconds": statistics.median(load_ms),
        "one_reading_microseconds": 1e6 * statistics.median(one),
        "batch_microseconds_per_row": 1e6 * statistics.median(many),
        "repetitions": len(one),
    }


def _to_time(detector: Detector) -> tuple[Callable[[], object], int, Any]:
    """What scores readings one by one, how many these are, and a batch of :data:`BATCH_ROWS`."""
    monitoring = detector.contract.monitoring
    if monitoring is not None:
        from ev_qa_runtime.sample_drive import sample_drive  # noqa: PLC0415 - for models over time only

        batch = sample_drive(monitoring.recipe, BATCH_ROWS)
        names = tuple(batch)
        rows_of = zip(*(batch[name][:ONE_BY_ONE].tolist() for name in names), strict=True)
        drive = [dict(zip(names, row, strict=True)) for row in rows_of]
        streams = itertools.count()

        def streamed() -> object:
            stream = detector.stream(str(next(streams)))
            return [stream.score(**reading) for reading in drive]

        return streamed, ONE_BY_ONE, batch
    rows = np.array([row for row in detector.contract.golden.readings if not np.isnan(row).any()])
    readings = [dict(zip(detector.contract.feature_names, row, strict=True)) for row in rows.tolist()]
    matrix = np.ascontiguousarray(np.resize(rows, (BATCH_ROWS, rows.shape[1])))
    return lambda: [detector.score(**reading) for reading in readings], len(readings), matrix


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _model(artifact: Artifact, detector: Detector) -> dict[str, Any]:
    """Which model it was that a command used."""
    named = {"model": artifact.contract.name, "version": str(artifact.contract.version)}
    return named | _digests(artifact) | {"signed_by": detector.info["signed_by"]}


def _digests(artifact: Artifact) -> dict[str, str]:
    """Of the trees, and of the sidecar: a registry's history has the latter."""
    return {"onnx_sha256": artifact.contract.files["onnx"].sha256, "sidecar_sha256": artifact.sidecar_sha256}


def _refuse_to_replace(output: str, telemetry: str, paths: ArtifactPaths) -> None:
    """Raise ``ValueError`` where the output would replace what it is made from."""
    sources = [Path(telemetry), *(paths.file(suffix[1:]) for suffix in SUFFIXES)]
    for source in sources:
        if Path(output).is_file() and source.exists() and Path(output).samefile(source):
            raise ValueError(f"{output}: this would replace {source}, which is being read: choose another output")


@contextmanager
def _rows_written_to(output: str | None, header: list[str]) -> Iterator[Callable[[Chunk[Any], Verdicts], None]]:
    """Give a function that appends a chunk's rows; the file appears under its name when all are there."""
    if output is None:
        yield lambda _chunk, _verdicts: None
        return
    target = Path(output)
    special = target.exists() and not target.is_file()  # /dev/null, a named pipe: written to, never replaced
    part = target if special else target.with_name(f".{target.name}.part")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
    taken = set(header) & set(RESULT_COLUMNS)
    added = [f"ev_qa_{name}" for name in RESULT_COLUMNS] if taken else RESULT_COLUMNS
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*header, *added])

            def write(chunk: Chunk[Any], verdicts: Verdicts) -> None:
                writer.writerows([*cells, *_cells(v)] for cells, v in zip(chunk.cells, verdicts, strict=True))

            yield write
        if not special:
            part.replace(target)
    except BaseException:
        if not special:
            part.unlink(missing_ok=True)
        raise


def _cells(verdict: Any) -> tuple[object, ...]:
    shown = verdict.score if verdict.valid else ""
    return shown, verdict.label, verdict.severity, "; ".join(verdict.reasons)
