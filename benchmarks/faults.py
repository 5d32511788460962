"""The 21 kinds of fault, as seeded functions of healthy telemetry: what each does to the readings after its onset.

A trip is a table with ``time_s`` and ``voltage`` (V, pack), ``current`` (A, **positive when discharging**), ``temp``
(°C) and ``soc`` (%); ``cell_voltage_max`` and ``cell_voltage_min`` (V) follow where they are there. Everything goes by
time, never by row number: the same fault at another sampling rate gives the same readings at the same times. What a
fault does to the pack is taken from :class:`PackEstimate`, that is from the healthy telemetry itself. Changed readings
are rounded as the healthy ones are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from benchmarks.pack_estimate import CELLS, SIGNALS, PackEstimate

from ev_qa_runtime.severity import FloatArray

DRIFT_ENDS_S = 1_800.0
"""A drifting sensor comes to rest after half an hour; without an end a long trip would leave every physical range."""
IMBALANCE_GROWS_S = 600.0
SPELL_S = 2.0
"""How long one interruption of a loose contact lasts."""
ONSET = 1.0 / 3.0
SENTINEL_C = -40.0

Readings = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class AfterOnset:
    """What a fault acts on: ``elapsed`` seconds since its onset, float64 [N], and the healthy readings there."""

    elapsed: FloatArray
    readings: Mapping[str, FloatArray]
    pack: PackEstimate
    magnitude: float
    seed: int

    def uniform(self, slot_s: float, stream: int = 0) -> FloatArray:
        """Numbers in (0, 1), float64 [N], one a slot of time: a hash (splitmix64) of seed and slot, not a sequence."""
        slot = np.floor(self.elapsed / slot_s + 1e-9).astype(np.uint64)
        key = np.uint64((self.seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64)
        mixed = slot * np.uint64(0x9E3779B97F4A7C15) + key
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
        uniform: FloatArray = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
        return uniform

    def normal(self) -> FloatArray:
        """White Gaussian noise of unit variance by time, one value a millisecond (Box and Muller, 1958)."""
        first, second = self.uniform(0.001, 1), self.uniform(0.001, 2)
        noise: FloatArray = np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)
        return noise

    @property
    def interrupted(self) -> FloatArray:
        """1.0 in the spells of :data:`SPELL_S` in which a loose contact is open, a share ``magnitude`` of the time."""
        return (self.uniform(SPELL_S) < self.magnitude).astype(np.float64)

    def lower_voltage(self, drop: FloatArray) -> Readings:
        """The pack's voltage lower by ``drop`` volts that all cells share alike."""
        changed = {"voltage": self.readings["voltage"] - drop}
        for name in CELLS:
            if name in self.readings and self.pack.cells:
                changed[name] = self.readings[name] - drop / self.pack.cells
        return changed


Effect = Callable[[AfterOnset], Readings]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: ``signals`` are the readings it may change, ``onset`` the share of the trip before it begins.

    ``intermittent`` kinds come and go; between two spells the readings are healthy.
    """

    name: str
    signals: tuple[str, ...]
    magnitude: float
    unit: str
    effect: Effect
    onset: float = ONSET
    intermittent: bool = False

    @property
    def description(self) -> str:
        """What it does, one line."""
        return (self.effect.__doc__ or "").partition("\n")[0].rstrip(".")


def stuck(signal: str) -> Effect:
    def effect(rows: AfterOnset) -> Readings:
        """The sensor repeats one reading, that of the onset; the magnitude is how far off it."""
        return {signal: np.full_like(rows.readings[signal], rows.readings[signal][0] + rows.magnitude)}

    return effect


def drift(signal: str) -> Effect:
    def effect(rows: AfterOnset) -> Readings:
        """The reading drifts away at a constant rate, for half an hour, and stays there."""
        return {signal: rows.readings[signal] + rows.magnitude * np.minimum(rows.elapsed, DRIFT_ENDS_S)}

    return effect


def gain(signal: str) -> Effect:
    def effect(rows: AfterOnset) -> Readings:
        """The sensor's scale is wrong by a factor, at once."""
        return {signal: rows.readings[signal] * rows.magnitude}

    return effect


