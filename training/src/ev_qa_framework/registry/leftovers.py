"""Files that no event vouches for any more, or not yet: what interrupted changes leave behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ev_qa_framework.registry.state import State
from ev_qa_framework.registry.store import PAYLOADS, SUFFIXES, Store
from ev_qa_runtime.registry_event import EVENTS, LOCATIONS

_TEMPORARY = re.compile(r"\..+\.(?:new|[0-9a-f]{16}(?:\.copy)?)")
"""Names of events and models that are being written, and of payloads set aside while a model is replaced."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file that nobody needs, and why it is there."""

    path: str
    why: str


def leftovers(store: Store, state: State) -> list[Leftover]:
    """Everything of that kind; what is being written this moment looks the same, so its age has to be considered."""
    found = [Leftover(f"{EVENTS}/{name}", "a temporary file") for name in _temporary(store.names(EVENTS))]
    for location in LOCATIONS:
        names = store.names(location)
        found += [Leftover(f"{location}/{name}", "a temporary file") for name in _temporary(names)]
        found += _without_sidecar(location, names)
        found += _condemned(location, names, state)
    return found


def _temporary(names: list[str]) -> list[str]:
    return [name for name in names if _TEMPORARY.fullmatch(name)]


def _without_sidecar(location: str, names: list[str]) -> Iterator[Leftover]:
    there = set(names)
    for name in names:
        stem, _, suffix = name.rpartition(".")
        if stem and suffix in PAYLOADS and not name.startswith(".") and f"{stem}.json" not in there:
            yield Leftover(f"{location}/{name}", "an upload without its sidecar")


def _condemned(location: str, names: list[str], state: State) -> Iterator[Leftover]:
    for model, folders in state.folders.items():
        entry = state.catalog.get(model)
        if location not in folders or entry is None or location in entry.locations:
            continue
        if entry.archived is None and entry.pruned is None:
            continue  # a copy beside the one the events know of: promoted by hand, say
        why = "a copy of a model that was pruned" if entry.pruned else "a copy of a model that was archived"
        for suffix in SUFFIXES:  # the sidecar first: without it the others are no model
            if f"{model}.{suffix}" in names:
                yield Leftover(f"{location}/{model}.{suffix}", why)
