"""Simulate the demo telemetry: battery-pack recordings of one electric car, healthy and faulty, at 1 Hz.

A drive goes from a random speed profile over the road-load equation to battery power and current
(simulation/drive_cycles.py, simulation/vehicle.py); a charge follows a simple charging curve
(simulation/charging.py). The current then drives PyBaMM's Thevenin equivalent-circuit model of a 96-cell
pack with its lumped thermal model (simulation/pack.py). Physical faults change that model: less cooling,
more resistance, or a leak the current sensor does not see. Sensor faults change the readings
(simulation/sensors.py). simulation/recording.py joins these steps for one trip, and simulation/trips.py lists
the trips. The equations and their sources stand in the modules that use them.

Columns: time_s (s), voltage (V), current (A, positive = discharge), temp (deg C), soc (%), fault (0 or 1).
The same seed gives the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from simulation import pack
from simulation.recording import record_trip
from simulation.sensors import Readings
from simulation.trips import FAULTY_TRIPS, HEALTHY_TRIPS, Drive, Trip

SEED = 20240
SAMPLING_RATE_HZ = 1
HEADER = "time_s,voltage,current,temp,soc,fault"


def main() -> int:
    """Write every trip and the manifest."""
    parser = argparse.ArgumentParser(description="Simulate the demo telemetry.")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).resolve().parent / "telemetry",
        metavar="DIR",
        help="folder for the CSV files and manifest.json (default: telemetry/ beside this script)",
    )
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="other trips of the same car")
    options = parser.parse_args()
    output: Path = options.output
    seed: int = options.seed
    output.mkdir(parents=True, exist_ok=True)
    trips = HEALTHY_TRIPS + FAULTY_TRIPS
    entries = []
    for number, trip in enumerate(trips, start=1):
        print(f"[{number}/{len(trips)}] {trip.name}.csv", file=sys.stderr, flush=True)
        content = csv_bytes(record_trip(trip, seed))
        (output / f"{trip.name}.csv").write_bytes(content)
        entries.append(manifest_entry(trip, content))
    manifest = json.dumps(manifest_head(seed) | {"files": entries}, indent=2) + "\n"
    (output / "manifest.json").write_bytes(manifest.encode("utf-8"))
    return 0


def csv_bytes(readings: Readings) -> bytes:
    """Format the recording as CSV with fixed rounding and plain line feeds."""
    measured = (readings.voltage, readings.current, readings.temperature, readings.soc)
    lines = [HEADER]
    for second, (*values, fault) in enumerate(zip(*measured, readings.fault, strict=True)):
        # Adding 0.0 turns a negative zero into a plain one.
        texts = ",".join(f"{value + 0.0:.1f}" for value in values)
        lines.append(f"{second},{texts},{fault}")
    return ("\n".join(lines) + "\n").encode("ascii")


def manifest_entry(trip: Trip, content: bytes) -> dict[str, Any]:
    """Describe one file for the manifest."""
    fault = trip.fault
    first_row = content.split(b"\n", 2)[1].split(b",")
    return {
        "file": f"{trip.name}.csv",
        "kind": trip.kind,
        "healthy": fault is None,
        "fault": None if fault is None else fault.name,
        "fault_onset_s": None if fault is None else fault.onset_s,
        "fault_parameters": {} if fault is None else dict(fault.parameters),
        "activity": activity(trip),
        "ambient_c": trip.ambient_c,
        "start_soc_percent": float(first_row[4]),
        "rows": content.count(b"\n") - 1,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def activity(trip: Trip) -> str:
    """Say in words what is driven or charged."""
    if isinstance(trip.activity, Drive):
        return ", ".join(trip.activity.route)
    if trip.activity.ac_power_w:
        return f"AC {trip.activity.ac_power_w / 1000:.1f} kW"
    return f"DC up to {trip.activity.dc_current_a:.0f} A"


def manifest_head(seed: int) -> dict[str, Any]:
    """State the facts about the whole data set for the manifest."""
    return {
        "seed": seed,
        "pybamm_version": pack.PYBAMM_VERSION,
        "pack": {
            "cells_in_series": pack.CELLS_IN_SERIES,
            "capacity_ah": pack.CAPACITY_AH,
            "nominal_voltage_v": pack.NOMINAL_VOLTAGE_V,
        },
        "sampling_rate_hz": SAMPLING_RATE_HZ,
        "sign_convention": "positive current = discharge",
        "columns": HEADER.split(","),
    }


if __name__ == "__main__":
    sys.exit(main())
