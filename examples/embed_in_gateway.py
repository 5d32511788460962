"""How a gateway embeds the runtime: load once at start, then judge every reading as it comes in.

Needs ``ev-qa-runtime`` alone. A CSV file stands in for the bus; replace ``readings`` with your own source.

    python examples/embed_in_gateway.py artifacts/production/demo_pack_v1.0.0 demo/telemetry/fault_voltage_gain_01.csv
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ev_qa_runtime import Detector, EvQaError, Severity, Verdict, load_model

Reading = dict[str, float | None]


def readings(path: Path) -> Iterator[Reading]:
    """The rows of a CSV file as name → value; what is no number becomes None, which means missing."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            yield {name: number(cell) for name, cell in row.items() if name is not None}


def number(cell: str | None) -> float | None:
    """The cell's number, or None."""
    try:
        return None if cell is None else float(cell)
    except ValueError:
        return None


def describe(verdict: Verdict) -> str:
    """One line for a log. An INVALID reading has reasons instead of a score."""
    if not verdict.valid:
        return f"{verdict.severity}  {'; '.join(verdict.reasons)}"
    return f"{verdict.severity}  score {verdict.score:.4f}, label {verdict.label:+d}"


def watch(detector: Detector, source: Iterator[Reading]) -> Counter[Severity]:
    """Judge every reading, say when the severity changes, and count."""
    counted: Counter[Severity] = Counter()
    before: Severity | None = None
    for number_of_reading, reading in enumerate(source):
        verdict = detector.score(**reading)
        counted[verdict.severity] += 1
        if verdict.severity is not before:
            print(f"reading {number_of_reading:>6}  {describe(verdict)}")
            before = verdict.severity
    return counted


def main() -> int:
    """Load the model, watch the file, print the counts."""
    parser = argparse.ArgumentParser(description="Judge the readings of a CSV file one by one, as a gateway would.")
    parser.add_argument("model", metavar="NAME", help="path of the model, with or without suffix")
    parser.add_argument("telemetry", metavar="TELEMETRY.csv", type=Path, help="a file with a header line")
    parser.add_argument("--limit", type=int, default=None, metavar="N", help="stop after N readings")
    options = parser.parse_args()
    if options.limit is not None and options.limit < 0:
        parser.error("--limit must not be negative")
    try:
        detector = load_model(options.model)  # once: this verifies the digests and scores the golden rows
        print(f"model {detector.info['name']}, version {detector.info['version']}")
        counted = watch(detector, itertools.islice(readings(options.telemetry), options.limit))
    except (EvQaError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(", ".join(f"{severity} {counted[severity]}" for severity in Severity))
    return 0


if __name__ == "__main__":
    sys.exit(main())
