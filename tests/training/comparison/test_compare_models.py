"""``compare_models`` on real models: what it takes, what it says, and how it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from ev_qa_framework import EVBatteryAnalyzer, compare_models
from ev_qa_framework.comparison import ModelComparison, SummaryComparison
from ev_qa_runtime import load_model
from ev_qa_runtime.errors import ArtifactError, ConfigurationError, ModelNotFoundError, TelemetryError

CAR = Path(__file__).parents[4] / "shared" / "data" / "ev_fault_car" / "car4.csv"
ADBENCH = Path(__file__).parents[4] / "shared" / "data" / "adbench"
QUICK: dict[str, Any] = {"resamples": 100, "measure_speed": False}


@pytest.fixture(scope="module")
def other(telemetry: pd.DataFrame) -> EVBatteryAnalyzer:
    """A second model: other seed, other contamination, a warning threshold that flags more."""
    return EVBatteryAnalyzer(n_estimators=12, contamination=0.1, random_state=7, warning_threshold=-0.55).fit(
        telemetry.iloc[::2]
    )


@pytest.fixture(scope="module")
def found(analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame) -> ModelComparison:
    return compare_models(analyzer, other, faulty, "fault", **QUICK)


def mirrored(found: ModelComparison) -> dict[str, Any]:
    """Everything that must be the same, or turned around, when the models change places."""
    labelled = found.labelled
    assert labelled is not None
    return {
        "models": (found.b, found.a),
        "invalid": (found.rows.invalid_in_b_only, found.rows.invalid_in_a_only),
        "confusion": np.transpose(found.severity_confusion).tolist(),
        "kappa": found.agreement.kappa,
        "flags": (found.agreement.both, found.agreement.b_only, found.agreement.a_only, found.agreement.neither),
        "quality": (labelled.b, labelled.a),
        "difference": -found.flagged_difference.value,
        "auc": -(labelled.difference.roc_auc.value or 0.0),
        "shift": sorted((each.feature, each.mean, "AB".index(each.model) ^ 1) for each in found.feature_shift),
        "contrast": sorted((each.feature, each.mean_b_only, each.mean_a_only) for each in found.flagged_contrast),
    }


def straight(found: ModelComparison) -> dict[str, Any]:
    labelled = found.labelled
    assert labelled is not None
    return {
        "models": (found.a, found.b),
        "invalid": (found.rows.invalid_in_a_only, found.rows.invalid_in_b_only),
        "confusion": [list(row) for row in found.severity_confusion],
        "kappa": found.agreement.kappa,
        "flags": (found.agreement.both, found.agreement.a_only, found.agreement.b_only, found.agreement.neither),
        "quality": (labelled.a, labelled.b),
        "difference": found.flagged_difference.value,
        "auc": labelled.difference.roc_auc.value,
        "shift": sorted((each.feature, each.mean, "AB".index(each.model)) for each in found.feature_shift),
        "contrast": sorted((each.feature, each.mean_a_only, each.mean_b_only) for each in found.flagged_contrast),
    }


def test_it_says_what_the_models_say(
    analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame, found: ModelComparison
) -> None:
    results_a, results_b = analyzer.analyze_telemetry(faulty), other.analyze_telemetry(faulty)
    assert found.a.flagged.count == results_a["anomalies_detected"]
    assert found.b.flagged.count == results_b["anomalies_detected"]
    assert found.rows.compared == len(faulty)
    confusion = np.array(found.severity_confusion)
    assert confusion.sum() == len(faulty)
    assert confusion[1:].sum(axis=1).tolist() == [results_a["warning_samples"], results_a["critical_samples"]]
    assert confusion[:, 1:].sum(axis=0).tolist() == [results_b["warning_samples"], results_b["critical_samples"]]
    labelled = found.labelled
    assert labelled is not None
    assert labelled.faults == faulty["fault"].sum()
    assert labelled.a.roc_auc.value == pytest.approx(roc_auc_score(faulty["fault"], -analyzer.score_samples(faulty)))
    assert found.a.scores.minimum == results_a["lowest_score"]


def test_swapping_the_models_mirrors_the_comparison(
    analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame, found: ModelComparison
) -> None:
    assert mirrored(compare_models(other, analyzer, faulty, "fault", **QUICK)) == straight(found)


def test_a_model_against_itself(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    found = compare_models(analyzer, analyzer, faulty, "fault", **QUICK)
    assert found.a == found.b
    assert found.flagged_difference.value == 0.0
    assert (found.agreement.same_flag.rate, found.agreement.kappa.value) == (1.0, 1.0)
    assert found.score_agreement.spearman == pytest.approx(1.0)
    assert found.score_agreement.largest_difference == 0.0
    assert [each.mean_a_only for each in found.flagged_contrast] == [None] * 3


def test_it_is_the_same_each_time(analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    found = compare_models(analyzer, other, faulty, "fault", **QUICK)
    assert compare_models(analyzer, other, faulty, "fault", **QUICK) == found
    other_seed = compare_models(analyzer, other, faulty, "fault", seed=1, **QUICK)
    assert other_seed.a.flagged.wilson == found.a.flagged.wilson
    assert other_seed.flagged_difference.blocks != found.flagged_difference.blocks


def test_analyzers_detectors_and_paths_are_the_same(
    analyzer: EVBatteryAnalyzer, saved_once: Path, faulty: pd.DataFrame
) -> None:
    saved = [saved_once, str(saved_once), f"{saved_once}.onnx", load_model(saved_once)]
    saved.append(EVBatteryAnalyzer.load_model(saved_once, backend="onnx"))
    found = [compare_models(model, model, faulty, **QUICK) for model in [analyzer, *saved]]
    assert all(each.a.flagged == found[0].a.flagged and each.a.scores == found[0].a.scores for each in found)
    assert {each.a.name for each in found[1:]} == {"pack_v1.2"}
    assert {each.a.version for each in found[1:]} == {"1.2.0"}


def test_any_table_will_do(analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    columns = {name: faulty[name].to_numpy() for name in ("voltage", "current", "temp")}
    array = np.stack(list(columns.values()), axis=1)
    expected = compare_models(analyzer, other, faulty, **QUICK)
    for data in (
        columns,
        array,
        array.tolist(),
        pa.table(columns),
        [array],
        faulty.rename(columns={"temp": "Temp °C"}),
    ):
        assert compare_models(analyzer, other, data, **QUICK) == expected


def test_labels_in_any_form(
    analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame, found: ModelComparison
) -> None:
    named = np.where(faulty["fault"] == 1, "drift", "none")
    for labels in (faulty["fault"], faulty["fault"].to_numpy() == 1, named.tolist(), pd.Categorical(named)):
        assert compare_models(analyzer, other, faulty, labels, **QUICK).labelled == found.labelled


def test_invalid_rows_are_counted_apart(telemetry: pd.DataFrame, faulty: pd.DataFrame) -> None:
    with_soc = EVBatteryAnalyzer(n_estimators=5, features=("soc", "voltage")).fit(telemetry)
    with_temp = EVBatteryAnalyzer(n_estimators=5, features=("temp", "voltage")).fit(telemetry)
    data = faulty.iloc[:100].reset_index(drop=True).astype(float)
    data.loc[0:9, "soc"] = np.nan
    data.loc[5:24, "temp"] = np.inf
    data.loc[30:31, "voltage"] = np.nan
    found = compare_models(with_soc, with_temp, data, "fault", **QUICK)
    rows = found.rows
    assert (rows.given, rows.compared) == (100, 73)
    assert (rows.invalid_in_both, rows.invalid_in_a_only, rows.invalid_in_b_only) == (5 + 2, 5, 15)
    assert (found.a.invalid_rows, found.b.invalid_rows) == (12, 22)
    assert {each.feature for each in found.flagged_contrast} == {"soc", "temp", "voltage"}
    assert sum(map(sum, found.severity_confusion)) == 73
    kept = [row for row in range(100) if row > 24 and row not in (30, 31)]
    np.testing.assert_array_equal(found.row_values.position, kept)


def test_the_shift_is_that_of_the_data(analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    warmer = telemetry.assign(temp=telemetry["temp"] + 3.0 * telemetry["temp"].std(ddof=0))
    found = {each.feature: each for each in compare_models(analyzer, analyzer, warmer, **QUICK).feature_shift}
    assert found["temp"].shift_std == pytest.approx(3.0)
    assert found["temp"].std_ratio == pytest.approx(1.0)
    outside = (warmer["temp"] > telemetry["temp"].max()).mean()
    assert found["temp"].outside_share == pytest.approx(outside)
    assert found["voltage"].shift_std == pytest.approx(0.0)
    assert found["voltage"].outside_share == 0.0
    assert (found["temp"].unit, found["voltage"].unit) == ("degC", "V")


def test_a_feature_that_never_varied_has_no_shift_in_standard_deviations(telemetry: pd.DataFrame) -> None:
    still = telemetry.assign(temp=20.0)
    model = EVBatteryAnalyzer(n_estimators=5).fit(still)
    shift = {each.feature: each for each in compare_models(model, model, telemetry, **QUICK).feature_shift}
    assert (shift["temp"].shift_std, shift["temp"].std_ratio) == (None, None)


def test_recordings_of_their_own_keep_blocks_apart(
    analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, telemetry: pd.DataFrame, faulty: pd.DataFrame
) -> None:
    apart = compare_models(analyzer, other, [telemetry, faulty], "fault", **QUICK)
    together = compare_models(analyzer, other, pd.concat([telemetry, faulty]), "fault", **QUICK)
    assert (apart.method.recordings, together.method.recordings) == (2, 1)
    assert apart.a.flagged.wilson == together.a.flagged.wilson
    assert apart.agreement.both == together.agreement.both


def test_speed_is_measured_in_turns(analyzer: EVBatteryAnalyzer, saved_once: Path, faulty: pd.DataFrame) -> None:
    latency = compare_models(analyzer, saved_once, faulty, resamples=100).latency
    assert latency is not None
    assert (latency.a.call, latency.b.call) == ("EVBatteryAnalyzer.verdicts", "Detector.score")
    assert latency.batch_rows == len(faulty)
    for speed in (latency.a, latency.b):
        assert 0.0 < speed.one_row_median_us <= speed.one_row_p95_us
        assert 0.0 < speed.batch_median_ms <= speed.batch_p95_ms
        assert speed.rows_per_second == pytest.approx(latency.batch_rows / speed.batch_median_ms * 1e3)
    assert latency.one_row_ratio < 1.0  # ONNX against scikit-learn


def test_the_json_form_is_plain(found: ModelComparison) -> None:
    said = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert said["rows"]["compared"] == found.rows.compared
    assert "row_values" not in said
    assert said["labelled"]["a"]["roc_auc"]["value"] == found.labelled.a.roc_auc.value  # type: ignore[union-attr]
    infinite = replace(found, flagged_difference=replace(found.flagged_difference, value=float("inf")))
    assert infinite.as_dict()["flagged_difference"]["value"] is None


def test_time_is_taken_where_it_never_runs_backwards(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, faulty: pd.DataFrame
) -> None:
    def times(data: Any) -> Any:
        return compare_models(analyzer, analyzer, data, **QUICK).row_values

    np.testing.assert_array_equal(times(faulty).time, faulty["time_s"])
    assert not times(faulty).time_is_date
    assert times(telemetry).time is None  # two trips, each from 0
    assert times([faulty, faulty]).time is None
    stamps = pd.date_range("2026-01-05T08:00:00", periods=len(faulty), freq="s")
    dated = faulty.drop(columns="time_s")
    for data in (dated.assign(Timestamp=stamps.astype(str)), dated.set_index(stamps)):
        assert times(data).time_is_date
        assert times(data).time[0] == pd.Timestamp("2026-01-05T08:00:00Z").timestamp()
    assert times(dated.assign(timestamp="yesterday")).time is None
    assert times(dated).time is None


def test_a_missing_column_is_named(analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, faulty: pd.DataFrame) -> None:
    with_soc = EVBatteryAnalyzer(n_estimators=5, features=("soc", "voltage")).fit(telemetry)
    with pytest.raises(TelemetryError, match=r"missing column\(s\) 'soc'; there were: .* \(model not saved yet\)"):
        compare_models(analyzer, with_soc, faulty.drop(columns="soc"), **QUICK)


def test_an_array_without_names_is_refused_where_the_models_read_different_columns(
    analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    turned = EVBatteryAnalyzer(n_estimators=5, features=("temp", "voltage", "current")).fit(telemetry)
    with pytest.raises(TelemetryError, match="the models read different columns, voltage, current, temp and temp, vol"):
        compare_models(analyzer, turned, np.ones((20, 3)), **QUICK)


def test_what_cannot_be_compared_is_refused(
    analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame, tmp_path: Path, saved: Path
) -> None:
    with pytest.raises(TelemetryError, match=r"none of the 3 row\(s\) is valid for both models"):
        compare_models(analyzer, analyzer, np.full((3, 3), np.nan), **QUICK)
    with pytest.raises(TelemetryError, match=r"none of the 0 row\(s\) is valid for both models"):
        compare_models(analyzer, analyzer, faulty.iloc[:0], **QUICK)
    with pytest.raises(TelemetryError, match=r"there are 2 label\(s\) for \d+ row\(s\)"):
        compare_models(analyzer, analyzer, faulty, [0, 1], **QUICK)
    with pytest.raises(TelemetryError, match="there is no column 'label' of labels"):
        compare_models(analyzer, analyzer, faulty, "label", **QUICK)
    with pytest.raises(NotFittedError, match="is not trained"):
        compare_models(analyzer, EVBatteryAnalyzer(), faulty, **QUICK)
    with pytest.raises(ModelNotFoundError, match="Model file not found"):
        compare_models(analyzer, tmp_path / "nowhere", faulty, **QUICK)
    Path(f"{saved}.onnx").write_bytes(b"no model")
    with pytest.raises(ArtifactError, match="not the ones"):
        compare_models(analyzer, saved, faulty, **QUICK)


def test_settings_are_checked(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="confidence must lie between 0 and 1, not 95"):
        compare_models(analyzer, analyzer, faulty, confidence=95)
    with pytest.raises(ConfigurationError, match="resamples must be at least 100, not 5"):
        compare_models(analyzer, analyzer, faulty, resamples=5)
    with pytest.raises(ConfigurationError, match="block_rows must be at least 1, not 0"):
        compare_models(analyzer, analyzer, faulty, block_rows=0)


def test_misuse_is_a_type_error(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    results = analyzer.analyze_telemetry(faulty)
    with pytest.raises(TypeError, match="needs telemetry to compare two models on"):
        compare_models(analyzer, analyzer)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="cannot compare a int: give an EVBatteryAnalyzer"):
        compare_models(3, analyzer, faulty)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="are compared without models, data and labels"):
        compare_models(results, analyzer)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="are compared without models, data and labels"):
        compare_models(results, results, faulty)  # type: ignore[call-overload]


def test_one_row_is_enough(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    found = compare_models(analyzer, analyzer, faulty.iloc[:1], "fault", resamples=100)
    assert found.rows.compared == 1
    assert found.agreement.same_flag.blocks is None
    json.dumps(found.as_dict(), allow_nan=False)


class TestTwoResults:
    """The guide's form: ``compare_models(results_a, results_b)``."""

    def test_by_hand(self) -> None:
        """Newcombe's example: 56 of 70 and 48 of 80 differ by 0.2, from 0.0524 to 0.3339."""
        a = {"total_samples": 85, "anomalies_detected": 48, "severity": "INFO", "invalid_samples": 5}
        b = {"total_samples": 70, "anomalies_detected": 56, "severity": "WARNING"}
        found = compare_models(a, b)
        assert isinstance(found, SummaryComparison)
        assert (found.a.flagged.rate, found.b.flagged.rate, found.difference) == pytest.approx((0.6, 0.8, 0.2))
        assert (found.interval.low, found.interval.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
        assert not found.same_severity
        assert (found.a.invalid_rows, found.b.warning_rows) == (5, None)

    def test_of_the_same_rows(
        self, analyzer: EVBatteryAnalyzer, other: EVBatteryAnalyzer, faulty: pd.DataFrame
    ) -> None:
        found = compare_models(analyzer.analyze_telemetry(faulty), other.analyze_telemetry(faulty))
        rows = compare_models(analyzer, other, faulty, **QUICK)
        assert found.difference == pytest.approx(rows.flagged_difference.value)
        assert found.a.flagged.wilson == rows.a.flagged.wilson
        assert found.difference in found.interval
        assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["a"]["rows"] == len(faulty)

    def test_nothing_judged(self) -> None:
        empty = {"total_samples": 0, "anomalies_detected": 0, "severity": "INFO"}
        found = compare_models(empty, empty)
        assert (found.difference, found.interval.low, found.interval.high) == (0.0, -1.0, 1.0)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"severity": None, "total_samples": None},
                "the second result is not one of .* it lacks total_samples, sev",
            ),
            ({"anomalies_detected": 11}, "the second result contradicts itself: 11 anomalies in 10 rows"),
            ({"anomalies_detected": -1}, "anomalies_detected is -1"),
            ({"anomalies_detected": 2.5}, "anomalies_detected is 2.5"),
            ({"total_samples": True}, "total_samples is True"),
        ],
    )
    def test_what_is_no_result(self, change: dict[str, Any], message: str) -> None:
        result = {"total_samples": 10, "anomalies_detected": 1, "severity": "INFO"}
        changed = {key: value for key, value in (result | change).items() if value is not None}
        with pytest.raises(TelemetryError, match=message):
            compare_models(result, changed)


