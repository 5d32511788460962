"""How training data were sampled, the same trips at lower rates, and what training on those is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.over_time import Prepared, fit_monitoring, prepare, read_for_forest, read_over_time
from ev_qa_framework.sampling_rates import SLOWEST_STEP_S, THINNINGS, fit_sampling, thinned_rows
from ev_qa_runtime import load_model

TELEMETRY = Path(__file__).parents[2] / "demo" / "telemetry"
HEALTHY = sorted(TELEMETRY.glob("healthy_*.csv"))


def trips(paths: list[Path], every: int = 1) -> pd.DataFrame:
    frames = [pd.read_csv(path)[::every].assign(trip=number) for number, path in enumerate(paths)]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(trips(HEALTHY[::4]), "discharge_positive")


@pytest.fixture(scope="module")
def fitted() -> EVBatteryAnalyzer:
    analyzer = EVBatteryAnalyzer(features="physics", current_sign="discharge_positive", n_estimators=100)
    return analyzer.fit(trips(HEALTHY[::2]))


def share_of_warnings(analyzer: EVBatteryAnalyzer, every: int) -> float:
    """Of the forest's; the healthy range is that of the rate trained on."""
    scores = [analyzer.score_samples(pd.read_csv(path)[::every]) for path in HEALTHY[1::2]]
    return float((np.concatenate(scores) <= analyzer.warning_threshold).mean())


def test_the_record_says_how_the_data_were_sampled(prepared: Prepared) -> None:
    quality = fit_monitoring(prepared, None).quality
    sampling = fit_sampling(prepared.table, prepared.trips, quality)
    assert sampling is not None
    assert sampling.step_s == (1.0, 1.0, 1.0)
    assert {one.signal: one.step for one in sampling.resolutions} == dict.fromkeys(prepared.table.names, 0.1)
    still = prepared.rows(np.arange(len(prepared.table)) < 1)
    assert fit_sampling(still.table, still.trips, quality) is None


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 5, 10, 20]), st.integers(0, 9))
def test_thinned_trips_have_every_so_manieth_reading_of_each_trip(prepared: Prepared, every: int, seed: int) -> None:
    slow = prepared.rows(np.arange(len(prepared.table)) % every == 0)
    slow.table.time[:] += np.random.default_rng(seed).uniform(-0.2, 0.2, len(slow.table)) * every
    copies = list(thinned_rows(slow.table, slow.trips))
    assert len(copies) == sum(times * every <= SLOWEST_STEP_S for times in THINNINGS)
    for times, rows in zip(THINNINGS, copies, strict=False):
        for trip in range(slow.trip_count):
            here = slow.trips == trip
            assert rows[here][0]
            assert np.count_nonzero(rows & here) == pytest.approx(np.count_nonzero(here) / times, abs=2.0)
            steps = np.diff(slow.table.time[rows & here])
            assert steps.min(initial=np.inf) > (times - 1.5) * every


def test_slow_telemetry_is_not_thinned(prepared: Prepared) -> None:
    slow = prepared.rows(np.arange(len(prepared.table)) % 30 == 0)
    assert list(thinned_rows(slow.table, slow.trips)) == []


def test_the_forest_sees_the_trips_and_their_thinned_copies(prepared: Prepared) -> None:
    monitoring = fit_monitoring(prepared, None)
    plain, forest = read_over_time(prepared, monitoring), read_for_forest(prepared, monitoring)
    assert np.array_equal(forest.values[: len(plain)], plain.values, equal_nan=True)
    copies = sum(int(rows.sum()) for rows in thinned_rows(prepared.table, prepared.trips))
    assert len(forest) == len(plain) + copies
    assert 0.4 * len(plain) < copies < 0.5 * len(plain)


def test_healthy_trips_at_lower_rates_are_judged_quietly_enough(fitted: EVBatteryAnalyzer) -> None:
    with pytest.warns(UserWarning, match="readings come every 3 s, in training every 1 s: score more often"):
        assert share_of_warnings(fitted, 3) <= 0.02
    with pytest.warns(UserWarning, match="readings come every 10 s, in training every 1 s: score more often"):
        assert share_of_warnings(fitted, 10) <= 0.04


def test_a_saved_model_knows_its_sampling_and_says_what_is_unlike(fitted: EVBatteryAnalyzer, tmp_path: Path) -> None:
    fitted.save_model(tmp_path / "pack_v1.0.0")
    detector = load_model(tmp_path / "pack_v1.0.0")
    assert detector.info["monitoring"]["sampling"].startswith("every 1 s; resolution: voltage 0.1")
    drive = pd.read_csv(HEALTHY[-1])
    assert detector.analyze_telemetry(drive)["remark"] is None
    with pytest.warns(UserWarning, match="readings come every 30 s"):
        assert "readings come every 30 s" in detector.analyze_telemetry(drive[::30])["remark"]
    with pytest.warns(UserWarning, match="temp comes in steps of 1 degC, in training of 0.1 degC"):
        detector.analyze_telemetry(drive.assign(temp=drive["temp"].round()))
