"""Publish, promote, roll back, clear and archive, in every kind of store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime.errors import ArtifactError, IntegrityError, ModelNotFoundError, RegistryError

Named = Callable[..., ModelFiles]
Fill = Callable[..., list[str]]


def champion(registry: Registry) -> str:
    """As a new process sees it."""
    return Registry(registry.root).place("champion").model


def test_what_is_published_is_there_byte_for_byte_and_recorded(registry: Registry, named: Named) -> None:
    files = named("pack_v1.0.0")

    event = registry.publish("pack_v1.0.0", files, reason="the first")

    assert registry.store.names("experiments") == ["pack_v1.0.0.joblib", "pack_v1.0.0.json", "pack_v1.0.0.onnx"]
    assert registry.store.read("experiments/pack_v1.0.0.json", 2**20) == files.sidecar
    change = event.change
    assert (event.number, change.action, change.source, change.target) == (
        1, "publish", None, "experiments/pack_v1.0.0",
    )  # fmt: skip
    assert (change.who, change.reason, change.files, change.aliases) == ("tester@bench", "the first", files.digests, {})
    assert Registry(registry.root).journal.history() == [event]
    assert EVBatteryAnalyzer.load_model(f"{registry.root}@pack_v1.0.0").get_model_info()["name"] == "pack_v1.0.0"
    assert verify(registry.store).faults == ()


def test_a_promotion_copies_to_production_and_removes_nothing(registry: Registry, fill: Fill) -> None:
    fill(registry, 2)

    registry.promote("pack_v1.0.0")
    event = registry.promote("pack_v1.0.1", reason="fewer alarms")

    assert event is not None
    assert (event.change.source, event.change.target) == ("production/pack_v1.0.0", "production/pack_v1.0.1")
    assert champion(registry) == "pack_v1.0.1"
    assert registry.store.names("production") == [
        f"pack_v1.0.{number}.{suffix}" for number in range(2) for suffix in ("joblib", "json", "onnx")
    ]
    assert len(registry.store.names("experiments")) == 6
    loaded = EVBatteryAnalyzer.load_model(f"{registry.root}@champion", backend="onnx")
    assert loaded.get_model_info()["name"] == "pack_v1.0.1"
    assert verify(registry.store).faults == ()


def test_promoting_the_champion_again_is_no_event(registry: Registry, fill: Fill) -> None:
    fill(registry, 1)
    registry.promote("pack_v1.0.0")
    assert registry.promote("pack_v1.0.0") is None
    assert registry.promote("champion") is None
    assert len(registry.journal.history()) == 2


def test_rollbacks_go_back_step_by_step_and_then_refuse(registry: Registry, fill: Fill) -> None:
    for name in fill(registry, 3):
        registry.promote(name)

    seen = [registry.rollback(reason="alarms").change.model for _ in range(2)]

    assert seen == ["pack_v1.0.1", "pack_v1.0.0"]
    with pytest.raises(RegistryError, match=r"had no champion before pack_v1\.0\.0: there is nothing to go back to"):
        registry.rollback()
    registry.promote("pack_v1.0.2")
    assert registry.rollback().change.model == champion(registry) == "pack_v1.0.0"
    assert verify(registry.store).faults == ()


def test_challengers_are_tried_cleared_and_promoted(registry: Registry, fill: Fill) -> None:
    first, second, _ = fill(registry, 3)
    registry.promote(first)
    registry.promote(second, alias="challenger")
    assert registry.place("challenger").location == "experiments"
    with pytest.raises(RegistryError, match="is the champion: a challenger is another model"):
        registry.promote(first, alias="challenger")
    registry.clear()
    with pytest.raises(ModelNotFoundError, match="there is no challenger: promote a model first"):
        registry.clear()
    with pytest.raises(RegistryError, match="the champion cannot be taken away"):
        registry.clear(alias="champion")

    registry.promote(second, alias="challenger")
    registry.promote("challenger")

    assert champion(registry) == second
    assert registry.state().aliases["pack"].keys() == {"champion"}
    assert verify(registry.store).faults == ()


def test_a_challenger_is_not_rolled_back_to_the_champion(local: Registry, fill: Fill) -> None:
    first, second, _ = fill(local, 3)
    local.promote(first, alias="challenger")
    local.promote(second, alias="challenger")
    local.promote(first)
    with pytest.raises(RegistryError, match="is the champion: a challenger is another model"):
        local.rollback(alias="challenger")


def test_an_archived_model_has_moved_and_can_come_back(registry: Registry, fill: Fill) -> None:
    first, second = fill(registry, 2)
    registry.promote(first)
    with pytest.raises(RegistryError, match=r"pack_v1\.0\.0 is pack/champion: promote another model first"):
        registry.archive(first)
    registry.promote(second)

    event = registry.archive(first, reason="replaced")

    assert event is not None
    assert (event.change.source, event.change.target) == ("production/pack_v1.0.0", "archive/pack_v1.0.0")
    assert registry.archive(first) is None
    assert not [name for name in registry.store.names("production") if first in name]
    assert not [name for name in registry.store.names("experiments") if first in name]
    assert EVBatteryAnalyzer.load_model(f"{registry.root}@{first}").get_model_info()["name"] == first
    assert registry.rollback().change.model == champion(registry) == first
    assert registry.place("champion").location == ("production" if registry.store.takes_turns else "archive")
    assert EVBatteryAnalyzer.load_model(f"{registry.root}@champion").get_model_info()["name"] == first
    found = verify(registry.store)
    assert (found.faults, found.remarks) == ((), ())


def test_nothing_published_is_published_again(registry: Registry, named: Named, fill: Fill) -> None:
    fill(registry, 1)
    other = named("pack_v1.0.0", metadata={"other": True})
    for files in (named("pack_v1.0.0"), other):
        for folder in ("experiments", "production"):
            with pytest.raises(FileExistsError, match=r"pack_v1\.0\.0 was published before"):
                registry.publish("pack_v1.0.0", files, to=folder)
    with pytest.raises(FileExistsError, match=r"pack_v1\.0\.0 was published before"):
        registry.publish("pack_v1.0", named("pack_v1.0"))
    assert len(registry.journal.history()) == 1


def test_an_interrupted_publication_can_be_finished_but_not_replaced(registry: Registry, named: Named) -> None:
    files = named("pack_v1.0.0")
    registry.store.add_model("experiments", "pack_v1.0.0", files.payloads, files.sidecar)  # and no event

    with pytest.raises(FileExistsError, match="exists already with other content"):
        registry.publish("pack_v1.0.0", named("pack_v1.0.0", metadata={"other": True}))
    with pytest.raises(FileExistsError, match="exists already with other content"):
        registry.publish("pack_v1.0.0", named("pack_v1.0.0", metadata={"other": True}), to="production")
    assert registry.publish("pack_v1.0.0", files).number == 1


def test_an_upload_without_its_sidecar_is_not_written_over(registry: Registry, named: Named) -> None:
    with registry.store.turn():
        registry.store.create("experiments/pack_v1.0.0.onnx", b"half of another upload")
    with pytest.raises(FileExistsError, match="removed by `ev-qa registry prune`"):
        registry.publish("pack_v1.0.0", named("pack_v1.0.0"))
    assert registry.journal.last() is None
    assert str(registry.next_version("pack", named("pack_v1.0.0").contract)) == "1.0.1"  # somebody may be at it


def test_a_model_that_lies_there_is_adopted_by_its_promotion(registry: Registry, named: Named) -> None:
    for location, name in (("production", "pack_v1.0"), ("experiments", "try_v0.1.0")):
        files = named(name)
        registry.store.add_model(location, name, files.payloads, files.sidecar)

    registry.promote("pack_v1.0.0", reason="two-part names are read too")
    registry.promote("try_v0.1")

    assert [event.change.target for event in registry.journal.history()] == [
        "production/pack_v1.0",
        "production/try_v0.1.0",
    ]
    with pytest.raises(ModelNotFoundError, match=r"2 families have a champion: name one, as in .*@pack/champion"):
        registry.place("champion")
    assert registry.place("try/champion").model == "try_v0.1.0"
    assert verify(registry.store).faults == ()


@pytest.mark.parametrize(
    ("name", "version_in_name", "message"),
    [
        ("pack_v1.0.1", "pack_v1.0.0", "calls itself pack_v1.0.0, version 1.0.0, not pack_v1.0.1"),
        ("pack_v0.0.0", "pack_v0.0.0", "0.0.0 stands for a model without version"),
        ("pack", "pack_v1.0.0", "not a registry's name for a model"),
        ("../pack_v1.0.0", "pack_v1.0.0", "not a registry's name for a model"),
    ],
)
def test_a_name_must_be_the_models_own(
    name: str, version_in_name: str, message: str, local: Registry, named: Named, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=message):
        local.publish(name, named(version_in_name))
    assert not (tmp_path / "models").exists()


def test_a_version_that_contradicts_the_rule_is_refused_with_both_sides(local: Registry, named: Named) -> None:
    first = named("pack_v1.0.0")
    local.publish("pack_v1.0.0", first)
    changed = {"parameters": first.contract.parameters | {"contamination": 0.05}}
    with pytest.raises(
        RegistryError,
        match=r"version 1\.0\.1 after 1\.0\.0 is a PATCH step, the rule asks for MINOR \(contamination:"
        r" 0\.1 -> 0\.05\): publish it as 1\.1\.0",
    ):
        local.publish("pack_v1.0.1", named("pack_v1.0.1", **changed))
    with pytest.raises(RegistryError, match=r"asks for PATCH \(neither features.*differ\): publish it as 1\.0\.1"):
        local.publish("pack_v2.0.0", named("pack_v2.0.0"))
    with pytest.raises(RegistryError, match=r"after a MINOR step the numbers behind it are 0"):
        local.publish("pack_v1.1.1", named("pack_v1.1.1", **changed))
    assert str(local.next_version("pack", named("try_v9.9.9", **changed).contract)) == "1.1.0"
    local.publish("pack_v1.1.0", named("pack_v1.1.0", **changed))
    local.publish("pack_v1.0.1", named("pack_v1.0.1"))  # compared to 1.0.0, the highest below
    assert str(local.next_version("pack", first.contract)) == "1.2.0"


def test_changed_files_are_not_promoted_and_not_returned_to(local: Registry, fill: Fill, tmp_path: Path) -> None:
    first, second, third = fill(local, 3)
    local.promote(first)
    local.promote(second)
    onnx = tmp_path / "models" / "experiments" / f"{third}.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1])
    with pytest.raises(
        ArtifactError, match=r"pack_v1\.0\.2\.onnx: its bytes are not the ones event 3 vouches for, and no"
    ):
        local.promote(third)
    sidecar = tmp_path / "models" / "production" / f"{first}.json"
    sidecar.write_bytes((tmp_path / "models" / "experiments" / f"{third}.json").read_bytes())
    (tmp_path / "models" / "experiments" / f"{first}.json").write_bytes(sidecar.read_bytes())
    with pytest.raises(IntegrityError, match="event 1 vouches for, and no folder holds an intact copy: restore it"):
        local.rollback()
    assert champion(local) == second
    assert len(local.journal.history()) == 5


def test_a_champion_whose_sidecar_was_swapped_is_not_loaded(local: Registry, fill: Fill, tmp_path: Path) -> None:
    first, second = fill(local, 2)
    local.promote(first)
    for suffix in ("json", "onnx"):
        source = tmp_path / "models" / "experiments" / f"{second}.{suffix}"
        (tmp_path / "models" / "production" / f"{first}.{suffix}").write_bytes(source.read_bytes())
    with pytest.raises(IntegrityError, match="not the file that event 3 made the alias of"):
        EVBatteryAnalyzer.load_model(f"{local.root}@champion")


def test_a_registry_is_not_made_for_a_change_that_needs_one(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "nowhere")
    for change in (lambda: registry.promote("pack_v1.0.0"), registry.rollback, registry.clear):
        with pytest.raises(ModelNotFoundError, match="no model was ever published here"):
            change()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("who", "reason", "message"),
    [
        ("a\nb", "", "who must be one line of at most 200"),
        ("me", "x" * 2001, "reason must be one line of at most 2000"),
        ("me", "tab\there", "reason must be one line"),
        ("me", "\udc80", "reason holds text that UTF-8 cannot encode"),
    ],
)
def test_who_and_why_are_one_line_each(who: str, reason: str, message: str, tmp_path: Path, named: Named) -> None:
    with pytest.raises(RegistryError, match=message):
        Registry(tmp_path / "models", who=who).publish("pack_v1.0.0", named("pack_v1.0.0"), reason=reason)


def test_who_comes_from_the_environment(tmp_path: Path, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_QA_WHO", "night shift")
    monkeypatch.setenv("EV_QA_REGISTRY", str(tmp_path / "elsewhere"))
    registry = Registry()
    assert registry.publish("pack_v1.0.0", named("pack_v1.0.0")).change.who == "night shift"
    assert (tmp_path / "elsewhere" / "registry" / "events" / "00000001.json").is_file()
    monkeypatch.delenv("EV_QA_WHO")
    assert "@" in Registry().who


def test_a_model_under_another_name_is_not_adopted(local: Registry, named: Named) -> None:
    files = named("pack_v1.0.0")
    local.store.add_model("production", "pack_v2.0.0", files.payloads, files.sidecar)
    with pytest.raises(RegistryError, match=r"calls itself pack_v1\.0\.0, version 1\.0\.0, not pack_v2\.0\.0"):
        local.promote("pack_v2.0.0")
    assert local.journal.last() is None


def test_an_interrupted_archiving_is_finished_by_the_next(local: Registry, fill: Fill, tmp_path: Path) -> None:
    first, second = fill(local, 2)
    local.promote(second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ev_qa_framework.registry.registry.remove_model", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            local.archive(first)
    experiments = tmp_path / "models" / "experiments"
    assert (experiments / f"{first}.json").exists()
    assert len(verify(local.store).remarks) == 3

    assert local.archive(first) is None

    assert not (experiments / f"{first}.json").exists()
    assert verify(local.store).remarks == ()


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
