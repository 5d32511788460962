"""Steps that do not fold are converted by skl2onnx and followed by the same forest, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from ev_qa_framework.export import export_steps, to_onnx


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=(400, 4)) @ np.diag([1.0, 20.0, 0.1, 5.0]) + 3.0


@pytest.mark.parametrize(
    "steps",
    [
        [("pca", PCA(2, random_state=0))],
        [("scaler", StandardScaler()), ("pca", PCA(3, random_state=0)), ("again", StandardScaler())],
        [("normalizer", Normalizer()), ("scaler", StandardScaler())],
    ],
    ids=["pca", "scaler-pca-scaler", "normalizer-scaler"],
)
@pytest.mark.parametrize("profile", ["exact", "compat"])
def test_converted_steps_are_followed_by_the_fused_forest(steps, profile, data, scored, run_graph):
    pipeline = Pipeline([*steps, ("model", IsolationForest(n_estimators=30, random_state=0))]).fit(data)

    model = to_onnx(pipeline, profile=profile)
    result = run_graph(model, data)

    assert np.abs(result.score_samples - scored(pipeline, data).score_samples).max() < 1e-12
    assert sum(node.domain == "ai.onnx.ml" and "Tree" in node.op_type for node in model.graph.node) == 1


def test_scalers_after_the_last_converted_step_fold(data):
    pipeline = Pipeline(
        [("pca", PCA(2)), ("scaler", StandardScaler()), ("model", IsolationForest(n_estimators=5, random_state=0))]
    ).fit(data)

    steps = export_steps(pipeline)

    assert [name for name, _ in steps.converted] == ["pca"]
    assert [type(step) for step in steps.folded] == [StandardScaler]
    assert (steps.n_features, steps.n_forest_inputs) == (4, 2)


@pytest.mark.parametrize(
    ("pipeline", "error", "message"),
    [
        (IsolationForest(), TypeError, "expected a fitted scikit-learn Pipeline, not IsolationForest"),
        (Pipeline([("scaler", StandardScaler())]), TypeError, "the last step 'scaler' must be an IsolationForest"),
        (
            Pipeline([("model", RandomForestRegressor())]),
            TypeError,
            "the last step 'model' must be an IsolationForest, not RandomForestRegressor",
        ),
        (
            Pipeline([("scaler", StandardScaler()), ("model", IsolationForest())]),
            ValueError,
            r"step 'scaler' \(StandardScaler\) is not fitted",
        ),
        (Pipeline([("model", IsolationForest())]), ValueError, r"step 'model' \(IsolationForest\) is not fitted"),
        (Pipeline([]), ValueError, "^the Pipeline has no steps: it must end in an IsolationForest$"),
    ],
    ids=["bare forest", "no forest", "another forest", "unfitted scaler", "unfitted forest", "no steps"],
)
def test_what_is_no_fitted_pipeline_is_refused_by_name(pipeline, error, message):
    with pytest.raises(error, match=message):
        to_onnx(pipeline)


def test_a_step_skl2onnx_cannot_convert_is_named(data):
    steps = [("tangent", FunctionTransformer(np.tan)), ("model", IsolationForest(n_estimators=5))]
    pipeline = Pipeline(steps).fit(data)

    with pytest.raises(TypeError, match=r"step 'tangent' \(FunctionTransformer\) cannot be exported"):
        to_onnx(pipeline)


class Bare:
    """Neither estimator nor transformer of scikit-learn's, but a Pipeline takes it."""

    def fit(self, rows, target=None):
        return self

    def transform(self, rows):
        return np.asarray(rows)


class Wordless(TransformerMixin, BaseEstimator):
    """A transformer that does not keep how many columns it was fitted on."""

    def fit(self, rows, target=None):
        self.fitted_ = True
        return self

    def transform(self, rows):
        return np.asarray(rows)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Bare(), r"^step 'own' \(Bare\) (is not a scikit-learn transformer|does not say how many columns .*)$"),
        (Wordless(), r"^step 'own' \(Wordless\) does not say how many columns it takes: n_features_in_$"),
    ],
    ids=["no estimator", "no n_features_in_"],
)
@pytest.mark.parametrize("before", [[], [("scaler", StandardScaler())]], ids=["first", "second"])
def test_a_step_that_is_no_transformer_is_named(step, message, before, data):
    pipeline = Pipeline([*before, ("own", step), ("pca", PCA(2)), ("model", IsolationForest(n_estimators=5))]).fit(data)

    with pytest.raises(TypeError, match=message):
        to_onnx(pipeline)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_of_several_converted_steps_the_one_that_onnxruntime_does_not_run_is_named(position, data):
    steps = [("standardscaler", StandardScaler()), ("pca", PCA(3))]
    steps.insert(position, ("simpleimputer", SimpleImputer()))
    pipeline = Pipeline([*steps, ("model", IsolationForest(n_estimators=5))]).fit(data)

    with pytest.raises(
        TypeError, match=r"^step 'simpleimputer' \(SimpleImputer\) cannot be exported: onnxruntime"
    ) as it:
        to_onnx(pipeline)

    assert "standardscaler" not in str(it.value)
    assert "\n" not in str(it.value)


@pytest.mark.parametrize("thresholds", [(1, 2), (), {"critical": -0.8}])
def test_thresholds_of_another_kind_are_refused(thresholds, telemetry_pipeline):
    with pytest.raises(TypeError, match=f"^thresholds must be a Thresholds, not {type(thresholds).__name__}$"):
        to_onnx(telemetry_pipeline[0], thresholds=thresholds)


def test_a_subclass_of_the_forest_is_refused(data):
    class OwnForest(IsolationForest):
        pass

    with pytest.raises(TypeError, match="must be an IsolationForest, not OwnForest"):
        to_onnx(Pipeline([("model", OwnForest(n_estimators=5))]).fit(data))


def test_an_unknown_profile_is_refused(telemetry_pipeline):
    with pytest.raises(ValueError, match="profile must be 'exact' or 'compat', not 'fast'"):
        to_onnx(telemetry_pipeline[0], profile="fast")
