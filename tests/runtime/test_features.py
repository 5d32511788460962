"""Telemetry in every shape → one matrix, its columns found by name, every row's validity known."""

from __future__ import annotations

import decimal
import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import TelemetryError
from ev_qa_runtime.contract import FeatureSpec
from ev_qa_runtime.features import (
    FLOAT32_MAX,
    KNOWN_FEATURES,
    Telemetry,
    invalid_reasons,
    match_names,
    normalise_name,
    read_telemetry,
    valid_rows,
)

FEATURES = tuple(KNOWN_FEATURES[name] for name in ("voltage", "current", "temp"))
VALUES = np.array([[350.0, 10.0, 20.0], [351.5, -3.0, 21.25]])
MAPPING = {"voltage": VALUES[:, 0], "current": VALUES[:, 1], "temp": VALUES[:, 2]}

matrices = hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(3)), elements=st.floats(width=64))
extra_names = st.lists(
    st.text(max_size=8).filter(lambda name: normalise_name(name) not in names_in_use()), max_size=4, unique=True
)


def names_in_use() -> set[str]:
    return {normalise_name(name) for spec in FEATURES for name in (spec.name, *spec.aliases)}


class Frame:
    """A dataframe as pandas and polars look from outside: ``columns`` are names, indexing gives a column."""

    def __init__(self, data: dict[str, object]) -> None:
        self.columns = list(data)
        self._data = data

    def __getitem__(self, name: str) -> object:
        return self._data[name]


class Column:
    """A column that has to be asked for its values, as those of pyarrow and pandas."""

    def __init__(self, values: object) -> None:
        self._values = values

    def to_numpy(self) -> object:
        return self._values


class ArrowTable:
    """``columns`` are the arrays themselves; the names are elsewhere, as in pyarrow."""

    def __init__(self, data: dict[str, object]) -> None:
        self.column_names = list(data)
        self.columns = [Column(values) for values in data.values()]

    def __getitem__(self, name: str) -> object:
        return self.columns[self.column_names.index(name)]


