"""Models over time: fitted, calibrated, saved, loaded; streaming = batch = training side, in any chunks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime import Detector, ShadowDetector, load_model, sidecar
from ev_qa_runtime.errors import ArtifactError, ConfigurationError, TelemetryError
from ev_qa_runtime.event_document import event_document
from ev_qa_runtime.events import Event
from ev_qa_runtime.fleet_monitor import FleetMonitor, Vehicles
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts
from ev_qa_runtime.severity import SEVERITY_OF_CODE

ROOT = Path(__file__).parents[2]
TELEMETRY = ROOT / "demo" / "telemetry"
CAR = ROOT.parent / "shared" / "data" / "ev_fault_car" / "car4.csv"
SIGNALS = ["time_s", "voltage", "current", "temp", "soc"]
HEALTHY = sorted(TELEMETRY.glob("healthy_*.csv"))


def trips(paths: list[Path]) -> pd.DataFrame:
    frames = [pd.read_csv(path).assign(trip=number) for number, path in enumerate(paths)]
    return pd.concat(frames, ignore_index=True)


def physics(**parameters: object) -> EVBatteryAnalyzer:
    return EVBatteryAnalyzer(features="physics", current_sign="discharge_positive", **parameters)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted() -> EVBatteryAnalyzer:
    return physics(n_estimators=60).fit(trips(HEALTHY))


@pytest.fixture(scope="module")
def saved(fitted: EVBatteryAnalyzer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("over_time") / "pack_v1.0.0"
    fitted.save_model(path)
    return path


@pytest.fixture(scope="module")
def detector(saved: Path) -> Detector:
    return load_model(saved)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """Two vehicles' rows, interleaved, with faults, missing and repeated readings."""
    stuck = pd.read_csv(TELEMETRY / "fault_voltage_stuck_01.csv").assign(vehicle_id="stuck")
    resistive = pd.read_csv(TELEMETRY / "fault_resistance_x2_02.csv").assign(vehicle_id="resistive")
    both = pd.concat([stuck[500:900], resistive[600:1100]]).sort_values("time_s", kind="stable")
    both = both.drop(columns="fault").reset_index(drop=True)
    both.loc[10:14, "temp"] = np.nan
    both.loc[50, "voltage"] = 0.0
    return pd.concat([both, both[-3:]], ignore_index=True)


def same(left: object, right: object) -> bool:
    return repr(left) == repr(right)  # NaN equals NaN, and doubles are shown to the last bit


def stream_rows(frame: pd.DataFrame) -> Iterator[dict[str, float]]:
    return iter(frame[SIGNALS].to_dict("records"))  # type: ignore[arg-type]  # columns are texts


def events_by_vehicle(events: tuple[Event, ...]) -> dict[str, list[str]]:
    """Without row numbers, which count the table's rows in a batch and the vehicle's in a stream."""
    found: dict[str, list[str]] = {}
    for event in events:
        plain = {key: value for key, value in event_document(event).items() if not key.endswith("_row")}
        found.setdefault(event.vehicle, []).append(json.dumps(plain))
    return found


def test_both_sides_give_the_same_bits(fitted: EVBatteryAnalyzer, detector: Detector, mixed: pd.DataFrame) -> None:
    ours, theirs = fitted.verdicts(mixed), detector.verdicts(mixed)
    assert isinstance(ours, MonitoredVerdicts)
    assert isinstance(theirs, MonitoredVerdicts)
    assert np.array_equal(ours.telemetry.values, theirs.telemetry.values, equal_nan=True)
    assert np.array_equal(ours.score_samples[ours.telemetry.valid], theirs.score_samples[theirs.telemetry.valid])
    assert np.array_equal(ours.severity, theirs.severity)
    assert same(ours.events, theirs.events)
    assert ours.events
    assert fitted.analyze_telemetry(mixed) == detector.analyze_telemetry(mixed)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 902), max_size=6))
