"""Random drive cycles: speed in m/s and road grade (rise over run), one value per second.

The cycles follow no published test cycle. A trip is a row of legs on one or more kinds of road; each leg
has a cruise speed and a length, and may end with a stop. The vehicle follows the leg's target speed within
acceleration limits; a short moving average then limits the jerk, and a slowly wandering ripple stands in
for traffic and the driver's foot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

KMH = 1.0 / 3.6
JERK_WINDOW_S = 5
FINAL_STOP_S = 30
FULL_ACCELERATION_FADES_AT_MPS = 45.0


@dataclass(frozen=True)
class Road:
    """How one drives on one kind of road."""

    cruise_kmh: tuple[float, float]
    leg_s: tuple[int, int]
    stop_chance: float
    stop_s: tuple[int, int]
    acceleration: tuple[float, float]
    deceleration: tuple[float, float]
    grade_spread: float
    mean_grade: float = 0.0


ROADS: dict[str, Road] = {
    "urban": Road((25, 55), (20, 70), 0.65, (5, 35), (1.0, 2.2), (1.0, 2.0), 0.008),
    "rural": Road((55, 100), (40, 140), 0.15, (5, 20), (0.9, 2.4), (0.8, 1.6), 0.020),
    "motorway": Road((100, 130), (70, 240), 0.0, (0, 0), (0.6, 1.8), (0.5, 1.2), 0.010),
    "mountain": Road((40, 85), (20, 60), 0.05, (4, 10), (1.2, 2.8), (1.0, 2.2), 0.015, 0.065),
}


@dataclass(frozen=True)
class DriveCycle:
    """Speed (m/s) and road grade (rise over run) at 1 Hz."""

    speed: FloatArray
    grade: FloatArray


def make_drive_cycle(route: tuple[str, ...], duration_s: int, rng: np.random.Generator) -> DriveCycle:
    """Drive the roads of the route one after another, each for an equal share of the duration."""
    road_of_second = [ROADS[route[second * len(route) // duration_s]] for second in range(duration_s)]
    target, up, down = _leg_targets(road_of_second, rng)
    speed = _follow(target, up, down)
    kernel = np.ones(JERK_WINDOW_S) / JERK_WINDOW_S
    speed = np.convolve(np.pad(speed, JERK_WINDOW_S // 2, mode="edge"), kernel, mode="valid")
    return DriveCycle(speed=speed, grade=_grade(road_of_second, speed, rng))


def smooth_noise(count: int, time_constant_s: float, rng: np.random.Generator) -> FloatArray:
    """First-order autoregressive noise of unit variance."""
    keep = float(np.exp(-1.0 / time_constant_s))
    steps = rng.normal(size=count) * np.sqrt(1.0 - keep**2)
    noise = np.empty(count)
    value = float(rng.normal())
    for second in range(count):
        value = keep * value + steps[second]
        noise[second] = value
    return noise


def _leg_targets(roads: list[Road], rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Target speed, acceleration limit and deceleration limit for every second."""
    count = len(roads)
    target, up, down = np.zeros(count), np.ones(count), np.ones(count)
    ripple = 1.0 + 0.025 * smooth_noise(count, 12.0, rng)
    second = int(rng.integers(3, 12))
    while second < count:
        road = roads[second]
        end = min(count, second + int(rng.integers(*road.leg_s)))
        cruise = rng.uniform(*road.cruise_kmh) * KMH
        up[second:end] = rng.uniform(*road.acceleration)
        down[second:end] = rng.uniform(*road.deceleration)
        target[second:end] = cruise * ripple[second:end]
        second = end
        if rng.random() < road.stop_chance:
            braking = rng.uniform(*road.deceleration)
            end = min(count, second + int(cruise / braking) + int(rng.integers(*road.stop_s)))
            target[second:end] = 0.0
            down[second:end] = braking
            second = end
    target[count - FINAL_STOP_S :] = 0.0
    down[count - FINAL_STOP_S :] = 1.4
    return target, up, down


def _follow(target: FloatArray, up: FloatArray, down: FloatArray) -> FloatArray:
    """Speed that chases the target within the acceleration limits, which fade as the speed rises."""
    speed = np.zeros(len(target))
    for second in range(1, len(target)):
        before = speed[second - 1]
        limit_up = up[second] * max(0.15, 1.0 - before / FULL_ACCELERATION_FADES_AT_MPS)
        change = np.clip(target[second] - before, -down[second], limit_up)
        speed[second] = max(0.0, before + change)
    return speed


def _grade(roads: list[Road], speed: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Slowly changing grade; it keeps its value while the vehicle stands."""
    count = len(roads)
    mean = np.array([road.mean_grade for road in roads])
    spread = np.array([road.grade_spread for road in roads])
    wander = mean + spread * smooth_noise(count, 40.0, rng)
    grade = np.empty(count)
    value = 0.0
    for second in range(count):
        share = min(1.0, speed[second] / 150.0)
        value += share * (wander[second] - value)
        grade[second] = value
    return grade
