"""Finding and reading the files of a model: ``NAME.json``, ``NAME.onnx`` and, on the training side, ``NAME.joblib``.

Invariants:

* suffixes are appended to a stem, never substituted: ``baseline_v2.0`` is a whole stem;
* file names come from the path asked for, never from the sidecar; links are followed, since it is bytes that are
  verified, and only regular files are read;
* bytes leave this module only after their size and SHA-256 matched the sidecar, and the sidecar the trust policy;
* while a model is being replaced, readers get the old one or the new one, whole: a payload that no longer matches
  the sidecar read a moment ago is looked for under its set-aside name, then the sidecar is read again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from ev_qa_runtime import sidecar
from ev_qa_runtime.contract import FileDigest, ModelContract
from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError

if TYPE_CHECKING:
    from ev_qa_runtime.trust import TrustPolicy

SUFFIXES = (".joblib", ".onnx", ".json")
_Result = TypeVar("_Result")


_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """Largest files that are read at all, in bytes."""

    sidecar: int = 16 * 2**20
    payload: int = 2**30


LIMITS = ArtifactLimits()


@dataclass(frozen=True, slots=True)
class ArtifactPaths:
    """Where the files of one model lie: ``folder/name`` plus a suffix each."""

    folder: Path
    name: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> ArtifactPaths:
        """The model that ``path`` names, with or without one of the three suffixes.

        Raises ``ValueError`` where the path has no file name.
        """
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError(f"a model path must be text or a Path, not {type(path).__name__}")
        folder, name = os.path.split(text)
        for suffix in SUFFIXES:
            if name.endswith(suffix):
                name = name[: -len(suffix)]
                break
        if name in ("", ".", "..") or "\0" in text:
            raise ValueError(f"{text!r} does not name a model: expected a path such as models/baseline_v2.0")
        return cls(Path(folder), name)

    @property
    def sidecar(self) -> Path:
        """The JSON sidecar, the artifact's commit point."""
        return self.file("json")

    def file(self, suffix: str) -> Path:
        """The file with ``suffix`` (without dot)."""
        return self.folder / f"{self.name}.{suffix}"

    def aside(self, suffix: str, sha256: str) -> Path:
        """Where a payload with that digest waits while a model is being replaced."""
        return self.folder / f".{self.name}.{suffix}.{sha256[:16]}"

    def __str__(self) -> str:
        return str(self.folder / self.name)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified model: its contract, the payload bytes by suffix without dot, and the ids of the keys that signed.

    ``sidecar_sha256`` is of the sidecar's bytes, hexadecimal: what a registry's history knows a model by.
    """

    paths: ArtifactPaths
    contract: ModelContract
    payloads: dict[str, bytes]
    signed_by: tuple[str, ...] = ()
    sidecar_sha256: str = ""


def read_contract(path: str | os.PathLike[str]) -> ModelContract:
    """The sidecar's contract alone, its digest verified, its signatures not; no payload is read."""
    return read_sidecar(path)[1]


def read_referenced(path: str | os.PathLike[str], read: Callable[[str | os.PathLike[str]], _Result]) -> _Result:
    """``read(path)``; a reference such as ``artifacts@champion`` is replaced by the path it leads to.

    Raises what ``read`` raises, and ``ModelNotFoundError`` or ``ArtifactError`` for a reference that leads nowhere.
    """
    if "@" not in str(path):
        return read(path)
    from ev_qa_runtime.registry_reference import read_resolved  # noqa: PLC0415 - paths need none of it

    return read_resolved(path, read)


def read_sidecar(path: str | os.PathLike[str]) -> tuple[bytes, ModelContract]:
    """The sidecar's bytes and contract, its digest verified, its signatures not."""
    return read_referenced(path, lambda where: _read_sidecar(ArtifactPaths.of(where)))


def _read_sidecar(paths: ArtifactPaths) -> tuple[bytes, ModelContract]:
    with _opened_sidecar(paths) as file:
        data, contract, _ = _trusted(paths, file, None)
    return data, contract


def read_artifact(
    path: str | os.PathLike[str],
    wanted: tuple[str, ...] = ("onnx",),
    optional: tuple[str, ...] = (),
    policy: TrustPolicy | None = None,
) -> Artifact:
    """Read and verify the model at ``path``, which may be a reference into a registry.

    ``wanted`` and ``optional`` are suffixes of payloads without dot; an optional one may be absent on disk.
    ``policy`` says which models are trusted; None stands for the environment's.
    Raises ``ModelNotFoundError`` (a ``FileNotFoundError``) where a file is missing, ``ArtifactError`` where one is
    not what the sidecar says, ``SignatureError`` or ``IncompatibleModelError`` where the policy refuses the sidecar.
    """
    trust = _policy_of_environment() if policy is None else policy
    return read_referenced(path, lambda where: _read_artifact(ArtifactPaths.of(where), wanted, optional, trust))


