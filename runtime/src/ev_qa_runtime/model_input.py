"""What a model's forest takes, read from telemetry: readings as they are, or the features of its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_qa_runtime.contract import CurrentSign, FeatureSpec, ModelContract
from ev_qa_runtime.features import Telemetry, read_telemetry

if TYPE_CHECKING:
    from ev_qa_runtime.monitoring import Monitoring


def read_for(contract: ModelContract, data: Any) -> Telemetry:
    """``data`` in the shape that the model's forest takes; what is in that shape already is returned as it is.

    A model over time reads a table with a time for every row, each vehicle from its beginning; a bare matrix of its
    features' width is taken for features. Raises
    ``TelemetryError`` as :func:`~ev_qa_runtime.features.read_telemetry` and
    :func:`~ev_qa_runtime.signals.read_signals` do.
    """
    return read_input(data, contract.features, contract.monitoring, contract.current_sign)


def read_input(
    data: Any, features: Sequence[FeatureSpec], monitoring: Monitoring | None, current_sign: CurrentSign
) -> Telemetry:
    """:func:`read_for`, of a model that has no contract yet."""
    if monitoring is None or isinstance(data, Telemetry) or are_features(data, len(features)):
        return read_telemetry(data, features)
    from ev_qa_runtime.fleet_monitor import FleetMonitor  # noqa: PLC0415 - models that judge readings alone do without

    return FleetMonitor(monitoring, current_sign=current_sign).read(data)


def are_features(data: Any, count: int) -> bool:
    """Whether ``data`` is a bare matrix of ``count`` columns, as a forest takes it, and not telemetry over time."""
    return isinstance(data, np.ndarray) and data.dtype.names is None and data.ndim == 2 and data.shape[1] == count
