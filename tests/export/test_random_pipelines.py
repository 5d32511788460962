"""The proof: any pipeline, rows made to break it, scikit-learn's bits."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ev_qa_framework.export import to_onnx
from ev_qa_framework.parity import compare, ulp_distance
from ev_qa_runtime.contract import Thresholds

ROWS = 1500


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_exact_profile_has_scikit_learns_bits(
    data, pipelines, hard_rows, split_rows, scored, run_graph, judged_by_runtime
):
    pipeline, training = data.draw(pipelines)
    rows = np.concatenate([hard_rows(pipeline, training, ROWS), split_rows(pipeline, training)])
    result = run_graph(to_onnx(pipeline), rows)

    found = compare(scored(pipeline, rows), judged_by_runtime(pipeline, result))

    assert (found.max_ulp, found.labels_differing, found.severities_differing) == (0, 0, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_compat_profile_routes_identically(
    data, pipelines, hard_rows, split_rows, scored, run_graph, judged_by_runtime
):
    pipeline, training = data.draw(pipelines)
    rows = np.concatenate([hard_rows(pipeline, training, ROWS), split_rows(pipeline, training)])
    result = run_graph(to_onnx(pipeline, profile="compat"), rows)

    expected, actual = scored(pipeline, rows), judged_by_runtime(pipeline, result)

    assert np.abs(expected.score_samples - actual.score_samples).max() <= 1e-11  # the bound owed is 3e-7
    offset = float(pipeline.steps[-1][1].offset_)
    clear_of = np.array([[offset], [Thresholds().warning], [Thresholds().critical]])
    clear = (np.abs(expected.score_samples - clear_of) > 1e-10).all(axis=0)  # sums in another order tie differently
    assert np.array_equal(expected.label[clear], actual.label[clear])
    assert np.array_equal(expected.severity[clear], actual.severity[clear])


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_graphs_own_scores_are_within_the_last_bit(data, pipelines, hard_rows, split_rows, scored, run_graph):
    pipeline, training = data.draw(pipelines)
    rows = np.concatenate([hard_rows(pipeline, training, ROWS), split_rows(pipeline, training)])
    result = run_graph(to_onnx(pipeline), rows)

    expected = scored(pipeline, rows).score_samples

    assert ulp_distance(expected, result.score_samples).max() <= 1


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), size=st.integers(1, 200))
def test_scores_do_not_depend_on_batch_size(data, size, pipelines, hard_rows, run_graph):
    pipeline, training = data.draw(pipelines)
    rows = hard_rows(pipeline, training, 200)
    model = to_onnx(pipeline)

    pieces = [run_graph(model, rows[first : first + size]).path_length for first in range(0, len(rows), size)]

    assert np.array_equal(run_graph(model, rows).path_length, np.concatenate(pieces))


CONSTANTS = {
    "mean_": StandardScaler(),
    "center_": RobustScaler(),
    "min_": MinMaxScaler(),
    "clipped min_": MinMaxScaler(clip=True),
    "scale_": StandardScaler(),
    "min-max scale_": MinMaxScaler(),
    "clipped scale_": MinMaxScaler(clip=True),
    "robust scale_": RobustScaler(),
    "max-abs scale_": MaxAbsScaler(),
}


hand_set = st.tuples(
    st.sampled_from(sorted(CONSTANTS)),
    st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -1.0]),
    st.integers(0, 2),  # the column
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=hand_set, columns=st.sampled_from([None, ["voltage", "current", "temp"]]), trees=st.integers(1, 3))
def test_a_constant_set_by_hand_is_exact_or_refused(
    case, columns, trees, hard_rows, split_rows, scored, run_graph, judged_by_runtime
):
    which, value, column = case
    training = np.random.default_rng(trees).normal(size=(40, 3)) * [10.0, 60.0, 5.0] + [355.0, 10.0, 24.0]
    forest = IsolationForest(n_estimators=trees, max_samples=3, random_state=trees)
    pipeline = Pipeline([("first", StandardScaler()), ("hand", clone(CONSTANTS[which])), ("forest", forest)])
    pipeline.fit(training if columns is None else pd.DataFrame(training, columns=columns))
    attribute = which.split()[-1]
    getattr(pipeline["hand"], attribute)[column] = value
    refusal = ""
    try:
        model = to_onnx(pipeline)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        feature = f"number {column}" if columns is None else repr(columns[column])
        assert re.match(rf"step 'hand' \(\w+\) .* its {attribute} of feature {feature} is ", refusal)
        assert not np.isfinite(value) or (value == 0 and attribute == "scale_")
        assert any((tree.tree_.feature == column).any() for tree in forest.estimators_)
        return
    rows = np.concatenate([hard_rows(pipeline, training, 200), split_rows(pipeline, training)])

    found = compare(scored(pipeline, rows), judged_by_runtime(pipeline, run_graph(model, rows)))

    assert (found.max_ulp, found.labels_differing, found.severities_differing) == (0, 0, 0)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
def test_a_scale_that_gives_nan_is_refused_by_step_and_feature(value, telemetry_pipeline):
    data = telemetry_pipeline[1]
    pipeline = Pipeline([("scaler", MinMaxScaler()), ("forest", IsolationForest(n_estimators=9, random_state=0))])
    pipeline.fit(data)
    pipeline["scaler"].scale_[1] = value

    with pytest.raises(
        ValueError, match=r"^step 'scaler' \(MinMaxScaler\) .* its scale_ of feature number 1 is [^\n]+$"
    ):
        to_onnx(pipeline)


@pytest.mark.parametrize(
    ("scaler", "attribute"),
    [
        (StandardScaler(with_mean=False), "mean_"),
        (StandardScaler(with_std=False), "scale_"),
        (RobustScaler(with_centering=False), "center_"),
        (RobustScaler(with_scaling=False), "scale_"),
    ],
)
def test_a_constant_that_is_not_used_does_no_harm(scaler, attribute, telemetry_pipeline):
    data = telemetry_pipeline[1]
    pipeline = Pipeline([("scaler", scaler), ("forest", IsolationForest(n_estimators=3, random_state=0))]).fit(data)
    expected = to_onnx(pipeline).SerializeToString()

    setattr(pipeline["scaler"], attribute, np.zeros(3) * np.nan)

    assert to_onnx(pipeline).SerializeToString() == expected
