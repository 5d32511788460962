"""A vehicle's id is its text: whoever read the table, and whichever way, the same vehicle has the same name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.vehicle_names import vehicle_name, vehicle_numbers


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_names_the_same_vehicle_in_every_form(number: int) -> None:
    forms: list[Any] = [number, str(number), f" {number} ", float(number), np.int64(number), np.float64(number)]
    forms.append(str(number).encode())
    assert {vehicle_name(form) for form in forms} == {str(number)}


@pytest.mark.parametrize(
    "nothing",
    ["", "  ", b"", None, math.nan, math.inf, 7.5, 2.0**53, 1e300, True, np.bool_(False), [7], {}, object()],
)
def test_what_names_no_vehicle(nothing: Any) -> None:
    assert vehicle_name(nothing) is None
    with pytest.raises(TelemetryError, match=r"column 'car': row 1 holds .*, which names no vehicle: give texts or"):
        vehicle_numbers("car", ["a", nothing])


def test_texts_stay_as_they_are() -> None:
    assert [vehicle_name(text) for text in ("007", "7.0", "Ä 1", "1e3")] == ["007", "7.0", "Ä 1", "1e3"]


@pytest.mark.parametrize(
    "column",
    [
        [7, "7", 7.0, 9],
        np.array([7.0, 7.0, 7.0, 9.0]),
        np.array([7, 7, 7, 9], dtype=np.uint8),
        np.array(["7", "7", "7", "9"]),
        np.array([b"7", b"7 ", b"7", b"9"]),
        np.array([7, "7", np.float32(7.0), np.int16(9)], dtype=object),
    ],
)
def test_one_vehicle_however_it_was_read(column: Any) -> None:
    vehicles, numbers = vehicle_numbers("vehicle_id", column)
    assert (vehicles, numbers.tolist(), numbers.dtype) == (("7", "9"), [0, 0, 0, 1], np.dtype(np.int64))
