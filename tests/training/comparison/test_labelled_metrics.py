"""Precision, recall, F1, ROC-AUC and average precision: by hand, against scikit-learn, and by rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from ev_qa_framework.comparison.intervals import BlockBootstrap
from ev_qa_framework.comparison.labelled_metrics import MEASURES, RankedScores, labelled_comparison
from ev_qa_framework.comparison.labels import Labels, label_column, read_labels
from ev_qa_framework.comparison.result import LabelledComparison
from ev_qa_runtime.errors import TelemetryError

SCORES = st.sampled_from([-0.9, -0.8, -0.7, -0.6, -0.5, -0.4])
ROWS = st.lists(st.tuples(SCORES, SCORES, st.booleans(), st.integers(0, 5)), min_size=2, max_size=60)


def labels_of(fault: np.ndarray) -> Labels:
    return read_labels(fault)


def compared(
    scores_a: np.ndarray, scores_b: np.ndarray, fault: np.ndarray, *, threshold: float = -0.55, block_rows: int = 3
) -> LabelledComparison:
    bootstrap = BlockBootstrap([len(fault)], block_rows, 200, 0)
    flagged = (scores_a < threshold, scores_b < threshold)
    return labelled_comparison((scores_a, scores_b), flagged, labels_of(fault), bootstrap, 0.95)


def test_by_hand() -> None:
    """Three faults, three normal rows. A flags two faults and one normal row, and ranks them fault, normal, fault, …

    Precision 2/3, recall 2/3, F1 2/3. Of the 9 pairs of a fault and a normal row A ranks 3 + 2 + 1 right: AUC 6/9.
    Average precision (1/1 + 2/3 + 3/5) / 3. B ranks every fault first: 1 throughout.
    """
    fault = np.array([True, False, True, False, True, False])
    a = np.array([-0.90, -0.80, -0.70, -0.50, -0.45, -0.40])
    b = np.array([-0.90, -0.40, -0.80, -0.41, -0.70, -0.42])
    found = compared(a, b, fault)
    assert found.faults == 3
    assert (found.a.true_positives, found.a.false_positives, found.a.false_negatives, found.a.true_negatives) == (
        2, 1, 1, 2,
    )  # fmt: skip
    assert [getattr(found.a, name).value for name in MEASURES] == pytest.approx(
        [2 / 3, 2 / 3, 2 / 3, 6 / 9, (1 + 2 / 3 + 3 / 5) / 3]
    )
    assert [getattr(found.b, name).value for name in MEASURES] == [1.0] * 5
    assert found.difference.roc_auc.value == pytest.approx(1 / 3)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_weighted_areas_are_scikit_learns(rows: list[tuple[float, float, bool, int]]) -> None:
    scores, _, fault, weight = (np.array(column) for column in zip(*rows, strict=True))
    auc, average_precision = RankedScores(scores, fault).areas(weight.astype(float))
    if weight[fault].sum() == 0 or weight[~fault].sum() == 0:
        assert np.isnan(auc)
        assert np.isnan(average_precision)
        return
    assert auc == pytest.approx(roc_auc_score(fault, -scores, sample_weight=weight))
    assert average_precision == pytest.approx(average_precision_score(fault, -scores, sample_weight=weight))


@given(ROWS)
@settings(deadline=None, max_examples=40)
def test_values_are_scikit_learns_and_intervals_hold_them(rows: list[tuple[float, float, bool, int]]) -> None:
    a, b, fault, _ = (np.array(column) for column in zip(*rows, strict=True))
    found = compared(a, b, fault)
    flagged = a < -0.55
    expected = {
        "precision": precision_score(fault, flagged, zero_division=np.nan),
        "recall": recall_score(fault, flagged, zero_division=np.nan),
        "f1": f1_score(fault, flagged, zero_division=np.nan),
    }
    for name, value in expected.items():
        estimate = getattr(found.a, name)
        assert (np.nan if estimate.value is None else estimate.value) == pytest.approx(value, nan_ok=True)
    for quality in (found.a, found.b, found.difference):
        for name in MEASURES:
            estimate = getattr(quality, name)
            assert estimate.interval is None or estimate.value in estimate.interval


@given(ROWS)
@settings(deadline=None, max_examples=40)
def test_swapping_the_models_mirrors_everything(rows: list[tuple[float, float, bool, int]]) -> None:
    a, b, fault, _ = (np.array(column) for column in zip(*rows, strict=True))
    one, other = compared(a, b, fault), compared(b, a, fault)
    assert (one.a, one.b) == (other.b, other.a)
    for name in MEASURES:
        here, there = getattr(one.difference, name), getattr(other.difference, name)
        assert (here.value is None) == (there.value is None)
        if here.value is not None:
            assert here.value == -there.value
        if here.interval is not None:
            assert here.interval.low == pytest.approx(-there.interval.high, abs=1e-12)


def test_a_model_against_itself_differs_by_nothing() -> None:
    random = np.random.default_rng(0)
    scores, fault = -random.random(200), random.random(200) < 0.3
    found = compared(scores, scores, fault)
    assert found.a == found.b
    assert [getattr(found.difference, name).value for name in MEASURES] == [0.0] * 5
    assert [getattr(found.difference, name).interval for name in MEASURES] == [None] * 5


@pytest.mark.parametrize("fault", [True, False])
def test_labels_of_one_kind_leave_undefined_what_needs_both(fault: bool) -> None:
    scores = np.array([-0.9, -0.8, -0.5, -0.4])
    found = compared(scores, scores, np.full(4, fault))
    assert found.a.roc_auc.value is None
    assert found.a.average_precision.value is None
    assert found.a.recall.value == (0.5 if fault else None)
    assert found.a.precision.value == (1.0 if fault else 0.0)


def test_nothing_flagged_has_no_precision() -> None:
    scores = np.array([-0.5, -0.45, -0.4, -0.4])
    found = compared(scores, scores, np.array([True, False, False, True]))
    assert (found.a.precision.value, found.a.recall.value, found.a.f1.value) == (None, 0.0, 0.0)


def test_intervals_take_runs_of_faults_for_what_they_are() -> None:
    """Forty faults of twenty-five rows each: blocks give a wider interval than single rows do."""
    random = np.random.default_rng(3)
    level = np.repeat(random.normal(size=80), 25)
    fault = np.repeat(np.arange(80) % 2 == 0, 25)
    scores = -1.0 / (1.0 + np.exp(-(level + fault)))
    apart, in_blocks = (compared(scores, scores, fault, block_rows=rows).a.roc_auc.interval for rows in (1, 50))
    assert apart is not None
    assert in_blocks is not None
    assert in_blocks.high - in_blocks.low > 2.5 * (apart.high - apart.low)


def test_recall_by_fault() -> None:
    names = ["", "short", "short", "drift", "none", "drift", "drift"]
    scores = np.array([-0.4, -0.9, -0.4, -0.9, -0.9, -0.9, -0.9])
    labels = read_labels(names)
    bootstrap = BlockBootstrap([7], 1, 100, 0)
    flagged = scores < -0.55
    found = labelled_comparison((scores, scores), (flagged, ~flagged), labels, bootstrap, 0.95)
    assert [(each.fault, each.rows, each.recall_a, each.recall_b) for each in found.by_fault] == [
        ("drift", 3, 1.0, 0.0),
        ("short", 2, 0.5, 0.5),
    ]


@pytest.mark.parametrize(
    ("given_labels", "expected"),
    [
        ([True, False, np.True_], [1, 0, 1]),
        ([0, 1, 1.0, 0.0, 2], [0, 1, 1, 0, 1]),
        (["", " none ", "None", "0", "0.0", "NaN", "n/a", "-", "OK", "healthy", "false"], [0] * 11),
        (["1", "true", "YES", "short", "2", " drift "], [1] * 6),
        ([None, float("nan"), np.nan], [0, 0, 0]),
        ([b"short", b""], [1, 0]),
        ([], []),
    ],
)
def test_labels_as_telemetry_has_them(given_labels: list[object], expected: list[int]) -> None:
    assert read_labels(given_labels).fault.tolist() == [bool(each) for each in expected]


def test_labels_keep_the_faults_names() -> None:
    assert read_labels(["short", "none", 7, True]).name == ("short", "", "7", "fault")
    assert read_labels(["short", "none", 7, True]).fault_names() == ("7", "fault", "short")


@pytest.mark.parametrize("label", [-1, "-1", -0.5])
def test_the_other_convention_is_refused(label: object) -> None:
    with pytest.raises(TelemetryError, match=r"row 1: a label of -\S+: 0 means normal here and 1 a fault"):
        read_labels([1, label])


def test_what_is_no_label_is_refused() -> None:
    with pytest.raises(TelemetryError, match=r"row 0: \[1\] is no label"):
        read_labels([[1], 2])
    with pytest.raises(TelemetryError, match=r"labels must have one dimension, not shape \(2, 2\)"):
        read_labels(np.zeros((2, 2)))


def test_a_column_of_labels_is_found_in_any_table() -> None:
    array = np.array([(1.0, 1), (2.0, 0)], dtype=[("voltage", "f8"), ("fault", "i8")])
    assert list(label_column(array, "fault")) == [1, 0]
    assert label_column({"fault": [1, 0]}, "fault") == [1, 0]
    with pytest.raises(TelemetryError, match="there is no column 'label' of labels; there were: 'voltage', 'fault'"):
        label_column(array, "label")
    with pytest.raises(TelemetryError, match="there were: no named columns"):
        label_column(np.zeros((2, 3)), "fault")
