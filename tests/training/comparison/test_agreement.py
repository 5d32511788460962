"""Agreement of flags, severities and scores: a case worked by hand, scikit-learn's and scipy's figures, and rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix, jaccard_score

from ev_qa_framework.comparison.agreement import flag_agreement, score_agreement, severity_confusion
from ev_qa_framework.comparison.intervals import BlockBootstrap
from ev_qa_framework.comparison.result import Interval

FLAGS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def both_of(pairs: list[tuple[bool, bool]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs, dtype=bool).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def bootstrap(rows: int) -> BlockBootstrap:
    return BlockBootstrap([rows], 2, 100, 0)


def test_by_hand() -> None:
    """Ten rows: both flag 2, A only 1, B only 3, neither 4.

    Same flag 6/10. By chance 0.3 × 0.5 + 0.7 × 0.5 = 0.5; kappa (0.6 − 0.5) / (1 − 0.5) = 0.2. Jaccard 2/6.
    """
    flagged_a = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
    flagged_b = np.array([1, 1, 0, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    found = flag_agreement(flagged_a, flagged_b, bootstrap(10), 0.95)
    assert (found.rate_a.count, found.rate_a.rows, found.rate_a.rate) == (3, 10, 0.3)
    assert found.rate_b.rate == 0.5
    assert found.difference.value == pytest.approx(0.2)
    agreement = found.agreement
    assert (agreement.both, agreement.a_only, agreement.b_only, agreement.neither) == (2, 1, 3, 4)
    assert agreement.same_flag.rate == 0.6
    assert agreement.kappa.value == pytest.approx(0.2)
    assert agreement.jaccard == pytest.approx(1 / 3)


@given(FLAGS)
@settings(deadline=None)
def test_the_figures_are_scikit_learns(pairs: list[tuple[bool, bool]]) -> None:
    flagged_a, flagged_b = both_of(pairs)
    found = flag_agreement(flagged_a, flagged_b, bootstrap(len(pairs)), 0.95).agreement
    if len({*flagged_a.tolist(), *flagged_b.tolist()}) == 2:
        assert found.kappa.value == pytest.approx(cohen_kappa_score(flagged_a, flagged_b))
    if flagged_a.any() or flagged_b.any():
        assert found.jaccard == pytest.approx(jaccard_score(flagged_a, flagged_b))
    else:
        assert found.jaccard is None


@given(FLAGS)
@settings(deadline=None)
def test_counts_add_up_and_intervals_hold_what_they_are_of(pairs: list[tuple[bool, bool]]) -> None:
    flagged_a, flagged_b = both_of(pairs)
    found = flag_agreement(flagged_a, flagged_b, bootstrap(len(pairs)), 0.9)
    agreement = found.agreement
    assert agreement.both + agreement.a_only + agreement.b_only + agreement.neither == len(pairs)
    assert agreement.same_flag.count == agreement.both + agreement.neither
    for rate in (found.rate_a, found.rate_b, agreement.same_flag):
        assert rate.rate in rate.wilson
        assert rate.blocks is None or rate.rate in rate.blocks
    assert found.difference.value in found.difference.newcombe
    assert found.difference.blocks is None or found.difference.value in found.difference.blocks
    assert agreement.kappa.value is not None
    assert agreement.kappa.interval is None or agreement.kappa.value in agreement.kappa.interval


@given(FLAGS)
@settings(deadline=None)
def test_swapping_the_models_mirrors_everything(pairs: list[tuple[bool, bool]]) -> None:
    flagged_a, flagged_b = both_of(pairs)
    one = flag_agreement(flagged_a, flagged_b, bootstrap(len(pairs)), 0.95)
    other = flag_agreement(flagged_b, flagged_a, bootstrap(len(pairs)), 0.95)
    assert (one.rate_a, one.rate_b) == (other.rate_b, other.rate_a)
    assert one.difference.value == -other.difference.value
    assert one.difference.newcombe.low == pytest.approx(-other.difference.newcombe.high, abs=1e-12)
    if one.difference.blocks is not None:
        assert isinstance(other.difference.blocks, Interval)
        assert one.difference.blocks.low == pytest.approx(-other.difference.blocks.high, abs=1e-12)
    assert one.agreement.kappa.value == pytest.approx(other.agreement.kappa.value)
    assert one.agreement.same_flag == other.agreement.same_flag


@pytest.mark.parametrize("flags", [[True] * 5, [False] * 5, [True, False, True, False, False]])
def test_a_model_agrees_with_itself(flags: list[bool]) -> None:
    flagged = np.array(flags)
    found = flag_agreement(flagged, flagged, bootstrap(5), 0.95)
    assert (found.agreement.same_flag.rate, found.agreement.kappa.value, found.difference.value) == (1.0, 1.0, 0.0)
    assert found.agreement.kappa.interval is None
    assert found.difference.blocks is None


def test_flags_that_never_agree() -> None:
    flagged = np.array([True, False, True, False])
    found = flag_agreement(flagged, ~flagged, bootstrap(4), 0.95).agreement
    assert (found.same_flag.rate, found.kappa.value, found.jaccard) == (0.0, -1.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=80))
def test_severity_confusion_is_scikit_learns_and_sums_to_the_rows(pairs: list[tuple[int, int]]) -> None:
    severity_a, severity_b = np.array(pairs).T
    found = severity_confusion(severity_a, severity_b)
    np.testing.assert_array_equal(found, confusion_matrix(severity_a, severity_b, labels=[0, 1, 2]))
    assert sum(map(sum, found)) == len(pairs)
    np.testing.assert_array_equal(np.transpose(found), severity_confusion(severity_b, severity_a))


def test_rank_correlations_by_hand() -> None:
    """Ranks 1 2 3 4 and 2 1 4 3: rho = 1 − 6 × 4 / (4 × 15) = 0.6; four of six pairs agree: tau = (4 − 2) / 6."""
    found = score_agreement(np.array([-0.9, -0.8, -0.7, -0.6]), np.array([-0.8, -0.9, -0.6, -0.7]))
    assert found.spearman == pytest.approx(0.6)
    assert found.kendall_tau_b == pytest.approx(1 / 3)
    assert (found.mean_difference, found.largest_difference) == pytest.approx((0.1, 0.1))


def test_ties_are_counted_as_tau_b_does() -> None:
    """Pairs of (1, 1, 2) against (1, 2, 3): two agree, one is tied in the first: 2 / √(2 × 3)."""
    found = score_agreement(np.array([-1.0, -1.0, -0.5]), np.array([-0.9, -0.8, -0.7]))
    assert found.kendall_tau_b == pytest.approx(2 / 6**0.5)


@pytest.mark.parametrize("rows", [1, 4])
def test_scores_that_never_vary_have_no_correlation(rows: int) -> None:
    found = score_agreement(np.full(rows, -0.5), np.linspace(-0.9, -0.4, rows))
    assert (found.spearman, found.kendall_tau_b) == (None, None)


@given(st.lists(st.sampled_from([-0.9, -0.7, -0.5, -0.45, -0.4]), min_size=2, max_size=40))
def test_a_score_ranks_as_itself(scores: list[float]) -> None:
    found = score_agreement(np.array(scores), np.array(scores))
    assert (found.mean_difference, found.largest_difference) == (0.0, 0.0)
    if len(set(scores)) > 1:
        assert (found.spearman, found.kendall_tau_b) == pytest.approx((1.0, 1.0))
        assert found.spearman <= 1.0