def offset(signal: str) -> Effect:
    def effect(rows: AfterOnset) -> Readings:
        """The reading is shifted by a constant, at once."""
        return {signal: rows.readings[signal] + rows.magnitude}

    return effect


def noise(signal: str) -> Effect:
    def effect(rows: AfterOnset) -> Readings:
        """White Gaussian noise is added; the magnitude is its standard deviation."""
        return {signal: rows.readings[signal] + rows.magnitude * rows.normal()}

    return effect


def interrupted(signal: str, reads: float) -> Effect:
    def effect(rows: AfterOnset) -> Readings:
        """A loose contact: for spells of 2 s, a tenth of the time, the reading is the value of an open input."""
        return {signal: np.where(rows.interrupted > 0.0, reads, rows.readings[signal])}

    return effect


def reversed_current(rows: AfterOnset) -> Readings:
    """The current sensor's sign is reversed: discharging reads as charging."""
    return {"current": -rows.readings["current"]}


def cooling_loss(rows: AfterOnset) -> Readings:
    """Cooling fails: a share of the heat I² R that it carried away stays and warms the pack.

    dT = share ∫ I² R dt / C with the total resistance R and the heat capacity C of :class:`PackEstimate`; the integral
    is trapezoidal. Gentle trips warm by tenths of a degree and show next to nothing. Left out: waste heat of the drive,
    which would warm the pack more, and that a warmer pack has less resistance.
    """
    squared = rows.readings["current"] ** 2
    steps = np.diff(rows.elapsed) * (squared[1:] + squared[:-1]) / 2.0
    joules = rows.pack.total_resistance_ohm * np.concatenate([[0.0], np.cumsum(steps)])
    return {"temp": rows.readings["temp"] + rows.magnitude * joules / rows.pack.heat_capacity_j_per_k}


def raised_resistance(rows: AfterOnset) -> Readings:
    """The inner resistance is a multiple of the healthy one: V falls by (factor − 1) R0 I.

    R0 is the healthy telemetry's own −dV/dI. The slower polarisation stays as it was and the extra heat is left out,
    so the real fault would show more.
    """
    return rows.lower_voltage((rows.magnitude - 1.0) * rows.pack.resistance_ohm * rows.readings["current"])


def internal_short(rows: AfterOnset) -> Readings:
    """A leak across the pack that the current sensor does not see: V falls by R0 I_leak, and slowly with the charge.

    The leak drains I_leak t of the capacity, at most what there is; the open-circuit voltage falls with the true state
    of charge by the healthy telemetry's own dOCV/dSoC. The state of charge that is shown is counted from the sensor
    and does not change. The leak's heat is left out.
    """
    drained = 100.0 * rows.magnitude * rows.elapsed / (3600.0 * rows.pack.capacity_ah)
    drained = np.minimum(drained, rows.readings["soc"])
    return rows.lower_voltage(rows.magnitude * rows.pack.resistance_ohm + rows.pack.ocv_slope_v_per_percent * drained)


def cell_imbalance(rows: AfterOnset) -> Readings:
    """One cell runs empty before the others: its voltage falls by the magnitude within ten minutes, the pack's as much.

    On a pack's voltage of hundreds of volts that is next to nothing; the lowest cell shows it, where it is measured.
    """
    deficit = rows.magnitude * np.minimum(rows.elapsed / IMBALANCE_GROWS_S, 1.0)
    changed = {"voltage": rows.readings["voltage"] - deficit}
    if "cell_voltage_min" in rows.readings:
        changed["cell_voltage_min"] = rows.readings["cell_voltage_min"] - deficit
    return changed


