"""Fitting the physics recipe: least squares of what healthy telemetry shows, on the runtime's own filters.

The circuit and the heat balance are in :mod:`ev_qa_runtime.physics.extractor`. Both are linear in their coefficients.
Columns are standardised; a little ridge keeps those that the data do not tell apart small (Hoerl, Kennard, "Ridge
regression", Technometrics 12, 1970); resistances are held at 0 or above; and rows far from the fit are left out twice
(least squares trimmed at six median absolute deviations), so that a few bad rows do not bend it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear, nnls

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.physics.extractor import PhysicsExtractor
from ev_qa_runtime.physics.filters import RELAXATION_TIMES_S
from ev_qa_runtime.physics.recipe import (
    PhysicsRecipe,
    Relaxation,
    ThermalModel,
    VoltageModel,
    count_plain,
)
from ev_qa_runtime.physics.regressors import RegressorExtractor
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import SignalTable

MINIMUM_ROWS = 200
"""Fewer rows than this cannot tell the circuit's coefficients apart."""

RESTART_AFTER_S = 600.0
_RIDGE = 1e-5
_TRIMMINGS = 2
_TRIMMED_DEVIATIONS = 6.0
_OCV_POWERS = 5
_LEAST_STEP_VARIANCE = 1e-6
_LEAST_SPREAD = 1e-9
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Regressors of all usable rows, one array each."""

    voltage: FloatArray
    current: FloatArray
    soc: FloatArray
    tens: FloatArray
    currents: FloatArray
    heat: FloatArray
    warm: FloatArray
    temp_rise: FloatArray
    soc_rise: FloatArray
    charge_drawn: FloatArray
    step: FloatArray


def fit_recipe(table: SignalTable, usable: npt.NDArray[np.bool_]) -> PhysicsRecipe:
    """Fit on the ``usable`` rows (bool [N]: every needed signal finite) of healthy telemetry.

    ``table`` must hold exactly the recipe's signals, rows of each vehicle in the order of time. Raises
    ``TelemetryError`` where there are too few rows, or where they say nothing because no current flows.
    """
    if (count := int(np.count_nonzero(usable))) < MINIMUM_ROWS:
        raise TelemetryError(
            f"cannot fit physics features on {count} usable row(s): at least {MINIMUM_ROWS} are needed"
        )
    order = _order(table, usable)
    rows = _regressor_rows(table, order)
    mean_square_current = float(np.mean(rows.current**2))
    mean_square_step = float(np.mean(rows.step**2))
    if not (mean_square_current > 0.0 and mean_square_step > 0.0):
        raise TelemetryError("cannot fit physics features: the current never changes in the training data")
    recipe = PhysicsRecipe(
        signals=table.names,
        voltage=_voltage_model(rows),
        thermal=_thermal_model(rows, mean_square_current),
        percent_per_ampere_second=_charge_coefficient(rows),
        mean_square_current=mean_square_current,
        mean_square_step=mean_square_step,
        step_variance=(1.0, 0.0),
        middle=(0.0,) * count_plain(table.names),
        spread=(1.0,) * count_plain(table.names),
        restart_after_s=RESTART_AFTER_S,
    )
    recipe = replace(recipe, step_variance=_step_variance(recipe, table, order, rows.step))
    return _with_usual_features(recipe, table, order)


def _order(table: SignalTable, usable: npt.NDArray[np.bool_]) -> IntArray:
    """The usable rows, vehicle by vehicle."""
    return np.concatenate(
        [np.flatnonzero((table.vehicle == vehicle) & usable) for vehicle in range(len(table.vehicles))]
    )


def _regressor_rows(table: SignalTable, order: IntArray) -> _Rows:
    at = {name: position for position, name in enumerate(table.names)}
    found = list(
        _stepped(table, order, lambda: RegressorExtractor(table.names, RESTART_AFTER_S, RELAXATION_TIMES_S).step)
    )
    values = table.values[order]
    return _Rows(
        voltage=values[:, at["voltage"]],
        current=values[:, at["current"]],
        soc=values[:, at["soc"]],
        tens=(values[:, at["temp"]] - 25.0) / 10.0,
        currents=np.array([one.currents for one in found]),
        heat=np.array([one.heat for one in found]),
        **{
            name: np.array([getattr(one, name) for one in found])
            for name in ("warm", "temp_rise", "soc_rise", "charge_drawn", "step")
        },
    )


def _stepped(
    table: SignalTable, order: IntArray, fresh: Callable[[], Callable[[float, list[float]], _Found]]
) -> Iterator[_Found]:
    """What ``fresh()``, made anew for each vehicle, gives for the rows in ``order``."""
    step, vehicle = fresh(), -1
    times, values, vehicles = table.time[order].tolist(), table.values[order].tolist(), table.vehicle[order].tolist()
    for time, reading, its_vehicle in zip(times, values, vehicles, strict=True):
        if its_vehicle != vehicle:
            step, vehicle = fresh(), its_vehicle
        yield step(time, reading)


def _step_variance(
    recipe: PhysicsRecipe, table: SignalTable, order: IntArray, current_step: FloatArray
) -> tuple[float, float]:
    """Variance of the residual's steps at rest and for each A² of the current's step, both not negative.

    Rows far from the fit are left out as in the other fits. At rest it is at least that of rounding to the voltage's
    own resolution: uniform over one step of it, so a twelfth of its square, and twice that for a difference.
    """
    at = [feature.name for feature in recipe.features].index("voltage_step_ratio")  # the step itself: divided by 1
    steps = np.array([one[at] for one in _stepped(table, order, lambda: PhysicsExtractor(recipe).step)])
    voltages = np.unique(table.values[order, table.names.index("voltage")])
    resolution = float(np.diff(voltages).min()) if len(voltages) > 1 else 0.0
    floor = max(resolution**2 / 6.0, _LEAST_STEP_VARIANCE)
    squares, columns = steps**2, np.column_stack([np.ones(len(steps)), current_step**2])
    variance = np.array([max(float(squares.mean()), floor), 0.0])
    for _ in range(_TRIMMINGS + 1):
        kept = squares <= _TRIMMED_DEVIATIONS**2 * (columns @ variance)
        weight = 1.0 / (columns[kept] @ variance)  # a variance's own spread grows with it
        variance, _rest = nnls(columns[kept] * weight[:, None], squares[kept] * weight)
        variance[0] = max(variance[0], floor)
    return float(variance[0]), float(variance[1])


def _with_usual_features(recipe: PhysicsRecipe, table: SignalTable, order: IntArray) -> PhysicsRecipe:
    """The recipe with middle and spread of its features; 1 is the spread of what never varies."""
    found = np.array(list(_stepped(table, order, lambda: PhysicsExtractor(recipe).step)))[:, : len(recipe.middle)]
    spread = found.std(axis=0)
    spread[spread <= _LEAST_SPREAD * np.maximum(1.0, np.abs(found).max(axis=0))] = 1.0
    return replace(recipe, middle=tuple(np.median(found, axis=0).tolist()), spread=tuple(spread.tolist()))


def _voltage_model(rows: _Rows) -> VoltageModel:
    charge = rows.soc / 100.0
    relaxed = [column for smoothed in rows.currents.T for column in (-smoothed, -smoothed * rows.tens)]
    resistance = [-rows.current * factor for factor in (1.0, rows.tens, rows.tens**2, charge)]
    columns = [*(charge**power for power in range(1, _OCV_POWERS)), rows.tens, *resistance, *relaxed]
    lowest = np.full(len(columns), -np.inf)
    lowest[_OCV_POWERS] = lowest[_OCV_POWERS + len(resistance) :: 2] = 0.0  # resistances at 25 °C
    constant, coefficients = _trimmed_least_squares(np.column_stack(columns), rows.voltage, lowest)
    open_circuit = (constant, *coefficients[: _OCV_POWERS - 1])
    per_tens, *rest = coefficients[_OCV_POWERS - 1 :]
    pairs = zip(RELAXATION_TIMES_S, rest[4::2], rest[5::2], strict=True)
    low, high = float(charge.min()), float(charge.max())
    across = float(
        np.polynomial.polynomial.polyval(high, open_circuit) - np.polynomial.polynomial.polyval(low, open_circuit)
    )
    temperatures = rows.tens * 10.0 + 25.0
    return VoltageModel(
        open_circuit=open_circuit,
        slope_outside=across / (high - low) if high > low else 0.0,
        per_10_degc=per_tens,
        resistance=tuple(rest[:4]),
        relaxations=tuple(Relaxation(*pair) for pair in pairs),
        soc_range=(100.0 * low, 100.0 * high),
        temp_range=(float(temperatures.min()), float(temperatures.max())),
    )


def _thermal_model(rows: _Rows, mean_square_current: float) -> ThermalModel:
    fast, slow = (rows.heat / mean_square_current).T
    columns = np.column_stack([rows.warm, fast, slow, fast * rows.tens, slow * rows.tens, rows.tens])
    constant, coefficients = _trimmed_least_squares(columns, rows.temp_rise)
    return ThermalModel((constant, *coefficients))


def _charge_coefficient(rows: _Rows) -> float:
    """% per A·s; negative, as discharge is positive. 0 where no charge was drawn."""
    square = float(rows.charge_drawn @ rows.charge_drawn)
    return float(rows.charge_drawn @ rows.soc_rise) / square if square > 0.0 else 0.0


def _trimmed_least_squares(
    columns: FloatArray, target: FloatArray, lowest: FloatArray | None = None
) -> tuple[float, tuple[float, ...]]:
    """Constant and coefficients of ``columns`` [N, K] for ``target`` [N]; none below ``lowest`` [K]."""
    if lowest is None:
        lowest = np.full(columns.shape[1], -np.inf)
    kept = np.ones(len(target), dtype=bool)
    for round_ in range(_TRIMMINGS + 1):
        constant, coefficients = _ridge(columns[kept], target[kept], lowest)
        if round_ == _TRIMMINGS:
            break
        error = target - constant - columns @ coefficients
        middle = float(np.median(error))
        deviation = 1.4826 * float(np.median(np.abs(error - middle)))  # that of a normal distribution
        within = np.abs(error - middle) <= _TRIMMED_DEVIATIONS * max(deviation, np.finfo(float).tiny)
        kept = within if np.count_nonzero(within) >= len(target) // 2 else kept
    return constant, tuple(coefficients.tolist())


def _ridge(columns: FloatArray, target: FloatArray, lowest: FloatArray) -> tuple[float, FloatArray]:
    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    scale = np.where(constant, 1.0, deviation)
    standard = np.where(constant, 0.0, (columns - mean) / scale)
    normal = standard.T @ standard + _RIDGE * len(target) * np.eye(columns.shape[1])
    root = np.linalg.cholesky(normal)  # the bounded problem in as many rows as there are coefficients
    seen = np.linalg.solve(root, standard.T @ (target - target.mean()))
    coefficients = lsq_linear(root.T, seen, (lowest, np.inf), method="bvls").x / scale
    return float(target.mean() - mean @ coefficients), coefficients
