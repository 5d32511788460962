"""What healthy telemetry says of its pack: the constants that physical faults are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ev_qa_runtime.severity import FloatArray

SIGNALS = ("voltage", "current", "temp", "soc")
CELLS = ("cell_voltage_max", "cell_voltage_min")
HEAT_CAPACITY_J_PER_K_WH = 5.0
"""1,000 J/(kg K) over 200 Wh/kg: lithium-ion cells lie at 800–1,100 J/(kg K) (Bandhauer, Garimella and Fuller, J.
Electrochem. Soc. 158, 2011)."""
INSTANT_S = 2.0
MOST_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class PackEstimate:
    """``resistance_ohm`` R0 as −dV/dI of quick steps, ``ocv_slope_v_per_percent`` dOCV/dSoC, ``capacity_ah``.

    ``total_resistance_ohm``: with the slower polarisation, which heats as well. ``cells`` in series, None without cell
    voltages; ``decimals`` that a signal is recorded with.
    """

    resistance_ohm: float
    total_resistance_ohm: float
    ocv_slope_v_per_percent: float
    capacity_ah: float
    mean_voltage: float
    cells: int | None = None
    decimals: Mapping[str, int] = field(default_factory=dict)

    @property
    def heat_capacity_j_per_k(self) -> float:
        """Of the whole pack, from its energy."""
        return HEAT_CAPACITY_J_PER_K_WH * self.capacity_ah * self.mean_voltage

    def rounded(self, signal: str, readings: FloatArray) -> FloatArray:
        """Readings as the healthy telemetry records them."""
        return np.round(readings, self.decimals.get(signal, MOST_DECIMALS))

    @classmethod
    def of(cls, trips: Sequence[pd.DataFrame]) -> PackEstimate:
        """From healthy trips with complete readings, current positive when discharging.

        Raises ``ValueError`` where voltage does not fall with current or the state of charge does not move.
        """
        rows = pd.concat([trip.dropna(subset=list(SIGNALS)) for trip in trips], ignore_index=True)
        design = np.column_stack([np.ones(len(rows)), rows["soc"], rows["current"]]).astype(np.float64)
        _, slope, fall = (float(each) for each in np.linalg.lstsq(design, rows["voltage"].to_numpy(np.float64))[0])
        resistance = resistance_of(trips)
        if not resistance > 0.0:
            raise ValueError("voltage does not fall when current rises: current must be positive when discharging")
        cells = None
        if "cell_voltage_max" in rows:
            cells = int(np.round((rows["voltage"] / rows["cell_voltage_max"]).median()))
        return cls(
            resistance_ohm=resistance,
            total_resistance_ohm=max(-fall, resistance),
            ocv_slope_v_per_percent=max(slope, 0.0),
            capacity_ah=capacity_of(trips),
            mean_voltage=float(rows["voltage"].mean()),
            cells=cells,
            decimals={
                name: decimals_of(rows[name].to_numpy(np.float64)) for name in (*SIGNALS, *CELLS) if name in rows
            },
        )


def resistance_of(trips: Sequence[pd.DataFrame]) -> float:
    """−Σ dV dI / Σ dI², ohm, over steps of at most 2 s, or of the usual length where that is longer."""
    steps = np.concatenate([np.diff(trip[["time_s", "voltage", "current"]].to_numpy(float), axis=0) for trip in trips])
    steps = steps[np.isfinite(steps).all(axis=1) & (steps[:, 0] > 0.0)]
    quick = steps[steps[:, 0] <= max(INSTANT_S, float(np.median(steps[:, 0])))]
    power = float(np.sum(quick[:, 2] ** 2))
    return -float(np.sum(quick[:, 1] * quick[:, 2])) / power if power > 0.0 else 0.0


def capacity_of(trips: Sequence[pd.DataFrame]) -> float:
    """Ah: the charge that moved over the change of the state of charge, by least squares over trips."""
    moved, changed = [], []
    for trip in trips:
        time, current = trip["time_s"].to_numpy(np.float64), trip["current"].to_numpy(np.float64)
        moved.append(float(np.nansum(np.diff(time) * (current[1:] + current[:-1]) / 2.0)) / 3600.0)
        soc = trip["soc"].dropna()
        changed.append(float(soc.iloc[0] - soc.iloc[-1]))
    squares = sum(change**2 for change in changed)
    capacity = 100.0 * sum(charge * change for charge, change in zip(moved, changed, strict=True)) / max(squares, 1e-9)
    if not capacity > 0.0:
        raise ValueError("the state of charge does not move with the current: no capacity can be estimated")
    return capacity


def decimals_of(readings: FloatArray) -> int:
    """The fewest decimals that hold every reading, at most four."""
    finite = readings[np.isfinite(readings)]
    fitting = (
        count for count in range(MOST_DECIMALS) if np.allclose(np.round(finite, count), finite, rtol=0, atol=1e-9)
    )
    return next(fitting, MOST_DECIMALS)
