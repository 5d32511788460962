"""What a registry holds, model by model, as ``list`` and ``show`` tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ev_qa_framework.registry import alias_state
from ev_qa_framework.registry.event import as_dict
from ev_qa_framework.registry.model_files import digest_of, read_sidecar
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.state import State
from ev_qa_runtime.errors import ArtifactError, ModelNotFoundError
from ev_qa_runtime.registry_event import ModelName
from ev_qa_runtime.signature_member import split


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model. ``signed_by`` are the ids of the keys that it says signed it; nothing is verified here."""

    model: str
    family: str
    version: str
    stages: tuple[str, ...]
    aliases: tuple[str, ...]
    created: str | None
    sidecar_sha256: str | None
    signed_by: tuple[str, ...]
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def inventory(registry: Registry) -> list[ModelSummary]:
    """Every model whose files are there, by family and version; a damaged one with its problem."""
    state = registry.state()
    return [summary(registry, state, name) for name in state.names if state.locations(name.text)]


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
    """A model's summary, contract and events in plain types; raises as ``Registry.contract`` does."""
    contract = registry.contract(selector)
    state = registry.state()
    name = state.model(selector)
    events = [event for event in registry.journal.history(state.last) if event.change.model == name.text]
    shown = summary(registry, state, name).as_dict() | contract.info() | {"parameters": contract.parameters}
    return shown | {
        "training": asdict(contract.training),
        "parity": asdict(contract.parity),
        "files": {suffix: asdict(digest) for suffix, digest in contract.files.items()},
        "events": [as_dict(event) for event in events],
    }
