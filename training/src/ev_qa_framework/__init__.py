"""Train an anomaly detector for EV-battery telemetry once, deploy it many times.

>>> from ev_qa_framework import EVBatteryAnalyzer
>>> analyzer = EVBatteryAnalyzer(contamination=0.05)
>>> analyzer.analyze_telemetry(history)
>>> analyzer.save_model("models/production/baseline_v2.0", metadata={"version": "2.0"})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ev_qa_framework.analysis import EVBatteryAnalyzer
    from ev_qa_framework.anomaly_detector import AnomalyDetector
    from ev_qa_framework.comparison import compare_models
    from ev_qa_framework.service import ModelService
    from ev_qa_runtime.errors import ArtifactError, ConfigurationError, EvQaError, ModelNotFoundError, TelemetryError

__all__ = [
    "AnomalyDetector",
    "ArtifactError",
    "ConfigurationError",
    "EVBatteryAnalyzer",
    "EvQaError",
    "ModelNotFoundError",
    "ModelService",
    "TelemetryError",
    "compare_models",
]
__version__ = "0.1.0"

_HOMES = {
    "AnomalyDetector": "anomaly_detector",
    "EVBatteryAnalyzer": "analysis",
    "ModelService": "service",
    "compare_models": "comparison",
}


def __getattr__(name: str) -> Any:
    """Import scikit-learn and pandas when a class is asked for, so that ``ev-qa --help`` answers at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}" if name in _HOMES else "ev_qa_runtime.errors")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
