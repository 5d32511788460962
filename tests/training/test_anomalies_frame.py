"""``anomalies``: the flagged rows of the last call, as they were given, with their score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer


@pytest.mark.parametrize(
    "index",
    [
        lambda n: pd.date_range("2024-01-28", periods=n, freq="s", tz="UTC"),
        lambda n: pd.Index([f"row {i}" for i in range(n)]),
        lambda n: pd.Index(np.arange(n) // 2, name="second"),  # every label twice
        lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 2, np.arange(n)], names=["car", "second"]),
    ],
    ids=["datetime", "text", "duplicates", "multi"],
)
def test_flagged_rows_keep_index_and_columns(index: object, analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    frame = faulty.set_index(index(len(faulty))).assign(driver="A")
    before = frame.copy()

    result = analyzer.analyze_telemetry(frame)

    scores = analyzer.score_samples(frame)
    flagged = (analyzer.predict(frame) == -1) | (scores < -0.5)
    assert 0 < flagged.sum() < len(frame)
    assert result["anomalies_detected"] == flagged.sum()
    expected = before[flagged].assign(anomaly_score=scores[flagged])
    pd.testing.assert_frame_equal(analyzer.anomalies, expected)
    pd.testing.assert_frame_equal(frame, before)


def test_the_frame_is_of_the_last_call_and_empty_with_columns_where_nothing_was_flagged(
    telemetry: pd.DataFrame, faulty: pd.DataFrame
) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=10, contamination=0.01, warning_threshold=-0.9, critical_threshold=-0.9)
    analyzer.analyze_telemetry(telemetry)
    assert not analyzer.anomalies.empty

    usual = telemetry[analyzer.predict(telemetry) == 1]
    assert analyzer.analyze_telemetry(usual)["anomalies_detected"] == 0

    assert analyzer.anomalies.empty
    assert list(analyzer.anomalies.columns) == [*telemetry.columns, "anomaly_score"]


def test_invalid_rows_are_not_among_the_anomalies(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    frame = faulty.copy()
    frame.loc[::3, "voltage"] = np.nan

    result = analyzer.analyze_telemetry(frame)

    assert not analyzer.anomalies["voltage"].isna().any()
    assert result["anomalies_detected"] == len(analyzer.anomalies) > 0


def test_changing_the_frame_does_not_change_the_telemetry(analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame) -> None:
    frame = faulty.copy()
    analyzer.analyze_telemetry(frame)

    analyzer.anomalies["voltage"] = 0.0

    pd.testing.assert_frame_equal(frame, faulty)


def test_data_without_an_index_gives_the_features_by_row_number(
    analyzer: EVBatteryAnalyzer, readings: np.ndarray
) -> None:
    analyzer.analyze_telemetry(readings)

    assert list(analyzer.anomalies.columns) == ["voltage", "current", "temp", "anomaly_score"]
    rows = analyzer.anomalies.index.to_numpy()
    np.testing.assert_array_equal(analyzer.anomalies[["voltage", "current", "temp"]].to_numpy(), readings[rows])
