"""What a car sends, under whatever names and units → signals over time, the same bits one by one and in a table."""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ev_qa_runtime import TelemetryError
from ev_qa_runtime.features import KNOWN_FEATURES, normalise_name
from ev_qa_runtime.physics.recipe import NEEDED_SIGNALS, OPTIONAL_SIGNALS
from ev_qa_runtime.signal_names import SIGNALS, match_signals
from ev_qa_runtime.signals import NO_VEHICLE, SignalReader, SignalTable, read_signals
from ev_qa_runtime.time_column import seconds_of

ROWS: dict[str, Any] = {
    "time": np.array([0.0, 1.0, 2.5]),
    "voltage": np.array([350.0, 351.5, math.nan]),
    "current": np.array([10.0, -3.0, 0.0]),
    "temp": np.array([20.0, 21.25, 21.5]),
    "soc": np.array([80.0, 79.5, 79.0]),
}
VSS = "Vehicle.Powertrain.TractionBattery."
CONVERTED = [
    ("voltage", "Voltage [mV]", 352400.0, 352.4),
    ("voltage", "pack_voltage_v", 352.4, 352.4),
    ("current", "current_ma", -41500.0, -41.5),
    ("temp", "Temp [°F]", 77.0, 25.0),
    ("temp", "temperature_k", 298.15, 25.0),
    ("temp", "temp_max", 25.0, 25.0),
    ("soc", "soc_fraction", 0.5, 50.0),
    ("soc", "SoC [%]", 50.0, 50.0),
    ("temp_min", "temp_min_f", 14.0, -10.0),
    ("cell_voltage_max", "cell_v_max", 4.1, 4.1),
    ("cell_voltage_min", "cell_voltage_min_mv", 3888.0, 3.888),
]


def read(data: Any = ROWS, sign: Any = "discharge_positive", **options: Any) -> SignalTable:
    return read_signals(data, NEEDED_SIGNALS, sign, **options)


def with_time(time: Any, name: str = "time") -> dict[str, Any]:
    return {name if key == "time" else key: time if key == "time" else value for key, value in ROWS.items()}


def test_a_table_of_signals() -> None:
    table = read()
    assert (table.names, table.vehicles, len(table)) == (NEEDED_SIGNALS, (NO_VEHICLE,), 3)
    np.testing.assert_array_equal(table.time, ROWS["time"])
    for name in NEEDED_SIGNALS:
        np.testing.assert_array_equal(table.column(name), ROWS[name])
    assert {array.dtype for array in (table.time, table.values)} == {np.dtype(np.float64)}
    assert table.vehicle.tolist() == [0, 0, 0]


def test_every_name_of_a_feature_is_one_of_its_signal() -> None:
    for name, spec in KNOWN_FEATURES.items():
        for alias in (name, *spec.aliases):
            assert match_signals([alias], [name], [])[name][0] == alias


@pytest.mark.parametrize(("signal", "name", "reading", "expected"), CONVERTED)
def test_names_and_units(signal: str, name: str, reading: float, expected: float) -> None:
    data = {"time": [0.0], name: [reading]}
    table = read_signals(data, (signal,), "discharge_positive")
    assert table.values.tolist() == [[expected]]
    one = SignalReader((signal,), "discharge_positive").reading_of({"time": 0.0, name: reading})
    assert one == (0.0, [expected])


@pytest.mark.parametrize(("name", "exact"), [("temp_f", Fraction(5, 9)), ("soc_fraction", Fraction(100))])
def test_units_are_converted_exactly(name: str, exact: Fraction) -> None:
    offset = 32 if name == "temp_f" else 0
    given_whole = np.arange(-200.0, 400.0)
    table = read_signals({"time": given_whole, name: given_whole}, (name.partition("_")[0],), "discharge_positive")
    assert table.values[:, 0].tolist() == [float((int(one) - offset) * exact) for one in given_whole]


