"""The least that a call of onnxruntime costs: a graph that hands its input back."""

from __future__ import annotations

import numpy as np
import onnxruntime
from benchmarks.workload import Workload
from onnx import TensorProto, helper

from ev_qa_runtime.severity import FloatArray

NAME, BOUND_NAME = "Identity floor", "Identity floor, bound buffers"


class IdentityFloor:
    """``session.run`` of one Identity node, double [N, F], one thread."""

    name = NAME
    setup = "one Identity node in onnxruntime, the row in, the row out, `session.run`"
    same_forest, floor, threads = False, True, False

    def prepare(self, workload: Workload) -> None:
        self._session = identity_session(workload.rows.shape[1])

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:  # noqa: ARG002 - one thread only
        return np.asarray(self._session.run(("result",), {"rows": rows})[0])


class BoundIdentityFloor:
    """The same graph with input and output bound once: no array is made for a row, as in the runtime."""

    name = BOUND_NAME
    setup = "the same node with preallocated input and output, `run_with_iobinding`, the row copied in"
    same_forest, floor, threads = False, True, False

    def prepare(self, workload: Workload) -> None:
        width = workload.rows.shape[1]
        self._session = identity_session(width)
        self._rows, self._result = np.zeros((1, width)), np.zeros((1, width))
        self._binding = self._session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, "rows", self._rows),
            (self._binding.bind_output, "result", self._result),
        ):
            bind(name, "cpu", 0, np.float64, array.shape, array.ctypes.data)

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:  # noqa: ARG002 - one thread only
        self._rows[:] = rows
        self._session.run_with_iobinding(self._binding)
        return self._result


def identity_session(width: int) -> onnxruntime.InferenceSession:
    """A session with the runtime's own options."""
    described = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", width]) for name in ("rows", "result")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["rows"], ["result"])], "identity", *[[d] for d in described]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
