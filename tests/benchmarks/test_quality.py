"""The harness: areas and alarms by hand and against scikit-learn, folds by trip, and a slice end to end."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks.engines.base import UnavailableError
from benchmarks.faults import FAULT_KINDS, KIND_OF, inject
from benchmarks.pack_estimate import PackEstimate
from benchmarks.quality import __main__ as command
from benchmarks.quality import adbench, as_shipped, severities
from benchmarks.quality.alarms import delay, delay_text, false_alarms_per_100h, healthy_alarms
from benchmarks.quality.areas import PairedTrips, draws, wins
from benchmarks.quality.as_shipped import Case, found_in, onset_of
from benchmarks.quality.detectors import (
    ALARM_RATE,
    UNJUDGED,
    Calibrated,
    PhysicsFeatures,
    PhysicsForest,
    PhysicsRecipe,
    RawRecipe,
    RawSignals,
    Trips,
    fleet,
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
from benchmarks.quality.shipped import RULE, JudgedTrip, ShippedPeer, ShippedPhysics, with_events
from benchmarks.quality.shipped_report import shipped_section
from benchmarks.quality.trips import Telemetry, cut, folds, read_telemetry
from benchmarks.workload import TELEMETRY
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime.errors import TelemetryError

SHIPPED_PICTURE = "Faults found as shipped, by fault and detector"
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
    assert severities.on_the_car(tmp_path / "car4.csv", []) == {}
    assert adbench.measure(10, 1, tmp_path) == []
    assert adbench_table([]).startswith("Skipped, not at ../shared/data/adbench: 2_annthyroid, ")


def judged(codes: list[int]) -> JudgedTrip:
    trip = pd.DataFrame({"time_s": np.arange(len(codes)) * 2.0})
    return with_events(trip, np.array(codes))


def case(kind: str, fault: list[int]) -> Case:
    table = pd.DataFrame({"time_s": np.arange(len(fault)) * 2.0, "fault": fault})
    return Case(kind, table, onset_of(table))


def test_what_was_found_by_hand() -> None:
    """Rows every 2 s, the fault from row 20 (40 s) on; three of five rows make an event."""
    fault = [0] * 20 + [1] * 80
    nothing = found_in(judged([0] * 100), case("stuck", fault))
    assert np.isnan([nothing.start, nothing.known, nothing.critical]).all()
    codes = [0] * 30 + [1, 0, 1, 0, 2] + [0] * 50 + [2, 2, 2] + [0] * 12
    found = found_in(judged(codes), case("stuck", fault))
    assert (found.start, found.known) == (20.0, 28.0)
    assert found.critical == 2.0 * (30 + 5 + 50) - 40.0
    assert (found.flagged, found.flagged_critical, found.invalid) == (6 / 80, 4 / 80, 0.0)
    two_rows = found_in(judged([0] * 30 + [1, 1] + [0] * 68), case("stuck", fault))
    assert np.isnan(two_rows.start)


def test_an_event_that_began_before_the_onset_does_not_count() -> None:
    fault = [0] * 20 + [1] * 80
    early = judged([0] * 19 + [2] * 81)
    assert len(early.events) == 1
    assert np.isnan(found_in(early, case("stuck", fault)).start)
    on_time = found_in(judged([0] * 20 + [2] * 80), case("stuck", fault))
    assert (on_time.start, on_time.known, on_time.critical) == (0.0, 4.0, 0.0)


def test_invalid_readings_make_no_event_but_are_counted() -> None:
    """Of a fault that comes and goes, only the rows in which it is present."""
    fault = [0] * 20 + [1, 0] * 40
    found = found_in(judged([0] * 20 + [-1, 1, -1, 0] * 20), case("dropout", fault))
    assert (found.flagged, found.invalid) == (0.0, 1.0)


@given(st.lists(st.sampled_from([-1, 0, 0, 1, 2]), min_size=1, max_size=80), st.integers(0, 79))
def test_what_is_found_follows_from_the_rows(codes: list[int], onset: int) -> None:
    """An event is known at the first row by which k of the last n judged rows, none before its start, were flagged."""
    onset = min(onset, len(codes) - 1)
    found = found_in(judged(codes), case("stuck", [0] * onset + [1] * (len(codes) - onset)))
    assert np.isnan(found.start) == np.isnan(found.known)
    if np.isnan(found.start):
        return
    start, known = (round(seconds / 2.0) + onset for seconds in (found.start, found.known))
    assert onset <= start <= known
    window = [code for code in codes[start : known + 1] if code >= 0]
    assert codes[start] > 0
    assert codes[known] > 0
    assert sum(code > 0 for code in window) == RULE.k
    assert len(window) <= RULE.n
    assert not found.critical < found.start


class Fixed:
    """Says CRITICAL wherever the voltage is 0; learns nothing."""

    setup = "fixed"

    def __init__(self, name: str) -> None:
        self.name, self.trained_on = name, 0

    def fit(self, trips: Trips) -> None:
        if self.name == "absent":
            raise UnavailableError("not on this machine")
        self.trained_on = len(trips)

    def judge(self, trips: Trips) -> list[JudgedTrip]:
        return [with_events(trip, np.where(trip["voltage"] == 0.0, 2, 0)) for trip in trips]


def test_every_trip_is_judged_once_by_a_detector_that_never_saw_it(demo: Telemetry) -> None:
    made: list[Fixed] = []

    def makers() -> list[Fixed]:
        made.extend([Fixed("fixed"), Fixed("absent")])
        return made[-2:]

    result = as_shipped.measure(demo, makers, 3, [KIND_OF["voltage_dropout"]])
    assert result.skipped == {"absent": "not on this machine"}
    assert [fixed.trained_on for fixed in made] == [4, 0, 4, 0, 4, 0]
    shown = result.shown["fixed"]
    assert {kind: len(found) for kind, found in shown.found.items()} == {
        "voltage_dropout": 6,
        as_shipped.SIMULATED: 3 * len(demo.faulty),
        as_shipped.NO_FAULT: 6,
    }
    assert (shown.values("voltage_dropout", "flagged_critical") == 1.0).all()
    assert np.isfinite(shown.values("voltage_dropout", "critical")).any()
    assert np.isnan(shown.values(as_shipped.NO_FAULT, "start")).all()
    assert sum(trip.alarms for trip in shown.events) == 0
    section = shipped_section(result, "")
    assert "| absent | skipped: not on this machine |" in section
    assert "| fixed | 0 (0–0) | 0 (0–0) | 0.00 % | 0.00 % | 0.00 % |" in section
    with pytest.raises(TelemetryError, match="6 healthy trips do not make 7 folds"):
        as_shipped.measure(demo, makers, 7)


def test_the_physics_recipe_is_judged_as_its_users_judge(demo: Telemetry) -> None:
    """Several trips at once give what each gives alone, with row numbers of its own."""
    tables = [trip.table for trip in demo.healthy]
    recipe = ShippedPhysics(20)
    recipe.fit(tables[:5])
    stuck = inject(KIND_OF["voltage_stuck"], tables[5], PackEstimate.of(tables))
    both = recipe.judge([tables[5], stuck])
    alone = recipe.judge([stuck])[0]
    assert (both[1].severity == alone.severity).all()
    rows = [(event.start_row, event.end_row, event.peak_row, event.severity) for event in alone.events]
    assert rows == [(event.start_row, event.end_row, event.peak_row, event.severity) for event in both[1].events]
    assert rows
    analyzer = EVBatteryAnalyzer(n_estimators=20, features="physics", current_sign="discharge_positive")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        verdicts = analyzer.fit(fleet(tables[:5])).verdicts(fleet([stuck]))
    assert (verdicts.severity == alone.severity).all()
    assert [event.start_row for event in verdicts.events] == [first for first, *_ in rows]
    assert (recipe.rows(stuck) == recipe.rows(stuck.copy()))[verdicts.telemetry.valid].all()


def test_few_trips_are_picked_evenly_or_not_at_all(demo: Telemetry) -> None:
    tables = [trip.table for trip in demo.healthy]
    few = ShippedPhysics(20, 3)
    few.fit(tables)
    other = ShippedPhysics(20)
    other.fit([tables[0], tables[2], tables[4]])
    assert (few.judge(tables[5:])[0].severity == other.judge(tables[5:])[0].severity).all()
    assert (few.rows(tables[5]) == other.rows(tables[5])).all()
    with pytest.raises(UnavailableError, match="there are 3 trips to fit on"):
        ShippedPhysics(20, 3).fit(tables[:3])


@pytest.mark.parametrize("number", range(3), ids=["3-sigma", "IForest", "ECOD"])
def test_a_peer_flags_what_its_library_calls_outliers(number: int, demo: Telemetry) -> None:
    """PyOD: a tenth of what it was fitted on."""
    peer, tables = peers(RawSignals(), 20)[number], [trip.table for trip in demo.healthy]
    try:
        ShippedPeer(peer).fit(tables)
    except UnavailableError as error:
        pytest.skip(str(error))
    odd = tables[0].copy()
    odd.loc[5:9, ["voltage", "temp", "soc"]] = [0.0, 90.0, 0.0]
    odd.loc[10, "temp"] = np.nan
    found = ShippedPeer(peer).judge([odd])[0]
    assert (found.severity[5:11] == 1).all()
    assert set(found.severity) <= {0, 1}
    if number > 0:
        assert peer._model.contamination == 0.1
        assert (peer.outliers(tables[1]) == peer._model.predict(RawSignals().rows(tables[1]))).all()
    else:
        assert (found.severity > 0).mean() < 0.1


def test_the_real_car_is_said_to_be_skipped_where_it_cannot_be_fitted(tmp_path: Path, demo: Telemetry) -> None:
    file = tmp_path / "car4.csv"
    demo.healthy[0].table.to_csv(file, index=False)
    assert severities.on_the_car(file, [Fixed("absent")]) == {"absent": "skipped: not on this machine"}


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
    assert "### By fault: physics recipe\n" in written
    assert "| physics recipe, 10 trips | skipped: there are 4 trips to fit on |" in written
    for what, file in (("ROC-AUC by fault and detector", "quality.png"), (SHIPPED_PICTURE, "as_shipped.png")):
        assert (f"![{what}]({file})" in written) is (tmp_path / "build" / file).exists()
