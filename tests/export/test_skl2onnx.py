"""``register_with_skl2onnx``: everybody's ``skl2onnx.to_onnx`` gets the fused forest. Each case in a process of its
own, since registration changes skl2onnx for the whole process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, onnxruntime, skl2onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from ev_qa_framework.export import register_with_skl2onnx

if "unregistered" not in sys.argv:
    register_with_skl2onnx()
kind, dtype = (DoubleTensorType, np.float64) if "double" in sys.argv else (FloatTensorType, np.float32)
X = np.random.default_rng(0).normal(size=(500, 3)).astype(dtype)
pipeline = Pipeline([("scaler", StandardScaler()), ("model", IsolationForest(n_estimators=20, random_state=0))]).fit(X)
options = {id(pipeline[-1]): {"score_samples": True}} if "score_samples" in sys.argv else None
opset = {"": 11, "ai.onnx.ml": 2} if "old" in sys.argv else {"": 15, "ai.onnx.ml": 3}
model = skl2onnx.to_onnx(pipeline, initial_types=[("X", kind([None, 3]))], target_opset=opset, options=options)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
results = dict(zip(names, session.run(None, {"X": X})))
print(json.dumps({
    "names": names,
    "shapes": [list(results[name].shape) for name in names],
    "types": [str(results[name].dtype) for name in names],
    "trees": [node.op_type for node in model.graph.node if "Tree" in node.op_type],
    "nodes": len(model.graph.node),
    "labels_differing": int((results["label"][:, 0] != pipeline.predict(X)).sum()),
    "worst": float(np.abs(results["scores"][:, 0] - pipeline.decision_function(X)).max()),
}))
"""


def convert(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("kind", "bound"), [("float", 1e-7), ("double", 1e-12)])
def test_the_forest_becomes_one_operator_with_skl2onnxs_outputs(kind, bound):
    found = json.loads(convert(kind).stdout)

    assert found["names"] == ["label", "scores"]
    assert found["shapes"] == [[500, 1], [500, 1]]
    assert found["types"] == ["int64", "float64" if kind == "double" else "float32"]
    assert found["trees"] == ["TreeEnsembleRegressor"]
    assert found["labels_differing"] == 0
    assert found["worst"] <= bound


def test_the_score_samples_option_adds_its_output():
    assert json.loads(convert("double", "score_samples").stdout)["names"] == ["label", "scores", "score_samples"]


def test_too_old_a_target_opset_is_refused():
    result = convert("double", "old")

    assert result.returncode != 0
    assert "needs target opset 3 of ai.onnx.ml, not 2" in result.stderr


def test_without_registration_skl2onnx_is_left_alone():
    assert len(json.loads(convert("float", "unregistered").stdout)["trees"]) == 20
