"""Comparing two models on the same telemetry, before one replaces the other."""

from ev_qa_framework.comparison.comparison import compare_models
from ev_qa_framework.comparison.result import Interval, ModelComparison, SummaryComparison

__all__ = ["Interval", "ModelComparison", "SummaryComparison", "compare_models"]
