"""References such as ``models@champion``: what they lead to, and that they never lead astray.

The events are written here by hand, from the description in docs/registry.md: the runtime cannot write any.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import ev_qa_runtime
from ev_qa_runtime import ArtifactError, IntegrityError, ModelNotFoundError, load_model, registry_reference
from ev_qa_runtime.artifact import read_contract
from ev_qa_runtime.errors import IncompatibleModelError
from ev_qa_runtime.registry_event import ModelName
from ev_qa_runtime.registry_reference import LocalFiles, Reference, Selector, resolve

Rewrite = Callable[..., ev_qa_runtime.ModelContract]


class Fleet:
    """A registry of two models, ``pack_v1.0.0`` and ``pack_v1.1.0``, as somebody else's program would write it."""

    def __init__(self, root: Path, reference: Path, rewrite: Rewrite) -> None:
        self.root = root
        self.number = 0
        for name in ("pack_v1.0.0", "pack_v1.1.0"):
            self.place(name, reference, rewrite)

    def place(self, name: str, reference: Path, rewrite: Rewrite, folder: str = "production") -> None:
        target = self.root / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("json", "onnx"):
            shutil.copyfile(f"{reference}.{suffix}", f"{target}.{suffix}")
        rewrite(target, name=name, version=ModelName.parse(name).version)

    def digest(self, model: str, folder: str = "production") -> str:
        return hashlib.sha256((self.root / folder / f"{model}.json").read_bytes()).hexdigest()

    def target(self, model: str, **changes: Any) -> dict[str, Any]:
        folder = changes.get("location", "production")
        return {
            "model": model,
            "location": folder,
            "sidecar_sha256": changes.pop("sidecar_sha256", None) or self.digest(model, folder),
            "event": self.number + 1,
            "parent": None,
        } | changes

    def event(self, aliases: dict[str, Any], hint: bool = True, **changes: Any) -> None:
        self.number += 1
        document = {"schema_version": 1, "number": self.number, "aliases": aliases} | changes
        events = self.root / "registry" / "events"
        events.mkdir(parents=True, exist_ok=True)
        (events / f"{self.number:08}.json").write_text(json.dumps(document))
        if hint:
            (self.root / "registry" / "latest.json").write_text(json.dumps({"event": self.number}))

    def champion(self, model: str, **changes: Any) -> None:
        self.event({"pack": {"champion": self.target(model, **changes)}})


@pytest.fixture
def fleet(tmp_path: Path, reference: Path, rewrite_contract: Rewrite) -> Fleet:
    made = Fleet(tmp_path / "fleet", reference, rewrite_contract)
    made.champion("pack_v1.0.0")
    return made


def test_an_alias_gives_the_model_it_points_to(fleet: Fleet) -> None:
    assert load_model(f"{fleet.root}@champion").contract.name == "pack_v1.0.0"
    fleet.champion("pack_v1.1.0")
    assert load_model(f"{fleet.root}@champion").contract.name == "pack_v1.1.0"
    assert load_model(f"{fleet.root}@pack/champion").contract.name == "pack_v1.1.0"
    assert read_contract(f"{fleet.root}@champion").name == "pack_v1.1.0"
    assert ev_qa_runtime.ModelService(f"{fleet.root}@champion").model.contract.name == "pack_v1.1.0"


def test_a_version_is_found_in_any_folder_and_spelling(
    fleet: Fleet, reference: Path, rewrite_contract: Rewrite
) -> None:
    fleet.place("pack_v0.9", reference, rewrite_contract, "archive")
    fleet.place("pack_v2.0.0", reference, rewrite_contract, "experiments")
    for asked, found in [("pack_v1.1.0", "pack_v1.1.0"), ("pack_v1.1", "pack_v1.1.0"), ("pack_v0.9.0", "pack_v0.9"),
                         ("pack_v2.0", "pack_v2.0.0")]:  # fmt: skip
        assert load_model(f"{fleet.root}@{asked}").contract.name == found
    with pytest.raises(ModelNotFoundError, match=r"fleet@pack_v3\.0\.0 \(no pack_v3\.0\.0\.json in its folders\)"):
        load_model(f"{fleet.root}@pack_v3.0.0")


