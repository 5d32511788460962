"""How the compared data differ from what each model was trained on, and what sets the models apart."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ev_qa_framework.comparison.result import BoolArray, FeatureShift, FlaggedContrast
from ev_qa_runtime.contract import FeatureSpec
from ev_qa_runtime.severity import FloatArray


def feature_shift(
    model: Literal["A", "B"], features: tuple[FeatureSpec, ...], values: FloatArray
) -> tuple[FeatureShift, ...]:
    """Each feature of the compared rows ``values`` float64 [N, F] against the model's training statistics."""
    return tuple(_shift(model, spec, column) for spec, column in zip(features, values.T, strict=True))


def _shift(model: str, spec: FeatureSpec, column: FloatArray) -> FeatureShift:
    mean, std = float(column.mean()), float(column.std())
    trained = spec.training
    if trained is None:  # a migrated model does not know
        return FeatureShift(model, spec.name, spec.unit, mean, std, None, None, None, None, None)
    outside = (column < trained.minimum) | (column > trained.maximum)
    return FeatureShift(
        model=model,
        feature=spec.name,
        unit=spec.unit,
        mean=mean,
        std=std,
        training_mean=trained.mean,
        training_std=trained.std,
        shift_std=_ratio(mean - trained.mean, trained.std),
        std_ratio=_ratio(std, trained.std),
        outside_share=float(outside.mean()),
    )


def flagged_contrast(
    features: tuple[FeatureSpec, ...], values: FloatArray, a_only: BoolArray, b_only: BoolArray
) -> tuple[FlaggedContrast, ...]:
    """Each feature's mean over the rows that only A flags and those that only B flags."""
    return tuple(_contrast(spec, column, a_only, b_only) for spec, column in zip(features, values.T, strict=True))


def _contrast(spec: FeatureSpec, column: FloatArray, a_only: BoolArray, b_only: BoolArray) -> FlaggedContrast:
    mean_a = float(column[a_only].mean()) if a_only.any() else None
    mean_b = float(column[b_only].mean()) if b_only.any() else None
    difference = None if mean_a is None or mean_b is None else _ratio(mean_b - mean_a, float(column.std()))
    return FlaggedContrast(spec.name, spec.unit, mean_a, mean_b, difference)


def _ratio(over: float, under: float) -> float | None:
    """None for a feature that never varied, and where readings near the top of float64 overflow."""
    with np.errstate(all="ignore"):
        ratio = float(np.float64(over) / np.float64(under)) if under else math.nan
    return ratio if math.isfinite(ratio) else None
