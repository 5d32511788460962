"""The names that signals answer to, and the units in them: ``"Voltage [mV]"`` → ``voltage``, to be divided by 1000.

Paths are those of the COVESA Vehicle Signal Specification 4 and 5, branch ``Vehicle.Powertrain.TractionBattery``, with
or without ``Vehicle.`` and in any notation (dots, slashes, underscores). Names are compared as features' are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ev_qa_runtime.contract import FeatureSpec
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import match_names, normalise_name

TIME = "time"
VEHICLE = "vehicle_id"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A reading in another unit → the signal's own: ``(reading − offset) × factor / divisor``, correctly rounded each.

    ``charge_positive``: the name itself says that the current is counted positive when charging, as VSS does.
    """

    offset: float = 0.0
    factor: float = 1.0
    divisor: float = 1.0
    charge_positive: bool = False

    @property
    def changes(self) -> bool:
        """Whether the reading is not taken as it is."""
        return self.offset != 0.0 or self.factor != 1.0 or self.divisor != 1.0

    def of(self, reading: Any) -> Any:
        """A float or float64 array in the signal's unit; both give the same bits."""
        return (reading - self.offset) * self.factor / self.divisor


_AS_IS = Conversion()
_MILLI = Conversion(divisor=1000.0)
_KILO = Conversion(factor=1000.0)
_VOLTS = {"": _AS_IS, "v": _AS_IS, "volt": _AS_IS, "volts": _AS_IS, "mv": _MILLI, "millivolt": _MILLI, "kv": _KILO}
_CELL_VOLTS = _VOLTS | {"uv": Conversion(divisor=1e6)}
_AMPERES = {"": _AS_IS, "a": _AS_IS, "amp": _AS_IS, "amps": _AS_IS, "ampere": _AS_IS, "ma": _MILLI, "ka": _KILO}
_FAHRENHEIT = Conversion(offset=32.0, factor=5.0, divisor=9.0)
_KELVIN = Conversion(offset=273.15)
_DEGREES = {
    **dict.fromkeys(("", "c", "degc", "deg_c", "celsius"), _AS_IS),
    **dict.fromkeys(("f", "degf", "deg_f", "fahrenheit"), _FAHRENHEIT),
    **dict.fromkeys(("k", "degk", "kelvin"), _KELVIN),
}
_PERCENT = {
    **dict.fromkeys(("", "pct", "percent", "perc"), _AS_IS),
    **dict.fromkeys(("fraction", "frac", "ratio"), Conversion(factor=100.0)),
}
_SECONDS = {
    **dict.fromkeys(("", "s", "sec", "seconds"), _AS_IS),
    **dict.fromkeys(("ms", "millis", "milliseconds"), _MILLI),
    **dict.fromkeys(("us", "micros", "microseconds"), Conversion(divisor=1e6)),
    **dict.fromkeys(("ns", "nanos", "nanoseconds"), Conversion(divisor=1e9)),
}
_BATTERY = "vehicle_powertrain_tractionbattery_"


@dataclass(frozen=True, slots=True)
class _Naming:
    """A signal's unit, the names it has, each with any suffix of ``units``, and its path below the traction battery."""

    unit: str | None
    names: str
    units: dict[str, Conversion]
    path: str = ""
    whole_path: str = ""


