"""Telemetry → a float64 matrix in the contract's order, with the validity of every row.

The only implementation: training imports it. Columns are matched by name and alias, never by position; names are
compared without regard to case, spaces and punctuation (``"Voltage (V)"`` is ``voltage_v``). A bare array must have
exactly the contract's width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.contract import FeatureSpec
from ev_qa_runtime.errors import TelemetryError

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""Readings beyond this, in the feature's unit, overflow in the forest and make a row INVALID."""

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")

KNOWN_FEATURES: dict[str, FeatureSpec] = {
    feature.name: feature
    for feature in (
        FeatureSpec("voltage", "V", ("voltage_v", "pack_voltage", "pack_voltage_v", "volt", "volts"), (0.0, 1500.0)),
        FeatureSpec("current", "A", ("current_a", "pack_current", "pack_current_a", "amps"), (-2000.0, 2000.0)),
        FeatureSpec(
            "temp",
            "degC",
            ("temperature", "temp_c", "temperature_c", "temp_degc", "temperature_degc", "battery_temp"),
            (-50.0, 150.0),
        ),
        FeatureSpec("soc", "%", ("state_of_charge", "soc_pct", "soc_percent", "state_of_charge_pct"), (0.0, 100.0)),
    )
}
"""Features with a unit and aliases; any other name can be a feature too, matched by that name alone."""

TOLD_NAMES = 3
"""Other names of a missing column that its error offers."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Readings as the model takes them.

    ``values``: float64 [N, F], C-contiguous, engineering units; may share memory with the input.
    ``valid``: bool [N]; False where a reading is missing, not finite or beyond float32.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def invalid_count(self) -> int:
        """Rows that are INVALID."""
        return len(self) - int(np.count_nonzero(self.valid))

    def reasons(self, row: int) -> tuple[str, ...]:
        """Why row number ``row`` is INVALID, one text a reading; empty for a valid row."""
        return invalid_reasons(self.names, self.values[row].tolist())

    def reason_counts(self) -> dict[str, int]:
        """How many rows each reason was given for."""
        counts: dict[str, int] = {}
        for row in np.flatnonzero(~self.valid):
            for reason in self.reasons(int(row)):
                counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items()))


def invalid_reasons(names: Sequence[str], readings: Iterable[float]) -> tuple[str, ...]:
    """One text for every reading that cannot be judged, such as ``"temp: missing"``."""
    return tuple(
        f"{name}: {_reason(reading)}"
        for name, reading in zip(names, readings, strict=True)
        if not abs(reading) <= FLOAT32_MAX
    )


def _reason(reading: float) -> str:
    if math.isnan(reading):
        return "missing"
    return "not finite" if math.isinf(reading) else "beyond float32"


def valid_rows(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Bool [N]: rows of float64 [N, F] in which every reading is finite and within float32."""
    return np.asarray((np.abs(values) <= FLOAT32_MAX).all(axis=1))


def normalise_name(name: str) -> str:
    """The form in which column names are compared: ``"Temp [°C]"`` → ``temp_c``."""
    return _NOT_ALPHANUMERIC.sub("_", name.casefold()).strip("_")


def match_names(given: Iterable[object], features: Sequence[FeatureSpec]) -> dict[str, Any]:
    """Feature name → the column of ``given`` that holds it.

    ``TelemetryError`` where a feature has no column (naming what was there) or more than one.
    """
    given = list(given)
    wanted: dict[str, str] = {}
    for spec in features:
        for name in (spec.name, *spec.aliases):
            if wanted.setdefault(normalise_name(name), spec.name) != spec.name:
                other = wanted[normalise_name(name)]
                raise TelemetryError(
                    f"features {other!r} and {spec.name!r} both answer to {name!r}: rename one of them"
                )
    found: dict[str, list[Any]] = {spec.name: [] for spec in features}
    for column in given:
        if isinstance(column, str) and (feature := wanted.get(normalise_name(column))):
            found[feature].append(column)
    if missing := [name for name, columns in found.items() if not columns]:
        columns_there = ", ".join(repr(column) for column in given)
        there = columns_there + _other_names(features, missing) if columns_there else "no columns"
        raise TelemetryError(f"missing column(s) {', '.join(map(repr, missing))}; there were: {there}")
    for name, columns in found.items():
        if len(columns) > 1:
            raise TelemetryError(f"duplicate columns for {name!r}: {', '.join(map(repr, columns))}; keep one of them")
    return {name: columns[0] for name, columns in found.items()}


