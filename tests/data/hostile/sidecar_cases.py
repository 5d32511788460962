"""Hostile sidecars: edits of a sound one, each with the error that must refuse it. Standard library only.

A case gets the parsed sidecar and changes it, or returns the text or bytes to write instead. Text gets a fitting digest
afterwards (so that the case reaches behind it), bytes are written as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

DIGEST = '"sidecar_sha256": "'
Edit = Callable[[dict[str, Any]], "str | bytes | None"]
CASES: list[tuple[str, Edit, str, str]] = []


def case(match: str, error: str = "ArtifactError") -> Callable[[Edit], Edit]:
    def register(edit: Edit) -> Edit:
        CASES.append((edit.__name__, edit, error, match))
        return edit

    return register


def hostile_sidecars(sound: bytes) -> Iterator[tuple[str, bytes, str, str]]:
    """Name, bytes, error class and pattern of its message, of every case."""
    for name, edit, error, match in CASES:
        document = json.loads(sound)
        result = edit(document)
        text = spelled(document) if result is None else result
        yield name, text if isinstance(text, bytes) else sealed(text), error, match


def spelled(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def sealed(text: str) -> bytes:
    """The text with the digest that it needs, where it has a place for one."""
    start, key, _ = text.rpartition(DIGEST)
    if not key:
        return text.encode()
    blank = f'{start}{key}{"0" * 64}"\n}}\n'.encode()
    return blank[:-68] + hashlib.sha256(blank).hexdigest().encode() + b'"\n}\n'


def member(path: str, value: Any) -> Edit:
    """An edit that sets one member, such as ``golden.label.0``."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        target: Any = document
        for step in way:
            target = target[int(step)] if isinstance(target, list) else target[step]
        target[int(last) if isinstance(target, list) else last] = value

    return edit


def add(name: str, match: str, edit: Edit, error: str = "ArtifactError") -> None:
    CASES.append((name, edit, error, match))


def put(old: str, new: str) -> Edit:
    """An edit of the text itself, for what a JSON writer would not write."""

    def edit(document: dict[str, Any]) -> str:
        text = spelled(document)
        assert old in text
        return text.replace(old, new, 1)

    return edit


# --- not JSON, or not as strict as it must be -------------------------------------------------------------------------

add("no_bytes", "not valid JSON", lambda _: b"")
add("zeros", "not valid JSON", lambda _: bytes(4096))
add("not_utf_8", "not valid JSON", lambda _: b'{"schema_version": 1, "name": "\xff\xfe"}')
add("utf_16", "not valid JSON", lambda document: spelled(document).encode("utf-16"))
add("byte_order_mark", "not valid JSON", lambda document: b"\xef\xbb\xbf" + sealed(spelled(document)))
add("a_list", "not a JSON object", lambda _: b"[1]")
add("a_number", "not a JSON object", lambda _: b"1")
add("nested_lists", "not valid JSON|nested more than", lambda _: b"[" * 200_000)
add("nested_objects", "not valid JSON|nested more than", lambda _: b'{"a":' * 200_000)
add("closed_nesting", "not valid JSON|nested more than", lambda _: b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}")
add("trailing_text", "not valid JSON", lambda document: sealed(spelled(document)) + b"{}")
add("comment", "not valid JSON", put("{\n", "{ // hello\n"))
add("single_quotes", "not valid JSON", put('"name"', "'name'"))
add("control_character_in_text", "not valid JSON", put('"sound_exact"', '"sound\x00exact"'))
add("duplicate_key", "duplicate key", put('"name":', '"name": "other",\n "name":'))
add("duplicate_key_inside", "duplicate key", put('"onnx": {\n   "bytes"', '"onnx": {\n   "bytes": 1,\n   "bytes"'))
add("nan", "holds NaN", put('"offset": -', '"offset": NaN, "was": -'))
add("infinity", "holds -Infinity", put('"offset": -', '"offset": -Infinity, "was": -'))
add("beyond_doubles", "1e999, which is not a finite number", put('"denominator": ', '"denominator": 1e999, "was": '))
add("very_long_number", "not a finite number", put('"denominator": ', '"denominator": 1' + "0" * 9999 + '.0, "was": '))
add("integer_of_5000_digits", "not valid JSON", put('"rows": ', '"rows": 1' + "0" * 5000 + ', "was": '))
add(
    "integer_of_4000_digits",
    "training.rows must be an integer",
    put('"rows": ', '"rows": 1' + "0" * 4000 + ', "was": '),
)
add("lone_surrogate", "UTF-8 cannot encode", put('"sound_exact"', '"sound_\\ud800"'))
add("lone_surrogate_in_metadata", "UTF-8 cannot encode", put('"metadata": {', '"metadata": {"x": ["\\uDFFF"]'))


