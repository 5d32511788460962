"""Compares the graph's own scores with scikit-learn's in this process: ``test_pipeline_parity`` runs this.

``python disabled_features.py MODEL ROWS.npy`` with ``NPY_DISABLE_CPU_FEATURES`` set: without numpy's own vectorised
power both engines take the maths library's, and nothing at all may differ. Prints the largest distances in ulp.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.backends import pipeline_scores
from ev_qa_framework.parity import ulp_distance
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.session import INPUT_NAME

path, rows = sys.argv[1], np.load(sys.argv[2])
analyzer = EVBatteryAnalyzer.load_model(path, backend="sklearn")
artifact = read_artifact(path)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
expected = pipeline_scores(analyzer.pipeline, rows)
session = onnxruntime.InferenceSession(artifact.payloads["onnx"], options, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, session.run(names, {INPUT_NAME: rows}), strict=True))
found = {
    "score_samples": int(ulp_distance(expected, outputs["score_samples"].reshape(-1)).max()),
    "scores": int(ulp_distance(expected - analyzer.model.offset_, outputs["scores"].reshape(-1)).max()),
    "rows": len(rows),
}
json.dump(found, sys.stdout)
