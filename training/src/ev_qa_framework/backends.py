"""The two ways to score with a trained model: the scikit-learn Pipeline itself, or its ONNX twin."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
import sklearn
from sklearn.pipeline import Pipeline

from ev_qa_framework.one_thread import one_thread
from ev_qa_runtime.contract import ModelContract, Thresholds
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.session import ScoringSession
from ev_qa_runtime.severity import (
    FloatArray,
    labels,
    scores_from_path_length,
    scoring_rule,
    severity_codes,
    severity_codes_of_scores,
)
from ev_qa_runtime.verdict import Verdicts


class ScoringBackend(Protocol):
    """Scores telemetry; both implementations give the same results."""

    name: str
    offset: float

    def score_samples(self, telemetry: Telemetry) -> FloatArray:
        """scikit-learn's ``score_samples`` of every row, INVALID ones included; float64 [N]."""
        ...  # a protocol has no body

    def verdicts(self, telemetry: Telemetry, thresholds: Thresholds) -> Verdicts:
        """Score and judge every row."""
        ...  # a protocol has no body


class SklearnBackend:
    """The fitted Pipeline."""

    name = "sklearn"

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.offset = float(pipeline.steps[-1][1].offset_)

    def score_samples(self, telemetry: Telemetry) -> FloatArray:
        """See :class:`ScoringBackend`."""
        return pipeline_scores(self.pipeline, telemetry.values)

    def verdicts(self, telemetry: Telemetry, thresholds: Thresholds) -> Verdicts:
        """See :class:`ScoringBackend`."""
        scores = self.score_samples(telemetry)
        label = np.where(scores - self.offset < 0, np.int64(-1), np.int64(1))
        return Verdicts.of(telemetry, scores, label, severity_codes_of_scores(scores, thresholds))


class OnnxBackend:
    """The exported model in onnxruntime, as the runtime scores it."""

    name = "onnx"

    def __init__(self, onnx_model: bytes, contract: ModelContract) -> None:
        self._session = ScoringSession(onnx_model, contract)
        self._session.self_test(contract)
        self._onnx_model = onnx_model
        self._contract = contract
        self.offset = contract.scoring.offset

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as bytes and contract: a session has no pickled form."""
        return OnnxBackend, (self._onnx_model, self._contract)

    def score_samples(self, telemetry: Telemetry) -> FloatArray:
        """See :class:`ScoringBackend`."""
        return scores_from_path_length(self._session.path_length(telemetry.values), self._contract.scoring.denominator)

    def verdicts(self, telemetry: Telemetry, thresholds: Thresholds) -> Verdicts:
        """See :class:`ScoringBackend`."""
        rule = self._contract.scoring
        if thresholds != self._contract.thresholds:  # changed since the model was saved
            rule = scoring_rule(rule.offset, rule.denominator, thresholds, self._contract.onnx.profile)
        path_length = self._session.path_length(telemetry.values)
        scores = scores_from_path_length(path_length, rule.denominator)
        return Verdicts.of(telemetry, scores, labels(path_length, rule), severity_codes(path_length, rule))


def pipeline_scores(pipeline: Pipeline, values: FloatArray) -> FloatArray:
    """``pipeline.score_samples`` of raw float64 rows [N, F]; infinities are let through instead of refused."""
    if not len(values):
        return np.empty(0)
    first = next(step for _, step in pipeline.steps if step is not None and step != "passthrough")
    names = getattr(first, "feature_names_in_", None)
    rows = values if names is None else pd.DataFrame(values, columns=names)
    with one_thread(), sklearn.config_context(assume_finite=True), np.errstate(all="ignore"):
        scores: FloatArray = pipeline.score_samples(rows)
    return scores
