"""Flags and scores against labels: precision, recall, F1, ROC-AUC, average precision, each with an interval.

The intervals come from the block bootstrap, not from DeLong's formula or a bootstrap of single rows: faults last for
minutes, so rows labelled faulty come in runs, and formulas for independent rows would claim far more certainty than
there is. Both models are measured on the same resamples, which makes the differences paired.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ev_qa_framework.comparison.intervals import BlockBootstrap, estimated
from ev_qa_framework.comparison.labels import Labels
from ev_qa_framework.comparison.result import (
    BoolArray,
    DetectionQuality,
    Estimate,
    FaultRecall,
    LabelledComparison,
    QualityDifference,
)
from ev_qa_runtime.severity import FloatArray

MEASURES = ("precision", "recall", "f1", "roc_auc", "average_precision")


class RankedScores:
    """Scores in order, so that weighted ROC-AUC and average precision of many resamples take one pass each."""

    def __init__(self, score_samples: FloatArray, fault: BoolArray) -> None:
        self._order = np.argsort(score_samples, kind="stable")  # the most anomalous first
        ordered = score_samples[self._order]
        self._fault = fault[self._order].astype(np.float64)
        self._ties = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))  # where each score begins

    def areas(self, weights: FloatArray) -> tuple[float, float]:
        """ROC-AUC and average precision of rows weighted float64 [N]; NaN where faults or normal rows have no weight.

        AUC counts ties half (Hanley, McNeil, Radiology 143, 1982). Average precision is the sum over thresholds of
        recall gained times precision, as ``sklearn.metrics.average_precision_score`` has it.
        """
        weighted = weights[self._order]
        gained = np.add.reduceat(weighted * self._fault, self._ties)
        more = np.add.reduceat(weighted, self._ties)
        faults, flagged = np.cumsum(gained), np.cumsum(more)
        normals = flagged[-1] - faults[-1]
        if faults[-1] <= 0.0 or normals <= 0.0:
            return np.nan, np.nan
        auc = float(((more - gained) * (faults - gained / 2.0)).sum() / (faults[-1] * normals))
        precision = faults / np.maximum(flagged, np.finfo(np.float64).tiny)
        return auc, float((gained * precision).sum() / faults[-1])


def labelled_comparison(
    scores: tuple[FloatArray, FloatArray],
    flagged: tuple[BoolArray, BoolArray],
    labels: Labels,
    bootstrap: BlockBootstrap,
    level: float,
) -> LabelledComparison:
    """Both models against labels of the same rows; first of each pair is A's. ``level`` as in 0.95."""
    fault = labels.fault
    resampled = _resampled(scores, flagged, fault, bootstrap)
    qualities = [
        _quality(_observed(scores[which], flagged[which], fault), resampled[which], flagged[which], fault, level)
        for which in (0, 1)
    ]
    a, b = qualities
    return LabelledComparison(
        faults=int(fault.sum()),
        a=a,
        b=b,
        difference=QualityDifference(
            **{
                name: _difference(getattr(a, name), getattr(b, name), resampled[1][name] - resampled[0][name], level)
                for name in MEASURES
            }
        ),
        by_fault=_by_fault(flagged, labels),
    )


def _observed(scores: FloatArray, flagged: BoolArray, fault: BoolArray) -> dict[str, float | None]:
    counts = np.array([np.count_nonzero(fault & flagged), np.count_nonzero(~fault & flagged), np.count_nonzero(fault)])
    found = {name: float(values[0]) for name, values in _of_counts(counts[:, np.newaxis].astype(np.float64)).items()}
    found |= {"roc_auc": np.nan, "average_precision": np.nan}
    if fault.any() and not fault.all():
        found["roc_auc"] = float(roc_auc_score(fault, -scores))
        found["average_precision"] = float(average_precision_score(fault, -scores))
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def _of_counts(counts: FloatArray) -> dict[str, FloatArray]:
    """Precision, recall and F1 of true positives, false positives and faults, [3, R]; NaN where not defined."""
    true_positives, false_positives, faults = counts
    with np.errstate(invalid="ignore"):
        return {
            "precision": true_positives / (true_positives + false_positives),
            "recall": true_positives / faults,
            "f1": 2.0 * true_positives / (true_positives + false_positives + faults),
        }


def _resampled(
    scores: tuple[FloatArray, FloatArray],
    flagged: tuple[BoolArray, BoolArray],
    fault: BoolArray,
    bootstrap: BlockBootstrap,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Every measure of both models in every resample, [resamples] each."""
    cells = [fault & flagged[0], ~fault & flagged[0], fault & flagged[1], ~fault & flagged[1], fault]
    a_hits, a_false, b_hits, b_false, faults = bootstrap.sums(np.stack(cells, axis=1).astype(np.float64)).T
    measures_a = _of_counts(np.stack([a_hits, a_false, faults]))
    measures_b = _of_counts(np.stack([b_hits, b_false, faults]))
    ranked = [RankedScores(each, fault) for each in scores]
    areas = np.array([[each.areas(weights) for each in ranked] for weights in bootstrap.weights()]).reshape(-1, 2, 2)
    for which, measures in enumerate((measures_a, measures_b)):
        measures["roc_auc"], measures["average_precision"] = areas[:, which].T
    return measures_a, measures_b


def _quality(
    observed: dict[str, float | None],
    resampled: dict[str, FloatArray],
    flagged: BoolArray,
    fault: BoolArray,
    level: float,
) -> DetectionQuality:
    return DetectionQuality(
        true_positives=int(np.count_nonzero(fault & flagged)),
        false_positives=int(np.count_nonzero(~fault & flagged)),
        false_negatives=int(np.count_nonzero(fault & ~flagged)),
        true_negatives=int(np.count_nonzero(~fault & ~flagged)),
        **{name: estimated(observed[name], resampled[name], level) for name in MEASURES},
    )


def _difference(a: Estimate, b: Estimate, resampled: FloatArray, level: float) -> Estimate:
    value = None if a.value is None or b.value is None else b.value - a.value
    return estimated(value, resampled, level)


def _by_fault(flagged: tuple[BoolArray, BoolArray], labels: Labels) -> tuple[FaultRecall, ...]:
    names = labels.fault_names()
    if len(names) < 2:
        return ()
    name_of_row = np.array(labels.name, dtype=object)
    found = []
    for name in names:
        rows = name_of_row == name
        found.append(FaultRecall(name, int(rows.sum()), float(flagged[0][rows].mean()), float(flagged[1][rows].mean())))
    return tuple(found)
