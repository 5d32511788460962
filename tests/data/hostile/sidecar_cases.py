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
OVER_TIME_CASES: list[tuple[str, Edit, str, str]] = []


def case(match: str, error: str = "ArtifactError") -> Callable[[Edit], Edit]:
    def register(edit: Edit) -> Edit:
        CASES.append((edit.__name__, edit, error, match))
        return edit

    return register


def hostile_sidecars(
    sound: bytes, cases: list[tuple[str, Edit, str, str]] = CASES
) -> Iterator[tuple[str, bytes, str, str]]:
    """Name, bytes, error class and pattern of its message, of every case; ``sound`` is what they change."""
    for name, edit, error, match in cases:
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

add("newer_schema", "has schema_version 3, this runtime reads", member("schema_version", 3), "IncompatibleModelError")
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

# --- models over time: the member `monitoring` ------------------------------------------------------------------------


def over_time(name: str, match: str, edit: Edit, error: str = "ArtifactError") -> None:
    OVER_TIME_CASES.append((name, edit, error, match))


def monitoring(path: str, value: Any) -> Edit:
    return member(f"monitoring.{path}", value)


def without(path: str) -> Edit:
    """An edit that takes one member away."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for step in way:
            document = document[step]
        del document[last]

    return edit


def repeated(path: str, times: int) -> Edit:
    """An edit that repeats the items of a list."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for step in way:
            document = document[step]
        document[last] *= times

    return edit


def both(*edits: Edit) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        for one in edits:
            one(document)

    return edit


_LIMIT = "limits.limits.0"
_CURVE = "monitoring.calibration.curve"

over_time("schema_2_without_monitoring", "monitoring is missing", without("monitoring"))
over_time("monitoring_null", "monitoring must be an object", member("monitoring", None))
over_time("monitoring_list", "monitoring must be an object", member("monitoring", []))
over_time("schema_3", "has schema_version 3", member("schema_version", 3), "IncompatibleModelError")
for _name in ("recipe", "quality", "events", "limits", "calibration", "drift"):
    over_time(f"no_{_name}", f"monitoring.{_name} is missing", without(f"monitoring.{_name}"))
    over_time(f"{_name}_text", f"monitoring.{_name} must be an object", monitoring(_name, "x"))
    over_time(f"{_name}_empty", f"monitoring.{_name}.* is missing", monitoring(_name, {}))
    over_time(
        f"{_name}_of_version_2",
        "version 2, this runtime",
        monitoring(f"{_name}.version", 2),
        "ArtifactError" if _name == "quality" else "IncompatibleModelError",
    )
over_time("recipe_of_another_name", "made by recipe", monitoring("recipe.name", "magic"), "IncompatibleModelError")
for _name in ("recipe", "quality", "events"):
    over_time(f"{_name}_null", f"monitoring.{_name} must be an object", monitoring(_name, None))
