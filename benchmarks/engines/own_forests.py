"""Libraries that grow their own isolation forests: fitted on the same rows with comparable parameters.

Isolation forests do not care for scale, so both take raw rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.engines.base import needed
from benchmarks.workload import Workload

from ev_qa_runtime.severity import FloatArray

SAMPLES, SEED = 256, 42


class Isotree:
    """isotree with single-variable splits at random points, as scikit-learn's forest has them."""

    name = "isotree"
    setup = (
        "`isotree.IsolationForest`, fitted: as many trees, 256 samples each, `ndim=1`, random splits,"
        " depth limit 8, `missing_action='fail'`; it imports no scikit-learn forest"
    )
    same_forest, floor, threads = False, False, True

    def prepare(self, workload: Workload) -> None:
        self._model = needed("isotree").IsolationForest(
            ntrees=workload.pipeline.steps[-1][1].n_estimators,
            sample_size=SAMPLES,
            ndim=1,
            max_depth=8,
            prob_pick_pooled_gain=0.0,
            prob_pick_avg_gain=0.0,
            missing_action="fail",
            random_seed=SEED,
            nthreads=1,
        )
        self._model.fit(workload.training_rows)

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        self._model.nthreads = threads
        return -np.asarray(self._model.predict(rows))


class Coniferest:
    """coniferest's forest, one fitted for each number of threads; its seed makes them equal."""

    name = "coniferest"
    setup = "`coniferest.isoforest.IsolationForest`, fitted: as many trees, 256 samples each, its own depth limit of 8"
    same_forest, floor, threads = False, False, True

    def prepare(self, workload: Workload) -> None:
        self._class = needed("coniferest.isoforest").IsolationForest
        self._trees = workload.pipeline.steps[-1][1].n_estimators
        self._rows = workload.training_rows
        self._models: dict[int, Any] = {}

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        if threads not in self._models:
            model = self._class(n_trees=self._trees, n_subsamples=SAMPLES, n_jobs=threads, random_seed=SEED)
            self._models[threads] = model.fit(self._rows)
        return np.asarray(self._models[threads].score_samples(rows))
