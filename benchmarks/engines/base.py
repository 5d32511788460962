"""What an engine is, and what engines share."""

from __future__ import annotations

import importlib
import shutil
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from benchmarks.workload import Workload
from sklearn.pipeline import Pipeline

from ev_qa_runtime.severity import FloatArray


class UnavailableError(Exception):
    """The engine cannot run here; the message says why and goes into the tables."""


class Engine(Protocol):
    """One way to compute scores.

    ``name`` heads its rows in the tables; ``setup`` says what it is and how it was set up; ``same_forest`` is False
    where it grew its own trees; ``floor`` marks what computes less than a score, as a limit to compare with;
    ``threads`` says whether it can use more than one.
    """

    name: str
    setup: str
    same_forest: bool
    floor: bool
    threads: bool

    def prepare(self, workload: Workload) -> None:
        """Get ready to score; ``UnavailableError`` where that cannot be done here."""
        ...

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        """Scores, float64 [N], of raw float64 rows [N, F]."""
        ...


def needed(module: str) -> Any:
    """Import a module that only the bench group brings; ``UnavailableError`` where it is missing or broken."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise UnavailableError(f"{module.partition('.')[0]} is not usable here: {str(error).splitlines()[0]}") from None


def c_compiler() -> str:
    """The system's C compiler; ``UnavailableError`` without one."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise UnavailableError("no C compiler on this machine")
    return found


class PlainScaler:
    """The Pipeline's StandardScaler as two numpy operations: scikit-learn's own checks cost one row 100 µs.

    Gives the same bits, cast to float32 as the forest casts them. Peers that take scaled rows are served by it.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        scaler = pipeline.steps[0][1]
        self._mean, self._scale = scaler.mean_, scaler.scale_

    def scaled(self, rows: FloatArray) -> npt.NDArray[np.float32]:
        """Scaled rows, float32 [N, F]."""
        scaled: npt.NDArray[np.float32] = ((rows - self._mean) / self._scale).astype(np.float32)
        return scaled
