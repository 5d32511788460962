"""Parity: the scikit-learn Pipeline and its ONNX twin on the same rows, compared to the last bit.

The unit is the ulp, the distance between neighbouring doubles: 0 means the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline

from ev_qa_framework.backends import pipeline_scores
from ev_qa_framework.export import export_steps, folded_forest
from ev_qa_framework.folding import from_ordered_bits, ordered_bits, to_float32, transform_rows
from ev_qa_framework.forest import FlatForest, path_length
from ev_qa_runtime.contract import GoldenRows, ParityRecord, ScoringRule, Thresholds
from ev_qa_runtime.severity import (
    FloatArray,
    IntArray,
    labels,
    scores_from_path_length,
    severity_codes,
    severity_codes_of_scores,
)

GOLDEN_COUNT = 16
WILD_READINGS = (0.0, -0.0, 5e-324, -5e-324, 1e-30, 1e30, -1e30, 3.5e38, -3.5e38, 1e300, -1e300)


@dataclass(frozen=True, slots=True)
class Scored:
    """What one engine says of N rows: ``score_samples`` float64, ``label`` ±1 and ``severity`` 0/1/2 int64, all [N]."""

    score_samples: FloatArray
    label: IntArray
    severity: IntArray


def ulp_distance(left: FloatArray, right: FloatArray) -> IntArray:
    """Distance of two float64 arrays in ulp, elementwise; NaN equals NaN only."""
    both_nan = np.isnan(left) & np.isnan(right)
    one_nan = np.isnan(left) ^ np.isnan(right)
    a, b = ordered_bits(left), ordered_bits(right)
    distance = np.maximum(a, b) - np.minimum(a, b)
    return np.where(both_nan, 0, np.where(one_nan, np.iinfo(np.int64).max, distance))


def compare(reference: Scored, other: Scored) -> ParityRecord:
    """How far ``other`` is from ``reference``."""
    distance = ulp_distance(reference.score_samples, other.score_samples)
    return ParityRecord(
        rows=len(distance),
        max_ulp=int(distance.max(initial=0)),
        labels_differing=int(np.count_nonzero(reference.label != other.label)),
        severities_differing=int(np.count_nonzero(reference.severity != other.severity)),
    )


def scored_by_sklearn(pipeline: Pipeline, values: FloatArray, thresholds: Thresholds) -> Scored:
    """The reference: ``score_samples`` of the fitted Pipeline, and what follows from it."""
    scores = pipeline_scores(pipeline, values)
    offset = float(pipeline.steps[-1][1].offset_)
    label = np.where(scores - offset < 0, np.int64(-1), np.int64(1))
    return Scored(scores, label, severity_codes_of_scores(scores, thresholds))


def scored_from_path_length(path_lengths: FloatArray, rule: ScoringRule) -> Scored:
    """What the runtime says of rows with these summed path lengths."""
    scores = scores_from_path_length(path_lengths, rule.denominator)
    return Scored(scores, labels(path_lengths, rule), severity_codes(path_lengths, rule))


def adversarial_rows(
    pipeline: Pipeline, around: FloatArray, count: int, seed: int = 0, *, forest: FlatForest | None = None
) -> FloatArray:
    """Rows made to go wrong, float64 [count, F].

    Cells lie on split thresholds in raw units or one ulp to either side, are missing, denormal or huge; the others
    are those of random rows of ``around``. ``forest`` is the folded one, where the caller has it already.
    """
    rng = np.random.default_rng(seed)
    rows = around[rng.integers(0, len(around), count)].copy()
    forest = folded_forest(pipeline) if forest is None else forest
    for column in range(rows.shape[1]):
        splits = forest.threshold[(forest.column == column) & np.isfinite(forest.threshold)]
        if len(splits):
            near = ordered_bits(rng.choice(splits, count)) + rng.integers(-1, 2, count)
            rows[:, column] = np.where(rng.random(count) < 0.7, from_ordered_bits(near), rows[:, column])
    kind = rng.random(rows.shape)
    rows[kind < 0.03] = np.nan
    return np.where(kind > 0.97, rng.choice(WILD_READINGS, rows.shape), rows)


def golden_rows(
    pipeline: Pipeline, around: FloatArray, thresholds: Thresholds, *, forest: FlatForest | None = None
) -> GoldenRows:
    """Rows for the load-time self-test, with what scikit-learn says of them.

    Half are ordinary, from the lowest to the highest score, half adversarial.
    """
    order = np.argsort(pipeline_scores(pipeline, around), kind="stable")
    ordinary = around[order[np.linspace(0, len(around) - 1, GOLDEN_COUNT // 2).astype(int)]]
    rows = np.concatenate([ordinary, adversarial_rows(pipeline, around, GOLDEN_COUNT // 2, seed=1, forest=forest)])
    rows[-1, -1] = np.nan
    scored = scored_by_sklearn(pipeline, rows, thresholds)
    scaled = to_float32(transform_rows(export_steps(pipeline).folded, rows))
    return GoldenRows(
        readings=tuple(map(tuple, rows.tolist())),
        path_length=tuple(path_length(pipeline.steps[-1][1], scaled).tolist()),
        score_samples=tuple(scored.score_samples.tolist()),
        label=tuple(scored.label.tolist()),
        severity=tuple(scored.severity.tolist()),
    )
