"""Whole ONNX models.

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
from sklearn.pipeline import Pipeline

from ev_qa_framework.export import graph
from ev_qa_framework.export.conversion import converted_part, step_that_does_not_run
from ev_qa_framework.export.steps import ExportSteps, export_steps
from ev_qa_framework.folding import check_scales, fold
from ev_qa_framework.forest import FlatForest
from ev_qa_runtime.contract import OnnxRequirements, Profile, ScoringRule, Thresholds
from ev_qa_runtime.session import INPUT_NAME, OUTPUT_NAMES, PATH_LENGTH, TreeSession
from ev_qa_runtime.severity import FloatArray, scoring_rule

_REQUIREMENTS: dict[Profile, OnnxRequirements] = {
    "exact": OnnxRequirements(profile="exact", opsets={"": 18, graph.ML_DOMAIN: 5}, minimum_onnxruntime="1.21"),
    "compat": OnnxRequirements(profile="compat", opsets={"": 15, graph.ML_DOMAIN: 3}, minimum_onnxruntime="1.15"),
}
_IR_VERSIONS: dict[Profile, int] = {"exact": 10, "compat": 8}
_OUTPUT_TYPES = {
    "label": TensorProto.INT64,
    "scores": TensorProto.DOUBLE,
    "score_samples": TensorProto.DOUBLE,
    "severity": TensorProto.INT64,
    PATH_LENGTH: TensorProto.DOUBLE,
}


def requirements(profile: Profile) -> OnnxRequirements:
    """Opsets and the oldest onnxruntime of a profile; ``ValueError`` for an unknown one."""
    if profile not in _REQUIREMENTS:
        raise ValueError(f"profile must be 'exact' or 'compat', not {profile!r}")
    return _REQUIREMENTS[profile]


def folded_forest(pipeline: Pipeline) -> FlatForest:
    """The Pipeline's forest with the scalers right before it folded into its thresholds."""
    return _folded(export_steps(pipeline))


def _folded(steps: ExportSteps) -> FlatForest:
    forest = FlatForest.of(steps.forest)
    check_scales(forest, steps.folded, steps.folded_names)
    return fold(forest, steps.folded, steps.n_forest_inputs)


def model_rule(forest: FlatForest, profile: Profile, thresholds: Thresholds) -> ScoringRule:
    """The scoring rule of a model."""
    return scoring_rule(forest.offset, forest.denominator, thresholds, profile)


def to_onnx(
    pipeline: Pipeline,
    *,
    profile: Profile = "exact",
    thresholds: Thresholds | None = None,
    properties: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Export a fitted Pipeline that ends in an IsolationForest; input ``telemetry``, double [N, F], raw units.

    StandardScaler, MinMaxScaler, RobustScaler and MaxAbsScaler before the forest fold into its thresholds, exactly;
    other transformers, and what precedes them, are converted by skl2onnx and followed by the same forest.

    ``profile="exact"`` (ai.onnx.ml 5, onnxruntime ≥ 1.21) gives scikit-learn's bits; ``"compat"`` (ai.onnx.ml 3,
    onnxruntime ≥ 1.15) routes identically and is within 1e-10 of them. Both promises are for Pipelines whose steps
    all fold. What a converted step computes may differ from scikit-learn in its last bits, so a row that close to a
    split can take its other side, and its score is then another one.

    ``thresholds`` go into the ``severity`` output (default −0.8 and −0.5); ``properties`` into ``metadata_props``.

    Raises ``TypeError`` or ``ValueError`` naming the step that stands in the way.
    """
    needs = requirements(profile)
    if not isinstance(thresholds, Thresholds | None):
        raise TypeError(f"thresholds must be a Thresholds, not {type(thresholds).__name__}")
    steps = export_steps(pipeline)
    forest = _folded(steps)
    rule = model_rule(forest, profile, thresholds or Thresholds())
    converted = converted_part(steps, needs, INPUT_NAME, "forest_input")
    tree_input = "forest_input" if steps.converted else INPUT_NAME
    parts = [
        converted,
        graph.path_length_part(forest, profile, tree_input, PATH_LENGTH, "trees_"),
        graph.score_part(rule, PATH_LENGTH, "score_samples", "scores", ""),
        graph.label_part(rule, PATH_LENGTH, "label", ""),
        graph.severity_part(rule, PATH_LENGTH, "severity", ""),
    ]
    model = _assembled(parts, steps.n_features, needs)
    if steps.converted:
        _check_runs(model, steps, needs)
    helper.set_model_props(model, dict(properties or {}))
    return model


def _check_runs(model: onnx.ModelProto, steps: ExportSteps, needs: OnnxRequirements) -> None:
    """Refuse what onnx allows and onnxruntime has no kernel for, such as an imputer in double."""
    try:
        TreeSession(model.SerializeToString(), "exported").path_length(np.zeros((1, steps.n_features)))
    except Exception as error:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
        name, step = step_that_does_not_run(steps, needs)
        first_line = str(error).strip().partition("\n")[0]
        raise TypeError(
            f"step {name!r} ({type(step).__name__}) cannot be exported: onnxruntime does not run it: {first_line}"
        ) from None


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


def _assembled(parts: list[graph.GraphPart], n_features: int, needs: OnnxRequirements) -> onnx.ModelProto:
    model_graph = helper.make_graph(
        [node for part in parts for node in part.nodes],
        "isolation_forest",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.DOUBLE, ["N", n_features])],
        [helper.make_tensor_value_info(name, _OUTPUT_TYPES[name], ["N", 1]) for name in OUTPUT_NAMES],
        [tensor for part in parts for tensor in part.initializers],
    )
    return helper.make_model(
        model_graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in needs.opsets.items()],
        ir_version=_IR_VERSIONS[needs.profile],
        producer_name="ev-qa-framework",
    )
