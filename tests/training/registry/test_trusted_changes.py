"""Promoting, rolling back and fetching keep to the trust policy, by argument, option or environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ev_qa_framework.cli import main
from ev_qa_framework.publishing import publish_model
from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.signing import SigningKey, generate_key
from ev_qa_runtime.errors import IncompatibleModelError, SignatureError
from ev_qa_runtime.trust import TrustPolicy


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return generate_key(tmp_path / "keys" / "release")


@pytest.fixture
def fleet(local: Registry, named: Callable[..., ModelFiles], key: SigningKey) -> Registry:
    """pack_v1.0.0, unsigned; pack_v1.0.1, signed; both were champion, the signed one is."""
    local.publish("pack_v1.0.0", named("pack_v1.0.0"))
    publish_model(local, f"{local.root}@pack_v1.0.0", follow=True, sign_with=key)
    local.promote("pack_v1.0.0")
    local.promote("pack_v1.0.1")
    return local


def test_the_environment_holds_for_promote_rollback_and_fetch(
    fleet: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EV_QA_PUBLIC_KEYS", str(tmp_path / "keys"))
    for change in (
        fleet.rollback,
        lambda: fleet.promote("pack_v1.0.0"),
        lambda: fleet.promote("pack_v1.0.0", alias="challenger"),
    ):
        with pytest.raises(SignatureError, match=r"pack_v1\.0\.0\.json: the model is not signed, and a signature is"):
            change()
    assert fleet.promote("champion") is None
    assert len(fleet.journal.history()) == 4
    gateway = str(tmp_path / "gateway")
    assert main(["registry", "fetch", "pack_v1.0.0", "--root", fleet.root, "-o", gateway]) == 3
    assert "is not signed" in capsys.readouterr().err
    assert not (tmp_path / "gateway").exists()
    assert main(["registry", "fetch", "champion", "--root", fleet.root, "-o", gateway]) == 0


def test_a_policy_given_goes_before_the_environment(
    fleet: Registry, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        Registry(fleet.root, policy=TrustPolicy.of([key.public])).rollback()
    with pytest.raises(IncompatibleModelError, match=r"at least 1\.0\.1 is demanded here"):
        Registry(fleet.root, policy=TrustPolicy.of(minimum_version="1.0.1")).rollback()
    monkeypatch.setenv("EV_QA_REQUIRE_SIGNATURE", "1")
    assert Registry(fleet.root, policy=TrustPolicy()).rollback().change.model == "pack_v1.0.0"


def test_the_commands_take_options(fleet: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, keys = ["--root", fleet.root], ["--public-key", str(tmp_path / "keys")]
    for command in (["promote", "pack_v1.0.0"], ["rollback"], ["fetch", "pack_v1.0.0", "-o", str(tmp_path / "g")]):
        assert main(["registry", *command, *root, *keys]) == 3
        assert "the model is not signed" in capsys.readouterr().err
        assert main(["registry", *command, *root, "--minimum-version", "2.0.0"]) == 3
        assert "at least 2.0.0 is demanded here" in capsys.readouterr().err
    assert main(["registry", "rollback", *root, *keys, "--no-require-signature"]) == 0
