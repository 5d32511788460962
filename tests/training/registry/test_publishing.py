"""Models get the name and version that a registry asks for, and references work on the training side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer, ModelService
from ev_qa_framework.model_parity import model_parity
from ev_qa_framework.publishing import publish_model
from ev_qa_framework.registry.model_files import ModelFiles, read_model
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.resolution import fetched, read_resolved
from ev_qa_framework.signing import generate_key
from ev_qa_runtime.errors import ModelNotFoundError, RegistryError

Fill = Callable[..., list[str]]


@pytest.fixture
def trained(analyzer: EVBatteryAnalyzer, tmp_path: Path) -> Path:
    """A model without a version, of the compat profile, with metadata of its user."""
    EVBatteryAnalyzer.save_model(analyzer, tmp_path / "fresh", metadata={"car": "A"}, profile="compat")
    return tmp_path / "fresh"


def test_a_model_is_saved_again_under_the_version_that_follows(
    registry: Registry, trained: Path, telemetry: pd.DataFrame
) -> None:
    names = [publish_model(registry, trained, family="pack", follow=True).change.model for _ in range(3)]
    assert names == ["pack_v1.0.0", "pack_v1.0.1", "pack_v1.0.2"]
    loaded = EVBatteryAnalyzer.load_model(f"{registry.root}@pack_v1.0.2")
    info = loaded.get_model_info()
    assert (info["name"], info["version"], info["profile"]) == ("pack_v1.0.2", "1.0.2", "compat")
    assert info["metadata"] == {"car": "A", "version": "1.0.2"}
    expected = EVBatteryAnalyzer.load_model(trained).score_samples(telemetry)
    assert loaded.score_samples(telemetry).tolist() == expected.tolist()
    files = [read_model(registry.store, "experiments", name).contract.training for name in names]
    assert files == [EVBatteryAnalyzer.load_model(trained)._trained.contract.training] * 3  # type: ignore[union-attr]  # just loaded


def test_its_own_name_is_kept_byte_for_byte(
    local: Registry, saved: Path, files_in: Callable[[Path], dict[str, bytes]]
) -> None:
    event = publish_model(local, f"{saved}.onnx", to="production")  # pack_v1.2
    assert (event.change.model, event.change.target) == ("pack_v1.2", "production/pack_v1.2")
    folder = Path(local.root) / "production"
    assert files_in(folder) == {name: saved.with_name(name).read_bytes() for name in files_in(folder)}


def test_family_and_version_come_from_the_model_or_from_the_caller(local: Registry, saved: Path, trained: Path) -> None:
    assert publish_model(local, saved, family="cell").change.model == "cell_v1.2.0"
    assert publish_model(local, saved, version="1.2.1").change.model == "pack_v1.2.1"
    assert publish_model(local, trained, version="v3.0").change.model == "fresh_v3.0.0"
    with pytest.raises(RegistryError, match=r"has no version: give one, or let it follow by rule \(--next\)"):
        publish_model(local, trained)
    with pytest.raises(RegistryError, match="cannot name a family"):
        publish_model(local, trained, family="../pack", follow=True)
    with pytest.raises(RegistryError, match="either a version is given, or it follows by rule"):
        publish_model(local, trained, version="1.0.0", follow=True)
    with pytest.raises(ValueError, match="is not a model version"):
        publish_model(local, trained, version="one")


def test_a_published_model_is_published_on_by_its_reference(local: Registry, fill: Fill, tmp_path: Path) -> None:
    fill(local, 1)
    other = Registry(tmp_path / "other", who="me")
    publish_model(other, f"{local.root}@pack_v1.0.0", to="production")
    assert read_model(other.store, "production", "pack_v1.0.0") == read_model(local.store, "experiments", "pack_v1.0.0")


def test_a_signature_is_kept_or_made_again_but_never_lost(
    local: Registry, analyzer: EVBatteryAnalyzer, tmp_path: Path
) -> None:
    keys = generate_key(tmp_path / "release")
    private, public = tmp_path / "release.key", tmp_path / "release.pub"
    assert keys
    EVBatteryAnalyzer.save_model(analyzer, tmp_path / "pack_v1.0.0", sign_with=private)

    publish_model(local, tmp_path / "pack_v1.0.0")
    local.promote("pack_v1.0.0")
    loaded = ev_qa_runtime.load_model(f"{local.root}@champion", public_keys=[public])
    assert loaded.info["signed_by"]

    with pytest.raises(RegistryError, match="under another name it must be signed again"):
        publish_model(local, tmp_path / "pack_v1.0.0", family="pack", follow=True)
    publish_model(local, tmp_path / "pack_v1.0.0", family="pack", follow=True, sign_with=private)
    assert ev_qa_runtime.load_model(f"{local.root}@pack_v1.0.1", public_keys=[public]).info["signed_by"]


def test_a_model_that_does_not_load_is_not_published(local: Registry, saved: Path) -> None:
    onnx = saved.with_name("pack_v1.2.onnx")
    onnx.write_bytes(onnx.read_bytes()[:-1])
    with pytest.raises(ValueError, match="its bytes are not the ones"):
        publish_model(local, saved)
    assert not Path(local.root).exists()


def test_references_are_taken_wherever_a_path_is(
    registry: Registry, fill: Fill, telemetry: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = fill(registry, 2)
    registry.promote(first)
    registry.promote(second, alias="challenger")
    root = registry.root
    for backend in ("auto", "sklearn", "onnx"):
        assert EVBatteryAnalyzer.load_model(f"{root}@champion", backend=backend).get_model_info()["name"] == first
    assert ModelService(f"{root}@challenger").model.get_model_info()["name"] == second
    found = model_parity(f"{root}@pack/champion", telemetry.iloc[:50], adversarial=50, reference_rows=0)
    assert (found.model, found.agrees) == (first, True)
    with pytest.raises(ModelNotFoundError, match="there is no champion of cell"):
        EVBatteryAnalyzer.load_model(f"{root}@cell/champion")
    with pytest.raises(ModelNotFoundError, match=r"Model file not found: .*@pack_v9\.0\.0"):
        EVBatteryAnalyzer.load_model(f"{root}@pack_v9.0.0")
    with caplog.at_level(logging.INFO):
        EVBatteryAnalyzer.load_model(f"{root}@champion")
    assert first in caplog.text


def test_another_store_without_registry_is_a_path_that_leads_nowhere() -> None:
    with pytest.raises(FileNotFoundError, match="Model file not found: memory://empty/models@champion"):
        EVBatteryAnalyzer.load_model("memory://empty/models@champion")


def test_a_model_that_moved_meanwhile_is_fetched_from_where_it_is(registry: Registry, fill: Fill) -> None:
    first, second = fill(registry, 2)
    registry.promote(first)
    read: list[str] = []

    def overtaken(path: object) -> str:
        read.append(Path(str(path)).name)
        if len(read) == 1:
            registry.promote(second)
            registry.archive(first)
            raise ModelNotFoundError("as a reader meets it that was overtaken")
        return read[-1]

    assert read_resolved(f"{registry.root}@champion", overtaken) == second
    assert read == [first, second]


def test_fetching_copies_what_a_gateway_needs(registry: Registry, fill: Fill, tmp_path: Path) -> None:
    fill(registry, 1)
    place = registry.place("pack_v1.0.0")
    path = fetched(registry.store, place, tmp_path / "gateway", ("onnx",))
    assert sorted(file.name for file in path.parent.iterdir()) == ["pack_v1.0.0.json", "pack_v1.0.0.onnx"]
    assert ev_qa_runtime.load_model(path).contract.name == "pack_v1.0.0"
    assert fetched(registry.store, place, tmp_path / "gateway", ("onnx",)) == path
    path.with_name("pack_v1.0.0.onnx").write_bytes(b"something else")
    with pytest.raises(FileExistsError, match="exists already with other content"):
        fetched(registry.store, place, tmp_path / "gateway", ("onnx",))


def test_a_model_published_without_its_joblib_stays_without(local: Registry, tiny: ModelFiles, tmp_path: Path) -> None:
    for suffix, data in {"json": tiny.sidecar, "onnx": tiny.payloads["onnx"]}.items():
        (tmp_path / f"pack_v1.0.0.{suffix}").write_bytes(data)
    publish_model(local, tmp_path / "pack_v1.0.0")
    local.promote("pack_v1.0.0")
    assert sorted(local.journal.history()[1].change.files) == ["json", "onnx"]
    assert EVBatteryAnalyzer.load_model(f"{local.root}@champion").get_model_info()["backend"] == "onnx"
