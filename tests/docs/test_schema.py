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

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "artifacts" / "schema" / f"model-v{SCHEMA_VERSION}.schema.json"
SIDECARS = sorted(
    path for folder in ("production", "experiments", "archive") for path in (ROOT / "artifacts" / folder).glob("*.json")
)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


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
