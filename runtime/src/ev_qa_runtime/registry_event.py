"""Names, aliases and events of a registry of models, as its files hold them. Standard library only.

Invariants: names and places come from strict patterns, so that none leads out of the registry; an event of a newer
layout is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.strict_json import Members, parse_object

LOCATIONS = ("production", "experiments", "archive")
ALIASES = ("champion", "challenger")
EVENTS = "registry/events"
EVENT_SCHEMA_VERSION = 1
_FAMILY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", re.ASCII)
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_NAME = re.compile(rf"(?P<family>.{{1,100}})_v(?P<version>{_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?)", re.ASCII)
_EVENT_FILE = re.compile(r"([0-9]{8,12})\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelName:
    """``FAMILY_vMAJOR.MINOR.PATCH``, or the two-part form that means patch 0."""

    text: str
    family: str
    version: ModelVersion

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read a model's name; ``ArtifactError`` where it does not follow the scheme."""
        match = _NAME.fullmatch(text)
        if match is None or not is_family(match["family"]):
            raise ArtifactError(f"{text!r:.120} is not a registry's name for a model: expected one such as pack_v1.2.0")
        return cls(text, match["family"], ModelVersion.parse(match["version"]))

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names a file of this model may have: as given, then its other form."""
        forms = [f"{self.family}_v{self.version}"]
        if self.version.patch == 0:
            forms.append(f"{self.family}_v{self.version.major}.{self.version.minor}")
        return (self.text, *(form for form in forms if form != self.text))


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """What an alias points to, since which event, and the event whose target a rollback returns to."""

    model: str
    location: str
    sidecar_sha256: str
    event: int
    parent: int | None


Aliases = dict[str, dict[str, AliasTarget]]
"""Family → alias → target."""


def is_family(text: str) -> bool:
    """Whether ``text`` may name a family: no separators, no leading dot, and not itself ending in a version."""
    return _FAMILY.fullmatch(text) is not None and _NAME.fullmatch(text) is None


def event_path(number: int) -> str:
    """Where event ``number`` lies."""
    return f"{EVENTS}/{number:08}.json"


def event_number(name: str) -> int | None:
    """The number of the event in the file ``name``, None where it is no event's."""
    match = _EVENT_FILE.fullmatch(name)
    number = int(match[1]) if match else 0
    return number if number and event_path(number).endswith(f"/{name}") else None


def read_event(number: int, data: bytes) -> Members:
    """An event's members, its layout and number checked.

    Raises ``IncompatibleModelError`` for a newer layout and ``ArtifactError`` for anything malformed.
    """
    event = Members(parse_object(data, "event"), what="event")
    version = event.integer("schema_version", lowest=1)
    if version > EVENT_SCHEMA_VERSION:
        raise IncompatibleModelError(
            f"the event has schema_version {version}, this runtime reads up to {EVENT_SCHEMA_VERSION}:"
            " update ev-qa-runtime"
        )
    if event.integer("number") != number:
        raise ArtifactError(f"event: its file is that of event {number}, its number is {event.integer('number')}")
    return event


def read_aliases(event: Members) -> Aliases:
    """The complete alias state after an event; ``ArtifactError`` for anything malformed."""
    aliases: Aliases = {}
    families = event.section("aliases")
    for family in families.members:
        targets = families.section(family)
        if not is_family(family) or not targets.members.keys() <= set(ALIASES):
            raise ArtifactError(f"event: aliases: {family!r:.120} is no family with champion or challenger")
        aliases[family] = {alias: _target(targets.section(alias), family) for alias in targets.members}
    return aliases


def _target(section: Members, family: str) -> AliasTarget:
    parent = None if section.any("parent") is None else section.integer("parent", lowest=1)
    target = AliasTarget(
        model=ModelName.parse(section.text("model")).text,
        location=section.choice("location", LOCATIONS),
        sidecar_sha256=section.digest("sidecar_sha256"),
        event=section.integer("event", lowest=1),
        parent=parent,
    )
    if ModelName.parse(target.model).family != family or (parent or 0) >= target.event:
        raise ArtifactError(f"event: aliases: {family} has a target of another family, or from the future")
    return target


def alias_document(aliases: Aliases) -> dict[str, Any]:
    """The JSON form of an alias state, families sorted; what :func:`read_aliases` reads."""
    return {
        family: {
            alias: {name: getattr(target, name) for name in AliasTarget.__slots__}
            for alias, target in sorted(targets.items())
        }
        for family, targets in sorted(aliases.items())
    }