def test_any_chunks_give_the_same_bits(detector: Detector, mixed: pd.DataFrame, cuts: list[int]) -> None:
    whole = detector.verdicts(mixed)
    assert isinstance(whole, MonitoredVerdicts)
    monitor = detector.monitor()
    edges = sorted({0, len(mixed), *cuts})
    parts = [monitor.verdicts(mixed[first:last], last=last == len(mixed)) for first, last in pairwise(edges)]
    assert np.array_equal(np.concatenate([part.severity for part in parts]), whole.severity)
    assert np.array_equal(
        np.concatenate([part.telemetry.values for part in parts]), whole.telemetry.values, equal_nan=True
    )
    ended = [event for part in parts for event in part.events if not event.open]
    assert sorted(map(repr, ended)) == sorted(map(repr, whole.events))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 900))
def test_streams_give_the_same_bits_after_any_restart(saved: Path, mixed: pd.DataFrame, at: int) -> None:
    detector = load_model(saved)
    whole = detector.verdicts(mixed)
    assert isinstance(whole, MonitoredVerdicts)
    ended: list[Event] = []
    for row, reading in enumerate(stream_rows(mixed)):
        vehicle = mixed["vehicle_id"][row]
        if row == at:
            states = {
                name: json.dumps(detector.stream(name).state(), allow_nan=False) for name in ("stuck", "resistive")
            }
            ended += [event for name in states for event in detector.stream(name).take_events()]
            detector = load_model(saved)
            for name, state in states.items():
                detector.stream(name, json.loads(state))
                assert len(state) < 20_000
        assert same(detector.stream(vehicle).score(**reading), whole.row(row)), row
    ended += [event for name in ("stuck", "resistive") for event in detector.stream(name).finish()]
    assert events_by_vehicle(tuple(ended)) == events_by_vehicle(whole.events)


def test_reading_costs_no_more_than_a_vehicle_is_known(saved: Path) -> None:
    """Bounded vehicles: the one that was silent for longest is forgotten, and begins anew."""
    contract = load_model(saved).contract
    assert contract.monitoring is not None
    vehicles = Vehicles(contract.monitoring, most=2)
    first = vehicles["a"]
    assert vehicles["b"] is not first
    assert vehicles["a"] is first
    vehicles["c"]
    assert [monitor.vehicle for monitor in vehicles] == ["a", "c"]
    with pytest.raises(TelemetryError, match="at least one vehicle must be kept, not 0"):
        FleetMonitor(contract.monitoring, most_vehicles=0)


def test_healthy_trips_that_nothing_was_fitted_on_stay_quiet() -> None:
    """Held-out drives: WARNING on at most 1 % of rows, CRITICAL on at most 0.1 %, in every third of the trips."""
    for fold in range(3):
        analyzer = physics().fit(trips([path for at, path in enumerate(HEALTHY) if at % 3 != fold]))
        held_out = [analyzer.verdicts(pd.read_csv(path)) for at, path in enumerate(HEALTHY) if at % 3 == fold]
        severity = np.concatenate([verdicts.severity for verdicts in held_out])
        assert (severity >= 1).mean() <= 0.01, fold
        assert (severity >= 2).mean() <= 0.001, fold


@pytest.mark.skipif(not CAR.exists(), reason="the real car's telemetry is not here")
def test_a_real_thermal_event_is_critical_at_once_and_ordinary_use_is_not() -> None:
    car = pd.read_csv(CAR)
    analyzer = physics().fit(car[:12_000])
    ordinary = analyzer.verdicts(car[12_000:14_890]).severity
    assert (ordinary >= 1).mean() <= 0.01
    assert (ordinary >= 2).mean() <= 0.001
    severity = analyzer.verdicts(car[12_000:]).severity
    first = 12_000 + int(np.argmax(severity == 2))
    assert 14_900 <= first <= 14_905
    event = analyzer.analyze_telemetry(car[12_000:])["events"][-1]
    assert event["severity"] == "CRITICAL"
    assert event["reasons"][0]["reason"] == "temp above the critical limit of 60 degC"


def test_limits_hold_with_a_dead_probe_and_without_the_forest(detector: Detector) -> None:
    stream = detector.stream("limits")
    reading = {"voltage": 379.6, "current": 1.3, "temp": 22.0, "soc": 82.0}
    assert str(stream.score(time=0.0, **reading).severity) == "INFO"
    burning = stream.score(time=1.0, **(reading | {"temp": 80.0, "soc": float("nan")}))
    assert not burning.valid
    assert burning.severity == "CRITICAL"
    assert any("critical limit" in reason for reason in burning.reasons)
    assert "soc: missing" in burning.reasons


