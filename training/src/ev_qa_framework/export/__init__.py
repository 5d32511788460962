"""Fitted Pipeline → ONNX: one tree operator with exactly folded thresholds.

``to_onnx`` exports any fitted Pipeline that ends in an IsolationForest; ``register_with_skl2onnx`` gives the same
forest to everybody who calls ``skl2onnx.to_onnx``.
"""

from __future__ import annotations

from ev_qa_framework.export.model import folded_forest, model_rule, reference_outputs, requirements, restated, to_onnx
from ev_qa_framework.export.skl2onnx_converter import register_with_skl2onnx
from ev_qa_framework.export.steps import ExportSteps, export_steps

__all__ = [
    "ExportSteps",
    "export_steps",
    "folded_forest",
    "model_rule",
    "reference_outputs",
    "register_with_skl2onnx",
    "requirements",
    "restated",
    "to_onnx",
]
