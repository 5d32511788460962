"""``EVBatteryAnalyzer.from_config``: the analyzer's parameters from TOML or JSON, with named profiles.

A file has a table ``analyzer`` and, optionally, ``profiles.NAME`` tables that override it.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ev_qa_runtime.contract import CURRENT_SIGNS
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.limits import Limits

TABLES = ("analyzer", "profiles")
PARAMETERS = (
    "contamination",
    "n_estimators",
    "random_state",
    "critical_threshold",
    "warning_threshold",
    "max_samples",
    "features",
    "current_sign",
    "limits",
    "calibration_folds",
)

PHYSICS = "physics"
"""The value of ``features`` that makes a model over time."""


def read_parameters(path: str | Path, profile: str | None = None) -> dict[str, Any]:
    """The parameters that a configuration file sets, checked; ``profile`` overrides the ``analyzer`` table.

    Raises ``FileNotFoundError``, or ``ConfigurationError`` naming the key that is unknown or out of range.
    """
    file = Path(path)
    document = _parse(file)
    _refuse_unknown(document, TABLES, f"{file}")
    profiles = _table(document, "profiles", f"{file}")
    parameters = dict(_table(document, "analyzer", f"{file}"))
    _refuse_unknown(parameters, PARAMETERS, f"{file}: analyzer")
    for name in profiles:
        _refuse_unknown(_table(profiles, name, f"{file}: profiles"), PARAMETERS, f"{file}: profiles.{name}")
    if profile is not None:
        if profile not in profiles:
            known = ", ".join(sorted(profiles)) or "none"
            raise ConfigurationError(f"{file}: there is no profile {profile!r}; there are: {known}")
        parameters |= profiles[profile]
    try:
        check_parameters(parameters)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    if "features" in parameters and parameters["features"] != PHYSICS:
        parameters["features"] = tuple(parameters["features"])
    return parameters


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check the types and ranges of those parameters that are given; ``ConfigurationError`` names the bad one."""
    for name, value in parameters.items():
        if name in _CHECKS:
            holds, expected = _CHECKS[name]
            if not holds(value):
                raise ConfigurationError(f"{name} must be {expected}, not {value!r}")
    critical, warning = parameters.get("critical_threshold", -math.inf), parameters.get("warning_threshold", math.inf)
    if critical > warning:
        raise ConfigurationError(
            f"critical_threshold {critical} lies above warning_threshold {warning}: lower scores are more severe"
        )


def _is_int(value: Any, lowest: int) -> bool:
    return _integral(value) and value >= lowest


def _integral(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _real(value: Any) -> bool:
    if not hasattr(value, "__float__") or isinstance(value, (bool, str)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond float
        return False


def _is_contamination(value: Any) -> bool:
    return value == "auto" if isinstance(value, str) else _real(value) and 0 < value <= 0.5


def _is_max_samples(value: Any) -> bool:
    if isinstance(value, str):
        return value == "auto"
    return _is_int(value, 1) if _integral(value) else _real(value) and 0 < value <= 1


def _is_random_state(value: Any) -> bool:
    return value is None or hasattr(value, "randint") or (_is_int(value, 0) and value < 2**32)


def _are_features(value: Any) -> bool:
    if isinstance(value, str):
        return value == PHYSICS
    if not isinstance(value, Iterable):
        return False
    names = list(value)
    return bool(names) and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)


def _are_limits(value: Any) -> bool:
    return value is None or isinstance(value, (str, Path, Limits))


_CHECKS: dict[str, tuple[Any, str]] = {
    "contamination": (_is_contamination, "a number in (0, 0.5] or 'auto'"),
    "n_estimators": (lambda value: _is_int(value, 1), "an integer of at least 1"),
    "random_state": (_is_random_state, "an integer from 0 to 2**32 - 1 or None"),
    "critical_threshold": (_real, "a finite number"),
    "warning_threshold": (_real, "a finite number"),
    "max_samples": (_is_max_samples, "'auto', an integer of at least 1 or a fraction in (0, 1]"),
    "features": (_are_features, "a list of distinct, non-empty names, or 'physics'"),
    "limits": (_are_limits, "a profile's name, the path of a .toml file, Limits or None"),
    "calibration_folds": (
        lambda value: _is_int(value, 0) and (value == 0 or 2 <= value <= 100),
        "0 or an integer from 2 to 100",
    ),
    "current_sign": (lambda value: value in CURRENT_SIGNS, f"one of {', '.join(CURRENT_SIGNS)}"),
}


def _parse(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise FileNotFoundError(f"Configuration file not found: {file}")
    suffix = file.suffix.lower()
    if suffix not in (".toml", ".json"):
        raise ConfigurationError(f"{file}: a configuration is a .toml or .json file")
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text) if suffix == ".toml" else json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:  # both parsers' errors, undecodable bytes, absurd nesting
        raise ConfigurationError(f"{file}: not valid {suffix[1:].upper()}: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: expected tables {' and '.join(TABLES)} at the top")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice in one table")
    return members


def _table(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where}: {key} must be a table, not {table!r}")
    return table


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
            raise ConfigurationError(f"{where}: unknown key {key!r}; {hint}")
