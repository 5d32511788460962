"""Where a model may be saved or signed: on a local path, and never over one that a registry's events know."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ev_qa_framework.registry.catalog import catalog_of
from ev_qa_framework.registry.journal import Journal
from ev_qa_framework.registry.store import LocalStore
from ev_qa_runtime.artifact import ArtifactPaths
from ev_qa_runtime.errors import ConfigurationError, RegistryError
from ev_qa_runtime.registry_event import EVENTS, LOCATIONS
from ev_qa_runtime.registry_reference import REGISTRY, Reference

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def destination(path: str | os.PathLike[str]) -> ArtifactPaths:
    """The files that a model is saved as at ``path``.

    Raises ``ConfigurationError`` for an URL or a reference into a registry, ``RegistryError`` where a registry's
    events know a model of that name there, and ``ValueError`` where the path has no file name.
    """
    paths = ArtifactPaths.of(path)
    refuse_elsewhere(path)
    root = _registry_of(paths)
    if root is not None:
        _refuse_published(LocalStore(str(root)), paths)
    return paths


def refuse_elsewhere(path: str | os.PathLike[str]) -> None:
    """Raise ``ConfigurationError`` where ``path`` is no local path to write to: an URL, or a reference."""
    text = os.fspath(path)
    if _URL.match(text):
        raise ConfigurationError(
            f"{text}: files are written to local folders: save there, then `ev-qa registry publish`"
        )
    root, _, selector = text.rpartition("@")
    meant = Reference.of(text) is not None or not {"/", os.sep} & set(selector)
    if root and meant and (Path(root) / REGISTRY).is_dir():
        raise ConfigurationError(
            f"{text}: a reference into the registry {root}, where nothing is changed in place: write to a path, then"
            " `ev-qa registry publish` it as another version"
        )


@contextlib.contextmanager
def unpublished(paths: ArtifactPaths) -> Iterator[None]:
    """Keep a model unpublished while it is written; ``RegistryError`` where a registry's events know it already."""
    root = _registry_of(paths)
    if root is None:
        yield
        return
    store = LocalStore(str(root))
    with store.turn():
        _refuse_published(store, paths)
        yield


def _registry_of(paths: ArtifactPaths) -> Path | None:
    """The registry in one of whose folders ``paths`` lie, links followed."""
    folder = Path(os.path.realpath(paths.folder))
    return folder.parent if folder.name in LOCATIONS and (folder.parent / EVENTS).is_dir() else None


def _refuse_published(store: LocalStore, paths: ArtifactPaths) -> None:
    if paths.name in catalog_of(Journal(store).history()):
        raise RegistryError(
            f"{paths} is published, and its digests are in the registry's history: it is neither saved over nor signed"
            f" here; `ev-qa registry publish {paths} --root {store.root} --next --sign-with KEY` signs it as the next"
            " version, another model is saved under another name and published"
        )
