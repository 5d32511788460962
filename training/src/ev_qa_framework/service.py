"""``ModelService`` of the training side: an ``EVBatteryAnalyzer`` loaded on first use, once, and shared."""

from __future__ import annotations

import os

from ev_qa_framework.analysis import EVBatteryAnalyzer
from ev_qa_runtime.service import LazyModel


class ModelService(LazyModel[EVBatteryAnalyzer]):
    """``ModelService("models/baseline_v2.0").predict(batch)``; the runtime has one of its own without scikit-learn."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, EVBatteryAnalyzer.load_model)
