"""Events survive being written and read, and nothing malformed is read as one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework.registry.event import ACTIONS, Change, Event, parse, render
from ev_qa_runtime.contract import FileDigest
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.registry_event import ALIASES, LOCATIONS, AliasTarget, ModelName, is_family

families = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,20}", fullmatch=True).filter(is_family)
versions = st.builds(ModelVersion, *[st.integers(0, 999_999_999)] * 3)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
lines = st.text(max_size=40).filter(str.isprintable)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)).map(
    lambda time: time.replace(microsecond=0, tzinfo=UTC)
)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    family = draw(families)
    names = st.builds(lambda version: f"{family}_v{version}", versions)
    places = st.none() | st.builds(lambda location, name: f"{location}/{name}", st.sampled_from(LOCATIONS), names)
    targets = st.builds(
        AliasTarget, names, st.sampled_from(LOCATIONS), digests, st.integers(2, 10**9), st.none() | st.just(1)
    )
    files = st.dictionaries(
        st.sampled_from(["json", "onnx", "joblib"]), st.builds(FileDigest, st.integers(0, 2**40), digests)
    )
    aliases = st.dictionaries(st.just(family), st.dictionaries(st.sampled_from(ALIASES), targets))
    return Change(
        draw(lines.filter(bool)), draw(st.sampled_from(ACTIONS)), draw(names), draw(places), draw(places), draw(lines),
        draw(files), draw(aliases), draw(st.none() | st.sampled_from(ALIASES)),
    )  # fmt: skip


events = st.builds(Event, st.integers(1, 10**9), digests, times, changes(), st.none() | digests)


@given(events)
def test_an_event_that_was_written_is_read_back(event: Event) -> None:
    assert parse(event.number, render(event)) == event


@given(events, st.data())
def test_an_event_with_a_member_missing_or_of_another_kind_is_refused(event: Event, data: st.DataObject) -> None:
    document = json.loads(render(event))
    key = data.draw(st.sampled_from(sorted(document)))
    if data.draw(st.booleans()):
        del document[key]
    else:
        document[key] = data.draw(
            st.sampled_from([[], 1.5, -1, True, "../x", {"x": 1}]).filter(lambda it: it != document[key])
        )
    try:
        found = parse(event.number, json.dumps(document).encode())
    except ArtifactError:
        return
    assert key in ("who", "reason", "nonce", "files", "aliases"), found  # these may be such a text, or empty


@given(
    st.binary(max_size=300) | events.map(render).flatmap(lambda data: st.integers(0, len(data)).map(lambda n: data[:n]))
)
def test_torn_or_foreign_bytes_are_refused(data: bytes) -> None:
    try:
        parse(1, data)
    except ArtifactError:
        return
    assert data.endswith(b"}\n")  # the whole event


def sample() -> dict[str, Any]:
    target = AliasTarget("pack_v1.0.0", "production", "0" * 64, 7, None)
    change = Change(
        "me",
        "promote",
        "pack_v1.0.0",
        None,
        "production/pack_v1.0.0",
        "",
        {},
        {"pack": {"champion": target}},
        "champion",
    )
    return json.loads(render(Event(7, "a", datetime(2026, 11, 23, tzinfo=UTC), change, "0" * 64)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("number",), 8, "its file is that of event 7, its number is 8"),
        (("model",), "../pack_v1.0.0", "not a registry's name"),
        (("model",), "pack_v01.0.0", "not a registry's name"),
        (("to",), "production/../pack_v1.0.0", "not a registry's name"),
        (("to",), "elsewhere/pack_v1.0.0", "no place of a model of pack"),
        (("to",), "production/other_v1.0.0", "no place of a model of pack"),
        (("time",), "2026-11-23", "time is not one such as"),
        (("time",), "2026-1-3T00:00:00Z", "time is not one such as"),
        (("files",), {"exe": {"bytes": 1, "sha256": "0" * 64}}, "files has others than json, onnx, joblib"),
        (("action",), "destroy", "action must be one of"),
        (("aliases", "pack", "champion", "model"), "/etc/x_v1.0.0", "not a registry's name"),
        (("aliases", "pack", "champion", "model"), "other_v1.0.0", "a target of another family"),
        (("aliases", "pack", "champion", "location"), "..", "location must be one of"),
        (("aliases", "pack", "champion", "parent"), 7, "or from the future"),
        (("aliases", "pack", "winner"), {}, "no family with champion or challenger"),
        (("aliases", "../pack"), {}, "no family with champion or challenger"),
        (("aliases",), [], "aliases must be an object"),
    ],
)  # fmt: skip
def test_what_could_lead_astray_is_refused(path: tuple[str, ...], value: Any, message: str) -> None:
    document = sample()
    member = document
    for step in path[:-1]:
        member = member[step]
    member[path[-1]] = value
    with pytest.raises(ArtifactError, match=message):
        parse(7, json.dumps(document).encode())


def test_a_newer_layout_is_refused_and_unknown_members_are_not() -> None:
    with pytest.raises(IncompatibleModelError, match="schema_version 2, this runtime reads up to 1"):
        parse(7, json.dumps(sample() | {"schema_version": 2}).encode())
    assert parse(7, json.dumps(sample() | {"added": 1}).encode()).change.who == "me"


def test_duplicate_keys_are_refused() -> None:
    data = json.dumps(sample()).replace('"who": "me"', '"who": "me", "who": "you"').encode()
    with pytest.raises(ArtifactError, match="the event has a duplicate key"):
        parse(7, data)


@given(families, versions)
def test_names_give_family_and_version(family: str, version: ModelVersion) -> None:
    name = ModelName.parse(f"{family}_v{version}")
    assert (name.family, name.version) == (family, version)
    assert {ModelName.parse(spelling).version for spelling in name.spellings} == {version}


@pytest.mark.parametrize(
    "text",
    [
        *("pack", "pack_v1", "pack_v1.0.0.0", ".pack_v1.0", "a/b_v1.0", "a\\b_v1.0", "a b_v1.0", "pack_v1.0_v2.0"),
        *("pack_v\N{ARABIC-INDIC DIGIT THREE}.0", "-p_v1.0", "x" * 101 + "_v1.0", "", "pack_v1.0\n"),
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ArtifactError, match="not a registry's name for a model"):
        ModelName.parse(text)
