"""The user's metadata: whatever JSON can hold, kept untouched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ev_qa_runtime.model_version import ModelVersion

DEEPEST = 100
"""Levels of lists and dictionaries; JSON readers give up on much deeper ones."""

LONGEST_INTEGER = 4300
"""Digits of an integer; Python reads and writes no longer ones as text."""


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """A deep copy in plain types (tuples become lists).

    Raises ``ValueError`` naming the entry that JSON cannot hold.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise ValueError(f"metadata must be a dictionary, not {type(metadata).__name__}")  # noqa: TRY004 - one error type for bad metadata
    plain = _plain(metadata, "metadata", ())
    assert isinstance(plain, dict)  # noqa: S101 - a Mapping gives a dict
    return plain


def version_of(metadata: Mapping[str, Any], name: str) -> ModelVersion:
    """The model's version: ``metadata["version"]`` where it is one, else the name's ``_vX.Y.Z`` ending, else 0.0.0."""
    given = metadata.get("version")
    if isinstance(given, str):
        try:
            return ModelVersion.parse(given)
        except ValueError:
            pass  # the user's own scheme: theirs to keep, the name may still say
    return ModelVersion.from_name(name) or ModelVersion()


def _plain(value: Any, where: str, inside: tuple[int, ...]) -> Any:
    if isinstance(value, (Mapping, list, tuple)):
        return _plain_container(value, where, inside)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= 10**LONGEST_INTEGER:
            raise ValueError(f"{where} is an integer of more than {LONGEST_INTEGER} digits, which JSON cannot hold")
        return value
    if isinstance(value, str):
        return _encodable(str(value), where)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON cannot hold; use None or text")
        return float(value)
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot hold; use numbers, text, lists or None")


def _plain_container(value: Any, where: str, inside: tuple[int, ...]) -> Any:
    if id(value) in inside:
        raise ValueError(f"{where} contains itself, which JSON cannot hold")
    if len(inside) > DEEPEST:
        raise ValueError(f"{where:.80}… is nested more than {DEEPEST} deep")
    inside = (*inside, id(value))
    if not isinstance(value, Mapping):
        return [_plain(item, f"{where}[{index}]", inside) for index, item in enumerate(value)]
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{where} has the key {key!r}; JSON keys are text")  # noqa: TRY004 - one error type for bad metadata
        _encodable(key, f"{where} has a key: it")
    return {str(key): _plain(item, f"{where}[{key!r}]", inside) for key, item in value.items()}


def _encodable(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} holds text that UTF-8 cannot encode") from None
    return text
