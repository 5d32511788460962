"""The graph means the same to ``onnx.reference``, the standard's own evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.export import reference_outputs
from ev_qa_framework.parity import adversarial_rows, scored_by_sklearn
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.session import OUTPUT_NAMES, ScoringSession


@pytest.fixture(scope="module")
def rows(demo_model: Path, demo_files: list[Path]) -> np.ndarray:
    pipeline = EVBatteryAnalyzer.load_model(demo_model, backend="sklearn").pipeline
    around = pd.read_csv(demo_files[0])[["voltage", "current", "temp"]].to_numpy(float)
    rows = np.concatenate([around[:: len(around) // 40], adversarial_rows(pipeline, around, 60, seed=11)])
    rows[:4, 0] = [np.nan, np.inf, -np.inf, np.nan]
    rows[3] = np.nan
    return rows


def test_the_reference_gives_the_same_bits(demo_model: Path, rows: np.ndarray) -> None:
    artifact = read_artifact(demo_model)
    pipeline = EVBatteryAnalyzer.load_model(demo_model, backend="sklearn").pipeline
    expected = scored_by_sklearn(pipeline, rows, artifact.contract.thresholds)
    ours = ScoringSession(artifact.payloads["onnx"], artifact.contract)

    reference = reference_outputs(artifact.payloads["onnx"], rows)

    assert tuple(reference) == OUTPUT_NAMES
    assert {value.shape for value in reference.values()} == {(len(rows), 1)}
    found = {name: value.reshape(-1) for name, value in reference.items()}
    np.testing.assert_array_equal(found["path_length"], ours.path_length(rows), strict=True)
    np.testing.assert_array_equal(found["score_samples"], expected.score_samples, strict=True)
    np.testing.assert_array_equal(found["scores"], expected.score_samples - artifact.contract.scoring.offset)
    np.testing.assert_array_equal(found["label"], expected.label, strict=True)
    np.testing.assert_array_equal(found["severity"], expected.severity, strict=True)
    assert set(found["severity"].tolist()) >= {0, 1}


def test_the_graph_is_valid_onnx_and_carries_its_contract(demo_model: Path) -> None:
    model = onnx.load_model_from_string(read_artifact(demo_model).payloads["onnx"])

    onnx.checker.check_model(model, full_check=True)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert all(key.startswith("ev_qa.") for key in properties)
    assert properties["ev_qa.name"] == "demo"
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18), ("ai.onnx.ml", 5)]
    assert sum(node.op_type == "TreeEnsemble" for node in model.graph.node) == 1
