"""Fitted Pipeline → ONNX: one tree operator on raw doubles, with scikit-learn's bits.

Outputs, each [N, 1], with skl2onnx's names and order first: ``label`` int64 (1 normal, −1 anomaly), ``scores``
double (= ``decision_function``), ``score_samples`` double, then ``severity`` int64 (0 INFO, 1 WARNING, 2 CRITICAL)
and ``path_length`` double, the sum over the trees. Labels and severities are decided on the sum, so they are the
same on every machine; see :class:`ev_qa_runtime.contract.ScoringRule`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ev_qa_framework.folding import MONOTONE_STEPS, fold
from ev_qa_framework.forest import FlatForest
from ev_qa_runtime.contract import OnnxRequirements, ScoringRule, Thresholds
from ev_qa_runtime.session import INPUT_NAME, OUTPUT_NAMES, PATH_LENGTH
from ev_qa_runtime.severity import FloatArray, scoring_rule

OPSETS = {"": 18, "ai.onnx.ml": 5}
IR_VERSION = 10
EXACT = OnnxRequirements(profile="exact", opsets=OPSETS, minimum_onnxruntime="1.21")

_SUM = 1  # aggregate_function of TreeEnsemble
_BRANCH_LEQ = 0  # nodes_modes: left where reading <= threshold


def affine_steps(pipeline: Pipeline) -> list[Any]:
    """The fitted steps before the forest, ``passthrough`` left out.

    Raises ``TypeError`` or ``ValueError`` naming the step that cannot be exported exactly.
    """
    if not isinstance(pipeline, Pipeline):
        raise TypeError(f"expected a fitted scikit-learn Pipeline, not {type(pipeline).__name__}")
    if not isinstance(pipeline.steps[-1][1], IsolationForest):
        name, last = pipeline.steps[-1]
        raise TypeError(f"the last step {name!r} must be an IsolationForest, not {type(last).__name__}")
    for name, step in pipeline.steps:
        if step is not None and step != "passthrough":
            if step is not pipeline.steps[-1][1] and type(step) not in MONOTONE_STEPS:
                raise TypeError(f"step {name!r} ({type(step).__name__}) cannot be folded exactly into the thresholds")
            try:
                check_is_fitted(step)
            except ValueError:
                raise ValueError(
                    f"step {name!r} ({type(step).__name__}) is not fitted: fit the Pipeline first"
                ) from None
    return [step for _, step in pipeline.steps[:-1] if step is not None and step != "passthrough"]


def folded_forest(pipeline: Pipeline) -> FlatForest:
    """The Pipeline's forest with thresholds in raw units."""
    return fold(FlatForest.of(pipeline.steps[-1][1]), affine_steps(pipeline), int(pipeline.n_features_in_))


