"""References wherever a path is taken: the runtime's for local folders, and any store that fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from ev_qa_runtime import registry_reference
from ev_qa_runtime.registry_reference import REGISTRY, Place, Reference, misspelt, read_again_if_moved

if TYPE_CHECKING:
    from ev_qa_framework.registry.store import Store
    from ev_qa_runtime.trust import TrustPolicy

_Result = TypeVar("_Result")


def read_resolved(path: str | os.PathLike[str], read: Callable[[str | os.PathLike[str]], _Result]) -> _Result:
    """``read(path)``, where a reference is replaced by the path it leads to.

    A model in another store than a local folder is copied into a temporary folder, which is gone afterwards. Raises
    what ``read`` raises, ``ModelNotFoundError`` for a reference that leads nowhere, ``OSError`` where the store
    cannot be reached, and ``ArtifactError`` for files that do not match their digests.
    """
    text = os.fspath(path)
    root, _, selector = text.rpartition("@") if isinstance(text, str) else ("", "", "")
    if "://" not in root:
        return registry_reference.read_resolved(path, read)
    from ev_qa_framework.registry.store import open_store  # noqa: PLC0415 - plain paths need no other store

    reference = Reference.of(text)
    if reference is None and "/" in selector:  # credentials in an URL, say
        return read(path)
    store = open_store(root)
    if not store.names(REGISTRY):
        return read(path)
    if reference is None:
        raise misspelt(root, selector)
    with TemporaryDirectory() as folder:
        return read_again_if_moved(store, reference.selector, lambda place: read(fetched(store, place, folder)))


def fetched(
    store: Store,
    place: Place,
    folder: str | os.PathLike[str],
    suffixes: tuple[str, ...] = (),
    policy: TrustPolicy | None = None,
) -> Path:
    """Copy the model at ``place`` into a local ``folder``, verified, and give its path there without suffix.

    ``suffixes`` picks payloads, all by default. Nothing is written where the same files are there. ``policy`` says
    which models are trusted; None leaves that to whoever loads the copy. Raises ``FileExistsError`` where other files
    are there under that name, ``SignatureError`` or ``IncompatibleModelError`` where the policy refuses.
    """
    from ev_qa_framework.registry.model_files import read_model  # noqa: PLC0415 - plain paths need no onnxruntime
    from ev_qa_framework.registry.store import LocalStore  # noqa: PLC0415

    files = read_model(store, place.location, place.model)
    if policy is not None:
        files.refuse_untrusted(policy, f"{store.root}/{place.location}/{place.model}.json")
    payloads = {suffix: data for suffix, data in files.payloads.items() if not suffixes or suffix in suffixes}
    LocalStore(os.fspath(folder)).add_model(".", place.model, payloads, files.sidecar)
    return Path(folder) / place.model
