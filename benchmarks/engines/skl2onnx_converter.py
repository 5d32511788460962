"""skl2onnx's own converter for IsolationForest."""

from __future__ import annotations

import time
import warnings

import numpy as np
import onnxruntime
from benchmarks.engines.base import needed
from benchmarks.engines.sklearn_joblib import without_names
from benchmarks.workload import Workload

from ev_qa_runtime.severity import FloatArray

NAME = "skl2onnx + onnxruntime"
CHUNK_ROWS = 4_096


class Skl2OnnxConverter:
    """The Pipeline through ``skl2onnx.to_onnx`` with float input, its default; scored by onnxruntime.

    ``model`` and ``export_seconds`` are kept: converting takes so long that a run does it once.
    """

    name = NAME
    setup = (
        "`skl2onnx.to_onnx` of the Pipeline with float32 input, option `score_samples`, only that output fetched;"
        f" batches go through in chunks of {CHUNK_ROWS} rows, without which its intermediate results fill the memory"
    )
    same_forest, floor, threads = True, False, True
    model: bytes
    export_seconds: float

    def prepare(self, workload: Workload) -> None:
        skl2onnx = needed("skl2onnx")
        pipeline = without_names(workload.pipeline)
        sample = workload.rows[:1].astype(np.float32)
        options = {id(pipeline.steps[-1][1]): {"score_samples": True}}
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = skl2onnx.to_onnx(pipeline, sample, options=options, target_opset={"": 18, "ai.onnx.ml": 3})
        self.export_seconds = time.perf_counter() - started
        self.model = model.SerializeToString()
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}

    def session(self, threads: int = 1) -> onnxruntime.InferenceSession:
        """A fresh session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        if threads not in self._sessions:
            self._sessions[threads] = self.session(threads)
        session = self._sessions[threads]
        floats = rows.astype(np.float32)
        if len(floats) <= CHUNK_ROWS:
            return np.asarray(session.run(["score_samples"], {"X": floats})[0]).reshape(-1)
        chunks = (floats[first : first + CHUNK_ROWS] for first in range(0, len(floats), CHUNK_ROWS))
        return np.concatenate([session.run(["score_samples"], {"X": chunk})[0].reshape(-1) for chunk in chunks])
