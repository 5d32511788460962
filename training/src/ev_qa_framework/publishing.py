"""Publishing a trained model under the name and version that a registry asks for."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ev_qa_framework.analysis import EVBatteryAnalyzer
from ev_qa_framework.registry.event import Event
from ev_qa_framework.registry.model_files import ModelFiles, read_path
from ev_qa_framework.registry.registry import Registry, refuse_no_version
from ev_qa_framework.registry.resolution import read_resolved
from ev_qa_framework.registry.store import LocalStore
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import RegistryError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.registry_event import is_family
from ev_qa_runtime.signature_member import split

if TYPE_CHECKING:
    from ev_qa_framework.signing import KeyToSignWith


def publish_model(
    registry: Registry,
    model: str | os.PathLike[str],
    *,
    family: str | None = None,
    version: str | ModelVersion | None = None,
    follow: bool = False,
    to: str = "experiments",
    reason: str = "",
    sign_with: KeyToSignWith | None = None,
) -> Event:
    """Publish the model at ``model`` (a path or a reference) as FAMILY_vX.Y.Z and give the event.

    ``family`` and ``version`` default to the model's own; ``follow`` takes the version that the rule gives after the
    highest published one. A model that has that name and version already is copied byte for byte. Another is saved
    again under the new name, which loses a signature: such a model needs ``sign_with``.

    Raises ``AlreadyPublishedError`` for a version that was published before, ``RegistryError`` where the version rule,
    or the model's name, refuses, and whatever loading and saving raise.
    """
    files = read_resolved(model, read_path)
    contract = files.contract
    family = _family_of(contract) if family is None else family
    if not is_family(family):
        raise RegistryError(f"{family!r:.120} cannot name a family: letters, digits and _.+- only, no version")
    if not follow:
        wanted = contract.version if version is None else _version(version)
        if version is not None:
            refuse_no_version(f"{family}_v{wanted}", wanted)
        return _publish(registry, model, files, family, wanted, to, reason, sign_with)
    if version is not None:
        raise RegistryError("either a version is given, or it follows by rule, not both")
    wanted = registry.next_version(family, contract)
    while True:
        try:
            return _publish(registry, model, files, family, wanted, to, reason, sign_with)
        except FileExistsError:
            following = registry.next_version(family, contract)
            if following == wanted:
                raise
            wanted = following  # another writer took that version meanwhile


def _version(given: str | ModelVersion) -> ModelVersion:
    """``given`` as a version; ``RegistryError`` where it is none."""
    try:
        return given if isinstance(given, ModelVersion) else ModelVersion.parse(given)
    except ValueError as error:
        raise RegistryError(f"the version that was given will not do: {error}") from None


def _family_of(contract: ModelContract) -> str:
    """The family that a model's own name gives: without its version, if it ends in one."""
    name = contract.name
    ending = ModelVersion.from_name(name)
    return name if ending is None else name[: name.rindex("v") - 1]


def _publish(
    registry: Registry,
    model: str | os.PathLike[str],
    files: ModelFiles,
    family: str,
    version: ModelVersion,
    to: str,
    reason: str,
    sign_with: KeyToSignWith | None,
) -> Event:
    names = [f"{family}_v{version}"]
    if version.patch == 0:
        names.append(f"{family}_v{version.major}.{version.minor}")
    if files.contract.version == version and files.contract.name in names and sign_with is None:
        return registry.publish(files.contract.name, files, to=to, reason=reason)
    if version == ModelVersion():
        raise RegistryError(f"{os.fspath(model)} has no version: give one, or let it follow by rule (--next)")
    if split(files.sidecar)[1] and sign_with is None:
        raise RegistryError(
            f"{os.fspath(model)} is signed as {files.contract.name}, version {files.contract.version}; under another"
            " name it must be signed again: give a key (--sign-with), or publish it under its own"
        )
    with TemporaryDirectory() as folder:
        saved = Path(folder) / names[0]
        _save_again(files, saved, version, sign_with)
        return registry.publish(names[0], read_path(saved), to=to, reason=reason)


def _save_again(files: ModelFiles, path: Path, version: ModelVersion, sign_with: KeyToSignWith | None) -> None:
    """The same model under another name and version; its metadata are kept, but for their ``version``."""
    LocalStore(os.fspath(path.parent)).add_model("given", "model", files.payloads, files.sidecar)
    EVBatteryAnalyzer.load_model(path.parent / "given" / "model").save_model(
        path,
        metadata=files.contract.metadata | {"version": str(version)},
        profile=files.contract.onnx.profile,
        sign_with=sign_with,
    )
