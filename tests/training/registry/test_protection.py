"""A published model is neither saved over nor signed in place, and nothing is written to a reference or an URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.cli import main
from ev_qa_framework.migration import migrate
from ev_qa_framework.publishing import publish_model
from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.store import LocalStore
from ev_qa_framework.registry.verification import verify
from ev_qa_framework.signing import SigningKey, sign_model
from ev_qa_runtime import load_model
from ev_qa_runtime.errors import ConfigurationError, RegistryError

Named = Callable[..., ModelFiles]


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


@pytest.fixture
def analyzer(tiny: ModelFiles, tmp_path: Path) -> EVBatteryAnalyzer:
    LocalStore(str(tmp_path / "loose")).add_model(".", "given", tiny.payloads, tiny.sidecar)
    return EVBatteryAnalyzer.load_model(tmp_path / "loose" / "given")


@pytest.fixture
def fleet(local: Registry, named: Named) -> Registry:
    """A champion, and an archived model."""
    for name in ("pack_v1.0.0", "pack_v1.0.1"):
        local.publish(name, named(name), to="production")
    local.promote("pack_v1.0.0")
    local.archive("pack_v1.0.1")
    return local


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("place", ["production/pack_v1.0.0", "archive/pack_v1.0.1", "experiments/pack_v1.0.1"])
def test_a_published_model_is_not_saved_over_or_signed(
    place: str, fleet: Registry, analyzer: EVBatteryAnalyzer, key: SigningKey, tmp_path: Path
) -> None:
    before = files_in(tmp_path / "models")
    where = tmp_path / "models" / place
    with pytest.raises(
        RegistryError, match=r"is published, .* neither saved over nor signed here; `ev-qa registry pub"
    ):
        analyzer.save_model(where)
    with pytest.raises(RegistryError, match=r"--next --sign-with KEY` signs it as the next version"):
        sign_model(where, key)
    with pytest.raises(RegistryError, match="is published"):
        migrate(_legacy(tmp_path), where, overwrite=True)
    assert files_in(tmp_path / "models") == before
    assert verify(fleet.store).faults == ()


def test_links_to_a_registrys_folder_are_followed(
    fleet: Registry, analyzer: EVBatteryAnalyzer, key: SigningKey, tmp_path: Path
) -> None:
    (tmp_path / "current").symlink_to(tmp_path / "models" / "production")
    with pytest.raises(RegistryError, match="is published"):
        sign_model(tmp_path / "current" / "pack_v1.0.0.json", key)
    with pytest.raises(RegistryError, match="is published"):
        analyzer.save_model(tmp_path / "models" / "archive" / ".." / "production" / "pack_v1.0.0.onnx")


def test_training_is_refused_before_the_fit(
    fleet: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for output, code, message in [
        ("models/production/pack_v1.0.0", 3, "is published"),
        ("models@champion", 4, "a reference into the registry models"),
        ("models@chapmion", 4, "a reference into the registry models"),
        ("s3://bucket/models/pack_v2.0.0", 4, "files are written to local folders"),
    ]:
        assert main(["train", "no_such_table.csv", "-o", output]) == code
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*@*")) + list(tmp_path.glob("s3*"))


def test_names_that_no_event_knows_are_free(
    fleet: Registry, analyzer: EVBatteryAnalyzer, key: SigningKey, tmp_path: Path
) -> None:
    for place in (
        "models/production/pack_v1.0.2", "models/experiments/pack", "elsewhere/production/pack_v1.0.0", "a@b",
        "s3@champion/pack",
    ):  # fmt: skip
        analyzer.save_model(tmp_path / place)
        sign_model(tmp_path / place, key)
        assert load_model(tmp_path / place, public_keys=[key.public]).info["signed_by"] == [key.key_id]


def test_neither_references_nor_urls_are_written_to(
    fleet: Registry, analyzer: EVBatteryAnalyzer, key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for target in (f"{fleet.root}@champion", f"{fleet.root}@pack/champion", f"{fleet.root}@pack_v9.0"):
        with pytest.raises(ConfigurationError, match=r"a reference into the registry .*, where nothing is changed in"):
            analyzer.save_model(target)
        with pytest.raises(ConfigurationError, match="a reference into the registry"):
            sign_model(target, key)
    with pytest.raises(ConfigurationError, match="files are written to local folders: save there, then"):
        analyzer.save_model("s3://bucket/models/pack_v1.0.0")
    with pytest.raises(ConfigurationError, match="files are written to local folders"):
        migrate(_legacy(tmp_path), f"file://{tmp_path}/new")
    assert not list(tmp_path.glob("*@*"))


def test_a_signature_is_renewed_by_publishing_the_next_version(fleet: Registry, key: SigningKey) -> None:
    event = publish_model(fleet, f"{fleet.root}@champion", follow=True, sign_with=key)
    fleet.promote(event.change.model)
    assert load_model(f"{fleet.root}@champion", public_keys=[key.public]).info["name"] == "pack_v1.0.2"
    assert verify(fleet.store).faults == ()


def _legacy(folder: Path) -> Path:
    file = folder / "old.joblib"
    file.write_bytes(b"never opened")
    return file
