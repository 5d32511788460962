"""Readings → what the recipe's coefficients are fitted on. The same filters as the features, without coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ev_qa_runtime.physics.filters import Filters


@dataclass(frozen=True, slots=True)
class Regressors:
    """What the least squares of training are fitted on, of one reading.

    ``currents``: A, smoothed over each relaxation's time; ``heat``: A², over one and ten minutes; ``warm`` from 0 to 1;
    ``temp_rise`` (°C) and ``soc_rise`` (%) over their own means of ten minutes; ``charge_drawn``: A·s, fading over ten
    minutes; ``step``: A, of the current.
    """

    currents: tuple[float, ...]
    heat: tuple[float, float]
    warm: float
    temp_rise: float
    soc_rise: float
    charge_drawn: float
    step: float


class RegressorExtractor:
    """Readings of one vehicle, one after the other → :class:`Regressors`."""

    def __init__(self, signals: Sequence[str], restart_after_s: float, times_s: Sequence[float]) -> None:
        self._at = tuple(signals.index(name) for name in ("current", "temp", "soc"))
        self._restart_after_s = restart_after_s
        self._filters = Filters(times_s)
        self._time: float | None = None

    def step(self, time: float, reading: Sequence[float]) -> Regressors:
        """The next reading of the vehicle, every needed signal finite."""
        current, temp, soc = (reading[at] for at in self._at)
        filters = self._filters
        dt = 0.0 if self._time is None else time - self._time
        if self._time is None or not 0.0 <= dt <= self._restart_after_s:
            filters.start(current, temp, soc)
            dt = 0.0
        self._time = time
        step = filters.step(dt, current, temp, soc)
        return Regressors(
            tuple(filters.currents),
            (filters.heat, filters.heat_slow),
            filters.warm,
            temp - filters.temp_mean,
            soc - filters.soc_mean,
            filters.charge,
            step,
        )
