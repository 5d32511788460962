"""The pruned graph, the buffers of one reading, and the order, chunks and threads of a batch: never another bit."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ev_qa_runtime import session as session_module
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.onnx_pruning import MISSING_VALUE_ROUTING, pruned
from ev_qa_runtime.session import PATH_LENGTH, TreeSession
from ev_qa_runtime.severity import score_from_path_length, scores_from_path_length
from ev_qa_runtime.visiting_order import visiting_order

MODEL = Path(__file__).parents[2] / "artifacts" / "production" / "demo_pack_v1.0.0.onnx"


@pytest.fixture(scope="module")
def onnx_model() -> bytes:
    return MODEL.read_bytes()


@pytest.fixture(scope="module")
def trees(onnx_model: bytes) -> TreeSession:
    return TreeSession(onnx_model, "demo")


def wild_rows(count: int, *, missing: float = 0.02) -> np.ndarray:
    """Telemetry in no order, with repeats, infinite and huge readings and a share of missing ones."""
    rng = np.random.default_rng(count)
    rows = np.round(rng.normal(size=(count, 3)) * [15.0, 80.0, 8.0] + [360.0, 0.0, 22.0], 1)
    kind = rng.random(rows.shape)
    rows[kind < missing] = np.nan
    rows[(kind > 0.02) & (kind < 0.03)] = np.inf
    rows[(kind > 0.03) & (kind < 0.04)] = -1e300
    return rows


def full_graph(onnx_model: bytes, rows: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would add the trees in another order
    session = onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
    path_length: np.ndarray = session.run([PATH_LENGTH], {"telemetry": rows})[0]
    return path_length[:, 0]


def test_the_pruned_graph_gives_the_whole_graphs_path_lengths(onnx_model: bytes, trees: TreeSession) -> None:
    rows = wild_rows(2000)
    assert np.array_equal(trees.path_length(rows), full_graph(onnx_model, rows))


def test_the_pruned_model_has_one_output_and_the_trees_alone(onnx_model: bytes) -> None:
    small = pruned(onnx_model, PATH_LENGTH)
    outputs = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"]).get_outputs()
    assert [output.name for output in outputs] == [PATH_LENGTH]
    assert b"TreeEnsemble" in small
    assert b"is_critical" not in small


def test_pruning_to_another_output_keeps_what_that_output_needs(onnx_model: bytes) -> None:
    rows = wild_rows(50)
    session = onnxruntime.InferenceSession(pruned(onnx_model, "label"), providers=["CPUExecutionProvider"])
    assert set(np.unique(session.run(None, {"telemetry": rows})[0])) <= {-1, 1}


def test_a_model_without_the_output_is_refused(onnx_model: bytes) -> None:
    with pytest.raises(ArtifactError, match="the ONNX model has no output 'nothing'"):
        pruned(onnx_model, "nothing")


@settings(max_examples=300)
@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_refused_or_kept_as_they_are(data: bytes) -> None:
    try:
        assert pruned(data, PATH_LENGTH) == data  # no graph in them: nothing to cut
    except ArtifactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_truncated_model_never_loads(seed: int) -> None:
    data = MODEL.read_bytes()
    with pytest.raises(ArtifactError, match="model cut: "):
        TreeSession(data[: seed % (len(data) // 2)], "cut")


@pytest.mark.parametrize("count", [0, 1, 2, 2999, 3000, 3001, 70_000, 140_000])
@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_order_chunks_threads_and_missing_readings_change_no_bit(
    count: int, threads: int, missing: float, onnx_model: bytes, trees: TreeSession
) -> None:
    rows = wild_rows(count, missing=missing)
    expected = full_graph(onnx_model, rows) if count else np.empty(0)
    assert np.array_equal(trees.path_length(rows, threads), expected)


def test_chunks_bound_what_onnxruntime_gets_at_once(trees: TreeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = wild_rows(5000)
    expected = trees.path_length(rows)
    seen: list[int] = []
    run = trees._run
    monkeypatch.setattr(session_module, "CHUNK_ROWS", 700)
    monkeypatch.setattr(trees, "_run", lambda chunk: seen.append(len(chunk)) or run(chunk))
    assert np.array_equal(trees.path_length(rows), expected)
    assert len(seen) == 8
    assert max(seen) <= 625  # of 5000 / 8 each, less the repeated rows


def test_every_thread_gets_as_many_rows(trees: TreeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3))
    seen: list[int] = []
    run = trees._run
    monkeypatch.setattr(session_module, "CHUNK_ROWS", 2000)
    monkeypatch.setattr(trees, "_run", lambda chunk: seen.append(len(chunk)) or run(chunk))
    trees.path_length(rows, threads=2)
    assert seen == [1250] * 4


def test_only_large_batches_without_missing_readings_go_past_their_routing(
    onnx_model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[bytes] = []
    make = session_module._session
    monkeypatch.setattr(session_module, "_session", lambda model: loaded.append(model) or make(model))
    trees = TreeSession(onnx_model, "demo")
    trees.path_length(wild_rows(2000, missing=0.0))
    trees.path_length(wild_rows(5000))
    trees.path_length_of_one([352.4, 41.0, 24.5])
    assert [MISSING_VALUE_ROUTING.encode() in model for model in loaded] == [True]
    trees.path_length(wild_rows(5000, missing=0.0))
    trees.path_length(wild_rows(70_000, missing=0.0))
    assert [MISSING_VALUE_ROUTING.encode() in model for model in loaded] == [True, False]


def test_one_reading_has_the_bits_of_the_batch_in_every_thread(trees: TreeSession) -> None:
    rows = wild_rows(400)
    expected = trees.path_length(rows).tolist()
    found: dict[int, list[float]] = {}

    def score(number: int) -> None:
        given = rows.tolist() if number % 2 else np.split(rows, len(rows))
        found[number] = [trees.path_length_of_one(row) for row in given]

    threads = [threading.Thread(target=score, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(found.values()) == [expected] * 6


@given(st.floats(0.0, 1e5), st.floats(0.0, 1e4))
def test_the_power_of_one_sum_has_the_bits_of_the_arrays(path_length: float, denominator: float) -> None:
    with np.errstate(over="ignore"):
        expected = scores_from_path_length(np.array([path_length]), denominator)[0]
        assert score_from_path_length(path_length, denominator) == expected


@settings(max_examples=60)
@given(npst.arrays(np.float64, st.tuples(st.integers(1, 60), st.integers(1, 40)), elements=st.floats(width=64)))
def test_the_visiting_order_is_a_permutation_whatever_the_readings(values: np.ndarray) -> None:
    visit = visiting_order(values)
    assert sorted(visit.order.tolist()) == list(range(len(values)))
    bits = values.view(np.int64)
    scored_as = visit.order[visit.first][np.cumsum(visit.first) - 1]  # which row's result each row gets
    assert np.array_equal(bits[visit.order], bits[scored_as])


def test_repeated_rows_are_scored_once(trees: TreeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.repeat(wild_rows(1000), 5, axis=0)[np.random.default_rng(0).permutation(5000)]
    expected = trees._run(rows)
    seen: list[int] = []
    run = trees._run
    monkeypatch.setattr(trees, "_run", lambda chunk: seen.append(len(chunk)) or run(chunk))
    assert np.array_equal(trees.path_length(rows), expected)
    assert sum(seen) == len(np.unique(rows.view(np.int64), axis=0)) <= 1000


def test_the_visiting_order_brings_similar_rows_together() -> None:
    rows = np.random.default_rng(0).normal(size=(4000, 3))
    ordered = rows[visiting_order(rows).order]

    def steps(array: np.ndarray) -> float:
        return float(np.mean([np.linalg.norm(after - before) for before, after in itertools.pairwise(array)]))

    assert steps(ordered) < 0.35 * steps(rows)
