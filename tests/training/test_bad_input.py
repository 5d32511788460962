"""Bad input: a clear error or an INVALID row, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer

BAD_READINGS = {
    "missing": [np.nan],
    "not finite": [np.inf, -np.inf],
    "beyond float32": [3.5e38, -3.5e38, 1e300],
}


@pytest.fixture(params=["fitted", "sklearn", "onnx", "runtime"])
def model(request: pytest.FixtureRequest, analyzer: EVBatteryAnalyzer, saved_once: Path) -> object:
    """Every way to have a trained model."""
    if request.param == "fitted":
        return analyzer
    if request.param == "runtime":
        return ev_qa_runtime.load_model(saved_once)
    return EVBatteryAnalyzer.load_model(saved_once, backend=request.param)


@pytest.mark.parametrize("rows", [0, 1, 9])
@pytest.mark.parametrize("fit", ["fit", "analyze_telemetry"])
def test_too_few_rows_to_fit(fit: str, rows: int, telemetry: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=5)

    with pytest.raises(ValueError, match=rf"^cannot fit on {rows} valid row\(s\) of {rows}: at least 10 are needed$"):
        getattr(analyzer, fit)(telemetry.head(rows))

    assert not analyzer.get_model_info()["is_fitted"]


def test_ten_rows_are_enough(telemetry: pd.DataFrame) -> None:
    assert EVBatteryAnalyzer(n_estimators=5).analyze_telemetry(telemetry.head(10))["training_samples"] == 10


def test_all_rows_invalid(telemetry: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"^cannot fit on 0 valid row\(s\) of 720: .* 720 more are INVALID$"):
        EVBatteryAnalyzer().fit(telemetry.assign(temp=np.nan))


def test_too_few_valid_rows(telemetry: pd.DataFrame) -> None:
    frame = telemetry.head(20).copy()
    frame.loc[9:, "voltage"] = np.inf

    with pytest.raises(ValueError, match=r"^cannot fit on 9 valid row\(s\) of 20: .* 11 more are INVALID$"):
        EVBatteryAnalyzer().fit(frame)


def test_an_empty_batch_is_scored_as_empty(model: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    result = model.analyze_telemetry(telemetry.head(0))

    assert (result["total_samples"], result["anomaly_percentage"], result["severity"]) == (0, 0.0, "INFO")
    assert model.score_samples(telemetry.head(0)).shape == (0,)
    assert model.predict(telemetry.head(0)).dtype == np.int64


def test_a_missing_column_is_named_with_what_was_there(model: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    frame = telemetry[["soc", "current", "time_s"]]

    for use in (model.analyze_telemetry, model.score_samples, EVBatteryAnalyzer().fit):
        with pytest.raises(
            ValueError,
            match=r"^missing column\(s\) 'voltage', 'temp'; there were: 'soc', 'current', 'time_s' "
            r"\('voltage' may also be called '[^()]+'; all names: docs/telemetry.md\)$",
        ):
            use(frame)


@pytest.mark.parametrize("names", [("temp", "temp"), ("temp", "temperature"), ("Temp_C", "TEMPERATURE [degC]")])
def test_a_duplicate_column_is_named(names: tuple[str, str], model: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    frame = pd.concat([telemetry[["voltage", "current", "temp", "temp"]]], axis=1)
    frame.columns = ["voltage", "current", *names]

    for use in (model.predict, EVBatteryAnalyzer().analyze_telemetry):
        with pytest.raises(ValueError, match=r"^duplicate columns for 'temp': '.*', '.*'; keep one of them$") as caught:
            use(frame)
        assert all(repr(name) in str(caught.value) for name in names)


@pytest.mark.parametrize(
    ("spoil", "shown"),
    [
        (lambda column: column.astype(str), "'22.0'|'27.4'"),
        (lambda column: column.astype(object).where(column.index != 3, "n/a"), "row 3 holds 'n/a'"),
        (lambda column: column > 0, "bool"),
        (pd.to_datetime, "datetime64"),
        (lambda column: column.astype(complex), "complex128"),
        (lambda column: column.astype(str).astype("category"), "row 0 holds"),
    ],
    ids=["text", "one text", "bool", "datetime", "complex", "category"],
)
def test_a_column_that_is_not_numeric_is_named(
    spoil: Callable[[pd.Series], pd.Series], shown: str, model: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    frame = telemetry.assign(temp=spoil(telemetry["temp"]))

    for use in (model.analyze_telemetry, EVBatteryAnalyzer().fit):
        with pytest.raises(ValueError, match=f"^column 'temp' is not numeric: .*({shown})"):
            use(frame)


def test_columns_of_different_length_are_named(model: EVBatteryAnalyzer) -> None:
    with pytest.raises(ValueError, match=r"^columns differ in length: .*'temp': 2"):
        model.score_samples({"voltage": [1.0, 2.0, 3.0], "current": [1.0, 2.0, 3.0], "temp": [1.0, 2.0]})


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 4), (5, 3, 1)])
def test_an_array_of_another_width_is_refused(shape: tuple[int, ...], model: EVBatteryAnalyzer) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(rows, 3\) for voltage, current, temp, not \("):
        model.predict(np.ones(shape))


@pytest.mark.parametrize("reason", BAD_READINGS)
def test_rows_that_cannot_be_judged_are_invalid_counted_and_never_normal(
    reason: str, model: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    clean = model.analyze_telemetry(telemetry)
    labels = model.predict(telemetry)
    for number, reading in enumerate(BAD_READINGS[reason]):
        frame = telemetry.astype(float)
        rows = np.arange(number, len(frame), 7)
        frame.loc[rows, "current"] = reading

        result = model.analyze_telemetry(frame)

        assert result["invalid_samples"] == len(rows)
        assert result["invalid_reasons"] == {f"current: {reason}": len(rows)}
        assert result["total_samples"] == clean["total_samples"]
        assert (model.predict(frame)[rows] == -1).all()
        verdicts = model.verdicts(frame)
        assert not verdicts.anomalous[rows].any()
        assert all(str(verdicts.row(row).severity) == "INVALID" for row in rows[:3].tolist())
        others = np.setdiff1d(np.arange(len(frame)), rows)
        np.testing.assert_array_equal(model.predict(frame)[others], labels[others])
        json.dumps(result, allow_nan=False)


def test_a_batch_without_a_row_that_can_be_judged_is_not_harmless(
    model: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    result = model.analyze_telemetry(telemetry.assign(voltage=np.nan))

    assert (result["severity"], result["anomalies_detected"]) == ("WARNING", 0)
    assert result["invalid_samples"] == len(telemetry)
    assert result["lowest_score"] is None
    assert result["lowest_score_row"] is None


def test_invalid_rows_are_not_fitted_on_and_the_result_says_so(telemetry: pd.DataFrame, tmp_path: Path) -> None:
    dirty = telemetry.astype(float)
    bad = [reading for readings in BAD_READINGS.values() for reading in readings]
    rows = np.arange(0, len(dirty), 11)
    for number, row in enumerate(rows):
        dirty.loc[row, ["voltage", "current", "temp"][number % 3]] = bad[number % len(bad)]
    clean = telemetry.drop(index=rows)
    on_dirty, on_clean = EVBatteryAnalyzer(n_estimators=10), EVBatteryAnalyzer(n_estimators=10)

    result = on_dirty.analyze_telemetry(dirty)
    on_clean.analyze_telemetry(clean)

    assert result["invalid_samples"] == result["excluded_from_training"] == len(rows)
    assert result["training_samples"] == len(clean)
    np.testing.assert_array_equal(on_dirty.scaler.mean_, on_clean.scaler.mean_)
    np.testing.assert_array_equal(on_dirty.scaler.scale_, on_clean.scaler.scale_)
    for ours, theirs in zip(on_dirty.model.estimators_, on_clean.model.estimators_, strict=True):
        assert ours.tree_.__getstate__()["nodes"].tobytes() == theirs.tree_.__getstate__()["nodes"].tobytes()
    assert on_dirty.model.offset_ == on_clean.model.offset_
    on_dirty.save_model(tmp_path / "dirty")
    training = json.loads((tmp_path / "dirty.json").read_text())["training"]
    assert (training["rows"], training["invalid_rows"]) == (len(clean), len(rows))
    assert EVBatteryAnalyzer.load_model(tmp_path / "dirty").analyze_telemetry(dirty) == result


@pytest.mark.parametrize("wild", [{"voltage": -10.0}, {"voltage": 200.0}, {"voltage": 3e38}, {"current": -3e38}])
def test_wild_but_finite_readings_are_scored_and_flagged(
    wild: dict[str, float], model: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    frame = telemetry.iloc[300:320].reset_index(drop=True).astype(float)
    before = model.score_samples(frame)
    frame.loc[7, list(wild)] = list(wild.values())

    result = model.analyze_telemetry(frame)

    assert result["invalid_samples"] == 0
    assert result["lowest_score_row"] == 7
    assert result["lowest_score"] < before[7]
    assert model.verdicts(frame).anomalous[7]
    assert model.predict(frame)[7] == -1


@pytest.mark.parametrize("voltage", [-10.0, 200.0])
def test_a_48_volt_pack_never_reads_minus_10_or_200_volts(voltage: float) -> None:
    rng = np.random.default_rng(0)
    pack = pd.DataFrame(
        {"voltage": rng.normal(48, 1, 500), "current": rng.normal(0, 20, 500), "temp": rng.normal(25, 2, 500)}
    )
    analyzer = EVBatteryAnalyzer(n_estimators=50).fit(pack)

    result = analyzer.analyze_telemetry(pack.head(30).assign(voltage=voltage))

    assert result["anomalies_detected"] == result["total_samples"] == 30
    assert result["severity"] in ("WARNING", "CRITICAL")


@pytest.mark.parametrize("constant", [0.0, 22.5, -1e-30, 1e30])
def test_a_constant_column_works(constant: float, telemetry: pd.DataFrame, tmp_path: Path) -> None:
    frame = telemetry.assign(temp=constant)
    analyzer = EVBatteryAnalyzer(n_estimators=5, contamination=0.1)
    result = analyzer.analyze_telemetry(frame)
    analyzer.save_model(tmp_path / "model")

    loaded = ev_qa_runtime.load_model(tmp_path / "model")
    assert loaded.analyze_telemetry(frame) == result
    np.testing.assert_array_equal(loaded.score_samples(frame), analyzer.score_samples(frame), strict=True)


def test_identical_rows_work(tmp_path: Path) -> None:
    frame = pd.DataFrame({"voltage": [355.0] * 50, "current": [0.0] * 50, "temp": [20.0] * 50})
    analyzer = EVBatteryAnalyzer(n_estimators=5)
    result = analyzer.analyze_telemetry(frame)
    analyzer.save_model(tmp_path / "model")

    assert result["severity"] == "INFO"
    assert len(set(analyzer.score_samples(frame).tolist())) == 1
    assert ev_qa_runtime.load_model(tmp_path / "model").analyze_telemetry(frame) == result


def test_a_failed_fit_keeps_the_trained_model(telemetry: pd.DataFrame) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=5).fit(telemetry)
    before = analyzer.score_samples(telemetry)

    with pytest.raises(ValueError, match="cannot fit on 3 valid"):
        analyzer.fit(telemetry.head(3))

    np.testing.assert_array_equal(analyzer.score_samples(telemetry), before)
