"""``ModelService`` of the training side: an ``EVBatteryAnalyzer`` loaded on first use, once, and shared."""

from __future__ import annotations

import os
from functools import partial

from ev_qa_framework.analysis import EVBatteryAnalyzer
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.service import LazyModel
from ev_qa_runtime.trust import PublicKeys


class ModelService(LazyModel[EVBatteryAnalyzer]):
    """``ModelService("models/baseline_v2.0").predict(batch)``; the runtime has one of its own without scikit-learn.

    The keywords are those of ``EVBatteryAnalyzer.load_model``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        public_keys: PublicKeys | None = None,
        require_signature: bool | None = None,
        minimum_version: str | ModelVersion | None = None,
    ) -> None:
        loader = partial(
            EVBatteryAnalyzer.load_model,
            public_keys=public_keys,
            require_signature=require_signature,
            minimum_version=minimum_version,
        )
        super().__init__(path, loader)
