"""References into a registry of models: ``ROOT@champion``, ``ROOT@FAMILY/champion``, ``ROOT@FAMILY_v1.2.0``.

Reads only; ``ev_qa_framework.registry`` writes. Standard library only. Invariants:

* a path is a reference only where its ROOT holds a folder ``registry``, else it is a path as ever;
* the last event alone says what the aliases point to; ``latest.json`` is a hint where to start looking for it;
* no name and no link leads out of ROOT;
* an alias gives the very model it was set to: the sidecar's digest is compared.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError
from ev_qa_runtime.registry_event import (
    ALIASES,
    EVENTS,
    LOCATIONS,
    Aliases,
    AliasTarget,
    ModelName,
    event_number,
    event_path,
    is_family,
    read_aliases,
    read_event,
)
from ev_qa_runtime.strict_json import Members, parse_object

REGISTRY = "registry"
HINT = f"{REGISTRY}/latest.json"
EVENT_LIMIT = 4 * 2**20
SIDECAR_LIMIT = 16 * 2**20
HINT_LIMIT = 4096
_SUFFIXES = ("json", "onnx", "joblib")
_Result = TypeVar("_Result")


class Files(Protocol):
    """A registry's files, by paths relative to its root with ``/`` between the parts."""

    root: str

    def read(self, path: str, limit: int) -> bytes | None:
        """The bytes, None where there is no such file; ``IntegrityError`` where there are more than ``limit``."""
        ...  # a protocol has no body

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; none where it is missing."""
        ...  # a protocol has no body


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reference leads; ``target`` is None for a reference to a version."""

    location: str
    model: str
    target: AliasTarget | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """What of a registry is meant: an alias, of one family or of the only one that has it, or a model."""

    alias: str | None = None
    family: str | None = None
    model: ModelName | None = None

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read ``champion``, ``FAMILY/champion`` or ``FAMILY_v1.2.0``; ``ArtifactError`` for anything else."""
        family, slash, alias = text.rpartition("/")
        if alias in ALIASES and (is_family(family) or not slash):
            return cls(alias=alias, family=family or None)
        try:
            return cls(model=ModelName.parse(text))
        except ArtifactError:
            raise ArtifactError(
                f"{text!r:.120} is neither an alias ({', '.join(ALIASES)}, FAMILY/{ALIASES[0]}) nor a registry's name"
                f" for a model: expected one such as pack_v1.2.0{did_you_mean(alias, ALIASES)}"
            ) from None


@dataclass(frozen=True, slots=True)
class Reference:
    """``ROOT@SELECTOR``."""

    root: str
    selector: Selector

    @classmethod
    def of(cls, text: str) -> Reference | None:
        """The reference that ``text`` may be, by its form alone; None where it is none."""
        root, _, selector = text.rpartition("@")
        if not root:
            return None
        try:
            return cls(root, Selector.parse(selector))
        except ArtifactError:
            return None


class LocalFiles:
    """A registry's files in a local folder; links that lead out of it are refused."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._folder = Path(root)
        self._inside = self._folder.resolve()

    def path(self, path: str) -> Path:
        """The file's own path; ``ArtifactError`` where links lead out of the root."""
        joined = self._folder / path
        if not joined.resolve().is_relative_to(self._inside):
            raise ArtifactError(f"{joined}: a link leads out of the registry {self.root}: replace it by what it names")
        return joined

    def read(self, path: str, limit: int) -> bytes | None:
        """See :class:`Files`."""
        joined = self.path(path)
        try:
            descriptor = os.open(joined, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (FileNotFoundError, NotADirectoryError):
            return None
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ArtifactError(f"{joined}: not a file")
            data = file.read(limit + 1)
        if len(data) > limit:
            raise IntegrityError(f"{joined}: larger than {limit} bytes, which is more than it may be")
        return data

    def names(self, folder: str) -> list[str]:
        """See :class:`Files`."""
        try:
            return sorted(file.name for file in self.path(folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def latest_event(files: Files) -> tuple[int, bytes] | None:
    """Number and bytes of the last event; None where there is none yet."""
    number = _hinted(files)
    data = files.read(event_path(number), EVENT_LIMIT) if number else None
    if data is None:  # no hint, or one that leads nowhere
        number = max(filter(None, map(event_number, files.names(EVENTS))), default=0)
        data = files.read(event_path(number), EVENT_LIMIT) if number else None
    if data is None:
        return None
    while (following := files.read(event_path(number + 1), EVENT_LIMIT)) is not None:
        number, data = number + 1, following
    return number, data


def _hinted(files: Files) -> int:
    """The event that ``latest.json`` names; 0 where it is missing or torn, which harms nothing."""
    try:
        data = files.read(HINT, HINT_LIMIT)
        return 0 if data is None else Members(parse_object(data, "hint"), what="hint").integer("event")
    except ArtifactError:
        return 0


def resolve(files: Files, selector: Selector) -> Place:
    """Where the model lies that ``selector`` means now.

    Raises ``ModelNotFoundError`` where there is none, or more than one family it could mean.
    """
    if selector.model is not None:
        return _place_of(files, selector.model)
    last = latest_event(files)
    target = aliased({} if last is None else _aliases_in(files, *last), selector, files.root)
    return Place(target.location, target.model, target)


def aliased(aliases: Aliases, selector: Selector, root: str) -> AliasTarget:
    """What the selector's alias points to; ``ModelNotFoundError`` as :func:`resolve` has it."""
    alias = str(selector.alias)
    having = sorted(family for family, targets in aliases.items() if alias in targets)
    if selector.family is not None:
        having = [family for family in having if family == selector.family]
    if len(having) > 1:
        raise ModelNotFoundError(
            f"{root}: {len(having)} families have a {alias}: name one, as in {root}@{having[0]}/{alias}"
        )
    if not having:
        whose = f" of {selector.family}" if selector.family else ""
        how = "" if alias == ALIASES[0] else f" (`promote --as {alias}`)"
        meant = did_you_mean(selector.family or "", aliases)
        raise ModelNotFoundError(f"{root}: there is no {alias}{whose}: promote a model first{how}{meant}")
    return aliases[having[0]][alias]


def _aliases_in(files: Files, number: int, data: bytes) -> Aliases:
    try:
        return read_aliases(read_event(number, data))
    except ArtifactError as error:
        raise type(error)(f"{files.root}/{event_path(number)}: {error}") from None


def _place_of(files: Files, model: ModelName) -> Place:
    for location in LOCATIONS:
        there = files.names(location)
        for name in model.spellings:
            if f"{name}.json" in there:
                return Place(location, name)
    there = [name.removesuffix(".json") for location in LOCATIONS for name in files.names(location)]
    raise ModelNotFoundError(
        f"Model file not found: {files.root}@{model.text} (no {model.text}.json in its folders)"
        f"{did_you_mean(model.text, there)}"
    )


def did_you_mean(text: str, among: Iterable[str]) -> str:
    """The end of a message that suggests the nearest of ``among``; empty where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes only

    near = get_close_matches(text, list(among), 1)
    return f"; did you mean {near[0]}?" if near else ""


def vouched(files: Files, place: Place) -> Place:
    """The same place, after its sidecar was found to be the one that the alias was set to."""
    sidecar = f"{place.location}/{place.model}.json"
    data = files.read(sidecar, SIDECAR_LIMIT)
    if data is None:
        raise ModelNotFoundError(f"Model file not found: {files.root}/{sidecar} (the registry says that it is there)")
    if place.target and hashlib.sha256(data).hexdigest() != place.target.sidecar_sha256:
        raise IntegrityError(
            f"{files.root}/{sidecar}: not the file that event {place.target.event} made the alias of: `ev-qa registry"
            f" promote {place.model}` puts it back where another folder holds a copy; else restore it"
        )
    return place


def read_resolved(path: str | os.PathLike[str], read: Callable[[str | os.PathLike[str]], _Result]) -> _Result:
    """``read(path)``, where a reference into a local registry is replaced by the path it leads to.

    Where the model was moved to the archive between resolving and reading, it is resolved again.
    """
    text = os.fspath(path)
    if not isinstance(text, str) or "@" not in text:
        return read(path)
    reference = Reference.of(text)
    if reference is None:
        return _read_path(text, path, read)
    reference = Reference(reference.root.removeprefix("file://"), reference.selector)
    if "://" in reference.root:
        raise ModelNotFoundError(f"{text}: the runtime reads local folders: copy it with `ev-qa registry fetch`")
    if not (Path(reference.root) / REGISTRY).is_dir():
        return read(path)
    files = LocalFiles(reference.root)
    return read_again_if_moved(files, reference.selector, lambda place: read(_checked_path(files, place)))


def _read_path(text: str, path: str | os.PathLike[str], read: Callable[[str | os.PathLike[str]], _Result]) -> _Result:
    """``read`` a path with an ``@`` in it; where nothing is there, it may be a reference with a slip."""
    try:
        return read(path)
    except ModelNotFoundError:
        root, _, selector = text.rpartition("@")
        if not root or "/" in selector or not (Path(root) / REGISTRY).is_dir():
            raise
        raise misspelt(root, selector) from None


def misspelt(root: str, selector: str) -> ModelNotFoundError:
    """The error for ``ROOT@SELECTOR`` where ROOT is a registry and SELECTOR nothing that it could have."""
    try:
        Selector.parse(selector)
    except ArtifactError as error:
        return ModelNotFoundError(f"{root} is a registry, and {error}")
    return ModelNotFoundError(f"{root}: there is no model {selector}")


def read_again_if_moved(files: Files, selector: Selector, read: Callable[[Place], _Result]) -> _Result:
    """``read`` what ``selector`` leads to; once more, where it went elsewhere before it was read."""
    place = resolve(files, selector)
    while True:
        try:
            return read(vouched(files, place))
        except ModelNotFoundError:
            now = resolve(files, selector)
            if now == place:
                raise
            place = now


def _checked_path(files: LocalFiles, place: Place) -> Path:
    """The model's path without suffix, none of its files a link that leads out of the registry."""
    for suffix in _SUFFIXES:
        files.path(f"{place.location}/{place.model}.{suffix}")
    return files.path(f"{place.location}/{place.model}")
