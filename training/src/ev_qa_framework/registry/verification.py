"""Is everything that a registry says true? Every digest, the chain of events, and what the aliases point to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ev_qa_framework.registry import alias_state
from ev_qa_framework.registry.catalog import catalog_of, in_folders, strangers_in_folders
from ev_qa_framework.registry.event import Event, time_text
from ev_qa_framework.registry.journal import CLOCKS_DIFFER, Journal
from ev_qa_framework.registry.leftovers import leftovers
from ev_qa_framework.registry.model_files import read_model
from ev_qa_framework.registry.state import State, nothing_here
from ev_qa_framework.registry.store import Store
from ev_qa_runtime.errors import ArtifactError, ModelNotFoundError, RegistryError
from ev_qa_runtime.registry_event import Aliases, AliasTarget, ModelName


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked and found; ``remarks`` are no faults: what pruning would remove or an event could adopt."""

    events: int
    models: int
    files: int
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "events": self.events,
            "models": self.models,
            "files": self.files,
            "faults": list(self.faults),
            "remarks": list(self.remarks),
            "verified": not self.faults,
        }


def verify(store: Store, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Verification:
    """Read everything anew and compare; ``progress`` is told of the models done and their number.

    Raises ``ModelNotFoundError`` where there is no registry, ``OSError`` where the store cannot be read; whatever else
    is wrong with it is reported.
    """
    events, faults = read_history(store)
    faults += chain_faults(events) + future_faults(events, datetime.now(UTC))
    state = State(store.root, events[-1] if events else None, catalog_of(events), in_folders(store))
    if state.is_empty and not faults:
        raise ModelNotFoundError(nothing_here(store.root))
    digests: dict[tuple[str, str], str] = {}
    remarks: list[str] = []
    files = 0
    models = [name.text for name in state.names if state.locations(name.text) or name.text in state.folders]
    for done, model in enumerate(models):
        progress(done, len(models))
        for location in dict.fromkeys((*state.locations(model), *state.folders.get(model, ()))):
            try:
                count, digests[model, location] = _checked(store, state, model, location)
                files += count
            except (ArtifactError, ModelNotFoundError) as error:
                faults.append(str(error))
        if model not in state.catalog:
            remarks.append(f"{model}: no event knows it; publishing it from where it is, or promoting it, adopts it")
    faults += _alias_faults(state, digests)
    remarks += [f"{path}: its name is not FAMILY_vX.Y.Z, so it is not seen" for path in strangers_in_folders(store)]
    remarks += [f"{found.path}: {found.why}; `ev-qa registry prune` removes it" for found in leftovers(store, state)]
    return Verification(len(events), len(models), files, tuple(faults), tuple(remarks))


def read_history(store: Store) -> tuple[list[Event], list[str]]:
    """The events that can be read, and what is wrong with the others."""
    journal = Journal(store)
    numbers = journal.numbers()
    events, faults = [], []
    for number in range(1, (numbers[-1] if numbers else 0) + 1):
        try:
            events.append(journal.event(number))
        except (ArtifactError, RegistryError) as error:
            faults.append(str(error))
    return events, faults


def chain_faults(events: list[Event]) -> list[str]:
    """Where an event does not follow from the one before: its link, its time, or its alias state."""
    faults = []
    before: Event | None = None
    for event in events:
        if before is None or event.number == before.number + 1:
            faults += [f"event {event.number}: {fault}" for fault in _link_faults(event, before, events)]
        before = event
    return faults


def future_faults(events: list[Event], now: datetime) -> list[str]:
    """Events that are dated ahead of ``now``, by more than clocks differ."""
    ahead = [event for event in events if event.time > now + CLOCKS_DIFFER]
    return [f"event {event.number}: dated {time_text(event.time)}, which is in the future" for event in ahead]


def _link_faults(event: Event, before: Event | None, events: list[Event]) -> Iterator[str]:
    if before is None:
        if event.number == 1 and event.previous_sha256 is not None:
            yield "it is the first, but names a predecessor"
        if event.number != 1:
            return
    elif event.previous_sha256 != before.sha256:
        yield f"event {before.number} is not the one it was written after: one of them was changed"
    if before is not None and event.time < before.time:
        yield f"its time is before that of event {before.number}"
    if event.change.aliases != _expected(event, before, events):
        yield "its aliases do not follow from what it did"


def _expected(event: Event, before: Event | None, events: list[Event]) -> Aliases | None:
    """The alias state that the action gives after ``before``; None where it cannot have been done."""
    change = event.change
    aliases = {} if before is None else before.change.aliases
    family = event.family
    if change.alias is None or change.action not in ("promote", "rollback", "clear"):
        return aliases
    if change.action == "clear":
        return alias_state.cleared(aliases, family, change.alias)
    target = alias_state.target_of(change.aliases, family, change.alias)
    if target is None or (target.model, target.event) != (change.model, event.number):
        return None
    if change.action == "promote":
        return alias_state.promoted(aliases, change.alias, target)
    now = alias_state.target_of(aliases, family, change.alias)
    parent = next((found for found in events if now is not None and found.number == now.parent), None)
    entry = parent and alias_state.target_of(parent.change.aliases, family, change.alias)
    if not entry or _identity(target) != _identity(entry):
        return None
    return alias_state.rolled_back(aliases, change.alias, target)


def _identity(target: AliasTarget) -> tuple[str, str, int | None]:
    return target.model, target.sidecar_sha256, target.parent


def _checked(store: Store, state: State, model: str, location: str) -> tuple[int, str]:
    """How many files were compared, and the sidecar's digest; raises what is wrong with them."""
    where = f"{store.root}/{location}/{model}"
    if location not in state.folders.get(model, ()):
        raise ModelNotFoundError(f"{where}.json: missing; its events say that it is there")
    files = read_model(store, location, model)
    if files.contract.name != model or files.contract.version != ModelName.parse(model).version:
        raise RegistryError(f"{where}.json: it is of {files.contract.name}, version {files.contract.version}")
    entry = state.catalog.get(model)
    if entry is not None:
        for suffix, digest in entry.files.items():
            if files.digests.get(suffix) != digest:
                raise RegistryError(f"{where}.{suffix}: not the file that event {entry.first_event} recorded")
    return len(files.digests), files.digests["json"].sha256


def _alias_faults(state: State, digests: dict[tuple[str, str], str]) -> Iterator[str]:
    for family, targets in state.aliases.items():
        for alias, target in targets.items():
            if digests.get((target.model, target.location)) != target.sidecar_sha256:
                yield f"{family}/{alias}: {target.location}/{target.model} is not there as event {target.event} has it"
