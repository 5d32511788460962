"""Fitting without scikit-learn's slow scoring pass.

With a ``contamination``, ``IsolationForest.fit`` scores all its training data to place ``offset_``: on much data that
costs far more than growing the trees. Here the forest is fitted without, its ONNX twin scores the data, and
``offset_`` becomes the same percentile of the same bits.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ev_qa_framework.backends import pipeline_scores
from ev_qa_framework.export import to_onnx
from ev_qa_framework.forest import score_denominator
from ev_qa_framework.one_thread import one_thread
from ev_qa_runtime.session import TreeSession
from ev_qa_runtime.severity import FloatArray, scores_from_path_length

_FEW_ROWS = 50_000
"""Below this scikit-learn's own pass is about as fast as exporting first."""

_LARGE_FOREST = 1_000_000
"""Training samples in all trees together, from which on exporting costs more than it gains."""


def fit_pipeline(pipeline: Pipeline, rows: pd.DataFrame) -> None:
    """Fit scaler and forest on float64 ``rows``; the fitted Pipeline equals ``pipeline.fit(rows)`` to the bit."""
    forest = pipeline.steps[-1][1]
    contamination = forest.contamination
    if contamination == "auto" or len(rows) < _FEW_ROWS:
        with one_thread():
            pipeline.fit(rows)
        return
    forest.set_params(contamination="auto")
    try:
        pipeline.fit(rows)
    finally:
        forest.set_params(contamination=contamination)
    if forest._max_samples * len(forest.estimators_) > _LARGE_FOREST:
        scores = pipeline_scores(pipeline, rows.to_numpy())
    else:
        scores = _scores_by_onnx(pipeline, rows)
    forest.offset_ = np.percentile(scores, 100.0 * contamination)


def _scores_by_onnx(pipeline: Pipeline, rows: pd.DataFrame) -> FloatArray:
    session = TreeSession(to_onnx(pipeline).SerializeToString(), "in training")
    path_length = session.path_length(np.ascontiguousarray(rows, dtype=np.float64), threads=os.cpu_count() or 1)
    return scores_from_path_length(path_length, score_denominator(pipeline.steps[-1][1]))
