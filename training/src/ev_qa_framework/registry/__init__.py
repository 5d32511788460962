"""A registry of models on plain files: versions, aliases, rollback, and who changed what, when and why.

>>> from ev_qa_framework.registry import Registry
>>> registry = Registry("artifacts")
>>> registry.promote("demo_pack_v1.0.0", reason="first release")
>>> registry.rollback(reason="too many alarms")

``docs/registry.md`` describes it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ev_qa_framework.registry.registry import Registry
    from ev_qa_framework.registry.version_rule import next_version

__all__ = ["Registry", "next_version"]

_HOMES = {"Registry": "registry", "next_version": "version_rule"}


def __getattr__(name: str) -> Any:
    """Import fsspec and onnxruntime when they are needed: resolving a plain path needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
