"""Path lengths and scores → labels and severities.

Score: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, equation 2, negated as scikit-learn does. The functions here
are vectorised, return fresh arrays and never change their input.
"""

from __future__ import annotations

import sys
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.contract import Profile, ScoringRule, Thresholds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Severity(StrEnum):
    """How bad a reading or a batch is. ``INVALID``: a reading that could not be judged, which is never normal."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    INVALID = "INVALID"


SEVERITY_OF_CODE = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
"""Severity by the code that arrays and the ONNX output ``severity`` use: 0, 1, 2."""

_TWO = np.array(2.0)

COMPAT_TOLERANCE = 2.0**-36
"""How far path lengths of the ``compat`` profile may be from the true ones, relatively."""

_AROUND_A_CUT = np.array([1.0 - 1e-9, 1.0 + 1e-9])
_CUT_ULP = 4
_LARGEST_CUT = sys.float_info.max / 2

INVALID_CODE = -1
"""Code of an INVALID row in arrays of severities."""


def scores_from_path_length(path_length: FloatArray, denominator: float) -> FloatArray:
    """``score_samples`` in [-1, 0) from summed path lengths: float64, any shape → same shape.

    Computed with numpy exactly as scikit-learn does, so that on one machine both give the same bits.
    """
    if denominator == 0.0:
        return np.full(path_length.shape, -0.5)
    scores: FloatArray = np.negative(np.power(2.0, np.negative(np.divide(path_length, denominator))))
    return scores


def score_from_path_length(path_length: float, denominator: float) -> float:
    """:func:`scores_from_path_length` of one sum, with the same bits.

    The power goes through numpy's array loop, on an array without dimensions: Python's own and numpy's scalar power
    are the C library's, which may differ from it in the last bit.
    """
    if denominator == 0.0:
        return -0.5
    return -float(np.power(_TWO, path_length / -denominator))


def path_length_cut(threshold: float, denominator: float) -> float:
    """The summed path length that ``threshold`` stands for: scores lie below it exactly where sums are below the cut.

    Found by bisection over the doubles, since the score rises with the sum. Returns 0.0 where no row can score below
    the threshold, the largest double where every row does.
    """
    low, high = 0, int(np.float64(sys.float_info.max).view(np.int64))
    while low < high:
        middle = (low + high) // 2
        path_length = np.array([middle], dtype=np.int64).view(np.float64)
        if scores_from_path_length(path_length, denominator)[0] < threshold:
            low = middle + 1
        else:
            high = middle
    return float(np.int64(low).view(np.float64))


def scoring_rule(offset: float, denominator: float, thresholds: Thresholds, profile: Profile = "exact") -> ScoringRule:
    """The rule with the cuts of ``offset`` and both thresholds worked out.

    Sums of the ``compat`` profile are within 2**-38 of the true ones, relatively: there the cuts are lowered a little,
    so that a row whose score equals the offset, as training rows often do, does not fall below it by rounding.
    """
    lowering = 1.0 if profile == "exact" else 1.0 - COMPAT_TOLERANCE
    return ScoringRule(
        offset=offset,
        denominator=denominator,
        offset_cut=path_length_cut(offset, denominator) * lowering,
        warning_cut=path_length_cut(thresholds.warning, denominator) * lowering,
        critical_cut=path_length_cut(thresholds.critical, denominator) * lowering,
    )


def contradicting_cut(rule: ScoringRule, thresholds: Thresholds) -> str | None:
    """The name of a cut that is not where scores cross its threshold, or None.

    Cuts come from another machine, whose power may differ in the last bit, and those of ``compat`` are lowered: each
    may be off by a billionth, and the score there by 4 ulp.
    """
    cuts = {
        "offset_cut": (rule.offset_cut, rule.offset),
        "warning_cut": (rule.warning_cut, thresholds.warning),
        "critical_cut": (rule.critical_cut, thresholds.critical),
    }
    for name, (cut, threshold) in cuts.items():
        with np.errstate(all="ignore"):  # the largest double is a cut, too
            below, above = scores_from_path_length(cut * _AROUND_A_CUT, rule.denominator)
        slack = _CUT_ULP * float(np.spacing(abs(threshold)))
        never_reached = cut > _LARGEST_CUT  # every row scores below the threshold
        too_high = cut > 0.0 and below >= threshold + slack
        if cut < 0.0 or too_high or (above < threshold - slack and not never_reached):
            return name
    return None


def labels(path_length: FloatArray, rule: ScoringRule) -> IntArray:
    """scikit-learn's ``predict`` for each sum: 1 inlier, −1 anomaly."""
    return np.where(path_length < rule.offset_cut, np.int64(-1), np.int64(1))


def severity_codes(path_length: FloatArray, rule: ScoringRule) -> IntArray:
    """0 INFO, 1 WARNING, 2 CRITICAL for each sum."""
    return (path_length < rule.warning_cut).astype(np.int64) + (path_length < rule.critical_cut)


def severity_codes_of_scores(score_samples: FloatArray, thresholds: Thresholds) -> IntArray:
    """0 INFO, 1 WARNING, 2 CRITICAL for each score; the same as :func:`severity_codes` where scores were computed."""
    return (score_samples < thresholds.warning).astype(np.int64) + (score_samples < thresholds.critical)
