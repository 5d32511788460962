"""``from_config``: parameters from TOML and JSON, profiles, and errors that name the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ev_qa_framework import AnomalyDetector, EVBatteryAnalyzer
from ev_qa_runtime.errors import ConfigurationError

TOML = """
[analyzer]
contamination = 0.05
n_estimators = 300
critical_threshold = -0.9
features = ["voltage", "current", "temp", "soc"]
current_sign = "discharge_positive"

[profiles.conservative]
contamination = 0.01
warning_threshold = -0.7

[profiles.tolerant]
contamination = "auto"
max_samples = 0.5
random_state = 7
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "analyzer.toml"
    file.write_text(TOML, encoding="utf-8")
    return file


def in_json(folder: Path, document: Any) -> Path:
    file = folder / "analyzer.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_a_file_sets_the_parameters_it_names_and_leaves_the_others(config: Path) -> None:
    assert EVBatteryAnalyzer.from_config(config).get_params() == EVBatteryAnalyzer().get_params() | {
        "contamination": 0.05,
        "n_estimators": 300,
        "critical_threshold": -0.9,
        "features": ("voltage", "current", "temp", "soc"),
        "current_sign": "discharge_positive",
    }


def test_a_profile_overrides_the_analyzer_table(config: Path) -> None:
    conservative = EVBatteryAnalyzer.from_config(str(config), profile="conservative")
    tolerant = EVBatteryAnalyzer.from_config(config, "tolerant")

    assert (conservative.contamination, conservative.warning_threshold, conservative.n_estimators) == (0.01, -0.7, 300)
    assert (tolerant.contamination, tolerant.max_samples, tolerant.random_state) == ("auto", 0.5, 7)


def test_json_says_the_same_as_toml(config: Path, tmp_path: Path) -> None:
    import tomllib  # noqa: PLC0415 - of this test alone

    file = in_json(tmp_path, tomllib.loads(TOML))
    for profile in (None, "conservative", "tolerant"):
        ours, theirs = (EVBatteryAnalyzer.from_config(path, profile).get_params() for path in (file, config))
        assert ours == theirs


def test_a_subclass_is_configured_as_itself_and_keeps_its_own_defaults(tmp_path: Path) -> None:
    detector = AnomalyDetector.from_config(in_json(tmp_path, {"analyzer": {"n_estimators": 5}}))

    assert type(detector) is AnomalyDetector
    assert (detector.contamination, detector.n_estimators) == (0.01, 5)


@pytest.mark.parametrize("document", [{}, {"analyzer": {}}, {"profiles": {"p": {}}}])
def test_an_empty_file_means_the_defaults(document: Any, tmp_path: Path) -> None:
    analyzer = EVBatteryAnalyzer.from_config(in_json(tmp_path, document))

    assert analyzer.get_params() == EVBatteryAnalyzer().get_params()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"analyser": {}}, r"analyzer\.json: unknown key 'analyser'; did you mean 'analyzer'\?"),
        ({"xyz": 1}, "unknown key 'xyz'; known are: analyzer, profiles"),
        (
            {"analyzer": {"contaminaton": 0.1}},
            r"analyzer\.json: analyzer: unknown key 'contaminaton'; did you mean 'contamination'\?",
        ),
        (
            {"profiles": {"field": {"n_estimator": 5}}},
            r"profiles\.field: unknown key 'n_estimator'; did you mean 'n_estimators'\?",
        ),
    ],
)
def test_an_unknown_key_is_named_with_a_suggestion(document: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        EVBatteryAnalyzer.from_config(in_json(tmp_path, document))


def test_unknown_keys_of_a_profile_that_is_not_asked_for_are_errors_too(tmp_path: Path) -> None:
    file = in_json(tmp_path, {"profiles": {"a": {}, "b": {"treshold": 1}}})

    with pytest.raises(ConfigurationError, match=r"profiles\.b: unknown key 'treshold'"):
        EVBatteryAnalyzer.from_config(file, "a")


def test_an_unknown_profile_is_named_with_those_there_are(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no profile 'strict'; there are: conservative, tolerant"):
        EVBatteryAnalyzer.from_config(config, "strict")
    with pytest.raises(ConfigurationError, match="no profile 'strict'; there are: none"):
        EVBatteryAnalyzer.from_config(in_json(tmp_path, {}), "strict")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("contamination", 0.6),
        ("contamination", "often"),
        ("n_estimators", 0),
        ("n_estimators", 2.5),
        ("random_state", -1),
        ("critical_threshold", "low"),
        ("warning_threshold", None),
        ("max_samples", 0),
        ("features", []),
        ("features", "temp"),
        ("features", ["temp", 3]),
        ("current_sign", "reversed"),
    ],
)
def test_a_value_out_of_range_is_named_in_table_and_profile(key: str, value: Any, tmp_path: Path) -> None:
    message = rf"analyzer\.json: {key} must be .*, not "
    with pytest.raises(ValueError, match=message):
        EVBatteryAnalyzer.from_config(in_json(tmp_path, {"analyzer": {key: value}}))
    file = in_json(tmp_path, {"profiles": {"p": {key: value}}})
    with pytest.raises(ValueError, match=message):
        EVBatteryAnalyzer.from_config(file, "p")


def test_thresholds_in_the_wrong_order_are_named(tmp_path: Path) -> None:
    document = {"analyzer": {"critical_threshold": -0.4, "warning_threshold": -0.6}}

    with pytest.raises(ConfigurationError, match=r"critical_threshold -0\.4 lies above warning_threshold -0\.6"):
        EVBatteryAnalyzer.from_config(in_json(tmp_path, document))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.toml", b"[analyzer\n", "bad.toml: not valid TOML"),
        ("bad.json", b'{"analyzer": ', "bad.json: not valid JSON"),
        ("bad.json", b"\xff\xfe\x00", "bad.json: not valid JSON"),
        ("list.json", b"[1, 2]", "expected tables analyzer and profiles at the top"),
        ("table.json", b'{"analyzer": 3}', "analyzer must be a table, not 3"),
        ("profile.json", b'{"profiles": {"p": 3}}', "profiles: p must be a table, not 3"),
        ("config.yaml", b"analyzer: {}", r"a configuration is a \.toml or \.json file"),
    ],
)
def test_a_file_that_is_no_configuration_is_an_error(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError, match=message):
        EVBatteryAnalyzer.from_config(tmp_path / name)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Configuration file not found: .*none\.toml"):
        EVBatteryAnalyzer.from_config(tmp_path / "none.toml")
