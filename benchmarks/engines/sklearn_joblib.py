"""scikit-learn itself, from the joblib file."""

from __future__ import annotations

import joblib
import numpy as np
from benchmarks.workload import Workload
from sklearn.pipeline import Pipeline

from ev_qa_runtime.severity import FloatArray

NAME = "scikit-learn + joblib"


class SklearnJoblib:
    """``Pipeline.score_samples``; several threads through joblib's threading backend."""

    name = NAME
    setup = "`joblib.load`, `Pipeline.score_samples` on an array; threads: joblib's threading backend"
    same_forest, floor, threads = True, False, True

    def prepare(self, workload: Workload) -> None:
        self._pipeline = without_names(joblib.load(f"{workload.stem}.joblib")["pipeline"])

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        with joblib.parallel_config("threading", n_jobs=threads):
            return np.asarray(self._pipeline.score_samples(rows))


def without_names(pipeline: Pipeline) -> Pipeline:
    """The Pipeline without remembered column names, so that arrays cost neither a DataFrame nor a warning."""
    for _, step in pipeline.steps:
        if hasattr(step, "feature_names_in_"):
            del step.feature_names_in_
    return pipeline
