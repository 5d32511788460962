"""What is remembered of the residuals: means, noise, resistance, and how long a value has stood still. Plain floats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from ev_qa_runtime.physics.filters import MEAN_S, STEP_S

NOISE_S = 30.0
STEP_RESISTANCE_S = 120.0
LEVEL_RESISTANCE_S = 300.0
STEP_FLOOR, LEVEL_FLOOR = 0.2, 0.05
"""Shares of the training data's mean squared step and current: without current, resistance says nothing and is 0."""


class _Numbers:
    """A part whose state is the attributes in ``NUMBERS``."""

    NUMBERS: ClassVar[tuple[str, ...]] = ()
    __slots__ = ()

    def state(self) -> list[float]:
        """The numbers to go on from."""
        return [getattr(self, name) for name in self.NUMBERS]

    def restore(self, numbers: Sequence[float]) -> None:
        """Go on from a :meth:`state` of the same length."""
        for name, number in zip(self.NUMBERS, numbers, strict=True):
            setattr(self, name, number)


class Residuals(_Numbers):
    """Of the voltage: its mean, its noise, and the resistance that would explain it; the mean spread of the cells."""

    NUMBERS = (
        "mean",
        "fast",
        "variance",
        "usual_variance",
        "ratio",
        "product",
        "square",
        "level",
        "level_square",
        "spread_mean",
    )
    __slots__ = (*NUMBERS, "level_floor", "step_floor", "step_variance")

    def __init__(self, mean_square_step: float, mean_square_current: float, step_variance: tuple[float, float]) -> None:
        self.step_variance = step_variance
        self.step_floor = STEP_FLOOR * mean_square_step
        self.level_floor = LEVEL_FLOOR * mean_square_current
        self.start(0.0, 0.0, 0.0)

    def start(self, residual: float, current: float, spread: float) -> None:
        """As if these values had lasted for ever."""
        self.mean = self.fast = residual
        self.variance = self.product = self.square = self.ratio = 0.0
        self.usual_variance = self.step_variance[0]
        self.level, self.level_square = current * residual, current * current
        self.spread_mean = spread

    def step(self, dt: float, residual: float, current: float, current_step: float, spread: float) -> float:
        """Advance by ``dt`` seconds; returns the step of the residual (V)."""
        step = residual - self.fast
        self.fast += dt / (dt + STEP_S) * step
        self.mean += dt / (dt + MEAN_S) * (residual - self.mean)
        at_rest, per_square = self.step_variance
        usual = at_rest + per_square * current_step * current_step
        weight = dt / (dt + NOISE_S)
        self.variance += weight * (step * step - self.variance)
        self.usual_variance += weight * (usual - self.usual_variance)
        self.ratio = abs(step) / math.sqrt(usual)
        weight = dt / (dt + STEP_RESISTANCE_S)
        self.product += weight * (current_step * step - self.product)
        self.square += weight * (current_step * current_step - self.square)
        weight = dt / (dt + LEVEL_RESISTANCE_S)
        self.level += weight * (current * residual - self.level)
        self.level_square += weight * (current * current - self.level_square)
        self.spread_mean += weight * (spread - self.spread_mean)
        return step

    def features(self) -> tuple[float, float, float, float, float]:
        """Mean (V), noise and step (1: as usual with this current), resistance by steps and by level (ohm too many)."""
        return (
            self.mean,
            math.sqrt(self.variance / self.usual_variance),
            self.ratio,
            -self.product / (self.square + self.step_floor),
            -self.level / (self.level_square + self.level_floor),
        )


class Warming(_Numbers):
    """Of the temperature: how far it rises beyond the heat, and its noise."""

    NUMBERS = ("fast", "rise_mean", "variance")
    __slots__ = NUMBERS

    def __init__(self) -> None:
        self.start(0.0, 0.0)

    def start(self, temp: float, rise: float) -> None:
        """As if these values had lasted for ever."""
        self.fast, self.rise_mean, self.variance = temp, rise, 0.0

    def step(self, dt: float, temp: float, rise: float) -> None:
        """Advance by ``dt`` seconds; ``rise`` (°C) is the one that heat does not explain."""
        step = temp - self.fast
        self.fast += dt / (dt + STEP_S) * step
        self.variance += dt / (dt + MEAN_S) * (step * step - self.variance)
        self.rise_mean += dt / (dt + NOISE_S) * (rise - self.rise_mean)

    def features(self) -> tuple[float, float]:
        """Unexplained rise (°C), noise (°C)."""
        return self.rise_mean, math.sqrt(self.variance)


class Stillness(_Numbers):
    """How far a value was expected to move while it stayed exactly the same: a stuck sensor, unlike a pack at rest."""

    NUMBERS = ("last", "low", "high")
    __slots__ = NUMBERS

    def __init__(self) -> None:
        self.start(0.0, 0.0)

    def start(self, value: float, expected: float) -> None:
        """As if ``value`` had just changed."""
        self.last, self.low, self.high = value, expected, expected

    def step(self, value: float, expected: float) -> float:
        """The range of ``expected`` since ``value`` last changed."""
        if value != self.last:
            self.last, self.low, self.high = value, expected, expected
        elif expected < self.low:
            self.low = expected
        elif expected > self.high:
            self.high = expected
        return self.high - self.low
