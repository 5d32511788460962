"""The ONNX model in onnxruntime; the only importer of onnxruntime.

One intra-op thread a session: two would add the trees' path lengths in another order and change the last bits.
Sessions may be used from many threads at once; scale out with threads or processes instead.
"""

from __future__ import annotations

import numpy as np
import onnxruntime

from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError, IntegrityError
from ev_qa_runtime.severity import FloatArray, labels, scores_from_path_length, severity_codes

INPUT_NAME = "telemetry"
PATH_LENGTH = "path_length"
OUTPUT_NAMES = ("label", "scores", "score_samples", "severity", PATH_LENGTH)

GOLDEN_SCORE_ULP = 4
"""By how many units in the last place a golden score may differ here: the maths libraries' share, see severity."""

_LOG_ERRORS_ONLY = 3


def installed_onnxruntime() -> str:
    """The version of onnxruntime in use."""
    return str(onnxruntime.__version__)


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2] if part.isdigit())


class ScoringSession:
    """Scores float64 rows with one model. Thread-safe; immutable after construction."""

    def __init__(self, onnx_model: bytes, contract: ModelContract) -> None:
        """Build the session and check that it fits ``contract``.

        Raises ``IncompatibleModelError`` where onnxruntime is too old, ``ArtifactError`` where the model cannot be
        loaded or has other inputs or outputs.
        """
        needed = contract.onnx.minimum_onnxruntime
        if _version_key(installed_onnxruntime()) < _version_key(needed):
            raise IncompatibleModelError(
                f"model {contract.name} needs onnxruntime {needed} or newer, this is {installed_onnxruntime()}:"
                " update onnxruntime or export the model with profile 'compat'"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ArtifactError(f"model {contract.name}: onnxruntime cannot load it: {first_line}") from None
        _check_signature(self._session, contract)
        self._only_fetched = onnxruntime.RunOptions()
        self._only_fetched.only_execute_path_to_fetches = True
        self._run = self._session.run

    def path_length(self, values: FloatArray) -> FloatArray:
        """Summed path lengths, float64 [N], of C-contiguous float64 [N, F]; a fresh array. NaN is routed as trained."""
        if not len(values):
            return np.empty(0)
        path_length: FloatArray = self._run((PATH_LENGTH,), {INPUT_NAME: values}, self._only_fetched)[0]
        return path_length.reshape(-1)

    def outputs(self, values: FloatArray) -> dict[str, np.ndarray]:
        """Every output of the graph by name, each [N, 1]: what any other ONNX Runtime binding sees."""
        return dict(zip(OUTPUT_NAMES, self._session.run(list(OUTPUT_NAMES), {INPUT_NAME: values}), strict=True))

    def self_test(self, contract: ModelContract) -> None:
        """Score the golden rows; ``IntegrityError`` where this machine computes something else than training did."""
        golden = contract.golden
        path_length = self.path_length(np.array(golden.readings, dtype=np.float64))
        scores = scores_from_path_length(path_length, contract.scoring.denominator)
        expected = np.array(golden.score_samples)
        agrees = (
            np.array_equal(path_length, np.array(golden.path_length))
            and np.array_equal(labels(path_length, contract.scoring), np.array(golden.label))
            and np.array_equal(severity_codes(path_length, contract.scoring), np.array(golden.severity))
            and bool((np.abs(scores - expected) <= GOLDEN_SCORE_ULP * np.spacing(np.abs(expected))).all())
        )
        if not agrees:
            raise IntegrityError(
                f"model {contract.name}: the golden rows score differently with onnxruntime {installed_onnxruntime()}"
                " on this machine than when the model was saved; do not use it here, report this"
            )


def _check_signature(session: onnxruntime.InferenceSession, contract: ModelContract) -> None:
    inputs = session.get_inputs()
    shape = list(inputs[0].shape) if inputs else []
    if [(item.name, item.type) for item in inputs] != [(INPUT_NAME, "tensor(double)")] or len(shape) != 2:
        raise ArtifactError(f"model {contract.name}: its input is not the double matrix {INPUT_NAME!r}")
    if shape[1] != len(contract.features):
        raise ArtifactError(
            f"model {contract.name}: it takes {shape[1]} features, its sidecar lists {len(contract.features)}"
        )
    outputs = tuple(item.name for item in session.get_outputs())
    if outputs != OUTPUT_NAMES:
        raise ArtifactError(f"model {contract.name}: its outputs are {outputs}, expected {OUTPUT_NAMES}")