def test_the_commands_take_references(fleet: Fleet, run: Callable[..., Any], fault_csv: Path, tmp_path: Path) -> None:
    name = f"{fleet.root}@champion"
    verified = run("verify", name, "--json")
    assert (verified.returncode, json.loads(verified.stdout)["model"]) == (0, "pack_v1.0.0")
    assert json.loads(run("info", name, "--json").stdout)["name"] == "pack_v1.0.0"
    scored = run("score", name, fault_csv, "-o", tmp_path / "out.csv", "--rows", "0:5", "--json")
    assert (scored.returncode, json.loads(scored.stdout)["model"]) == (0, "pack_v1.0.0")
    nowhere = run("info", f"{fleet.root}@challenger")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (3, 1)
    assert "there is no challenger: promote a model first" in nowhere.stderr


def test_only_a_registry_makes_a_reference(copied: Path, tmp_path: Path) -> None:
    named = copied.with_name("x@champion")
    for suffix in ("json", "onnx"):
        shutil.copyfile(f"{copied}.{suffix}", f"{named}.{suffix}")
    assert load_model(named).contract.name == "demo_pack_v1.0.0"
    (copied.parent / "x").mkdir()
    assert load_model(named).contract.name == "demo_pack_v1.0.0"
    with pytest.raises(ModelNotFoundError, match=r"Model file not found: .*nothing@champion"):
        load_model(tmp_path / "nothing@champion")


def test_a_file_url_is_a_local_folder(fleet: Fleet) -> None:
    fleet.champion("pack_v1.0.0")
    assert load_model(f"file://{fleet.root}@champion").contract.name == "pack_v1.0.0"


def test_another_store_needs_the_training_side() -> None:
    with pytest.raises(ModelNotFoundError, match="copy it with `ev-qa registry fetch`"):
        load_model("s3://bucket/models@champion")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("models@champion", ("models", Selector(alias="champion"))),
        ("models@pack/challenger", ("models", Selector(alias="challenger", family="pack"))),
        ("a@b@pack_v1.2.0", ("a@b", Selector(model=ModelName.parse("pack_v1.2.0")))),
        ("champion@champion_v2.0", ("champion", Selector(model=ModelName.parse("champion_v2.0")))),
        ("models@winner", None),
        ("models@", None),
        ("@champion", None),
        ("models@../champion", None),
        ("models@/champion", None),
        ("models@a/b/champion", None),
        ("models@../pack_v1.0.0", None),
        ("models@production/pack_v1.0.0", None),
        ("models@champion.json", None),
        ("models@pack_v1.0.0\n", None),
    ],
)
def test_the_form_of_a_reference(path: str, expected: tuple[str, Selector] | None) -> None:
    found = Reference.of(path)
    assert (None if found is None else (found.root, found.selector)) == expected


@hypothesis.given(st.text(st.sampled_from("@/.\\pack_v1.0 champion\0~"), max_size=40))
def test_no_reference_escapes_the_root(text: str) -> None:
    found = Reference.of(f"root@{text}")
    if found is None:
        return
    for part in (found.selector.family, found.selector.model and found.selector.model.text):
        if part is not None:
            assert os.path.normpath(f"root/production/{part}.json") == f"root/production/{part}.json"
            assert os.path.basename(part) == part  # noqa: PTH119 - its idea of a separator is what counts