def test_paths_of_the_vehicle_signal_specification() -> None:
    data = {
        "timestamp": ["2026-01-01T00:00:00Z"],
        "Vehicle.VehicleIdentification.VIN": ["WVW1"],
        f"{VSS}CurrentVoltage": [352.0],
        f"{VSS}CurrentCurrent": [-41.0],
        f"{VSS}StateOfCharge.Current": [50.0],
        f"{VSS}Temperature.Max": [25.0],
        f"{VSS}Temperature.Min": [21.0],
        f"{VSS}Temperature.Average": [23.0],
        f"{VSS}CellVoltage.Max": [3.9],
        f"{VSS}CellVoltage.Min": [3.8],
        "Vehicle.LowVoltageBattery.CurrentVoltage": [12.0],
    }
    expected = [[352.0, 41.0, 25.0, 50.0, 21.0, 3.9, 3.8]]
    for spelled in (str, str.lower, lambda name: name.replace(".", "/"), lambda name: name.replace("Vehicle.P", "P")):
        table = read_signals(
            {spelled(name): column for name, column in data.items()},
            NEEDED_SIGNALS,
            "unspecified",
            optional=OPTIONAL_SIGNALS,
        )
        assert (table.names, table.values.tolist(), table.given_sign) == (SIGNALS, expected, "charge_positive")
    assert table.vehicles == ("WVW1",)
    assert read(data, "discharge_positive").column("current").tolist() == [41.0]  # the path says it, whatever is given


def test_the_current_is_turned() -> None:
    assert read(sign="charge_positive").column("current").tolist() == [-10.0, 3.0, 0.0]
    assert not np.signbit(read(sign="charge_positive").column("current")[2])
    with pytest.raises(TelemetryError, match="current_sign must be one of discharge_positive, charge_positive"):
        read(sign="positive")


def test_an_unspecified_current_must_show_its_direction() -> None:
    seconds = np.arange(2000.0)
    current = 40.0 * np.sin(seconds / 50.0) + 30.0
    drive = {
        "time": seconds,
        "current": current,
        "voltage": 350.0 - 0.1 * current,
        "temp": np.full(2000, 20.0),
        "soc": 80.0 - np.cumsum(current) / 6000.0,
    }
    assert read(drive, "unspecified").given_sign == "discharge_positive"
    with pytest.raises(TelemetryError, match=r"current looks charge_positive \(SoC: .*\): give current_sign="):
        read(drive | {"current": -current}, "unspecified")
    with pytest.raises(TelemetryError, match="the data do not tell which way the current is counted: give current_"):
        read(sign="unspecified")
    assert len(read(ROWS | {"current": np.zeros(3)}, "unspecified")) == 3
    with pytest.raises(TelemetryError, match="one reading does not tell which way its current is counted"):
        SignalReader(("current",), "unspecified").reading_of({"time": 0.0, "current": 1.0})

    assert read(drive).wrong_sign() is None
    assert read(drive | {"current": -current}, "charge_positive").wrong_sign() is None
    for sign, data in (("discharge_positive", drive | {"current": -current}), ("charge_positive", drive)):
        other = "charge_positive" if sign == "discharge_positive" else "discharge_positive"
        text = read(data, sign).wrong_sign()
        assert text is not None
        assert text.startswith(f"current looks {other}, but {sign} was given (SoC: ")


def test_optional_signals_are_there_where_they_have_a_column() -> None:
    assert read(ROWS | {"cell_v_min": [3.8] * 3}, optional=OPTIONAL_SIGNALS).names == (
        *NEEDED_SIGNALS,
        "cell_voltage_min",
    )
    with pytest.raises(TelemetryError, match=r"missing column\(s\) 'temp_min'; there were: 'time'"):
        read_signals(ROWS, (*NEEDED_SIGNALS, "temp_min"), "discharge_positive")
    with pytest.raises(TelemetryError, match="unknown signal 'speed': there are voltage, current"):
        read(optional=("speed",))
    with pytest.raises(TelemetryError, match="duplicate columns for 'temp': 'temp', 'temp_max'; keep one"):
        read(ROWS | {"temp_max": ROWS["temp"]})


