"""Signing models with Ed25519, and the keys for that. ``cryptography`` does the mathematics.

Invariants:

* a private key lies in a file that only its owner can read, and no file is ever overwritten by a new key;
* only a whole model is signed: every file the sidecar lists matches it, and the golden rows come out right;
* signing changes the sidecar alone, by one rename, and keeps the signatures of other keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ev_qa_framework.commit import make_folder, named, rewrite_sidecar, sync_folder
from ev_qa_framework.registry.destination import destination, unpublished
from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import SUFFIXES, read_artifact, read_contract
from ev_qa_runtime.detector import Detector
from ev_qa_runtime.errors import ArtifactError, ConfigurationError, SignatureError
from ev_qa_runtime.signature import PublicKey, message
from ev_qa_runtime.signature_member import SIGNATURE_BYTES, Signature, split, with_signatures
from ev_qa_runtime.trust import LARGEST_KEY_FILE, NO_DEMANDS

PRIVATE_SUFFIX, PUBLIC_SUFFIX = ".key", ".pub"

Expiry: TypeAlias = datetime | date | str | None
"""When a signature ends: a time with its zone, a date (its first moment, UTC), either as ISO 8601 text, or never."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 private key."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(self.private.public_key().public_bytes_raw())

    @property
    def key_id(self) -> str:
        """The public key's id."""
        return self.public.key_id


KeyToSignWith: TypeAlias = SigningKey | Ed25519PrivateKey | str | os.PathLike[str]
"""A private key, or the path of its PEM file."""


