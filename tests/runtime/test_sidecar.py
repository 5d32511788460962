"""The sidecar: the same contract and the same bytes there and back, and nothing accepted that was not written so."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ev_qa_runtime import ArtifactError, IncompatibleModelError, IntegrityError, ModelContract, sidecar
from ev_qa_runtime.contract import (
    CURRENT_SIGNS,
    PROFILES,
    FeatureSpec,
    FeatureStatistics,
    FileDigest,
    GoldenRows,
    OnnxRequirements,
    ParityRecord,
    ScoringRule,
    Thresholds,
    TrainingRecord,
)
from ev_qa_runtime.model_version import ModelVersion

Seal = Callable[[str], bytes]

finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**12)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
model_names = st.from_regex(r"\A[A-Za-zÄ-öß№ .-]{0,20}_v[0-9.]{1,9}\Z")
suffixes = st.sampled_from(["onnx", "joblib", "txt", "7z"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=4)


@st.composite
def contracts(draw: st.DrawFn) -> ModelContract:
    names = draw(st.lists(st.text(min_size=1), min_size=1, max_size=3, unique=True))
    statistics = st.none() | st.builds(FeatureStatistics, finite, finite, finite, finite)
    features = tuple(
        FeatureSpec(
            name,
            draw(st.none() | st.text()),
            tuple(draw(st.lists(st.text(), max_size=2))),
            draw(st.none() | st.tuples(finite, finite)),
            draw(statistics),
        )
        for name in names
    )
    rows = draw(st.integers(1, 4))
    per_row = st.lists(finite, min_size=rows, max_size=rows).map(tuple)
    codes = st.lists(st.integers(-1, 2), min_size=rows, max_size=rows).map(tuple)
    readings = st.lists(finite | st.just(math.nan), min_size=len(names), max_size=len(names)).map(tuple)
    critical, warning = sorted(draw(st.tuples(finite, finite)))
    return ModelContract(
        name=draw(model_names),
        version=draw(st.builds(ModelVersion, *[st.integers(0, 999_999_999)] * 3)),
        created=draw(st.text()),
        features=features,
        current_sign=draw(st.sampled_from(CURRENT_SIGNS)),
        thresholds=Thresholds(critical=critical, warning=warning),
        scoring=draw(st.builds(ScoringRule, finite, finite.map(abs), finite, finite, finite)),
        parameters=draw(json_objects),
        training=draw(
            st.builds(
                TrainingRecord,
                counts,
                counts,
                digests,
                st.none() | st.tuples(st.text(), st.text()),
                st.none() | st.text(),
            )
        ),
        environment=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
        onnx=OnnxRequirements(
            draw(st.sampled_from(PROFILES)),
            draw(st.dictionaries(st.text(), st.integers(1, 30), max_size=3)),
            draw(st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){0,2}\Z")),
        ),
        parity=draw(st.builds(ParityRecord, counts, counts, counts, counts)),
        golden=GoldenRows(
            tuple(draw(readings) for _ in range(rows)), draw(per_row), draw(per_row), draw(codes), draw(codes)
        ),
        files=draw(st.dictionaries(suffixes, st.builds(FileDigest, counts, digests), max_size=3)),
        metadata=draw(json_objects),
        algorithm=draw(st.text()),
    )


@pytest.fixture(scope="module")
def real(reference: Path) -> bytes:
    return reference.with_name(reference.name + ".json").read_bytes()


@pytest.fixture
def document(real: bytes) -> dict[str, Any]:
    """The real sidecar as parsed JSON, to be changed at will."""
    loaded: dict[str, Any] = json.loads(real)
    return loaded


def text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set ``a.b.0.c``; numbers are positions in lists."""
    *way, last = path.split(".")
    for step in way:
        document = document[int(step) if step.isdigit() else step]
    document[int(last) if last.isdigit() else last] = value  # type: ignore[index]  # lists take positions


# --- there and back ---------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(contracts())
def test_a_contract_comes_back_as_it_was_and_gives_the_same_bytes(contract: ModelContract) -> None:
    data = sidecar.encode(contract)
    back = sidecar.decode(data)
    assert back == contract
    assert sidecar.encode(back) == data


