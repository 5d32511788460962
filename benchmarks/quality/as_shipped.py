"""What users get: events of held-out trips, with faults and without, under detectors as fitting leaves them.

Each fold fits on all trips but its own. A fault is found by an event that begins in its first faulted row or later; one
that began before, by chance or not, does not count, even where the fault prolongs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from benchmarks.engines.base import UnavailableError
from benchmarks.faults import FAULT_KINDS, ONSET, FaultKind, inject
from benchmarks.pack_estimate import PackEstimate
from benchmarks.quality.alarms import Healthy
from benchmarks.quality.shipped import RULE, JudgedTrip, Shipped
from benchmarks.quality.trips import Telemetry, folds
from benchmarks.timing import progress

from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.events import Event
from ev_qa_runtime.severity import INVALID_CODE, FloatArray, IntArray, Severity

NO_FAULT = "no fault: by chance"
SIMULATED = "trips that came with a fault"
NEVER = float("nan")


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds from the onset to the start of the first event, to its k-th row, to the first CRITICAL event's start.

    NaN where there is no such event. And the shares of faulted rows that are WARNING or worse, CRITICAL, INVALID.
    """

    start: float
    known: float
    critical: float
    flagged: float
    flagged_critical: float
    invalid: float


@dataclass(slots=True)
class Shown:
    """Of one detector: what was found by kind of fault, one a trip (and fold, of :data:`SIMULATED`); healthy trips."""

    setup: str
    found: dict[str, list[Found]]
    events: list[Healthy] = field(default_factory=list)
    critical_events: list[Healthy] = field(default_factory=list)
    severities: list[IntArray] = field(default_factory=list)

    def values(self, kind: str, what: str) -> FloatArray:
        """A field of :class:`Found` of every trip with that kind of fault, float64 [T]."""
        return np.array([getattr(found, what) for found in self.found[kind]], np.float64)


@dataclass(frozen=True, slots=True)
class AsShipped:
    """By detector; why others could not run; and the kinds of fault in order."""

    shown: dict[str, Shown]
    skipped: dict[str, str]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A trip, and what it is of: a kind of fault, or :data:`NO_FAULT`; ``onset`` is in seconds of its clock."""

    kind: str
    table: pd.DataFrame
    onset: float


def measure(
    telemetry: Telemetry,
    makers: Callable[[], Sequence[Shipped]],
    ways: int,
    kinds: Sequence[FaultKind] = FAULT_KINDS,
    seed: int = 0,
) -> AsShipped:
    """Run all folds. Raises ``TelemetryError`` for fewer healthy trips than folds, or fewer than two folds."""
    tables = [trip.table for trip in telemetry.healthy]
    if ways < 2 or len(tables) < ways:
        raise TelemetryError(f"{telemetry.source}: {len(tables)} healthy trips do not make {max(ways, 2)} folds")
    pack = PackEstimate.of(tables)
    names = (*(kind.name for kind in kinds), *([SIMULATED] if telemetry.faulty else []), NO_FAULT)
    result = AsShipped({}, {}, names)
    came = [Case(SIMULATED, trip.table, onset_of(trip.table)) for trip in telemetry.faulty]
    for number, (fitting, calibrating, testing) in enumerate(folds(len(tables), ways), start=1):
        training = [tables[trip] for trip in sorted(fitting + calibrating)]
        cases = [case for trip in testing for case in faulted(tables[trip], kinds, pack, seed + trip)]
        for detector in makers():
            if detector.name not in result.skipped:
                progress(f"as shipped, fold {number} of {ways}: {detector.name}")
                judge(detector, training, [*cases, *came], result)
    progress("")
    return result


def faulted(table: pd.DataFrame, kinds: Sequence[FaultKind], pack: PackEstimate, seed: int) -> list[Case]:
    """A healthy trip with each kind of fault, and as it is: then the onset is when most faults begin."""
    time = table["time_s"].to_numpy()
    injected = [(kind.name, inject(kind, table, pack, seed=seed)) for kind in kinds]
    cases = [Case(name, trip, onset_of(trip)) for name, trip in injected if trip["fault"].any()]
    return [*cases, Case(NO_FAULT, table, float(time[0] + ONSET * (time[-1] - time[0])))]


def onset_of(table: pd.DataFrame) -> float:
    """When the first faulted row was recorded."""
    return float(table["time_s"].to_numpy()[np.argmax(table["fault"].to_numpy() > 0)])


def judge(detector: Shipped, training: Sequence[pd.DataFrame], cases: Sequence[Case], into: AsShipped) -> None:
    """Fit, judge all trips of a fold, and keep what was shown; a detector that cannot is skipped for good."""
    try:
        detector.fit(training)
    except UnavailableError as error:
        into.skipped[detector.name] = str(error)
        return
    shown = into.shown.setdefault(detector.name, Shown(detector.setup, {kind: [] for kind in into.kinds}))
    for case, judged in zip(cases, detector.judge([case.table for case in cases]), strict=True):
        shown.found[case.kind].append(found_in(judged, case))
        if case.kind == NO_FAULT:
            critical = [event for event in judged.events if event.severity is Severity.CRITICAL]
            shown.events.append(rate(case, judged.events, judged.severity >= 1))
            shown.critical_events.append(rate(case, critical, judged.severity == 2))
            shown.severities.append(judged.severity)


def found_in(judged: JudgedTrip, case: Case) -> Found:
    """The first events that begin at the onset or later, and what became of the faulted rows."""
    time, severity = case.table["time_s"].to_numpy(), judged.severity
    faulted = severity[time >= case.onset if case.kind == NO_FAULT else case.table["fault"].to_numpy() > 0]
    after = sorted((event for event in judged.events if time[event.start_row] >= case.onset), key=start_row)
    known = [kth_row(severity, event.start_row) for event in after[:1]]
    critical = [event.start_row for event in after if event.severity is Severity.CRITICAL]
    rows = ([event.start_row for event in after], known, critical)
    since = (float(time[found[0]] - case.onset) if found else NEVER for found in rows)
    shares = ((faulted >= 1).mean(), (faulted == 2).mean(), (faulted == INVALID_CODE).mean())
    return Found(*since, *map(float, shares))


def kth_row(severity: IntArray, start: int) -> int:
    """The row that made an event of the rows from ``start`` on; INVALID ones count where the others are too few."""
    flagged = np.flatnonzero(severity[start:] > 0)
    counted = flagged if len(flagged) >= RULE.k else np.flatnonzero(severity[start:] != 0)
    return int(counted[RULE.k - 1]) + start


def start_row(event: Event) -> int:
    return event.start_row


def rate(case: Case, events: Sequence[Event], flagged: np.ndarray) -> Healthy:
    """The events of a trip without a fault, its hours, and the share of its rows that were flagged."""
    time = case.table["time_s"].to_numpy()
    return Healthy(len(events), float(time[-1] - time[0]) / 3600.0, float(flagged.mean()))
