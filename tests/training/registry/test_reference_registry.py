"""The repository's own ``artifacts`` is a registry, whole, with the changelog that its history gives."""

from __future__ import annotations

from pathlib import Path

from ev_qa_framework.registry.model_changelog import CHANGELOG, changelog
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime import load_model

ARTIFACTS = Path(__file__).parents[3] / "artifacts"


def test_everything_in_it_verifies() -> None:
    found = verify(Registry(ARTIFACTS).store)
    assert (found.faults, found.remarks) == ((), ())
    assert found.events >= 1


def test_the_reference_model_is_champion() -> None:
    assert load_model(f"{ARTIFACTS}@champion").contract.name == "demo_pack_v1.0.0"


def test_the_changelog_is_the_generated_one() -> None:
    assert (ARTIFACTS / CHANGELOG).read_text(encoding="utf-8") == changelog(Registry(ARTIFACTS))