@given(json_objects)
@example({"sidecar_sha256": "0" * 64, "nested": {"sidecar_sha256": "0" * 64}})
@example({"text": '"sidecar_sha256": "' + "0" * 64 + '"\n}\n'})
@example({"größe": [0.1, 1e-300, -0.0, 2**70, "\u2028 \x00 😀"]})
def test_metadata_comes_back_untouched(contract: ModelContract, metadata: dict[str, Any]) -> None:
    data = sidecar.encode(dataclasses.replace(contract, metadata=metadata))
    assert repr(sidecar.decode(data).metadata) == repr(metadata)


def test_the_shipped_sidecar_is_written_back_byte_for_byte(real: bytes) -> None:
    assert sidecar.encode(sidecar.decode(real)) == real


def test_the_digest_is_that_of_the_bytes_with_the_digest_zeroed(real: bytes) -> None:
    before, _, after = real.rpartition(b'"sidecar_sha256": "')
    assert after[64:] == b'"\n}\n'
    zeroed = before + b'"sidecar_sha256": "' + 64 * b"0" + b'"\n}\n'
    assert hashlib.sha256(zeroed).hexdigest() == after[:64].decode()


def test_the_layout_of_the_bytes_is_fixed() -> None:
    contract = ModelContract(
        name="tiny",
        version=ModelVersion(1, 2, 3),
        created="2026-01-02T03:04:05Z",
        features=(FeatureSpec("temp", "degC", ("t",), (-50.0, 150.0), FeatureStatistics(20.5, 1.0, 10.0, 30.0)),),
        current_sign="unspecified",
        thresholds=Thresholds(),
        scoring=ScoringRule(-0.5, 100.0, 1.0, 2.0, 0.5),
        parameters={"random_state": None},
        training=TrainingRecord(10, 0, "a" * 64),
        environment={},
        onnx=OnnxRequirements("exact", {"": 18}, "1.21"),
        parity=ParityRecord(1, 0, 0, 0),
        golden=GoldenRows(((math.nan,),), (0.1,), (-0.25,), (-1,), (1,)),
        files={"onnx": FileDigest(3, "b" * 64)},
        metadata={"site": "Gdańsk"},
    )
    data = sidecar.encode(contract)
    assert data.startswith(b'{\n "schema_version": 1,\n "name": "tiny",\n "version": "1.2.3",\n "created": "2026')
    assert b'"readings": [\n   [\n    null\n   ]\n  ],\n  "path_length": [\n   0.1\n  ]' in data
    assert ' "metadata": {\n  "site": "Gdańsk"\n },\n "sidecar_sha256": "'.encode() in data
    assert hashlib.sha256(data).hexdigest() == "f19a33d8b62dc2c7436d5705a3d167efe13675c4eeb740f96f093f428c65923d"


# --- unknown and newer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "note",
        "thresholds.note",
        "features.1.note",
        "features.2.training.note",
        "scoring.note",
        "training.note",
        "onnx.note",
        "golden.note",
        "files.onnx.note",
        "parity.note",
    ],
)
@pytest.mark.parametrize("value", [None, {"deep": [1, {"a": 0.1}]}, []], ids=["null", "object", "list"])
def test_unknown_members_are_kept_and_written_back(
    document: dict[str, Any], sealed: Seal, path: str, value: object
) -> None:
    digest = document.pop("sidecar_sha256")
    put(document, path, value)
    document["sidecar_sha256"] = digest
    read = sidecar.decode(sealed(text_of(document)))
    assert read.unknown
    written = json.loads(sidecar.encode(read))
    assert written.pop("sidecar_sha256") != digest
    document.pop("sidecar_sha256")
    assert written == document


def test_unknown_members_survive_a_changed_contract(document: dict[str, Any], sealed: Seal) -> None:
    put(document, "thresholds.note", "kept")
    read = sidecar.decode(sealed(text_of(document)))
    changed = dataclasses.replace(read, thresholds=Thresholds(critical=-0.9, warning=-0.6))
    assert json.loads(sidecar.encode(changed))["thresholds"] == {"critical": -0.9, "warning": -0.6, "note": "kept"}


def test_nothing_is_unknown_in_the_shipped_sidecar(real: bytes) -> None:
    assert sidecar.decode(real).unknown == {}


def test_a_newer_schema_is_refused_even_where_nothing_else_is_understood(sealed: Seal) -> None:
    newer = text_of({"schema_version": 3, "sidecar_sha256": ""})
    with pytest.raises(IncompatibleModelError, match=r"schema_version 3, this runtime reads up to 2: update ev-qa-run"):
        sidecar.decode(sealed(newer))


