"""A model that is compared: an analyzer, a detector, or what lies at a path, behind one interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ev_qa_framework.analysis import EVBatteryAnalyzer
from ev_qa_runtime.contract import FeatureSpec, Thresholds
from ev_qa_runtime.detector import Detector, load_model
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.severity import FloatArray
from ev_qa_runtime.verdict import Verdicts

Model = EVBatteryAnalyzer | Detector | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Subject:
    """One model and what a comparison needs of it. ``name`` and ``version`` are None before its first save."""

    scorer: EVBatteryAnalyzer | Detector
    name: str | None
    version: str | None
    features: tuple[FeatureSpec, ...]
    thresholds: Thresholds
    offset: float
    training_rows: int

    def read(self, tables: list[Any]) -> list[Telemetry]:
        """This model's columns of every table. ``TelemetryError`` where a table lacks one."""
        parts = []
        for table in tables:
            try:
                parts.append(self.scorer.read(table))
            except TelemetryError as error:
                named = f"{_source(table)}{error} (model {self.name or 'not saved yet'})"
                raise TelemetryError(named) from None
        return parts

    def verdicts(self, values: FloatArray) -> Verdicts:
        """Score and judge float64 [N, F] in the model's order."""
        return self.scorer.verdicts(values)

    @property
    def one_row_call(self) -> str:
        """The call that judges one reading, for :meth:`one_row_scorer`."""
        alone = isinstance(self.scorer, Detector) and self.scorer.contract.monitoring is None
        return "Detector.score" if alone else f"{type(self.scorer).__name__}.verdicts"

    def one_row_scorer(self, values: FloatArray) -> Callable[[int], object]:
        """A function that judges row number i of ``values`` by itself, the way the model is used for one reading."""
        if isinstance(self.scorer, Detector) and self.scorer.contract.monitoring is None:
            score = self.scorer.score
            names = [feature.name for feature in self.features]
            readings = [dict(zip(names, row, strict=True)) for row in values.tolist()]
            return lambda index: score(**readings[index])
        verdicts = self.scorer.verdicts
        rows = [values[index : index + 1].copy() for index in range(len(values))]
        return lambda index: verdicts(rows[index])


def subject_of(model: Model) -> Subject:
    """A fitted analyzer, a detector, or the model at a path or reference.

    A local path is loaded as the runtime does, so that nothing is unpickled; another store as
    ``EVBatteryAnalyzer.load_model`` does, with ONNX. Raises as those do, ``NotFittedError`` (a ``ValueError``) for an
    analyzer that is not trained, and ``TypeError`` for anything else.
    """
    if isinstance(model, (str, os.PathLike)):
        if "://" in os.fspath(model):
            return subject_of(EVBatteryAnalyzer.load_model(model, backend="onnx"))
        return subject_of(load_model(model))
    if isinstance(model, Detector):
        contract = model.contract
        return Subject(
            model,
            contract.name,
            str(contract.version),
            contract.features,
            contract.thresholds,
            contract.scoring.offset,
            contract.training.rows,
        )
    if isinstance(model, EVBatteryAnalyzer):
        return _of_analyzer(model)
    raise TypeError(
        f"cannot compare a {type(model).__name__}: give an EVBatteryAnalyzer, a Detector, a path, or two results of"
        " analyze_telemetry()"
    )


def _of_analyzer(analyzer: EVBatteryAnalyzer) -> Subject:
    trained = analyzer._fitted()
    saved = trained.contract
    return Subject(
        analyzer,
        saved.name if saved else None,
        str(saved.version) if saved else None,
        trained.features,
        analyzer._thresholds(),
        trained.backend.offset,
        trained.training.rows,
    )


def _source(table: Any) -> str:
    source = getattr(table, "attrs", {}).get("source")
    return f"{source}: " if source else ""
