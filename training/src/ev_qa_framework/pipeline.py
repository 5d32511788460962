"""The unfitted scikit-learn Pipeline: scaler and forest as one object, so that they can never be mixed up."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

SCALER_STEP = "scaler"
MODEL_STEP = "model"


def build_pipeline(
    *, contamination: float | str, n_estimators: int, max_samples: int | float | str, random_state: Any
) -> Pipeline:
    """StandardScaler → IsolationForest with the given parameters, unfitted."""
    forest = IsolationForest(
        n_estimators=n_estimators,
        max_samples=max_samples,
        contamination=contamination,
        random_state=random_state,
    )
    return Pipeline([(SCALER_STEP, StandardScaler()), (MODEL_STEP, forest)])
