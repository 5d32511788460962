"""Road-load power of a compact electric car, and the battery current it asks for.

Road load (see for example L. Guzzella and A. Sciarretta, "Vehicle Propulsion Systems", chapter 2):

    F = lambda m dv/dt + m g c_rr cos(a) + 1/2 rho c_d A v^2 + m g sin(a),    P_wheel = F v

with rotating-mass factor lambda, slope angle a and air density rho (ideal gas at sea level). Driving, the
battery gives P_wheel / efficiency; braking, it gets P_wheel * efficiency, limited in power, faded out at low
speed and reduced in a cold or nearly full pack. The auxiliaries come on top.

Battery current from battery power P with open-circuit voltage U and resistance R, from P = (U - R I) I:

    I = (U - sqrt(U^2 - 4 R P)) / (2 R)

SI units throughout; power and current are positive in discharge.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulation.drive_cycles import DriveCycle, FloatArray

MASS_KG = 1850.0
ROTATING_MASS_FACTOR = 1.05
GRAVITY = 9.81
ROLLING_COEFFICIENT = 0.010
DRAG_COEFFICIENT = 0.27
FRONTAL_AREA_M2 = 2.35
DRIVE_EFFICIENCY = 0.88
REGEN_EFFICIENCY = 0.80
MAX_DRIVE_POWER_W = 115e3
MAX_REGEN_POWER_W = 62e3
REGEN_FADE_MPS = (1.5, 5.0)
BASE_AUXILIARY_W = 450.0
CLIMATE_W_PER_K = 65.0
COMFORT_C = 21.0


def auxiliary_power(ambient_c: float) -> float:
    """Electronics, plus heating or air conditioning that grows with the distance from comfort."""
    return BASE_AUXILIARY_W + CLIMATE_W_PER_K * abs(ambient_c - COMFORT_C)


def battery_power(cycle: DriveCycle, ambient_c: float, pack_c: float, soc: float) -> FloatArray:
    """Battery power in W at 1 Hz, positive in discharge."""
    speed = cycle.speed
    angle = np.arctan(cycle.grade)
    air_density = 101325.0 / (287.05 * (ambient_c + 273.15))
    force = (
        ROTATING_MASS_FACTOR * MASS_KG * np.gradient(speed)
        + MASS_KG * GRAVITY * (ROLLING_COEFFICIENT * np.cos(angle) + np.sin(angle))
        + 0.5 * air_density * DRAG_COEFFICIENT * FRONTAL_AREA_M2 * speed**2
    )
    at_wheels = np.where(speed > 0.05, force * speed, 0.0)
    driving = np.minimum(np.maximum(at_wheels, 0.0) / DRIVE_EFFICIENCY, MAX_DRIVE_POWER_W)
    braking = np.minimum(np.maximum(-at_wheels, 0.0) * REGEN_EFFICIENCY, regen_limit(speed, pack_c, soc))
    return driving - braking + auxiliary_power(ambient_c)


def regen_limit(speed: FloatArray, pack_c: float, soc: float) -> FloatArray:
    """Largest power in W that braking may feed back."""
    cold = float(np.clip((pack_c + 10.0) / 25.0, 0.1, 1.0))
    full = float(np.clip((1.0 - soc) / 0.15, 0.1, 1.0))
    return MAX_REGEN_POWER_W * cold * full * np.interp(speed, REGEN_FADE_MPS, (0.0, 1.0))


def drive_waste_heat(power: FloatArray) -> FloatArray:
    """Heat in W that motor, gearbox and power electronics leave at a battery power in W."""
    return np.where(power > 0.0, power * (1.0 - DRIVE_EFFICIENCY), -power * (1.0 / REGEN_EFFICIENCY - 1.0))


def current_for_power(
    power: FloatArray,
    start_soc: float,
    capacity_ah: float,
    resistance_ohm: float,
    open_circuit_voltage: Callable[[float], float],
) -> FloatArray:
    """Battery current in A at 1 Hz for a power profile, counting the charge as it goes."""
    current = np.empty(len(power))
    soc = start_soc
    for second, watts in enumerate(power):
        voltage = open_circuit_voltage(soc)
        root = max(0.0, voltage**2 - 4.0 * resistance_ohm * float(watts))
        current[second] = (voltage - root**0.5) / (2.0 * resistance_ohm)
        soc -= current[second] / (3600.0 * capacity_ah)
    return current
