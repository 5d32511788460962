"""Vehicles over time, in chunks of any size: each vehicle's readings go on where the last chunk ended."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.drift import DriftMonitor
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.monitored_verdicts import MonitoredTelemetry, MonitoredVerdicts, judged
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.signals import read_signals
from ev_qa_runtime.vehicle_monitor import VehicleMonitor, Watched
from ev_qa_runtime.verdict import Verdicts

MOST_VEHICLES = 10_000
"""Vehicles whose state is kept, about 5 kB each; the one that was silent for longest is forgotten first."""

Forest = Callable[[MonitoredTelemetry], Verdicts]
"""What judges features; the runtime's session or a back end of the training side."""


class Vehicles:
    """The monitors of a bounded number of vehicles."""

    def __init__(self, monitoring: Monitoring, most: int = MOST_VEHICLES) -> None:
        if most < 1:
            raise TelemetryError(f"at least one vehicle must be kept, not {most}")
        self._monitoring = monitoring
        self._most = most
        self._kept: OrderedDict[str, VehicleMonitor] = OrderedDict()

    def __getitem__(self, vehicle: str) -> VehicleMonitor:
        """The monitor of a vehicle, new where it is not known."""
        monitor = self._kept.get(vehicle)
        if monitor is None:
            monitor = self._kept[vehicle] = VehicleMonitor(self._monitoring, vehicle)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(vehicle)
        return monitor

    def __iter__(self) -> Iterator[VehicleMonitor]:
        return iter(list(self._kept.values()))


class FleetMonitor:
    """Readings of any number of vehicles, chunk by chunk: each vehicle's go on where the last chunk ended.

    Rows of a vehicle must come in the order of time. ``drift`` counts every row that is judged. Not for several threads
    at once.
    """

    def __init__(
        self,
        monitoring: Monitoring,
        forest: Forest | None = None,
        *,
        current_sign: CurrentSign = "discharge_positive",
        most_vehicles: int = MOST_VEHICLES,
        drift: DriftMonitor | None = None,
    ) -> None:
        self.drift = drift
        self._monitoring = monitoring
        self._forest = forest
        self._names = tuple(feature.name for feature in monitoring.recipe.features)
        self._current_sign: CurrentSign = settled(current_sign)
        self._vehicles = Vehicles(self._monitoring, most_vehicles)
        self._rows = 0

    def read(self, data: Any) -> MonitoredTelemetry:
        """Features of the next readings, with what was found in them.

        ``data``: a table with columns for the time and the recipe's signals, and for the vehicle where there are
        several (:mod:`ev_qa_runtime.signals` has the names). Raises ``TelemetryError`` where one is missing or cannot
        be read. Data that speak against the current's sign are warned of, and scored.
        """
        table = read_signals(data, self._monitoring.recipe.signals, self._current_sign)
        if (remark := table.wrong_sign()) is not None:
            warnings.warn(remark, stacklevel=3)
        values = np.full((len(table), len(self._names)), np.nan)
        valid = np.zeros(len(table), dtype=np.bool_)
        watched: dict[int, Watched] = {}
        monitors = [self._vehicles[vehicle] for vehicle in table.vehicles]
        rows = zip(table.vehicle.tolist(), table.time.tolist(), table.values.tolist(), strict=True)
        for row, (vehicle, time, reading) in enumerate(rows):
            seen = monitors[vehicle].read(time, reading)
            features = seen.reading.features
            if features is not None:
                values[row] = features
                valid[row] = True
            if seen.reading.findings or seen.breaches:
                watched[row] = seen
        return MonitoredTelemetry(
            self._names, values, valid, table.time, table.vehicles, table.vehicle, watched, remark
        )

    def verdicts(self, data: Any, *, last: bool = False) -> MonitoredVerdicts:
        """Judge the next readings, a table or what :meth:`read` gave; ``last`` ends every vehicle's open event."""
        if self._forest is None:
            raise TelemetryError("this monitor only reads: it was made without a forest")
        telemetry = data if isinstance(data, MonitoredTelemetry) else self.read(data)
        forest = self._forest(telemetry)
        score_samples = np.where(telemetry.valid, forest.score_samples, np.nan)
        if self.drift is not None:
            self.drift.update(telemetry.values, score_samples, telemetry.time)
        label, severity = judged(telemetry, forest)
        monitors = [self._vehicles[vehicle] for vehicle in telemetry.vehicles]
        events = []
        rows = zip(telemetry.vehicle.tolist(), telemetry.time.tolist(), forest.severity.tolist(), strict=True)
        scores = score_samples.tolist()
        for row, (vehicle, time, code) in enumerate(rows):
            seen = telemetry.watched.get(row)
            event = monitors[vehicle].judge(time, seen, code, scores[row], self._rows + row)
            if event is not None and not event.open:
                events.append(event)
        self._rows += len(telemetry)
        for monitor in self._vehicles if last else monitors:
            event = monitor.events.finish() if last else monitor.events.open_event
            if event is not None:
                events.append(event)
        return MonitoredVerdicts(telemetry, score_samples, label, severity, tuple(events))


def settled(current_sign: CurrentSign) -> CurrentSign:
    """Fitting settles what was unspecified, so a contract that still says so means discharge_positive."""
    return "discharge_positive" if current_sign == "unspecified" else current_sign