def generate_key(output: str | os.PathLike[str], passphrase: str | None = None) -> SigningKey:
    """Make a key; ``OUTPUT.key`` gets the private one (mode 0600), ``OUTPUT.pub`` the public one. Makes the folder.

    With a ``passphrase`` the private file is encrypted. Raises ``FileExistsError`` where either file is there.
    """
    key = SigningKey(Ed25519PrivateKey.generate())
    stem = os.fspath(output).removesuffix(PRIVATE_SUFFIX).removesuffix(PUBLIC_SUFFIX)
    private, public = Path(stem + PRIVATE_SUFFIX), Path(stem + PUBLIC_SUFFIX)
    make_folder(private.parent)
    written: list[Path] = []
    try:
        for path, data, mode in ((private, _private_pem(key, passphrase), 0o600), (public, _public_pem(key), 0o644)):
            descriptor = _created(path, mode)
            written.append(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(private.parent)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return key


def read_private_key(source: KeyToSignWith, passphrase: str | None = None) -> SigningKey:
    """The key itself, or the one in the PEM file at that path.

    Raises ``ConfigurationError`` where the file holds something else, or does not open with ``passphrase``.
    """
    if isinstance(source, SigningKey):
        return source
    if isinstance(source, Ed25519PrivateKey):
        return SigningKey(source)
    path = Path(source)
    with path.open("rb") as file:
        data = file.read(LARGEST_KEY_FILE)
    try:
        private = serialization.load_pem_private_key(data, None if passphrase is None else passphrase.encode())
    except TypeError:  # how cryptography says that one of key and passphrase is there without the other
        if passphrase is not None:
            raise ConfigurationError(f"{path}: it has no passphrase, but one was given") from None
        raise ConfigurationError(
            f"{path}: it needs its passphrase: name the variable that holds it with --passphrase-env (in Python:"
            " read_private_key(path, passphrase))"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        wrong = "" if passphrase is None else ", or its passphrase is another"
        raise ConfigurationError(f"{path}: this is not an Ed25519 private key in PEM form{wrong}")
    return SigningKey(private)


def is_encrypted(path: str | os.PathLike[str]) -> bool:
    """Whether the PEM file at ``path`` asks for a passphrase."""
    with Path(path).open("rb") as file:
        return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in file.read(LARGEST_KEY_FILE)


def sign_model(
    path: str | os.PathLike[str], key: KeyToSignWith, *, expires: Expiry = None, replace_own: bool = False
) -> Signature:
    """Sign the model at ``path`` where it lies, and return the signature.

    Signatures of other keys stay; one of the same key is only replaced with ``replace_own``. Raises
    ``ArtifactError`` where the model is not whole, ``ModelNotFoundError`` where one of its files is missing,
    ``RegistryError`` where it is published, ``ConfigurationError`` for a key or an expiry that will not do and for a
    reference into a registry.
    """
    signing_key = read_private_key(key)
    until = expiry(expires)
    paths = destination(path)
    made: list[Signature] = []

    def signed(data: bytes) -> bytes:
        _check_whole(path, data)
        result, signature = signed_sidecar(data, signing_key, datetime.now(UTC), until, replace_own=replace_own)
        made.append(signature)
        return result

    with named(os.fspath(path)):
        read_contract(path)  # a missing or damaged model is named before its folder is locked
        with unpublished(paths):
            rewrite_sidecar(paths, signed)
    return made[0]


def sealing(key: KeyToSignWith, expires: Expiry) -> tuple[Callable[[bytes], bytes], tuple[str, ...]]:
    """A function that signs a sidecar's bytes when it is called, and the id of the key in a tuple."""
    signing_key, until = read_private_key(key), expiry(expires)

    def seal(data: bytes) -> bytes:
        return signed_sidecar(data, signing_key, datetime.now(UTC), until)[0]

    return seal, (signing_key.key_id,)


def signed_sidecar(
    data: bytes, key: SigningKey, now: datetime, expires: datetime | None = None, *, replace_own: bool = False
) -> tuple[bytes, Signature]:
    """The sidecar ``data`` with a signature of ``key`` dated ``now``, and that signature.

    Raises ``ConfigurationError`` for an expiry that is not after ``now``, ``SignatureError`` where the key has signed
    already and ``replace_own`` is False.
    """
    now = now.astimezone(UTC).replace(microsecond=0)
    if expires is not None and expires <= now:
        raise ConfigurationError(f"the signature would expire at {expires:%Y-%m-%d %H:%M:%S} UTC, which has passed")
    blank, present = split(data)
    others = tuple(signature for signature in present if signature.key_id != key.key_id)
    if len(others) < len(present) and not replace_own:
        raise SignatureError(f"key {key.key_id} has signed this model already: use --replace to sign it anew")
    unsigned = Signature(key.key_id, now, expires, bytes(SIGNATURE_BYTES))
    signature = replace(unsigned, value=key.private.sign(message(unsigned, blank)))
    return with_signatures(data, (*others, signature)), signature


def expiry(given: Expiry) -> datetime | None:
    """``given`` in UTC, to the second; ``ConfigurationError`` where it is no time, or one without a zone."""
    if isinstance(given, str):
        try:
            given = date.fromisoformat(given) if len(given) <= len("2027-01-31") else datetime.fromisoformat(given)
        except ValueError:
            raise ConfigurationError(f"{given!r} is no date or time such as 2027-01-31 or 2027-01-31T12:00Z") from None
    if given is not None and not isinstance(given, datetime):
        given = datetime.combine(given, time(), UTC)
    if given is None:
        return None
    if given.tzinfo is None:
        raise ConfigurationError(f"the expiry {given} has no time zone: append Z for UTC")
    return given.astimezone(UTC).replace(microsecond=0)


def _check_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Raise where the model's files are not what its sidecar ``data`` says, or it scores differently than it did."""
    contract = sidecar.decode(data)
    listed = tuple(suffix for suffix in contract.files if f".{suffix}" in SUFFIXES)
    artifact = read_artifact(path, wanted=listed, policy=NO_DEMANDS)
    if artifact.contract != contract:
        raise ArtifactError(f"{artifact.paths}: the model changed while it was being signed: sign it again")
    Detector(artifact)


def _private_pem(key: SigningKey, passphrase: str | None) -> bytes:
    if passphrase == "":
        raise ConfigurationError("the passphrase is empty")
    protection = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode())
    )
    return key.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def _public_pem(key: SigningKey) -> bytes:
    return key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _created(path: Path, mode: int) -> int:
    """A descriptor of the new file ``path``; ``FileExistsError`` where it is there."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise FileExistsError(f"{path} exists already: choose another name, a key is never overwritten") from None
