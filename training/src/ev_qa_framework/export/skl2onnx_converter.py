"""The fused forest for everybody who calls ``skl2onnx.to_onnx``."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper
from sklearn.ensemble import IsolationForest

from ev_qa_framework.export import graph
from ev_qa_framework.export.model import model_rule
from ev_qa_framework.folding import fold
from ev_qa_framework.forest import FlatForest
from ev_qa_runtime.contract import Thresholds

ALIAS = "SklearnIsolationForest"  # skl2onnx's own name for the operator: its parser then names the outputs


def register_with_skl2onnx() -> None:
    """Make ``skl2onnx.to_onnx`` convert every IsolationForest to one tree operator, in this process.

    Output names, the option ``score_samples`` and target opsets stay skl2onnx's, which ends at ``ai.onnx.ml`` 3: so
    this is the ``compat`` operator, and older opsets are refused. Scores come in the input's float type, as there.
    """
    from skl2onnx import update_registered_converter  # noqa: PLC0415 - slow to import, and optional

    update_registered_converter(
        IsolationForest,
        ALIAS,
        _shapes,
        _convert,
        options={"score_samples": [True, False]},
        overwrite=True,
    )


def _shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType  # noqa: PLC0415

    rows = operator.inputs[0].get_first_dimension()
    float_type = DoubleTensorType if isinstance(operator.inputs[0].type, DoubleTensorType) else FloatTensorType
    operator.outputs[0].type = Int64TensorType([rows, 1])
    for output in operator.outputs[1:]:
        output.type = float_type([rows, 1])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType  # noqa: PLC0415

    ml_opset = container.target_opset_any_domain(graph.ML_DOMAIN)
    if ml_opset < 3:
        raise RuntimeError(f"the fused IsolationForest needs target opset 3 of {graph.ML_DOMAIN}, not {ml_opset}")
    model = operator.raw_operator
    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    wants_score_samples = container.get_options(model, {"score_samples": None})["score_samples"]
    forest = fold(FlatForest.of(model), (), int(model.n_features_in_))
    rule = model_rule(forest, "compat", Thresholds())

    names = {key: scope.get_unique_variable_name(key) for key in ("rows", "path_length", "scores", "score_samples")}
    prefix = scope.get_unique_variable_name("forest") + "_"
    label, *others = (output.full_name for output in operator.outputs)
    wanted = dict(zip(("scores", "score_samples"), others, strict=False))
    if not wants_score_samples:
        wanted.pop("score_samples", None)
    parts = [
        graph.GraphPart(
            (helper.make_node("Cast", [operator.inputs[0].full_name], [names["rows"]], to=TensorProto.DOUBLE),), ()
        ),
        graph.path_length_part(forest, "compat", names["rows"], names["path_length"], prefix + "trees_"),
        graph.score_part(rule, names["path_length"], names["score_samples"], names["scores"], prefix),
        graph.label_part(rule, names["path_length"], label, prefix),
    ]
    to = TensorProto.DOUBLE if is_double else TensorProto.FLOAT
    casts = tuple(helper.make_node("Cast", [names[key]], [output], to=to) for key, output in wanted.items())
    _add(container, [*parts, graph.GraphPart(casts, ())])


def _add(container: Any, parts: list[graph.GraphPart]) -> None:
    for part in parts:
        for tensor in part.initializers:
            container.initializers.append(tensor)
        for node in part.nodes:
            attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            container.add_node(
                node.op_type,
                list(node.input),
                list(node.output),
                op_domain=node.domain,
                op_version=3 if node.domain == graph.ML_DOMAIN else 9,  # the newest operator here: Where, of opset 9
                **attributes,
            )
