"""One vehicle's readings, one after the other, as they arrive."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from ev_qa_runtime.contract import CurrentSign, ModelContract
from ev_qa_runtime.current_direction import contradiction_before_turning, evidence_of
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.events import Event
from ev_qa_runtime.fleet_monitor import MOST_VEHICLES, joined_remarks, sign_of
from ev_qa_runtime.monitored_verdicts import MonitoredVerdict
from ev_qa_runtime.severity import SEVERITY_OF_CODE, Severity
from ev_qa_runtime.signals import SignalReader
from ev_qa_runtime.vehicle_monitor import VehicleMonitor
from ev_qa_runtime.vehicle_names import vehicle_name
from ev_qa_runtime.verdict import Verdict

MOST_KEPT_EVENTS = 1000
"""Ended events that a stream keeps until they are asked for; the oldest go first."""

ForestOfOne = Callable[[list[float]], Verdict]
"""What judges one row of features."""


class VehicleStream:
    """One vehicle's readings, one after the other: ``stream.score(time=12.0, voltage=352.4, current=41.0, …)``.

    Not for several threads at once.
    """

    def __init__(self, contract: ModelContract, forest: ForestOfOne, vehicle: str = "") -> None:
        monitoring = contract.monitoring
        if monitoring is None:
            raise TelemetryError(f"model {contract.name} judges each reading alone: use score() or verdicts()")
        self._forest = forest
        self._monitoring = monitoring
        self._monitor = VehicleMonitor(monitoring, vehicle)
        self._signals = monitoring.recipe.signals
        self._of_model: CurrentSign = contract.current_sign
        self._given_sign: CurrentSign | None = None
        self._reader = self._reader_for(None)
        self._ended: deque[Event] = deque(maxlen=MOST_KEPT_EVENTS)
        self._features: tuple[float, ...] | None = None

    @property
    def vehicle(self) -> str:
        """Whose readings these are."""
        return self._monitor.vehicle

    def score(self, **readings: float | None) -> MonitoredVerdict:
        """Judge the next reading, with its ``time``; names, units and sign as in a table.

        None and NaN mean missing. Raises ``TelemetryError`` where a name is absent or a value is no number; the stream
        is unchanged then.
        """
        time, reading = self._reader.reading_of(readings)
        watched = self._monitor.read(time, reading)
        self._features = features = watched.reading.features
        if features is None:
            forest_code, score, label = -1, float("nan"), -1
        else:
            of_forest = self._forest(list(features))
            forest_code, score, label = _CODES[of_forest.severity], of_forest.score, of_forest.label
        event = self._monitor.judge(time, watched, forest_code, score)
        if event is not None and not event.open:
            self._ended.append(event)
        forced = watched.forced
        code = max(forced, forest_code)
        severity = SEVERITY_OF_CODE[code] if code >= 0 else Severity.INVALID
        return MonitoredVerdict(score, -1 if forced > 0 else label, severity, features is not None, watched.reasons())

    @property
    def remark(self) -> str | None:
        """What the readings so far say against their current's sign, units or sampling; None where nothing."""
        evidence = evidence_of(*self._monitor.direction.votes())
        of_sign = contradiction_before_turning(evidence, self._reader.given_sign)
        return joined_remarks(of_sign, self._monitor.unit_remark(), self._monitor.sampling_remark())

    def take_sign(self, current_sign: CurrentSign) -> None:
        """Read the current by this sign from now on; what spoke for or against another one is forgotten."""
        if current_sign != self._given_sign:
            turned_before = self._reader.given_sign
            self._reader = self._reader_for(current_sign)
            if self._reader.given_sign != turned_before:
                self._monitor.direction.clear()

    @property
    def features(self) -> tuple[float, ...] | None:
        """The last reading's features, in the contract's order; None where it could not be judged."""
        return self._features

    @property
    def open_event(self) -> Event | None:
        """The event that is going on, or that may still go on."""
        return self._monitor.events.open_event

    def take_events(self) -> tuple[Event, ...]:
        """The events that ended since this was last asked."""
        ended = tuple(self._ended)
        self._ended.clear()
        return ended

    def finish(self) -> tuple[Event, ...]:
        """End an open event, as at the end of a recording; everything not yet taken, and that one."""
        last = self._monitor.events.finish()
        return (*self.take_events(), *(() if last is None else (last,)))

    def state(self) -> dict[str, Any]:
        """Everything that later verdicts depend on, in plain JSON types: some 3 kB as text. Take the events apart."""
        return self._monitor.state() | {"current_sign": self._given_sign}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state` of a stream of the same model.

        A sign that was given to that stream holds here too. Raises ``TelemetryError`` or ``ArtifactError``, and changes
        nothing, where it is none.
        """
        monitor = VehicleMonitor(self._monitoring, self._monitor.vehicle)
        monitor.restore(state)
        if "current_sign" in state:  # not in states of older releases
            self._reader = self._reader_for(state["current_sign"])
        self._monitor = monitor

    def _reader_for(self, given: CurrentSign | None) -> SignalReader:
        sign, explicit = sign_of(self._of_model, given)
        self._given_sign = sign if explicit else None
        return SignalReader(self._signals, sign, explicit_sign=explicit)


class VehicleStreams:
    """The streams of a bounded number of vehicles, by name. Thread-safe; each stream is for one thread at a time."""

    def __init__(self, contract: ModelContract, forest: ForestOfOne, most: int = MOST_VEHICLES) -> None:
        self._contract, self._forest, self._most = contract, forest, most
        self._kept: OrderedDict[str, VehicleStream] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, vehicle: str | int) -> VehicleStream:
        """The stream of a vehicle, new where it is not known; the one that was silent for longest is forgotten.

        ``""`` is the vehicle without a name; 7 and ``"7"`` are the same. Raises ``TelemetryError`` for what names none.
        """
        vehicle = _named(vehicle)
        with self._lock:
            stream = self._kept.get(vehicle)
            if stream is None:
                stream = self._kept[vehicle] = VehicleStream(self._contract, self._forest, vehicle)
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(vehicle)
        return stream

    def forget(self, vehicle: str | int) -> None:
        """Drop a vehicle's stream; its next reading begins anew."""
        with self._lock:
            self._kept.pop(_named(vehicle), None)


def _named(vehicle: str | int) -> str:
    name = "" if vehicle == "" else vehicle_name(vehicle)
    if name is None:
        raise TelemetryError(f"{vehicle!r:.40} names no vehicle: give a text or a whole number")
    return name


_CODES = {Severity.INVALID: -1, Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
