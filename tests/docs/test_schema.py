"""The published JSON Schema of the sidecar: it takes what we write and refuses what we would refuse."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.signing import sign_model
from ev_qa_runtime.contract import SCHEMA_VERSION
from ev_qa_runtime.sampling import Resolution, Sampling, sampling_document

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "artifacts" / "schema" / "model-v1.schema.json"
SCHEMA_OVER_TIME = ROOT / "artifacts" / "schema" / f"model-v{SCHEMA_VERSION}.schema.json"
OVER_TIME = ROOT / "tests" / "data" / "models" / "over_time_v1.0.0.json"
OVER_TIME_NOW = OVER_TIME.with_name("over_time_v1.1.0.json")
SIDECARS = sorted(
    path for folder in ("production", "experiments", "archive") for path in (ROOT / "artifacts" / folder).glob("*.json")
)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def validator_over_time() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_OVER_TIME.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def over_time() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(OVER_TIME.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    reference = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0.json"
    loaded: dict[str, Any] = json.loads(reference.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_reference_sidecars_are_valid(sidecar: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(json.loads(sidecar.read_text(encoding="utf-8")))


def test_there_are_reference_sidecars() -> None:
    assert SIDECARS


def test_a_fresh_sidecar_is_valid(tmp_path: Path, validator: jsonschema.Draft202012Validator) -> None:
    rows = np.random.default_rng(0).normal([350.0, 10.0, 25.0], [5.0, 20.0, 3.0], (40, 3))
    rows[3, 1] = np.nan
    analyzer = EVBatteryAnalyzer(contamination="auto", n_estimators=3, max_samples=0.5, random_state=None)
    analyzer.fit(rows).save_model(tmp_path / "small", metadata={"nested": {"list": [1, None]}})
    validator.validate(json.loads((tmp_path / "small.json").read_text(encoding="utf-8")))


def test_every_member_is_described(document: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert set(schema["properties"]) - {"signatures"} == set(document) == set(schema["required"])
    assert [name for name, member in schema["properties"].items() if not member.get("description")] == []


def test_a_signed_sidecar_is_valid(tmp_path: Path, validator: jsonschema.Draft202012Validator) -> None:
    rows = np.random.default_rng(0).normal([350.0, 10.0, 25.0], [5.0, 20.0, 3.0], (40, 3))
    analyzer = EVBatteryAnalyzer(n_estimators=3).fit(rows)
    analyzer.save_model(tmp_path / "small", sign_with=Ed25519PrivateKey.generate())
    sign_model(tmp_path / "small", Ed25519PrivateKey.generate(), expires="2999-12-31")
    signed = json.loads((tmp_path / "small.json").read_text(encoding="utf-8"))
    validator.validate(signed)
    assert list(signed)[-2:] == ["signatures", "sidecar_sha256"]
    for name, value in (("key_id", "release"), ("signed", "now"), ("expires", 0), ("signature", "AAAA"), ("note", 1)):
        broken = copy.deepcopy(signed)
        broken["signatures"][1][name] = value
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(broken)


def test_unknown_members_are_allowed(document: dict[str, Any], validator: jsonschema.Draft202012Validator) -> None:
    later = copy.deepcopy(document)
    later["added_later"] = {"a": 1}
    later["training"]["added_later"] = "text"
    later["features"][0]["added_later"] = None
    validator.validate(later)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema_version",), 2, "1 was expected"),
        (("version",), "one", "does not match"),
        (("created",), "yesterday", "does not match"),
        (("current_sign",), "both", "is not one of"),
        (("features",), [], "should be non-empty"),
        (("features", 0, "name"), "", "should be non-empty"),
        (("thresholds", "critical"), None, "is not of type 'number'"),
        (("scoring", "denominator"), -1.0, "less than the minimum"),
        (("training", "sha256"), "ABC", "does not match"),
        (("onnx", "profile"), "fast", "is not one of"),
        (("parity", "max_ulp"), 0.5, "is not of type 'integer'"),
        (("golden", "label", 0), 0, "is not one of"),
        (("golden", "severity", 0), 3, "is not one of"),
        (("files",), {}, "'onnx' is a required property"),
        (("environment", "numpy"), 2.4, "is not of type 'string'"),
        (("metadata",), [], "is not of type 'object'"),
        (("sidecar_sha256",), "0", "does not match"),
    ],
)
def test_broken_sidecars_are_refused(
    path: tuple[Any, ...],
    value: object,
    message: str,
    document: dict[str, Any],
    validator: jsonschema.Draft202012Validator,
) -> None:
    broken = copy.deepcopy(document)
    member: Any = broken
    for step in path[:-1]:
        member = member[step]
    member[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError, match=message):
        validator.validate(broken)


def test_missing_members_are_refused(document: dict[str, Any], validator: jsonschema.Draft202012Validator) -> None:
    for name in document:
        broken = {key: value for key, value in document.items() if key != name}
        with pytest.raises(jsonschema.ValidationError, match=f"'{name}' is a required property"):
            validator.validate(broken)


# --- schema_version 2: models over time -------------------------------------------------------------------------------


def test_the_schemas_differ_in_what_is_over_time_alone() -> None:
    first, second = (json.loads(path.read_text(encoding="utf-8")) for path in (SCHEMA, SCHEMA_OVER_TIME))
    assert (
        set(second["properties"]) - set(first["properties"])
        == {"monitoring"}
        == {*second["required"]} - {*first["required"]}
    )
    same = set(first["properties"]) - {"schema_version"}
    assert {name: first["properties"][name] for name in same} == {name: second["properties"][name] for name in same}


def test_a_sidecar_over_time_is_valid_under_its_own_schema_alone(
    over_time: dict[str, Any],
    document: dict[str, Any],
    validator: jsonschema.Draft202012Validator,
    validator_over_time: jsonschema.Draft202012Validator,
) -> None:
    validator_over_time.validate(over_time)
    assert not validator.is_valid(over_time)
    assert not validator_over_time.is_valid(document)


def members_of(value: Any, schema: dict[str, Any], where: str = "monitoring") -> list[str]:
    """Members that are there and not described, or described and not there or without a text."""
    if isinstance(value, list):
        return [name for item in value[:1] for name in members_of(item, schema["items"], f"{where}[]")]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    wrong = [f"{where}.{name}" for name in set(value) ^ set(known)] if known.keys() != value.keys() else []
    wrong += [f"{where}.{name}" for name, member in known.items() if not member.get("description")]
    return wrong + [
        name for key, inner in value.items() for name in members_of(inner, known.get(key, {}), f"{where}.{key}")
    ]


def test_every_member_over_time_is_described_and_needed(over_time: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA_OVER_TIME.read_text(encoding="utf-8"))
    assert set(schema["properties"]) - {"signatures"} == set(over_time) == set(schema["required"])
    described = schema["properties"]["monitoring"]
    now = json.loads(OVER_TIME_NOW.read_text(encoding="utf-8"))["monitoring"]
    assert members_of(now, described) == []
    assert set(now) - set(over_time["monitoring"]) == {"healthy_range", "sampling"}  # not in files from before
    assert set(described["required"]) == set(over_time["monitoring"])


def test_a_model_of_today_is_valid(validator_over_time: jsonschema.Draft202012Validator) -> None:
    validator_over_time.validate(json.loads(OVER_TIME_NOW.read_text(encoding="utf-8")))


def test_a_sampling_record_is_valid_and_a_broken_one_is_not(
    over_time: dict[str, Any], validator_over_time: jsonschema.Draft202012Validator
) -> None:
    record = sampling_document(Sampling((1.0, 1.0, 2.0), (Resolution("temp", 0.1),)))
    for sampling in (record, None):
        validator_over_time.validate(over_time | {"monitoring": over_time["monitoring"] | {"sampling": sampling}})
    for broken in (
        {"step_s": [1.0, 2.0]},
        {"step_s": [0.0, 1.0, 2.0]},
        {"version": 2},
        {"resolutions": [{"step": 1.0}]},
    ):
        with pytest.raises(jsonschema.ValidationError, match=r"too short|minimum|maximum|required property"):
            validator_over_time.validate(
                over_time | {"monitoring": over_time["monitoring"] | {"sampling": record | broken}}
            )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema_version",), 1, "2 was expected"),
        (("monitoring",), None, "is not of type 'object'"),
        (("monitoring", "recipe", "name"), "magic", "'physics' was expected"),
        (("monitoring", "recipe", "signals", 0), "smell", "is not one of"),
        (("monitoring", "recipe", "voltage", "open_circuit"), [1.0], "is too short"),
        (("monitoring", "recipe", "mean_square_step"), 0, "less than or equal to the minimum"),
        (("monitoring", "quality", "signals", 0, "driver"), "wind", "is not one of"),
        (("monitoring", "events", "n"), 1001, "greater than the maximum"),
        (("monitoring", "limits", "limits", 0), {"signal": "temp"}, "is not valid under any|required property"),
        (("monitoring", "calibration", "warning", "rate"), 1.0, "greater than or equal to the maximum"),
        (("monitoring", "calibration", "folds"), 1, "less than the minimum"),
        (("monitoring", "drift", "score", "counts", 0), -1, "less than the minimum"),
    ],
)
def test_broken_sidecars_over_time_are_refused(
    path: tuple[Any, ...],
    value: object,
    message: str,
    over_time: dict[str, Any],
    validator_over_time: jsonschema.Draft202012Validator,
) -> None:
    broken = copy.deepcopy(over_time)
    member: Any = broken
    for step in path[:-1]:
        member = member[step]
    member[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError, match=message):
        validator_over_time.validate(broken)


@pytest.mark.parametrize("name", ["limits", "calibration", "drift"])
def test_what_a_model_over_time_may_do_without(
    name: str, over_time: dict[str, Any], validator_over_time: jsonschema.Draft202012Validator
) -> None:
    less = copy.deepcopy(over_time)
    less["monitoring"][name] = None
    validator_over_time.validate(less)
