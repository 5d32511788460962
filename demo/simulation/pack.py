"""The battery pack: PyBaMM's Thevenin equivalent circuit with its lumped thermal model, scaled to a car.

PyBaMM's example parameter set describes a generic 100 Ah cell: open-circuit voltage, entropic change, R0, R1
and C1 as tables over temperature, current and state of charge. One cell group of the pack is that cell scaled
to 170 Ah (current / 1.7, resistance / 1.7, capacitance * 1.7), with resistance raised further for ageing and
connections; above their warmest temperature the tables keep their last value. The pack is 96 groups in series
that behave alike, so one group is simulated:

    V = OCV(SoC) - R0 I - V1,    C1 dV1/dt = I - V1 / R1,    dSoC/dt = -I / (3600 Q)
    m_cell c dT_cell/dt = I^2 R0 + V1^2 / R1 + Q_rev + Q_short - k_cell (T_cell - T_plate)
    m_plate c dT_plate/dt = k_cell (T_cell - T_plate) - k_coolant(T_cell) (T_plate - T_coolant) + Q_plate

The coolant has the ambient temperature, or that of the chiller when it is hot outside; a thermostat sets its
flow and so k_coolant. Q_plate is waste heat of the drive, which only reaches the pack when cooling is lost.

Sources: G. Barletta et al., "Thevenin's Battery Model Parameter Estimation Based on Simulink", Energies 15,
2022, for the circuit; N. Nieto et al., "Thermal Modeling of Large Format Lithium-Ion Cells", Journal of the
Electrochemical Society 160, 2012, for the heat terms. PyBaMM's "jig" is the cooling plate here and its
"ambient" the coolant. Current is positive in discharge.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulation.drive_cycles import FloatArray

os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"  # read when pybamm is imported

import pybamm  # type: ignore[import-untyped, unused-ignore]  # PyBaMM ships no type information

PYBAMM_VERSION = str(pybamm.__version__)

CELLS_IN_SERIES = 96
CAPACITY_AH = 170.0
NOMINAL_VOLTAGE_V = 355.0
NOMINAL_RESISTANCE_OHM = 0.100

EXAMPLE_CELL_AH = 100.0
SIZE_RATIO = CAPACITY_AH / EXAMPLE_CELL_AH
AGEING_FACTOR = 1.75
RESISTANCE_TABLE_ENDS_AT_C = 50.0
ENTROPY_TABLE_ENDS_AT_C = 40.0

GROUP_HEAT_CAPACITY_J_PER_K = 2250.0
PLATE_HEAT_CAPACITY_J_PER_K = 350.0
GROUP_TO_PLATE_W_PER_K = 6.0
PLATE_TO_COOLANT_W_PER_K = 4.0
IDLE_COOLING_SHARE = 0.12
COOLING_THERMOSTAT_C = 29.0
COOLING_THERMOSTAT_WIDTH_K = 1.5
CHILLED_COOLANT_C = 27.0

SOLVER_RELATIVE_TOLERANCE = 1e-6
SOLVER_ABSOLUTE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class PackInputs:
    """Everything that acts on the pack; arrays hold one value per second."""

    current: FloatArray
    start_soc: float
    start_c: float
    ambient_c: float
    resistance_factor: FloatArray
    cooling_factor: FloatArray
    leak_current: FloatArray
    leak_heat_share: float
    plate_heat_w: FloatArray


@dataclass(frozen=True)
class PackState:
    """True pack voltage (V), temperature (deg C) and state of charge (0 to 1) at 1 Hz."""

    voltage: FloatArray
    temperature: FloatArray
    soc: FloatArray


def open_circuit_voltage_table() -> Callable[[float], float]:
    """Pack open-circuit voltage in V as a function of the state of charge (0 to 1)."""
    table = pybamm.equivalent_circuit.Thevenin().default_parameter_values["Open-circuit voltage [V]"]
    grid = np.linspace(0.0, 1.0, 201)
    volts = np.asarray(table(pybamm.Vector(grid)).evaluate(), dtype=np.float64).ravel() * CELLS_IN_SERIES
    return lambda soc: float(np.interp(soc, grid, volts))


def simulate_pack(inputs: PackInputs) -> PackState:
    """Solve the equivalent circuit over the whole profile."""
    seconds = np.arange(len(inputs.current), dtype=np.float64)
    model = pybamm.equivalent_circuit.Thevenin()
    _add_fault_heat(model)
    simulation = pybamm.Simulation(
        model,
        parameter_values=_parameter_values(model, inputs, seconds),
        solver=pybamm.IDAKLUSolver(rtol=SOLVER_RELATIVE_TOLERANCE, atol=SOLVER_ABSOLUTE_TOLERANCE),
    )
    solution = simulation.solve(seconds)
    if solution.t[-1] != seconds[-1]:
        raise RuntimeError(f"simulation ended after {solution.t[-1]:.0f} s: {solution.termination}")

    def series(name: str) -> FloatArray:
        return np.asarray(solution[name](seconds), dtype=np.float64)

    return PackState(
        voltage=series("Voltage [V]") * CELLS_IN_SERIES,
        temperature=series("Cell temperature [degC]"),
        soc=series("SoC"),
    )


def _add_fault_heat(model: Any) -> None:
    """Add the heat of an internal short to the cell's balance, and waste heat of the drive to the plate's."""
    cell = model.variables["Cell temperature [degC]"]
    plate = model.variables["Jig temperature [degC]"]
    cell_mass = pybamm.Parameter("Cell thermal mass [J/K]")
    model.rhs[cell] += pybamm.Parameter("Short circuit heat [W]") / cell_mass
    model.rhs[plate] += pybamm.Parameter("Plate heat [W]") / pybamm.Parameter("Jig thermal mass [J/K]")


def _cooling_share(model: Any) -> Any:
    """Share of the full coolant flow, which rises with the cell temperature."""
    above = (model.variables["Cell temperature [degC]"] - COOLING_THERMOSTAT_C) / COOLING_THERMOSTAT_WIDTH_K
    return IDLE_COOLING_SHARE + (1.0 - IDLE_COOLING_SHARE) / (1.0 + pybamm.exp(-above))


def _parameter_values(model: Any, inputs: PackInputs, seconds: FloatArray) -> Any:
    """PyBaMM's example parameters, scaled to one cell group and driven by the inputs."""
    values = model.default_parameter_values
    r0, r1, c1 = values["R0 [Ohm]"], values["R1 [Ohm]"], values["C1 [F]"]
    entropic_change = values["Entropic change [V/K]"]

    def over_time(samples: FloatArray) -> Any:
        return pybamm.Interpolant(seconds, samples, pybamm.t)

    def cell_table(table: Any, scale: FloatArray) -> Any:
        factor = over_time(scale)

        def scaled(temperature: Any, current: Any, soc: Any) -> Any:
            warmest = pybamm.minimum(temperature, RESISTANCE_TABLE_ENDS_AT_C)
            return table(warmest, current / SIZE_RATIO, soc) * factor

        return scaled

    def entropic(voltage: Any, temperature: Any) -> Any:
        return entropic_change(voltage, pybamm.minimum(temperature, ENTROPY_TABLE_ENDS_AT_C))

    resistance_scale = inputs.resistance_factor * (AGEING_FACTOR / SIZE_RATIO)
    cooling = over_time(inputs.cooling_factor * PLATE_TO_COOLANT_W_PER_K) * _cooling_share(model)
    leak_heat = inputs.leak_current * (NOMINAL_VOLTAGE_V / CELLS_IN_SERIES) * inputs.leak_heat_share
    values.update(
        {
            "Cell capacity [A.h]": CAPACITY_AH,
            "Nominal cell capacity [A.h]": CAPACITY_AH,
            "Initial SoC": inputs.start_soc,
            "Initial temperature [K]": inputs.start_c + 273.15,
            "Ambient temperature [K]": min(inputs.ambient_c, CHILLED_COOLANT_C) + 273.15,
            "Current function [A]": over_time(inputs.current + inputs.leak_current),
            "Lower voltage cut-off [V]": 2.5,
            "Upper voltage cut-off [V]": 4.4,
            "Cell thermal mass [J/K]": GROUP_HEAT_CAPACITY_J_PER_K,
            "Jig thermal mass [J/K]": PLATE_HEAT_CAPACITY_J_PER_K,
            "Cell-jig heat transfer coefficient [W/K]": GROUP_TO_PLATE_W_PER_K,
            "Jig-air heat transfer coefficient [W/K]": cooling,
            "R0 [Ohm]": cell_table(r0, resistance_scale),
            "R1 [Ohm]": cell_table(r1, resistance_scale),
            "C1 [F]": cell_table(c1, 1.0 / resistance_scale),  # keeps the time constant R1 C1
            "Entropic change [V/K]": entropic,
        }
    )
    values.update(
        {
            "Short circuit heat [W]": over_time(leak_heat),
            "Plate heat [W]": over_time(inputs.plate_heat_w / CELLS_IN_SERIES),
        },
        check_already_exists=False,
    )
    return values
