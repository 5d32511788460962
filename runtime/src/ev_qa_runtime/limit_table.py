"""The limits of whole tables, without a model: the same as row by row, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.limit_monitor import LimitMonitor
from ev_qa_runtime.limits import Breach, Limits
from ev_qa_runtime.severity import SEVERITY_OF_CODE, FloatArray, IntArray

_CODES = {severity: code for code, severity in enumerate(SEVERITY_OF_CODE)}


@dataclass(frozen=True, slots=True)
class LimitFindings:
    """What the limits say of a table.

    ``severity``: int64 [N], 0 INFO, 1 WARNING, 2 CRITICAL; ``breaches``: those of every row that has any;
    ``unwatched``: limited signals that the table does not have.
    """

    severity: IntArray
    breaches: dict[int, tuple[Breach, ...]]
    unwatched: tuple[str, ...]

    def reasons(self, row: int) -> tuple[str, ...]:
        """The texts of a row's breaches; empty where there are none."""
        return tuple(breach.text for breach in self.breaches.get(row, ()))


class LimitChecker:
    """Limits for tables of given signals, float64 in the order of ``signals``; current positive when discharging."""

    __slots__ = ("_limits", "signals")

    def __init__(self, limits: Limits, signals: tuple[str, ...]) -> None:
        self._limits = limits
        self.signals = signals

    def check(
        self, time: FloatArray, values: FloatArray, vehicle: npt.NDArray[np.integer] | None = None
    ) -> LimitFindings:
        """Judge rows in their order.

        ``time``: seconds, float64 [N]; ``values``: float64 [N, S], NaN where missing; ``vehicle``: a number for each
        row's vehicle, whose limits are watched apart; None: one vehicle. ``TelemetryError`` where shapes do not fit.
        """
        rows = len(time)
        shapes = (np.shape(values), np.shape(time) if vehicle is None else np.shape(vehicle))
        if shapes != ((rows, len(self.signals)), (rows,)):
            raise TelemetryError(
                f"limits need one time, one reading of {len(self.signals)} signals and one vehicle a row, not {shapes}"
            )
        monitors: dict[int, LimitMonitor] = {}
        severity = np.zeros(rows, dtype=np.int64)
        breaches: dict[int, tuple[Breach, ...]] = {}
        times, readings = np.asarray(time, np.float64).tolist(), np.asarray(values, np.float64)
        vehicles = [0] * rows if vehicle is None else np.asarray(vehicle).tolist()
        for row, (moment, reading, number) in enumerate(zip(times, readings.tolist(), vehicles, strict=True)):
            monitor = monitors.get(number)
            if monitor is None:
                monitor = monitors[number] = LimitMonitor(self._limits, self.signals)
            if found := monitor.step(moment, reading):
                breaches[row] = found
                severity[row] = highest_code(found)
        return LimitFindings(severity, breaches, LimitMonitor(self._limits, self.signals).unwatched)


def highest_code(breaches: tuple[Breach, ...]) -> int:
    """The severity code of the worst breach, 0 where there is none."""
    return max((_CODES[breach.severity] for breach in breaches), default=0)