_NAMINGS = {
    "voltage": _Naming(
        "V",
        "voltage pack_voltage battery_voltage voltage_pack hv_voltage hv_battery_voltage volt volts total_voltage",
        _VOLTS,
        "currentvoltage",
    ),
    "current": _Naming(
        "A",
        "current pack_current battery_current current_pack hv_current hv_battery_current total_current amps",
        _AMPERES,
        "currentcurrent",
    ),
    "temp": _Naming(
        "degC",
        "temp temperature temp_max temperature_max max_temp max_temperature battery_temp battery_temperature pack_temp"
        " pack_temperature battery_temp_max pack_temp_max cell_temp_max max_cell_temp",
        _DEGREES,
        "temperature_max",
    ),
    "soc": _Naming("%", "soc state_of_charge battery_soc pack_soc stateofcharge", _PERCENT, "stateofcharge_current"),
    "temp_min": _Naming(
        "degC",
        "temp_min temperature_min min_temp min_temperature battery_temp_min pack_temp_min cell_temp_min min_cell_temp",
        _DEGREES,
        "temperature_min",
    ),
    "cell_voltage_max": _Naming(
        "V",
        "cell_voltage_max max_cell_voltage cell_v_max v_cell_max vcell_max cell_max_voltage cell_volt_max",
        _CELL_VOLTS,
        "cellvoltage_max",
    ),
    "cell_voltage_min": _Naming(
        "V",
        "cell_voltage_min min_cell_voltage cell_v_min v_cell_min vcell_min cell_min_voltage cell_volt_min",
        _CELL_VOLTS,
        "cellvoltage_min",
    ),
    TIME: _Naming(
        "s",
        "time timestamp datetime date_time ts epoch epoch_time unix_time unixtime elapsed elapsed_time time_stamp",
        _SECONDS,
    ),
    VEHICLE: _Naming(
        None,
        "vehicle_id vehicle vin car_id vehicleid vehicle_identification_number",
        {"": _AS_IS},
        whole_path="vehicle_vehicleidentification_vin",
    ),
}

SIGNALS = tuple(name for name in _NAMINGS if name not in (TIME, VEHICLE))
"""Signals in their usual order; all that :mod:`ev_qa_runtime.signals` reads beside time and vehicle."""


@lru_cache(maxsize=1)
def _conversions() -> dict[str, dict[str, Conversion]]:
    """Signal → every name it answers to, in the form names are compared in → what its readings need."""
    return {signal: _names_of(signal, naming) for signal, naming in _NAMINGS.items()}


def _names_of(signal: str, naming: _Naming) -> dict[str, Conversion]:
    names = {
        f"{base}_{suffix}".rstrip("_"): conversion
        for base in naming.names.split()
        for suffix, conversion in naming.units.items()
    }
    whole = naming.whole_path or (naming.path and _BATTERY + naming.path)
    by_path = Conversion(charge_positive=signal == "current")
    while whole and whole != naming.path:  # without its first parts too, down to the traction battery's own
        names[whole] = by_path
        whole = whole.partition("_")[2]
    return names


@lru_cache(maxsize=1)
def _specs() -> dict[str, FeatureSpec]:
    return {
        signal: FeatureSpec(signal, _NAMINGS[signal].unit, tuple(names)) for signal, names in _conversions().items()
    }


def check_signals(signals: Iterable[str]) -> None:
    """``TelemetryError`` for a name that is no signal."""
    for signal in signals:
        if signal not in SIGNALS:
            raise TelemetryError(f"unknown signal {signal!r:.40}: there are {', '.join(SIGNALS)}")


def vehicle_columns(given: Iterable[object]) -> list[str]:
    """Those of the given names that hold vehicles' ids."""
    names = _conversions()[VEHICLE]
    return [column for column in given if isinstance(column, str) and normalise_name(column) in names]


def match_signals(
    given: Iterable[object], wanted: Sequence[str], optional: Sequence[str]
) -> dict[str, tuple[str, Conversion]]:
    """Signal (or ``time``, ``vehicle_id``) → the column of ``given`` that holds it, and what its readings need.

    Those in ``optional`` are left out where there is no column. ``TelemetryError`` as :func:`features.match_names`.
    """
    columns = list(given)
    there = {normalise_name(column) for column in columns if isinstance(column, str)}
    conversions = _conversions()
    found = [name for name in optional if name not in wanted and not there.isdisjoint(conversions[name])]
    matched = match_names(columns, [_specs()[name] for name in (*wanted, *found)])
    return {name: (column, conversions[name][normalise_name(column)]) for name, column in matched.items()}
