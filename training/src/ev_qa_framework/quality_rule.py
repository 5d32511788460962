"""What readings of a healthy car can be: ranges and sentinels from physics and practice, steps and runs from its data.

Bounds from data are what healthy telemetry did at most, times a margin, and never narrower than the floors here: a
short recording must not make a lively drive look broken. All is measured by time, so that the rule holds at other
sampling rates too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.reading_quality import Driver, QualityRule, SignalQuality
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import SignalTable

MARGIN = 2.0
"""How many times what healthy telemetry did at most is still not called a fault."""

LEAST_STALE_AFTER_S = 120.0
STALE_WITHOUT_DATA_S = 600.0

_ALMOST_ALL = 0.9999
_OF_16_BITS = (65535.0, 65534.0, 32767.0, -32768.0)
_OF_SCALED_16_BITS = (6553.5, 6553.4, 3276.7, -3276.8)
_OF_FEWER_BITS = (1023.0, 2047.0, 4095.0, 8191.0)


@dataclass(frozen=True, slots=True)
class _Physics:
    """What is known of a signal without data, in its unit.

    ``sentinels``: all-ones and error codes of 8 to 16 bits in the usual scalings, and values of broken or unplugged
    probes. ``least_step``, ``least_rate``: healthy cars of any make move by so much between readings and per second.
    """

    lowest: float
    highest: float
    sentinels: tuple[float, ...]
    least_step: float
    least_rate: float
    driver: Driver


_TEMPERATURE = _Physics(
    -60.0,
    250.0,  # cells in thermal runaway get hotter, probes do not survive it
    (-40.0, -50.0, 85.0, 125.0, 127.0, 127.5, 128.0, 150.0, 204.0, 205.0, 214.0, 215.0, 511.0, 255.0, *_OF_16_BITS),
    5.0,
    0.1,
    "heat",
)
_CELL_VOLTAGE = _Physics(
    0.0, 6.0, (0.0, 5.0, 5.1, 5.11, 255.0, 6.5535, 65.535, 8.191, *_OF_16_BITS), 0.2, 0.005, "current"
)
_PHYSICS = {
    "voltage": _Physics(
        0.0,
        1500.0,
        (0.0, 255.0, 511.0, 655.35, *_OF_FEWER_BITS, *_OF_SCALED_16_BITS, *_OF_16_BITS),
        10.0,
        0.1,
        "current",
    ),
    "current": _Physics(-3000.0, 3000.0, (*_OF_FEWER_BITS, *_OF_SCALED_16_BITS, *_OF_16_BITS), 200.0, 10.0, "voltage"),
    "temp": _TEMPERATURE,
    "soc": _Physics(
        -5.0,
        105.0,
        (102.2, 102.3, 127.0, 127.5, 255.0, 254.0, 511.0, *_OF_FEWER_BITS, *_OF_16_BITS),
        2.0,
        0.05,
        "charge",
    ),
    "temp_min": _TEMPERATURE,
    "cell_voltage_max": _CELL_VOLTAGE,
    "cell_voltage_min": _CELL_VOLTAGE,
}
_LEAST_FROZEN_S = 5.0
_LEAST_DRIVE = {"current": 50.0, "voltage": 5.0, "charge": 3600.0, "heat": 6e6}
_RESOLUTION_STEPS = 4.0


def fit_quality_rule(table: SignalTable) -> QualityRule:
    """The rule for the signals of ``table``, healthy telemetry whose rows are in time order per vehicle.

    Raises ``TelemetryError`` where a signal has too few usable readings one after the other to say anything.
    """
    trips = [table.rows_of(vehicle) for vehicle in range(len(table.vehicles))]
    elapsed = np.concatenate([np.diff(table.time[rows]) for rows in trips])
    forward = elapsed[elapsed > 0]
    if len(forward) < 10:
        raise TelemetryError("too few readings one after the other to learn their quality: give at least 11")
    stale_after = max(LEAST_STALE_AFTER_S, 10.0 * float(np.median(forward)))
    runs = _Runs(table, trips, stale_after)
    return QualityRule(tuple(_quality_of(name, runs) for name in table.names), stale_after)


def physical_quality_rule(signals: tuple[str, ...]) -> QualityRule:
    """The rule that needs no data: ranges and sentinels. How far signals move, and when they are frozen, is not known.

    For a pack of which there is no healthy telemetry; not for a sidecar, since nothing bounds its rates.
    """
    return QualityRule(tuple(_known_of(name, _PHYSICS[name]) for name in signals), STALE_WITHOUT_DATA_S)


def _known_of(name: str, physics: _Physics) -> SignalQuality:
    return SignalQuality(
        signal=name,
        lowest=physics.lowest,
        highest=physics.highest,
        sentinels=physics.sentinels,
        largest_rate=math.inf,
        largest_step=physics.least_step,
        resolution=0.0,
    )


class _Runs:
    """Steps from one usable reading to the next, within each vehicle and without gaps."""

    def __init__(self, table: SignalTable, trips: list[IntArray], stale_after: float) -> None:
        order = np.concatenate(trips)
        self.names = table.names
        self.time = table.time[order]
        self.values = table.values[order].copy()
        for position, name in enumerate(table.names):
            column = self.values[:, position]
            column[_unusable(column, _PHYSICS[name])] = np.nan
        vehicle = table.vehicle[order]
        elapsed = np.diff(self.time)
        self.elapsed = elapsed
        self.joined = (vehicle[1:] == vehicle[:-1]) & (elapsed > 0) & (elapsed <= stale_after)

    def column(self, name: str) -> FloatArray:
        """Float64 [N]; NaN where unusable, and everywhere for a signal that is not there."""
        if name not in self.names:
            return np.full(len(self.time), np.nan)
        column: FloatArray = self.values[:, self.names.index(name)]
        return column

    def steps(self, name: str) -> tuple[FloatArray, FloatArray]:
        """|change| and seconds of every usable step."""
        change = np.abs(np.diff(self.column(name)))
        usable = self.joined & np.isfinite(change)
        return change[usable], self.elapsed[usable]

    def drive(self, driver: Driver, least: float) -> FloatArray:
        """Float64 [N − 1]: what the driver did in each step, as the runtime counts it."""
        current = self.column("current")
        if driver in ("current", "voltage"):
            moved = np.abs(np.diff(self.column(driver)))
        else:
            moved = current[1:] * self.elapsed * (current[1:] if driver == "heat" else 1.0)
        usable = self.joined & np.isfinite(moved) & (np.abs(np.nan_to_num(moved)) >= least)
        return np.where(usable, moved, 0.0)


def _unusable(column: FloatArray, physics: _Physics) -> IntArray:
    """Rows of what is certainly no reading: out of range, or a sentinel far from what the signal usually is."""
    within = (column >= physics.lowest) & (column <= physics.highest)
    if not within.any():
        return np.arange(len(column))
    typical = float(np.median(column[within]))
    far = (
        np.abs(column - typical) > 1.5 * float(np.quantile(np.abs(column[within] - typical), 0.95)) + physics.least_step
    )
    return np.flatnonzero(~within | (np.isin(column, physics.sentinels) & far))


def _quality_of(name: str, runs: _Runs) -> SignalQuality:
    physics = _PHYSICS[name]
    column = runs.column(name)
    usable = column[np.isfinite(column)]
    change, elapsed = runs.steps(name)
    if len(change) < 10:
        raise TelemetryError(f"signal {name!r} has too few usable readings to learn their quality: give at least 11")
    resolution = _resolution(change)
    rate = np.maximum(change - resolution, 0.0) / elapsed
    lowest, highest = physics.lowest, physics.highest
    if name == "voltage":  # packs differ, from 48 V to 1000 V; this one's readings are near what it was seen at
        lowest, highest = 0.2 * float(usable.min()), min(2.0 * float(usable.max()), highest)
    low, high = np.quantile(usable, (0.01, 0.99))
    frozen_after_s, driver_step, frozen_after_drive = _frozen(name, physics.driver, resolution, runs)
    return SignalQuality(
        signal=name,
        lowest=lowest,
        highest=highest,
        sentinels=tuple(sorted({value for value in physics.sentinels if not low <= value <= high})),
        largest_rate=_rounded(max(MARGIN * float(np.quantile(rate, _ALMOST_ALL)), physics.least_rate)),
        largest_step=_rounded(max(MARGIN * float(np.quantile(change, _ALMOST_ALL)), physics.least_step)),
        resolution=resolution,
        frozen_after_s=frozen_after_s,
        driver="none" if frozen_after_s is None else physics.driver,
        driver_step=driver_step,
        frozen_after_drive=frozen_after_drive,
    )


def _resolution(change: FloatArray) -> float:
    """The step of a quantised signal, as the hundredth part of its changes is smaller; 0 where nothing moved."""
    moved = change[change > 0]
    return _rounded(float(np.quantile(moved, 0.01))) if len(moved) else 0.0


def _rounded(value: float) -> float:
    """To 6 digits: 0.1 and not 0.09999999999996589."""
    return float(f"{value:.6g}")


def _frozen(name: str, driver: Driver, resolution: float, runs: _Runs) -> tuple[float | None, float, float]:
    """How long and how much driven this signal must be unchanged to be frozen: (None, 0, 0) where nothing drives it."""
    drivers_of = {"current": "current", "voltage": "voltage", "charge": "current", "heat": "current"}
    source = drivers_of[driver]
    if source not in runs.names or source == name:
        return None, 0.0, 0.0
    least = _driver_step(name, driver, resolution, runs)
    drive = runs.drive(driver, least)
    if not drive.any():
        return None, 0.0, 0.0
    most = _most_while_unchanged(runs.column(name), drive, runs.joined)
    _, elapsed = runs.steps(name)
    needed = max(MARGIN * most, _LEAST_DRIVE[driver], 5.0 * least)
    return max(_LEAST_FROZEN_S, 3.0 * float(np.median(elapsed))), _rounded(least), _rounded(needed)


def _driver_step(name: str, driver: Driver, resolution: float, runs: _Runs) -> float:
    """The smallest step of current or voltage that the other must show by several times its resolution."""
    if driver not in ("current", "voltage"):
        return 0.0
    of_signal, of_driver = np.diff(runs.column(name)), np.diff(runs.column(driver))
    usable = runs.joined & np.isfinite(of_signal) & np.isfinite(of_driver)
    of_signal, of_driver = of_signal[usable], of_driver[usable]
    power = float(of_driver @ of_driver)
    per_driver = abs(float(of_driver @ of_signal)) / power if power > 0 else 0.0
    own = _RESOLUTION_STEPS * _resolution(np.abs(of_driver))
    return max(own, _RESOLUTION_STEPS * resolution / per_driver if per_driver > 0 else math.inf)


def _most_while_unchanged(column: FloatArray, drive: FloatArray, joined: FloatArray) -> float:
    """The most that the driver did, summed with its sign, while the signal stayed the same."""
    same = joined & (column[1:] == column[:-1])
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.view(np.int8), [0]))))
    most = 0.0
    for start, end in pairwise(edges.tolist()):
        if same[start]:
            most = max(most, float(np.max(np.abs(np.cumsum(drive[start:end])))))
    return most