def _read_artifact(
    paths: ArtifactPaths, wanted: tuple[str, ...], optional: tuple[str, ...], policy: TrustPolicy | None
) -> Artifact:
    faults = 0
    while True:
        with _opened_sidecar(paths) as file:
            data, contract, signed_by = _trusted(paths, file, policy)
            try:
                payloads = {suffix: _payload(paths, contract, suffix) for suffix in wanted}
                for suffix in optional:
                    if suffix in contract.files and paths.file(suffix).exists():
                        payloads[suffix] = _payload(paths, contract, suffix)
                return Artifact(paths, contract, payloads, signed_by, hashlib.sha256(data).hexdigest())
            except (IntegrityError, ModelNotFoundError):
                faults = faults + 1 if _is_still_there(paths.sidecar, file) else 0
                if faults == 2:  # twice with nobody replacing the model meanwhile: the fault is real
                    raise


def _opened_sidecar(paths: ArtifactPaths) -> BinaryIO:
    try:
        return _opened(paths.sidecar)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFoundError(_what_is_missing(paths)) from None


def _opened(path: Path) -> BinaryIO:
    """The file at ``path``, links followed. A pipe or a device is refused: it could keep a reader waiting for ever."""
    if stat.S_ISREG(path.stat().st_mode):
        file = os.fdopen(os.open(path, _READING), "rb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it may have been replaced since
            return file
        file.close()
    raise ArtifactError(f"{path}: it is a folder, a pipe or a device, not a regular file")


def _is_still_there(path: Path, file: BinaryIO) -> bool:
    """Whether ``path`` still names the open ``file``; equal bytes would not tell, models can be swapped and back."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _policy_of_environment() -> TrustPolicy | None:
    if not any(name.startswith("EV_QA_") for name in os.environ):
        return None
    from ev_qa_runtime.trust import TrustPolicy  # noqa: PLC0415 - only where something may be demanded

    return TrustPolicy.of()


def _trusted(
    paths: ArtifactPaths, file: BinaryIO, policy: TrustPolicy | None
) -> tuple[bytes, ModelContract, tuple[str, ...]]:
    """The sidecar's bytes, their contract, and which trusted keys signed them; without policy nothing is asked."""
    data = _read_limited(file, paths.sidecar, LIMITS.sidecar)
    try:
        contract = sidecar.decode(data)
        return data, contract, policy.check(data, contract.version) if policy else ()
    except ArtifactError as error:
        raise type(error)(f"{paths.sidecar}: {error}") from None


def _what_is_missing(paths: ArtifactPaths) -> str:
    there = [path.name for suffix in SUFFIXES if (path := paths.file(suffix[1:])).exists()]
    if there:
        return f"Model file not found: {paths.sidecar} (the sidecar is missing beside {', '.join(there)})"
    return f"Model file not found: {paths} (no {paths.name}.json in {paths.folder.absolute()})"


def _payload(paths: ArtifactPaths, contract: ModelContract, suffix: str) -> bytes:
    expected = contract.files.get(suffix)
    if expected is None:
        raise ArtifactError(f"{paths.sidecar}: the sidecar lists no .{suffix} file")
    path = paths.file(suffix)
    if not path.exists():
        raise ModelNotFoundError(f"Model file not found: {path} (its sidecar is there; copy the .{suffix} file too)")
    aside = paths.aside(suffix, expected.sha256)
    for candidate in (path, aside):
        try:
            return _verified(candidate, expected)
        except (IntegrityError, FileNotFoundError):
            if candidate is aside or not aside.exists():
                break
    raise IntegrityError(
        f"{path}: its bytes are not the ones {paths.sidecar.name} vouches for (corrupted, truncated or replaced);"
        " restore the file or save the model again"
    )


def _verified(path: Path, expected: FileDigest) -> bytes:
    if expected.bytes > LIMITS.payload:
        raise ArtifactError(f"{path}: {expected.bytes} bytes are more than the limit of {LIMITS.payload}")
    with _opened(path) as file:
        if os.fstat(file.fileno()).st_size != expected.bytes:  # no memory for a size that a sidecar only claims
            raise IntegrityError(f"{path}: size or SHA-256 differs")
        data = _read_limited(file, path, expected.bytes)
    if len(data) != expected.bytes or hashlib.sha256(data).hexdigest() != expected.sha256:
        raise IntegrityError(f"{path}: size or SHA-256 differs")
    return data


def _read_limited(file: BinaryIO, path: Path, limit: int) -> bytes:
    try:
        data = file.read(limit + 1)
    except OSError as error:  # a disk that cannot read its block; the system names no path
        raise OSError(error.errno, error.strerror, str(path)) from None
    if len(data) > limit:
        raise IntegrityError(f"{path}: larger than {limit} bytes, which is more than it may be")
    return data
