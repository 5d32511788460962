"""Score EV-battery telemetry with a saved anomaly model: numpy and onnxruntime, nothing else.

>>> from ev_qa_runtime import load_model
>>> detector = load_model("artifacts/production/demo_pack_v1.0.0")
>>> detector.score(voltage=352.4, current=41.0, temp=24.5).severity
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from ev_qa_runtime.shadow import ShadowDetector
    from ev_qa_runtime.shadow_statistics import Disagreement, ShadowStatistics

__all__ = [
    "ArtifactError",
    "Detector",
    "Disagreement",
    "EvQaError",
    "IncompatibleModelError",
    "IntegrityError",
    "ModelContract",
    "ModelNotFoundError",
    "ModelService",
    "Severity",
    "ShadowDetector",
    "ShadowStatistics",
    "SignatureError",
    "TelemetryError",
    "Verdict",
    "Verdicts",
    "load_model",
]
__version__ = "0.1.0"

_SHADOW = {"ShadowDetector": "shadow", "Disagreement": "shadow_statistics", "ShadowStatistics": "shadow_statistics"}


def __getattr__(name: str) -> Any:
    """Import what a shadow needs when it is asked for: starting without one costs nothing."""
    if name not in _SHADOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the same

    return getattr(import_module(f"{__name__}.{_SHADOW[name]}"), name)