@case("nested more than 120 deep")
def deep_metadata(document: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = {"deeper": deep}
    document["metadata"] = deep


@case("nested more than 120 deep")
def deep_unknown_member(document: dict[str, Any]) -> str:
    return spelled({"later": 1, **document}).replace('"later": 1', '"later": ' + "[" * 300 + "]" * 300)


# --- the digest -------------------------------------------------------------------------------------------------------

add("no_digest", "does not end in its sidecar_sha256", put('"sidecar_sha256"', '"other_sha256"'), "IntegrityError")
add(
    "digest_of_other_bytes",
    "do not match its own digest",
    lambda document: sealed(spelled(document)).replace(b'"warning": -0.5', b'"warning": -0.6'),
    "IntegrityError",
)
add(
    "digest_in_capitals",
    "does not end in its sidecar_sha256",
    lambda document: sealed(spelled(document))[:-68] + b"A" * 64 + b'"\n}\n',
    "IntegrityError",
)
add(
    "digest_not_last",
    "does not end in its sidecar_sha256",
    lambda document: sealed(spelled(document)).removesuffix(b"\n}\n") + b',\n "after": 1\n}\n',
    "IntegrityError",
)
add(
    "other_line_ends",
    "does not end in its sidecar_sha256",
    lambda document: sealed(spelled(document)).replace(b"\n", b"\r\n"),
    "IntegrityError",
)

# --- versions ---------------------------------------------------------------------------------------------------------

add("newer_schema", "has schema_version 2, this runtime reads", member("schema_version", 2), "IncompatibleModelError")
add("absurd_schema", "schema_version must be an integer", member("schema_version", 2**70))
add("schema_zero", "schema_version must be an integer", member("schema_version", 0))
add("schema_as_text", "schema_version must be an integer", member("schema_version", "1"))
add("schema_true", "schema_version must be an integer", member("schema_version", True))
add("newer_onnxruntime", "needs onnxruntime 99.0", member("onnx.minimum_onnxruntime", "99.0"), "IncompatibleModelError")
add("version_of_many_digits", "version", member("version", "1." + "9" * 4000 + ".0"))
add("unknown_profile", "onnx.profile must be one of", member("onnx.profile", "exotic"))
add("other_profile", "refused", member("onnx.profile", "compat"))
add("other_opsets", "its opsets .* are not those", member("onnx.opsets", {"": 18, "ai.onnx.ml": 4}))
add("absurd_opset", "opsets", member("onnx.opsets", {"": 2**62, "ai.onnx.ml": 5}))

# --- names and paths --------------------------------------------------------------------------------------------------

for _label, _name in {
    "parent": "../other_v1.0",
    "absolute": "/etc/passwd",
    "windows_path": "..\\other",
    "drive": "C:other",
    "empty": "",
    "dots": "..",
    "null": "a\0b",
    "line_end": "a\nb",
    "terminal_escape": "a\x1b[2Jb",
    "right_to_left": "a\u202eb",
    "device": "NUL",
    "device_with_suffix": "com1.model",
    "very_long": "x" * 5000,
}.items():
    add(f"name_{_label}", "name: ", member("name", _name))
for _label, _suffix in {
    "parent": "../x",
    "absolute": "/etc/passwd",
    "dotted": "onnx.part",
    "empty": "",
    "sidecar": "json",
    "capitals": "ONNX",
    "null": "a\0",
    "very_long": "x" * 5000,
}.items():
    add(
        f"suffix_{_label}",
        "files: ",
        member(f"files.{_suffix}" if "." not in _suffix else "files", {_suffix: {"bytes": 1, "sha256": "0" * 64}})
        if "." in _suffix
        else member(f"files.{_suffix}", {"bytes": 1, "sha256": "0" * 64}),
    )
add("no_files", "lists no .onnx file", member("files", {}))
add("size_that_lies", "its bytes are not the ones", member("files.onnx.bytes", 2**30 - 1), "IntegrityError")
add("size_beyond_the_limit", "more than the limit", member("files.onnx.bytes", 2**40))
add("size_zero", "its bytes are not the ones", member("files.onnx.bytes", 0), "IntegrityError")
add("size_negative", "files.onnx.bytes must be an integer", member("files.onnx.bytes", -1))
add("size_as_float", "files.onnx.bytes must be an integer", member("files.onnx.bytes", 2376.0))
add("digest_of_another_file", "its bytes are not the ones", member("files.onnx.sha256", "0" * 64), "IntegrityError")
add("digest_too_short", "files.onnx.sha256 is not a SHA-256", member("files.onnx.sha256", "0" * 63))
add("digest_with_line_end", "files.onnx.sha256 is not a SHA-256", member("files.onnx.sha256", "0" * 64 + "\n"))

# --- contents ---------------------------------------------------------------------------------------------------------


@case("a golden row does not have one reading")
def one_feature_more(document: dict[str, Any]) -> None:
    document["features"].append({**document["features"][0], "name": "fourth"})


@case("takes 3 features, its sidecar lists 4")
def one_feature_more_everywhere(document: dict[str, Any]) -> None:
    document["features"].append({**document["features"][0], "name": "fourth"})
    document["golden"]["readings"] = [[*row, 0.0] for row in document["golden"]["readings"]]


@case("takes 3 features, its sidecar lists 2")
def one_feature_less(document: dict[str, Any]) -> None:
    document["features"].pop()
    document["golden"]["readings"] = [row[:-1] for row in document["golden"]["readings"]]


add("no_features", "feature names must be distinct and at least one", member("features", []))
add("feature_twice", "feature names must be distinct", member("features.1.name", "voltage"))
add("feature_without_name", "empty name", member("features.0.name", ""))


@case("feature names must be distinct")
def very_many_features(document: dict[str, Any]) -> None:
    document["features"] = [document["features"][0]] * 20_000


@case("golden rows and their expected results differ in number")
def no_golden_rows(document: dict[str, Any]) -> None:
    document["golden"] = {name: [] for name in document["golden"]}


@case("there are 11200 golden rows, at most 10000")
def very_many_golden_rows(document: dict[str, Any]) -> None:
    document["golden"] = {name: items * 700 for name, items in document["golden"].items()}


@case("golden rows and their expected results differ in number")
def one_golden_row_less(document: dict[str, Any]) -> None:
    document["golden"]["readings"].pop()


@case("the golden rows score differently", "IntegrityError")
def golden_rows_exchanged(document: dict[str, Any]) -> None:
    document["golden"]["readings"].reverse()


add("golden_label", "the golden rows score differently", member("golden.label.0", 7), "IntegrityError")
add("golden_label_beyond_64_bits", "golden.label must hold integers", member("golden.label.0", 2**70))
add("golden_label_true", "golden.label must hold integers", member("golden.label.0", True))
add("golden_reading_text", "golden.readings must be a number", member("golden.readings.0.0", "350"))
add("golden_reading_object", "golden.readings must be a list of rows", member("golden.readings.0", {}))
add(
    "golden_reading_huge",
    "the golden rows score differently",
    member("golden.readings", [[1e308] * 3] * 16),
    "IntegrityError",
)
add("golden_score", "the golden rows score differently", member("golden.score_samples.3", -0.9), "IntegrityError")
add("thresholds_exchanged", "lies above warning_threshold", member("thresholds.critical", -0.1))
add("threshold_missing", "thresholds.critical is missing", member("thresholds", {"warning": -0.5}))
add("threshold_null", "thresholds.critical must be a number", member("thresholds.critical", None))
add("denominator_negative", "negative denominator", member("scoring.denominator", -1.0))
add("denominator_tiny", "the golden rows score differently", member("scoring.denominator", 5e-324), "IntegrityError")
add("other_offset", "offset_cut is not the path length", member("scoring.offset", -0.1))
add("other_warning_threshold", "warning_cut is not the path length", member("thresholds.warning", -0.3))
add("other_critical_cut", "critical_cut is not the path length", member("scoring.critical_cut", 0.5))
add("negative_cut", "critical_cut is not the path length", member("scoring.critical_cut", -1.0))
add("time_span_of_lists", "time_span must hold two texts", member("training.time_span", [[1], [2]]))
add("environment_of_numbers", "environment.python must be text", member("environment.python", 3))
add("metadata_list", "metadata must be an object", member("metadata", []))
add("aliases_of_numbers", "aliases must be texts", member("features.0.aliases", [1]))
add(
    "null_everywhere",
    "must be",
    lambda document: spelled(dict.fromkeys(document) | {"schema_version": 1, "sidecar_sha256": "0" * 64}),
)
