"""A model's files, in a store or at a path: read and verified, copied, removed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from ev_qa_framework.registry.store import PAYLOADS, SUFFIXES, Store
from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import LIMITS, ArtifactPaths, read_artifact
from ev_qa_runtime.contract import FileDigest, ModelContract
from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError, RegistryError
from ev_qa_runtime.registry_event import ModelName
from ev_qa_runtime.session import ScoringSession
from ev_qa_runtime.trust import TrustPolicy


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Verified bytes of one model: payloads by suffix without dot, and the sidecar they match."""

    contract: ModelContract
    sidecar: bytes
    payloads: dict[str, bytes]

    @property
    def digests(self) -> dict[str, FileDigest]:
        """Size and SHA-256 of every file that is there."""
        return {suffix: digest_of(data) for suffix, data in {"json": self.sidecar, **self.payloads}.items()}

    def refuse_other_name(self, model: ModelName) -> None:
        """Raise ``RegistryError`` where the sidecar is that of a model of another name or version."""
        contract = self.contract
        if (contract.name, contract.version) != (model.text, model.version):
            raise RegistryError(
                f"the model calls itself {contract.name}, version {contract.version}, not {model.text}:"
                " save it under that name, or publish it with --name"
            )

    def refuse_untrusted(self, policy: TrustPolicy, where: str) -> None:
        """Raise ``SignatureError`` or ``IncompatibleModelError`` with ``where`` where ``policy`` refuses the model."""
        try:
            policy.check(self.sidecar, self.contract.version)
        except ArtifactError as error:
            raise type(error)(f"{where}: {error}") from None

    def self_test(self) -> None:
        """Score the golden rows; ``ArtifactError`` where the model cannot be used here or scores otherwise."""
        ScoringSession(self.payloads["onnx"], self.contract).self_test(self.contract)


def read_path(path: str | os.PathLike[str]) -> ModelFiles:
    """The model's files at a path, verified, with the sidecar's own bytes; raises as ``read_artifact`` does."""
    paths = ArtifactPaths.of(path)
    while True:
        artifact = read_artifact(path, wanted=("onnx",), optional=("joblib",))
        data = paths.sidecar.read_bytes()
        if sidecar.decode(data) == artifact.contract:  # else it was replaced between the two
            return ModelFiles(artifact.contract, data, artifact.payloads)


def digest_of(data: bytes) -> FileDigest:
    """Size and SHA-256 of a file's bytes."""
    return FileDigest(len(data), hashlib.sha256(data).hexdigest())


def read_sidecar(store: Store, location: str, name: str) -> tuple[bytes, ModelContract]:
    """The sidecar's bytes and contract; ``ModelNotFoundError`` or ``ArtifactError`` with the path."""
    path = f"{location}/{name}.json"
    data = store.read(path, LIMITS.sidecar)
    if data is None:
        raise ModelNotFoundError(f"Model file not found: {store.root}/{path}")
    try:
        return data, sidecar.decode(data)
    except ArtifactError as error:
        raise type(error)(f"{store.root}/{path}: {error}") from None


def read_model(store: Store, location: str, name: str) -> ModelFiles:
    """A model's files, each compared with the sidecar's digest; only the .joblib may be missing."""
    data, contract = read_sidecar(store, location, name)
    payloads = {}
    for suffix in PAYLOADS:
        expected = contract.files.get(suffix)
        path = f"{location}/{name}.{suffix}"
        if expected is None:
            continue
        found = read_expected(store, path, expected, f"{name}.json")
        if found is None and suffix == "onnx":
            raise ModelNotFoundError(f"Model file not found: {store.root}/{path} (its sidecar is there)")
        if found is not None:
            payloads[suffix] = found
    if "onnx" not in payloads:
        raise ArtifactError(f"{store.root}/{location}/{name}.json: the sidecar lists no .onnx file")
    return ModelFiles(contract, data, payloads)


def read_expected(store: Store, path: str, expected: FileDigest, vouching: str) -> bytes | None:
    """The file's bytes, None where it is not there; ``IntegrityError`` where they are not the ``expected`` ones."""
    try:
        data = store.read(path, min(expected.bytes, LIMITS.payload))
    except IntegrityError:  # longer: that is no other fault
        data = b""
    if data is not None and digest_of(data) != expected:
        raise IntegrityError(f"{store.root}/{path}: its bytes are not the ones {vouching} vouches for")
    return data


def copy_model(store: Store, files: ModelFiles, location: str, name: str) -> None:
    """Make the same model in another folder; nothing where it is there already, byte for byte."""
    store.add_model(location, name, files.payloads, files.sidecar)


def remove_model(store: Store, location: str, name: str) -> None:
    """Remove a model's files from one folder, the sidecar first: without it they are no model."""
    for suffix in SUFFIXES:
        store.remove(f"{location}/{name}.{suffix}")
