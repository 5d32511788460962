"""The sidecar's member ``signatures``: reading it, and cutting out what is signed. Standard library only.

Invariants:

* the member stands right before the digest, in exactly one spelling, each key once; a sidecar without signatures has
  no such member;
* what is signed is found by cutting text: the *blank* sidecar, that is the file without its signatures and with zeros
  for its digest.

Imported only for sidecars that are signed, or are to be: every millisecond counts when a gateway starts.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.seal import digest_member, sealed

SIGNATURES_KEY = "signatures"
SIGNATURE_BYTES = 64

_SIGNATURES_BEGIN = b',\n "signatures": [\n'
_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"
_SIGNATURE = re.compile(
    r'  \{\n   "key_id": "([0-9a-f]{16})",\n   "signed": "(' + _TIME + r')",\n   "expires": (null|"' + _TIME + r'"),\n'
    r'   "signature": "([A-Za-z0-9+/]{86}==)"\n  \}',
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as the sidecar holds it.

    ``key_id`` has 16 hex digits, ``value`` the 64 bytes of an Ed25519 signature. Times are UTC, to the second;
    ``expires`` is None for never.
    """

    key_id: str
    signed: datetime
    expires: datetime | None
    value: bytes

    def statement(self) -> dict[str, str | None]:
        """What the signature says and covers of itself, as JSON has it."""
        return {
            "key_id": self.key_id,
            "signed": time_text(self.signed),
            "expires": None if self.expires is None else time_text(self.expires),
        }

    def members(self) -> dict[str, str | None]:
        """The whole signature, as JSON has it."""
        return self.statement() | {"signature": b2a_base64(self.value, newline=False).decode()}


def time_text(time: datetime) -> str:
    """A UTC time as the sidecar spells it: ``2026-01-31T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def split(data: bytes) -> tuple[bytes, tuple[Signature, ...]]:
    """The blank sidecar without signatures, and the signatures, of a sidecar with a fitting digest."""
    body = data[: -len(digest_member())]
    start = body.rfind(_SIGNATURES_BEGIN)
    if start != -1:
        signatures = _read_signatures(body[start:])
        if signatures and body[start:] == _spelled(signatures):
            return body[:start] + b",\n " + digest_member(), signatures
    return body + digest_member(), ()


def check_signatures(data: bytes, document: dict[str, Any]) -> None:
    """Raise ``ArtifactError`` where the parsed ``document`` has signatures that are not spelled as they must be.

    What a JSON parser reads and what :func:`split` cuts out are the same afterwards.
    """
    _, signatures = split(data)
    found = [signature.members() for signature in signatures]
    if found != document.get(SIGNATURES_KEY, []) or bool(found) != (SIGNATURES_KEY in document):
        raise ArtifactError("sidecar: signatures are not spelled as ev-qa writes them: remove them or sign again")
    if len({signature.key_id for signature in signatures}) != len(signatures):
        raise ArtifactError("sidecar: signatures: a key stands there twice")


def with_signatures(data: bytes, signatures: tuple[Signature, ...]) -> bytes:
    """The sidecar ``data`` with these signatures in place of its own, if it had any.

    Raises ``ArtifactError`` for a sidecar that was spelled by something else.
    """
    blank, _ = split(data)
    end = b",\n " + digest_member()
    if not blank.endswith(end):
        raise ArtifactError("sidecar: not spelled as ev-qa writes it, so it cannot be signed: save the model again")
    if signatures:
        blank = blank[: -len(end)] + _spelled(signatures) + digest_member()
    return sealed(blank)


def _spelled(signatures: tuple[Signature, ...]) -> bytes:
    """The member as it stands in the file, from the comma before it to the blank before the digest's key."""
    spelled = json.dumps({SIGNATURES_KEY: [signature.members() for signature in signatures]}, indent=1)
    return f",{spelled[1:-2]},\n ".encode()


def _read_signatures(text: bytes) -> tuple[Signature, ...]:
    """Every signature in ``text``; whether anything else stands there too is for :func:`split` to see."""
    found = []
    for key_id, signed, expires, value in _SIGNATURE.findall(text.decode("utf-8", "replace")):
        try:
            until = None if expires == "null" else datetime.fromisoformat(expires.strip('"'))
            found.append(Signature(key_id, datetime.fromisoformat(signed), until, a2b_base64(value)))
        except ValueError:  # the 30th of February
            return ()
    return tuple(found)
