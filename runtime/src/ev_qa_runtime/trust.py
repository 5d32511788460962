"""Which models may be loaded: signed by whom, and how old at most. From arguments or the environment.

Invariants:

* a policy is made once for a load and never changes;
* it fails closed: a variable that is set must make sense, and a demand that cannot be checked is an error;
* without keys nothing of ``cryptography`` is imported, and without any demand not even this module: every
  millisecond counts when a gateway starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ev_qa_runtime.errors import ConfigurationError, IncompatibleModelError, SignatureError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.signature import PublicKey, signers
from ev_qa_runtime.signature_member import split

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KeySource: TypeAlias = "PublicKey | Ed25519PublicKey | bytes | str | os.PathLike[str]"
"""A key, its PEM bytes, or the path of a PEM file or of a folder of ``*.pub`` files."""
PublicKeys: TypeAlias = "KeySource | Iterable[KeySource]"

PUBLIC_KEYS_VARIABLE = "EV_QA_PUBLIC_KEYS"
REQUIRE_SIGNATURE_VARIABLE = "EV_QA_REQUIRE_SIGNATURE"
MINIMUM_VERSION_VARIABLE = "EV_QA_MINIMUM_VERSION"

LARGEST_KEY_FILE = 65_536
_ANSWERS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a model must show before its payloads are opened. Without arguments: nothing."""

    public_keys: tuple[PublicKey, ...] = ()
    require_signature: bool = False
    minimum_version: ModelVersion | None = None

    def __post_init__(self) -> None:
        if self.require_signature and not self.public_keys:
            raise SignatureError(
                "a signature is demanded, but no public key is given to check it with: give public_keys"
                f" (--public-key) or set {PUBLIC_KEYS_VARIABLE}"
            )

    @classmethod
    def of(
        cls,
        public_keys: PublicKeys | None = None,
        require_signature: bool | None = None,
        minimum_version: str | ModelVersion | None = None,
    ) -> TrustPolicy:
        """The policy of the arguments; one that is None comes from the environment.

        EV_QA_PUBLIC_KEYS holds paths as PATH does, EV_QA_REQUIRE_SIGNATURE 1, true, yes or 0, false, no, and
        EV_QA_MINIMUM_VERSION a version. With keys a signature is required unless that is explicitly False. Raises
        ``ConfigurationError`` for a value or a key that will not do, ``SignatureError`` where signatures are demanded
        and cannot be checked.
        """
        keys = _keys_from_environment() if public_keys is None else _keys(public_keys, "public_keys (--public-key)")
        required = _requirement_from_environment() if require_signature is None else require_signature
        if not isinstance(required, bool | None):
            raise ConfigurationError(f"require_signature must be True, False or None, not {required!r}")
        if required is None:
            required = public_keys is not None or bool(keys)  # an empty list is no way around the demand
        return cls(keys, required, _minimum(minimum_version))

    def check(self, data: bytes, version: ModelVersion) -> tuple[str, ...]:
        """The ids of the keys whose signatures of the sidecar ``data`` are valid now.

        ``data`` has been decoded; ``version`` is the one it states. Raises ``SignatureError`` where a signature is
        missing, does not verify, has expired or is dated in the future, ``IncompatibleModelError`` for a version
        below the minimum.
        """
        signed_by = signers(data, self.public_keys, datetime.now(UTC)) if self.public_keys else ()
        if self.require_signature and not signed_by:
            self._refuse_unsigned(data)
        if self.minimum_version is not None and version < self.minimum_version:
            raise IncompatibleModelError(
                f"the model has version {version}, at least {self.minimum_version} is demanded here: take a newer model"
            )
        return signed_by

    def _refuse_unsigned(self, data: bytes) -> None:
        _, signatures = split(data)
        if not signatures:
            raise SignatureError("the model is not signed, and a signature is demanded here: take a signed model")
        raise SignatureError(
            f"the model is signed by key {', '.join(one.key_id for one in signatures)}, which is not trusted here"
            f" ({', '.join(key.key_id for key in self.public_keys)}): take another model, or add the public key if you"
            " trust it"
        )


NO_DEMANDS = TrustPolicy()
"""For whoever handles models without using them, as signing does."""


def _requirement_from_environment() -> bool | None:
    text = os.environ.get(REQUIRE_SIGNATURE_VARIABLE)
    if text is None:
        return None
    if text.lower() not in _ANSWERS:
        raise ConfigurationError(f"{REQUIRE_SIGNATURE_VARIABLE} must be one of {', '.join(_ANSWERS)}, not {text!r}")
    return _ANSWERS[text.lower()]


def _minimum(given: str | ModelVersion | None) -> ModelVersion | None:
    where, version = "minimum_version (--minimum-version)", given
    if given is None:
        where, version = MINIMUM_VERSION_VARIABLE, os.environ.get(MINIMUM_VERSION_VARIABLE)
    if version is None or isinstance(version, ModelVersion):
        return version
    if not isinstance(version, str):
        raise ConfigurationError(f"{where} must be text such as '2.0.1', not {version!r}")
    try:
        return ModelVersion.parse(version)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _keys_from_environment() -> tuple[PublicKey, ...]:
    paths = os.environ.get(PUBLIC_KEYS_VARIABLE)
    return () if paths is None else _keys(paths.split(os.pathsep), PUBLIC_KEYS_VARIABLE)


def _keys(sources: PublicKeys, where: str) -> tuple[PublicKey, ...]:
    """Every key once, in the order given."""
    if isinstance(sources, (bytes, str)) or not isinstance(sources, Iterable):
        sources = [sources]
    return tuple(dict.fromkeys(key for source in sources for key in _keys_of(source, where)))


def _keys_of(source: KeySource, where: str) -> list[PublicKey]:
    if isinstance(source, PublicKey):
        return [source]
    if isinstance(source, bytes):
        return [PublicKey.from_pem(source, where)]
    if isinstance(source, (str, os.PathLike)):
        return [_key_in(path) for path in _key_files(source, where)]
    return [PublicKey.of(source, where)]


def _key_files(source: str | os.PathLike[str], where: str) -> list[Path]:
    path = Path(source)
    if not os.fspath(source) or not path.exists():
        raise ConfigurationError(f"{where}: there is no public key at {os.fspath(source)!r}: name a file or a folder")
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.pub"))
    if not files:
        raise ConfigurationError(f"{where}: the folder {path} holds no .pub file")
    return files


def _key_in(path: Path) -> PublicKey:
    with path.open("rb") as file:
        return PublicKey.from_pem(file.read(LARGEST_KEY_FILE), str(path))