@pytest.mark.skipif(not CAR.exists(), reason="the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv")
def test_on_a_real_car() -> None:
    """Trained on spring alone, A finds summer anomalous; B, which saw some of it, ranks the thermal event better."""
    car = pd.read_csv(CAR)
    fault = np.arange(len(car)) >= 14_900
    a = EVBatteryAnalyzer(contamination=0.01, n_estimators=60).fit(car.iloc[:6_000])
    b = EVBatteryAnalyzer(contamination=0.01, n_estimators=60).fit(car.iloc[:12_000])
    found = compare_models(a, b, car, fault, **QUICK)
    shift = {(each.model, each.feature): each.shift_std or 0.0 for each in found.feature_shift}
    assert shift["A", "temp"] > 1.0 > shift["B", "temp"]
    assert found.flagged_difference.value < -0.1
    assert found.flagged_difference.blocks is not None
    assert found.flagged_difference.blocks.high < 0.0
    assert found.labelled is not None
    assert (found.labelled.a.recall.value, found.labelled.b.recall.value) == (1.0, 1.0)
    assert (found.labelled.difference.roc_auc.value or 0.0) > 0.0
    assert found.method.block_rows > 20
    blocks = found.a.flagged.blocks
    assert blocks is not None
    assert blocks.high - blocks.low > 2.0 * (found.a.flagged.wilson.high - found.a.flagged.wilson.low)


@pytest.mark.skipif(not ADBENCH.exists(), reason="the labelled sets are not at ../shared/data/adbench")
@pytest.mark.parametrize(("name", "published"), [("38_thyroid", 0.983), ("6_cardio", 0.932)])
def test_auc_is_what_others_publish(name: str, published: float) -> None:
    """ADBench, table D4, isolation forest: within what another seed does, and inside the interval's neighbourhood."""
    loaded = np.load(ADBENCH / f"{name}.npz", allow_pickle=False)
    features = tuple(f"x{number}" for number in range(loaded["X"].shape[1]))
    data = pd.DataFrame(loaded["X"], columns=features)
    a, b = (EVBatteryAnalyzer(n_estimators=100, random_state=seed, features=features).fit(data) for seed in (0, 1))
    found = compare_models(a, b, data, loaded["y"], block_rows=1, **QUICK)
    assert found.labelled is not None
    assert found.labelled.a.roc_auc.value == pytest.approx(published, abs=0.03)
    difference = found.labelled.difference.roc_auc
    assert difference.interval is not None
    assert abs(difference.value or 0.0) < 0.03
