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
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

DEEPEST = 120
"""Levels of objects and lists; the metadata a model is saved with may have 100 of them."""

LARGEST_INTEGER = 2**63 - 1
"""Of members with a meaning; the user's metadata may hold larger ones."""
_Choice = TypeVar("_Choice", bound=str)


def parse_object(data: bytes, what: str = "sidecar") -> dict[str, Any]:
    """The JSON object in ``data``; ``ArtifactError`` for duplicate keys, NaN, Infinity or anything not JSON.

    ``what`` is the kind of document, for the messages.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ArtifactError(f"the {what} has a duplicate key")
        return members

    def no_constant(text: str) -> float:
        raise ArtifactError(f"the {what} holds {text}, which JSON does not know")

    def finite(text: str) -> float:
        number = float(text)
        if math.isinf(number):
            raise ArtifactError(f"the {what} holds {text:.40}, which is not a finite number")
        return number

    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=distinct, parse_constant=no_constant, parse_float=finite
        )
    except ArtifactError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the {what} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ArtifactError(f"the {what} is not a JSON object")
    _check_depth(document, what)
    if _LONE_SURROGATE.search(data):
        _check_encodable(document, what)
    return document


def _check_depth(document: Any, what: str) -> None:
    """Level by level, so that depth costs no stack."""
    level = [document]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in level:
            inner += item.values() if isinstance(item, dict) else item
        level = [item for item in inner if isinstance(item, (dict, list))]
        if not level:
            return
    raise ArtifactError(f"the {what} is nested more than {DEEPEST} deep")


def _check_encodable(document: Any, what: str) -> None:
    r"""Escapes can spell half a character, such as \ud800, which no file name, terminal or later sidecar can hold."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ArtifactError(f"the {what} holds text that UTF-8 cannot encode") from None


class Members:
    """One JSON object read strictly: every getter names the member in its error.

    All raise ``ArtifactError`` where the member is missing or of another kind.
    """

    def __init__(self, members: Any, where: str = "", what: str = "sidecar") -> None:
        if not isinstance(members, dict):
            raise ArtifactError(f"{what}: {where} must be an object")
        self.members: dict[str, Any] = members
        self._where = where
        self._what = what

    def _path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def any(self, key: str) -> Any:
        """The member as parsed."""
        if key not in self.members:
            raise ArtifactError(f"{self._what}: {self._path(key)} is missing")
        return self.members[key]

    def section(self, key: str) -> Members:
        """A member that is an object."""
        return Members(self.any(key), self._path(key), self._what)

    def mapping(self, key: str) -> dict[str, Any]:
        """A member that is an object, as a fresh dictionary."""
        return dict(self.section(key).members)

    def text(self, key: str) -> str:
        """A member that is text."""
        value = self.any(key)
        if not isinstance(value, str):
            raise ArtifactError(f"{self._what}: {self._path(key)} must be text, not {value!r:.40}")
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
        raise ArtifactError(f"{self._what}: {self._path(key)} must be one of {', '.join(choices)}, not {value!r:.40}")

    def integer(self, key: str, lowest: int = 0) -> int:
        """A member that is an integer of at least ``lowest``."""
        value = self.any(key)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= LARGEST_INTEGER:
            raise ArtifactError(
                f"{self._what}: {self._path(key)} must be an integer of at least {lowest} and below 2**63"
            )
        return value

    def number(self, key: str) -> float:
        """A member that is a finite number."""
        return number_at(self.any(key), self._path(key))

    def items(self, key: str) -> list[Any]:
        """A member that is a list."""
        value = self.any(key)
        if not isinstance(value, list):
            raise ArtifactError(f"{self._what}: {self._path(key)} must be a list")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A member that is a list of finite numbers."""
        return tuple(number_at(item, self._path(key)) for item in self.items(key))

    def integers(self, key: str) -> tuple[int, ...]:
        """A member that is a list of integers."""
        items = self.items(key)
        if not all(type(item) is int and abs(item) <= LARGEST_INTEGER for item in items):
            raise ArtifactError(f"{self._what}: {self._path(key)} must hold integers between -2**63 and 2**63")
        return tuple(items)

    def sections(self, key: str) -> list[Members]:
        """A member that is a list of objects."""
        return [Members(item, f"{self._path(key)}[{index}]", self._what) for index, item in enumerate(self.items(key))]

    def digest(self, key: str) -> str:
        """A member that is a SHA-256 digest in lower-case hex."""
        value = self.text(key)
        if _SHA256.fullmatch(value) is None:
            raise ArtifactError(f"{self._what}: {self._path(key)} is not a SHA-256 digest")
        return value

    def release(self, key: str) -> str:
        """A member that is a release number such as 1.21."""
        value = self.text(key)
        if _RELEASE.fullmatch(value) is None:
            raise ArtifactError(f"{self._what}: {self._path(key)} is not a release number such as 1.21")
        return value

    def pair(self, key: str) -> list[Any] | None:
        """A member that is a list of two items, or null."""
        if self.any(key) is None:
            return None
        items = self.items(key)
        if len(items) != 2:
            raise ArtifactError(f"{self._what}: {self._path(key)} must have two items")
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
