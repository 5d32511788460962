"""Score EV-battery telemetry with a saved anomaly model: numpy and onnxruntime, nothing else.

>>> from ev_qa_runtime import load_model
>>> detector = load_model("artifacts/production/demo_pack_v1.0.0")
>>> detector.score(voltage=352.4, current=41.0, temp=24.5).severity
"""

from __future__ import annotations

from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.detector import Detector, load_model
from ev_qa_runtime.errors import (
    ArtifactError,
    EvQaError,
    IncompatibleModelError,
    IntegrityError,
    ModelNotFoundError,
    SignatureError,
    TelemetryError,
)
from ev_qa_runtime.service import ModelService
from ev_qa_runtime.severity import Severity
from ev_qa_runtime.verdict import Verdict, Verdicts

__all__ = [
    "ArtifactError",
    "Detector",
    "EvQaError",
    "IncompatibleModelError",
    "IntegrityError",
    "ModelContract",
    "ModelNotFoundError",
    "ModelService",
    "Severity",
    "SignatureError",
    "TelemetryError",
    "Verdict",
    "Verdicts",
    "load_model",
]
__version__ = "0.1.0"
