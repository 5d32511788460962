"""What a registry holds, model by model, as ``list`` and ``show`` tell it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from ev_qa_framework.registry import alias_state
from ev_qa_framework.registry.catalog import CatalogEntry
from ev_qa_framework.registry.event import Event, as_dict, time_text
from ev_qa_framework.registry.model_files import ModelFiles, digest_of, read_model, read_path, read_sidecar
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.resolution import read_resolved
from ev_qa_framework.registry.state import State
from ev_qa_runtime.artifact import ArtifactPaths
from ev_qa_runtime.errors import ArtifactError, ModelNotFoundError
from ev_qa_runtime.registry_event import ModelName
from ev_qa_runtime.registry_reference import Selector, read_again_if_moved
from ev_qa_runtime.signature_member import split


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model. ``signed_by`` are the ids of the keys that it says signed it; nothing is verified here.

    ``pruned`` is when its files were removed for good, UTC.
    """

    model: str
    family: str
    version: str
    stages: tuple[str, ...]
    aliases: tuple[str, ...]
    created: str | None
    sidecar_sha256: str | None
    signed_by: tuple[str, ...]
    problem: str | None = None
    pruned: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def inventory(registry: Registry, family: str | None = None, stage: str | None = None) -> list[ModelSummary]:
    """Every model whose files are there, by family and version; a damaged one with its problem.

    ``family`` and ``stage`` leave out the others. Raises ``ModelNotFoundError`` where there is no registry.
    """
    state = registry.existing_state()
    names = [name for name in state.names if family in (None, name.family)]
    found = [(name, state.locations(name.text)) for name in names]
    return [summary(registry, state, name) for name, stages in found if stages and (stage is None or stage in stages)]


def summary(registry: Registry, state: State, name: ModelName) -> ModelSummary:
    """One model's summary."""
    stages = state.locations(name.text)
    pointing = tuple(path.partition("/")[2] for path in alias_state.pointing_at(state.aliases, name.text))
    try:
        data, contract = read_sidecar(registry.store, stages[0], name.text)
    except (ArtifactError, ModelNotFoundError) as error:
        return ModelSummary(
            name.text, name.family, str(name.version), stages, pointing, None, None, (), problem=str(error)
        )
    return ModelSummary(
        model=name.text,
        family=name.family,
        version=str(name.version),
        stages=stages,
        aliases=pointing,
        created=contract.created,
        sidecar_sha256=digest_of(data).sha256,
        signed_by=tuple(signature.key_id for signature in split(data)[1]),
    )


def description(registry: Registry, selector: str) -> dict[str, Any]:
    """A model's summary, contract and events in plain types; of one that was pruned, summary and events.

    Raises as ``Registry.contract`` does, and ``ModelNotFoundError`` where there is no registry.
    """
    state = registry.existing_state()
    name = state.known(selector)
    if not state.locations(name.text):
        return _pruned(registry, state, state.catalog[name.text])
    contract = registry.contract(selector)
    events = events_of(registry, state, name)
    shown = summary(registry, state, name).as_dict() | contract.info() | {"parameters": contract.parameters}
    return shown | {
        "training": asdict(contract.training),
        "parity": asdict(contract.parity),
        "files": {suffix: asdict(digest) for suffix, digest in contract.files.items()},
        "events": [as_dict(event) for event in events],
    }


def read_given(registry: Registry, text: str) -> ModelFiles:
    """The verified files of the registry's model that ``text`` means, else of the model at that path or reference."""
    try:
        selector = Selector.parse(text)
    except ArtifactError:
        if not {"/", os.sep, "@"} & set(text) and not ArtifactPaths.of(text).sidecar.exists():
            raise  # rather a name with a slip than a path
        return read_resolved(text, read_path)
    registry.existing_state()
    return read_again_if_moved(
        registry.store, selector, lambda place: read_model(registry.store, place.location, place.model)
    )


def events_of(registry: Registry, state: State, name: ModelName) -> list[Event]:
    """The model's events, the oldest first."""
    return [event for event in registry.journal.history(state.last) if event.change.model == name.text]


def _pruned(registry: Registry, state: State, entry: CatalogEntry) -> dict[str, Any]:
    name = entry.name
    when = None if entry.pruned is None else time_text(entry.pruned)
    digest = entry.files["json"].sha256 if "json" in entry.files else None
    shown = ModelSummary(name.text, name.family, str(name.version), (), (), None, digest, (), pruned=when)
    return shown.as_dict() | {"events": [as_dict(event) for event in events_of(registry, state, name)]}
