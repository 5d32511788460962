"""The lags of current, heat, temperature and charge, which need no fitted coefficients. Plain floats."""

from __future__ import annotations

from collections.abc import Sequence

RELAXATION_TIMES_S = (10.0, 60.0, 300.0)
"""Time constants of the smoothed currents: charge transfer and double layer, diffusion, slow diffusion."""

STEP_S = 5.0
"""A step is a value less its mean of the last five seconds; where rows are further apart, less the row before."""
MEAN_S = 60.0
SLOW_S = 600.0


class Filters:
    """The lags that need no coefficients: the part of the features that the coefficients are fitted on."""

    _NUMBERS = ("heat", "heat_slow", "temp_mean", "soc_mean", "current_mean", "charge", "drawn", "warm")
    __slots__ = ("currents", "taus", *_NUMBERS)

    def __init__(self, time_constants_s: Sequence[float]) -> None:
        self.taus = tuple(time_constants_s)
        self.start(0.0, 0.0, 0.0)

    def start(self, current: float, temp: float, soc: float) -> None:
        """As if these readings had lasted for ever."""
        self.currents = [current] * len(self.taus)
        self.heat = self.heat_slow = current * current
        self.temp_mean, self.soc_mean, self.current_mean = temp, soc, current
        self.charge = self.drawn = self.warm = 0.0

    def step(self, dt: float, current: float, temp: float, soc: float) -> float:
        """Advance by ``dt`` ≥ 0 seconds; returns the step of the current (A)."""
        currents = self.currents
        for index, tau in enumerate(self.taus):
            currents[index] += dt / (dt + tau) * (current - currents[index])
        square = current * current
        slowly = dt / (dt + SLOW_S)
        self.heat += dt / (dt + MEAN_S) * (square - self.heat)
        self.heat_slow += slowly * (square - self.heat_slow)
        self.temp_mean += slowly * (temp - self.temp_mean)
        self.soc_mean += slowly * (soc - self.soc_mean)
        self.warm += slowly * (1.0 - self.warm)
        self.drawn += current * dt
        self.charge = (self.charge + current * dt) * (SLOW_S / (dt + SLOW_S))
        step = current - self.current_mean
        self.current_mean += dt / (dt + STEP_S) * step
        return step

    def state(self) -> list[float]:
        """The numbers to go on from."""
        return [*self.currents, *(getattr(self, name) for name in self._NUMBERS)]

    def restore(self, numbers: Sequence[float]) -> None:
        """Go on from a :meth:`state` of the same length."""
        self.currents = list(numbers[: len(self.taus)])
        for name, number in zip(self._NUMBERS, numbers[len(self.taus) :], strict=True):
            setattr(self, name, number)
