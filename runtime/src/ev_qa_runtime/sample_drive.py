"""A made-up drive, to time a model over time on a machine that has no telemetry at hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.physics.recipe import PhysicsRecipe
from ev_qa_runtime.signal_names import TIME

STEP_S = 1.0


def sample_drive(recipe: PhysicsRecipe, rows: int) -> dict[str, npt.NDArray[np.float64]]:
    """Name → float64 [N]: the time in seconds and the recipe's signals, in their units, as on an ordinary drive.

    In the middle of what the recipe was fitted on, with currents of its usual size and the voltage of its circuit: a
    reading costs what a usual one does.
    """
    row = np.arange(rows, dtype=np.float64)
    low, high = recipe.voltage.soc_range
    soc = high - (high - low) * row / max(rows, 1)
    charge = soc / 100.0
    current = np.sqrt(recipe.mean_square_current) * np.sin(row / 7.0)
    voltage = np.polynomial.polynomial.polyval(charge, recipe.voltage.open_circuit)
    voltage = voltage - recipe.voltage.resistance[0] * current
    temp = sum(recipe.voltage.temp_range) / 2.0 + 0.1 * (row % 3)
    known = {
        "voltage": voltage,
        "current": current,
        "temp": temp,
        "soc": soc,
        "temp_min": temp - 1.0,
        "cell_voltage_max": 3.7 + 0.01 * (row % 5),
        "cell_voltage_min": 3.69 + 0.01 * (row % 5),
    }
    return {TIME: STEP_S * row, **{name: known[name] for name in recipe.signals}}
