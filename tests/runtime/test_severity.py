"""Cuts on the path length stand exactly for thresholds on the score."""

from __future__ import annotations

import math
import sys

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.contract import ScoringRule, Thresholds
from ev_qa_runtime.severity import (
    SEVERITY_OF_CODE,
    Severity,
    labels,
    path_length_cut,
    scores_from_path_length,
    scoring_rule,
    severity_codes,
    severity_codes_of_scores,
)

LARGEST = sys.float_info.max
thresholds = st.floats(-1.0, 0.0, exclude_min=True, exclude_max=True, allow_subnormal=False)
denominators = st.floats(1.0, 1e5)


def score(path_length: float, denominator: float) -> float:
    return float(scores_from_path_length(np.array([path_length]), denominator)[0])


@given(thresholds, denominators)
def test_a_score_is_below_the_threshold_exactly_where_the_path_is_below_the_cut(
    threshold: float, denominator: float
) -> None:
    cut = path_length_cut(threshold, denominator)
    assert score(cut, denominator) >= threshold
    if cut > 0:
        assert score(math.nextafter(cut, 0.0), denominator) < threshold
    assert score(math.nextafter(cut, math.inf), denominator) >= threshold


@given(thresholds, denominators, hnp.arrays(np.float64, 50, elements=st.floats(0.0, 1e6)))
def test_the_cut_decides_like_the_threshold_for_any_path(
    threshold: float, denominator: float, paths: np.ndarray
) -> None:
    below_threshold = scores_from_path_length(paths, denominator) < threshold
    assert np.array_equal(below_threshold, paths < path_length_cut(threshold, denominator))


@given(thresholds, thresholds, denominators)
def test_a_lower_threshold_has_a_lower_cut(one: float, other: float, denominator: float) -> None:
    low, high = sorted((one, other))
    assert path_length_cut(low, denominator) <= path_length_cut(high, denominator)


@given(st.floats(-1e9, -1.0), denominators)
def test_no_path_is_below_the_cut_of_a_threshold_that_no_score_is_below(threshold: float, denominator: float) -> None:
    assert path_length_cut(threshold, denominator) == 0.0


@given(st.floats(0.0, 1e9, exclude_min=True), denominators)
def test_every_path_is_below_the_cut_of_a_positive_threshold(threshold: float, denominator: float) -> None:
    assert path_length_cut(threshold, denominator) == LARGEST


def test_the_cut_of_threshold_zero_lies_where_the_score_vanishes() -> None:
    cut = path_length_cut(0.0, 1000.0)
    assert score(math.nextafter(cut, 0.0), 1000.0) < 0.0
    assert score(cut, 1000.0) == 0.0
    assert cut > 1e6  # more than any forest's sum


@pytest.mark.parametrize(("threshold", "cut"), [(-0.4, LARGEST), (-0.5, 0.0), (-0.6, 0.0)])
def test_trees_of_one_sample_score_every_row_minus_a_half(threshold: float, cut: float) -> None:
    assert scores_from_path_length(np.array([0.0, 1.0, 1e300]), 0.0).tolist() == [-0.5, -0.5, -0.5]
    assert path_length_cut(threshold, 0.0) == cut


def test_scores_are_minus_two_to_the_minus_path_over_denominator() -> None:
    paths = np.array([[0.0, 100.0], [200.0, 300.0]])
    assert scores_from_path_length(paths, 100.0).tolist() == [[-1.0, -0.5], [-0.25, -0.125]]


@given(
    st.tuples(thresholds, thresholds).map(sorted),
    thresholds,
    denominators,
    hnp.arrays(np.float64, 50, elements=st.floats(0.0, 1e6)),
)
def test_severities_of_paths_and_of_scores_agree(
    pair: list[float], offset: float, denominator: float, paths: np.ndarray
) -> None:
    limits = Thresholds(critical=pair[0], warning=pair[1])
    rule = scoring_rule(offset, denominator, limits)
    cuts = [rule.offset_cut, rule.warning_cut, rule.critical_cut]
    paths = np.concatenate([paths, cuts, np.nextafter(cuts, 0.0), np.nextafter(cuts, np.inf)])
    scores = scores_from_path_length(paths, denominator)
    assert np.array_equal(severity_codes(paths, rule), severity_codes_of_scores(scores, limits))
    assert np.array_equal(labels(paths, rule) == -1, scores < offset)


def test_comparisons_with_thresholds_are_strict() -> None:
    limits = Thresholds(critical=-0.75, warning=-0.5)
    scores = np.array([-0.5, np.nextafter(-0.5, -1.0), -0.75, np.nextafter(-0.75, -1.0), -1.0, -0.1])
    assert severity_codes_of_scores(scores, limits).tolist() == [0, 1, 1, 2, 2, 0]


def test_comparisons_with_cuts_are_strict() -> None:
    rule = ScoringRule(-0.5, 100.0, offset_cut=90.0, warning_cut=100.0, critical_cut=40.0)
    paths = np.array([100.0, np.nextafter(100.0, 0), 40.0, np.nextafter(40.0, 0)])
    assert severity_codes(paths, rule).tolist() == [0, 1, 1, 2]
    assert labels(np.array([90.0, np.nextafter(90.0, 0)]), rule).tolist() == [1, -1]


def test_equal_thresholds_leave_no_warning() -> None:
    limits = Thresholds(critical=-0.5, warning=-0.5)
    assert severity_codes_of_scores(np.array([-0.4, -0.5, -0.6]), limits).tolist() == [0, 0, 2]


def test_results_are_int64_and_inputs_untouched() -> None:
    paths = np.array([1.0, 1e4])
    rule = scoring_rule(-0.5, 100.0, Thresholds())
    assert severity_codes(paths, rule).dtype == labels(paths, rule).dtype == np.int64
    assert paths.tolist() == [1.0, 1e4]


def test_severity_codes_count_upwards() -> None:
    assert SEVERITY_OF_CODE == (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
    assert f"{Severity.INVALID}" == "INVALID"
