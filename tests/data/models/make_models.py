"""The golden models over time: made from the demo trips, with the figures that every later runtime must give again.

Usage: ``python tests/data/models/make_models.py`` shows whether the runtime still gives the figures in
``expected.json``; ``--write`` trains the newest model anew (its bytes differ with the time and the libraries) and
writes both. They are the witnesses of ``schema_version`` 2: write one anew only with a reason that CHANGELOG.md gives.
``over_time_v1.0.0`` has no healthy range, no record of its sampling and no prediction intervals, and is never written.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ev_qa_runtime import Detector, load_model, sidecar

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
TELEMETRY = ROOT / "demo" / "telemetry"
MODELS = ("over_time_v1.0.0", "over_time_v1.1.0")
NEWEST = FOLDER / MODELS[-1]
EXPECTED = FOLDER / "expected.json"
RECORDINGS = ("healthy_drive_03.csv", "fault_resistance_x2_02.csv", "fault_voltage_stuck_01.csv")
SIGNALS = ("time_s", "voltage", "current", "temp", "soc")
TREES = 20


def columns(path: Path) -> dict[str, np.ndarray]:
    """The signals of a demo trip, float64 [N] each."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in SIGNALS}


def figures(detector: Detector, recording: str) -> dict[str, Any]:
    """What the model says of a demo trip; digests are of bits that are the same on every machine."""
    verdicts = detector.verdicts(columns(TELEMETRY / recording))
    valid = verdicts.telemetry.valid
    return {
        "rows": len(verdicts),
        "features_sha256": _sha256(verdicts.telemetry.values),
        "path_lengths_sha256": _sha256(detector.path_length(verdicts.telemetry.values[valid])),
        "severities_sha256": _sha256(verdicts.severity.astype("<i8")),
        "severities": {str(code): count for code, count in sorted(Counter(verdicts.severity.tolist()).items())},
        "events": verdicts.summary()["events"],
    }


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _all_figures() -> dict[str, Any]:
    detectors = {name: load_model(FOLDER / name) for name in MODELS}
    return {
        name: {recording: figures(detector, recording) for recording in RECORDINGS}
        for name, detector in detectors.items()
    }


def _train() -> None:
    import pandas as pd  # noqa: PLC0415 - the rest runs with the runtime alone

    from ev_qa_framework import EVBatteryAnalyzer  # noqa: PLC0415 - the same

    healthy = sorted(TELEMETRY.glob("healthy_*.csv"))
    trips = [pd.read_csv(path).assign(trip=number) for number, path in enumerate(healthy)]
    analyzer = EVBatteryAnalyzer(features="physics", current_sign="discharge_positive", n_estimators=TREES)
    analyzer.fit(pd.concat(trips, ignore_index=True))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / NEWEST.name
        analyzer.save_model(made)
        onnx = made.with_name(f"{NEWEST.name}.onnx").read_bytes()
        contract = sidecar.decode(made.with_name(f"{NEWEST.name}.json").read_bytes())
    contract = replace(contract, files={"onnx": contract.files["onnx"]})  # no test needs its .joblib
    (FOLDER / f"{NEWEST.name}.onnx").write_bytes(onnx)
    (FOLDER / f"{NEWEST.name}.json").write_bytes(sidecar.encode(contract))


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="train the newest model anew and write all figures")
    if parser.parse_args().write:
        _train()
        EXPECTED.write_text(json.dumps(_all_figures(), indent=1) + "\n", encoding="utf-8")
        return 0
    same = _all_figures() == json.loads(EXPECTED.read_text(encoding="utf-8"))
    print("the figures are as they were" if same else "the figures differ")
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
