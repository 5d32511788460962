"""Pruning: what leaves the archive for good, by a stated policy, each model by an event of its own.

Never pruned: a model that lies anywhere but in the archive, one that an alias points to, and one that the next
rollback of an alias would return to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ev_qa_framework.registry import alias_state
from ev_qa_framework.registry.event import Change
from ev_qa_framework.registry.leftovers import Leftover, leftovers
from ev_qa_framework.registry.model_files import read_model, remove_model
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.state import State
from ev_qa_runtime.contract import FileDigest
from ev_qa_runtime.errors import ArtifactError, ModelNotFoundError, RegistryError

UNFINISHED_AFTER = timedelta(hours=24)
"""How old what an interrupted change left must be before it is removed: a slow upload is no leftover."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Which archived models may go: all but the ``keep`` highest versions of a family, if archived ``older_than`` ago.

    A limit left None does not keep a model; at least one must be given.
    """

    keep: int | None = None
    older_than: timedelta | None = None

    def __post_init__(self) -> None:
        if self.keep is None and self.older_than is None:
            raise RegistryError("say what to keep: the number of versions, the age in days, or both")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be: archived models, and files that interrupted changes left."""

    models: tuple[str, ...]
    leftovers: tuple[Leftover, ...]
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        files = [{"path": found.path, "why": found.why} for found in self.leftovers]
        return {"models": list(self.models), "leftovers": files, "dry_run": self.dry_run}


def prune(registry: Registry, policy: RetentionPolicy, *, reason: str = "", dry_run: bool = False) -> Pruned:
    """Remove from ``archive/`` what ``policy`` lets go, and what interrupted changes left a day ago or longer.

    Raises ``ModelNotFoundError`` where there is no registry, ``OSError`` where the store refuses; what was removed
    until then has its events.
    """
    state = registry.existing_state()
    names = prunable(registry, state, policy)
    files = tuple(found for found in leftovers(registry.store, state) if _is_old(registry, found))
    if dry_run:
        return Pruned(tuple(names), files, dry_run=True)
    said = reason or _said(policy)
    removed = [name for name in names if _pruned(registry, name, policy, said)]
    with registry.store.turn():
        state = registry.state()
        still = {found.path for found in leftovers(registry.store, state)}
        for found in files:
            if found.path in still:
                registry.store.remove(found.path)
    return Pruned(tuple(removed), files, dry_run=False)


def prunable(registry: Registry, state: State, policy: RetentionPolicy) -> list[str]:
    """The models that the policy lets go, sorted by family and version."""
    archived = [name for name in state.names if state.locations(name.text) == ("archive",)]
    kept = _needed(registry, state)
    for family in {name.family for name in archived}:
        versions = [name.text for name in archived if name.family == family]  # the highest last
        kept |= set(versions[max(len(versions) - policy.keep, 0) :]) if policy.keep else set()
    return [name.text for name in archived if name.text not in kept and _is_due(registry, state, name.text, policy)]


def _needed(registry: Registry, state: State) -> set[str]:
    """Models that an alias points to, or that its next rollback would return to."""
    needed = set()
    for family, targets in state.aliases.items():
        for alias, target in targets.items():
            needed.add(target.model)
            if target.parent is not None:
                before = alias_state.target_of(registry.journal.event(target.parent).change.aliases, family, alias)
                needed |= {before.model} if before else set()
    return needed


def _is_due(registry: Registry, state: State, model: str, policy: RetentionPolicy) -> bool:
    if policy.older_than is None:
        return True
    entry = state.catalog.get(model)
    if entry is not None and entry.archived is not None:
        return datetime.now(UTC) - entry.archived >= policy.older_than
    age = registry.store.age(f"archive/{model}.json")
    return age is not None and age >= policy.older_than.total_seconds()


def _is_old(registry: Registry, found: Leftover) -> bool:
    age = registry.store.age(found.path)
    return age is not None and age >= UNFINISHED_AFTER.total_seconds()


def _pruned(registry: Registry, model: str, policy: RetentionPolicy, reason: str) -> bool:
    """Record and remove; False where another writer made the model needed meanwhile."""

    def decide(state: State) -> Change | None:
        if model not in prunable(registry, state, policy):
            return None
        files = _digests(registry, state, model)
        return Change(registry.who, "prune", model, f"archive/{model}", None, reason, files, state.aliases)

    with registry.store.turn():
        if registry.record(decide) is None:
            return False
        remove_model(registry.store, "archive", model)
    return True


def _digests(registry: Registry, state: State, model: str) -> dict[str, FileDigest]:
    """What the events recorded; of a model without any, what lies there."""
    entry = state.catalog.get(model)
    if entry is not None:
        return entry.files
    try:
        return read_model(registry.store, "archive", model).digests
    except (ArtifactError, ModelNotFoundError):
        return {}  # damaged: that is no reason to keep it


def _said(policy: RetentionPolicy) -> str:
    parts = [] if policy.keep is None else [f"keep {policy.keep}"]
    parts += [] if policy.older_than is None else [f"older than {policy.older_than.days} days"]
    return "policy: " + ", ".join(parts)
