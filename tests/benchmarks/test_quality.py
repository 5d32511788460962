"""The harness: areas and alarms by hand and against scikit-learn, folds by trip, and a slice end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks.engines.base import UnavailableError
from benchmarks.faults import FAULT_KINDS, KIND_OF, inject
from benchmarks.pack_estimate import PackEstimate
from benchmarks.quality import __main__ as command
from benchmarks.quality import adbench, severities
from benchmarks.quality.alarms import delay, delay_text, false_alarms_per_100h, healthy_alarms
from benchmarks.quality.areas import PairedTrips, draws, wins
from benchmarks.quality.detectors import (
    ALARM_RATE,
    UNJUDGED,
    Calibrated,
    PhysicsFeatures,
    PhysicsForest,
    PhysicsRecipe,
    RawRecipe,
    RawSignals,
    peers,
)
from benchmarks.quality.evaluation import area, evaluate
from benchmarks.quality.report import (
    adbench_table,
    area_table,
    delay_table,
    simulated_table,
    summary_table,
    within_table,
)
from benchmarks.quality.severities import Shares
from benchmarks.quality.trips import Telemetry, cut, folds, read_telemetry
from benchmarks.workload import TELEMETRY
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ev_qa_runtime.errors import TelemetryError

SCORES = st.lists(st.sampled_from([-0.9, -0.7, -0.5, -0.3, -np.inf]), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def demo() -> Telemetry:
    telemetry = read_telemetry([TELEMETRY], "the demo's telemetry")
    assert (len(telemetry.healthy), len(telemetry.faulty)) == (20, 11)
    return command.shortened(telemetry)


@given(SCORES, SCORES)
def test_an_area_is_scikit_learns(positive: list[float], negative: list[float]) -> None:
    labels = [1] * len(positive) + [0] * len(negative)
    finite = -np.nan_to_num(np.array(positive + negative), neginf=-9.0)
    found = area(np.array(positive), np.sort(np.array(negative)))
    assert found == pytest.approx(roc_auc_score(labels, finite), abs=1e-12)


def test_pairs_of_trips_add_up_to_the_pooled_area() -> None:
    """Four trips in two folds: the pooled AUC of each fold, weighted by its pairs; a trip drawn twice counts twice."""
    random = np.random.default_rng(3)
    healthy = [random.normal(0.0, 1.0, 20 + trip) for trip in range(4)]
    faulted = [random.normal(-1.0, 1.0, 10 + trip) for trip in range(4)]
    paired = PairedTrips(1, 4)
    for fold in ((0, 1), (2, 3)):
        for one in fold:
            for other in fold:
                paired.add(0, one, other, faulted[one], np.sort(healthy[other]))

    def pooled(trips: list[int]) -> tuple[float, int]:
        positive = np.concatenate([faulted[trip] for trip in trips])
        negative = np.sort(np.concatenate([healthy[trip] for trip in trips]))
        return wins(positive, negative), len(positive) * len(negative)

    (wins_a, pairs_a), (wins_b, pairs_b) = pooled([0, 1]), pooled([2, 3])
    (interval,), mean = paired.intervals()
    assert interval.value == pytest.approx((wins_a + wins_b) / (pairs_a + pairs_b))
    assert mean == interval
    assert interval.low < interval.value < interval.high
    twice, pairs = pooled([0, 0, 1])
    assert paired.areas(np.array([[2.0, 1.0, 0.0, 0.0]]))[0, 0] == pytest.approx(twice / pairs)


def test_draws_are_the_same_for_all() -> None:
    assert (draws(7) == draws(7)).all()
    assert (draws(7).sum(axis=1) == 7).all()


def test_alarms_by_hand() -> None:
    """Rows below at 10, 20, 200 and 205 s: two alarms."""
    time = np.arange(0.0, 3_600.0, 5.0)
    scores = np.where(np.isin(time, [10.0, 20.0, 200.0, 205.0]), -0.9, -0.4)
    found = healthy_alarms(time, scores, -0.5)
    assert (found.alarms, found.flagged) == (2, pytest.approx(4 / 720))
    assert found.hours == pytest.approx(3_595 / 3_600)
    rate = false_alarms_per_100h([found, healthy_alarms(time, scores, -0.95)])
    assert rate.value == pytest.approx(100 * 2 / (2 * 3_595 / 3_600))
    assert rate.low == 0.0
    fault = (time >= 100.0).astype(float)
    assert delay(time, scores, fault, -0.5) == 100.0
    assert np.isnan(delay(time, scores, fault, -0.95))
    assert delay_text(np.array([1.0, 3.0, np.nan, np.nan])) == "2 s, 50 %"
    assert delay_text(np.array([np.nan])) == "–, 0 %"


def test_the_threshold_flags_at_most_its_share() -> None:
    class Fixed(Calibrated):
        def score(self, trip: pd.DataFrame) -> np.ndarray:
            return trip["score"].to_numpy()

    detector, scores = Fixed(), np.random.default_rng(0).random(5_000)
    detector.calibrate([pd.DataFrame({"score": scores})])
    assert np.sum(scores < detector.threshold) == int(ALARM_RATE * 5_001)
    detector.calibrate([pd.DataFrame({"score": scores[:50]})])
    assert detector.threshold == scores[:50].min()


@given(st.integers(3, 40), st.integers(3, 8))
def test_folds_part_trips(count: int, ways: int) -> None:
    tested: list[int] = []
    for fitting, calibrating, testing in folds(count, ways):
        assert sorted(fitting + calibrating + testing) == list(range(count))
        tested += testing
    assert sorted(tested) == list(range(count))


def test_a_file_is_cut_at_gaps() -> None:
    time = np.concatenate([np.arange(0.0, 100.0), np.arange(800.0, 900.0), np.arange(2_000.0, 2_010.0)])
    trips = list(cut(pd.DataFrame({"time_s": time}), "car"))
    assert [(trip.name, len(trip.table)) for trip in trips] == [("car 1", 100), ("car 2", 100)]


def test_what_is_no_telemetry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "car.csv"
    file.write_text("time_s,voltage,current\n0,300,1\n")
    with pytest.raises(TelemetryError, match=r"car\.csv: no column temp, soc"):
        read_telemetry([file], "car")
    healthy = read_telemetry([TELEMETRY], "demo").healthy[:2]
    with pytest.raises(TelemetryError, match="demo: 2 healthy trips do not make 3 folds"):
        evaluate(Telemetry("demo", healthy, []), list, 3)
    assert command.main(["--quick", "--telemetry", str(file)]) == 1
    assert capsys.readouterr().err.strip().endswith("car.csv: no column temp, soc")


def test_timestamps_and_aliases(tmp_path: Path) -> None:
    rows = 70
    times = pd.date_range("2026-01-01", periods=rows, freq="30s").astype(str)
    table = {"timestamp": times, "voltage": 300.0, "current": 1, "temperature": 20, "soc": 50, "cell_v_min": 3.0}
    pd.DataFrame(table).to_csv(tmp_path / "car.csv", index=False)
    (trip,) = read_telemetry([tmp_path], "car").healthy
    assert {"temp", "cell_voltage_min", "fault"} <= set(trip.table)
    assert (np.diff(trip.table["time_s"]) == 30.0).all()


def test_a_slice_end_to_end(demo: Telemetry) -> None:
    """A slice of everything: a dropout is found by limits; whoever cannot run is skipped, with the reason."""

    class Absent(RawRecipe):
        name = "absent"

        def fit(self, trips: object) -> None:
            raise UnavailableError("not on this machine")

    kinds = [KIND_OF[name] for name in ("voltage_dropout", "voltage_stuck", "current_noise")]
    made = lambda: [RawRecipe(10), peers(RawSignals(), 10)[0], Absent(10)]  # noqa: E731 - one use
    evaluation = evaluate(demo, made, 3, kinds)
    assert evaluation.skipped == {"absent": "not on this machine"}
    assert list(evaluation.found) == ["raw recipe", "3-sigma, raw"]
    sigma = evaluation.found["3-sigma, raw"]
    assert sigma.paired.intervals()[0][0].value > 0.99
    assert np.isfinite(sigma.delays[0]).all()
    assert len(sigma.healthy) == len(sigma.by_chance) == len(demo.healthy)
    assert {len(areas) for areas in sigma.simulated_area.values()} == {3}
    again = evaluate(demo, made, 3, kinds)
    for table in (area_table, summary_table, delay_table, within_table, simulated_table):
        assert table(evaluation) == table(again)
        assert "3-sigma, raw" in table(evaluation)


@pytest.mark.parametrize("number", range(4), ids=["3-sigma", "IForest", "ECOD", "isotree"])
def test_peers_rank_an_outlier_and_what_they_cannot_see(number: int, demo: Telemetry) -> None:
    peer, tables = peers(RawSignals(), 20)[number], [trip.table for trip in demo.healthy]
    try:
        peer.fit(tables)
    except UnavailableError as error:
        pytest.skip(str(error))
    odd = tables[0].copy()
    odd.loc[5, ["voltage", "temp", "soc"]] = [0.0, 90.0, 0.0]
    odd.loc[6, "temp"] = np.nan
    scores = peer.score(odd)
    assert scores[6] == -np.inf
    assert scores[5] == np.sort(scores)[1]


def test_a_row_that_cannot_be_judged_is_no_normal_one(demo: Telemetry) -> None:
    recipe, table = RawRecipe(10), demo.healthy[0].table.copy()
    recipe.fit([table])
    table.loc[3, "voltage"] = np.nan
    scores = recipe.score(table)
    assert scores[3] == UNJUDGED < scores[:3].min()


def test_the_physics_recipe_ranks_what_is_forced_below_what_the_forest_says(demo: Telemetry) -> None:
    """A stuck voltage is for the forest; a dropout is for data quality, and the forest has no features there."""
    tables = [trip.table for trip in demo.healthy]
    features = PhysicsFeatures(20)
    recipe, forest, sigma = PhysicsRecipe(features), PhysicsForest(features), peers(features, 20)[0]
    for detector in (recipe, forest, sigma):
        detector.fit(tables)
    pack = PackEstimate.of(tables)
    stuck, dropout = (inject(KIND_OF[name], tables[2], pack) for name in ("voltage_stuck", "voltage_dropout"))
    late = np.arange(len(stuck)) > 2 * len(stuck) // 3
    assert np.median(forest.score(stuck)[late]) < np.median(forest.score(tables[2]))
    gone = dropout["fault"].to_numpy() == 1
    assert gone.any()
    assert (recipe.score(dropout)[gone] <= UNJUDGED).all()
    assert (forest.score(dropout)[gone] == UNJUDGED).all()
    assert (sigma.score(dropout)[gone] == -np.inf).all()
    assert (recipe.score(tables[2]) > -1.0).mean() > 0.99


def test_shares() -> None:
    shares = Shares.of(np.array([0] * 996 + [1, 1, 2, -1]))
    assert (shares.warning, shares.critical, shares.invalid, shares.rows) == (0.003, 0.001, 0.001, 1_000)
    assert shares.bounded
    assert not Shares.of(np.array([0, 2])).bounded


def test_absent_data_are_said_to_be(tmp_path: Path) -> None:
    assert severities.on_the_car(tmp_path / "car4.csv") == {}
    assert adbench.measure(10, 1, tmp_path) == []
    assert adbench_table([]).startswith("Skipped, not at ../shared/data/adbench: 2_annthyroid, ")


@pytest.mark.skipif(not adbench.FOLDER.exists(), reason="the labelled sets are not at ../shared/data/adbench")
def test_the_forest_is_sound() -> None:
    sets = adbench.measure(100, 2, adbench.FOLDER)
    assert {each.name for each in sets} == {"annthyroid", "breastw", "cardio", "thyroid"}
    assert all(each.sound for each in sets)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A smoke run of everything, into a folder of the test."""
    monkeypatch.setattr(command, "HERE", tmp_path / "benchmarks")
    monkeypatch.setattr(command, "QUICK_ROWS", 240)
    monkeypatch.setattr(adbench, "FOLDER", tmp_path)
    assert command.main(["--quick"]) == 0
    written = (tmp_path / "build" / "QUALITY.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"{written}\n"
    assert "**quick run: figures mean nothing**" in written
    assert all(f"| {kind.name} |" in written for kind in FAULT_KINDS)
    shown = "![ROC-AUC by fault and detector](quality.png)" in written
    assert shown is (tmp_path / "build" / "quality.png").exists()