@pytest.mark.parametrize("value", [0, -1, "1", True, 1.0, None])
def test_a_schema_version_that_is_none_is_refused(document: dict[str, Any], sealed: Seal, value: object) -> None:
    document["schema_version"] = value
    with pytest.raises(ArtifactError, match=r"^sidecar: schema_version must be an integer of at least 1"):
        sidecar.decode(sealed(text_of(document)))


# --- what is not JSON as we write it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\x80\x04\x95", "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "schema_version is missing"),
        (b'{"schema_version": 1}', "does not end in its sidecar_sha256"),
        (b'{"a": 1, "a": 1}', "duplicate key"),
        (b'{"b": [{"a": 1, "a": 2}]}', "duplicate key"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": [Infinity]}', "holds Infinity"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e999}', "holds 1e999, which is not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a": ' * 100_000, "not valid JSON"),
        (b'{"a": 1} {}', "not valid JSON"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        sidecar.decode(data)


@pytest.mark.parametrize("depth", [700, 900, 5000])
def test_deep_nesting_is_refused_or_read_but_never_a_recursion_error(
    document: dict[str, Any], sealed: Seal, depth: int
) -> None:
    document["metadata"] = {"deep": "HERE"}
    deep = '{"a":' * depth + "1" + "}" * depth
    data = sealed(text_of(document).replace('"HERE"', deep))
    try:
        read = sidecar.decode(data)
    except ArtifactError as error:
        assert "recursion" in str(error) or "nested" in str(error)  # noqa: PT017 - reading it is fine too
    else:
        assert read.metadata["deep"]["a"]["a"]


# --- members ----------------------------------------------------------------------------------------------------------

TEXT, NUMBER, INTEGER, OBJECT, LIST = (
    "must be text",
    "must be a",
    "must be an integer",
    "must be an object",
    "must be",
)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", 5, TEXT),
        ("version", 1.0, TEXT),
        ("version", "one", "'one' is not a model version"),
        ("created", None, TEXT),
        ("algorithm", [], TEXT),
        ("features", {}, LIST),
        ("features", [], "feature names must be distinct and at least one"),
        ("features.0", "voltage", OBJECT),
        ("features.0.name", None, TEXT),
        ("features.0.name", "", "empty name"),
        ("features.0.name", "current", "feature names must be distinct"),
        ("features.0.unit", 1, TEXT),
        ("features.0.aliases", "volt", LIST),
        ("features.0.aliases", [1], "aliases must be texts"),
        ("features.0.plausible_range", [1.0], "must have two items"),
        ("features.0.plausible_range", ["0", "1"], NUMBER),
        ("features.0.training", [], OBJECT),
        ("features.0.training.mean", "1", NUMBER),
        ("current_sign", "positive", "must be one of discharge_positive"),
        ("thresholds", None, OBJECT),
        ("thresholds.critical", "-0.8", NUMBER),
        ("thresholds.critical", True, NUMBER),
        ("thresholds.critical", 10**400, "must be a finite number"),
        ("thresholds.warning", -0.9, "critical_threshold -0.8 lies above warning_threshold -0.9"),
        ("scoring", [], OBJECT),
        ("scoring.offset", None, NUMBER),
        ("scoring.denominator", -1.0, "negative denominator"),
        ("scoring.offset_cut", "1", NUMBER),
        ("scoring.warning_cut", {}, NUMBER),
        ("scoring.critical_cut", [], NUMBER),
        ("parameters", [], OBJECT),
        ("training", 1, OBJECT),
        ("training.rows", 1.0, INTEGER),
        ("training.rows", -1, INTEGER),
        ("training.invalid_rows", True, INTEGER),
        ("training.sha256", "A" * 64, "is not a SHA-256 digest"),
        ("training.sha256", None, TEXT),
        ("training.time_span", "0", LIST),
        ("training.time_span", ["0", "1", "2"], "must have two items"),
        ("training.source", 1, TEXT),
        ("environment", None, OBJECT),
        ("environment.python", 3.11, TEXT),
        ("onnx", [], OBJECT),
        ("onnx.profile", "fast", "must be one of exact, compat"),
        ("onnx.opsets", [18], OBJECT),
        ("onnx.opsets", {"ai.onnx.ml": "5"}, INTEGER),
        ("onnx.minimum_onnxruntime", 1.21, TEXT),
        ("onnx.minimum_onnxruntime", "newest", "is not a release number such as 1.21"),
        ("parity", None, OBJECT),
        ("parity.max_ulp", None, INTEGER),
        ("golden", [], OBJECT),
        ("golden.readings", 1, LIST),
        ("golden.readings", [1], "must be a list of rows"),
        ("golden.readings.0", [1.0, 2.0], "does not have one reading for each of"),
        ("golden.readings.0.1", "1", NUMBER),
        ("golden.path_length", [], "differ in number"),
        ("golden.path_length.0", None, NUMBER),
        ("golden.score_samples.0", True, NUMBER),
        ("golden.label.0", 1.0, "must hold integers"),
        ("golden.severity.0", None, "must hold integers"),
        ("files", [], OBJECT),
        ("files.onnx", "sha", OBJECT),
        ("files.onnx.bytes", "527719", INTEGER),
        ("files.onnx.bytes", -1, INTEGER),
        ("files.onnx.sha256", "abc", "is not a SHA-256 digest"),
        ("metadata", None, OBJECT),
    ],
)
def test_a_member_of_another_kind_is_refused_by_name(
    document: dict[str, Any], sealed: Seal, path: str, value: object, message: str
) -> None:
    put(document, path, value)
    with pytest.raises(ArtifactError, match=message) as caught:
        sidecar.decode(sealed(text_of(document)))
    if message.startswith(("must be", "is not a SHA")):
        named = [step for step in path.split(".") if not step.isdigit()]
        assert named[-1] in str(caught.value) or named[-2] in str(caught.value)