def test_several_champions_ask_for_a_family(fleet: Fleet, reference: Path, rewrite_contract: Rewrite) -> None:
    fleet.place("cell_v1.0.0", reference, rewrite_contract)
    fleet.event({"pack": {"champion": fleet.target("pack_v1.0.0")}, "cell": {"champion": fleet.target("cell_v1.0.0")}})
    with pytest.raises(ModelNotFoundError, match=r"2 families have a champion: name one, as in .*@cell/champion"):
        load_model(f"{fleet.root}@champion")
    assert load_model(f"{fleet.root}@cell/champion").contract.name == "cell_v1.0.0"
    with pytest.raises(ModelNotFoundError, match="there is no champion of other: promote a model first"):
        load_model(f"{fleet.root}@other/champion")


@pytest.mark.parametrize("hint", [None, "", "{", '{"event": 1}', '{"event": 77}', '{"event": -1}', "[]", "x" * 9999])
def test_a_hint_is_only_a_hint(fleet: Fleet, hint: str | None) -> None:
    fleet.champion("pack_v1.1.0")
    fleet.champion("pack_v1.0.0")
    fleet.champion("pack_v1.1.0")
    file = fleet.root / "registry" / "latest.json"
    file.unlink()
    if hint is not None:
        file.write_text(hint)
    assert load_model(f"{fleet.root}@champion").contract.name == "pack_v1.1.0"


def test_temporary_files_are_no_events(fleet: Fleet) -> None:
    events = fleet.root / "registry" / "events"
    for name in (".00000002.json.abc.new", "00000009.json.bak", "9.json", "0000000x.json", "000000002.json"):
        (events / name).write_text("{")
    (fleet.root / "registry" / "latest.json").unlink()
    assert load_model(f"{fleet.root}@champion").contract.name == "pack_v1.0.0"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"schema_version": 2}, IncompatibleModelError, "the event has schema_version 2"),
        ({"number": 1}, ArtifactError, "its file is that of event 2, its number is 1"),
        ({"aliases": None}, ArtifactError, "event: aliases must be an object"),
        ({"aliases": {"..": {}}}, ArtifactError, "no family with champion"),
        ({"aliases": {"pack": {"champion": {}}}}, ArtifactError, "aliases.pack.champion.parent is missing"),
    ],
)
def test_a_malformed_event_is_refused(
    fleet: Fleet, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    fleet.event(**({"aliases": {}} | changes))
    with pytest.raises(error, match=f"00000002.json: .*{message}"):
        load_model(f"{fleet.root}@champion")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "../../etc/pack_v1.0.0"}, "not a registry's name for a model"),
        ({"model": "cell_v1.0.0"}, "a target of another family"),
        ({"location": "../outside"}, "location must be one of"),
        ({"sidecar_sha256": "short"}, "is not a SHA-256 digest"),
        ({"parent": 5}, "or from the future"),
        ({"event": 0}, "must be an integer of at least 1"),
    ],
)
def test_a_target_that_leads_astray_is_refused(fleet: Fleet, changes: dict[str, Any], message: str) -> None:
    fleet.event({"pack": {"champion": fleet.target("pack_v1.0.0") | changes}})
    with pytest.raises(ArtifactError, match=message):
        load_model(f"{fleet.root}@champion")


def test_other_bytes_under_the_champions_name_are_refused(fleet: Fleet, rewrite_contract: Rewrite) -> None:
    rewrite_contract(fleet.root / "production" / "pack_v1.0.0", metadata={"x": 1})
    with pytest.raises(
        IntegrityError, match=r"not the file that event 1 made the alias of: `ev-qa registry promote pack_v1.0.0`"
    ):
        load_model(f"{fleet.root}@champion")


def test_a_champion_that_is_gone_is_said_to_be_missing(fleet: Fleet) -> None:
    (fleet.root / "production" / "pack_v1.0.0.json").unlink()
    with pytest.raises(ModelNotFoundError, match="the registry says that it is there"):
        load_model(f"{fleet.root}@champion")
    fleet.champion("pack_v1.1.0")
    (fleet.root / "production" / "pack_v1.1.0.onnx").unlink()
    with pytest.raises(ModelNotFoundError, match="its sidecar is there"):
        load_model(f"{fleet.root}@champion")