class NAType:
    """Stands for a missing reading, as pandas' NA does: no number, and no bool either."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


def same(telemetry: Telemetry, expected: np.ndarray) -> bool:
    return telemetry.values.tobytes() == np.ascontiguousarray(expected, dtype=np.float64).tobytes()


# --- the containers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        MAPPING,
        {name: column.tolist() for name, column in MAPPING.items()},
        {name: tuple(column) for name, column in MAPPING.items()},
        Frame(MAPPING),
        Frame({name: Column(column) for name, column in MAPPING.items()}),
        ArrowTable(MAPPING),
        np.array([tuple(row) for row in VALUES], dtype=[("voltage", "f8"), ("current", "f8"), ("temp", "f8")]),
        np.array([tuple(row[::-1]) for row in VALUES], dtype=[("temp", "f4"), ("current", "f8"), ("voltage", "f8")]),
        VALUES,
        VALUES.tolist(),
        np.asfortranarray(VALUES),
        VALUES.astype(np.float32),
        VALUES.astype(object),
        np.ma.array(VALUES),
    ],
    ids=lambda data: type(data).__name__,
)
def test_every_container_gives_the_same_matrix(data: object) -> None:
    telemetry = read_telemetry(data, FEATURES)
    assert same(telemetry, VALUES)
    assert telemetry.values.flags.c_contiguous
    assert telemetry.names == ("voltage", "current", "temp")
    assert telemetry.valid.tolist() == [True, True]
    assert len(telemetry) == 2


def test_a_contiguous_float64_array_is_not_copied() -> None:
    assert np.shares_memory(read_telemetry(VALUES, FEATURES).values, VALUES)


def test_telemetry_that_was_read_already_passes_through() -> None:
    telemetry = read_telemetry(MAPPING, FEATURES)
    assert read_telemetry(telemetry, FEATURES) is telemetry


def test_scalars_are_one_row() -> None:
    telemetry = read_telemetry({"voltage": 350.0, "current": np.float32(1.5), "temp": np.array(20)}, FEATURES)
    assert same(telemetry, np.array([[350.0, 1.5, 20.0]]))


def test_integer_columns_are_numbers() -> None:
    columns = {"voltage": np.array([350], dtype=np.uint16), "current": [-3], "temp": np.array([20], dtype=np.int8)}
    assert same(read_telemetry(columns, FEATURES), np.array([[350.0, -3.0, 20.0]]))


def test_empty_columns_are_no_rows() -> None:
    telemetry = read_telemetry({"voltage": [], "current": np.empty(0), "temp": ()}, FEATURES)
    assert telemetry.values.shape == (0, 3)
    assert len(telemetry) == telemetry.invalid_count == 0


@pytest.mark.parametrize(
    "missing",
    [None, float("nan"), np.float32("nan"), NAType(), decimal.Decimal("NaN")],
    ids=["None", "nan", "float32 nan", "NAType", "Decimal NaN"],
)
def test_a_missing_reading_is_nan_and_the_row_invalid(missing: object) -> None:
    telemetry = read_telemetry({"voltage": [350.0, missing], "current": [1, 2], "temp": [20, 21]}, FEATURES)
    assert math.isnan(telemetry.values[1, 0])
    assert telemetry.valid.tolist() == [True, False]
    assert telemetry.reasons(1) == ("voltage: missing",)


def test_masked_readings_of_a_column_are_missing() -> None:
    columns = {**MAPPING, "current": np.ma.array([10, 99], mask=[False, True])}
    assert read_telemetry(columns, FEATURES).reasons(1) == ("current: missing",)


def test_masked_readings_of_a_bare_array_are_missing() -> None:
    data = np.ma.array(VALUES, mask=[[False, False, True], [False, False, False]])
    telemetry = read_telemetry(data, FEATURES)
    assert telemetry.valid.tolist() == [False, True]
    assert telemetry.reasons(0) == ("temp: missing",)


def test_masked_readings_of_a_structured_array_are_missing() -> None:
    dtype = [("voltage", "f8"), ("current", "f8"), ("temp", "f8")]
    data = np.ma.array([tuple(row) for row in VALUES], dtype=dtype, mask=[(True, False, False), (False, False, False)])
    assert read_telemetry(data, FEATURES).reasons(0) == ("voltage: missing",)


def test_a_whole_number_beyond_a_double_is_not_finite() -> None:
    telemetry = read_telemetry({"voltage": [10**400], "current": [1], "temp": [2]}, FEATURES)
    assert telemetry.reasons(0) == ("voltage: not finite",)


# --- the names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "feature"),
    [
        ("VOLTAGE", "voltage"),
        ("Voltage (V)", "voltage"),
        ("  pack-voltage ", "voltage"),
        ("Pack.Voltage[V]", "voltage"),
        ("Current / A", "current"),
        ("AMPS", "current"),
        ("Temp [°C]", "temp"),
        ("temperature", "temp"),
        ("Temperature (degC)", "temp"),
        ("Battery Temp", "temp"),
    ],
)
def test_names_match_without_case_space_and_punctuation(given_name: str, feature: str) -> None:
    columns = {spec.name: spec.name for spec in FEATURES if spec.name != feature}
    assert match_names([*columns, given_name], FEATURES) == {**columns, feature: given_name}


@pytest.mark.parametrize("name", ["volta", "voltage2", "my voltage", "v", "", "temp_f"])
def test_other_names_do_not_match(name: str) -> None:
    features = (KNOWN_FEATURES["voltage"], KNOWN_FEATURES["temp"])
    with pytest.raises(TelemetryError, match=r"^missing column\(s\) 'voltage', 'temp'; there were: "):
        match_names([name], features)


def test_columns_without_text_names_are_ignored() -> None:
    assert match_names([0, ("voltage",), "voltage"], FEATURES[:1]) == {"voltage": "voltage"}


def test_any_name_can_be_a_feature() -> None:
    telemetry = read_telemetry({"Cell ΔV": [0.1]}, (FeatureSpec("cell_Δv"),))
    assert telemetry.values.tolist() == [[0.1]]


def test_a_missing_column_is_named_and_so_is_what_was_there() -> None:
    others = r" \('current' may also be called '[^()]+'; all names: docs/telemetry.md\)"
    with pytest.raises(
        TelemetryError, match=rf"^missing column\(s\) 'current', 'temp'; there were: 'Voltage', 'soc'{others}$"
    ):
        read_telemetry({"Voltage": [1], "soc": [50]}, FEATURES)
    with pytest.raises(TelemetryError, match=r"^missing column\(s\) 'fan'; there were: 'soc'$"):
        read_telemetry({"soc": [50]}, (FeatureSpec("fan"),))


def test_a_missing_column_s_other_names_are_of_several_kinds() -> None:
    aliases = ("fan", "fan_rpm", "blower", "blower_rpm", "vent", "cooler", "ventilator")
    with pytest.raises(TelemetryError, match=r"'fan' may also be called 'blower', 'vent', 'cooler'; all names"):
        read_telemetry({"soc": [50]}, (FeatureSpec("fan", None, aliases),))


def test_nothing_at_all_is_missing_every_column() -> None:
    with pytest.raises(TelemetryError, match=r"'voltage', 'current', 'temp'; there were: no columns$"):
        read_telemetry({}, FEATURES)


@pytest.mark.parametrize("names", [("voltage", "Voltage"), ("voltage", "pack_voltage"), ("voltage", "voltage")])
def test_two_columns_for_one_feature_are_an_error(names: tuple[str, str]) -> None:
    with pytest.raises(
        TelemetryError, match=rf"^duplicate columns for 'voltage': '{names[0]}', '{names[1]}'; keep one"
    ):
        match_names([*names, "current", "temp"], FEATURES)


# --- what is no reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        ["1.5", "2.5"],
        np.array([b"1.5", b"2.5"]),
        np.array(["1.5", 2.5], dtype=object),
        [None, "n/a"],
        [True, False],
        np.array([True, None], dtype=object),
        [1j, 2.0],
        np.array([1j, None], dtype=object),
        np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]"),
        np.ma.array(["1.5", "2.5"], mask=[True, False]),
        np.ma.array([True, False], mask=[True, False]),
        [{}, {}],
    ],
    ids=str,
)
def test_a_column_that_is_not_numeric_is_named(column: object) -> None:
    with pytest.raises(TelemetryError, match=r"^column 'current' is not numeric: "):
        read_telemetry({**MAPPING, "current": column}, FEATURES)


def test_the_row_of_the_first_value_that_is_no_number_is_given() -> None:
    with pytest.raises(TelemetryError, match=r"column 'temp' is not numeric: row 1 holds 'warm'"):
        read_telemetry({**MAPPING, "temp": np.array([20.0, "warm"], dtype=object)}, FEATURES)


def test_columns_of_different_length_are_an_error() -> None:
    with pytest.raises(TelemetryError, match=r"columns differ in length: .*'voltage': 2, 'current': 2, 'temp': 1"):
        read_telemetry({**MAPPING, "temp": [20.0]}, FEATURES)


def test_a_scalar_is_not_spread_over_the_rows() -> None:
    with pytest.raises(TelemetryError, match="columns differ in length"):
        read_telemetry({**MAPPING, "temp": 20.0}, FEATURES)


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (3,), (), (2, 3, 1), (0, 2)], ids=str)
def test_a_bare_array_must_have_the_contracts_width(shape: tuple[int, ...]) -> None:
    with pytest.raises(TelemetryError, match=r"must have shape \(rows, 3\) for voltage, current, temp, not \("):
        read_telemetry(np.zeros(shape), FEATURES)


@pytest.mark.parametrize("data", [None, 5, "voltage", object()])
def test_what_is_no_telemetry_at_all_is_an_error(data: object) -> None:
    with pytest.raises(TelemetryError, match=r"must have shape \(rows, 3\)"):
        read_telemetry(data, FEATURES)


def test_a_bare_array_of_text_names_the_column() -> None:
    with pytest.raises(TelemetryError, match="column 'voltage' is not numeric"):
        read_telemetry(VALUES.astype(str), FEATURES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**MAPPING, "current": [[1, 2], [3]]}, "^column 'current' is not an array of numbers"),
        ([[1, 2, 3], [4, 5]], "^telemetry is not an array of numbers"),
        ({**MAPPING, "current": np.zeros((2, 1))}, r"^column 'current' must have one dimension, not shape \(2, 1\)"),
    ],
    ids=["ragged column", "ragged matrix", "two-dimensional column"],
)
def test_nested_lists_that_are_no_column_are_an_error(data: object, message: str) -> None:
    with pytest.raises(TelemetryError, match=message):
        read_telemetry(data, FEATURES)


# --- properties -------------------------------------------------------------------------------------------------------


@given(matrices, st.data())
def test_order_extra_columns_and_aliases_change_nothing(values: np.ndarray, data: st.DataObject) -> None:
    names = [data.draw(st.sampled_from([spec.name, *spec.aliases])) for spec in FEATURES]
    disguised = [
        data.draw(st.sampled_from([str.upper, str.title, lambda n: f" {n.replace('_', ' ')} "]))(n) for n in names
    ]
    columns = {name: values[:, position] for position, name in enumerate(disguised)}
    columns |= dict.fromkeys(data.draw(extra_names), "no numbers here")
    order = data.draw(st.permutations(list(columns)))
    telemetry = read_telemetry({name: columns[name] for name in order}, FEATURES)
    assert same(telemetry, values)


@given(matrices)
def test_a_row_is_valid_where_every_reading_is_finite_and_fits_float32(values: np.ndarray) -> None:
    telemetry = read_telemetry(values, FEATURES)
    for row, valid in zip(values.tolist(), telemetry.valid.tolist(), strict=True):
        assert valid == all(math.isfinite(reading) and abs(reading) <= FLOAT32_MAX for reading in row)


@given(matrices)
def test_reasons_name_exactly_the_readings_at_fault(values: np.ndarray) -> None:
    telemetry = read_telemetry(values, FEATURES)
    for index, row in enumerate(values.tolist()):
        expected = [
            f"{name}: {'missing' if math.isnan(reading) else 'not finite' if math.isinf(reading) else 'beyond float32'}"
            for name, reading in zip(telemetry.names, row, strict=True)
            if math.isnan(reading) or abs(reading) > 3.4028234663852886e38
        ]
        assert list(telemetry.reasons(index)) == expected
        assert bool(expected) is not bool(telemetry.valid[index])


@given(matrices)
def test_reason_counts_add_up(values: np.ndarray) -> None:
    telemetry = read_telemetry(values, FEATURES)
    counts = telemetry.reason_counts()
    assert sum(counts.values()) == sum(len(telemetry.reasons(row)) for row in range(len(telemetry)))
    assert list(counts) == sorted(counts)
    assert telemetry.invalid_count == np.count_nonzero(~telemetry.valid)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_float32_is_the_last_valid_reading(sign: float) -> None:
    last = sign * float(np.finfo(np.float32).max)
    beyond = float(np.nextafter(last, sign * np.inf))
    assert valid_rows(np.array([[last], [beyond]])).tolist() == [True, False]
    assert invalid_reasons(["current"], [last]) == ()
    assert invalid_reasons(["current"], [beyond]) == ("current: beyond float32",)


@given(st.text())
def test_a_normalised_name_stays_as_it_is(name: str) -> None:
    assert normalise_name(normalise_name(name)) == normalise_name(name)
