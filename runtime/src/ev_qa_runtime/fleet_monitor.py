"""Vehicles over time, in chunks of any size: each vehicle's readings go on where the last chunk ended."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ev_qa_runtime.contract import CURRENT_SIGNS, CurrentSign
from ev_qa_runtime.current_direction import Votes, contradiction_before_turning, evidence_of
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

    Rows of a vehicle must come in the order of time. ``current_sign`` is what the model was trained with,
    ``given_sign`` what was said of the telemetry itself, see :func:`sign_of`. ``drift`` counts every row that is
    judged. Not for several threads at once.
    """

    def __init__(
        self,
        monitoring: Monitoring,
        forest: Forest | None = None,
        *,
        current_sign: CurrentSign = "discharge_positive",
        given_sign: CurrentSign | None = None,
        most_vehicles: int = MOST_VEHICLES,
        drift: DriftMonitor | None = None,
    ) -> None:
        self.drift = drift
        self._monitoring = monitoring
        self._forest = forest
        self._names = tuple(feature.name for feature in monitoring.recipe.features)
        self._current_sign, self._explicit_sign = sign_of(current_sign, given_sign)
        self._vehicles = Vehicles(self._monitoring, most_vehicles)
        self._rows = 0
        self._direction: tuple[Votes, Votes] = ((0, 0), (0, 0))
        self._warned = False

    def read(self, data: Any) -> MonitoredTelemetry:
        """Features of the next readings, with what was found in them.

        ``data``: a table with columns for the time and the recipe's signals, and for the vehicle where there are
        several (:mod:`ev_qa_runtime.signals` has the names). Raises ``TelemetryError`` where one is missing or cannot
        be read. Readings that speak against the current's sign, together with those before, are warned of once, and
        scored; so are vehicles in other units than the training data, or sampled unlike them.
        """
        signals = self._monitoring.recipe.signals
        table = read_signals(data, signals, self._current_sign, explicit_sign=self._explicit_sign)
        values = np.full((len(table), len(self._names)), np.nan)
        valid = np.zeros(len(table), dtype=np.bool_)
        watched: dict[int, Watched] = {}
        monitors = [self._vehicles[vehicle] for vehicle in table.vehicles]
        here = [monitors[vehicle] for vehicle in np.unique(table.vehicle).tolist()]
        votes_before = _votes_of(here)
        said_before = _unit_remark(here), _sampling_remark(here)
        rows = zip(table.vehicle.tolist(), table.time.tolist(), table.values.tolist(), strict=True)
        for row, (vehicle, time, reading) in enumerate(rows):
            seen = monitors[vehicle].read(time, reading)
            features = seen.reading.features
            if features is not None:
                values[row] = features
                valid[row] = True
            if seen:
                watched[row] = seen
        self._direction = _changed(self._direction, votes_before, _votes_of(here))
        remark = contradiction_before_turning(evidence_of(*self._direction), table.given_sign)
        if remark is not None and not self._warned:
            self._warned = True
            warnings.warn(remark, stacklevel=3)
        said_now = _unit_remark(here), _sampling_remark(here)
        for now, before in zip(said_now, said_before, strict=True):
            if now is not None and before is None:
                warnings.warn(now, stacklevel=3)
        return MonitoredTelemetry(
            self._names,
            values,
            valid,
            table.time,
            table.vehicles,
            table.vehicle,
            watched,
            joined_remarks(remark, *said_now),
        )

    def verdicts(self, data: Any, *, last: bool = False) -> MonitoredVerdicts:
        """Judge the next readings, a table or what :meth:`read` gave; ``last`` ends every vehicle's open event.

        Events that ended, and those that go on in the vehicles of this chunk: an open one is told again with each chunk
        until it ends. ``vehicle`` and ``start_row``, counted from the monitor's first row, say which event it is.
        """
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


def _unit_remark(monitors: list[VehicleMonitor]) -> str | None:
    return _of_first((monitor.vehicle, monitor.unit_remark()) for monitor in monitors)


def _sampling_remark(monitors: list[VehicleMonitor]) -> str | None:
    return _of_first((monitor.vehicle, monitor.sampling_remark()) for monitor in monitors)


def _of_first(remarks: Iterable[tuple[str, str | None]]) -> str | None:
    """That of the first vehicle with one, and how many others have one too."""
    said = [(vehicle, text) for vehicle, text in remarks if text is not None]
    if not said:
        return None
    vehicle, text = said[0]
    others = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return f"vehicle {vehicle:.40}{others}: {text}" if vehicle else text


def joined_remarks(*remarks: str | None) -> str | None:
    """All that there are, in one text."""
    said = [remark for remark in remarks if remark is not None]
    return "; ".join(said) if said else None


def _votes_of(monitors: list[VehicleMonitor]) -> list[tuple[Votes, Votes]]:
    return [monitor.direction.votes() for monitor in monitors]


def _changed(
    votes: tuple[Votes, Votes], before: list[tuple[Votes, Votes]], after: list[tuple[Votes, Votes]]
) -> tuple[Votes, Votes]:
    """The fleet's votes, with those of some vehicles as they are now; of a vehicle that was forgotten they stay."""
    of_soc, of_voltage = (
        (
            votes[kind][0] + sum(now[kind][0] - then[kind][0] for now, then in zip(after, before, strict=True)),
            votes[kind][1] + sum(now[kind][1] - then[kind][1] for now, then in zip(after, before, strict=True)),
        )
        for kind in (0, 1)
    )
    return of_soc, of_voltage


def sign_of(of_model: CurrentSign, given: CurrentSign | None) -> tuple[CurrentSign, bool]:
    """What telemetry's current is taken for, and whether that was said of the telemetry itself.

    ``given`` None or ``"unspecified"``: nothing was said, and the model's own holds. Raises ``TelemetryError`` for what
    is no sign.
    """
    if given is not None and given not in CURRENT_SIGNS:
        raise TelemetryError(f"current_sign must be one of {', '.join(CURRENT_SIGNS)}, not {given!r:.40}")
    return (settled(of_model), False) if given in (None, "unspecified") else (given, True)


def settled(current_sign: CurrentSign) -> CurrentSign:
    """Fitting settles what was unspecified, so a contract that still says so means discharge_positive."""
    return "discharge_positive" if current_sign == "unspecified" else current_sign
