"""Parity of a saved model on given telemetry, across every engine that can score it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ev_qa_framework import persistence
from ev_qa_framework.backends import SklearnBackend
from ev_qa_framework.export import reference_outputs
from ev_qa_framework.onnx_artifact import TOLERANCE_ULP
from ev_qa_framework.parity import Scored, adversarial_rows, compare, scored_by_sklearn, scored_from_path_length
from ev_qa_framework.registry.resolution import read_resolved
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.contract import ParityRecord, Profile
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.model_input import read_for
from ev_qa_runtime.session import ScoringSession
from ev_qa_runtime.severity import FloatArray


@dataclass(frozen=True, slots=True)
class Comparison:
    """One engine against another on the same rows."""

    engine: str
    against: str
    found: ParityRecord


@dataclass(frozen=True, slots=True)
class ModelParity:
    """Every comparison that could be made of one model."""

    model: str
    profile: Profile
    comparisons: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """No label or severity differs, and no score by more than the model's profile allows."""
        return all(
            pair.found.max_ulp <= TOLERANCE_ULP[self.profile]
            and not pair.found.labels_differing
            and not pair.found.severities_differing
            for pair in self.comparisons
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        rows = [{"engine": pair.engine, "against": pair.against, **asdict(pair.found)} for pair in self.comparisons]
        return {"model": self.model, "profile": self.profile, "agrees": self.agrees, "comparisons": rows}


def model_parity(
    name: str | os.PathLike[str], data: Any, *, adversarial: int = 10_000, reference_rows: int = 200
) -> ModelParity:
    """Score ``data`` and ``adversarial`` rows made from it with scikit-learn, the runtime and ``onnx.reference``.

    Raises ``ArtifactError`` where the Pipeline cannot be loaded here (another scikit-learn), for then there is
    nothing to compare with, and ``TelemetryError`` for telemetry that will not do.
    """
    return read_resolved(name, lambda path: _parity_of(path, data, adversarial, reference_rows))


def _parity_of(name: str | os.PathLike[str], data: Any, adversarial: int, reference_rows: int) -> ModelParity:
    backend = persistence.load(name, "sklearn").backend
    assert isinstance(backend, SklearnBackend)  # noqa: S101 - asked for by name
    artifact = read_artifact(name)
    contract = artifact.contract
    telemetry = read_for(contract, data)
    usable = telemetry.values[telemetry.valid]
    if not len(usable):
        raise TelemetryError("there is no valid row in the telemetry to compare on")
    rows = np.concatenate([telemetry.values, adversarial_rows(backend.pipeline, usable, adversarial)])
    expected = scored_by_sklearn(backend.pipeline, rows, contract.thresholds)
    path_length = ScoringSession(artifact.payloads["onnx"], contract).path_length(rows)
    by_runtime = scored_from_path_length(path_length, contract.scoring)
    comparisons = [Comparison("runtime", "scikit-learn", compare(expected, by_runtime))]
    if reference_rows and contract.onnx.profile == "exact":  # onnx.reference lacks the older operator's doubles
        some = np.linspace(0, len(rows) - 1, min(reference_rows, len(rows))).astype(int)
        reference = _by_reference(artifact.payloads["onnx"], rows[some])
        wanted = Scored(expected.score_samples[some], expected.label[some], expected.severity[some])
        comparisons.append(Comparison("onnx.reference", "scikit-learn", compare(wanted, reference)))
    return ModelParity(contract.name, contract.onnx.profile, tuple(comparisons))


def _by_reference(onnx_model: bytes, rows: FloatArray) -> Scored:
    outputs = reference_outputs(onnx_model, rows)
    return Scored(*(outputs[key].reshape(-1) for key in ("score_samples", "label", "severity")))
