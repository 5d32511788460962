"""Telemetry → signals over time, per vehicle: named, in their units, the current positive when discharging.

Where features are what a model takes, signals are what a car sends. Nothing is sorted, filled in or left out; whether
readings can be used is for :mod:`ev_qa_runtime.reading_quality` to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.contract import CURRENT_SIGNS, CurrentSign
from ev_qa_runtime.current_direction import DirectionEvidence, contradiction_before_turning, direction_evidence
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import as_float64, column_names
from ev_qa_runtime.signal_names import TIME, VEHICLE, Conversion, check_signals, match_signals
from ev_qa_runtime.time_column import LATEST_SECOND, seconds_of
from ev_qa_runtime.vehicle_names import vehicle_numbers

NO_VEHICLE = ""
"""The vehicle of a table without a ``vehicle_id`` column."""

_HOW_TO_SAY = "give current_sign='discharge_positive' or current_sign='charge_positive'"


@dataclass(frozen=True, slots=True)
class SignalTable:
    """Signals of one or more vehicles, one row a reading.

    ``time``: float64 [N], seconds; ``values``: float64 [N, S] in the order of ``names``, NaN where missing; row i is of
    the vehicle ``vehicles[vehicle[i]]``, ``vehicle``: int64 [N]. The current is positive when discharging, whatever it
    was before; ``given_sign`` says what it was taken for.
    """

    names: tuple[str, ...]
    time: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    vehicles: tuple[str, ...]
    vehicle: npt.NDArray[np.int64]
    given_sign: CurrentSign = "discharge_positive"

    def __len__(self) -> int:
        return len(self.time)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Float64 [N] of one signal, a view; ``KeyError`` where the table does not have it."""
        if name not in self.names:
            raise KeyError(name)
        return self.values[:, self.names.index(name)]

    def rows_of(self, vehicle: int) -> npt.NDArray[np.int64]:
        """Row numbers of ``vehicles[vehicle]``, in the table's order."""
        return np.flatnonzero(self.vehicle == vehicle)

    def direction(self) -> DirectionEvidence:
        """Which way the current of this table is counted, by the data; ``discharge_positive`` is as it should be."""
        return _evidence(self.names, self.time, self.values, self.vehicle)

    def wrong_sign(self) -> str | None:
        """One line where the data strongly speak against ``given_sign``, to be raised or warned with; None if not."""
        return contradiction_before_turning(self.direction(), self.given_sign)


def read_signals(
    data: Any,
    signals: tuple[str, ...],
    current_sign: CurrentSign,
    *,
    optional: tuple[str, ...] = (),
    explicit_sign: bool = False,
) -> SignalTable:
    """Read the columns of ``signals``, of ``time`` and, where there is one, of ``vehicle_id``.

    ``data``: a mapping of name → array, a structured array, or a dataframe (pandas, polars, pyarrow; none of them is
    imported), its columns under any of the names in :mod:`ev_qa_runtime.signal_names`. ``optional`` signals are in the
    table where they have a column. ``current_sign`` says how ``data`` count the current; a VSS path says it itself,
    and ``"unspecified"`` is taken as discharge_positive where the data agree. ``explicit_sign``: it was said of these
    very data, so that a VSS path may not contradict it. A ``SignalTable`` is taken as it is, its current turned before.

    Raises ``TelemetryError`` naming the column that is missing, duplicate, unreadable or of another length, the first
    row whose time or vehicle cannot be read, or why the current's sign cannot be what was given.
    """
    check_signals((*signals, *optional))
    if isinstance(data, SignalTable):
        return _read_already(data, signals, optional)
    given = column_names(data)
    if given is None:
        raise TelemetryError(f"telemetry over time needs named columns, at least {', '.join((TIME, *signals))}")
    columns = match_signals(given, (TIME, *signals), (VEHICLE, *optional))
    names = (*signals, *(name for name in optional if name in columns and name not in signals))
    time_name, time_unit = columns[TIME]
    arrays = {TIME: seconds_of(time_name, data[time_name], time_unit.divisor)}
    for name in names:
        column, conversion = columns[name]
        array = as_float64(column, data[column])
        arrays[name] = conversion.of(array) if conversion.changes else array
    vehicles, vehicle = _vehicles(data, columns, len(arrays[TIME]))
    lengths = {name: len(array) for name, array in arrays.items()}
    if len({*lengths.values(), len(vehicle)}) > 1:
        raise TelemetryError(f"columns differ in length: {lengths}")
    values = np.empty((len(vehicle), len(names)))
    for position, name in enumerate(names):
        values[:, position] = arrays[name]
    sign = _sign_of(columns.get("current"), current_sign, explicit_sign)
    if sign == "unspecified" and "current" in names:
        _check_unspecified(names, arrays[TIME], values, vehicle)
    if sign == "charge_positive" and "current" in names:
        position = names.index("current")
        values[:, position] = 0.0 - values[:, position]  # no negative zeros
    taken_for: CurrentSign = "charge_positive" if sign == "charge_positive" else "discharge_positive"
    return SignalTable(names, arrays[TIME], values, vehicles, vehicle, taken_for)


def _read_already(table: SignalTable, signals: tuple[str, ...], optional: tuple[str, ...]) -> SignalTable:
    wanted = (*signals, *(name for name in optional if name in table.names and name not in signals))
    if table.names == wanted:
        return table
    if missing := [name for name in signals if name not in table.names]:
        raise TelemetryError(f"this table was read without {', '.join(map(repr, missing))}: read it again")
    values = np.ascontiguousarray(table.values[:, [table.names.index(name) for name in wanted]])
    return SignalTable(wanted, table.time, values, table.vehicles, table.vehicle, table.given_sign)


