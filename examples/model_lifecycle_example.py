"""The life of a model on the demo telemetry: sign, publish, promote, compare, shadow, roll back, in one run.

Without an argument everything goes into a temporary folder, which is removed at the end; with one it is kept there:

    python examples/model_lifecycle_example.py [FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ev_qa_framework import EVBatteryAnalyzer, compare_models
from ev_qa_framework.publishing import publish_model
from ev_qa_framework.registry import Registry
from ev_qa_framework.signing import generate_key
from ev_qa_runtime import load_model
from ev_qa_runtime.shadow import ShadowDetector

TELEMETRY = Path(__file__).resolve().parents[1] / "demo" / "telemetry"
HEALTHY = [TELEMETRY / f"healthy_drive_{number:02}.csv" for number in range(1, 8)]
MONITORED = TELEMETRY / "fault_voltage_gain_01.csv"


def train(folder: Path, key: Path) -> tuple[Path, Path]:
    """Two signed models: the second has a stricter threshold, which makes it the next MINOR version."""
    history = pd.concat([pd.read_csv(file) for file in HEALTHY], ignore_index=True)
    stems = []
    for version, warning in (("1.0.0", -0.55), ("1.1.0", -0.6)):
        analyzer = EVBatteryAnalyzer(contamination=0.02, warning_threshold=warning, critical_threshold=-0.65)
        analyzer.fit(history)
        stems.append(folder / f"city_v{version}")
        analyzer.save_model(stems[-1], metadata={"version": version, "dataset": "7 demo drives"}, sign_with=key)
    return stems[0], stems[1]


def deploy(registry: Registry, first: Path, second: Path) -> None:
    """Publish both; the first serves, the second waits for its turn."""
    for stem, reason in ((first, "first city model"), (second, "fewer warnings in heavy traffic")):
        publish_model(registry, stem, reason=reason)
    registry.promote("city_v1.0.0", reason="passed parity")
    registry.promote("city_v1.1.0", alias="challenger", reason="on trial")


def on_trial(root: Path, public_key: Path) -> None:
    """Score with the champion; the challenger scores the same rows beside it and never delays an answer."""
    drive = pd.read_csv(MONITORED)
    champion = load_model(f"{root}@champion", public_keys=[public_key])
    challenger = load_model(f"{root}@challenger", public_keys=[public_key])
    with ShadowDetector(champion, challenger, budget_seconds=1.0) as detector:
        answer = detector.analyze_telemetry(drive)
        detector.wait()
        seen = detector.statistics
    print(f"champion: {answer['anomaly_percentage']:.1f} % flagged; compared in its shadow: {seen.compared} rows")
    comparison = compare_models(champion, challenger, drive, labels=drive["fault"], measure_speed=False)
    a, b = comparison.a, comparison.b
    print(f"{a.name} flags {a.flagged.rate:.1%}, {b.name} {b.flagged.rate:.1%}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the story."""
    parser = argparse.ArgumentParser(description="Sign, publish, promote, compare, shadow and roll back a model.")
    parser.add_argument("folder", nargs="?", type=Path, help="keep everything here; default: a temporary folder")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        key = generate_key(folder / "release")
        first, second = train(folder / "models", folder / "release.key")
        print(f"signed by key {key.key_id}")
        registry = Registry(folder / "registry", who="release desk")
        deploy(registry, first, second)
        on_trial(folder / "registry", folder / "release.pub")
        registry.promote("city_v1.1.0", reason="fewer false alarms on trial")
        registry.rollback(reason="missed a fault in the field")
        print("serves now:", load_model(f"{folder / 'registry'}@champion").contract.name)
        for event in registry.journal.history():
            print(f"  {event.number}  {event.change.action:<9} {event.change.model:<12} {event.change.reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
