"""The ONNX model in onnxruntime; the only importer of onnxruntime.

Invariants:

* a model of an artifact is inspected before onnxruntime sees it (:mod:`ev_qa_runtime.onnx_inspection`);
* one intra-op thread a session: two would add the trees' path lengths in another order and change the last bits;
* only the part of the graph that makes ``path_length`` is loaded: the runtime decides scores, labels and severities
  itself, and onnxruntime would compute every other output at each call;
* large batches without NaN go through a second session, without the routing of missing readings, which saves a tenth
  of the time: such rows take the same branches in both;
* neither batch size, nor the order of rows, nor the number of threads changes a bit of a result.

Sessions may be used from many threads at once.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import onnxruntime

from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError, IntegrityError
from ev_qa_runtime.onnx_inspection import INPUT_NAME, OUTPUTS, PATH_LENGTH, inspect
from ev_qa_runtime.onnx_pruning import MISSING_VALUE_ROUTING, pruned
from ev_qa_runtime.severity import (
    COMPAT_TOLERANCE,
    FloatArray,
    contradicting_cut,
    labels,
    scores_from_path_length,
    severity_codes,
)
from ev_qa_runtime.visiting_order import visiting_order

__all__ = [
    "INPUT_NAME",
    "OUTPUT_NAMES",
    "PATH_LENGTH",
    "ScoringSession",
    "TreeSession",
    "installed_onnxruntime",
]

OUTPUT_NAMES = tuple(OUTPUTS)

CHUNK_ROWS = 65_536
"""Rows that are scored at once: enough that calls cost nothing, few enough to bound memory (2 MB of readings)."""

SORTED_FROM_ROWS = 3_000
"""From so many rows on, sorting them first gains more than it costs."""

GOLDEN_SCORE_ULP = 4
"""By how many units in the last place a golden score may differ here: the maths libraries' share, see severity."""

_LOG_ERRORS_ONLY = 3


def installed_onnxruntime() -> str:
    """The version of onnxruntime in use."""
    return str(onnxruntime.__version__)


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2] if part.isdigit())


