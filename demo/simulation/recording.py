"""One trip from the driver's wish to the recorded rows.

Each trip draws its random numbers from the seed and its own name, so that adding a trip changes no other.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from simulation import pack
from simulation.charging import ac_charge_current, dc_charge_current
from simulation.drive_cycles import FloatArray, make_drive_cycle
from simulation.sensors import Readings, read_sensors
from simulation.trips import Drive, Trip
from simulation.vehicle import auxiliary_power, battery_power, current_for_power, drive_waste_heat

PRE_ROLL_S = 180


def record_trip(trip: Trip, seed: int) -> Readings:
    """Simulate one trip, cut off its pre-roll, and read its sensors."""
    rng = np.random.default_rng([seed, crc32(trip.name.encode("ascii"))])
    current = demanded_current(trip, rng)
    state = pack.simulate_pack(pack_inputs(trip, current))
    recorded = pack.PackState(
        voltage=state.voltage[PRE_ROLL_S:],
        temperature=state.temperature[PRE_ROLL_S:],
        soc=state.soc[PRE_ROLL_S:],
    )
    return read_sensors(recorded, current[PRE_ROLL_S:], trip.fault, rng)


def demanded_current(trip: Trip, rng: np.random.Generator) -> FloatArray:
    """Compute the current through the sensor for the pre-roll and the trip.

    Before a drive the car stands with its auxiliaries on; before a recorded slice of a charge it is charging
    already. Either way the model has settled when the recording begins.
    """
    driven = trip.minutes * 60
    seconds = PRE_ROLL_S + driven
    table = pack.open_circuit_voltage_table()
    circuit = (trip.start_soc, pack.CAPACITY_AH, pack.NOMINAL_RESISTANCE_OHM, table)
    if isinstance(trip.activity, Drive):
        cycle = make_drive_cycle(trip.activity.route, driven, rng)
        standing = np.full(PRE_ROLL_S, auxiliary_power(trip.ambient_c))
        driving = battery_power(cycle, trip.ambient_c, trip.start_c, trip.start_soc)
        return current_for_power(np.concatenate((standing, driving)), *circuit)
    if trip.activity.ac_power_w:
        return ac_charge_current(trip.activity.ac_power_w, seconds, *circuit, rng)
    return dc_charge_current(trip.activity.dc_current_a, seconds, trip.start_soc, pack.CAPACITY_AH, rng)


def pack_inputs(trip: Trip, current: FloatArray) -> pack.PackInputs:
    """Gather what acts on the pack, with the trip's physical fault if it has one."""
    fault = trip.fault
    onset = len(current) if fault is None else (PRE_ROLL_S + fault.onset_s if fault.onset_s else 0)
    parameters = {} if fault is None else fault.parameters

    def switched(before: float, parameter: str) -> FloatArray:
        after = parameters.get(parameter, before)
        return np.where(np.arange(len(current)) >= onset, after, before)

    return pack.PackInputs(
        current=current,
        start_soc=trip.start_soc,
        start_c=trip.start_c,
        ambient_c=trip.ambient_c,
        resistance_factor=switched(1.0, "resistance_factor"),
        cooling_factor=switched(1.0, "remaining_cooling"),
        leak_current=switched(0.0, "leak_current_a"),
        leak_heat_share=parameters.get("leak_heat_share", 0.0),
        plate_heat_w=switched(0.0, "drive_heat_share") * drive_waste_heat(current * pack.NOMINAL_VOLTAGE_V),
    )
