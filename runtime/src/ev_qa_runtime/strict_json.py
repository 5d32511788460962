"""Reading JSON that nobody vouches for yet: strict, and every error names the member. Standard library only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from ev_qa_runtime.errors import ArtifactError

_RELEASE = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_Choice = TypeVar("_Choice", bound=str)


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``; ``ArtifactError`` for duplicate keys, NaN, Infinity or anything not JSON."""
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant, parse_float=_finite
        )
    except ArtifactError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the sidecar is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ArtifactError("the sidecar is not a JSON object")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ArtifactError("the sidecar has a duplicate key")
    return members


def _no_constant(text: str) -> float:
    raise ArtifactError(f"the sidecar holds {text}, which JSON does not know")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ArtifactError(f"the sidecar holds {text:.40}, which is not a finite number")
    return number


class Members:
    """One JSON object read strictly: every getter names the member in its error.

    All raise ``ArtifactError`` where the member is missing or of another kind.
    """

    def __init__(self, members: Any, where: str = "") -> None:
        if not isinstance(members, dict):
            raise ArtifactError(f"sidecar: {where} must be an object")
        self.members: dict[str, Any] = members
        self._where = where

    def _path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def any(self, key: str) -> Any:
        """The member as parsed."""
        if key not in self.members:
            raise ArtifactError(f"sidecar: {self._path(key)} is missing")
        return self.members[key]

    def section(self, key: str) -> Members:
        """A member that is an object."""
        return Members(self.any(key), self._path(key))

    def mapping(self, key: str) -> dict[str, Any]:
        """A member that is an object, as a fresh dictionary."""
        return dict(self.section(key).members)

    def text(self, key: str) -> str:
        """A member that is text."""
        value = self.any(key)
        if not isinstance(value, str):
            raise ArtifactError(f"sidecar: {self._path(key)} must be text, not {value!r:.40}")
        return value

    def optional_text(self, key: str) -> str | None:
        """A member that is text or null."""
        return None if self.any(key) is None else self.text(key)

    def choice(self, key: str, choices: Iterable[_Choice]) -> _Choice:
        """A member that is one of ``choices``."""
        value = self.text(key)
        for choice in choices:
            if value == choice:
                return choice
        raise ArtifactError(f"sidecar: {self._path(key)} must be one of {', '.join(choices)}, not {value!r:.40}")

    def integer(self, key: str, lowest: int = 0) -> int:
        """A member that is an integer of at least ``lowest``."""
        value = self.any(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ArtifactError(f"sidecar: {self._path(key)} must be an integer of at least {lowest}")
        return value

    def number(self, key: str) -> float:
        """A member that is a finite number."""
        return number_at(self.any(key), self._path(key))

    def items(self, key: str) -> list[Any]:
        """A member that is a list."""
        value = self.any(key)
        if not isinstance(value, list):
            raise ArtifactError(f"sidecar: {self._path(key)} must be a list")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A member that is a list of finite numbers."""
        return tuple(number_at(item, self._path(key)) for item in self.items(key))

    def integers(self, key: str) -> tuple[int, ...]:
        """A member that is a list of integers."""
        items = self.items(key)
        if not all(type(item) is int for item in items):
            raise ArtifactError(f"sidecar: {self._path(key)} must hold integers")
        return tuple(items)

    def sections(self, key: str) -> list[Members]:
        """A member that is a list of objects."""
        return [Members(item, f"{self._path(key)}[{index}]") for index, item in enumerate(self.items(key))]

    def digest(self, key: str) -> str:
        """A member that is a SHA-256 digest in lower-case hex."""
        value = self.text(key)
        if _SHA256.fullmatch(value) is None:
            raise ArtifactError(f"sidecar: {self._path(key)} is not a SHA-256 digest")
        return value

    def release(self, key: str) -> str:
        """A member that is a release number such as 1.21."""
        value = self.text(key)
        if _RELEASE.fullmatch(value) is None:
            raise ArtifactError(f"sidecar: {self._path(key)} is not a release number such as 1.21")
        return value

    def pair(self, key: str) -> list[Any] | None:
        """A member that is a list of two items, or null."""
        if self.any(key) is None:
            return None
        items = self.items(key)
        if len(items) != 2:
            raise ArtifactError(f"sidecar: {self._path(key)} must have two items")
        return items


def number_at(value: Any, path: str) -> float:
    """``value`` as a finite float; ``ArtifactError`` naming ``path`` where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArtifactError(f"sidecar: {path} must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ArtifactError(f"sidecar: {path} must be a finite number")
    return number
