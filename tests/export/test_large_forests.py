"""The corners of IsolationForest that random pipelines seldom reach."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ev_qa_framework.export import to_onnx
from ev_qa_framework.parity import compare


@pytest.mark.parametrize(
    ("n_rows", "n_features", "parameters"),
    [
        (6000, 3, {"n_estimators": 20, "max_samples": 4096}),
        (9000, 2, {"n_estimators": 5, "max_samples": 1.0}),
        (400, 500, {"n_estimators": 100}),
        (600, 4, {"n_estimators": 1000}),
        (300, 7, {"n_estimators": 30, "max_features": 3, "bootstrap": True}),
        (50, 3, {"n_estimators": 10, "max_samples": 1}),
        (50, 1, {"n_estimators": 1}),
    ],
)
@pytest.mark.parametrize("profile", ["exact", "compat"])
def test_every_size_is_exact(n_rows, n_features, parameters, profile, hard_rows, scored, run_graph, judged_by_runtime):
    data = np.random.default_rng(0).normal(size=(n_rows, n_features)) * 50 + 300
    pipeline = Pipeline([("scaler", StandardScaler()), ("model", IsolationForest(random_state=1, **parameters))])
    pipeline.fit(data)
    rows = hard_rows(pipeline, data, 300)

    result = run_graph(to_onnx(pipeline, profile=profile), rows)
    found = compare(scored(pipeline, rows), judged_by_runtime(pipeline, result))

    assert (found.labels_differing, found.severities_differing) == (0, 0)
    assert found.max_ulp == 0 if profile == "exact" else found.max_ulp < 10_000


def test_constant_data_gives_single_leaf_trees(hard_rows, scored, run_graph, judged_by_runtime):
    data = np.full((40, 3), 7.0)
    pipeline = Pipeline([("model", IsolationForest(n_estimators=10, random_state=0))]).fit(data)
    rows = np.random.default_rng(0).normal(size=(50, 3))

    result = run_graph(to_onnx(pipeline), rows)

    assert compare(scored(pipeline, rows), judged_by_runtime(pipeline, result)).max_ulp == 0
    assert {tree.tree_.node_count for tree in pipeline[-1].estimators_} == {1}


def test_missing_readings_go_where_scikit_learn_sends_them(scored, run_graph, judged_by_runtime):
    rng = np.random.default_rng(5)
    data = rng.normal(size=(500, 3))
    pipeline = Pipeline(
        [("scaler", StandardScaler()), ("model", IsolationForest(n_estimators=30, random_state=0))]
    ).fit(data)
    rows = np.where(rng.random((2000, 3)) < 0.5, np.nan, rng.normal(size=(2000, 3)))

    result = run_graph(to_onnx(pipeline), rows)

    assert compare(scored(pipeline, rows), judged_by_runtime(pipeline, result)).max_ulp == 0
    assert len(np.unique(result.path_length[np.isnan(rows).any(axis=1)])) > 100  # and not all to one place


def test_the_graph_is_one_tree_operator(telemetry_pipeline):
    pipeline, _ = telemetry_pipeline

    exact, compat = to_onnx(pipeline), to_onnx(pipeline, profile="compat")

    assert [node.op_type for node in exact.graph.node if node.domain == "ai.onnx.ml"] == ["TreeEnsemble"]
    assert [node.op_type for node in compat.graph.node if node.domain == "ai.onnx.ml"] == ["TreeEnsembleRegressor"]
    assert {item.domain: item.version for item in exact.opset_import} == {"": 18, "ai.onnx.ml": 5}
    assert {item.domain: item.version for item in compat.opset_import} == {"": 15, "ai.onnx.ml": 3}
