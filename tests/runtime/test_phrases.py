"""Explanations in words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import Detector
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.contract import FeatureSpec, FeatureStatistics
from ev_qa_runtime.explanation import Explainer, Explanation
from ev_qa_runtime.phrases import PHRASES, explain_in_words, phrase
from ev_qa_runtime.physics.recipe import CELL_FEATURES, DEVIATION_FEATURES, FEATURES, PROBE_FEATURES

USUAL = FeatureStatistics(0.5, 0.25, 0.0, 1.0)
UNITS = {**FEATURES, **CELL_FEATURES, **PROBE_FEATURES, **DEVIATION_FEATURES}

any_value = st.floats(allow_nan=True, allow_infinity=True)


def feature(name: str, unit: str | None = None, training: FeatureStatistics | None = USUAL) -> FeatureSpec:
    return FeatureSpec(name, UNITS.get(name, unit), training=training)


def test_every_physics_feature_has_words() -> None:
    assert set(PHRASES) == set(UNITS)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("voltage_residual", -9.1, "pack voltage 9.1 V below the model at this current"),
        ("voltage_residual", 0.04321, "pack voltage 0.0432 V above the model at this current"),
        ("voltage_residual_mean", -2.0, "pack voltage 2 V below the model at this current, averaged over a minute"),
        ("voltage_noise_ratio", 3.14159, "pack voltage scatters around the model 3.14 times as much as usual"),
        ("voltage_step_ratio", 12.0, "pack voltage stepped away from the model 12 times as far as usual"),
        (
            "resistance_step_residual",
            0.0512,
            "internal resistance 0.0512 ohm above the model, from steps of the current",
        ),
        ("resistance_level_residual", -0.02, "internal resistance 0.02 ohm below the model, from the current's level"),
        ("soc_residual", 12.34, "state of charge 12.3 % above what the current adds up to"),
        ("temp_residual", 15.0, "temperature 15 degC above the model for the heat of this current"),
        ("temp_noise", 2.5, "temperature jumps from reading to reading by 2.5 degC, usually 0.5 degC"),
        ("voltage_stillness", 4.0, "pack voltage unchanged while the model moved by 4 V"),
        ("current_stillness", 4.0, "current unchanged while the pack voltage stepped away from the model by 4 V"),
        ("temp_stillness", 4.0, "temperature unchanged while the model moved by 4 degC"),
        ("soc_stillness", 4.0, "state of charge unchanged while the current moved it by 4 %"),
        ("cell_spread", 0.2, "highest and lowest cell voltage apart by 0.2 V, usually 0.5 V"),
        ("cell_spread_mean", 0.2, "highest and lowest cell voltage on average apart by 0.2 V, usually 0.5 V"),
        ("probe_spread", 11.0, "hottest and coldest temperature probe apart by 11 degC, usually 0.5 degC"),
    ],
)
def test_physics_features(name: str, value: float, text: str) -> None:
    assert phrase(feature(name), value) == text


def test_a_value_that_just_changed_is_not_called_unchanged() -> None:
    text = phrase(feature("voltage_stillness"), 0.0)
    assert text == "voltage_stillness 0 V, 2.0 standard deviations below the training mean 0.5 V"


TEMP = FeatureStatistics(25.0, 4.0, 12.0, 44.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (61.2, "temp 61.2 degC, above the training range 12 to 44 degC"),
        (-40.0, "temp -40 degC, below the training range 12 to 44 degC"),
        (33.0, "temp 33 degC, 2.0 standard deviations above the training mean 25 degC"),
        (15.5, "temp 15.5 degC, 2.4 standard deviations below the training mean 25 degC"),
        (26.0, "temp 26 degC, usual by itself but not together with the other readings"),
        (math.nan, "temp is missing"),
        (math.inf, "temp infinity degC, above the training range 12 to 44 degC"),
        (-math.inf, "temp -infinity degC, below the training range 12 to 44 degC"),
        (1350.6, "temp 1351 degC, above the training range 12 to 44 degC"),
        (1e12, "temp 1.00e+12 degC, above the training range 12 to 44 degC"),
    ],
)
def test_raw_features(value: float, text: str) -> None:
    assert phrase(feature("temp", "degC", TEMP), value) == text


def test_without_training_statistics_or_unit() -> None:
    assert phrase(feature("temp", "degC", None), 61.25) == "temp 61.2 degC"
    assert phrase(feature("fan", None, None), 3.0) == "fan 3"
    assert phrase(feature("cell_spread", None, None), 0.2) == "highest and lowest cell voltage apart by 0.2 V"


def test_only_what_pushes_towards_anomaly_strongest_first() -> None:
    features = [feature(name, "V", TEMP) for name in ("a", "b", "c", "d", "e")]
    explanation = Explanation(100.0, {"a": 5.0, "b": -1.0, "c": -10.0, "d": -0.4, "e": -3.0})
    values = [50.0, 51.0, 52.0, 53.0, 54.0]
    words = explain_in_words(explanation, values, features)
    assert [text[:6] for text in words] == ["c 52 V", "e 54 V", "b 51 V"]
    assert explain_in_words(explanation, values, features, limit=5) == words  # d pushes too little
    assert explain_in_words(explanation, values, features, limit=1) == words[:1]
    assert explain_in_words(explanation, values, features, limit=0) == ()


def test_a_figure_of_all_features_names_the_furthest() -> None:
    features = [feature(name) for name in ("largest_deviation", "mean_deviation", "voltage_residual", "soc_residual")]
    pushes = {"largest_deviation": -9.0, "mean_deviation": -8.0, "voltage_residual": -1.0, "soc_residual": 0.0}
    words = explain_in_words(Explanation(100.0, pushes), [40.0, 9.0, -2.0, 12.0], features)
    assert words == (
        "state of charge 12 % above what the current adds up to",
        "pack voltage 2 V below the model at this current",
    )
    untrained = [feature(spec.name, training=None) for spec in features]
    assert explain_in_words(Explanation(100.0, pushes), [40.0, 9.0, -2.0, 12.0], untrained)[0].startswith("what is")
    missing = explain_in_words(Explanation(100.0, pushes), [40.0, 9.0, -2.0, math.nan], features)
    assert missing == ("pack voltage 2 V below the model at this current",)


def test_nothing_to_say_of_a_usual_reading() -> None:
    assert explain_in_words(Explanation(100.0, {"a": 0.0, "b": 2.0}), [1.0, 2.0], [feature("a"), feature("b")]) == ()


@given(st.sampled_from([*UNITS, "temp"]), any_value, st.one_of(st.none(), st.just(USUAL)))
def test_every_value_has_words(name: str, value: float, training: FeatureStatistics | None) -> None:
    text = phrase(feature(name, "V", training), value)
    assert text
    assert "{" not in text
    assert "nan" not in text


def test_a_hot_pack_of_the_shipped_model(detector: Detector, reference: object) -> None:
    artifact = read_artifact(str(reference))
    explainer = Explainer(artifact.payloads["onnx"], artifact.contract)
    reading = np.array([[362.0, 5.0, 95.0]])
    words = explain_in_words(explainer.explain(reading).row(0), reading[0].tolist(), detector.contract.features)
    assert words[0].startswith("temp 95 degC, above the training range")
