"""``ShadowDetector``: the champion answers, a challenger is scored beside it, and nobody waits for that one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.detector import Detector, load_model
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.features import Telemetry, read_telemetry
from ev_qa_runtime.severity import SEVERITY_OF_CODE, FloatArray, IntArray, Severity
from ev_qa_runtime.shadow_statistics import Compared, ComparedBatch, ComparedReading, Disagreement, ShadowStatistics
from ev_qa_runtime.shadow_worker import Job, ShadowWorker
from ev_qa_runtime.verdict import Verdict, Verdicts

SAMPLE_ROWS = 4096
"""Rows of a batch that are compared at most, evenly spread: it bounds what is copied while the caller waits."""


class ShadowDetector:
    """Answers as ``champion`` does, and counts what ``challenger`` would have said.

    champion
        The :class:`Detector` that answers, or the path of or reference to its model, which is loaded at once. Its
        errors are raised as ever, and such calls are not shadowed.
    challenger
        A :class:`Detector`, a path or reference, or a function without arguments that loads one. The last two are
        loaded on the worker thread, so that a challenger that cannot be loaded does no harm either. Until it is
        loaded, calls are skipped.
    budget_seconds
        What a scoring by the challenger, or a call of ``on_disagreement``, may take; what takes longer is given up.
    give_up_after
        After so many overruns in a row the challenger is not used any more.
    queue_length
        Calls that may wait for the challenger; more are skipped.
    on_disagreement
        Called on the worker thread for every row that both judge differently; its errors are counted.

    Thread-safe. :attr:`statistics` says what happened. ``close()``, the end of a ``with`` block, garbage collection and
    the end of the process stop the thread; answers go on.

    Raises ``ConfigurationError`` for a setting that is no number in its range, ``TypeError`` for what is no model, and
    what :func:`load_model` raises for the champion.
    """

    def __init__(
        self,
        champion: Detector | str | os.PathLike[str],
        challenger: Detector | str | os.PathLike[str] | Callable[[], Detector],
        budget_seconds: float = 0.05,
        *,
        give_up_after: int = 5,
        queue_length: int = 64,
        on_disagreement: Callable[[Disagreement], object] | None = None,
    ) -> None:
        _check_settings(budget_seconds, give_up_after, queue_length)
        if isinstance(challenger, (str, os.PathLike)):
            challenger = partial(load_model, challenger)
        if not callable(challenger) and not hasattr(challenger, "verdicts"):
            raise TypeError(
                "the challenger must be a Detector, the path of a model or a function that loads one, not"
                f" {challenger!r:.80}"
            )
        if isinstance(champion, (str, os.PathLike)):
            champion = load_model(champion)
        if not hasattr(champion, "verdicts"):
            raise TypeError(f"the champion must be a Detector or the path of a model, not {champion!r:.80}")
        _check_alone(champion)
        self.champion = champion
        self._names = champion.contract.feature_names
        is_model = hasattr(challenger, "verdicts")
        self._worker = ShadowWorker(
            challenger if is_model else None,  # type: ignore[arg-type]  # what has verdicts is a detector
            None if is_model else challenger,  # type: ignore[arg-type]  # and what has none loads one
            budget_seconds,
            queue_length=queue_length,
            give_up_after=give_up_after,
            on_disagreement=on_disagreement,
        )
        self._finalizer = weakref.finalize(self, self._worker.close)

    def __repr__(self) -> str:
        return f"ShadowDetector({self.champion!r}, challenger={self._worker.challenger!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def contract(self) -> ModelContract:
        """The champion's contract."""
        return self.champion.contract

    @property
    def info(self) -> dict[str, Any]:
        """The champion in plain types."""
        return self.champion.info

    @property
    def statistics(self) -> ShadowStatistics:
        """What the shadow has seen so far; a frozen snapshot."""
        return self._worker.statistics()

    def wait(self, timeout: float | None = None) -> bool:
        """Until the challenger is loaded and has scored, or given up, all that was answered; for tests and shutdown.

        False where ``timeout`` seconds were not enough.
        """
        return self._worker.wait(timeout)

    def close(self) -> None:
        """Stop the shadow: what waits is dropped, the thread ends within the budget or is left behind."""
        self._finalizer()

    def score(self, **readings: float | None) -> Verdict:
        """:meth:`Detector.score` of the champion."""
        verdict = self.champion.score(**readings)
        self._worker.offer(_reading_job(readings, verdict))
        return verdict

    def verdicts(self, data: Any, threads: int = 1) -> Verdicts:
        """:meth:`Detector.verdicts` of the champion."""
        verdicts = self.champion.verdicts(data, threads)
        self._shadow(data, verdicts)
        return verdicts

    def predict(self, data: Any) -> IntArray:
        """:meth:`Detector.predict` of the champion."""
        return self.verdicts(data).label

    def analyze_telemetry(self, data: Any) -> dict[str, Any]:
        """:meth:`Detector.analyze_telemetry` of the champion."""
        return self.verdicts(data).summary() | self.contract.training.summary()

    def score_samples(self, data: Any, threads: int = 1) -> FloatArray:
        """:meth:`Detector.score_samples` of the champion."""
        scores = self.champion.score_samples(data, threads)
        self._shadow(data)
        return scores

    def decision_function(self, data: Any) -> FloatArray:
        """:meth:`Detector.decision_function` of the champion."""
        decisions = self.champion.decision_function(data)
        self._shadow(data)
        return decisions

    def path_length(self, data: Any, threads: int = 1) -> FloatArray:
        """:meth:`Detector.path_length` of the champion."""
        path_length = self.champion.path_length(data, threads)
        self._shadow(data)
        return path_length

    def _shadow(self, data: Any, verdicts: Verdicts | None = None) -> None:
        """Hand a copy of some rows to the worker; whatever goes wrong with that is counted, the answer stands."""
        try:
            job, not_sampled = self._job(data, verdicts)
        except Exception as error:  # noqa: BLE001 - the challenger's columns may be missing, or its contract nonsense
            self._worker.could_not_offer(error)
        else:
            self._worker.offer(job, not_sampled)

    def _job(self, data: Any, verdicts: Verdicts | None) -> tuple[Job | None, int]:
        challenger = self._worker.challenger
        if challenger is None:  # it is not loaded yet, so nobody knows its columns
            return None, 0
        _check_alone(challenger)
        telemetry = read_telemetry(data, self.contract.features) if verdicts is None else verdicts.telemetry
        theirs = self._challengers_view(data, telemetry, challenger)
        rows = np.linspace(0, len(telemetry) - 1, min(len(telemetry), SAMPLE_ROWS)).astype(np.int64)
        # Indexing copies: the caller may change the data once it has its answer.
        job = _BatchJob(self.champion, telemetry.values[rows], _picked(verdicts, rows), theirs[rows])
        return job, len(telemetry) - len(rows)

    def _challengers_view(self, data: Any, telemetry: Telemetry, challenger: Detector) -> FloatArray:
        """The challenger's columns, by name, float64 [N, F]; the champion's array where both read the same."""
        ours, theirs = self.contract.features, challenger.contract.features
        if [(spec.name, spec.aliases) for spec in ours] == [(spec.name, spec.aliases) for spec in theirs]:
            return telemetry.values
        nameless = isinstance(data, (np.ndarray, list)) and not getattr(getattr(data, "dtype", None), "names", None)
        if nameless or isinstance(data, Telemetry):  # the columns are the champion's
            data = dict(zip(self._names, telemetry.values.T, strict=True))
        return read_telemetry(data, theirs).values


