"""A model over time, fitted once and saved, and recordings to report on; none of the tests may change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.report import ModelReport, report_on
from ev_qa_runtime import Detector, load_model

TELEMETRY = Path(__file__).parents[3] / "demo" / "telemetry"
SIGNALS = ["time_s", "voltage", "current", "temp", "soc"]


@pytest.fixture(scope="session")
def over_time_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated model over time on disk."""
    names = [f"healthy_drive_{number:02}" for number in (1, 2, 3, 4, 5, 6)]
    names += [f"healthy_charge_{number:02}" for number in (1, 2, 3, 4)]
    trips = [pd.read_csv(TELEMETRY / f"{name}.csv").assign(trip=number) for number, name in enumerate(names)]
    analyzer = EVBatteryAnalyzer(features="physics", n_estimators=60, current_sign="discharge_positive")
    path = tmp_path_factory.mktemp("over_time") / "pack_v2.0.0"
    analyzer.fit(pd.concat(trips, ignore_index=True)).save_model(path)
    return path


@pytest.fixture(scope="session")
def detector(over_time_once: Path) -> Detector:
    """That model, loaded as the runtime does."""
    return load_model(over_time_once)


@pytest.fixture(scope="session")
def stuck() -> pd.DataFrame:
    """A trip whose current stays the same from row 1,100 on."""
    return pd.read_csv(TELEMETRY / "fault_current_stuck_01.csv")[SIGNALS]


@pytest.fixture(scope="session")
def healthy() -> pd.DataFrame:
    """A trip that the model was not trained on."""
    return pd.read_csv(TELEMETRY / "healthy_drive_11.csv")[SIGNALS]


@pytest.fixture(scope="session")
def fleet(stuck: pd.DataFrame, healthy: pd.DataFrame) -> pd.DataFrame:
    """Two vehicles in turns, on dates, one of them on fire at the end and with readings that are missing."""
    burning = healthy.iloc[:1500].reset_index(drop=True)
    burning.loc[1300:, "temp"] += np.linspace(0.0, 90.0, 200)
    burning.loc[200:240, "soc"] = np.nan
    both = pd.concat([stuck.iloc[:1500].assign(vehicle_id="car 1"), burning.assign(vehicle_id="car <2>")])
    both["timestamp"] = pd.to_datetime(1_717_200_000 + both.pop("time_s"), unit="s", utc=True)
    return both.sort_index(kind="stable").reset_index(drop=True)


@pytest.fixture(scope="session")
def found(detector: Detector, stuck: pd.DataFrame) -> ModelReport:
    """The report on the trip whose current is stuck."""
    return report_on(detector, stuck, "stuck.csv")


@pytest.fixture(scope="session")
def of_fleet(detector: Detector, fleet: pd.DataFrame) -> ModelReport:
    """The report on the two vehicles."""
    return report_on(detector, fleet, "fleet.parquet")
