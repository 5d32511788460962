"""How far features went on healthy trips that the recipe was not fitted on: beyond that, a row speaks for itself.

A forest does not extrapolate: fifty standard deviations off scores like fifteen. With few trips its thresholds lie near
the lowest score that it can give, and a fault which is beyond everything seen would pass.
:mod:`ev_qa_runtime.range_guard` watches the range. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

HEALTHY_RANGE_VERSION = 1
"""The newest layout of healthy ranges that this package reads."""

LARGEST_FACTOR = 1e6


@dataclass(frozen=True, slots=True)
class HealthyRange:
    """Lowest and highest value of each feature made of readings on ``trips`` trips, in its unit and the recipe's order.

    ``temp_range`` (degC) and ``soc_range`` (%): where at least two of the trips have been. Elsewhere it holds nothing.

    A feature is WARNING where it is further from its usual middle than ``warning_times`` as far as the range goes on
    that side, and further than ``warning_deviations`` standard deviations; CRITICAL likewise. ``ArtifactError`` for a
    range without sense.
    """

    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    temp_range: tuple[float, float]
    soc_range: tuple[float, float]
    trips: int
    warning_times: float = 2.0
    critical_times: float = 3.0
    warning_deviations: float = 15.0
    critical_deviations: float = 20.0
    version: int = HEALTHY_RANGE_VERSION

    def __post_init__(self) -> None:
        if len(self.lowest) != len(self.highest) or not self.lowest:
            raise ArtifactError("the healthy range needs a lowest and a highest value for each feature")
        if not all(-math.inf < low <= high < math.inf for low, high in zip(self.lowest, self.highest, strict=True)):
            raise ArtifactError("the healthy range has a lowest value that is not finite or lies above the highest")
        for name, (low, high) in (("temp_range", self.temp_range), ("soc_range", self.soc_range)):
            if not -math.inf < low <= high < math.inf:
                raise ArtifactError(f"the healthy range's {name} must be two finite numbers, the lower one first")
        if self.trips < 1:
            raise ArtifactError(f"the healthy range must come of at least one trip, not {self.trips}")
        times, deviations = (
            (self.warning_times, self.critical_times),
            (self.warning_deviations, self.critical_deviations),
        )
        if not 1.0 <= times[0] <= times[1] <= LARGEST_FACTOR or not 0.0 < deviations[0] <= deviations[1] < math.inf:
            raise ArtifactError(
                "the healthy range's factors must be at least 1, its deviations positive, and critical not milder"
            )

    def bounds(self, middle: Sequence[float], spread: Sequence[float]) -> tuple[tuple[float, float, float, float], ...]:
        """Of each feature: lower CRITICAL and WARNING, upper WARNING and CRITICAL bound.

        ``middle`` and ``spread`` are the recipe's: median and standard deviation of each feature.
        """
        return tuple(
            (
                usual - max(self.critical_times * (usual - low), self.critical_deviations * one),
                usual - max(self.warning_times * (usual - low), self.warning_deviations * one),
                usual + max(self.warning_times * (high - usual), self.warning_deviations * one),
                usual + max(self.critical_times * (high - usual), self.critical_deviations * one),
            )
            for low, high, usual, one in zip(self.lowest, self.highest, middle, spread, strict=True)
        )

    def widened(self, other: HealthyRange) -> HealthyRange:
        """Around both, with the factors of this one: what either trips showed is healthy."""
        return replace(
            self,
            lowest=tuple(map(min, self.lowest, other.lowest)),
            highest=tuple(map(max, self.highest, other.highest)),
            temp_range=_around(self.temp_range, other.temp_range),
            soc_range=_around(self.soc_range, other.soc_range),
            trips=self.trips + other.trips,
        )


def _around(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


_NUMBERS = ("warning_times", "critical_times", "warning_deviations", "critical_deviations")


def healthy_range_document(healthy: HealthyRange) -> dict[str, Any]:
    """The range as a sidecar's JSON object."""
    return {
        "version": healthy.version,
        "trips": healthy.trips,
        "lowest": list(healthy.lowest),
        "highest": list(healthy.highest),
        "temp_range": list(healthy.temp_range),
        "soc_range": list(healthy.soc_range),
        **{name: getattr(healthy, name) for name in _NUMBERS},
    }


def healthy_range_of(members: Members) -> HealthyRange:
    """A range from a sidecar's JSON object.

    Raises ``IncompatibleModelError`` where a newer runtime wrote it, else ``ArtifactError`` naming what is wrong.
    """
    version = members.integer("version", lowest=1)
    if version > HEALTHY_RANGE_VERSION:
        raise IncompatibleModelError(
            f"the healthy range has version {version}, this runtime reads up to {HEALTHY_RANGE_VERSION}: update "
            "ev-qa-runtime"
        )
    return HealthyRange(
        lowest=members.numbers("lowest"),
        highest=members.numbers("highest"),
        temp_range=_pair(members, "temp_range"),
        soc_range=_pair(members, "soc_range"),
        trips=members.integer("trips", lowest=1),
        version=version,
        **{name: members.number(name) for name in _NUMBERS},
    )


def _pair(members: Members, key: str) -> tuple[float, float]:
    two = members.numbers(key)
    if len(two) != 2:
        raise ArtifactError(f"the healthy range's {key} must be two finite numbers, the lower one first")
    return two[0], two[1]
