"""Charge profiles: current in A at 1 Hz, negative because charging.

AC charging holds a constant power. DC fast charging holds the charger's highest current, then tapers linearly
with the state of charge, the outline that charge curves of cars of this size commonly have.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulation.drive_cycles import FloatArray, smooth_noise
from simulation.vehicle import current_for_power

DC_TAPER_SOC = (0.45, 0.85)
DC_TAPER_CURRENT_A = (200.0, 70.0)
CHARGER_RIPPLE = 0.003


def ac_charge_current(
    power_w: float,
    seconds: int,
    start_soc: float,
    capacity_ah: float,
    resistance_ohm: float,
    open_circuit_voltage: Callable[[float], float],
    rng: np.random.Generator,
) -> FloatArray:
    """Constant-power charging with a small slow ripple of the mains."""
    power = -power_w * (1.0 + CHARGER_RIPPLE * smooth_noise(seconds, 20.0, rng))
    return current_for_power(power, start_soc, capacity_ah, resistance_ohm, open_circuit_voltage)


def dc_charge_current(
    max_current_a: float, seconds: int, start_soc: float, capacity_ah: float, rng: np.random.Generator
) -> FloatArray:
    """Current-limited charging that tapers with the state of charge."""
    ripple = 1.0 + CHARGER_RIPPLE * smooth_noise(seconds, 20.0, rng)
    current = np.empty(seconds)
    soc = start_soc
    for second in range(seconds):
        allowed = float(np.interp(soc, DC_TAPER_SOC, DC_TAPER_CURRENT_A))
        current[second] = -min(max_current_a, allowed) * ripple[second]
        soc -= current[second] / (3600.0 * capacity_ah)
    return current
