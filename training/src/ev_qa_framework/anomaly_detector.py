"""``AnomalyDetector``: an analyzer for clean training data."""

from __future__ import annotations

import os
from typing import Any, Self

from ev_qa_framework.analysis import (
    DEFAULT_CALIBRATION_FOLDS,
    DEFAULT_FEATURES,
    DEFAULT_LIMITS,
    EVBatteryAnalyzer,
)
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.severity import FloatArray, IntArray


class AnomalyDetector(EVBatteryAnalyzer):
    """A stricter analyzer for clean training data: 1 % contamination, ``train`` and ``detect``."""

    def __init__(  # noqa: PLR0913 - scikit-learn wants every parameter here, by name
        self,
        contamination: float | str = 0.01,
        n_estimators: int = 200,
        random_state: Any = 42,
        critical_threshold: float = -0.8,
        warning_threshold: float = -0.5,
        *,
        max_samples: int | float | str = "auto",
        features: tuple[str, ...] | str = DEFAULT_FEATURES,
        current_sign: CurrentSign = "unspecified",
        limits: str | os.PathLike[str] | Limits | None = DEFAULT_LIMITS,
        calibration_folds: int = DEFAULT_CALIBRATION_FOLDS,
    ) -> None:
        super().__init__(
            contamination,
            n_estimators,
            random_state,
            critical_threshold,
            warning_threshold,
            max_samples=max_samples,
            features=features,
            current_sign=current_sign,
            limits=limits,
            calibration_folds=calibration_folds,
        )

    def train(self, df_normal: Any) -> Self:
        """Fit on telemetry that is known to be normal; see :meth:`fit`."""
        return self.fit(df_normal)

    def detect(self, df_telemetry: Any) -> tuple[IntArray, FloatArray]:
        """``(predictions, scores)``: :meth:`predict` and :meth:`score_samples` of every row, int64 and float64 [N]."""
        verdicts = self.verdicts(df_telemetry)
        return verdicts.label, verdicts.score_samples
