"""The façade: ``load_model`` and ``Detector``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ev_qa_runtime.artifact import Artifact, read_artifact
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import FLOAT32_MAX, invalid_reasons, match_names, read_telemetry
from ev_qa_runtime.session import ScoringSession, installed_onnxruntime
from ev_qa_runtime.severity import (
    SEVERITY_OF_CODE,
    FloatArray,
    IntArray,
    labels,
    scores_from_path_length,
    severity_codes,
)
from ev_qa_runtime.verdict import Verdict, Verdicts, invalid_verdict


def load_model(path: str | os.PathLike[str]) -> Detector:
    """Load a model for scoring, once, at start-up.

    ``path`` may carry one of the suffixes or none. Verifies the digests, checks schema and onnxruntime version, and
    scores the golden rows. Needs ``NAME.json`` and ``NAME.onnx``; the ``.joblib`` is never opened.

    Raises ``FileNotFoundError`` where no model lies there and ``ArtifactError`` (a ``ValueError``) where it cannot
    be trusted or used.
    """
    return Detector(read_artifact(path))


class Detector:
    """Scores telemetry with one loaded model. Thread-safe; share one instance."""

    def __init__(self, artifact: Artifact) -> None:
        """Build from verified bytes and score the golden rows; :func:`load_model` is the usual way in."""
        self.contract: ModelContract = artifact.contract
        self._session = ScoringSession(artifact.payloads["onnx"], self.contract)
        self._session.self_test(self.contract)
        self._names = self.contract.feature_names
        self._rule = self.contract.scoring

    def __repr__(self) -> str:
        return f"Detector({self.contract.name!r}, version={str(self.contract.version)!r})"

    @property
    def info(self) -> dict[str, Any]:
        """The model in plain types, the keys of ``get_model_info()``; a fresh dictionary."""
        return self.contract.info() | {"backend": "onnx", "onnxruntime": installed_onnxruntime()}

    def path_length(self, data: Any) -> FloatArray:
        """Path lengths summed over the trees, float64 [N]: the same bits on every machine."""
        return self._session.path_length(read_telemetry(data, self.contract.features).values)

    def score_samples(self, data: Any) -> FloatArray:
        """scikit-learn's ``score_samples``, float64 [N], lower is more anomalous.

        ``data``: float64 [N, F] in the contract's order (C-contiguous is not copied) or anything with named columns.
        Missing readings are routed as the forest learned; use :meth:`predict` or :meth:`verdicts` to judge them.
        """
        return scores_from_path_length(self.path_length(data), self._rule.denominator)

    def decision_function(self, data: Any) -> FloatArray:
        """``score_samples − offset``, float64 [N]: negative for anomalies."""
        return self.score_samples(data) - self._rule.offset

    def predict(self, data: Any) -> IntArray:
        """int64 [N]: 1 normal, −1 anomalous; a row with a missing or non-finite reading is never normal, so −1."""
        return self.verdicts(data).label

    def verdicts(self, data: Any) -> Verdicts:
        """Score and judge every row."""
        telemetry = read_telemetry(data, self.contract.features)
        path_length = self._session.path_length(telemetry.values)
        return Verdicts.of(
            telemetry,
            scores_from_path_length(path_length, self._rule.denominator),
            labels(path_length, self._rule),
            severity_codes(path_length, self._rule),
        )

    def analyze_telemetry(self, data: Any) -> dict[str, Any]:
        """The guide's result dictionary for a batch; the same as the training side gives."""
        return self.verdicts(data).summary() | self.contract.training.summary()

    def score(self, **readings: float | None) -> Verdict:
        """Judge one reading: ``detector.score(voltage=352.4, current=41.0, temp=24.5)``.

        Names are the contract's or their aliases, values in its units; further names are ignored; None and NaN mean
        missing and make the reading INVALID. Raises ``TelemetryError`` where a name is absent or a value is no number.
        """
        try:
            row = [readings[name] for name in self._names]
        except KeyError:
            columns = match_names(readings, self.contract.features)
            row = [readings[columns[name]] for name in self._names]
        try:
            values = np.array([row], dtype=np.float64)
        except (TypeError, ValueError):
            raise TelemetryError(f"readings must be numbers, not {dict(zip(self._names, row, strict=True))}") from None
        for reading in values[0].tolist():
            if not -FLOAT32_MAX <= reading <= FLOAT32_MAX:
                return invalid_verdict(invalid_reasons(self._names, values[0].tolist()))
        path_length = self._session.path_length(values)
        return Verdict(
            float(scores_from_path_length(path_length, self._rule.denominator)[0]),
            int(labels(path_length, self._rule)[0]),
            SEVERITY_OF_CODE[int(severity_codes(path_length, self._rule)[0])],
            True,
        )