FAULT_KINDS: tuple[FaultKind, ...] = (
    FaultKind("voltage_stuck", ("voltage",), 0.0, "V", stuck("voltage")),
    FaultKind("current_stuck", ("current",), 0.0, "A", stuck("current")),
    FaultKind("temp_stuck", ("temp",), 0.0, "°C", stuck("temp")),
    FaultKind("soc_stuck", ("soc",), 0.0, "%", stuck("soc")),
    FaultKind("voltage_drift", ("voltage",), -0.005, "V/s", drift("voltage")),
    FaultKind("current_drift", ("current",), 0.02, "A/s", drift("current")),
    FaultKind("temp_drift", ("temp",), 0.015, "°C/s", drift("temp")),
    FaultKind("voltage_gain", ("voltage",), 0.98, "×", gain("voltage")),
    FaultKind("current_gain", ("current",), 1.5, "×", gain("current")),
    FaultKind("voltage_offset", ("voltage",), -5.0, "V", offset("voltage")),
    FaultKind("soc_jump", ("soc",), -8.0, "%", offset("soc")),
    FaultKind("current_sign", ("current",), -1.0, "×", reversed_current),
    FaultKind("voltage_noise", ("voltage",), 3.0, "V", noise("voltage")),
    FaultKind("current_noise", ("current",), 15.0, "A", noise("current")),
    FaultKind("temp_noise", ("temp",), 2.0, "°C", noise("temp")),
    FaultKind("voltage_dropout", ("voltage",), 0.1, "of the time", interrupted("voltage", 0.0), intermittent=True),
    FaultKind("temp_sentinel", ("temp",), 0.1, "of the time", interrupted("temp", SENTINEL_C), intermittent=True),
    FaultKind("cooling_loss", ("temp",), 0.9, "of I² R", cooling_loss),
    FaultKind("resistance_x2", ("voltage", *CELLS), 2.0, "× R0", raised_resistance),
    FaultKind("internal_short", ("voltage", *CELLS), 40.0, "A", internal_short),
    FaultKind("cell_imbalance", ("voltage", "cell_voltage_min"), 2.0, "V", cell_imbalance),
)
KIND_OF: Mapping[str, FaultKind] = {kind.name: kind for kind in FAULT_KINDS}


def inject(
    kind: FaultKind,
    trip: pd.DataFrame,
    pack: PackEstimate,
    *,
    magnitude: float | None = None,
    onset_s: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """A copy of the trip with the fault, and a column ``fault``: 1 where it is present, else 0.

    ``onset_s`` counts from the trip's first row; by default the kind's share of the trip. Of an intermittent fault the
    rows between two spells are 0, their readings are healthy. Raises ``ValueError`` for a trip whose time goes
    backwards, or that ends before the onset.
    """
    time = trip["time_s"].to_numpy(np.float64)
    if len(time) == 0 or not (np.diff(time) >= 0.0).all():
        raise ValueError("time_s must not be empty nor go backwards: sort the trip, or split it")
    onset = time[0] + (kind.onset * (time[-1] - time[0]) if onset_s is None else onset_s)
    first = int(np.searchsorted(time, onset))
    if first == len(time):
        raise ValueError(f"{kind.name} begins {onset - time[0]:g} s into a trip of {time[-1] - time[0]:g} s")
    signals = [name for name in (*SIGNALS, *CELLS) if name in trip]
    healthy = {name: trip[name].to_numpy(np.float64) for name in signals}
    rows = AfterOnset(
        elapsed=time[first:] - onset,
        readings={name: values[first:] for name, values in healthy.items()},
        pack=pack,
        magnitude=kind.magnitude if magnitude is None else magnitude,
        seed=(seed << 32) ^ zlib.crc32(kind.name.encode()),
    )
    faulted = trip.copy()
    for name, readings in kind.effect(rows).items():
        faulted[name] = np.concatenate([healthy[name][:first], pack.rounded(name, readings)])
    present = np.arange(len(time)) >= first
    if kind.intermittent:
        present[first:] = rows.interrupted > 0.0
    faulted["fault"] = present.astype(np.int64)
    return faulted


def described(kinds: Sequence[FaultKind] = FAULT_KINDS) -> list[tuple[str, str, str, str]]:
    """Rows for a table: name, default magnitude, signals, what it does."""
    return [(kind.name, f"{kind.magnitude:g} {kind.unit}", ", ".join(kind.signals), kind.description) for kind in kinds]
