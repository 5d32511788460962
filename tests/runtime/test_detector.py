"""The golden results through every entry point, whatever the batch; models that cannot be vouched for are refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import (
    ArtifactError,
    Detector,
    IncompatibleModelError,
    IntegrityError,
    ModelContract,
    Severity,
    TelemetryError,
    load_model,
)
from ev_qa_runtime.contract import FeatureSpec, FileDigest, GoldenRows
from ev_qa_runtime.features import read_telemetry
from ev_qa_runtime.severity import SEVERITY_OF_CODE, scores_from_path_length
from ev_qa_runtime.verdict import Verdict, Verdicts

Rewrite = Callable[..., ModelContract]

# Around the trained ranges, where trees branch, and every special double.
readings = st.floats(-500.0, 500.0) | st.sampled_from([math.nan, math.inf, -math.inf, 1e39, -1e308, 5e-324, -0.0])
batches = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=readings)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


# --- golden rows, through every entry point ---------------------------------------------------------------------------


def test_golden_path_lengths_are_the_same_bits(detector: Detector, golden: np.ndarray) -> None:
    assert same_bits(detector.path_length(golden), np.array(detector.contract.golden.path_length))


def test_golden_scores(detector: Detector, golden: np.ndarray) -> None:
    expected = np.array(detector.contract.golden.score_samples)
    scores = detector.score_samples(golden)
    assert np.abs(scores - expected).max() <= 4 * np.spacing(1.0)
    assert same_bits(detector.decision_function(golden), scores - detector.contract.scoring.offset)


def test_golden_labels_and_severities(detector: Detector, golden: np.ndarray) -> None:
    verdicts = detector.verdicts(golden)
    valid = ~np.isnan(golden).any(axis=1)
    expected = detector.contract.golden
    assert verdicts.telemetry.valid.tolist() == valid.tolist()
    assert verdicts.label.tolist() == np.where(valid, expected.label, -1).tolist()
    assert verdicts.severity.tolist() == np.where(valid, expected.severity, -1).tolist()
    assert same_bits(detector.predict(golden), verdicts.label)
    assert {0, 1} <= set(verdicts.severity.tolist())


def test_golden_rows_one_by_one(detector: Detector, golden: np.ndarray) -> None:
    scores = detector.score_samples(golden)
    for index, row in enumerate(golden.tolist()):
        verdict = detector.score(**dict(zip(detector.contract.feature_names, row, strict=True)))
        if math.isnan(sum(row)):
            assert verdict.severity is Severity.INVALID
        else:
            severity = SEVERITY_OF_CODE[detector.contract.golden.severity[index]]
            assert verdict == Verdict(float(scores[index]), detector.contract.golden.label[index], severity, True)


def test_golden_rows_by_name(detector: Detector, golden: np.ndarray) -> None:
    columns = {"Temperature": golden[:, 2], "soc": golden[:, 0], "current": golden[:, 1], "pack voltage": golden[:, 0]}
    assert same_bits(detector.score_samples(columns), detector.score_samples(golden))
    assert detector.analyze_telemetry(columns) == detector.analyze_telemetry(golden)


def test_golden_rows_summed_up(detector: Detector, golden: np.ndarray) -> None:
    result = detector.analyze_telemetry(golden)
    expected = detector.contract.golden
    judged = [index for index, row in enumerate(golden) if not np.isnan(row).any()]
    assert result["invalid_samples"] == len(golden) - len(judged) == 2
    assert result["warning_samples"] == sum(expected.severity[index] == 1 for index in judged)
    assert result["lowest_score_row"] == min(judged, key=lambda index: expected.path_length[index])


def test_golden_rows_through_the_command(
    detector: Detector, golden: np.ndarray, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with (tmp_path / "golden.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([detector.contract.feature_names, *golden.tolist()])
    stem = Path(__file__).parents[2] / "artifacts" / "production" / detector.contract.name
    done = run("score", stem, tmp_path / "golden.csv", "-o", tmp_path / "out.csv", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, verdict in zip(rows, detector.verdicts(golden), strict=True):
        assert row["score"] == (repr(verdict.score) if verdict.valid else "")
        assert (row["label"], row["severity"]) == (str(verdict.label), verdict.severity)
        assert row["reasons"] == "; ".join(verdict.reasons)
    printed = json.loads(done.stdout)
    assert {key: printed[key] for key in detector.analyze_telemetry(golden)} == detector.analyze_telemetry(golden)


def test_every_output_of_the_graph_agrees_with_the_detector(
    detector: Detector, demo_rows: np.ndarray, reference: Path
) -> None:
    """What any other ONNX Runtime binding sees, in the documented order and shape."""
    session = onnxruntime.InferenceSession(f"{reference}.onnx", providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"telemetry": demo_rows})
    assert [item.name for item in session.get_outputs()][:4] == ["label", "scores", "score_samples", "severity"]
    assert all(output.shape == (len(demo_rows), 1) for output in outputs)
    label, scores, score_samples, severity = (output.reshape(-1) for output in outputs[:4])
    verdicts = detector.verdicts(demo_rows)
    assert same_bits(label, verdicts.label)
    assert same_bits(severity, verdicts.severity)
    for one, other in ((score_samples, verdicts.score_samples), (scores, detector.decision_function(demo_rows))):
        assert np.abs(one - other).max() <= 4 * np.spacing(1.0)


# --- the batch does not matter ----------------------------------------------------------------------------------------


@given(batches)
def test_one_reading_scores_as_in_a_batch(detector: Detector, batch: np.ndarray) -> None:
    for row, verdict in zip(batch.tolist(), detector.verdicts(batch), strict=True):
        alone = detector.score(**dict(zip(detector.contract.feature_names, row, strict=True)))
        assert (alone.label, alone.severity, alone.valid, alone.reasons) == (
            verdict.label,
            verdict.severity,
            verdict.valid,
            verdict.reasons,
        )
        assert np.float64(alone.score).tobytes() == np.float64(verdict.score).tobytes()


@given(batches, st.integers(1, 40))
def test_chunks_score_as_the_whole(detector: Detector, batch: np.ndarray, size: int) -> None:
    chunks = [detector.path_length(batch[start : start + size]) for start in range(0, len(batch), size)]
    assert same_bits(np.concatenate(chunks), detector.path_length(batch))
    chunks = [detector.score_samples(batch[start : start + size]) for start in range(0, len(batch), size)]
    assert same_bits(np.concatenate(chunks), detector.score_samples(batch))


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_a_whole_trip_in_chunks(detector: Detector, demo_rows: np.ndarray, size: int) -> None:
    chunks = [detector.score_samples(demo_rows[start : start + size]) for start in range(0, len(demo_rows), size)]
    assert same_bits(np.concatenate(chunks), detector.score_samples(demo_rows))


@given(batches, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(detector: Detector, batch: np.ndarray, random: object) -> None:
    order = np.arange(len(batch))
    random.shuffle(order)  # type: ignore[attr-defined]  # a random.Random
    assert same_bits(detector.score_samples(batch[order]), detector.score_samples(batch)[order])


def test_memory_layout_and_type_do_not_matter(detector: Detector, demo_rows: np.ndarray) -> None:
    expected = detector.score_samples(demo_rows)
    assert same_bits(detector.score_samples(np.asfortranarray(demo_rows)), expected)
    assert same_bits(detector.score_samples(np.repeat(demo_rows, 2, axis=0)[::2]), expected)
    assert same_bits(detector.score_samples(demo_rows.tolist()), expected)


def test_the_input_is_not_changed_and_results_are_fresh(detector: Detector, golden: np.ndarray) -> None:
    before = golden.copy()
    first = detector.score_samples(golden)
    first[:] = 0.0
    assert (detector.score_samples(golden) < 0).all()
    assert same_bits(golden, before)


def test_eight_threads_get_the_same_bits(detector: Detector, demo_rows: np.ndarray) -> None:
    expected = detector.score_samples(demo_rows)
    one = detector.score(voltage=demo_rows[5, 0], current=demo_rows[5, 1], temp=demo_rows[5, 2])
    start = threading.Barrier(8)
    agreed: list[bool] = []

    def work(thread: int) -> None:
        start.wait()
        for turn in range(20):
            rows = slice((thread * 20 + turn) % 300, None)
            agreed.append(same_bits(detector.score_samples(demo_rows[rows]), expected[rows]))
            agreed.append(detector.score(voltage=demo_rows[5, 0], current=demo_rows[5, 1], temp=demo_rows[5, 2]) == one)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(agreed) == 8 * 20 * 2
    assert all(agreed)


# --- one reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_readings",
    [
        {"voltage": 352.4, "current": 41.0, "temp": 24.5},
        {"temp_c": 24.5, "pack_voltage": 352.4, "amps": 41.0},
        {"Voltage_V": 352.4, "CURRENT": 41.0, "temperature": 24.5, "soc": "ignored"},
        {"voltage": np.float64(352.4), "current": 41, "temp": np.float64(24.5)},
        {"voltage": np.array([352.4]), "current": [41.0], "temp": 24.5},
    ],
)
def test_one_reading_by_any_name_and_number_type(detector: Detector, given_readings: dict[str, float]) -> None:
    assert detector.score(**given_readings) == detector.verdicts([[352.4, 41.0, 24.5]]).row(0)


def test_whole_numbers_are_numbers(detector: Detector) -> None:
    assert detector.score(voltage=352, current=-41, temp=24) == detector.score(voltage=352.0, current=-41.0, temp=24.0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "missing"),
        (math.nan, "missing"),
        (math.inf, "not finite"),
        (-math.inf, "not finite"),
        (10**400, "not finite"),
        (3.5e38, "beyond float32"),
        (-3.5e38, "beyond float32"),
    ],
)
@pytest.mark.parametrize("name", ["voltage", "current", "temp"])
def test_a_reading_that_cannot_be_judged_is_invalid(detector: Detector, name: str, bad: float, reason: str) -> None:
    verdict = detector.score(**{"voltage": 352.4, "current": 41.0, "temp": 24.5} | {name: bad})
    assert math.isnan(verdict.score)
    assert (verdict.label, verdict.severity, verdict.valid) == (-1, Severity.INVALID, False)
    assert verdict.reasons == (f"{name}: {reason}",)
    assert not verdict.anomalous


def test_every_reason_is_given(detector: Detector) -> None:
    verdict = detector.score(voltage=None, current=math.inf, temp=1e39)
    assert verdict.reasons == ("voltage: missing", "current: not finite", "temp: beyond float32")


@pytest.mark.parametrize(
    ("given_readings", "message"),
    [
        ({"voltage": 1.0, "temp": 1.0}, r"missing column\(s\) 'current'; there were: 'voltage', 'temp'"),
        ({}, "'voltage', 'current', 'temp'; there were: no columns"),
        ({"voltage_v": 1.0, "volts": 2.0, "current": 1.0, "temp": 1.0}, "duplicate columns for 'voltage'"),
        ({"voltage": "352.4", "current": 41.0, "temp": 24.5}, "column 'voltage' is not numeric: .*352.4"),
        ({"voltage": 352.4, "current": "", "temp": None}, "column 'current' is not numeric"),
        ({"voltage": 352.4, "current": 41.0, "temp": 1j}, "column 'temp' is not numeric"),
        ({"voltage": 352.4, "current": 41.0, "temp": object()}, "column 'temp' is not numeric"),
        ({"voltage": True, "current": False, "temp": True}, "column 'voltage' is not numeric"),
        ({"voltage": [1.0, 2.0], "current": [1.0, 2.0], "temp": [1.0, 2.0]}, "takes one reading, not 2: use verdicts"),
        ({"voltage": [1.0, 2.0], "current": 1.0, "temp": 1.0}, "columns differ in length"),
        ({"voltage": [], "current": [], "temp": []}, "takes one reading, not 0"),
    ],
)
def test_what_is_no_reading_is_an_error(detector: Detector, given_readings: dict[str, float], message: str) -> None:
    with pytest.raises(TelemetryError, match=message):
        detector.score(**given_readings)


# --- batches ----------------------------------------------------------------------------------------------------------


@given(batches)
def test_invalid_rows_are_never_normal_and_counted_apart(detector: Detector, batch: np.ndarray) -> None:
    verdicts = detector.verdicts(batch)
    invalid = ~(np.abs(batch) <= np.finfo(np.float32).max).all(axis=1)
    assert (verdicts.label[invalid] == -1).all()
    assert (verdicts.severity[invalid] == -1).all()
    assert not verdicts.anomalous[invalid].any()
    assert all(verdict.severity is Severity.INVALID for verdict, bad in zip(verdicts, invalid, strict=True) if bad)


@given(batches)
def test_the_result_is_plain_json_with_counts_that_agree(detector: Detector, batch: np.ndarray) -> None:
    result = detector.analyze_telemetry(batch)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    verdicts = list(detector.verdicts(batch))
    valid = [verdict for verdict in verdicts if verdict.valid]
    assert result["total_samples"] == len(batch)
    assert result["invalid_samples"] == len(verdicts) - len(valid)
    assert result["anomalies_detected"] == sum(verdict.anomalous for verdict in verdicts)
    assert result["anomaly_percentage"] == 100.0 * result["anomalies_detected"] / len(batch)
    assert result["warning_samples"] == sum(verdict.severity == "WARNING" for verdict in valid)
    assert result["critical_samples"] == sum(verdict.severity == "CRITICAL" for verdict in valid)
    assert result["lowest_score"] == min((verdict.score for verdict in valid), default=None)
    assert result["severity"] == (min(valid, key=lambda verdict: verdict.score).severity if valid else "WARNING")
    assert sum(result["invalid_reasons"].values()) == sum(len(verdict.reasons) for verdict in verdicts)


def test_the_result_has_the_guides_keys(detector: Detector, demo_rows: np.ndarray) -> None:
    result = detector.analyze_telemetry(demo_rows)
    guide = {"total_samples", "anomalies_detected", "anomaly_percentage", "severity", "invalid_samples"}
    assert guide <= set(result)
    assert (result["training_samples"], result["excluded_from_training"]) == (36300, 0)


def test_an_empty_batch(detector: Detector) -> None:
    result = detector.analyze_telemetry(np.empty((0, 3)))
    assert (result["total_samples"], result["anomaly_percentage"], result["severity"]) == (0, 0.0, "INFO")
    assert (result["lowest_score"], result["lowest_score_row"]) == (None, None)
    assert detector.score_samples({"voltage": [], "current": [], "temp": []}).shape == (0,)
    assert list(detector.verdicts(np.empty((0, 3)))) == []


def test_a_batch_without_a_valid_row_is_not_passed_as_good(detector: Detector) -> None:
    result = detector.analyze_telemetry({"voltage": [None, 350.0], "current": [1.0, math.inf], "temp": [20.0, 20.0]})
    assert (result["severity"], result["invalid_samples"], result["anomalies_detected"]) == ("WARNING", 2, 0)
    assert result["invalid_reasons"] == {"current: not finite": 1, "voltage: missing": 1}
    assert (result["lowest_score"], result["lowest_score_row"]) == (None, None)


def test_a_row_below_the_warning_threshold_counts_as_an_anomaly_even_with_label_1(detector: Detector) -> None:
    telemetry = read_telemetry(np.full((3, 3), 20.0), detector.contract.features)
    verdicts = Verdicts.of(
        telemetry, np.array([-0.4, -0.52, -0.9]), np.array([1, 1, -1], dtype=np.int64), np.array([0, 1, 2])
    )
    assert verdicts.anomalous.tolist() == [False, True, True]
    assert [verdict.anomalous for verdict in verdicts] == [False, True, True]
    assert verdicts.batch_severity() is Severity.CRITICAL


def test_wild_but_finite_readings_are_scored(detector: Detector) -> None:
    verdict = detector.score(voltage=-10.0, current=1e6, temp=900.0)
    assert (verdict.valid, verdict.label) == (True, -1)


def test_a_bare_array_of_another_width_is_an_error(detector: Detector) -> None:
    with pytest.raises(TelemetryError, match=r"must have shape \(rows, 3\) for voltage, current, temp, not \(2, 4\)"):
        detector.score_samples(np.zeros((2, 4)))


# --- what the model says of itself ------------------------------------------------------------------------------------


def test_info_is_plain_json_with_the_guides_keys(detector: Detector) -> None:
    info = detector.info
    assert json.loads(json.dumps(info, allow_nan=False)) == info
    guide = {"contamination", "n_estimators", "critical_threshold", "warning_threshold", "is_fitted"}
    assert guide | {"version", "created", "rows_trained_on", "features", "library_versions"} <= set(info)
    assert info["backend"] == "onnx"
    assert info["onnxruntime"] == onnxruntime.__version__
    assert [feature["name"] for feature in info["features"]] == ["voltage", "current", "temp"]


def test_info_is_fresh_every_time(detector: Detector) -> None:
    detector.info["metadata"]["changed"] = True
    detector.info["library_versions"].clear()
    assert "changed" not in detector.info["metadata"]
    assert detector.info["library_versions"]


def test_a_detector_is_shown_by_name_and_version(detector: Detector) -> None:
    assert repr(detector) == "Detector('demo_pack_v1.0.0', version='1.0.0')"


# --- models that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["path_length", "score_samples", "label", "severity"])
def test_golden_rows_that_score_differently_are_refused(copied: Path, rewrite_contract: Rewrite, field: str) -> None:
    golden = load_model(copied).contract.golden
    first, *rest = getattr(golden, field)
    other = {"path_length": math.nextafter(first, 0), "score_samples": first * (1 + 1e-14), "label": -first}
    changed = (other.get(field, 2 - first if first != 1 else 0), *rest)
    rewrite_contract(copied, golden=dataclasses.replace(golden, **{field: changed}))
    with pytest.raises(IntegrityError, match=r"demo_pack_v1.0.0: the golden rows score differently with onnxruntime"):
        load_model(copied)


def test_golden_scores_may_differ_by_the_maths_libraries_share(copied: Path, rewrite_contract: Rewrite) -> None:
    golden = load_model(copied).contract.golden
    near = tuple(score + 2 * math.ulp(score) for score in golden.score_samples)
    rewrite_contract(copied, golden=dataclasses.replace(golden, score_samples=near))
    assert load_model(copied).contract.golden.score_samples == near


def test_other_scoring_constants_are_noticed(copied: Path, rewrite_contract: Rewrite) -> None:
    scoring = load_model(copied).contract.scoring
    rewrite_contract(copied, scoring=dataclasses.replace(scoring, denominator=scoring.denominator * 1.001))
    with pytest.raises(IntegrityError, match="the golden rows score differently"):
        load_model(copied)


@pytest.mark.parametrize("needed", ["99.0", "1.999", "2"])
def test_a_model_for_a_newer_onnxruntime_is_refused(copied: Path, rewrite_contract: Rewrite, needed: str) -> None:
    onnx = load_model(copied).contract.onnx
    rewrite_contract(copied, onnx=dataclasses.replace(onnx, minimum_onnxruntime=needed))
    with pytest.raises(
        IncompatibleModelError, match=rf"needs onnxruntime {needed} or newer, this is .*: update onnxru"
    ):
        load_model(copied)


@pytest.mark.parametrize("needed", [onnxruntime.__version__, "1.9", "1.21.1"])
def test_versions_are_compared_as_numbers(copied: Path, rewrite_contract: Rewrite, needed: str) -> None:
    onnx = load_model(copied).contract.onnx
    rewrite_contract(copied, onnx=dataclasses.replace(onnx, minimum_onnxruntime=needed))
    assert load_model(copied).contract.onnx.minimum_onnxruntime == needed


def test_a_contract_with_another_number_of_features_is_refused(copied: Path, rewrite_contract: Rewrite) -> None:
    contract = load_model(copied).contract
    golden = GoldenRows(((1.0, 2.0, 3.0, 4.0),), (1.0,), (-0.5,), (1,), (0,))
    rewrite_contract(copied, features=(*contract.features, FeatureSpec("soc")), golden=golden)
    with pytest.raises(ArtifactError, match="it takes 3 features, its sidecar lists 4"):
        load_model(copied)


@pytest.mark.parametrize(
    "payload", [b"", b"not a model at all", b"\x00" * 64, b"\x08\x08", b"\x0f", b"\x3a\x7f", b"\x3a\x00"], ids=repr
)
def test_a_payload_that_is_no_onnx_model_is_refused_in_one_line(
    copied: Path,
    rewrite_contract: Rewrite,
    digest_of: Callable[[bytes], FileDigest],
    payload: bytes,
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path(f"{copied}.onnx").write_bytes(payload)
    rewrite_contract(copied, files={"onnx": digest_of(payload)})
    with pytest.raises(
        ArtifactError,
        match=r"^model demo_pack_v1.0.0: its ONNX model is refused: .+",
    ) as caught:
        load_model(copied)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_scores_come_from_the_path_length_alone(detector: Detector, demo_rows: np.ndarray) -> None:
    paths = detector.path_length(demo_rows)
    scores = scores_from_path_length(paths, detector.contract.scoring.denominator)
    assert same_bits(detector.score_samples(demo_rows), scores)
    assert ((scores >= -1) & (scores < 0)).all()
