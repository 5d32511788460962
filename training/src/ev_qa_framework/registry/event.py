"""One event of a registry's history: bytes ↔ :class:`Event`.

Invariants: an event is one strict JSON object; ``parse(number, render(event))`` gives the event back; it carries the
digest of its predecessor's bytes and the complete alias state after it. ``docs/registry.md`` has every member.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from ev_qa_runtime.contract import FileDigest
from ev_qa_runtime.errors import ArtifactError, RegistryError
from ev_qa_runtime.registry_event import (
    ALIASES,
    EVENT_SCHEMA_VERSION,
    LOCATIONS,
    Aliases,
    ModelName,
    alias_document,
    read_aliases,
    read_event,
)
from ev_qa_runtime.strict_json import Members

Action = Literal["publish", "promote", "rollback", "clear", "archive", "prune"]
ACTIONS: tuple[Action, ...] = get_args(Action)
LONGEST_WHO = 200
LONGEST_REASON = 2000
_SUFFIXES = ("json", "onnx", "joblib")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Change:
    """What a writer wants to record; the journal adds number, time and the link to the event before.

    ``source`` and ``target`` are places such as ``production/pack_v1.0.0``, or None: where a model came from and went
    to, or what an alias pointed to before and after. ``files`` are the model's, by suffix without dot.
    """

    who: str
    action: Action
    model: str
    source: str | None
    target: str | None
    reason: str
    files: dict[str, FileDigest]
    aliases: Aliases
    alias: str | None = None

    def __post_init__(self) -> None:
        checked_text(self.who, "who", LONGEST_WHO)
        checked_text(self.reason, "reason", LONGEST_REASON)
        if not self.who:
            raise RegistryError("who is empty: say who changes the registry")


@dataclass(frozen=True, slots=True)
class Event:
    """A change as it stands in the history.

    ``nonce`` tells two writers' events apart; ``previous_sha256`` is None for the first; ``sha256`` is that of this
    event's own bytes. Times are UTC, to the second.
    """

    number: int
    nonce: str
    time: datetime
    change: Change
    previous_sha256: str | None
    sha256: str = field(default="", compare=False)

    @property
    def family(self) -> str:
        """The family of the event's model."""
        return ModelName.parse(self.change.model).family


def render(event: Event) -> bytes:
    """The event file's bytes."""
    change = event.change
    document = {
        "schema_version": EVENT_SCHEMA_VERSION,
        "number": event.number,
        "nonce": event.nonce,
        "time": time_text(event.time),
        "who": change.who,
        "action": change.action,
        "model": change.model,
        "alias": change.alias,
        "from": change.source,
        "to": change.target,
        "reason": change.reason,
        "files": {suffix: {"bytes": file.bytes, "sha256": file.sha256} for suffix, file in change.files.items()},
        "previous_sha256": event.previous_sha256,
        "aliases": alias_document(change.aliases),
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse(number: int, data: bytes) -> Event:
    """Read an event file's bytes.

    Raises ``IncompatibleModelError`` for a newer layout and ``ArtifactError`` for anything malformed.
    """
    event = read_event(number, data)
    return Event(
        number=number,
        nonce=event.text("nonce"),
        time=_time(event.text("time")),
        change=_change(event),
        previous_sha256=None if event.any("previous_sha256") is None else event.digest("previous_sha256"),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _change(event: Members) -> Change:
    files = event.section("files")
    if not files.members.keys() <= set(_SUFFIXES):
        raise ArtifactError(f"event: files has others than {', '.join(_SUFFIXES)}")
    model = ModelName.parse(event.text("model"))
    return Change(
        who=event.text("who"),
        action=event.choice("action", ACTIONS),
        model=model.text,
        source=_place(event, "from", model),
        target=_place(event, "to", model),
        reason=event.text("reason"),
        files={suffix: _digest(files.section(suffix)) for suffix in files.members},
        aliases=read_aliases(event),
        alias=None if event.any("alias") is None else event.choice("alias", ALIASES),
    )


def _place(event: Members, key: str, model: ModelName) -> str | None:
    text = event.optional_text(key)
    if text is None:
        return None
    location, _, name = text.partition("/")
    if location not in LOCATIONS or ModelName.parse(name).family != model.family:
        raise ArtifactError(f"event: {key} is no place of a model of {model.family}: {text!r:.120}")
    return text


def _digest(section: Members) -> FileDigest:
    return FileDigest(bytes=section.integer("bytes"), sha256=section.digest("sha256"))


def checked_text(text: str, what: str, longest: int) -> str:
    """``text``; ``RegistryError`` where it is too long, of more than one line, or not to be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RegistryError(f"{what} holds text that UTF-8 cannot encode") from None
    if len(text) > longest or not text.isprintable():
        raise RegistryError(f"{what} must be one line of at most {longest} characters")
    return text


def time_text(time: datetime) -> str:
    """A UTC time as ``2026-11-23T12:00:00Z``."""
    return time.astimezone(UTC).strftime(_TIME)


def _time(text: str) -> datetime:
    try:
        time = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        time = None
    if time is None or time_text(time) != text:
        raise ArtifactError(f"event: time is not one such as 2026-11-23T12:00:00Z: {text!r:.60}")
    return time


def as_dict(event: Event) -> dict[str, Any]:
    """The event in plain types, without the alias state, as the commands show it."""
    document: dict[str, Any] = json.loads(render(event))
    return {key: value for key, value in document.items() if key not in ("schema_version", "nonce", "aliases")}


def user_and_host() -> str:
    """Who works here, as far as the system says."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
