"""Train an anomaly detector for EV-battery telemetry once, deploy it many times.

>>> from ev_qa_framework import EVBatteryAnalyzer
>>> analyzer = EVBatteryAnalyzer(contamination=0.05)
>>> analyzer.analyze_telemetry(history)
>>> analyzer.save_model("models/production/baseline_v2.0", metadata={"version": "2.0"})
"""

from __future__ import annotations

from ev_qa_framework.analysis import AnomalyDetector, EVBatteryAnalyzer
from ev_qa_framework.service import ModelService

__all__ = ["AnomalyDetector", "EVBatteryAnalyzer", "ModelService"]
__version__ = "0.1.0"
