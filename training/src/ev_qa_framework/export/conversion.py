"""Steps that do not fold, converted by skl2onnx one at a time, so that an error can name its step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from ev_qa_framework.export.graph import ML_DOMAIN, GraphPart
from ev_qa_framework.export.steps import ExportSteps
from ev_qa_runtime.contract import OnnxRequirements
from ev_qa_runtime.session import INPUT_NAME, PATH_LENGTH, TreeSession


def converted_part(steps: ExportSteps, needs: OnnxRequirements, source: str, target: str) -> GraphPart:
    """Nodes that take double [N, F] named ``source`` through the converted steps to double [N, K] named ``target``.

    Raises ``TypeError`` naming the step that skl2onnx cannot convert.
    """
    nodes: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []
    width, name = steps.n_features, source
    for index, (step_name, step) in enumerate(steps.converted):
        graph = _converted(step_name, step, width, needs, f"step{index}_")
        last = index == len(steps.converted) - 1
        part = _between(graph, name, target if last else f"step{index}_result")
        nodes += part.nodes
        initializers += part.initializers
        name = f"step{index}_result"
        following = steps.converted[index + 1][1] if not last else None
        width = steps.n_forest_inputs if following is None else int(following.n_features_in_)
    return GraphPart(tuple(nodes), tuple(initializers))


def step_that_does_not_run(steps: ExportSteps, needs: OnnxRequirements) -> tuple[str, Any]:
    """Name and step of the first converted one that onnxruntime does not run; the last if each of them runs."""
    for count in range(1, len(steps.converted)):
        if not _runs(replace(steps, converted=steps.converted[:count]), needs):
            return steps.converted[count - 1]
    return steps.converted[-1]


def _runs(steps: ExportSteps, needs: OnnxRequirements) -> bool:
    """Whether onnxruntime takes a row through the converted steps alone; their results are added up."""
    part = converted_part(steps, needs, INPUT_NAME, "converted")
    add_up = helper.make_node("ReduceSum", ["converted", "axes"], [PATH_LENGTH])
    model = helper.make_model(
        helper.make_graph(
            [*part.nodes, add_up],
            "converted_steps",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.DOUBLE, ["N", steps.n_features])],
            [helper.make_tensor_value_info(PATH_LENGTH, TensorProto.DOUBLE, ["N", 1])],
            [*part.initializers, numpy_helper.from_array(np.array([1]), "axes")],
        ),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in needs.opsets.items()],
        ir_version=8,  # the oldest of both profiles'
    )
    try:
        TreeSession(model.SerializeToString(), "of converted steps").path_length(np.zeros((1, steps.n_features)))
    except Exception:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
        return False
    return True


def _converted(name: str, step: Any, width: int, needs: OnnxRequirements, prefix: str) -> onnx.GraphProto:
    import skl2onnx  # noqa: PLC0415 - slow to import, and only such pipelines need it
    from skl2onnx.common.data_types import DoubleTensorType  # noqa: PLC0415

    try:
        model = skl2onnx.to_onnx(
            step,
            initial_types=[("X", DoubleTensorType([None, width]))],
            target_opset={"": needs.opsets[""], ML_DOMAIN: min(needs.opsets[ML_DOMAIN], 3)},
        )
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # noqa: BLE001 - skl2onnx and the checker raise whatever they like
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TypeError(
            f"step {name!r} ({type(step).__name__}) cannot be exported: skl2onnx says: {first_line}"
        ) from None
    foreign = {item.domain for item in model.opset_import} - {"", ML_DOMAIN}
    if foreign:
        raise TypeError(f"step {name!r} ({type(step).__name__}) needs operators of other domains: {sorted(foreign)}")
    if model.functions:
        raise TypeError(f"step {name!r} ({type(step).__name__}) converts to ONNX functions, which are not supported")
    prefixed: onnx.GraphProto = compose.add_prefix_graph(model.graph, prefix)
    return prefixed


def _between(graph: onnx.GraphProto, source: str, target: str) -> GraphPart:
    """The graph's nodes with its one input read from ``source`` and its one output cast to double as ``target``."""
    given, made = graph.input[0].name, graph.output[0].name
    nodes = [helper.make_node("Identity", [source], [given]), *graph.node]
    nodes.append(helper.make_node("Cast", [made], [target], to=TensorProto.DOUBLE))
    return GraphPart(tuple(nodes), tuple(graph.initializer))
