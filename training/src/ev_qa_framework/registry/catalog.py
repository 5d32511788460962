"""Which models a registry has and where, as its events tell it.

Files alone could not tell: those of a model that was archived may be there a moment longer, and those of one that is
being published a moment earlier. A model that lies in the folders without any event (put there by hand, or by an
older release) is known from the folder, until an event adopts it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from ev_qa_framework.registry.event import Event
from ev_qa_framework.registry.store import Store
from ev_qa_runtime.contract import FileDigest
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.registry_event import LOCATIONS, ModelName


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model in the events: the folders it is in, its files' digests, when it came, was archived and was pruned."""

    name: ModelName
    locations: tuple[str, ...]
    files: dict[str, FileDigest]
    first_event: int
    archived: datetime | None = None
    pruned: datetime | None = None


Catalog = dict[str, CatalogEntry]


def catalog_of(events: Iterable[Event], before: Catalog | None = None) -> Catalog:
    """Model → entry, after ``events`` in their order; ``before`` is what earlier ones gave, and stays as it is."""
    catalog: Catalog = dict(before or {})
    for event in events:
        change = event.change
        known = catalog.get(change.model)
        if known is None:
            known = CatalogEntry(ModelName.parse(change.model), (), change.files, event.number)
        catalog[change.model] = _after(known, event)
    return catalog


def _after(known: CatalogEntry, event: Event) -> CatalogEntry:
    change = event.change
    if change.action == "archive":
        return replace(known, locations=("archive",), archived=event.time)
    if change.action == "prune":
        return replace(known, locations=(), pruned=event.time)
    if change.action == "clear" or change.target is None:
        return known
    location = change.target.partition("/")[0]
    return replace(known, locations=_sorted({*known.locations, location}))


def _sorted(locations: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(locations, key=LOCATIONS.index))


def in_folders(store: Store) -> dict[str, tuple[str, ...]]:
    """Model → folders that hold its sidecar; files whose names do not follow the scheme are left out."""
    found: dict[str, list[str]] = {}
    for location in LOCATIONS:
        for file in store.names(location):
            name = file.removesuffix(".json")
            if name != file and _is_model(name):
                found.setdefault(name, []).append(location)
    return {name: tuple(locations) for name, locations in sorted(found.items())}


def strangers_in_folders(store: Store) -> list[str]:
    """Sidecars whose names do not follow the scheme, by path."""
    names = ((location, file) for location in LOCATIONS for file in store.names(location))
    return [
        f"{location}/{file}"
        for location, file in names
        if file.endswith(".json") and not file.startswith(".") and not _is_model(file.removesuffix(".json"))
    ]


def begun_in_folders(store: Store) -> set[str]:
    """Models of which some file is there, with or without sidecar: an upload may be under way, or was interrupted."""
    stems = (file.rpartition(".")[0] for location in LOCATIONS for file in store.names(location))
    return {stem for stem in stems if _is_model(stem)}


def _is_model(name: str) -> bool:
    try:
        ModelName.parse(name)
    except ArtifactError:
        return False
    return True