def test_an_all_missing_row_is_never_normal(detector: Detector) -> None:
    nothing = dict.fromkeys(SIGNALS[1:], float("nan"))
    verdict = detector.stream("nothing").score(time=0.0, **nothing)
    assert (verdict.label, str(verdict.severity), verdict.valid) == (-1, "INVALID", False)


def test_a_model_over_time_does_not_judge_readings_alone(detector: Detector) -> None:
    with pytest.raises(TelemetryError, match=r"judges readings over time: use stream\(vehicle_id\)\.score"):
        detector.score(**dict.fromkeys(detector.contract.feature_names, 0.0))
    with pytest.raises(TelemetryError, match="telemetry over time needs named columns, at least time, voltage"):
        detector.verdicts(np.zeros((3, 4)))
    raw = load_model(ROOT / "artifacts" / "production" / "demo_pack_v1.0.0")
    with pytest.raises(TelemetryError, match=r"judges each reading alone: use score\(\) or verdicts\(\)"):
        raw.stream("car")


def test_the_sidecar_has_schema_2_and_comes_back(saved: Path, detector: Detector) -> None:
    data = saved.with_name("pack_v1.0.0.json").read_bytes()
    assert json.loads(data)["schema_version"] == 2
    assert sidecar.encode(detector.contract) == data
    assert detector.contract.monitoring is not None
    assert detector.contract.monitoring.calibration is not None


@pytest.mark.parametrize("backend", ["sklearn", "onnx"])
def test_a_loaded_model_is_saved_again_with_the_same_monitoring(
    saved: Path, tmp_path: Path, backend: str, mixed: pd.DataFrame
) -> None:
    loaded = EVBatteryAnalyzer.load_model(saved, backend=backend)  # type: ignore[arg-type]
    assert loaded.features == "physics"
    loaded.save_model(tmp_path / "again_v1.0.1")
    before, after = load_model(saved), load_model(tmp_path / "again_v1.0.1")
    assert before.contract.monitoring == after.contract.monitoring
    assert np.array_equal(before.verdicts(mixed).severity, after.verdicts(mixed).severity)


def test_calibration_moves_the_thresholds_and_refuses_what_data_cannot_support(saved: Path) -> None:
    analyzer = EVBatteryAnalyzer.load_model(saved)
    record = analyzer.calibrate(trips(HEALTHY[:12]), warning_rate=0.02, critical_rate=0.01)
    assert (analyzer.warning_threshold, analyzer.critical_threshold) == (
        record.warning.threshold,
        record.critical.threshold,
    )
    with pytest.raises(ConfigurationError, match="critical_rate"):
        analyzer.calibrate(trips(HEALTHY[:2]), warning_rate=0.02, critical_rate=1e-6)
    assert analyzer.critical_threshold == record.critical.threshold


def test_a_raw_model_is_calibrated_too() -> None:
    analyzer = EVBatteryAnalyzer(random_state=0, n_estimators=30).fit(trips(HEALTHY[:14]))
    record = analyzer.calibrate(trips(HEALTHY[14:]), warning_rate=0.05)
    assert analyzer.warning_threshold == record.warning.threshold < -0.5


def test_few_trips_are_all_fitted_on_and_said_to_be_uncalibrated() -> None:
    with pytest.warns(UserWarning, match=r"not calibrated: call calibrate\(\) with healthy trips"):
        analyzer = physics(n_estimators=10).fit(trips(HEALTHY[:3]))
    assert (analyzer.warning_threshold, analyzer.critical_threshold) == (-0.5, -0.8)


def test_a_wrong_current_sign_is_refused_in_training_and_said_in_scoring(detector: Detector) -> None:
    wrong = trips(HEALTHY[:8]).assign(current=lambda frame: -frame["current"])
    with pytest.raises(TelemetryError, match="current looks charge_positive"):
        physics().fit(wrong)
    with pytest.warns(UserWarning, match="current looks charge_positive"):
        result = detector.analyze_telemetry(wrong[wrong["trip"] == 0])
    assert "charge_positive" in result["remark"]


