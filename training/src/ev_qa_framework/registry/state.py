"""What a change to a registry is decided from."""

from __future__ import annotations

from dataclasses import dataclass

from ev_qa_framework.registry.catalog import Catalog
from ev_qa_framework.registry.event import Event
from ev_qa_runtime.errors import ModelNotFoundError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.registry_event import Aliases, AliasTarget, ModelName
from ev_qa_runtime.registry_reference import Selector, aliased, did_you_mean


def nothing_here(root: str) -> str:
    """What to say of a root that is no registry."""
    return f"{root}: no model was ever published here: check the registry's root"


@dataclass(frozen=True, slots=True)
class State:
    """The last event, what all of them say of the models, and what lies in the folders."""

    root: str
    last: Event | None
    catalog: Catalog
    folders: dict[str, tuple[str, ...]]

    @property
    def aliases(self) -> Aliases:
        """The alias state now."""
        return {} if self.last is None else self.last.change.aliases

    @property
    def is_empty(self) -> bool:
        """Whether this is no registry: no event, and no model in the folders."""
        return self.last is None and not self.folders

    @property
    def next_number(self) -> int:
        """The number that the next event will have."""
        return 1 if self.last is None else self.last.number + 1

    @property
    def names(self) -> list[ModelName]:
        """Every model there is or ever was, sorted by family and version."""
        names = {ModelName.parse(text) for text in (*self.catalog, *self.folders)}
        return sorted(names, key=lambda name: (name.family, name.version, name.text))

    def locations(self, model: str) -> tuple[str, ...]:
        """The folders that hold ``model``: by its events, or where it has none, by what lies there."""
        entry = self.catalog.get(model)
        return self.folders.get(model, ()) if entry is None else entry.locations

    def target(self, selector: Selector) -> AliasTarget:
        """What the selector's alias points to; ``ModelNotFoundError`` where nothing, or more than one."""
        return aliased(self.aliases, selector, self.root)

    def model(self, text: str) -> ModelName:
        """The model that a name or an alias means; ``ModelNotFoundError`` where it is not there any more, or never was.

        Raises ``ArtifactError`` for a text that is neither.
        """
        name = self.known(text)
        if not self.locations(name.text):
            raise ModelNotFoundError(f"{self.root}: {text} was pruned: promote another model")
        return name

    def known(self, text: str) -> ModelName:
        """The model that a name or an alias means, pruned or not; one that is there before another spelling's.

        Raises ``ModelNotFoundError`` where there never was one, ``ArtifactError`` for a text that is neither.
        """
        selector = Selector.parse(text)
        if selector.model is None:
            return ModelName.parse(self.target(selector).model)
        spellings = selector.model.spellings
        for spelling in (*filter(self.locations, spellings), *filter(self.catalog.__contains__, spellings)):
            return ModelName.parse(spelling)
        meant = did_you_mean(text, [name.text for name in self.names])
        raise ModelNotFoundError(
            f"{self.root}: there is no model {text}: `ev-qa registry list` shows those there are{meant}"
        )

    def highest(self, family: str, below: ModelVersion | None = None) -> ModelName | None:
        """The family's highest version (below ``below``, if given) whose files are still there."""
        names = [name for name in self.names if name.family == family and self.locations(name.text)]
        names = [name for name in names if below is None or name.version < below]
        return max(names, key=lambda name: name.version, default=None)
