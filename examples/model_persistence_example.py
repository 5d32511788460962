"""Train once, deploy many times: the whole story on the demo telemetry, in one run of a few seconds.

Without an argument the models go into a temporary folder, which is removed at the end; with one they are kept there:

    python examples/model_persistence_example.py [FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer, ModelService

TELEMETRY = Path(__file__).resolve().parents[1] / "demo" / "telemetry"
HELD_OUT = ("healthy_drive_05.csv", "healthy_drive_11.csv", "healthy_charge_02.csv")
MONITORED = "fault_voltage_gain_01.csv"
BATCH_ROWS = 300


@dataclass(frozen=True, slots=True)
class Shares:
    """How many percent of the rows a model flags, healthy and after the onset of a fault."""

    healthy: float
    faulty: float


def trips(names: Sequence[str]) -> pd.DataFrame:
    """The named files as one table; its source is recorded in the model's sidecar."""
    data = pd.concat([pd.read_csv(TELEMETRY / name) for name in names], ignore_index=True)
    data.attrs["source"] = ", ".join(names)
    return data


def train(folder: Path, healthy: pd.DataFrame) -> tuple[Path, Path]:
    """Fit and save two versions that differ in their parameters: a MINOR step."""
    recipes = {
        "1.0.0": EVBatteryAnalyzer(),
        "1.1.0": EVBatteryAnalyzer(contamination=0.02, warning_threshold=-0.6, critical_threshold=-0.65),
    }
    saved = []
    for version, analyzer in recipes.items():
        analyzer.fit(healthy)
        path = folder / f"baseline_v{version}"
        metadata = {"version": version, "dataset": "simulated demo trips", "rows": len(healthy)}
        analyzer.save_model(path, metadata=metadata)
        info = analyzer.get_model_info()
        print(f"  {info['name']}: {info['rows_trained_on']} rows, parity {info['parity_max_ulp']} ulp")
        saved.append(path)
    return saved[0], saved[1]


def check_deployment(path: Path, data: pd.DataFrame) -> None:
    """Both back ends and the runtime must say the same before a model goes out."""
    loaded = [EVBatteryAnalyzer.load_model(path, backend=backend) for backend in ("sklearn", "onnx")]
    results = [model.analyze_telemetry(data) for model in loaded]
    results.append(ev_qa_runtime.load_model(path).analyze_telemetry(data))
    if any(result != results[0] for result in results):
        raise SystemExit(f"{path}: the back ends differ")
    print(f"  {path.name}: scikit-learn, ONNX and the runtime give the same result on {len(data)} rows")


def shares(model: EVBatteryAnalyzer, healthy: pd.DataFrame, faulty: pd.DataFrame) -> Shares:
    """What a model flags of healthy rows that it was not trained on, and of rows with a fault."""
    flagged = model.analyze_telemetry(faulty[faulty["fault"] == 1])
    return Shares(model.analyze_telemetry(healthy)["anomaly_percentage"], flagged["anomaly_percentage"])


def compare(paths: Sequence[Path], healthy: pd.DataFrame, faulty: pd.DataFrame) -> None:
    """A/B: the same rows, two models."""
    print(f"  {'model':<18} {'flagged, healthy':>17} {'flagged, faulty':>16}")
    for path in paths:
        found = shares(EVBatteryAnalyzer.load_model(path), healthy, faulty)
        print(f"  {path.name:<18} {found.healthy:>15.1f} % {found.faulty:>14.1f} %")


def monitor(path: Path, trip: pd.DataFrame) -> None:
    """One shared model, a stream of batches, one line a batch."""
    service = ModelService(path)  # loads at the first batch, once
    for start in range(0, len(trip), BATCH_ROWS):
        batch = trip.iloc[start : start + BATCH_ROWS]
        result: dict[str, Any] = service.predict(batch)
        print(
            f"  {start:>5} s  {result['severity']:<8} flagged {result['anomaly_percentage']:>5.1f} %"
            f"  lowest score {result['lowest_score']:.3f}  faulty rows {int(batch['fault'].sum())}"
        )


def run(folder: Path) -> None:
    """The story."""
    names = sorted(path.name for path in TELEMETRY.glob("*.csv"))
    training = [name for name in names if name.startswith("healthy") and name not in HELD_OUT]
    held_out, faulty = trips(HELD_OUT), trips([name for name in names if name.startswith("fault")])
    print("1. train offline, save two versions")
    paths = train(folder, trips(training))
    print("2. check before deployment")
    for path in paths:
        check_deployment(path, held_out)
    print("3. compare the two on trips they have not seen")
    compare(paths, held_out, faulty)
    print(f"4. monitor {MONITORED} with {paths[1].name}")
    monitor(paths[1], trips([MONITORED]))
    reading = np.array([[352.4, 41.0, 24.5]])
    print(f"5. one reading in the runtime: score {ev_qa_runtime.load_model(paths[1]).score_samples(reading)[0]:.4f}")


def main() -> int:
    """Run in the folder given, or in a temporary one."""
    parser = argparse.ArgumentParser(description="Train, save, load, compare and monitor on the demo telemetry.")
    parser.add_argument("folder", nargs="?", type=Path, help="where to keep the models (default: a temporary folder)")
    folder = parser.parse_args().folder
    if folder is not None:
        run(folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run(Path(temporary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
