"""Models and rows that the parity tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def demo_files() -> list[Path]:
    files = sorted((ROOT / "demo" / "telemetry").glob("*.csv"))
    assert len(files) > 30
    return files


@pytest.fixture(scope="session")
def demo_model(demo_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 100 trees trained on the healthy demo trips, saved."""
    healthy = pd.concat([pd.read_csv(file) for file in demo_files if "healthy" in file.name], ignore_index=True)
    path = tmp_path_factory.mktemp("demo") / "demo"
    EVBatteryAnalyzer(n_estimators=100, contamination=0.05, critical_threshold=-0.65).fit(healthy).save_model(path)
    return path


@pytest.fixture(scope="session")
def raw_outputs() -> Callable[[bytes, np.ndarray], dict[str, np.ndarray]]:
    """Every output of a graph from plain onnxruntime, as a binding without our runtime would run it; each [N]."""

    def outputs(onnx_model: bytes, rows: np.ndarray) -> dict[str, np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {"telemetry": rows})
        assert all(value.shape == (len(rows), 1) for value in values)
        return {name: value.reshape(-1) for name, value in zip(names, values, strict=True)}

    return outputs
