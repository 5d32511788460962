"""What a model's forest takes, read from telemetry: readings as they are, or the features of its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_qa_runtime.contract import CURRENT_SIGNS, CurrentSign, FeatureSpec, ModelContract
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.features import Telemetry, read_telemetry

if TYPE_CHECKING:
    from ev_qa_runtime.monitoring import Monitoring


def read_for(contract: ModelContract, data: Any, current_sign: CurrentSign | None = None) -> Telemetry:
    """``data`` in the shape that the model's forest takes; what is in that shape already is returned as it is.

    A model over time reads a table with a time for every row, each vehicle from its beginning; a bare matrix of its
    features' width is taken for features. ``current_sign``: how ``data`` count the current; None: as the model does.
    Raises ``TelemetryError`` as :func:`~ev_qa_runtime.features.read_telemetry` and
    :func:`~ev_qa_runtime.signals.read_signals` do, ``ConfigurationError`` as :func:`in_sign_of` does.
    """
    return read_input(data, contract.features, contract.monitoring, contract.current_sign, current_sign)


def read_input(
    data: Any,
    features: Sequence[FeatureSpec],
    monitoring: Monitoring | None,
    of_model: CurrentSign,
    current_sign: CurrentSign | None = None,
) -> Telemetry:
    """:func:`read_for`, of a model that has no contract yet."""
    if isinstance(data, Telemetry):
        return read_telemetry(data, features)
    if monitoring is None:
        return in_sign_of(of_model, read_telemetry(data, features), current_sign)
    if are_features(data, len(features)):
        return read_telemetry(data, features)
    from ev_qa_runtime.fleet_monitor import FleetMonitor  # noqa: PLC0415 - models that judge readings alone do without

    return FleetMonitor(monitoring, current_sign=of_model, given_sign=current_sign).read(data)


def in_sign_of(of_model: CurrentSign, telemetry: Telemetry, given: CurrentSign | None) -> Telemetry:
    """Readings that are judged alone, their ``current`` counted as the model counts it.

    Raises ``ConfigurationError`` where ``given`` is no sign, or one that the model cannot convert from because it does
    not say its own or does not read a current.
    """
    if given is None or given in ("unspecified", of_model):
        return telemetry
    if given not in CURRENT_SIGNS:
        raise ConfigurationError(f"current_sign must be one of {', '.join(CURRENT_SIGNS)}, not {given!r:.40}")
    if of_model == "unspecified":
        raise ConfigurationError(
            f"the model does not say which way its current is counted, so {given} cannot be converted: give no "
            "current_sign, or train it with one"
        )
    if "current" not in telemetry.names:
        raise ConfigurationError("the model has no feature 'current' to convert: give no current_sign")
    at = telemetry.names.index("current")
    values = telemetry.values.copy()
    values[:, at] = 0.0 - values[:, at]  # no negative zeros
    return Telemetry(telemetry.names, values, telemetry.valid)


def are_features(data: Any, count: int) -> bool:
    """Whether ``data`` is a bare matrix of ``count`` columns, as a forest takes it, and not telemetry over time."""
    return isinstance(data, np.ndarray) and data.dtype.names is None and data.ndim == 2 and data.shape[1] == count
