"""scikit-learn's conventions: parameters stored as given, checked at fit; clone, pickle, copy."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_is_fitted

from ev_qa_framework import AnomalyDetector, EVBatteryAnalyzer


@pytest.mark.parametrize("kind", [EVBatteryAnalyzer, AnomalyDetector])
def test_parameters_are_stored_as_given(kind: type[EVBatteryAnalyzer]) -> None:
    given = {
        "contamination": "nonsense",
        "n_estimators": -3,
        "random_state": np.random.RandomState(0),
        "critical_threshold": object(),
        "warning_threshold": None,
        "max_samples": [],
        "features": ["temp"],
        "current_sign": "?",
        "limits": 7,
        "calibration_folds": -1,
    }

    model = kind(**given)

    assert model.get_params().keys() == given.keys()
    assert all(model.get_params()[name] is value for name, value in given.items())
    copied = kind().set_params(**given)
    assert all(getattr(copied, name) is value for name, value in given.items())


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'trees'"):
        EVBatteryAnalyzer().set_params(trees=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("contamination", 0.0),
        ("contamination", 0.51),
        ("contamination", float("nan")),
        ("contamination", "0.1"),
        ("contamination", True),
        ("n_estimators", 0),
        ("n_estimators", 10.0),
        ("n_estimators", True),
        ("random_state", -1),
        ("random_state", 2**32),
        ("random_state", "42"),
        ("max_samples", 0),
        ("max_samples", 1.5),
        ("max_samples", "all"),
        ("critical_threshold", float("-inf")),
        ("critical_threshold", None),
        ("warning_threshold", "-0.5"),
        ("features", "voltage"),
        ("features", ()),
        ("features", ("temp", "temp")),
        ("features", ("temp", "")),
        ("current_sign", "positive"),
    ],
)
def test_a_bad_parameter_is_named_when_fitting_and_not_before(name: str, value: Any, telemetry: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=5).set_params(**{name: value})

    with pytest.raises(ValueError, match=f"^{name} must be "):
        analyzer.fit(telemetry)

    with pytest.raises(NotFittedError, match="EVBatteryAnalyzer is not trained"):
        analyzer.predict(telemetry)


def test_numpy_numbers_are_good_parameters(telemetry: pd.DataFrame, tmp_path: Path) -> None:
    analyzer = EVBatteryAnalyzer(
        contamination=np.float32(0.25),
        n_estimators=np.int32(5),
        random_state=np.random.RandomState(3),
        critical_threshold=np.float64(-0.75),
        warning_threshold=np.float32(-0.5),
        max_samples=np.float64(0.5),
    )
    analyzer.fit(telemetry).save_model(tmp_path / "model")

    loaded = EVBatteryAnalyzer.load_model(tmp_path / "model")
    assert (loaded.contamination, loaded.n_estimators, loaded.max_samples) == (0.25, 5, 0.5)
    assert loaded.random_state is None
    np.testing.assert_array_equal(loaded.score_samples(telemetry), analyzer.score_samples(telemetry), strict=True)


@pytest.mark.parametrize("method", ["score_samples", "decision_function", "predict", "verdicts"])
def test_an_unfitted_model_does_not_score(method: str, telemetry: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError, match=r"call fit\(\) or analyze_telemetry\(\) first"):
        getattr(EVBatteryAnalyzer(), method)(telemetry)
    with pytest.raises(NotFittedError, match="this AnomalyDetector is not trained"):
        AnomalyDetector().detect(telemetry)


def test_check_is_fitted_knows_the_difference(analyzer: EVBatteryAnalyzer, saved: Path) -> None:
    with pytest.raises(NotFittedError, match="This EVBatteryAnalyzer instance is not fitted yet"):
        check_is_fitted(EVBatteryAnalyzer())
    check_is_fitted(analyzer)
    check_is_fitted(EVBatteryAnalyzer.load_model(saved, backend="onnx"))


@pytest.mark.parametrize("kind", [EVBatteryAnalyzer, AnomalyDetector])
def test_a_clone_has_the_parameters_and_is_unfitted(kind: type[EVBatteryAnalyzer], telemetry: pd.DataFrame) -> None:
    fitted = kind(n_estimators=5, features=["temp", "soc"], max_samples=0.5).fit(telemetry)

    cloned = clone(fitted)

    assert type(cloned) is kind
    assert cloned.get_params() == fitted.get_params()
    assert cloned.get_model_info()["is_fitted"] is False
    assert cloned.anomalies.empty
    assert fitted.get_model_info()["is_fitted"] is True


def test_a_clone_of_a_loaded_model_fits_to_the_same_model(saved: Path, telemetry: pd.DataFrame) -> None:
    loaded = EVBatteryAnalyzer.load_model(saved, backend="onnx")

    again = clone(loaded).fit(telemetry)

    np.testing.assert_array_equal(again.score_samples(telemetry), loaded.score_samples(telemetry), strict=True)


def test_the_representation_shows_what_was_changed() -> None:
    assert repr(EVBatteryAnalyzer()) == "EVBatteryAnalyzer()"
    assert repr(AnomalyDetector(n_estimators=5)) == "AnomalyDetector(n_estimators=5)"


@pytest.mark.parametrize("backend", ["sklearn", "onnx"])
@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])  # noqa: S301
def test_pickling_and_copying_keep_the_model(
    copied: Callable[[Any], Any], backend: str, saved: Path, telemetry: pd.DataFrame, tmp_path: Path
) -> None:
    model = AnomalyDetector.load_model(saved, backend=backend)
    model.analyze_telemetry(telemetry)

    twin = copied(model)

    assert type(twin) is AnomalyDetector
    assert twin.get_model_info() == model.get_model_info()
    assert twin.analyze_telemetry(telemetry) == model.analyze_telemetry(telemetry)
    pd.testing.assert_frame_equal(twin.anomalies, model.anomalies)
    twin.save_model(tmp_path / "twin")
    saved_twin = AnomalyDetector.load_model(tmp_path / "twin", backend=backend)
    np.testing.assert_array_equal(saved_twin.score_samples(telemetry), model.score_samples(telemetry), strict=True)


def test_a_fitted_but_unsaved_model_can_be_pickled(analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    twin = pickle.loads(pickle.dumps(analyzer))  # noqa: S301 - just pickled

    np.testing.assert_array_equal(twin.score_samples(telemetry), analyzer.score_samples(telemetry), strict=True)


def test_fit_predict_and_a_grid_search_work(telemetry: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=5)
    np.testing.assert_array_equal(analyzer.fit_predict(telemetry), analyzer.fit(telemetry).predict(telemetry))

    search = GridSearchCV(
        analyzer,
        {"max_samples": [32, 64]},
        scoring=lambda model, rows, labels=None: model.score_samples(rows).mean(),
        cv=2,
    )
    assert search.fit(telemetry).best_params_["max_samples"] in (32, 64)
