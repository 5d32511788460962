"""Limits of a pack from a TOML file: a profile, and what is different about this pack.

A table ``limits.SIGNAL`` may set ``above_warning``, ``above_critical``, ``below_warning``, ``below_critical`` (numbers
in the signal's unit, or "off"), ``hysteresis`` and ``hold_s``. What it does not set stays as in the profile.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ev_qa_runtime.errors import ArtifactError, ConfigurationError
from ev_qa_runtime.limit_monitor import LimitMonitor
from ev_qa_runtime.limit_profiles import PROFILES, profile_limits
from ev_qa_runtime.limits import SIDES, UNITS, Limit, Limits, Side

KEYS = ("profile", "cells_in_series", "capacity_ah", "limits")
BOUNDS = ("above_warning", "above_critical", "below_warning", "below_critical")
LIMIT_KEYS = (*BOUNDS, "hysteresis", "hold_s")
OFF = "off"


def read_limits(
    path_or_profile: str | Path, cells_in_series: int | None = None, capacity_ah: float | None = None
) -> Limits:
    """The limits of a profile (``"li_ion"``, ``"nmc"``, ``"nca"``, ``"lfp"``) or of a ``.toml`` file.

    ``cells_in_series`` and ``capacity_ah`` are what the file says, or what is given here; both must agree. Raises
    ``FileNotFoundError``, or ``ConfigurationError`` naming the key that is unknown or out of range.
    """
    name = str(path_or_profile)
    if name in PROFILES and isinstance(path_or_profile, str):
        return _whole(name, PROFILES[name], cells_in_series, capacity_ah)
    file = Path(path_or_profile)
    if file.suffix.lower() != ".toml":
        raise ConfigurationError(
            f"{name}: limits are a profile or a .toml file; {_hint(name, PROFILES, 'profiles are')}"
        )
    document = _parse(file)
    _refuse_unknown(document, KEYS, name)
    profile = document.get("profile", "li_ion")
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ConfigurationError(f"{name}: unknown profile {profile!r}; {_hint(profile, PROFILES, 'profiles are')}")
    limits = profile_limits(profile)
    tables = _table(document.get("limits", {}), f"{name}: limits")
    _refuse_unknown(tables, UNITS, f"{name}: limits")
    changed = list(limits.limits)
    for signal, table in tables.items():
        where = f"{name}: limits.{signal}"
        changed = _overridden(changed, signal, _table(table, where), where)
    source = f"{limits.source}; {', '.join(tables)} from {file.name}" if tables else limits.source
    cells = _agreed(document, "cells_in_series", cells_in_series, name)
    capacity = _agreed(document, "capacity_ah", capacity_ah, name)
    return _whole(name, dataclasses.replace(limits, limits=tuple(changed), source=source), cells, capacity)


def _whole(name: str, limits: Limits, cells: Any, capacity: Any) -> Limits:
    """``limits`` of a pack with so many cells in series and this capacity."""
    if cells is not None and type(cells) is not int:
        raise ConfigurationError(f"{name}: cells_in_series must be an integer, not {cells!r}")
    if capacity is not None and type(capacity) not in (int, float):
        raise ConfigurationError(f"{name}: capacity_ah must be a number, not {capacity!r}")
    capacity = None if capacity is None else float(capacity)
    try:
        return dataclasses.replace(limits, cells_in_series=cells, capacity_ah=capacity)
    except ArtifactError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _overridden(limits: list[Limit], signal: str, table: Mapping[str, Any], where: str) -> list[Limit]:
    """``limits`` with those of ``signal`` changed as ``table`` says; in their places, new ones at the end."""
    _refuse_unknown(table, LIMIT_KEYS, where)
    for key, value in table.items():
        if type(value) not in (int, float) and not (key in BOUNDS and value == OFF):
            allowed = f"a number or {OFF!r}" if key in BOUNDS else "a number"
            raise ConfigurationError(f"{where}: {key} must be {allowed}, not {value!r}")
    result = list(limits)
    for side in SIDES:
        index = next((at for at, limit in enumerate(result) if (limit.signal, limit.side) == (signal, side)), None)
        limit = _changed(None if index is None else result[index], signal, side, table, where)
        if index is None:
            result += [limit] if limit else []
        else:
            result[index : index + 1] = [limit] if limit else []
    if not any(limit.signal == signal for limit in (*limits, *result)):
        raise ConfigurationError(f"{where}: sets no bound; bounds are: {', '.join(BOUNDS)}")
    return result


def _changed(old: Limit | None, signal: str, side: Side, table: Mapping[str, Any], where: str) -> Limit | None:
    """The limit on one side, None where it has no bound."""
    values = (table.get(f"{side}_{level}", old and getattr(old, level)) for level in ("warning", "critical"))
    warning, critical = (None if value is None or value == OFF else float(value) for value in values)
    if warning is None and critical is None:
        return None
    hysteresis, hold_s = (float(table.get(key, getattr(old, key, 0.0))) for key in ("hysteresis", "hold_s"))
    try:
        return Limit(signal, side, warning, critical, hysteresis, hold_s)
    except ArtifactError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _agreed(document: Mapping[str, Any], key: str, given: Any, where: str) -> Any:
    """The value of the file or of the caller."""
    if given is not None and document.get(key, given) != given:
        raise ConfigurationError(f"{where}: {key} is {document[key]!r} in the file and {given!r} in the call")
    return document.get(key, given)


def _parse(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise FileNotFoundError(f"Limits file not found: {file}")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # a folder, undecodable bytes, absurd nesting
        raise ConfigurationError(f"{file}: not valid TOML: {error}") from None


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} must be a table, not {value!r}")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{where}: unknown key {key!r}; {_hint(key, known, 'known are')}")


def _hint(word: Any, known: Iterable[str], there_are: str) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"{there_are}: {', '.join(known)}"


def resting_limits(limits: Limits, signals: Sequence[str]) -> str | None:
    """Which limits rest on these signals for want of the pack's figures, and how to give them; None where none does."""
    figures = {
        "cell_voltage": ("cells_in_series", limits.cells_in_series),
        "c_rate": ("capacity_ah", limits.capacity_ah),
    }
    unwatched = LimitMonitor(limits, tuple(signals)).unwatched
    resting = [name for name in unwatched if name in figures and figures[name][1] is None]
    if not resting:
        return None
    wanting = " and ".join(figures[name][0] for name in resting)
    return (
        f"the limits on {', '.join(resting)} rest, for want of {wanting}: give them in a .toml file as --limits, see "
        "docs/limits.md"
    )
