"""Where one trip ends and the next begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework.trips import split_trips
from ev_qa_runtime.errors import ConfigurationError, TelemetryError

TIMES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(np.array)


def test_a_gap_begins_a_trip_and_its_length_does_not() -> None:
    time = np.array([0.0, 600.0, 1200.0, 1800.1, 1801.0])
    assert split_trips(time).tolist() == [0, 0, 0, 1, 1]
    assert split_trips(time, gap_s=500.0).tolist() == [0, 1, 2, 3, 3]


def test_time_going_back_more_than_a_second_begins_a_trip() -> None:
    assert split_trips(np.array([10.0, 9.0, 10.0, 8.9, 8.9])).tolist() == [0, 0, 0, 1, 1]


def test_another_vehicle_or_trip_begins_a_trip() -> None:
    time = np.arange(6.0)
    vehicle = np.array(["a", "a", "b", "b", "a", "a"])
    assert split_trips(time, vehicle).tolist() == [0, 0, 1, 1, 2, 2]
    assert split_trips(time, trip=np.array([7, 7, 7, 7, 7, 8])).tolist() == [0, 0, 0, 0, 0, 1]
    assert split_trips(time, vehicle, np.array([1, 2, 2, 2, 2, 2])).tolist() == [0, 1, 2, 2, 3, 3]


def test_missing_labels_are_alike_and_missing_times_stay() -> None:
    vehicle = np.array(["a", None, float("nan"), "a"], dtype=object)
    assert split_trips(np.arange(4.0), vehicle).tolist() == [0, 1, 1, 2]
    assert split_trips(np.array([0.0, np.nan, 1.0, np.nan, 5000.0])).tolist() == [0, 0, 0, 0, 1]


@given(TIMES, st.floats(1.0, 1e5))
def test_trips_are_numbered_in_order_and_a_longer_gap_splits_less(time: np.ndarray, gap_s: float) -> None:
    trips = split_trips(time, gap_s=gap_s)
    assert trips.dtype == np.int64
    assert trips[0] == 0
    assert set(np.diff(trips).tolist()) <= {0, 1}
    assert split_trips(time, gap_s=2 * gap_s).max() <= trips.max()


@given(TIMES)
def test_splitting_a_trip_again_finds_one(time: np.ndarray) -> None:
    trips = split_trips(time)
    assert all(split_trips(time[trips == number]).max() == 0 for number in range(int(trips.max()) + 1))


def test_no_rows_are_no_trips() -> None:
    assert split_trips(np.array([])).shape == (0,)


def test_refusals() -> None:
    with pytest.raises(TelemetryError, match="vehicle has 2 rows, time has 3"):
        split_trips(np.arange(3.0), np.array(["a", "b"]))
    for gap_s in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="gap_s must be positive seconds"):
            split_trips(np.arange(3.0), gap_s=gap_s)
