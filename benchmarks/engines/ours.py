"""The runtime of this project."""

from __future__ import annotations

from pathlib import Path

from benchmarks.workload import Workload

from ev_qa_runtime import load_model
from ev_qa_runtime.session import TreeSession
from ev_qa_runtime.severity import FloatArray, scores_from_path_length

NAME = "ev-qa-runtime"


class Ours:
    """``Detector.score_samples`` from the saved artifact; several threads through ``TreeSession.path_length``."""

    name = NAME
    setup = "`load_model` on the saved artifact, `Detector.score_samples`: onnxruntime and numpy only"
    same_forest, floor, threads = True, False, True

    def prepare(self, workload: Workload) -> None:
        self.detector = load_model(workload.stem)
        self._session = TreeSession(Path(f"{workload.stem}.onnx").read_bytes(), workload.stem.name)
        self._denominator = self.detector.contract.scoring.denominator

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        if threads == 1:
            return self.detector.score_samples(rows)
        return scores_from_path_length(self._session.path_length(rows, threads), self._denominator)