def to_onnx(
    pipeline: Pipeline, *, thresholds: Thresholds | None = None, properties: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Export a fitted Pipeline of scalers and an IsolationForest; bit-identical to scikit-learn on float64 input.

    ``thresholds`` go into the ``severity`` output (default −0.8 and −0.5); ``properties`` into ``metadata_props``.
    Raises ``TypeError`` or ``ValueError`` naming the step that stands in the way.
    """
    forest = folded_forest(pipeline)
    rule = scoring_rule(forest.offset, forest.denominator, thresholds or Thresholds())
    graph = helper.make_graph(
        [_tree_ensemble(forest), *_score_nodes(rule), *_verdict_nodes()],
        "isolation_forest",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.DOUBLE, ["N", int(pipeline.n_features_in_)])],
        [helper.make_tensor_value_info(name, _OUTPUT_TYPES[name], ["N", 1]) for name in OUTPUT_NAMES],
        _constants(rule),
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ev-qa-framework")
    helper.set_model_props(model, dict(properties or {}))
    return model


_OUTPUT_TYPES = {
    "label": TensorProto.INT64,
    "scores": TensorProto.DOUBLE,
    "score_samples": TensorProto.DOUBLE,
    "severity": TensorProto.INT64,
    PATH_LENGTH: TensorProto.DOUBLE,
}


def _tree_ensemble(forest: FlatForest) -> onnx.NodeProto:
    return helper.make_node(
        "TreeEnsemble",
        [INPUT_NAME],
        [PATH_LENGTH],
        domain="ai.onnx.ml",
        aggregate_function=_SUM,
        n_targets=1,
        tree_roots=forest.root.tolist(),
        nodes_featureids=forest.column.tolist(),
        nodes_modes=numpy_helper.from_array(np.full(len(forest.column), _BRANCH_LEQ, np.uint8), "nodes_modes"),
        nodes_splits=numpy_helper.from_array(forest.threshold, "nodes_splits"),
        nodes_missing_value_tracks_true=forest.missing_left.astype(int).tolist(),
        nodes_truenodeids=forest.left.tolist(),
        nodes_trueleafs=forest.left_is_leaf.astype(int).tolist(),
        nodes_falsenodeids=forest.right.tolist(),
        nodes_falseleafs=forest.right_is_leaf.astype(int).tolist(),
        leaf_targetids=[0] * len(forest.leaf_value),
        leaf_weights=numpy_helper.from_array(forest.leaf_value, "leaf_weights"),
    )


def _score_nodes(rule: ScoringRule) -> list[onnx.NodeProto]:
    """``score_samples = −(2 ** (path_length / −denominator))`` and ``scores = score_samples − offset``."""
    if rule.denominator == 0.0:  # trees of one sample: scikit-learn takes the ratio as 1
        ratio = [
            helper.make_node("Mul", [PATH_LENGTH, "zero"], ["nothing"]),
            helper.make_node("Sub", ["nothing", "one"], ["exponent"]),
        ]
    else:
        ratio = [helper.make_node("Div", [PATH_LENGTH, "negative_denominator"], ["exponent"])]
    return [
        *ratio,
        helper.make_node("Pow", ["two", "exponent"], ["power"]),
        helper.make_node("Neg", ["power"], ["score_samples"]),
        helper.make_node("Sub", ["score_samples", "offset"], ["scores"]),
    ]


def _verdict_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Less", [PATH_LENGTH, "offset_cut"], ["is_anomaly"]),
        helper.make_node("Where", ["is_anomaly", "minus_one_label", "one_label"], ["label"]),
        helper.make_node("Less", [PATH_LENGTH, "warning_cut"], ["is_warning"]),
        helper.make_node("Less", [PATH_LENGTH, "critical_cut"], ["is_critical"]),
        helper.make_node("Cast", ["is_warning"], ["warning_code"], to=TensorProto.INT64),
        helper.make_node("Cast", ["is_critical"], ["critical_code"], to=TensorProto.INT64),
        helper.make_node("Add", ["warning_code", "critical_code"], ["severity"]),
    ]


def _constants(rule: ScoringRule) -> list[onnx.TensorProto]:
    values: dict[str, Any] = {
        "two": 2.0,
        "offset": rule.offset,
        "offset_cut": rule.offset_cut,
        "warning_cut": rule.warning_cut,
        "critical_cut": rule.critical_cut,
        "one_label": np.int64(1),
        "minus_one_label": np.int64(-1),
    }
    values |= {"zero": 0.0, "one": 1.0} if rule.denominator == 0.0 else {"negative_denominator": -rule.denominator}
    return [numpy_helper.from_array(np.array(value), name) for name, value in values.items()]


def restated(onnx_model: bytes, rule: ScoringRule, properties: Mapping[str, str]) -> bytes:
    """The same trees with the severity cuts of ``rule`` and other ``metadata_props``, for a model without Pipeline."""
    model = onnx.load_model_from_string(onnx_model)
    cuts = {"warning_cut": rule.warning_cut, "critical_cut": rule.critical_cut}
    for initializer in model.graph.initializer:
        if initializer.name in cuts:
            initializer.CopyFrom(numpy_helper.from_array(np.array(cuts[initializer.name]), initializer.name))
    helper.set_model_props(model, dict(properties))
    restated_model: bytes = model.SerializeToString()
    return restated_model


def reference_outputs(onnx_model: bytes, rows: FloatArray) -> dict[str, Any]:
    """Every output of a model by name, from ``onnx.reference``: the standard's own evaluator, in Python and slow."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to import, rarely needed

    evaluator = ReferenceEvaluator(onnx.load_model_from_string(onnx_model))
    with np.errstate(all="ignore"):
        return dict(zip(evaluator.output_names, evaluator.run(None, {INPUT_NAME: rows}), strict=True))