def members(value: Any, path: str = "") -> list[str]:
    """Paths of every member that the format demands; in lists, those of the first item stand for all."""
    if path in ("parameters", "metadata", "environment", "onnx.opsets", "files"):
        return []
    if isinstance(value, list):
        return members(value[0], f"{path}.0") if value else []
    if not isinstance(value, dict):
        return []
    paths = [f"{path}.{key}" if path else key for key in value]
    return paths + [deeper for key, item in zip(paths, value.values(), strict=True) for deeper in members(item, key)]


def test_a_missing_member_is_refused_by_name(document: dict[str, Any], sealed: Seal) -> None:
    demanded = [path for path in members(document) if path != "sidecar_sha256"]
    assert len(demanded) > 40
    for path in demanded:
        without = copy.deepcopy(document)
        *way, last = path.split(".")
        holder: Any = without
        for step in way:
            holder = holder[int(step) if step.isdigit() else step]
        del holder[last]
        with pytest.raises(ArtifactError, match=rf"{last} is missing$"):
            sidecar.decode(sealed(text_of(without)))


# --- damage -----------------------------------------------------------------------------------------------------------


def test_any_changed_byte_is_refused(real: bytes) -> None:
    for position, byte in enumerate(real):
        changed = bytes([(byte + 1 + position % 255) % 256])
        with pytest.raises(ArtifactError, match=r"sidecar"):
            sidecar.decode(real[:position] + changed + real[position + 1 :])


def test_any_digit_changed_to_another_digit_is_refused_by_digest(real: bytes) -> None:
    """Damage that leaves the JSON well-formed: only the digest can tell."""
    first = real.index(b'"version"')  # a changed schema_version has an error of its own
    positions = [position for position, byte in enumerate(real) if position > first and chr(byte).isdigit()]
    assert len(positions) > 500
    for position in positions:
        digit = b"%d" % ((int(chr(real[position])) + 1) % 10)
        with pytest.raises(ArtifactError, match=r"do not match its own digest|does not end in its|not valid JSON"):
            sidecar.decode(real[:position] + digit + real[position + 1 :])


def test_any_truncation_is_refused(real: bytes) -> None:
    for length in range(len(real)):
        with pytest.raises(ArtifactError, match=r"sidecar"):
            sidecar.decode(real[:length])


@pytest.mark.parametrize("addition", [b"\n", b" ", b"\x00", b"{}"])
def test_anything_appended_is_refused(real: bytes, addition: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"not valid JSON|does not end in"):
        sidecar.decode(real + addition)


def test_other_white_space_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="truncated or edited"):
        sidecar.decode(json.dumps(document).encode())


def test_an_edited_sidecar_says_so(real: bytes) -> None:
    with pytest.raises(IntegrityError, match="do not match its own digest: it was edited or damaged"):
        sidecar.decode(real.replace(b'"critical": -0.8', b'"critical": -0.9'))