def test_charge_positive_telemetry_gives_the_same_features(fitted: EVBatteryAnalyzer) -> None:
    turned = trips(HEALTHY).assign(current=lambda frame: -frame["current"])
    other = EVBatteryAnalyzer(features="physics", current_sign="charge_positive", n_estimators=60).fit(turned)
    one = trips(HEALTHY[:1])
    ours = fitted.read(one).values
    theirs = other.read(one.assign(current=-one["current"])).values
    assert np.array_equal(ours, theirs, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="soc"), "missing column.*soc"),
        (lambda frame: frame.drop(columns="time_s"), "missing column.*time"),
        (lambda frame: frame.assign(current=0.0), "the current never changes"),
        (lambda frame: frame[:50], "cannot fit physics features on 50 usable row"),
    ],
)
def test_telemetry_that_will_not_do_is_refused(change: object, said: str) -> None:
    with pytest.raises(TelemetryError, match=said):
        physics().fit(change(pd.read_csv(HEALTHY[0])))  # type: ignore[operator]


def test_explanations_add_up_to_the_path_length(detector: Detector, mixed: pd.DataFrame) -> None:
    telemetry = detector.read(mixed)
    rows = np.flatnonzero(telemetry.valid)[:200]
    found = detector.explain(telemetry.values[rows])
    assert np.abs(found.path_length - detector.path_length(telemetry.values[rows])).max() < 1e-9


def test_verdicts_name_severities(detector: Detector, mixed: pd.DataFrame) -> None:
    verdicts = detector.verdicts(mixed)
    for row in np.flatnonzero(verdicts.severity >= 0)[:50].tolist():
        assert verdicts.row(row).severity is SEVERITY_OF_CODE[verdicts.severity[row]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verdicts.summary()["severity"] == str(verdicts.batch_severity())


def test_drift_is_counted_where_it_is_asked_for(detector: Detector) -> None:
    low = trips(HEALTHY[6:9]).assign(voltage=lambda frame: frame["voltage"] - 8.0)
    monitor = detector.monitor(drift=True)
    monitor.verdicts(low[:2000])
    monitor.verdicts(low[2000:])
    assert monitor.drift is not None
    found = monitor.drift.report()
    assert found.seen == len(low)
    assert "score" in found.drifted()
    assert {each.name: each.reading for each in found.features}["voltage_residual_mean"] == "major"
    usual = detector.monitor(drift=True)
    usual.verdicts(trips(HEALTHY[6:9]))
    assert usual.drift is not None
    assert usual.drift.report().drifted() == ()
    raw = load_model(ROOT / "artifacts" / "production" / "demo_pack_v1.0.0")
    with pytest.raises(TelemetryError, match="has no drift baseline"):
        raw.drift_monitor()


def test_a_model_over_time_is_not_shadowed_row_by_row(detector: Detector) -> None:
    raw = load_model(ROOT / "artifacts" / "production" / "demo_pack_v1.0.0")
    with pytest.raises(ConfigurationError, match="judges readings over time and cannot be shadowed row by row"):
        ShadowDetector(detector, raw)
    with ShadowDetector(raw, detector) as shadow:
        shadow.verdicts(pd.read_csv(HEALTHY[0]))
        assert shadow.wait(10.0)
        assert shadow.statistics.failed == 1
        assert "cannot be shadowed" in str(shadow.statistics.last_error)


def test_shuffled_rows_are_refused() -> None:
    shuffled = trips(HEALTHY[:3]).sample(frac=1.0, random_state=0)
    with pytest.raises(TelemetryError, match="not in the order of time: sort them by vehicle, trip and time"):
        physics().fit(shuffled)


def test_a_row_that_cannot_be_judged_has_no_score(fitted: EVBatteryAnalyzer, detector: Detector) -> None:
    table = pd.read_csv(HEALTHY[0])[:50].assign(temp=lambda frame: frame["temp"].where(frame.index != 7))
    for model in (fitted, detector):
        assert np.flatnonzero(np.isnan(model.score_samples(table))).tolist() == [7]
        assert np.flatnonzero(np.isnan(model.verdicts(table).score_samples)).tolist() == [7]


def test_a_damaged_state_is_refused(detector: Detector) -> None:
    state = detector.stream("state").state()
    for damage in ({"reader": "x"}, {"limits": 3}, {"events": None}, {"version": 9}):
        with pytest.raises((TelemetryError, ArtifactError), match=r"state"):
            detector.stream("state", state | damage)
