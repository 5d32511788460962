"""Ed25519 signatures over a sidecar: who signed a model, and do they verify. ``cryptography`` does the mathematics.

Invariants:

* a signature covers every byte of the blank sidecar (:mod:`ev_qa_runtime.signature_member`), and with it the digests of
  the other files; and its own key id and times;
* ``cryptography`` is imported when a key is read or a signature is checked, never before.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from ev_qa_runtime.errors import ConfigurationError, SignatureError
from ev_qa_runtime.signature_member import Signature, split, time_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the future a signature may be dated: two machines' clocks are never quite the same."""

_CONTEXT = b"ev-qa-model-signature-v1\n"
_RAW_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key, its 32 raw bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _RAW_BYTES:
            raise ConfigurationError(f"an Ed25519 public key must be {_RAW_BYTES} bytes, not {len(self.raw)}")

    @classmethod
    def from_pem(cls, data: bytes, where: str = "public key") -> PublicKey:
        """The one key in a PEM file (``-----BEGIN PUBLIC KEY-----``); errors begin with ``where``.

        Raises ``ConfigurationError`` where ``data`` is anything else, ``SignatureError`` without ``cryptography``.
        """
        key_type = _key_type()
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - with a key only
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - the same

        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, key_type) or data.count(b"-----BEGIN ") != 1:
            raise ConfigurationError(f"{where}: this is not one Ed25519 public key in PEM form")
        return cls(key.public_bytes_raw())

    @classmethod
    def of(cls, key: object, where: str = "public key") -> PublicKey:
        """A key of ``cryptography``'s type, ``Ed25519PublicKey``; ``ConfigurationError`` for anything else."""
        if not isinstance(key, _key_type()):
            raise ConfigurationError(f"{where}: a {type(key).__name__} is no public key: give a path, PEM or a key")
        return cls(key.public_bytes_raw())

    @property
    def key_id(self) -> str:
        """The first 16 hex digits of the key's SHA-256: what a signature names it by."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def verifies(self, value: bytes, message: bytes) -> bool:
        """Whether ``value`` is this key's signature of ``message``."""
        key_type = _key_type()
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - with a key only

        try:
            key_type.from_public_bytes(self.raw).verify(value, message)
        except InvalidSignature:
            return False
        return True


class SignatureState(StrEnum):
    """What there is to say of one signature, given the keys that are trusted."""

    VALID = "valid"
    UNKNOWN_KEY = "unknown key"
    FORGED = "does not verify"
    EXPIRED = "expired"
    FROM_THE_FUTURE = "dated in the future"


def message(signature: Signature, blank: bytes) -> bytes:
    """The bytes that are signed; ``signature.value`` is not among them."""
    statement = json.dumps(signature.statement(), separators=(",", ":"))
    return _CONTEXT + statement.encode() + b"\n" + blank


def state_of(signature: Signature, blank: bytes, keys: tuple[PublicKey, ...], now: datetime) -> SignatureState:
    """Check one signature of the sidecar ``blank`` at the time ``now``."""
    candidates = [key for key in keys if key.key_id == signature.key_id]
    if not candidates:
        return SignatureState.UNKNOWN_KEY
    if not any(key.verifies(signature.value, message(signature, blank)) for key in candidates):
        return SignatureState.FORGED
    if signature.expires is not None and signature.expires <= now:
        return SignatureState.EXPIRED
    return SignatureState.FROM_THE_FUTURE if signature.signed > now + CLOCK_SKEW else SignatureState.VALID


def signers(data: bytes, keys: tuple[PublicKey, ...], now: datetime) -> tuple[str, ...]:
    """The ids of the ``keys`` that signed the sidecar ``data`` with a signature that is valid at the time ``now``.

    ``data`` has been decoded. Raises ``SignatureError`` where a signature under one of the keys does not verify, or
    where those that do have all expired or are dated in the future.
    """
    blank, signatures = split(data)
    states = {signature: state_of(signature, blank, keys, now) for signature in signatures}
    valid = tuple(signature.key_id for signature, state in states.items() if state is SignatureState.VALID)
    for signature, state in states.items():
        if state is SignatureState.FORGED or not valid:
            _refuse(signature, state)
    return valid


def _refuse(signature: Signature, state: SignatureState) -> None:
    who = f"the signature by key {signature.key_id}"
    if state is SignatureState.FORGED:
        raise SignatureError(
            f"{who} does not verify: the sidecar was changed after it was signed, or the signature is another"
            " model's; take the model from its source again"
        )
    if state is SignatureState.EXPIRED and signature.expires is not None:
        raise SignatureError(f"{who} expired at {time_text(signature.expires)}: take a model that was signed anew")
    if state is SignatureState.FROM_THE_FUTURE:
        raise SignatureError(f"{who} is dated {time_text(signature.signed)}, in the future: set this machine's clock")


def _key_type() -> type[Ed25519PublicKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - with a key only
    except ImportError:
        raise SignatureError(
            "signatures are checked with the package cryptography, which is not installed: pip install cryptography"
        ) from None
    return Ed25519PublicKey