def _vehicles(
    data: Any, columns: Mapping[str, tuple[str, Conversion]], rows: int
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Vehicles in the order in which they first appear, and each row's."""
    if VEHICLE not in columns:
        return (NO_VEHICLE,), np.zeros(rows, dtype=np.int64)
    name = columns[VEHICLE][0]
    return vehicle_numbers(name, data[name])


def _sign_of(current: tuple[str, Conversion] | None, given: str, explicit: bool) -> CurrentSign:
    """What the current is counted as, by its column's name or by what was given; they must agree where explicit."""
    sign = next((sign for sign in CURRENT_SIGNS if sign == given), None)
    if sign is None:
        raise TelemetryError(f"current_sign must be one of {', '.join(CURRENT_SIGNS)}, not {given!r:.40}")
    if current is None or not current[1].charge_positive:
        return sign
    if explicit and sign == "discharge_positive":
        raise TelemetryError(
            f"column {current[0]!r} is charge_positive by the Vehicle Signal Specification, not {sign}: "
            "give current_sign='charge_positive', or none"
        )
    return "charge_positive"


def _check_unspecified(
    names: tuple[str, ...],
    time: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    vehicle: npt.NDArray[np.int64],
) -> None:
    if not np.any(np.nan_to_num(values[:, names.index("current")])):
        return  # nothing flows: either direction is right
    found = _evidence(names, time, values, vehicle)
    if found.direction is None:
        raise TelemetryError(f"the data do not tell which way the current is counted: {_HOW_TO_SAY}")
    if found.direction != "discharge_positive":
        raise TelemetryError(f"current looks {found.direction} ({found.summary()}): {_HOW_TO_SAY}")


def _evidence(
    names: tuple[str, ...],
    time: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    vehicle: npt.NDArray[np.int64],
) -> DirectionEvidence:
    column = {name: values[:, position] for position, name in enumerate(names)}
    current = column.get("current", np.zeros(len(time)))
    return direction_evidence(time, current, soc=column.get("soc"), voltage=column.get("voltage"), vehicle=vehicle)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the keywords of one call become a reading: each name with its conversion, None where it is taken as is."""

    time: str
    time_divisor: float
    columns: tuple[tuple[str, Conversion | None], ...]
    turned: int


class SignalReader:
    """Readings from keywords, one at a time: ``reading_of({"time": 12.0, "voltage": 352.4, "current": 41.0, …})``.

    Names, units and sign are as in :func:`read_signals`, and so are the bits. Names that were given once are not
    matched again. ``optional`` signals are NaN where no name gives them. ``given_sign`` is what the current was last
    taken for.
    """

    def __init__(
        self,
        signals: tuple[str, ...],
        current_sign: CurrentSign,
        *,
        optional: tuple[str, ...] = (),
        explicit_sign: bool = False,
    ) -> None:
        check_signals((*signals, *optional))
        self.names = (*signals, *(name for name in optional if name not in signals))
        self._signals = signals
        self._optional = optional
        self._sign = _sign_of(None, current_sign, explicit_sign)
        self._explicit_sign = explicit_sign
        self.given_sign: CurrentSign = self._sign
        self._plan_of: Callable[[tuple[str, ...]], _Plan] = lru_cache(maxsize=64)(self._match)

    def reading_of(self, given: Mapping[str, Any]) -> tuple[float, list[float]]:
        """``(time in seconds, one float per signal in the order of names)``; NaN for None and what is missing.

        Raises ``TelemetryError`` where a name is absent, a value is no number or the time cannot be read.
        """
        plan = self._plan_of(tuple(given))
        time = given[plan.time]
        if type(time) is int and plan.time_divisor == 1.0 and -LATEST_SECOND <= time <= LATEST_SECOND:
            time = float(time)  # as a column of whole seconds is read
        if type(time) is not float or plan.time_divisor != 1.0 or not -LATEST_SECOND <= time <= LATEST_SECOND:
            time = _one(plan.time, seconds_of(plan.time, [time] if np.ndim(time) == 0 else time, plan.time_divisor))
        reading = []
        for name, conversion in plan.columns:
            value = given[name] if name else math.nan
            if type(value) is not float:
                value = _one(name, as_float64(name, value if np.ndim(value) else [value]))
            reading.append(value if conversion is None else conversion.of(value))
        if plan.turned >= 0:
            reading[plan.turned] = 0.0 - reading[plan.turned]
        return time, reading

    def _match(self, given: tuple[str, ...]) -> _Plan:
        columns = match_signals(given, (TIME, *self._signals), self._optional)
        time, time_unit = columns[TIME]
        sign = _sign_of(columns.get("current"), self._sign, self._explicit_sign)
        if "current_sign" in given:
            raise TelemetryError("current_sign is no reading: give it once, to stream(vehicle_id, current_sign=…)")
        if sign == "unspecified" and "current" in columns:
            raise TelemetryError(f"one reading does not tell which way its current is counted: {_HOW_TO_SAY}")
        plan = []
        for name in self.names:
            column, conversion = columns.get(name, ("", Conversion()))
            plan.append((column, conversion if conversion.changes else None))
        turned = self.names.index("current") if sign == "charge_positive" and "current" in columns else -1
        self.given_sign = "charge_positive" if turned >= 0 else "discharge_positive"
        return _Plan(time, time_unit.divisor, tuple(plan), turned)


def _one(name: str, values: npt.NDArray[np.float64]) -> float:
    if len(values) != 1:
        raise TelemetryError(f"{name!r}: one reading has one value, not {len(values)}: read a batch as a table")
    return float(values[0])
