"""The trips of the demo data set: what is driven or charged, in which weather, and with which fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """A fault, the second of its onset, and its parameters."""

    name: str
    onset_s: int
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Drive:
    """The roads driven, one after another."""

    route: tuple[str, ...]


@dataclass(frozen=True)
class Charge:
    """Charging with constant power (AC) or limited current (DC); exactly one of the two is given."""

    ac_power_w: float = 0.0
    dc_current_a: float = 0.0


@dataclass(frozen=True)
class Trip:
    """One recorded file. Temperatures in deg C, state of charge from 0 to 1."""

    name: str
    activity: Drive | Charge
    minutes: int
    ambient_c: float
    start_c: float
    start_soc: float
    fault: Fault | None = None

    @property
    def kind(self) -> str:
        """Drive or charge."""
        return "drive" if isinstance(self.activity, Drive) else "charge"


def _drive(
    name: str,
    route: str,
    minutes: int,
    ambient_c: float,
    start_c: float,
    start_soc: float,
    fault: Fault | None = None,
) -> Trip:
    return Trip(name, Drive(tuple(route.split())), minutes, ambient_c, start_c, start_soc, fault)


def _ac(
    name: str,
    power_w: float,
    minutes: int,
    ambient_c: float,
    start_c: float,
    start_soc: float,
    fault: Fault | None = None,
) -> Trip:
    return Trip(name, Charge(ac_power_w=power_w), minutes, ambient_c, start_c, start_soc, fault)


def _dc(
    name: str,
    current_a: float,
    minutes: int,
    ambient_c: float,
    start_c: float,
    start_soc: float,
    fault: Fault | None = None,
) -> Trip:
    return Trip(name, Charge(dc_current_a=current_a), minutes, ambient_c, start_c, start_soc, fault)


HEALTHY_TRIPS = (
    _drive("healthy_drive_01", "urban", 30, 20, 22, 0.82),
    _drive("healthy_drive_02", "urban", 25, 8, 12, 0.55),
    _drive("healthy_drive_03", "urban rural", 30, 16, 18, 0.71),
    _drive("healthy_drive_04", "rural", 30, 24, 26, 0.64),
    _drive("healthy_drive_05", "rural motorway", 35, 18, 21, 0.88),
    _drive("healthy_drive_06", "motorway", 30, 22, 25, 0.76),
    _drive("healthy_drive_07", "urban motorway urban", 35, 12, 15, 0.68),
    _drive("healthy_drive_08", "motorway rural", 30, 3, 9, 0.60),
    _drive("healthy_drive_09", "urban", 25, -5, 5, 0.74),
    _drive("healthy_drive_10", "rural urban", 30, -3, 6, 0.47),
    _drive("healthy_drive_11", "urban", 25, 36, 35, 0.58),
    _drive("healthy_drive_12", "motorway", 30, 34, 33, 0.91),
    _drive("healthy_drive_13", "rural mountain", 30, 30, 31, 0.79),
    _drive("healthy_drive_14", "mountain rural urban", 35, 21, 24, 0.42),
    _ac("healthy_charge_01", 7400, 30, 15, 18, 0.35),
    _ac("healthy_charge_02", 11000, 40, 22, 24, 0.52),
    _ac("healthy_charge_03", 11000, 30, 2, 7, 0.28),
    _dc("healthy_charge_04", 200, 25, 20, 25, 0.15),
    _dc("healthy_charge_05", 200, 30, 32, 31, 0.30),
    _dc("healthy_charge_06", 130, 30, 10, 17, 0.22),
)

FAULTY_TRIPS = (
    _drive(
        "fault_cooling_loss_01",
        "rural mountain mountain",
        35,
        35,
        34,
        0.86,
        Fault("cooling_loss", 300, {"remaining_cooling": 0.03, "drive_heat_share": 0.9}),
    ),
    _dc(
        "fault_cooling_loss_02",
        200,
        30,
        28,
        30,
        0.14,
        Fault("cooling_loss", 240, {"remaining_cooling": 0.03}),
    ),
    _drive(
        "fault_resistance_x2_01",
        "rural motorway",
        30,
        18,
        21,
        0.72,
        Fault("resistance_x2", 0, {"resistance_factor": 2.0}),
    ),
    _drive(
        "fault_resistance_x2_02",
        "motorway mountain",
        30,
        23,
        25,
        0.80,
        Fault("resistance_x2", 700, {"resistance_factor": 2.0}),
    ),
    _drive(
        "fault_internal_short_01",
        "urban rural",
        30,
        19,
        22,
        0.66,
        Fault("internal_short", 600, {"leak_current_a": 40.0, "leak_heat_share": 0.25}),
    ),
    _ac(
        "fault_internal_short_02",
        11000,
        30,
        17,
        20,
        0.45,
        Fault("internal_short", 500, {"leak_current_a": 40.0, "leak_heat_share": 0.25}),
    ),
    _drive("fault_voltage_stuck_01", "rural", 25, 21, 23, 0.69, Fault("voltage_stuck", 620)),
    _drive(
        "fault_voltage_gain_01",
        "urban rural",
        30,
        14,
        17,
        0.77,
        Fault("voltage_gain", 500, {"gain_rate_per_s": 5e-5, "max_gain_error": 0.05}),
    ),
    _drive("fault_current_stuck_01", "urban motorway", 30, 20, 23, 0.83, Fault("current_stuck", 1100)),
    _drive(
        "fault_current_drift_01",
        "rural urban",
        30,
        25,
        26,
        0.61,
        Fault("current_drift", 400, {"rate_per_s": 0.04}),
    ),
    _drive(
        "fault_temperature_drift_01",
        "urban rural",
        30,
        17,
        20,
        0.73,
        Fault("temperature_drift", 450, {"rate_per_s": 0.015}),
    ),
)
