"""``compare_models``: two models on the same rows, or two results of ``analyze_telemetry``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from ev_qa_framework.comparison.agreement import flag_agreement, score_agreement, severity_confusion
from ev_qa_framework.comparison.intervals import BlockBootstrap, block_rows_for
from ev_qa_framework.comparison.labelled_metrics import labelled_comparison
from ev_qa_framework.comparison.labels import Labels, label_column, read_labels
from ev_qa_framework.comparison.latency import measure_latency
from ev_qa_framework.comparison.result import (
    BoolArray,
    ComparedModel,
    ComparedRows,
    Method,
    ModelComparison,
    Rate,
    RowCounts,
    ScoreDistribution,
    SummaryComparison,
)
from ev_qa_framework.comparison.shift import feature_shift, flagged_contrast
from ev_qa_framework.comparison.subject import Model, Subject, subject_of
from ev_qa_framework.comparison.summaries import compare_summaries
from ev_qa_framework.comparison.time_axis import time_axis
from ev_qa_runtime.errors import ConfigurationError, TelemetryError
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.severity import FloatArray, IntArray

MINIMUM_RESAMPLES = 100
"""Fewer resamples do not reach into the tails that an interval is cut off at."""


@overload
def compare_models(a: Mapping[str, Any], b: Mapping[str, Any], *, confidence: float = ...) -> SummaryComparison: ...


@overload
def compare_models(
    a: Model,
    b: Model,
    data: Any,
    labels: Any = ...,
    *,
    confidence: float = ...,
    resamples: int = ...,
    block_rows: int | None = ...,
    seed: int = ...,
    measure_speed: bool = ...,
) -> ModelComparison: ...


def compare_models(
    a: Model | Mapping[str, Any],
    b: Model | Mapping[str, Any],
    data: Any = None,
    labels: Any = None,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    block_rows: int | None = None,
    seed: int = 0,
    measure_speed: bool = True,
) -> ModelComparison | SummaryComparison:
    """Compare two models on the rows of ``data`` that both can judge; differences are B minus A.

    ``a`` and ``b`` are an ``EVBatteryAnalyzer``, a ``Detector``, or a path or reference to a model; each reads its own
    columns. ``data`` is a table, or a list of tables that are recordings of their own. ``labels`` names a column of it
    or holds one label a row: see :func:`~ev_qa_framework.comparison.labels.read_labels`. ``block_rows`` is how many
    neighbouring rows the bootstrap keeps together; None finds it from the data. All but the speed is the same each
    time for the same ``seed``.

    Two results of ``analyze_telemetry`` without data give a ``SummaryComparison`` instead.

    Raises ``TelemetryError`` where a column is missing, no row can be compared or labels do not fit,
    ``ConfigurationError`` for settings out of range, ``ArtifactError`` and ``FileNotFoundError`` as loading does.
    """
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"confidence must lie between 0 and 1, not {confidence!r}")
    if isinstance(a, Mapping) or isinstance(b, Mapping):
        if not (isinstance(a, Mapping) and isinstance(b, Mapping)) or data is not None or labels is not None:
            raise TypeError("two results of analyze_telemetry() are compared without models, data and labels")
        return compare_summaries(a, b, confidence)
    if data is None:
        raise TypeError("compare_models() needs telemetry to compare two models on: compare_models(a, b, data)")
    if resamples < MINIMUM_RESAMPLES:
        raise ConfigurationError(f"resamples must be at least {MINIMUM_RESAMPLES}, not {resamples!r}")
    if block_rows is not None and block_rows < 1:
        raise ConfigurationError(f"block_rows must be at least 1, not {block_rows!r}")
    pair = _Pair.of(subject_of(a), subject_of(b), _tables(data), labels)
    return _compared(pair, confidence, resamples, block_rows, seed, measure_speed)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both models with what they read; ``compared`` bool [N] marks rows valid for both, ``labels`` are theirs."""

    a: Subject
    b: Subject
    tables: list[Any]
    telemetry_a: Telemetry
    telemetry_b: Telemetry
    compared: BoolArray
    labels: Labels | None
    recordings: tuple[int, ...]

    @classmethod
    def of(cls, a: Subject, b: Subject, tables: list[Any], labels: Any) -> _Pair:
        """Read every table for both and check that there is something to compare."""
        _refuse_nameless(a, b, tables)
        parts_a, parts_b = a.read(tables), b.read(tables)
        valid = [part_a.valid & part_b.valid for part_a, part_b in zip(parts_a, parts_b, strict=True)]
        compared = np.concatenate(valid)
        if not compared.any():
            raise TelemetryError(f"none of the {len(compared)} row(s) is valid for both models: nothing to compare")
        read = None if labels is None else _labels(labels, tables, compared)
        recordings = tuple(int(each.sum()) for each in valid)
        return cls(a, b, tables, _joined(parts_a), _joined(parts_b), compared, read, recordings)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one model says of the compared rows, [N] each; ``values`` float64 [N, F]."""

    values: FloatArray
    scores: FloatArray
    severity: IntArray
    flagged: BoolArray


def _compared(
    pair: _Pair, confidence: float, resamples: int, block_rows: int | None, seed: int, measure_speed: bool
) -> ModelComparison:
    judged_a = _judged(pair.a, pair.telemetry_a, pair.compared)
    judged_b = _judged(pair.b, pair.telemetry_b, pair.compared)
    labels = pair.labels
    if block_rows is None:
        block_rows = block_rows_for(_series(judged_a.flagged, judged_b.flagged, labels))
    bootstrap = BlockBootstrap(pair.recordings, block_rows, resamples, seed)
    flags = flag_agreement(judged_a.flagged, judged_b.flagged, bootstrap, confidence)
    a_only, b_only = judged_a.flagged & ~judged_b.flagged, judged_b.flagged & ~judged_a.flagged
    features = {spec.name: (spec, column) for spec, column in zip(pair.b.features, judged_b.values.T, strict=True)}
    features |= {spec.name: (spec, column) for spec, column in zip(pair.a.features, judged_a.values.T, strict=True)}
    specs = tuple(spec for spec, _ in features.values())
    columns = np.stack([column for _, column in features.values()], axis=1)
    return ModelComparison(
        a=_model(pair.a, pair.telemetry_a, judged_a, flags.rate_a),
        b=_model(pair.b, pair.telemetry_b, judged_b, flags.rate_b),
        rows=_row_counts(pair),
        flagged_difference=flags.difference,
        agreement=flags.agreement,
        severity_confusion=severity_confusion(judged_a.severity, judged_b.severity),
        score_agreement=score_agreement(judged_a.scores, judged_b.scores),
        feature_shift=(
            *feature_shift("A", pair.a.features, judged_a.values),
            *feature_shift("B", pair.b.features, judged_b.values),
        ),
        flagged_contrast=flagged_contrast(specs, columns, a_only, b_only),
        labelled=None
        if labels is None
        else labelled_comparison(
            (judged_a.scores, judged_b.scores), (judged_a.flagged, judged_b.flagged), labels, bootstrap, confidence
        ),
        latency=measure_latency(pair.a, pair.b, judged_a.values, judged_b.values) if measure_speed else None,
        method=Method(
            confidence=confidence,
            resamples=resamples,
            block_rows=block_rows,
            blocks=bootstrap.blocks,
            left_out=bootstrap.why_none(),
            recordings=sum(count > 0 for count in pair.recordings),
            seed=seed,
        ),
        row_values=_row_values(pair, judged_a, judged_b),
    )


def _tables(data: Any) -> list[Any]:
    """``data`` as a list of recordings; a list of numbers or of rows is one table."""
    if isinstance(data, (list, tuple)) and data:
        kinds = [hasattr(each, "columns") or isinstance(each, Mapping) or np.ndim(each) == 2 for each in data]
        if all(kinds):
            return list(data)
    return [data]


def _refuse_nameless(a: Subject, b: Subject, tables: list[Any]) -> None:
    """Columns without names mean A's to A and B's to B: fine only where these are the same."""
    names_a, names_b = ([spec.name for spec in subject.features] for subject in (a, b))
    nameless = any(isinstance(table, (list, np.ndarray)) and not _field_names(table) for table in tables)
    if nameless and names_a != names_b:
        raise TelemetryError(
            f"the models read different columns, {', '.join(names_a)} and {', '.join(names_b)}: give a table with names"
        )


def _field_names(table: Any) -> tuple[str, ...] | None:
    names: tuple[str, ...] | None = getattr(getattr(table, "dtype", None), "names", None)
    return names


def _joined(parts: list[Telemetry]) -> Telemetry:
    if len(parts) == 1:
        return parts[0]
    values, valid = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "valid"))
    return Telemetry(parts[0].names, values, valid)


def _labels(labels: Any, tables: list[Any], compared: BoolArray) -> Labels:
    """The labels of the compared rows."""
    if isinstance(labels, str):
        parts = [read_labels(label_column(table, labels)) for table in tables]
        read = Labels(np.concatenate([part.fault for part in parts]), sum((part.name for part in parts), ()))
    else:
        read = read_labels(labels)
    if len(read) != len(compared):
        raise TelemetryError(f"there are {len(read)} label(s) for {len(compared)} row(s): give one a row")
    return read.of_rows(compared)


def _judged(subject: Subject, telemetry: Telemetry, compared: BoolArray) -> _Judged:
    values = np.ascontiguousarray(telemetry.values[compared])
    verdicts = subject.verdicts(values)
    return _Judged(values, verdicts.score_samples, verdicts.severity, verdicts.anomalous)


def _series(flagged_a: BoolArray, flagged_b: BoolArray, labels: Labels | None) -> list[FloatArray]:
    """What the length of the blocks is taken from: every series that a statistic is made of."""
    series = [flagged_a, flagged_b, flagged_a != flagged_b]
    if labels is not None:
        series.append(labels.fault)
    return [each.astype(np.float64) for each in series]


def _model(subject: Subject, telemetry: Telemetry, judged: _Judged, flagged: Rate) -> ComparedModel:
    quantiles = np.quantile(judged.scores, [0.0, 0.05, 0.5, 0.95, 1.0])
    return ComparedModel(
        name=subject.name,
        version=subject.version,
        features=tuple(spec.name for spec in subject.features),
        critical_threshold=subject.thresholds.critical,
        warning_threshold=subject.thresholds.warning,
        offset=subject.offset,
        training_rows=subject.training_rows,
        invalid_rows=telemetry.invalid_count,
        flagged=flagged,
        scores=ScoreDistribution(*quantiles.tolist()),
    )


def _row_counts(pair: _Pair) -> RowCounts:
    valid_a, valid_b = pair.telemetry_a.valid, pair.telemetry_b.valid
    return RowCounts(
        given=len(valid_a),
        compared=int(pair.compared.sum()),
        invalid_in_both=int((~valid_a & ~valid_b).sum()),
        invalid_in_a_only=int((~valid_a & valid_b).sum()),
        invalid_in_b_only=int((valid_a & ~valid_b).sum()),
    )


def _row_values(pair: _Pair, a: _Judged, b: _Judged) -> ComparedRows:
    axis = time_axis(pair.tables)
    return ComparedRows(
        scores_a=a.scores,
        scores_b=b.scores,
        flagged_a=a.flagged,
        flagged_b=b.flagged,
        fault=None if pair.labels is None else pair.labels.fault,
        position=np.flatnonzero(pair.compared),
        time=None if axis is None else axis.seconds[pair.compared],
        time_is_date=axis is not None and axis.is_date,
    )