def test_vehicles_are_numbered_as_they_come() -> None:
    table = read(ROWS | {"VIN": ["b", "a", "b"]})
    assert (table.vehicles, table.vehicle.tolist(), table.rows_of(0).tolist()) == (("b", "a"), [0, 1, 0], [0, 2])
    assert read(ROWS | {"vehicle_id": np.array([7, 7, 9])}).vehicles == ("7", "9")
    for nothing in (None, math.nan, ""):
        with pytest.raises(TelemetryError, match=r"column 'vehicle_id': row 1 holds .*, which names no vehicle"):
            read(ROWS | {"vehicle_id": ["a", nothing, "a"]})


def test_a_table_already_read() -> None:
    table = read(optional=OPTIONAL_SIGNALS)
    assert read(table) is table
    assert read_signals(table, ("soc", "temp"), "charge_positive").values.tolist() == table.values[:, [3, 2]].tolist()
    with pytest.raises(TelemetryError, match="this table was read without 'temp_min': read it again"):
        read_signals(table, ("temp_min",), "discharge_positive")
    with pytest.raises(KeyError):
        table.column("temp_min")


class Frame:
    """A dataframe as pandas and polars look from outside."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.columns = list(data)
        self._data = data

    def __getitem__(self, name: str) -> Any:
        return Column(self._data[name])


class Column:
    def __init__(self, values: Any) -> None:
        self._values = values

    def to_numpy(self) -> Any:
        return np.asarray(self._values)


def test_containers() -> None:
    frame = read(Frame(ROWS | {"vehicle_id": ["a", "b", "a"]}))
    np.testing.assert_array_equal(frame.values, read().values)
    assert (frame.vehicles, frame.vehicle.tolist()) == (("a", "b"), [0, 1, 0])
    structured = np.array(list(zip(*ROWS.values(), strict=True)), dtype=[(name, float) for name in ROWS])
    np.testing.assert_array_equal(read(structured).values, read().values)
    with pytest.raises(TelemetryError, match="telemetry over time needs named columns, at least time, voltage"):
        read(np.ones((3, 5)))
    with pytest.raises(TelemetryError, match="columns differ in length"):
        read(ROWS | {"temp": [1.0]})
    with pytest.raises(TelemetryError, match=r"column 'temp' is not numeric: row 1 holds 'hot'"):
        read(ROWS | {"temp": [1.0, "hot", 2.0]})


MOMENTS = [
    (np.array([1_555_403_211_500], dtype="int64"), "time_ms"),
    (np.array([1_555_403_211_500_000]), "timestamp_us"),
    (np.array([1_555_403_211_500_000_000]), "epoch_ns"),
    ([1_555_403_211.5], "unix_time"),
    (np.array(["2019-04-16T08:26:51.5"], dtype="datetime64[ms]"), "timestamp"),
    (np.array(["2019-04-16T08:26:51.5"], dtype="datetime64[ns]"), "time_ms"),
    (["2019-04-16 08:26:51.5"], "datetime"),
    (["2019-04-16T10:26:51.500+02:00"], "Time"),
    (["1555403211500"], "time [ms]"),
    ([dt.datetime(2019, 4, 16, 8, 26, 51, 500_000)], "time"),  # without a zone: UTC
    ([dt.datetime(2019, 4, 16, 8, 26, 51, 500_000, tzinfo=dt.UTC)], "time"),
    ([np.datetime64("2019-04-16T08:26:51.5")], "time"),
]


@pytest.mark.parametrize(("column", "name"), MOMENTS)
def test_points_in_time(column: Any, name: str) -> None:
    data = {key: value[:1] for key, value in with_time(column, name).items()}
    assert read(data).time.tolist() == [1_555_403_211.5]
    reading = {key: value[0] for key, value in data.items()}
    assert SignalReader(NEEDED_SIGNALS, "discharge_positive").reading_of(reading)[0] == 1_555_403_211.5


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([0.0, math.nan, 1.0], "column 'time': row 1 holds nan, no point in time"),
        (["0", "1", "soon"], "column 'time': row 2 holds soon, no point in time: give seconds, datetimes or ISO 8601"),
        ([None, 0.0, 1.0], "column 'time': row 0 holds None, no point in time"),
        (np.array(["2019-04-16", "NaT", "2019-04-17"], dtype="datetime64[s]"), "row 1 holds NaT, no point"),
        ([True, False, True], "row 0 holds True"),
        ([1e12, 1e12, 1e12], r"row 0 holds 1000000000000.0, too large for seconds: name the unit, as in 'time_ms'"),
    ],
)
def test_the_row_whose_time_cannot_be_read_is_named(column: Any, message: str) -> None:
    if isinstance(column, list) and isinstance(column[0], bool):
        column = np.array(column, dtype=object)
    with pytest.raises(TelemetryError, match=message):
        read(with_time(column))


@given(st.integers(0, 4_000_000_000_000_000_000))
@example(1555403211144272509)
def test_nanoseconds_have_the_same_bits_in_every_form(nanoseconds: int) -> None:
    forms = [
        seconds_of("t", np.array([nanoseconds]), 1e9),
        seconds_of("t", [nanoseconds], 1e9),
        seconds_of("t", np.array([nanoseconds], dtype=object), 1e9),
        seconds_of("t", np.array([nanoseconds], dtype="datetime64[ns]")),
    ]
    assert len({float(form[0]).hex() for form in forms}) == 1
    assert abs(Fraction(float(forms[0][0])) - Fraction(nanoseconds, 10**9)) <= Fraction(np.spacing(forms[0][0]))
    microseconds = nanoseconds // 1000
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
    assert seconds_of("t", [moment]) == seconds_of("t", np.array([microseconds]), 1e6)
    assert seconds_of("t", [moment.isoformat()]) == seconds_of("t", [moment])


cells = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan), st.integers(-500, 500))
names = {
    "voltage": ["voltage", "voltage_mv", f"{VSS}CurrentVoltage"],
    "current": ["current", "Current [mA]"],
    "temp": ["temp", "temp_f", "temp_k"],
    "soc": ["soc", "soc_fraction"],
}


@given(st.data(), st.sampled_from(["discharge_positive", "charge_positive"]))
def test_one_by_one_has_the_bits_of_a_table(data: st.DataObject, sign: Any) -> None:
    columns = {data.draw(st.sampled_from(names[signal])): data.draw(st.lists(cells, min_size=3, max_size=3))
               for signal in NEEDED_SIGNALS}  # fmt: skip
    columns["time_ms"] = data.draw(st.lists(st.integers(0, 10**13), min_size=3, max_size=3))
    table = read(columns, sign)
    reader = SignalReader(NEEDED_SIGNALS, sign)
    for row in range(3):
        time, reading = reader.reading_of({name: column[row] for name, column in columns.items()})
        assert all(type(value) is float for value in (time, *reading))
        assert np.array([time, *reading]).tobytes() == np.array([table.time[row], *table.values[row]]).tobytes()


def test_a_reader_of_keywords() -> None:
    reader = SignalReader(NEEDED_SIGNALS, "charge_positive", optional=("temp_min",))
    assert reader.names == (*NEEDED_SIGNALS, "temp_min")
    given_one = {"time": 3, "voltage": np.float32(350.0), "current": 41, "temp": None, "soc": 80.0, "driver": "x"}
    time, reading = reader.reading_of(given_one)
    assert (time, reading[:2], reading[3]) == (3.0, [350.0, -41.0], 80.0)
    assert math.isnan(reading[2])
    assert math.isnan(reading[4])
    with pytest.raises(TelemetryError, match=r"missing column\(s\) 'time', 'soc'"):
        reader.reading_of({"voltage": 350.0, "current": 0.0, "temp": 20.0})
    with pytest.raises(TelemetryError, match="'voltage': one reading has one value, not 2: read a batch as a table"):
        reader.reading_of(given_one | {"voltage": [1.0, 2.0]})
    with pytest.raises(TelemetryError, match="column 'time': row 0 holds inf"):
        reader.reading_of(given_one | {"time": math.inf})


def test_names_are_distinct() -> None:
    """No name belongs to two signals: all of them can be asked for at once."""
    assert set(match_signals(("time", *SIGNALS), ("time", *SIGNALS), ())) == {"time", *SIGNALS}
    assert normalise_name("Cell_V_Max") == "cell_v_max"
