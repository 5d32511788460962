"""A trained model in memory: what fitting or loading gives and saving takes."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from ev_qa_framework.backends import ScoringBackend
from ev_qa_runtime.contract import CurrentSign, FeatureSpec, ModelContract, Thresholds, TrainingRecord
from ev_qa_runtime.features import Telemetry
from ev_qa_runtime.fleet_monitor import FleetMonitor
from ev_qa_runtime.model_input import are_features, read_input
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.severity import FloatArray
from ev_qa_runtime.verdict import Verdicts

REFERENCE_ROWS = 2048
"""Rows of training data kept for parity and golden rows, spread evenly over the data."""

_DISTRIBUTIONS = (
    "scikit-learn",
    "numpy",
    "scipy",
    "joblib",
    "pandas",
    "onnx",
    "onnxruntime",
    "ev-qa-runtime",
    "ev-qa-framework",
)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A fitted back end with the record of how it came about.

    ``reference_rows`` float64 [R, F] are valid rows of the training data (of a loaded model: its golden rows).
    ``contract`` is the sidecar it was loaded from or last saved with, ``signed_by`` the ids of the keys that signed it;
    ``payloads`` the verified files of a model that was loaded without scikit-learn, so that it can be saved again.
    ``monitoring``: of a model over time, whose ``features`` its recipe makes.
    """

    backend: ScoringBackend
    features: tuple[FeatureSpec, ...]
    current_sign: CurrentSign
    training: TrainingRecord
    environment: dict[str, str]
    reference_rows: FloatArray
    contract: ModelContract | None = None
    payloads: dict[str, bytes] = field(default_factory=dict)
    signed_by: tuple[str, ...] = ()
    monitoring: Monitoring | None = None

    def read(self, data: Any, current_sign: CurrentSign | None = None) -> Telemetry:
        """What the back end takes, from telemetry whose current has ``current_sign`` (None: the model's).

        Raises ``TelemetryError`` where it cannot be read, ``ConfigurationError`` for a sign that cannot be converted.
        """
        return read_input(data, self.features, self.monitoring, self.current_sign, current_sign)

    def verdicts(self, data: Any, thresholds: Thresholds, current_sign: CurrentSign | None = None) -> Verdicts:
        """Score and judge every row; a model over time gives events as well. Raises as :meth:`read` does."""
        if self.monitoring is None or are_features(data, len(self.features)):
            return self.backend.verdicts(self.read(data, current_sign), thresholds)
        backend = self.backend
        monitor = FleetMonitor(
            self.monitoring,
            lambda telemetry: backend.verdicts(telemetry, thresholds),
            current_sign=self.current_sign,
            given_sign=current_sign,
        )
        return monitor.verdicts(data, last=True)


def reference_rows(rows: FloatArray) -> FloatArray:
    """At most :data:`REFERENCE_ROWS` rows, evenly spread; a copy."""
    count = min(len(rows), REFERENCE_ROWS)
    chosen: FloatArray = rows[np.linspace(0, len(rows) - 1, count).astype(int)].copy()
    return chosen


def this_environment() -> dict[str, str]:
    """Python, platform and library versions in use; nothing that names the machine or its user."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        **{name: version(name) for name in _DISTRIBUTIONS},
    }


def unsaved_info(trained: TrainedModel) -> dict[str, Any]:
    """What there is to say of a model between fitting and its first save."""
    return {
        "name": None,
        "version": None,
        "created": None,
        "rows_trained_on": trained.training.rows,
        "features": [{"name": feature.name, "unit": feature.unit} for feature in trained.features],
        "current_sign": trained.current_sign,
        "offset": trained.backend.offset,
        "library_versions": dict(trained.environment),
        "metadata": {},
    }
