"""Readings of one vehicle → features, one reading after the other. The only implementation: training runs it too.

Invariants:

* plain floats and + − × ÷, comparisons and square roots only, which IEEE 754 rounds the same everywhere: features have
  the same bits on every machine, in a batch, in any chunks, and after the state was saved and restored;
* time counts, not rows: a mean over τ seconds moves by dt / (dt + τ) of the way to the new value (implicit Euler of
  the first-order lag), so irregular steps are weighed by their length and a repeated time stamp changes nothing;
* a pause longer than the recipe's ``restart_after_s``, or time going backwards, starts the filters anew.

The expected voltage is an equivalent circuit with open-circuit voltage, resistance and relaxations, linear in its
coefficients (Hu, Li, Peng, "A comparative study of equivalent circuit models for Li-ion batteries", J. Power Sources
198, 2012, section 2); the expected warming is Joule heat with a first-order loss (Bernardi, Pawlikowski, Newman, "A
general energy balance for battery systems", J. Electrochem. Soc. 132, 1985, without its entropic term).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.physics.filters import Filters
from ev_qa_runtime.physics.memory import Residuals, Stillness, Warming
from ev_qa_runtime.physics.recipe import PhysicsRecipe


class PhysicsExtractor:
    """Readings of one vehicle → features, in the order of ``recipe.features``. Not thread-safe."""

    def __init__(self, recipe: PhysicsRecipe) -> None:
        self.recipe = recipe
        at = recipe.signals.index
        self._at = (at("voltage"), at("current"), at("temp"), at("soc"))
        self._cells = (at("cell_voltage_max"), at("cell_voltage_min")) if recipe.has_cells else None
        self._coldest = at("temp_min") if recipe.has_probes else None
        model = recipe.voltage
        self._relaxations = tuple((one.resistance, one.resistance_per_10_degc) for one in model.relaxations)
        self._soc_range = (model.soc_range[0] / 100.0, model.soc_range[1] / 100.0)
        self._tens_range = ((model.temp_range[0] - 25.0) / 10.0, (model.temp_range[1] - 25.0) / 10.0)
        self._time: float | None = None
        self._filters = Filters([one.time_constant_s for one in model.relaxations])
        self._residuals = Residuals(recipe.mean_square_step, recipe.mean_square_current, recipe.step_variance)
        self._warming = Warming()
        self._still = {name: Stillness() for name in ("voltage", "current", "temp", "soc")}

    def step(self, time: float, reading: Sequence[float]) -> tuple[float, ...]:
        """Features of the next reading; ``time`` in seconds, the recipe's signals finite and in its order."""
        at = self._at
        voltage, current, temp, soc = reading[at[0]], reading[at[1]], reading[at[2]], reading[at[3]]
        begins = self._time is None or not 0.0 <= time - self._time <= self.recipe.restart_after_s
        dt = 0.0 if begins or self._time is None else time - self._time
        self._time = time
        filters, residuals, warming, still = self._filters, self._residuals, self._warming, self._still
        if begins:
            filters.start(current, temp, soc)
        current_step = filters.step(dt, current, temp, soc)
        tens = _held((temp - 25.0) / 10.0, self._tens_range)
        expected = self._expected_voltage(current, tens, soc / 100.0)
        expected_rise = self._expected_rise(tens)
        residual = voltage - expected
        rise = temp - filters.temp_mean - expected_rise
        spread = 0.0 if self._cells is None else reading[self._cells[0]] - reading[self._cells[1]]
        if begins:
            residuals.start(residual, current, spread)
            warming.start(temp, rise)
        step = residuals.step(dt, residual, current, current_step, spread)
        warming.step(dt, temp, rise)
        per_charge = self.recipe.percent_per_ampere_second
        drawn = per_charge * filters.drawn
        if begins:
            for name, value, moving in (
                ("voltage", voltage, expected),
                ("current", current, step),
                ("temp", temp, expected_rise),
                ("soc", soc, drawn),
            ):
                still[name].start(value, moving)
        features: tuple[float, ...] = (
            residual,
            *residuals.features(),
            soc - filters.soc_mean - per_charge * filters.charge,
            *warming.features(),
            still["voltage"].step(voltage, expected),
            still["current"].step(current, step),
            still["temp"].step(temp, expected_rise),
            still["soc"].step(soc, drawn),
        )
        if self._cells is not None:
            features = (*features, spread, residuals.spread_mean)
        if self._coldest is not None:
            features = (*features, temp - reading[self._coldest])
        return (*features, *self._deviations(features))

    def _deviations(self, features: tuple[float, ...]) -> tuple[float, float]:
        """The largest deviation from usual, and the root of the mean square of all, in standard deviations."""
        largest = squares = 0.0
        for value, middle, spread in zip(features, self.recipe.middle, self.recipe.spread, strict=True):
            deviation = abs(value - middle) / spread
            squares += deviation * deviation
            largest = max(largest, deviation)
        return largest, math.sqrt(squares / len(features))

    def _expected_voltage(self, current: float, tens: float, charge: float) -> float:
        """V. ``tens``: (temp − 25 °C) / 10, held; ``charge``: state of charge from 0 to 1."""
        model = self.recipe.voltage
        held = _held(charge, self._soc_range)
        c0, c1, c2, c3, c4 = model.open_circuit
        r0, r1, r2, r3 = model.resistance
        expected = c0 + held * (c1 + held * (c2 + held * (c3 + held * c4)))
        expected += (charge - held) * model.slope_outside + tens * model.per_10_degc
        expected -= current * (r0 + tens * (r1 + tens * r2) + r3 * held)
        for smoothed, (resistance, per_ten) in zip(self._filters.currents, self._relaxations, strict=True):
            expected -= smoothed * (resistance + per_ten * tens)
        return expected

    def _expected_rise(self, tens: float) -> float:
        """°C over the mean of ten minutes."""
        filters = self._filters
        one, warm, fast, slow, fast_tens, slow_tens, per_tens = self.recipe.thermal.coefficients
        scale = self.recipe.mean_square_current
        heat, heat_slow = filters.heat / scale, filters.heat_slow / scale
        expected = one + warm * filters.warm + per_tens * tens
        return expected + heat * (fast + fast_tens * tens) + heat_slow * (slow + slow_tens * tens)

    def state(self) -> dict[str, Any]:
        """Everything that the next reading depends on, in plain JSON types: about 40 numbers."""
        parts = {name: part.state() for name, part in self._parts().items()}
        return {"time": self._time, **parts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``TelemetryError`` where it is not one of this recipe."""
        parts = self._parts()
        try:
            time = None if state["time"] is None else float(state["time"])
            numbers = {name: list(map(float, state[name])) for name in parts}
        except (KeyError, TypeError, ValueError) as error:
            raise TelemetryError(f"this is not the state of a vehicle's features: {error!r:.80}") from None
        if any(len(numbers[name]) != len(part.state()) for name, part in parts.items()):
            raise TelemetryError("this is not the state of a vehicle's features under this recipe: numbers are missing")
        self._time = time
        for name, part in parts.items():
            part.restore(numbers[name])

    def _parts(self) -> dict[str, Filters | Residuals | Warming | Stillness]:
        still = {f"still_{name}": part for name, part in self._still.items()}
        return {"filters": self._filters, "residuals": self._residuals, "warming": self._warming, **still}


def _held(value: float, within: tuple[float, float]) -> float:
    low, high = within
    return low if value < low else high if value > high else value
