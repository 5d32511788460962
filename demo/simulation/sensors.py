"""What the battery management system records: noisy, rounded readings, and the faults of its sensors.

The state of charge is what the management system believes: the true value at the first row, and from then on
the sum of its own current readings. A leak that bypasses the current sensor, or a faulty current sensor,
therefore shows in it as it would in a car that has not yet corrected itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.drive_cycles import FloatArray
from simulation.pack import CAPACITY_AH, PackState
from simulation.trips import Fault

VOLTAGE_NOISE_V = 0.15
CURRENT_NOISE_A = 0.15
TEMPERATURE_NOISE_C = 0.04
DECIMALS = 1


@dataclass(frozen=True)
class Readings:
    """One recorded trip: volts, amperes (positive = discharge), deg C, percent, and the 0/1 fault label."""

    voltage: FloatArray
    current: FloatArray
    temperature: FloatArray
    soc: FloatArray
    fault: list[int]


def read_sensors(
    state: PackState,
    current: FloatArray,
    fault: Fault | None,
    rng: np.random.Generator,
) -> Readings:
    """Turn the true state into what is recorded."""
    count = len(current)
    voltage = state.voltage + VOLTAGE_NOISE_V * rng.normal(size=count)
    amperes = current + CURRENT_NOISE_A * rng.normal(size=count)
    temperature = state.temperature + TEMPERATURE_NOISE_C * rng.normal(size=count)
    if fault is not None:
        voltage = _apply(fault, "voltage", voltage)
        amperes = _apply(fault, "current", amperes)
        temperature = _apply(fault, "temperature", temperature)
    counted = np.concatenate(([0.0], np.cumsum(amperes[:-1]))) / (3600.0 * CAPACITY_AH)
    onset = count if fault is None else fault.onset_s
    return Readings(
        voltage=np.round(voltage, DECIMALS),
        current=np.round(amperes, DECIMALS),
        temperature=np.round(temperature, DECIMALS),
        soc=np.round(np.clip(state.soc[0] - counted, 0.0, 1.0) * 100.0, DECIMALS),
        fault=[int(second >= onset) for second in range(count)],
    )


def _apply(fault: Fault, sensor: str, values: FloatArray) -> FloatArray:
    """Put the fault on the readings of one sensor, if it is a fault of that sensor."""
    if not fault.name.startswith(sensor):
        return values
    seconds = np.maximum(np.arange(len(values), dtype=np.float64) - fault.onset_s, 0.0)
    faulty = seconds > 0.0
    if fault.name.endswith("_stuck"):
        return np.where(faulty, values[fault.onset_s], values)
    if fault.name.endswith("_drift"):
        return values + fault.parameters["rate_per_s"] * seconds
    gain = np.minimum(fault.parameters["gain_rate_per_s"] * seconds, fault.parameters["max_gain_error"])
    return values * (1.0 + gain)