def _check_settings(budget_seconds: object, give_up_after: object, queue_length: object) -> None:
    if not isinstance(budget_seconds, Real) or not 0.0 < float(budget_seconds) < float("inf"):
        raise ConfigurationError(f"budget_seconds must be a positive number, not {budget_seconds!r}")
    counts = (give_up_after, queue_length)
    if not all(isinstance(count, Integral) and int(count) >= 1 for count in counts):
        raise ConfigurationError(
            f"give_up_after and queue_length must be at least 1, not {give_up_after!r} and {queue_length!r}"
        )


def _check_alone(model: Detector) -> None:
    """A shadow gets rows, not streams: whoever judges over time needs every reading, in order."""
    if model.contract.monitoring is not None:
        raise ConfigurationError(
            f"model {model.contract.name} judges readings over time and cannot be shadowed row by row: run a stream of"
            " each, or use `ev-qa compare`"
        )


class _BatchJob:
    """Some rows of a batch as each reads them; the champion's verdicts where it gave any."""

    def __init__(
        self, champion: Detector, values: FloatArray, verdicts: Verdicts | None, their_values: FloatArray
    ) -> None:
        self._champion = champion
        self._values = values
        self._verdicts = verdicts
        self._their_values = their_values

    def __call__(self, challenger: Detector) -> Compared:
        theirs = _sound_batch(challenger.verdicts(self._their_values), len(self._values))
        ours = self._champion.verdicts(self._values) if self._verdicts is None else self._verdicts
        return ComparedBatch(ours, theirs)


def _reading_job(readings: Mapping[str, Any], verdict: Verdict) -> Job:
    return lambda challenger: ComparedReading(readings, verdict, _sound(challenger.score(**readings)))


def _picked(verdicts: Verdicts | None, rows: IntArray) -> Verdicts | None:
    """Copies of some rows."""
    if verdicts is None:
        return None
    values = verdicts.telemetry.values[rows]
    telemetry = Telemetry(verdicts.telemetry.names, values, verdicts.telemetry.valid[rows])
    return Verdicts(telemetry, verdicts.score_samples[rows], verdicts.label[rows], verdicts.severity[rows])


def _sound(verdict: object) -> Verdict:
    """``verdict`` where it is one: what a challenger returns is not to be trusted."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"the challenger returned a {type(verdict).__name__}, not a verdict")
    scored = not verdict.valid or -1.0 <= verdict.score <= 0.0
    if verdict.label not in (-1, 1) or not isinstance(verdict.severity, Severity) or not scored:
        raise ValueError(f"the challenger returned nonsense: {verdict!r:.200}")
    return verdict


def _sound_batch(verdicts: object, rows: int) -> Verdicts:
    if not isinstance(verdicts, Verdicts):
        raise TypeError(f"the challenger returned a {type(verdicts).__name__}, not a verdict")
    scores, label, severity, valid = verdicts.score_samples, verdicts.label, verdicts.severity, verdicts.telemetry.valid
    described = [(np.asarray(array).dtype.kind, np.shape(array)) for array in (scores, label, severity, valid)]
    if described != [(kind, (rows,)) for kind in "fiib"]:
        raise ValueError(f"the challenger returned nonsense: {described} for {rows} row(s)")
    known = np.isin(label, (-1, 1)) & np.isin(severity, range(-1, len(SEVERITY_OF_CODE)))
    if not known.all() or not ((scores[valid] >= -1.0) & (scores[valid] <= 0.0)).all():
        raise ValueError("the challenger returned nonsense: labels, severities or scores that there are none of")
    return verdicts