class TreeSession:
    """Summed path lengths of float64 rows. Thread-safe."""

    def __init__(self, onnx_model: bytes, name: str) -> None:
        """Load the part of ``onnx_model`` that makes path lengths; ``ArtifactError`` where that cannot be done."""
        try:
            self._tree_model = pruned(onnx_model, PATH_LENGTH)
            self._session = _session(self._tree_model)
        except ArtifactError as error:
            named = f"model {name}: {error}"
            raise type(error)(named) from None
        except Exception as error:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
            raise ArtifactError(f"model {name}: onnxruntime cannot load it: {_first_line(error)}") from None
        self.n_features = _width(self._session, name)
        self._one_row = _OneRow(self._session, self.n_features)

    def path_length(self, values: FloatArray, threads: int = 1) -> FloatArray:
        """Summed path lengths, float64 [N], of C-contiguous float64 [N, F]; a fresh array. NaN is routed as trained.

        Large batches go in chunks of at most :data:`CHUNK_ROWS`, on ``threads`` threads where they are several.
        """
        if len(values) < SORTED_FROM_ROWS:
            return self._run(values) if len(values) else np.empty(0)
        path_length = np.empty(len(values))
        threads = max(threads, 1)
        chunks = -(-len(values) // (CHUNK_ROWS * threads)) * threads  # as many for each thread
        chunk_rows = -(-len(values) // chunks)

        def score(first: int) -> None:
            chunk = values[first : first + chunk_rows]
            visit = visiting_order(chunk)
            found = self._run(chunk[visit.order[visit.first]])
            path_length[first + visit.order] = visit.spread(found)

        starts = range(0, len(values), chunk_rows)
        if threads > 1 and len(starts) > 1:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - brings logging along: 8 ms at start

            with ThreadPoolExecutor(threads) as pool:  # onnxruntime lets other Python threads run meanwhile
                list(pool.map(score, starts))
        else:
            for first in starts:
                score(first)
        return path_length

    def path_length_of_one(self, row: list[float] | FloatArray) -> float:
        """The summed path length of one row: a list of exactly F numbers or float64 [1, F]. No array is made."""
        fill, rows, run, result = self._one_row.state
        if type(row) is list:
            fill(*row)
        else:
            rows[:] = row
        run()
        return result.item()

    @cached_property
    def _complete(self) -> onnxruntime.InferenceSession:
        """For rows without NaN; made for the first large batch, so that starting and single readings cost no more."""
        complete_model = pruned(self._tree_model, PATH_LENGTH, without=MISSING_VALUE_ROUTING)
        return self._session if len(complete_model) == len(self._tree_model) else _session(complete_model)

    def _run(self, values: FloatArray) -> FloatArray:
        large_and_complete = len(values) >= SORTED_FROM_ROWS and not np.isnan(values.min())
        session = self._complete if large_and_complete else self._session
        path_length: FloatArray = session.run((PATH_LENGTH,), {INPUT_NAME: values})[0]
        return path_length.reshape(-1)


def _session(onnx_model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])


class _OneRow(threading.local):
    """A thread's own buffers for one row, bound to the session once: no array is made for a reading.

    ``state``: the call that fills the row with numbers, that row, the call that computes, and the array the result lies
    in. The binding in that call holds bare addresses; the arrays live as long as it does, in the same tuple.
    """

    def __init__(self, session: onnxruntime.InferenceSession, n_features: int) -> None:
        rows, result = np.zeros((1, n_features)), np.zeros((1, 1))
        binding = session.io_binding()
        binding.bind_input(INPUT_NAME, "cpu", 0, np.float64, rows.shape, rows.ctypes.data)
        binding.bind_output(PATH_LENGTH, "cpu", 0, np.float64, result.shape, result.ctypes.data)
        fill = partial(struct.Struct(f"={n_features}d").pack_into, rows.data, 0)  # half the time numpy takes for a list
        self.state = fill, rows, _bound_run(session, binding), result


def _bound_run(session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding) -> Callable[[], None]:
    """The call that scores what is bound; past onnxruntime's Python wrapper, 3 % of a reading, where that can be."""
    try:
        return partial(session._sess.run_with_iobinding, binding._iobinding, None)
    except AttributeError:
        return partial(session.run_with_iobinding, binding)


class ScoringSession(TreeSession):
    """A :class:`TreeSession` of an artifact, inspected and checked against its contract."""

    def __init__(self, onnx_model: bytes, contract: ModelContract) -> None:
        """Build the session and check that it fits ``contract``.

        Raises ``IncompatibleModelError`` where onnxruntime is too old, ``ArtifactError`` where the model is not what
        the exporter writes for that contract, or the contract contradicts itself.
        """
        needed = contract.onnx.minimum_onnxruntime
        if _version_key(installed_onnxruntime()) < _version_key(needed):
            raise IncompatibleModelError(
                f"model {contract.name} needs onnxruntime {needed} or newer, this is {installed_onnxruntime()}:"
                " update onnxruntime or save the model with the compat profile"
            )
        try:
            inspect(onnx_model, contract)
        except ArtifactError as error:
            named = f"model {contract.name}: {error}"
            raise ArtifactError(named) from None
        super().__init__(onnx_model, contract.name)

    def self_test(self, contract: ModelContract) -> None:
        """Score the golden rows; ``IntegrityError`` where this machine computes something else than training did.

        ``ArtifactError`` where the cuts of the scoring rule contradict its thresholds.
        """
        golden = contract.golden
        try:
            path_length = self.path_length(np.array(golden.readings, dtype=np.float64))
        except Exception as error:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
            raise ArtifactError(f"model {contract.name}: onnxruntime cannot run it: {_first_line(error)}") from None
        with np.errstate(all="ignore"):  # a denominator next to nothing; the scores will not agree
            scores = scores_from_path_length(path_length, contract.scoring.denominator)
        expected = np.array(golden.score_samples)
        tolerance = 0.0 if contract.onnx.profile == "exact" else COMPAT_TOLERANCE
        score_tolerance = GOLDEN_SCORE_ULP * np.spacing(np.abs(expected)) + tolerance
        agrees = (
            bool((np.abs(path_length - golden.path_length) <= tolerance * np.abs(path_length)).all())
            and np.array_equal(labels(path_length, contract.scoring), np.array(golden.label))
            and np.array_equal(severity_codes(path_length, contract.scoring), np.array(golden.severity))
            and bool((np.abs(scores - expected) <= score_tolerance).all())
        )
        if not agrees:
            raise IntegrityError(
                f"model {contract.name}: the golden rows score differently with onnxruntime {installed_onnxruntime()}"
                " on this machine than when the model was saved; do not use it here, report this"
            )
        cut = contradicting_cut(contract.scoring, contract.thresholds)
        if cut is not None:
            raise ArtifactError(f"model {contract.name}: its sidecar's {cut} is not the path length of its threshold")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _width(session: onnxruntime.InferenceSession, name: str) -> int:
    inputs = session.get_inputs()
    shape = list(inputs[0].shape) if inputs else []
    described = [(item.name, item.type) for item in inputs]
    if described != [(INPUT_NAME, "tensor(double)")] or len(shape) != 2 or not isinstance(shape[1], int):
        raise ArtifactError(f"model {name}: its input is not the double matrix {INPUT_NAME!r}")
    return shape[1]
