"""Semantic versions of models: MAJOR.MINOR.PATCH, as the model versioning guide uses them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", re.ASCII)
_NAME_SUFFIX = re.compile(r"[_-]v(\d{1,9}\.\d{1,9}(?:\.\d{1,9})?)$", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class ModelVersion:
    """A model's version; ``0.0.0`` stands for a model that was saved without one."""

    major: int = 0
    minor: int = 0
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> ModelVersion:
        """Read ``2.0.1``, ``v2.0.1`` or the two-part ``2.0`` (patch 0); ``ValueError`` for anything else."""
        match = _VERSION.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r:.60} is not a model version: expected MAJOR.MINOR.PATCH, such as 2.0.1")
        return cls(*(int(part or 0) for part in match.groups()))

    @classmethod
    def from_name(cls, name: str) -> ModelVersion | None:
        """The version that a model name ends in (``baseline_v2.0`` → 2.0.0), or None."""
        match = _NAME_SUFFIX.search(name)
        return cls.parse(match.group(1)) if match else None