over_time("recipe_nan", "holds NaN", put('"slope_outside": ', '"slope_outside": NaN, "was": '))
over_time("recipe_infinite", "holds Infinity", put('"slope_outside": ', '"slope_outside": Infinity, "was": '))
over_time("recipe_beyond_doubles", "not a finite number", put('"slope_outside": ', '"slope_outside": 1e999, "was": '))
over_time("recipe_number_text", "slope_outside must be a number", monitoring("recipe.voltage.slope_outside", "1"))
over_time("recipe_coefficient_huge", "a coefficient beyond", monitoring("recipe.voltage.open_circuit.0", 1e308))
over_time("recipe_scale_tiny", "or a scale that small", monitoring("recipe.mean_square_step", 5e-324))
over_time("recipe_scale_zero", "not positive", monitoring("recipe.mean_square_step", 0.0))
over_time("recipe_time_constant_zero", "not positive", monitoring("recipe.voltage.relaxations.0.time_constant_s", 0))
over_time("recipe_range_reversed", "lowest value lies above", monitoring("recipe.voltage.soc_range", [90.0, 10.0]))
over_time("recipe_coefficient_less", "must be 5 finite", monitoring("recipe.voltage.open_circuit", [1.0]))
over_time("recipe_spread_zero", "not positive", monitoring("recipe.spread.2", 0.0))
over_time("recipe_middle_less", "must be 13 finite", monitoring("recipe.middle", [0.0]))
over_time("very_many_relaxations", "too many relaxations", repeated("monitoring.recipe.voltage.relaxations", 5000))
over_time("very_many_coefficients", "must be 7 finite", repeated("monitoring.recipe.thermal.coefficients", 9999))
over_time(
    "signal_unknown",
    "signals that it does not know",
    monitoring("recipe.signals", ["voltage", "current", "temp", "soc", "x"]),
)
over_time("signal_twice", "lack one of", repeated("monitoring.recipe.signals", 2))
over_time("signal_missing", "lack one of", monitoring("recipe.signals", ["voltage"]))
over_time("signals_of_numbers", "must hold texts", monitoring("recipe.signals", [1, 2, 3, 4]))
over_time("features_not_the_recipes", "not the ones that the recipe makes", member("features.0.name", "voltage"))
over_time(
    "recipe_of_other_features",
    "the quality rule lacks signals",
    both(
        monitoring("recipe.signals", ["voltage", "current", "temp", "soc", "temp_min"]),
        monitoring("recipe.middle", [0.0] * 14),
        monitoring("recipe.spread", [1.0] * 14),
    ),
)
over_time("quality_lacks_a_signal", "the quality rule lacks signals", monitoring("quality.signals", []))
over_time("very_many_quality_signals", "names a signal twice", repeated("monitoring.quality.signals", 5000))
over_time("quality_range_huge", "a range beyond", monitoring("quality.signals.0.highest", 1e308))
over_time("quality_range_reversed", "is not below", monitoring("quality.signals.0.highest", -1e9))
over_time("very_many_sentinels", "sentinels", monitoring("quality.signals.0.sentinels", [0.0] * 100_000))
over_time("quality_driver", "driver must be one of", monitoring("quality.signals.0.driver", "wind"))
over_time("quality_stale_zero", "stale_after_s must be above 0", monitoring("quality.stale_after_s", 0))
over_time("event_window_huge", "must keep to 1 <= k <= n", monitoring("events.n", 10**9))
over_time("event_k_above_n", "must keep to 1 <= k <= n", monitoring("events.k", 6))
over_time("event_seconds_negative", "must be finite and not negative", monitoring("events.gap_s", -1.0))
over_time(
    "limit_without_bounds",
    "needs a warning or a critical bound",
    both(monitoring(f"{_LIMIT}.warning", None), monitoring(f"{_LIMIT}.critical", None)),
)
over_time("limit_reversed", "milder than the warning", monitoring(f"{_LIMIT}.critical", 1.0))
over_time("limit_signal", "no such signal or side", monitoring(f"{_LIMIT}.signal", "smell"))
over_time("limit_side", "side must be one of", monitoring(f"{_LIMIT}.side", "beside"))
over_time("limit_hold_negative", "finite and not negative", monitoring(f"{_LIMIT}.hold_s", -1.0))
over_time("limit_twice", "one for each signal and side", repeated("monitoring.limits.limits", 2))
over_time("very_many_limits", "at most 64 limits", repeated("monitoring.limits.limits", 1000))
over_time("cells_huge", "cells_in_series must be from 1", monitoring("limits.cells_in_series", 10**9))
over_time("capacity_zero", "capacity_ah must be a positive", monitoring("limits.capacity_ah", 0.0))
over_time("calibrated_rate", "must lie between 0 and 1", monitoring("calibration.warning.rate", 2.0))
over_time("calibration_folds", "folds must be an integer", monitoring("calibration.folds", 1))
over_time("calibration_interval", "does not hold its estimate", monitoring("calibration.warning.observed_rate.0", 9.0))
over_time(
    "very_long_curve",
    "a calibration curve has at most",
    both(*(repeated(f"{_CURVE}.{name}", 100) for name in ("thresholds", "shares", "bounds"))),
)
over_time("curve_uneven", "one share and one bound", repeated(f"{_CURVE}.shares", 2))
over_time("histogram_falls", "edges must rise", monitoring("drift.score.edges.0", 1e9))
over_time("histogram_counts_negative", "needs a count for each bin", monitoring("drift.score.counts.0", -1))
over_time(
    "very_long_histogram", "at most 1000 edges", monitoring("drift.score.edges", [float(n) for n in range(99_999)])
)
over_time("histograms_of_other_features", "is of other features", monitoring("drift.features.0.name", "x"))
over_time("very_many_histograms", "with distinct names", repeated("monitoring.drift.features", 1000))
_SAMPLING = {"version": 1, "step_s": [1.0, 1.0, 1.0], "resolutions": [{"signal": "temp", "step": 0.1}]}
for _name, _match, _changed in (
    ("text", "monitoring.sampling must be an object", "x"),
    ("empty", "monitoring.sampling.version is missing", {}),
    ("steps_fall", "step_s must be three rising numbers", _SAMPLING | {"step_s": [2.0, 1.0, 1.0]}),
    ("steps_long", "step_s must be three rising numbers", _SAMPLING | {"step_s": [1.0] * 99_999}),
    (
        "tiny",
        "the resolution of 'temp' must be 0 or lie",
        _SAMPLING | {"resolutions": [{"signal": "temp", "step": 5e-324}]},
    ),
    ("many", "at most 64 distinct signals", _SAMPLING | {"resolutions": [{"signal": "temp", "step": 1.0}] * 9999}),
):
    over_time(f"sampling_{_name}", _match, member("monitoring.sampling", _changed))
over_time(
    "sampling_of_version_2",
    "the sampling record has version 2, this runtime",
    member("monitoring.sampling", _SAMPLING | {"version": 2}),
    "IncompatibleModelError",
)
