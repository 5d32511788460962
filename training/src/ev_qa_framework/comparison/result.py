"""What a comparison of two models says: frozen dataclasses, and their plain JSON form.

A is the first model, B the second; every difference is B minus A. None stands for what is not defined, such as a
precision where nothing was flagged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.severity import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its block-bootstrap interval; None where one or the other is not defined."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` of ``rows`` rows. ``wilson`` takes rows as independent, ``blocks`` (bootstrap) does not."""

    count: int
    rows: int
    rate: float
    wilson: Interval
    blocks: Interval | None


@dataclass(frozen=True, slots=True)
class RateDifference:
    """Rate of B minus rate of A on the same rows. ``newcombe`` takes rows as independent, ``blocks`` does not."""

    value: float
    newcombe: Interval
    blocks: Interval | None


@dataclass(frozen=True, slots=True)
class ScoreDistribution:
    """Quantiles of ``score_samples`` over the compared rows; lower is more anomalous."""

    minimum: float
    p05: float
    median: float
    p95: float
    maximum: float


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One of the two models and what it says by itself. ``name`` and ``version`` are None before its first save."""

    name: str | None
    version: str | None
    features: tuple[str, ...]
    critical_threshold: float
    warning_threshold: float
    offset: float
    training_rows: int
    invalid_rows: int
    flagged: Rate
    scores: ScoreDistribution


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows given, and rows compared: those valid for both models. INVALID rows are counted apart."""

    given: int
    compared: int
    invalid_in_both: int
    invalid_in_a_only: int
    invalid_in_b_only: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far both flag the same rows.

    ``same_flag`` is the share of rows that both flag or neither does; ``kappa`` Cohen's; ``jaccard`` the rows that
    both flag of those that any does, None where none does.
    """

    same_flag: Rate
    kappa: Estimate
    jaccard: float | None
    both: int
    a_only: int
    b_only: int
    neither: int


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """Rank correlations of the scores, None where a model scores every row the same; absolute differences."""

    spearman: float | None
    kendall_tau_b: float | None
    mean_difference: float
    largest_difference: float


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature in the compared data against a model's training data, in the feature's unit.

    ``shift_std`` is the difference of the means in standard deviations of the training data; ``std_ratio`` the
    data's standard deviation by that of training; ``outside_share`` the rows outside the trained range.
    """

    model: str
    feature: str
    unit: str | None
    mean: float
    std: float
    training_mean: float | None
    training_std: float | None
    shift_std: float | None
    std_ratio: float | None
    outside_share: float | None


@dataclass(frozen=True, slots=True)
class FlaggedContrast:
    """One feature's mean over rows that only A flags and rows that only B flags, None where there are none.

    ``difference_std`` is B-only minus A-only in standard deviations of the compared data.
    """

    feature: str
    unit: str | None
    mean_a_only: float | None
    mean_b_only: float | None
    difference_std: float | None


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a model is on this machine. ``call`` judges one reading; batches go through ``verdicts``."""

    call: str
    one_row_median_us: float
    one_row_p95_us: float
    batch_median_ms: float
    batch_p95_ms: float
    rows_per_second: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Speed of both, measured in turns. The ratios are medians of B's time by A's within a turn."""

    a: Speed
    b: Speed
    batch_rows: int
    one_row_ratio: float
    batch_ratio: float


@dataclass(frozen=True, slots=True)
class DetectionQuality:
    """One model's flags and scores against the labels."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    roc_auc: Estimate
    average_precision: Estimate


@dataclass(frozen=True, slots=True)
class QualityDifference:
    """B minus A of each measure, resampled in pairs."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    roc_auc: Estimate
    average_precision: Estimate


@dataclass(frozen=True, slots=True)
class FaultRecall:
    """Share of the rows labelled ``fault`` that each model flags."""

    fault: str
    rows: int
    recall_a: float
    recall_b: float


@dataclass(frozen=True, slots=True)
class LabelledComparison:
    """What the labels say of both; ``by_fault`` where they name more than one kind."""

    faults: int
    a: DetectionQuality
    b: DetectionQuality
    difference: QualityDifference
    by_fault: tuple[FaultRecall, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """How the intervals were made: see ``docs/comparison.md``.

    ``blocks`` is how many blocks the rows make; where they are too few, ``left_out`` says why there are no intervals
    by blocks.
    """

    confidence: float
    resamples: int
    block_rows: int
    blocks: int
    left_out: str | None
    recordings: int
    seed: int


@dataclass(frozen=True, slots=True)
class ComparedRows:
    """The compared rows one by one, all [N]; for plots, not part of the JSON.

    ``fault`` is None without labels. ``position`` counts rows of the data given; ``time`` is seconds or POSIX seconds
    where there is a column of times that never runs backwards.
    """

    scores_a: FloatArray
    scores_b: FloatArray
    flagged_a: BoolArray
    flagged_b: BoolArray
    fault: BoolArray | None
    position: IntArray
    time: FloatArray | None
    time_is_date: bool


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Two models on the same rows.

    ``severity_confusion[i][j]`` counts the rows that A calls ``SEVERITY_OF_CODE[i]`` (INFO, WARNING, CRITICAL) and B
    ``SEVERITY_OF_CODE[j]``. ``latency`` and ``labelled`` are None where not asked for.
    """

    a: ComparedModel
    b: ComparedModel
    rows: RowCounts
    flagged_difference: RateDifference
    agreement: Agreement
    severity_confusion: tuple[tuple[int, ...], ...]
    score_agreement: ScoreAgreement
    feature_shift: tuple[FeatureShift, ...]
    flagged_contrast: tuple[FlaggedContrast, ...]
    labelled: LabelledComparison | None
    latency: Latency | None
    method: Method
    row_values: ComparedRows = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the rows; never NaN or infinity, which become None."""
        return {name: value for name, value in plain(self).items() if name != "row_values"}


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """One result dictionary of ``analyze_telemetry``; ``flagged`` is of the rows that could be judged."""

    rows: int
    invalid_rows: int
    flagged: Rate
    severity: str
    warning_rows: int | None
    critical_rows: int | None
    lowest_score: float | None


@dataclass(frozen=True, slots=True)
class SummaryComparison:
    """What two result dictionaries say of two models without the rows.

    ``difference`` is B's flagged rate minus A's. ``interval`` takes both batches as independent rows: which rows were
    flagged by both is not in a summary, so for one batch scored twice it is usually wider than need be.
    """

    a: ResultSummary
    b: ResultSummary
    difference: float
    interval: Interval
    same_severity: bool
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        values: dict[str, Any] = plain(self)
        return values


def plain(value: Any) -> Any:
    """Dataclasses, tuples and numbers as JSON has them; NaN and infinities as None."""
    if is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, ComparedRows):
            return None
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
