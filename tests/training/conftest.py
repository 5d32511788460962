"""Telemetry and small trained models that the tests of the training side share; none of them may change a fixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer

TELEMETRY = Path(__file__).parents[2] / "demo" / "telemetry"


@pytest.fixture(scope="session")
def telemetry() -> pd.DataFrame:
    """Every fifth row of two healthy demo drives: time_s, voltage, current, temp, soc, fault."""
    files = [TELEMETRY / f"healthy_drive_{number:02}.csv" for number in (1, 4)]
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True).iloc[::5].reset_index(drop=True)


@pytest.fixture(scope="session")
def faulty() -> pd.DataFrame:
    """Every fifth row of a demo trip with a fault, which no model here is trained on."""
    return pd.read_csv(TELEMETRY / "fault_current_drift_01.csv").iloc[::5].reset_index(drop=True)


@pytest.fixture(scope="session")
def readings(telemetry: pd.DataFrame) -> np.ndarray:
    """The features alone, float64 [N, 3]."""
    return telemetry[["voltage", "current", "temp"]].to_numpy()


@pytest.fixture(scope="session")
def analyzer(telemetry: pd.DataFrame) -> EVBatteryAnalyzer:
    """A small fitted model."""
    return EVBatteryAnalyzer(n_estimators=10, contamination=0.05).fit(telemetry)


@pytest.fixture(scope="session")
def saved_once(analyzer: EVBatteryAnalyzer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model on disk, to be read only."""
    path = tmp_path_factory.mktemp("models") / "pack_v1.2"
    EVBatteryAnalyzer.save_model(analyzer, path, metadata={"dataset": "demo"})
    return path


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Path:
    """A copy of the small model, to do with as one likes."""
    for suffix in ("joblib", "onnx", "json"):
        name = f"{saved_once.name}.{suffix}"
        (tmp_path / name).write_bytes((saved_once.parent / name).read_bytes())
    return tmp_path / saved_once.name


@pytest.fixture(scope="session")
def files_in() -> Callable[[Path], dict[str, bytes]]:
    """Name → bytes of every file in a folder, hidden ones included."""
    return lambda folder: {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}
