"""Labels: which rows are faults, as telemetry says it in many ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ev_qa_framework.comparison.result import BoolArray
from ev_qa_runtime.errors import TelemetryError

NORMAL_WORDS = frozenset(("", "none", "false", "no", "normal", "healthy", "ok", "na", "n/a", "null", "-"))
FAULT_WORDS = frozenset(("true", "yes"))
"""Words that say there is a fault without naming it."""
UNNAMED = "fault"
MOST_CODES = 20
"""Different numbers that fault codes may be; a column with more is a measurement."""


@dataclass(frozen=True, slots=True)
class Labels:
    """``fault`` bool [N]; ``name`` the fault's name a row, empty for normal rows."""

    fault: BoolArray
    name: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.fault)

    def of_rows(self, chosen: BoolArray) -> Labels:
        """The labels of the rows that ``chosen`` bool [N] marks."""
        return Labels(self.fault[chosen], tuple(name for name, taken in zip(self.name, chosen, strict=True) if taken))

    def fault_names(self) -> tuple[str, ...]:
        """The kinds of fault there are, sorted."""
        return tuple(sorted(set(self.name) - {""}))


def read_labels(labels: Any) -> Labels:
    """Labels from a column of bools, numbers or text, one a row.

    False, 0, empty, missing and the words of :data:`NORMAL_WORDS` (in any case) are normal; anything else is a fault:
    text by its name, another number as a fault code. Raises ``TelemetryError`` for negative numbers: scikit-learn's −1
    means anomaly and its 1 normal, the other way round than here; and for more than :data:`MOST_CODES` different
    numbers, which are readings.
    """
    column = labels.to_numpy() if hasattr(labels, "to_numpy") else labels
    values = np.asarray(column, dtype=object)
    if values.ndim != 1:
        raise TelemetryError(f"labels must have one dimension, not shape {values.shape}")
    names = tuple(_fault_name(value, row) for row, value in enumerate(values.tolist()))
    codes = sum(_is_number(name) for name in set(names))
    if codes > MOST_CODES:
        raise TelemetryError(
            f"the labels hold {codes} different numbers, more than {MOST_CODES} fault codes: name a column of faults,"
            " not of measurements, or give the faults names"
        )
    return Labels(np.array([bool(name) for name in names], dtype=np.bool_), names)


def label_column(table: Any, column: str) -> Any:
    """The column called ``column`` of a table or mapping; ``TelemetryError`` listing the columns where it lacks it."""
    if isinstance(table, np.ndarray):
        there: list[Any] = list(table.dtype.names or ())
    elif isinstance(table, Mapping):
        there = list(table)
    else:
        there = list(getattr(table, "column_names", getattr(table, "columns", ())))
    if column not in there:
        listed = ", ".join(map(repr, there)) or "no named columns"
        raise TelemetryError(f"there is no column {column!r} of labels; there were: {listed}")
    return table[column]


def _fault_name(value: Any, row: int) -> str:
    """The fault's name, empty for a normal row."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in NORMAL_WORDS:
            return ""
        if not _is_number(word):
            return UNNAMED if word in FAULT_WORDS else value.strip()
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TelemetryError(f"row {row}: {value!r:.40} is no label: use bools, numbers or text") from None
    if math.isnan(number) or number == 0.0:
        return ""
    if number < 0.0:
        raise TelemetryError(
            f"row {row}: a label of {number:g}: 0 means normal here and 1 a fault; give `labels == -1` where -1 marks"
            " anomalies"
        )
    return UNNAMED if number == 1.0 else f"{number:g}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
