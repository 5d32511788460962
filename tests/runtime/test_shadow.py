"""``ShadowDetector``: the champion's answers whatever the challenger does, and counts that add up."""

from __future__ import annotations

import csv
import gc
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime import Detector, Disagreement, Severity, ShadowDetector, ShadowStatistics, Verdict, load_model
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.errors import ConfigurationError, ModelNotFoundError, TelemetryError
from ev_qa_runtime.severity import scoring_rule
from ev_qa_runtime.shadow import SAMPLE_ROWS
from ev_qa_runtime.verdict import Verdicts

READING = {"voltage": 352.4, "current": 41.0, "temp": 24.5}
LONG = 30.0
"""Seconds that nothing here takes; a wait that long is a failure, not a pause."""


def stricter(reference: Path, warning: float = -0.42) -> Detector:
    """The reference model with another warning threshold: the same scores, more severe."""
    artifact = read_artifact(reference)
    contract = artifact.contract
    thresholds = Thresholds(contract.thresholds.critical, warning)
    rule = scoring_rule(contract.scoring.offset, contract.scoring.denominator, thresholds)
    detector = Detector(artifact)
    detector.contract = replace(contract, thresholds=thresholds, scoring=rule)
    detector._rule = rule
    return detector


@pytest.fixture(scope="module")
def challenger(reference: Path) -> Detector:
    return stricter(reference)


@pytest.fixture
def shadow(detector: Detector, challenger: Detector) -> Iterator[ShadowDetector]:
    with ShadowDetector(detector, challenger, budget_seconds=LONG) as made:
        yield made


def blocking(release: threading.Event, begun: threading.Event | None = None) -> Callable[[], object]:
    """Wait for ``release``, saying so first."""

    def act() -> object:
        if begun is not None:
            begun.set()
        release.wait()
        return None

    return act


def in_turn(*acts: Callable[[], object] | None) -> Callable[[], object]:
    """One after the other, then nothing; None does nothing."""
    left = iter(acts)

    def act() -> object:
        following = next(left, None)
        return None if following is None else following()

    return act


class Misbehaving:
    """A challenger made of a real one whose scoring does ``act`` first, which may raise, block or answer."""

    def __init__(self, real: Detector, act: Callable[[], object]) -> None:
        self._real = real
        self._act = act
        self.contract = real.contract

    def score(self, **readings: float | None) -> Any:
        answer = self._act()
        return self._real.score(**readings) if answer is None else answer

    def verdicts(self, data: Any, threads: int = 1) -> Any:
        answer = self._act()
        return self._real.verdicts(data, threads) if answer is None else answer


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def test_every_call_answers_as_the_champion_does(
    detector: Detector, shadow: ShadowDetector, demo_rows: np.ndarray
) -> None:
    table = dict(zip(("voltage", "current", "temp"), demo_rows.T, strict=True))
    for data in (demo_rows, demo_rows[:1], demo_rows[:0], table, demo_rows.tolist()):
        for call in ("score_samples", "decision_function", "predict", "path_length"):
            np.testing.assert_array_equal(getattr(shadow, call)(data), getattr(detector, call)(data))
        assert shadow.analyze_telemetry(data) == detector.analyze_telemetry(data)
        assert list(shadow.verdicts(data)) == list(detector.verdicts(data))
    assert shadow.score(**READING) == detector.score(**READING)
    assert shadow.info == detector.info
    assert shadow.contract is detector.contract
    assert repr(detector) in repr(shadow)


def test_the_champions_errors_are_raised_and_not_shadowed(shadow: ShadowDetector) -> None:
    with pytest.raises(TelemetryError, match="missing column"):
        shadow.score(voltage=1.0)
    with pytest.raises(TelemetryError, match="missing column"):
        shadow.verdicts({"voltage": [1.0]})
    assert shadow.statistics.answers == 0


