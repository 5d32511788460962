"""A recorded model's files, put together from whichever folders still hold them as they were recorded."""

from __future__ import annotations

from collections.abc import Iterable

from ev_qa_framework.registry.catalog import CatalogEntry
from ev_qa_framework.registry.model_files import ModelFiles, read_expected
from ev_qa_framework.registry.store import Store
from ev_qa_runtime import sidecar
from ev_qa_runtime.contract import FileDigest
from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError


def intact_copy(store: Store, entry: CatalogEntry, locations: Iterable[str]) -> ModelFiles:
    """The model as its first event recorded it; each file from the first of ``locations`` that has it so.

    Raises ``ModelNotFoundError`` where no folder has a file, but for the .joblib, which a copy need not have, and
    ``IntegrityError`` where those that have it have another.
    """
    places = tuple(locations)
    found: dict[str, bytes] = {}
    for suffix, expected in entry.files.items():
        data = _intact_file(store, entry, places, suffix, expected)
        if data is not None:
            found[suffix] = data
    if not {"json", "onnx"} <= found.keys():
        raise ArtifactError(f"event {entry.first_event} recorded no whole model {entry.name.text}: publish another")
    return ModelFiles(sidecar.decode(found["json"]), found.pop("json"), found)


def _intact_file(
    store: Store, entry: CatalogEntry, locations: tuple[str, ...], suffix: str, expected: FileDigest
) -> bytes | None:
    name = entry.name.text
    fault: IntegrityError | None = None
    for location in locations:
        try:
            data = read_expected(store, f"{location}/{name}.{suffix}", expected, f"event {entry.first_event}")
        except IntegrityError as error:
            fault = fault or error
            continue
        if data is not None:
            return data
    if fault is not None:
        raise IntegrityError(f"{fault}, and no folder holds an intact copy: restore it from a copy of the registry")
    if suffix == "joblib":
        return None
    raise ModelNotFoundError(
        f"Model file not found: {store.root}/{locations[0]}/{name}.{suffix} (event {entry.first_event} recorded it, and"
        " no folder holds a copy: restore it from a copy of the registry)"
    )
