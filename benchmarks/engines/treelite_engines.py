"""treelite's interpreter GTIL, and the C code that tl2cgen makes of the same model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.engines.base import PlainScaler, UnavailableError, c_compiler, needed
from benchmarks.workload import Workload

from ev_qa_runtime.severity import FloatArray


class TreeliteGtil:
    """``treelite.gtil.predict`` of the imported forest."""

    name = "treelite GTIL"
    setup = "`treelite.sklearn.import_model` of the forest, `treelite.gtil.predict`; rows scaled by plain numpy"
    same_forest, floor, threads = True, False, True

    def prepare(self, workload: Workload) -> None:
        treelite = needed("treelite")
        self._model = needed("treelite.sklearn").import_model(workload.pipeline.steps[-1][1])
        self._predict = treelite.gtil.predict
        self._scaler = PlainScaler(workload.pipeline)

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        scaled = self._scaler.scaled(rows).astype(np.float64)
        return -np.asarray(self._predict(self._model, scaled, nthread=threads)).reshape(-1)


class Tl2cgenC:
    """The same model as C, compiled by the system's compiler, called through tl2cgen's predictor."""

    name = "tl2cgen, compiled C"
    setup = "the treelite model through `tl2cgen.export_lib`, system compiler, `-O3`; rows scaled by plain numpy"
    same_forest, floor, threads = True, False, True

    def prepare(self, workload: Workload) -> None:
        self._tl2cgen = needed("tl2cgen")
        model = needed("treelite.sklearn").import_model(workload.pipeline.steps[-1][1])
        self._library = workload.stem.parent / f"forest_tl2cgen.{'dylib' if sys.platform == 'darwin' else 'so'}"
        toolchain = "clang" if "clang" in Path(c_compiler()).name or sys.platform == "darwin" else "gcc"
        try:
            self._tl2cgen.export_lib(
                model, toolchain=toolchain, libpath=self._library, params={"parallel_comp": 8}, options=["-O3"]
            )
        except Exception as error:  # noqa: BLE001 - TL2cgenError, or whatever starting the compiler raised
            raise UnavailableError(f"tl2cgen could not compile: {str(error).splitlines()[0]}") from None
        self._predictors: dict[int, Any] = {}
        self._scaler = PlainScaler(workload.pipeline)

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        if threads not in self._predictors:
            self._predictors[threads] = self._tl2cgen.Predictor(self._library, nthread=threads)
        scaled = self._scaler.scaled(rows).astype(np.float64)
        matrix = self._tl2cgen.DMatrix(scaled, dtype="float64")
        return -np.asarray(self._predictors[threads].predict(matrix)).reshape(-1)