@pytest.mark.parametrize(
    "error",
    [ValueError("two\nlines"), RuntimeError(), MemoryError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
def test_a_challenger_that_raises_is_counted(
    detector: Detector, challenger: Detector, error: BaseException, demo_rows: np.ndarray
) -> None:
    with ShadowDetector(detector, Misbehaving(challenger, raising(error)), LONG) as shadow:  # type: ignore[arg-type]
        assert shadow.score(**READING) == detector.score(**READING)
        np.testing.assert_array_equal(shadow.predict(demo_rows), detector.predict(demo_rows))
        assert shadow.wait(LONG)
        found = shadow.statistics
    assert (found.state, found.answers, found.failed, found.compared) == ("running", 2, 2, 0)
    assert found.last_error is not None
    assert found.last_error.startswith(type(error).__name__)
    assert "\n" not in found.last_error


NONSENSE = [
    "text",
    42,
    Verdict(float("nan"), 1, Severity.INFO, valid=True),
    Verdict(7.0, 1, Severity.INFO, valid=True),
    Verdict(-0.5, 5, Severity.INFO, valid=True),
    Verdict(-0.5, 1, "BAD", valid=True),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: repr(answer)[:40])
def test_nonsense_for_a_reading_is_a_failure(detector: Detector, challenger: Detector, answer: object) -> None:
    with ShadowDetector(detector, Misbehaving(challenger, lambda: answer), LONG) as shadow:  # type: ignore[arg-type]
        assert shadow.score(**READING) == detector.score(**READING)
        assert shadow.wait(LONG)
        assert (shadow.statistics.failed, shadow.statistics.compared) == (1, 0)


@pytest.mark.parametrize("wrong", ["fewer rows", "nan", "label", "severity", "text labels", "not verdicts"])
def test_nonsense_for_a_batch_is_a_failure(detector: Detector, challenger: Detector, wrong: str) -> None:
    rows = np.array([[352.4, 41.0, 24.5], [350.0, 10.0, 20.0]])
    sound = challenger.verdicts(rows)
    answer: object = {
        "fewer rows": challenger.verdicts(rows[:1]),
        "nan": replace(sound, score_samples=np.array([np.nan, -0.4])),
        "label": replace(sound, label=np.array([0, 1])),
        "severity": replace(sound, severity=np.array([3, 0])),
        "text labels": replace(sound, label=np.array(["a", "b"])),
        "not verdicts": [1, 2],
    }[wrong]
    with ShadowDetector(detector, Misbehaving(challenger, lambda: answer), LONG) as shadow:  # type: ignore[arg-type]
        assert shadow.analyze_telemetry(rows) == detector.analyze_telemetry(rows)
        assert shadow.wait(LONG)
        assert (shadow.statistics.failed, shadow.statistics.compared) == (1, 0)
        assert shadow.statistics.state == "running"


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What hanging challengers wait for; set at the end, so that their threads end."""
    event = threading.Event()
    yield event
    event.set()


def test_a_hanging_challenger_is_given_up_and_disabled(
    detector: Detector, challenger: Detector, release: threading.Event
) -> None:
    hanging = Misbehaving(challenger, blocking(release))
    with ShadowDetector(detector, hanging, budget_seconds=0.01, give_up_after=3) as shadow:  # type: ignore[arg-type]
        for _ in range(3):
            assert shadow.score(**READING) == detector.score(**READING)
            assert shadow.wait(LONG)
        found = shadow.statistics
        assert (found.state, found.over_budget, found.compared) == ("disabled", 3, 0)
        assert found.disabled_because == "3 scorings in a row took longer than 0.01 s"
        assert shadow.score(**READING) == detector.score(**READING)
        assert shadow.statistics.skipped == 1


def test_what_a_given_up_thread_brings_back_is_not_looked_at(
    detector: Detector, challenger: Detector, release: threading.Event
) -> None:
    slow_once = Misbehaving(challenger, in_turn(blocking(release)))
    with ShadowDetector(detector, slow_once, budget_seconds=0.02) as shadow:  # type: ignore[arg-type]
        shadow.score(**READING)
        assert shadow.wait(LONG)
        left_behind = [thread for thread in threading.enumerate() if thread.name == "ev-qa-shadow"]
        release.set()
        for thread in left_behind[:-1]:
            thread.join(LONG)
        assert shadow.statistics.compared == 0
        assert shadow.statistics.over_budget == 1
        assert shadow.statistics.state == "running"


def test_one_overrun_among_others_is_forgiven(
    detector: Detector, challenger: Detector, release: threading.Event
) -> None:
    every_other = Misbehaving(challenger, in_turn(*[blocking(release), None] * 4))
    with ShadowDetector(detector, every_other, budget_seconds=0.5, give_up_after=2) as shadow:  # type: ignore[arg-type]
        for _ in range(8):
            shadow.score(**READING)
            assert shadow.wait(LONG)
        found = shadow.statistics
    assert (found.over_budget + found.compared, found.state) == (8, "running")
    assert found.over_budget >= 4


def test_calls_beyond_the_queue_are_skipped(detector: Detector, challenger: Detector, release: threading.Event) -> None:
    begun = threading.Event()
    blocked = Misbehaving(challenger, blocking(release, begun))
    with ShadowDetector(detector, blocked, LONG, queue_length=3) as shadow:  # type: ignore[arg-type]
        shadow.score(**READING)
        assert begun.wait(LONG)
        for _ in range(10):
            assert shadow.score(**READING) == detector.score(**READING)
        assert shadow.statistics.skipped == 7
        assert not shadow.wait(0.0)
        release.set()
        assert shadow.wait(LONG)
        assert shadow.statistics.compared == 4


def test_closing_does_not_wait_for_a_hanging_challenger(
    detector: Detector, challenger: Detector, release: threading.Event
) -> None:
    begun = threading.Event()
    blocked = Misbehaving(challenger, blocking(release, begun))
    shadow = ShadowDetector(detector, blocked, 0.01)  # type: ignore[arg-type]
    shadow.score(**READING)
    shadow.score(**READING)
    assert begun.wait(LONG)
    shadow.close()
    assert shadow.statistics.state == "closed"
    assert shadow.score(**READING) == detector.score(**READING)


def test_a_challenger_is_loaded_beside_the_answers(detector: Detector, reference: Path) -> None:
    loaded_in: list[str] = []

    def load() -> Detector:
        loaded_in.append(threading.current_thread().name)
        return load_model(reference)

    with ShadowDetector(detector, load, LONG) as shadow:
        assert shadow.wait(LONG)
        shadow.score(**READING)
        assert shadow.wait(LONG)
        assert (shadow.statistics.compared, shadow.statistics.agreed) == (1, 1)
    assert loaded_in == ["ev-qa-shadow"]


def test_calls_while_loading_are_skipped(detector: Detector, challenger: Detector, release: threading.Event) -> None:
    def load() -> Detector:
        release.wait()
        return challenger

    with ShadowDetector(detector, load, LONG) as shadow:
        shadow.score(**READING)
        shadow.predict(np.array([[352.4, 41.0, 24.5]]))
        assert (shadow.statistics.state, shadow.statistics.skipped) == ("loading", 2)
        release.set()
        assert shadow.wait(LONG)
        assert (shadow.statistics.state, shadow.statistics.failed) == ("running", 0)


def test_a_challenger_that_cannot_be_loaded_disables_the_shadow(detector: Detector, tmp_path: Path) -> None:
    with ShadowDetector(detector, lambda: load_model(tmp_path / "nowhere")) as shadow:
        assert shadow.wait(LONG)
        found = shadow.statistics
        assert (found.state, found.failed) == ("disabled", 1)
        assert found.disabled_because is not None
        assert "the challenger cannot be loaded: ModelNotFoundError: Model file not found" in found.disabled_because
        assert shadow.score(**READING) == detector.score(**READING)


def test_a_loader_that_returns_something_else_disables_the_shadow(detector: Detector) -> None:
    with ShadowDetector(detector, lambda: "model") as shadow:  # type: ignore[arg-type,return-value]
        assert shadow.wait(LONG)
        assert "the loader returned a str, no Detector" in str(shadow.statistics.disabled_because)


def test_settings_are_checked(detector: Detector) -> None:
    with pytest.raises(ConfigurationError, match="budget_seconds must be a positive number, not 0"):
        ShadowDetector(detector, detector, 0.0)
    with pytest.raises(ConfigurationError, match="give_up_after and queue_length must be at least 1, not 0 and 64"):
        ShadowDetector(detector, detector, give_up_after=0)
    with pytest.raises(
        TypeError, match=r"the challenger must be a Detector, the path of a model or a function .* not 5"
    ):
        ShadowDetector(detector, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the champion must be a Detector or the path of a model, not 5"):
        ShadowDetector(5, detector)  # type: ignore[arg-type]
    for wrong in ("x", None, float("nan"), 1j):
        with pytest.raises(ConfigurationError, match="budget_seconds must be a positive number, not"):
            ShadowDetector(detector, detector, wrong)  # type: ignore[arg-type]
    for count in ("5", 1.5, None):
        with pytest.raises(ConfigurationError, match="give_up_after and queue_length must be at least 1, not"):
            ShadowDetector(detector, detector, queue_length=count)  # type: ignore[arg-type]


def test_both_models_may_be_paths_or_references(reference: Path) -> None:
    registry = reference.parents[1]
    with ShadowDetector(f"{registry}@champion", reference, LONG) as shadow:
        assert shadow.wait(LONG)
        assert shadow.score(**READING) == load_model(reference).score(**READING)
        assert shadow.wait(LONG)
        assert (shadow.statistics.compared, shadow.statistics.agreed) == (1, 1)
    with ShadowDetector(reference, reference.with_name("nowhere_v1.0.0"), LONG) as shadow:
        assert shadow.wait(LONG)
        assert "Model file not found" in str(shadow.statistics.disabled_because)
    with pytest.raises(ModelNotFoundError, match="Model file not found"):
        ShadowDetector(reference.with_name("nowhere_v1.0.0"), reference)


def test_the_same_model_agrees_on_every_row(detector: Detector, demo_rows: np.ndarray) -> None:
    with ShadowDetector(detector, detector, LONG) as shadow:
        shadow.verdicts(demo_rows)
        shadow.score(**READING)
        shadow.score(voltage=None, current=1.0, temp=1.0)
        assert shadow.wait(LONG)
        found = shadow.statistics
    assert found.compared == found.agreed == len(demo_rows) + 2
    assert (found.largest_score_difference, found.mean_score_difference, found.label_flips) == (0.0, 0.0, 0)
    assert dict(found.disagreements) == {}


READINGS = st.fixed_dictionaries(
    {
        "voltage": st.one_of(st.none(), st.floats(300.0, 420.0)),
        "current": st.floats(-250.0, 250.0),
        "temp": st.one_of(st.just(float("inf")), st.floats(-20.0, 80.0)),
    }
)


@given(rows=st.lists(READINGS, min_size=1, max_size=30))
def test_counts_of_readings_and_of_the_batch_are_those_of_a_plain_loop(rows: list[dict[str, Any]]) -> None:
    champion, challenger = _models()
    one_by_one = ShadowDetector(champion, challenger, LONG)
    at_once = ShadowDetector(champion, challenger, LONG)
    pairs: dict[tuple[Severity, Severity], int] = {}
    with one_by_one, at_once:
        for row in rows:
            ours, theirs = one_by_one.score(**row), challenger.score(**row)
            if (ours.label, ours.severity) != (theirs.label, theirs.severity):
                pair = (ours.severity, theirs.severity)
                pairs[pair] = pairs.get(pair, 0) + 1
            assert one_by_one.wait(LONG)
        columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in READING}
        at_once.verdicts(columns)
        assert at_once.wait(LONG)
        for found in (one_by_one.statistics, at_once.statistics):
            assert dict(found.disagreements) == pairs
            assert found.compared == len(rows) == found.agreed + sum(pairs.values())
            assert found.largest_score_difference in (None, 0.0)
            assert (found.failed, found.over_budget, found.skipped) == (0, 0, 0)


_MODELS: list[Detector] = []


def _models() -> tuple[Detector, Detector]:
    """Champion and challenger for tests that hypothesis runs, which take no fixtures."""
    if not _MODELS:
        path = Path(__file__).parents[2] / "artifacts" / "production" / "demo_pack_v1.0.0"
        _MODELS.extend((load_model(path), stricter(path)))
    return _MODELS[0], _MODELS[1]


def test_disagreements_are_counted_by_severity(
    detector: Detector, challenger: Detector, shadow: ShadowDetector, fault_csv: Path
) -> None:
    with fault_csv.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(row[name]) for name in READING} for row in csv.DictReader(file)][::20]
    columns = {name: np.array([row[name] for row in rows]) for name in READING}
    shadow.analyze_telemetry(columns)
    assert shadow.wait(LONG)
    found = shadow.statistics
    warned = int(np.count_nonzero(challenger.verdicts(columns).severity > detector.verdicts(columns).severity))
    assert dict(found.disagreements) == {(Severity.INFO, Severity.WARNING): warned}
    assert warned > 0
    assert found.label_flips == 0
    assert found.as_dict()["disagreements"] == {"INFO>WARNING": warned}
    assert json.loads(json.dumps(found.as_dict()))["compared"] == len(rows)


@pytest.mark.parametrize("call", ["score_samples", "decision_function", "path_length", "predict", "verdicts"])
def test_every_batch_call_is_shadowed(shadow: ShadowDetector, demo_rows: np.ndarray, call: str) -> None:
    getattr(shadow, call)(demo_rows[:50])
    assert shadow.wait(LONG)
    assert shadow.statistics.compared == 50
    assert shadow.statistics.failed == 0


def test_large_batches_are_sampled(shadow: ShadowDetector, demo_rows: np.ndarray) -> None:
    batch = np.tile(demo_rows, (5, 1))
    shadow.score_samples(batch)
    assert shadow.wait(LONG)
    found = shadow.statistics
    assert (found.compared, found.not_sampled) == (SAMPLE_ROWS, len(batch) - SAMPLE_ROWS)


@pytest.mark.parametrize("call", ["verdicts", "score_samples"])
def test_what_the_caller_does_to_the_data_later_does_not_matter(
    detector: Detector, challenger: Detector, demo_rows: np.ndarray, release: threading.Event, call: str
) -> None:
    rows = demo_rows[:200].copy()
    columns = {name: column.copy() for name, column in zip(READING, rows.T, strict=True)}
    late = Misbehaving(challenger, blocking(release))
    with ShadowDetector(detector, late, LONG) as shadow:  # type: ignore[arg-type]
        getattr(shadow, call)(rows)
        getattr(shadow, call)(columns)
        rows[:] = 1e9
        for column in columns.values():
            column[:] = np.nan
        release.set()
        assert shadow.wait(LONG)
        found = shadow.statistics
    assert found.compared == 400
    assert found.largest_score_difference == 0.0


def test_the_data_are_not_changed(shadow: ShadowDetector, demo_rows: np.ndarray) -> None:
    before = demo_rows.copy()
    shadow.verdicts(demo_rows)
    assert shadow.wait(LONG)
    np.testing.assert_array_equal(demo_rows, before)


def reordered(detector: Detector, *names: str) -> Detector:
    """A challenger whose contract has the features in another order or under other names, and so scores otherwise."""
    features = detector.contract.features
    other = tuple(replace(spec, name=name, aliases=()) for spec, name in zip(features, names, strict=True))
    made = Detector.__new__(Detector)
    made.__dict__.update(detector.__dict__)
    made.contract = replace(detector.contract, features=other)
    made._names = names
    made._columns_of = made._match
    return made


@pytest.mark.parametrize("as_table", [True, False])
def test_a_challenger_with_other_features_reads_its_own(
    detector: Detector, demo_rows: np.ndarray, as_table: bool
) -> None:
    swapped = reordered(detector, "current", "temp", "voltage")
    rows = demo_rows[:20]
    data: Any = dict(zip(READING, rows.T, strict=True)) if as_table else rows
    expected = np.abs(detector.score_samples(rows[:, [1, 2, 0]]) - detector.score_samples(rows))
    with ShadowDetector(detector, swapped, LONG) as shadow:
        shadow.verdicts(data)
        assert shadow.wait(LONG)
        assert shadow.statistics.largest_score_difference == expected.max()
        assert shadow.statistics.compared == 20


def test_a_challenger_whose_column_is_missing_is_a_failure(detector: Detector, demo_rows: np.ndarray) -> None:
    with ShadowDetector(detector, reordered(detector, "voltage", "current", "soc"), LONG) as shadow:
        np.testing.assert_array_equal(shadow.predict(demo_rows), detector.predict(demo_rows))
        assert shadow.score(**READING) == detector.score(**READING)
        assert shadow.wait(LONG)
        assert shadow.statistics.failed == 2
        assert "missing column(s) 'soc'" in str(shadow.statistics.last_error)


def test_disagreements_are_reported(detector: Detector, challenger: Detector, demo_rows: np.ndarray) -> None:
    reported: list[tuple[str, Disagreement]] = []

    def report(disagreement: Disagreement) -> None:
        reported.append((threading.current_thread().name, disagreement))

    with ShadowDetector(detector, challenger, LONG, on_disagreement=report) as shadow:
        shadow.verdicts(demo_rows[::10])
        assert shadow.wait(LONG)
        assert len(reported) == sum(shadow.statistics.disagreements.values()) > 0
        thread, disagreement = reported[0]
        assert thread == "ev-qa-shadow"
        assert detector.score(**disagreement.readings) == disagreement.champion
        assert challenger.score(**disagreement.readings) == disagreement.challenger


def test_errors_of_the_callback_are_counted(detector: Detector, challenger: Detector, demo_rows: np.ndarray) -> None:
    def broken(_: Disagreement) -> None:
        raise RuntimeError("no connection")

    with ShadowDetector(detector, challenger, LONG, on_disagreement=broken) as shadow:
        shadow.verdicts(demo_rows)
        assert shadow.wait(LONG)
        found = shadow.statistics
    assert found.callback_failures == sum(found.disagreements.values()) > 0
    assert found.last_error == "RuntimeError: no connection"
    assert found.failed == 0


def test_a_callback_that_hangs_is_not_called_again(
    detector: Detector, challenger: Detector, demo_rows: np.ndarray, release: threading.Event
) -> None:
    calls: list[Disagreement] = []

    def hang(disagreement: Disagreement) -> None:
        calls.append(disagreement)
        release.wait()

    with ShadowDetector(detector, challenger, 1.0, on_disagreement=hang) as shadow:
        shadow.verdicts(demo_rows)
        assert shadow.wait(LONG)
        shadow.verdicts(demo_rows)
        assert shadow.wait(LONG)
        found = shadow.statistics
    assert len(calls) == 1
    assert found.callback_failures == 1
    assert found.last_error == "on_disagreement took longer than 1 s and is not called any more"
    assert found.compared == 2 * len(demo_rows)


def test_many_threads_share_one(detector: Detector, challenger: Detector, demo_rows: np.ndarray) -> None:
    expected = detector.predict(demo_rows[:100])
    calls = 40
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(1 for _ in range(calls) if not np.array_equal(shadow.predict(demo_rows[:100]), expected))

    with ShadowDetector(detector, challenger, LONG, queue_length=10_000) as shadow:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shadow.wait(LONG)
        found = shadow.statistics
    assert wrong == []
    assert (found.answers, found.skipped) == (8 * calls, 0)
    assert found.compared == 8 * calls * 100


def test_dropping_it_ends_its_thread(detector: Detector, challenger: Detector) -> None:
    shadow = ShadowDetector(detector, challenger, LONG)
    shadow.score(**READING)
    assert shadow.wait(LONG)
    thread = shadow._worker._thread
    gone = weakref.ref(shadow)
    del shadow
    gc.collect()
    assert gone() is None
    assert thread is not None
    thread.join(LONG)
    assert not thread.is_alive()


def test_closing_twice_is_fine(detector: Detector) -> None:
    shadow = ShadowDetector(detector, detector, LONG)
    shadow.close()
    shadow.close()
    found: ShadowStatistics = shadow.statistics
    assert (found.state, found.mean_score_difference) == ("closed", None)
    assert shadow.wait(0.0)


FORKED = """
import os, sys
from ev_qa_runtime import ShadowDetector, load_model
model = load_model(sys.argv[1])
shadow = ShadowDetector(model, model, 30.0)
reading = dict(voltage=352.4, current=41.0, temp=24.5)
shadow.score(**reading)
assert shadow.wait(30.0)
child = os.fork()
shadow.score(**reading)
assert shadow.wait(30.0)
assert shadow.statistics.compared == 2, shadow.statistics
if child == 0:
    os._exit(7)  # onnxruntime hangs when a forked child ends in the ordinary way, with a shadow or without
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("both went on")
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on_with_a_thread_of_its_own(reference: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "both went on\n", "")


ENDING = """
import sys, threading
from ev_qa_runtime import ShadowDetector, load_model
model = load_model(sys.argv[1])
class Hanging:
    contract = model.contract
    def score(self, **readings): threading.Event().wait()
    verdicts = score
shadow = ShadowDetector(model, Hanging() if sys.argv[2] == "hanging" else model, 0.05)
for _ in range(500):
    shadow.score(voltage=352.4, current=41.0, temp=24.5)
print("answered")
"""


@pytest.mark.parametrize("challenger", ["sound", "hanging"])
def test_a_process_ends_cleanly_in_the_middle_of_it(reference: Path, challenger: str) -> None:
    command = [sys.executable, "-c", ENDING, str(reference), challenger]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "answered\n", "")


def test_starting_without_a_shadow_does_not_import_it() -> None:
    program = "import sys, ev_qa_runtime; print([name for name in sys.modules if 'shadow' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_knows_no_other_names() -> None:
    import ev_qa_runtime  # noqa: PLC0415 - for its missing attribute alone

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ev_qa_runtime.nothing


def test_verdicts_of_a_sample_stay_whole(detector: Detector, demo_rows: np.ndarray) -> None:
    """What the worker compares are the rows themselves: the first and the last are always among them."""
    seen: list[Verdicts] = []
    real = detector

    class Watching:
        contract = real.contract

        def verdicts(self, data: Any, threads: int = 1) -> Verdicts:
            seen.append(real.verdicts(data, threads))
            return seen[-1]

    batch = np.tile(demo_rows, (5, 1))
    with ShadowDetector(detector, Watching(), LONG) as shadow:  # type: ignore[arg-type]
        shadow.verdicts(batch)
        assert shadow.wait(LONG)
    values = seen[0].telemetry.values
    np.testing.assert_array_equal(values[[0, -1]], batch[[0, -1]])