def _other_names(features: Sequence[FeatureSpec], missing: Sequence[str]) -> str:
    """Some names that the first missing feature also answers to, one of each kind."""
    spec = next(spec for spec in features if spec.name == missing[0])
    others: list[str] = []
    for alias in spec.aliases:
        if not any(alias == name or alias.startswith(f"{name}_") for name in (spec.name, *others)):
            others.append(alias)
    told = ", ".join(map(repr, others[:TOLD_NAMES]))
    return f" ({spec.name!r} may also be called {told}; all names: docs/telemetry.md)" if told else ""


def read_telemetry(data: Any, features: Sequence[FeatureSpec]) -> Telemetry:
    """Bring ``data`` into the model's shape.

    ``data``: a mapping of name → array, a structured array, a dataframe (pandas, polars, pyarrow; none of them is
    imported), or a bare numeric array [N, F]. Extra columns are ignored. None and NaN both mean missing.
    Raises ``TelemetryError`` naming the column that is missing, duplicate, not numeric or of another length.
    """
    names = tuple(feature.name for feature in features)
    if isinstance(data, Telemetry):
        if data.names != names:
            raise TelemetryError(f"this telemetry was read for {data.names}, the model takes {names}: read it again")
        return data
    columns = _columns(data, features)
    values = _matrix(data, names) if columns is None else _stack(columns)
    return Telemetry(names, values, valid_rows(values))


def _columns(data: Any, features: Sequence[FeatureSpec]) -> dict[str, Any] | None:
    """Feature name → column of a container that has names, or None for a bare array."""
    given = column_names(data)
    if given is None:
        return None
    return {name: data[column] for name, column in match_names(given, features).items()}


def column_names(data: Any) -> Iterable[object] | None:
    """The names by which ``data`` (mapping, structured array, dataframe) gives its columns, or None if it has none."""
    if isinstance(data, Mapping):
        return data
    names: Iterable[object] | None
    if isinstance(data, np.ndarray):
        names = data.dtype.names
    else:
        names = getattr(data, "column_names", None)  # pyarrow, whose ``columns`` are the arrays themselves
        names = getattr(data, "columns", None) if names is None else names
    return names


def _stack(columns: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    arrays = {name: as_float64(name, column) for name, column in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise TelemetryError(f"columns differ in length: {lengths}")
    values = np.empty((next(iter(lengths.values())), len(arrays)))
    for position, array in enumerate(arrays.values()):
        values[:, position] = array
    return values


def _matrix(data: Any, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    array = _array("telemetry", data)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise TelemetryError(
            f"an array without names must have shape (rows, {len(names)}) for {', '.join(names)}, not {array.shape}"
        )
    if array.dtype.kind not in "fiu" or isinstance(array, np.ma.MaskedArray):
        return _stack({name: array[:, position] for position, name in enumerate(names)})
    return np.ascontiguousarray(array, dtype=np.float64)


def as_float64(name: str, column: Any) -> npt.NDArray[np.float64]:
    """One column of numbers, float64 [N]; None, NA and masked cells are NaN. ``TelemetryError`` names the column."""
    readings = column.to_numpy() if hasattr(column, "to_numpy") else column
    array: Any = np.atleast_1d(_array(f"column {name!r}", readings))
    if array.ndim != 1:
        raise TelemetryError(f"column {name!r} must have one dimension, not shape {array.shape}")
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64 if array.dtype.kind in "fiu" else object), np.nan)
    if array.dtype.kind in "fiu":
        doubles: npt.NDArray[np.float64] = array.astype(np.float64, copy=False)
        return doubles
    values = array.tolist()
    texts = [row for row, value in enumerate(values) if isinstance(value, (str, bytes))]
    if (
        texts
    ):  # name the one that is no number even as text, where there is one: a table's other cells became text by it
        worst = next((row for row in texts if not _is_number_text(values[row])), texts[0])
        raise TelemetryError(f"column {name!r} is not numeric: row {worst} holds {values[worst]!r:.40}")
    if array.dtype.kind == "O" or array.size == 0:
        return np.array([_reading(name, row, value) for row, value in enumerate(values)], dtype=np.float64)
    raise TelemetryError(f"column {name!r} is not numeric: it holds {array.dtype} such as {array[0]!s:.40}")


def _array(what: str, data: Any) -> npt.NDArray[Any]:
    if isinstance(data, np.ma.MaskedArray):  # asarray would drop its mask
        return data
    try:
        return np.asarray(data)
    except ValueError as error:
        raise TelemetryError(f"{what} is not an array of numbers: {error}") from None


def _is_number_text(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _reading(name: str, row: int, value: Any) -> float:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return float("nan")
    if not isinstance(value, (str, bytes, bool)):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
        except (TypeError, ValueError):
            pass  # reported below, with every other value that is no number
    raise TelemetryError(f"column {name!r} is not numeric: row {row} holds {value!r:.40}")
