"""Physical limits beside the model: what a pack must not do, whatever the forest says of it.

A forest does not extrapolate: a burning pack is hardly stranger to it than a hard drive on a cold day. Limits need no
model. :mod:`ev_qa_runtime.limit_profiles` has ready-made ones, :mod:`ev_qa_runtime.limit_monitor` watches them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

if TYPE_CHECKING:  # sidecars need no numpy
    from ev_qa_runtime.severity import Severity

LIMITS_VERSION = 1
"""The newest layout of limits that this package reads."""

MOST_LIMITS = 64
"""Each costs time at every reading."""

UNITS = {
    "voltage": "V",
    "current": "A",
    "temp": "degC",
    "soc": "%",
    "temp_min": "degC",
    "cell_voltage_max": "V",
    "cell_voltage_min": "V",
    "cell_voltage": "V",
    "cell_spread": "V",
    "probe_spread": "degC",
    "temp_rate": "degC/s",
    "c_rate": "C",
}
"""What can be limited. The last five are derived: ``cell_voltage`` is the voltage of every cell (the highest and lowest
cell where they are given, and pack voltage / cells in series), ``cell_spread`` highest − lowest cell, ``probe_spread``
hottest − coldest probe, ``temp_rate`` the rise of ``temp`` over at least 10 s, ``c_rate`` current / capacity,
positive when discharging."""

Side = Literal["above", "below"]
SIDES: tuple[Side, ...] = get_args(Side)


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on one signal, in the signal's unit (:data:`UNITS`).

    Beyond ``warning`` for ``hold_s`` seconds a reading is WARNING, beyond ``critical`` CRITICAL; None: no such bound.
    That ends when the signal is back by ``hysteresis``. ``ArtifactError`` for bounds that make no sense.
    """

    signal: str
    side: Side
    warning: float | None
    critical: float | None
    hysteresis: float = 0.0
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        where = f"limit on {self.signal!r} {self.side}"
        if self.signal not in UNITS or self.side not in SIDES:
            raise ArtifactError(f"{where}: there is no such signal or side; signals are: {', '.join(UNITS)}")
        bounds = [bound for bound in (self.warning, self.critical) if bound is not None]
        if not bounds or not all(map(math.isfinite, bounds)):
            raise ArtifactError(f"{where}: needs a warning or a critical bound, finite")
        if len(bounds) == 2 and upward(self.side) * bounds[0] > upward(self.side) * bounds[1]:
            raise ArtifactError(f"{where}: the critical bound {bounds[1]:g} is milder than the warning {bounds[0]:g}")
        if not all(0 <= number < math.inf for number in (self.hysteresis, self.hold_s)):
            raise ArtifactError(f"{where}: hysteresis and hold_s must be finite and not negative")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a pack, for its sidecar.

    ``cells_in_series`` and ``capacity_ah`` (Ah) are None where unknown: cell voltages of the pack voltage and C-rates
    are not watched then. ``source`` says in words where the figures come from.
    """

    limits: tuple[Limit, ...]
    profile: str = "custom"
    chemistry: str = "unknown"
    cells_in_series: int | None = None
    capacity_ah: float | None = None
    source: str = ""
    version: int = LIMITS_VERSION

    def __post_init__(self) -> None:
        names = [(limit.signal, limit.side) for limit in self.limits]
        if len(names) > MOST_LIMITS or len(set(names)) != len(names):
            raise ArtifactError(f"limits: at most {MOST_LIMITS} limits, and one for each signal and side")
        if self.cells_in_series is not None and not 1 <= self.cells_in_series <= 10_000:
            raise ArtifactError(f"limits: cells_in_series must be from 1 to 10000, not {self.cells_in_series}")
        if self.capacity_ah is not None and not 0 < self.capacity_ah < math.inf:
            raise ArtifactError(f"limits: capacity_ah must be a positive number of Ah, not {self.capacity_ah}")


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is broken now. ``value`` is in the signal's unit, and the last one known where it is missing.

    ``text`` has the value; ``reason`` has not, so that the same breach always reads the same and can be counted.
    """

    limit: Limit
    value: float
    severity: Severity
    text: str
    reason: str


def upward(side: Side) -> float:
    """What turns a bound on this side into an upper one by multiplication."""
    return 1.0 if side == "above" else -1.0


def limits_document(limits: Limits) -> dict[str, Any]:
    """The limits as a sidecar's JSON object."""
    return {
        "version": limits.version,
        "profile": limits.profile,
        "chemistry": limits.chemistry,
        "cells_in_series": limits.cells_in_series,
        "capacity_ah": limits.capacity_ah,
        "limits": [{name: getattr(limit, name) for name in Limit.__slots__} for limit in limits.limits],
        "source": limits.source,
    }


def limits_of(section: Members) -> Limits:
    """Limits from a sidecar's JSON object; ``IncompatibleModelError`` where a newer runtime wrote it."""
    version = section.integer("version", lowest=1)
    if version > LIMITS_VERSION:
        raise IncompatibleModelError(
            f"the limits have version {version}, this runtime reads up to {LIMITS_VERSION}: update ev-qa-runtime"
        )
    cells = None if section.any("cells_in_series") is None else section.integer("cells_in_series", lowest=1)
    return Limits(
        limits=tuple(_limit_of(item) for item in section.sections("limits")),
        profile=section.text("profile"),
        chemistry=section.text("chemistry"),
        cells_in_series=cells,
        capacity_ah=_optional_number(section, "capacity_ah"),
        source=section.text("source"),
        version=version,
    )


def _limit_of(section: Members) -> Limit:
    return Limit(
        signal=section.text("signal"),
        side=section.choice("side", SIDES),
        warning=_optional_number(section, "warning"),
        critical=_optional_number(section, "critical"),
        hysteresis=section.number("hysteresis"),
        hold_s=section.number("hold_s"),
    )


def _optional_number(section: Members, key: str) -> float | None:
    return None if section.any(key) is None else section.number(key)
