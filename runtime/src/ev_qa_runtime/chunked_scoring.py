"""Scoring a CSV file chunk by chunk: alone where a model judges each reading alone, else as they go on over time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ev_qa_runtime.csv_telemetry import Chunk, CsvRows, CsvTelemetry
from ev_qa_runtime.detector import Detector
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.model_input import in_sign_of
from ev_qa_runtime.verdict import Verdicts

if TYPE_CHECKING:
    from ev_qa_runtime.contract import CurrentSign
    from ev_qa_runtime.vehicle_monitor import Watched


class Scoring(Protocol):
    """Chunks of ``source`` with their verdicts, to be gone through once; :meth:`joined` has all of them."""

    @property
    def source(self) -> CsvRows[Any]:
        """The file, to be used as a context manager around the rest."""
        ...

    @property
    def judged(self) -> Sequence[Verdicts]:
        """Verdicts of the chunks so far."""
        ...

    def __iter__(self) -> Iterator[tuple[Chunk[Any], Verdicts]]:
        """The next chunk and its verdicts."""
        ...

    def joined(self) -> Verdicts:
        """Verdicts of all chunks so far, at least one."""
        ...


def scoring(detector: Detector, path: str, rows: slice, current_sign: CurrentSign | None = None) -> Scoring:
    """What scores the file at ``path`` (``-``: standard input) with a model of either kind.

    ``current_sign``: what the file's current is; None: what the model's is.
    """
    kind = ReadingScoring if detector.contract.monitoring is None else DriveScoring
    return kind(detector, path, rows, current_sign)


class ReadingScoring:
    """Each reading alone."""

    def __init__(self, detector: Detector, path: str, rows: slice, current_sign: CurrentSign | None = None) -> None:
        self.source = CsvTelemetry(path, detector.contract.features, rows)
        self.judged: list[Verdicts] = []
        self._detector = detector
        self._current_sign = current_sign

    def __iter__(self) -> Iterator[tuple[Chunk[Any], Verdicts]]:
        of_model = self._detector.contract.current_sign
        for chunk in self.source:
            verdicts = self._detector.verdicts(in_sign_of(of_model, chunk.telemetry, self._current_sign))
            self.judged.append(verdicts)
            yield chunk, verdicts

    def joined(self) -> Verdicts:
        """See :class:`Scoring`."""
        parts = [part.telemetry for part in self.judged]
        values = np.concatenate([part.values for part in parts])
        return Verdicts(
            Telemetry(parts[0].names, values, np.concatenate([part.valid for part in parts])),
            np.concatenate([part.score_samples for part in self.judged]),
            np.concatenate([part.label for part in self.judged]),
            np.concatenate([part.severity for part in self.judged]),
        )


class DriveScoring:
    """Readings over time: each chunk goes on where the last one ended, and the last one ends every event."""

    def __init__(self, detector: Detector, path: str, rows: slice, current_sign: CurrentSign | None = None) -> None:
        from ev_qa_runtime.csv_signals import CsvSignals  # noqa: PLC0415 - for models over time only
        from ev_qa_runtime.fleet_monitor import sign_of  # noqa: PLC0415 - the same
        from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts  # noqa: PLC0415 - the same

        contract = detector.contract
        assert contract.monitoring is not None  # noqa: S101 - asked before
        sign, explicit = sign_of(contract.current_sign, current_sign)
        self.source = CsvSignals(path, contract.monitoring.recipe.signals, sign, rows, explicit_sign=explicit)
        self.judged: list[MonitoredVerdicts] = []
        self._monitor = detector.monitor()  # the chunks are read by the source

    def __iter__(self) -> Iterator[tuple[Chunk[Any], Verdicts]]:
        chunks = iter(self.source)
        chunk = next(chunks, None)
        while chunk is not None:
            following = next(chunks, None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it says of the current's sign is the summary's remark
                verdicts = self._monitor.verdicts(chunk.telemetry, last=following is None)
            self.judged.append(verdicts)
            yield chunk, verdicts
            chunk = following

    def joined(self) -> Verdicts:
        """See :class:`Scoring`."""
        parts = [part.telemetry for part in self.judged]
        numbers: dict[str, int] = {}
        vehicle = []
        watched: dict[int, Watched] = {}
        row = 0
        for part in parts:
            here = [numbers.setdefault(name, len(numbers)) for name in part.vehicles]
            vehicle.append(np.array(here, dtype=np.int64)[part.vehicle])
            watched |= {row + place: seen for place, seen in part.watched.items()}
            row += len(part)
        telemetry = replace(
            parts[0],
            values=np.concatenate([part.values for part in parts]),
            valid=np.concatenate([part.valid for part in parts]),
            time=np.concatenate([part.time for part in parts]),
            vehicles=tuple(numbers),
            vehicle=np.concatenate(vehicle),
            watched=watched,
            remark=parts[-1].remark,  # of all readings so far
        )
        return replace(
            self.judged[0],
            telemetry=telemetry,
            score_samples=np.concatenate([part.score_samples for part in self.judged]),
            label=np.concatenate([part.label for part in self.judged]),
            severity=np.concatenate([part.severity for part in self.judged]),
            events=tuple(event for part in self.judged for event in part.events if not event.open),
        )
