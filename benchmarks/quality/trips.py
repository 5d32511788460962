"""Telemetry as trips: healthy ones, and those with a simulated fault (label ``fault`` from the onset on)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ev_qa_framework.telemetry import read_table
from ev_qa_runtime.errors import TelemetryError

GAP_S = 600.0
SHORTEST_TRIP_ROWS = 60
NAMES = {"time": "time_s", "timestamp": "time_s", "temperature": "temp", "cell_v_max": "cell_voltage_max"} | {
    "cell_v_min": "cell_voltage_min"
}
NEEDED = ("time_s", "voltage", "current", "temp", "soc")
KEPT = (*NEEDED, "cell_voltage_max", "cell_voltage_min", "temp_min", "fault")


@dataclass(frozen=True, slots=True)
class Trip:
    """A table with ``time_s`` (s), the signals, ``fault``; and what to call it."""

    name: str
    table: pd.DataFrame

    @property
    def hours(self) -> float:
        """From the first row to the last."""
        time = self.table["time_s"]
        return float(time.iloc[-1] - time.iloc[0]) / 3600.0


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Healthy trips in order, and trips with a fault."""

    source: str
    healthy: Sequence[Trip]
    faulty: Sequence[Trip]


def read_telemetry(paths: Sequence[Path], source: str) -> Telemetry:
    """CSV files, or all of a folder; current positive when discharging. A file is cut at gaps of ten minutes.

    A trip with any ``fault`` of 1 is one with a fault. Raises ``TelemetryError`` naming the file and what it lacks.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    trips = [trip for file in files for trip in cut(read_signals(file), file.stem)]
    faulty = [trip for trip in trips if trip.table["fault"].any()]
    healthy = [trip for trip in trips if not trip.table["fault"].any()]
    return Telemetry(source, healthy, faulty)


def read_signals(file: Path) -> pd.DataFrame:
    """One file's columns under our names, times in seconds, 0 in ``fault`` where there is no such column."""
    table = read_table(file)
    table = table.rename(columns={name: ours for name, ours in NAMES.items() if ours not in table})
    if missing := [name for name in NEEDED if name not in table]:
        raise TelemetryError(f"{file}: no column {', '.join(missing)}")
    if not pd.api.types.is_numeric_dtype(table["time_s"]):
        table["time_s"] = pd.to_datetime(table["time_s"]).astype("datetime64[ns]").astype(np.int64) / 1e9
    if "fault" not in table:
        table["fault"] = 0
    return table[[name for name in KEPT if name in table]].astype(dict.fromkeys(NEEDED, np.float64))


def cut(table: pd.DataFrame, name: str) -> Iterable[Trip]:
    """Where time jumps or goes backwards; pieces shorter than a minute's worth of rows are dropped."""
    steps = np.diff(table["time_s"].to_numpy(), prepend=table["time_s"].iloc[0])
    piece = np.cumsum((steps > GAP_S) | (steps < 0.0))
    pieces = [part.reset_index(drop=True) for _, part in table.groupby(piece)]
    pieces = [part for part in pieces if len(part) >= SHORTEST_TRIP_ROWS]
    for number, part in enumerate(pieces, start=1):
        yield Trip(name if len(pieces) == 1 else f"{name} {number}", part)


def folds(count: int, ways: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Numbers of the trips to fit, to calibrate and to test on, ``ways`` times: each trip is tested on once.

    Trips are dealt in turn, so that each fold has some of every part of the year, or of every kind of file name.
    """
    dealt = [list(range(first, count, ways)) for first in range(ways)]
    return [
        (
            [trip for other in range(ways) if other not in (fold, (fold + 1) % ways) for trip in dealt[other]],
            dealt[(fold + 1) % ways],
            dealt[fold],
        )
        for fold in range(ways)
    ]
