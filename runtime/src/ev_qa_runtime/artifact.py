"""Finding and reading the files of a model: ``NAME.json``, ``NAME.onnx`` and, on the training side, ``NAME.joblib``.

Invariants:

* suffixes are appended to a stem, never substituted: ``baseline_v2.0`` is a whole stem;
* file names come from the path asked for, never from the sidecar;
* bytes leave this module only after their size and SHA-256 matched the sidecar;
* while a model is being replaced, readers get the old one or the new one, whole: a payload that no longer matches
  the sidecar read a moment ago is looked for under its set-aside name, then the sidecar is read again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ev_qa_runtime import sidecar
from ev_qa_runtime.contract import FileDigest, ModelContract
from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError

SUFFIXES = (".joblib", ".onnx", ".json")


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
    """A verified model: its contract, and the payload bytes by suffix without dot."""

    paths: ArtifactPaths
    contract: ModelContract
    payloads: dict[str, bytes]


def read_contract(path: str | os.PathLike[str]) -> ModelContract:
    """The sidecar's contract alone, itself verified; no payload is read."""
    paths = ArtifactPaths.of(path)
    with _opened_sidecar(paths) as file:
        return _decode(paths, file)


def read_artifact(
    path: str | os.PathLike[str], wanted: tuple[str, ...] = ("onnx",), optional: tuple[str, ...] = ()
) -> Artifact:
    """Read and verify a model.

    ``wanted`` and ``optional`` are suffixes of payloads without dot; an optional one may be absent on disk.
    Raises ``ModelNotFoundError`` (a ``FileNotFoundError``) where a file is missing, ``ArtifactError`` where one is
    not what the sidecar says.
    """
    paths = ArtifactPaths.of(path)
    faults = 0
    while True:
        with _opened_sidecar(paths) as file:
            contract = _decode(paths, file)
            try:
                payloads = {suffix: _payload(paths, contract, suffix) for suffix in wanted}
                for suffix in optional:
                    if suffix in contract.files and paths.file(suffix).exists():
                        payloads[suffix] = _payload(paths, contract, suffix)
                return Artifact(paths, contract, payloads)
            except (IntegrityError, ModelNotFoundError):
                faults = faults + 1 if _is_still_there(paths.sidecar, file) else 0
                if faults == 2:  # twice with nobody replacing the model meanwhile: the fault is real
                    raise


def _opened_sidecar(paths: ArtifactPaths) -> BinaryIO:
    try:
        return paths.sidecar.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFoundError(_what_is_missing(paths)) from None


def _is_still_there(path: Path, file: BinaryIO) -> bool:
    """Whether ``path`` still names the open ``file``; equal bytes would not tell, models can be swapped and back."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _decode(paths: ArtifactPaths, file: BinaryIO) -> ModelContract:
    data = _read_limited(file, paths.sidecar, LIMITS.sidecar)
    try:
        return sidecar.decode(data)
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
    with path.open("rb") as file:
        data = _read_limited(file, path, expected.bytes)
    if len(data) != expected.bytes or hashlib.sha256(data).hexdigest() != expected.sha256:
        raise IntegrityError(f"{path}: size or SHA-256 differs")
    return data


def _read_limited(file: BinaryIO, path: Path, limit: int) -> bytes:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError(f"{path}: larger than {limit} bytes, which is more than it may be")
    return data
