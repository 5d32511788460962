"""The proof: any pipeline, rows made to break it, scikit-learn's bits."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_qa_framework.export import to_onnx
from ev_qa_framework.parity import compare, ulp_distance
from ev_qa_runtime.contract import Thresholds

ROWS = 1500


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_exact_profile_has_scikit_learns_bits(data, pipelines, hard_rows, scored, run_graph, judged_by_runtime):
    pipeline, training = data.draw(pipelines)
    rows = hard_rows(pipeline, training, ROWS)
    result = run_graph(to_onnx(pipeline), rows)

    found = compare(scored(pipeline, rows), judged_by_runtime(pipeline, result))

    assert (found.max_ulp, found.labels_differing, found.severities_differing) == (0, 0, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_compat_profile_routes_identically(data, pipelines, hard_rows, scored, run_graph, judged_by_runtime):
    pipeline, training = data.draw(pipelines)
    rows = hard_rows(pipeline, training, ROWS)
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
def test_the_graphs_own_scores_are_within_the_last_bit(data, pipelines, hard_rows, scored, run_graph):
    pipeline, training = data.draw(pipelines)
    rows = hard_rows(pipeline, training, ROWS)
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
