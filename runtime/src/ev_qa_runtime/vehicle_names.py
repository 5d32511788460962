"""What names a vehicle: its id is a text, and a whole number stands for its digits, whoever read it as a float."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import TelemetryError

_LARGEST_EXACT_FLOAT = 2.0**53


def vehicle_name(given: Any) -> str | None:
    """The id as a text without blanks around it: ``7``, ``7.0`` and ``" 7"`` are ``"7"``; None where it names nothing.

    Tables with an empty cell hold whole numbers as floats. Beyond 2**53 a float has lost digits and names nothing.
    """
    if isinstance(given, bytes):
        given = given.decode("utf-8", "replace")
    if isinstance(given, str):
        return given.strip() or None
    if isinstance(given, (bool, np.bool_)):
        return None
    if isinstance(given, (float, np.floating)):
        number = float(given)
        return str(int(number)) if number.is_integer() and abs(number) < _LARGEST_EXACT_FLOAT else None
    try:
        return str(operator.index(given))
    except TypeError:
        return None


def vehicle_numbers(name: str, column: Any) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The vehicles of a column in the order in which they first appear, and the number of each row's, int64 [N].

    Raises ``TelemetryError`` naming the first row that names no vehicle.
    """
    array = column.to_numpy() if hasattr(column, "to_numpy") else column
    listed = np.atleast_1d(array).tolist() if isinstance(array, np.ndarray) else list(array)
    numbers: dict[str, int] = {}
    known: dict[tuple[type, Any], int] = {}  # an id is made into its text once; True is not 1
    vehicle = np.empty(len(listed), dtype=np.int64)
    for row, one in enumerate(listed):
        try:
            number = known.get((type(one), one))
        except TypeError:  # a list or the like: refused below
            number = None
        if number is None:
            text = vehicle_name(one)
            if text is None:
                raise TelemetryError(
                    f"column {name!r}: row {row} holds {one!s:.40}, which names no vehicle: give texts or whole numbers"
                )
            number = known[type(one), one] = numbers.setdefault(text, len(numbers))
        vehicle[row] = number
    return tuple(numbers), vehicle
