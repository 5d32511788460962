"""Telemetry in another unit than its column says, found before anything is fitted on it: no car is like that.

Bounds are beyond every road vehicle's battery, 12 V starter packs and 800 V trucks alike, and a thousandfold mistake
passes them by far. A charge or a temperature that is only unusual is none of this module's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import column_names
from ev_qa_runtime.severity import FloatArray
from ev_qa_runtime.signal_names import TIME, match_signals
from ev_qa_runtime.signals import SignalTable

LONGEST_STEP_S = 600.0
"""A pause of so long starts a new trip, so that rows that far apart show no trip at all."""
LARGEST_CAPACITY_AH = 5000.0

_LARGEST_FRACTION = 1.0
_HOTTEST_DEGC = 200.0
_HIGHEST_V = 1500.0
_HIGHEST_CELL_V = 100.0
_LARGEST_A = 3000.0
_SLOW_STEP_S = 50.0
_LONGEST_RUN_STEP_S = 300.0
_LEAST_SOC_CHANGE = 2.0


def refuse_unit_mistakes(data: Any, table: SignalTable) -> None:
    """Raise ``TelemetryError`` naming a column of ``data``, what was seen there, and what to do.

    ``table``: the same telemetry, read. Columns that are empty, or that never change, say nothing.
    """
    given = None if isinstance(data, SignalTable) else column_names(data)
    matched = match_signals(given, (TIME, *table.names), ()) if given is not None else {}
    columns = {name: matched[name][0] if matched else name for name in (TIME, *table.names)}
    step = _median_step(table)
    _check_step(columns[TIME], step)
    for name in table.names:
        values = table.column(name)[np.isfinite(table.column(name))]
        if len(values) and values.min() < values.max():
            _check_values(name, columns[name], values)
    if {"current", "soc"} <= set(table.names):
        _check_capacity(columns, table, step)


def _median_step(table: SignalTable) -> float:
    """Seconds; 0 where no row follows another."""
    steps = np.concatenate([np.diff(table.time[table.rows_of(number)]) for number in range(len(table.vehicles))])
    forward = steps[steps > 0.0]
    return float(np.median(forward)) if len(forward) else 0.0


def _check_step(column: str, step: float) -> None:
    if step > LONGEST_STEP_S:
        raise TelemetryError(
            f"column {column!r}: rows are {step:.6g} s apart, too far to follow a vehicle: name the unit where these "
            f"are no seconds, as in 'time_ms', or give a reading at least every {LONGEST_STEP_S:g} s"
        )


def _check_values(name: str, column: str, values: FloatArray) -> None:
    middle = float(np.median(values))
    low, high = np.quantile(values, (0.01, 0.95)).tolist()  # a sentinel now and then is no reading
    if name == "soc" and low >= 0.0 and high <= _LARGEST_FRACTION:
        raise TelemetryError(
            f"column {column!r} goes from {low:.6g} to {high:.6g}, a share of 1 where "
            "per cent are needed: name it 'soc_fraction', or multiply by 100"
        )
    largest = float(np.quantile(np.abs(values), 0.99))
    for which, seen, bound, unit, better in (
        (("temp", "temp_min"), middle, _HOTTEST_DEGC, "degC", "_k' for kelvin"),
        (("voltage",), middle, _HIGHEST_V, "V", "_mv' for millivolts"),
        (("cell_voltage_max", "cell_voltage_min"), middle, _HIGHEST_CELL_V, "V", "_mv' for millivolts"),
        (("current",), largest, _LARGEST_A, "A", "_ma' for milliamperes"),
    ):
        if name in which and seen > bound:
            raise TelemetryError(
                f"column {column!r} lies around {seen:.6g} {unit}, more than any vehicle shows: name the unit, such as "
                f"'{name}{better}"
            )


def _check_capacity(columns: dict[str, str], table: SignalTable, step: float) -> None:
    """Milliamperes of a small pack look like amperes of a large one, milliseconds of 10 Hz like slow sampling."""
    capacities = list(_capacities(table))
    if not capacities or (capacity := float(np.median(capacities))) <= LARGEST_CAPACITY_AH:
        return
    suspect, better = (
        (columns[TIME], "'time_ms' for milliseconds")
        if step >= _SLOW_STEP_S
        else (columns["current"], "'current_ma' for milliamperes")
    )
    raise TelemetryError(
        f"column {suspect!r}: by current and time {capacity:,.0f} A h flow for 100 % of charge, more than any vehicle "
        f"holds: name the unit, such as {better}"
    )


def _capacities(table: SignalTable) -> Iterator[float]:
    """A·h for 100 %, of every stretch in which the charge changed enough."""
    for number in range(len(table.vehicles)):
        rows = table.rows_of(number)
        current, soc = table.column("current")[rows], table.column("soc")[rows]
        known = np.isfinite(current) & np.isfinite(soc)
        time, current, soc = table.time[rows][known], current[known], soc[known]
        elapsed = np.diff(time)
        within = (elapsed > 0.0) & (elapsed <= _LONGEST_RUN_STEP_S)
        flowed = np.where(within, (current[1:] + current[:-1]) / 2.0 * elapsed, 0.0)
        for stretch in np.split(np.arange(len(time)), np.flatnonzero(~within) + 1):
            if len(stretch) > 1 and (change := abs(soc[stretch[-1]] - soc[stretch[0]])) >= _LEAST_SOC_CHANGE:
                yield abs(float(flowed[stretch[:-1]].sum())) / 3600.0 / change * 100.0