@pytest.mark.parametrize(
    "what", ["production", "production/pack_v1.0.0.json", "production/pack_v1.0.0.onnx", "registry/events",
             "registry/events/00000001.json"]
)  # fmt: skip
def test_links_that_lead_out_are_refused(fleet: Fleet, tmp_path: Path, what: str) -> None:
    inside = fleet.root / what
    inside.rename(tmp_path / "outside")
    inside.symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="a link leads out of the registry"):
        load_model(f"{fleet.root}@champion")


def test_links_inside_and_a_root_that_is_a_link_are_fine(fleet: Fleet, tmp_path: Path) -> None:
    onnx = fleet.root / "production" / "pack_v1.0.0.onnx"
    onnx.rename(fleet.root / "shared.onnx")
    onnx.symlink_to(fleet.root / "shared.onnx")
    (tmp_path / "link").symlink_to(fleet.root)
    assert load_model(f"{tmp_path}/link@champion").contract.name == "pack_v1.0.0"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    "what", ["registry/latest.json", "registry/events/00000002.json", "production/pack_v1.0.0.json"]
)
def test_a_pipe_keeps_no_reader_waiting(fleet: Fleet, what: str) -> None:
    file = fleet.root / what
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    if what.endswith("latest.json"):
        assert load_model(f"{fleet.root}@champion").contract.name == "pack_v1.0.0"
    else:
        with pytest.raises(ArtifactError, match="not a file"):
            load_model(f"{fleet.root}@champion")


def test_an_absurdly_large_event_is_not_read(fleet: Fleet) -> None:
    with (fleet.root / "registry" / "events" / "00000002.json").open("wb") as file:
        file.truncate(registry_reference.EVENT_LIMIT + 1)
    with pytest.raises(ArtifactError, match="larger than 4194304 bytes"):
        load_model(f"{fleet.root}@champion")


def test_a_model_that_moved_after_it_was_resolved_is_resolved_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between resolving and reading another model becomes champion and the old one is moved to the archive."""
    real, times = registry_reference.resolve, []

    def overtaken(files: LocalFiles, selector: Selector) -> Any:
        place = real(files, selector)
        times.append(place.model)
        if len(times) == 1:
            fleet.champion("pack_v1.1.0")
            (fleet.root / "archive").mkdir()
            for suffix in ("json", "onnx"):
                file = fleet.root / "production" / f"pack_v1.0.0.{suffix}"
                file.rename(fleet.root / "archive" / file.name)
        return place

    monkeypatch.setattr(registry_reference, "resolve", overtaken)
    assert load_model(f"{fleet.root}@champion").contract.name == "pack_v1.1.0"
    assert times == ["pack_v1.0.0", "pack_v1.1.0"]
    times.append("archived by now")
    assert load_model(f"{fleet.root}@pack_v1.0.0").contract.name == "pack_v1.0.0"


def test_readers_always_see_a_champion(fleet: Fleet) -> None:
    """Events appear under the eyes of readers; each sees the one before or the one after."""
    seen: set[str] = set()
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        files, selector = LocalFiles(str(fleet.root)), Selector.parse("champion")
        while not done.is_set():
            try:
                seen.add(resolve(files, selector).model)
            except BaseException as error:  # noqa: BLE001 - reported below
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    events = fleet.root / "registry" / "events"
    for number in range(2, 300):
        target = fleet.target(f"pack_v1.{number % 2}.0", event=number)
        document = {"schema_version": 1, "number": number, "aliases": {"pack": {"champion": target}}}
        (events / ".new").write_text(json.dumps(document))
        (events / ".new").rename(events / f"{number:08}.json")
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert seen <= {"pack_v1.0.0", "pack_v1.1.0"}


def test_a_plain_path_does_not_import_this_module(reference: Path) -> None:
    code = (
        "import sys, ev_qa_runtime as r; r.load_model(sys.argv[1]); print([m for m in sys.modules if 'registry' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(reference)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
