"""Which way the current is counted, found on the data: by the state of charge, and by the voltage under load.

Two laws hold for every battery: its charge falls by what flows out, and its terminal voltage falls when more flows out
(Plett, "Battery Management Systems", vol. 1, ch. 2: ohmic drop). Each interval in which SoC moved, and each step of
the current, is a vote for one direction. How sure the votes make it follows from Hoeffding's bound for fair coins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Direction = Literal["discharge_positive", "charge_positive"]
Votes = tuple[int, int]

LEAST_CONFIDENCE = 0.999
"""Below this nothing is said of the direction."""

LONGEST_RUN_STEP_S = 300.0
LONGEST_VOLTAGE_STEP_S = 120.0
LEAST_SOC_STEP = 0.25
LEAST_CURRENT_A = 1.0
LEAST_CURRENT_STEP_A = 2.0
LARGE_SHARE = 0.2
LARGE_STEPS_QUANTILE = 0.99
"""Steps of the current vote where they reach that share of this quantile of all."""


@dataclass(frozen=True, slots=True)
class DirectionEvidence:
    """What the data say of the current's direction.

    ``soc_votes``, ``voltage_votes``: how many spoke for (discharge_positive, charge_positive). ``confidence`` in
    [0, 1); ``direction`` is None where it is below ``LEAST_CONFIDENCE``: at rest, or where the votes contradict.
    """

    direction: Direction | None
    soc_votes: Votes
    voltage_votes: Votes
    confidence: float

    def contradicts(self, given: str) -> bool:
        """Whether the evidence is strong and speaks against ``given``."""
        return self.direction is not None and given not in ("unspecified", self.direction)

    def summary(self) -> str:
        """The evidence in words, such as ``"SoC: 31 of 33 intervals, voltage: 240 of 250 steps"``."""
        soc, voltage = self.soc_votes, self.voltage_votes
        return f"SoC: {max(soc)} of {sum(soc)} intervals, voltage: {max(voltage)} of {sum(voltage)} steps"


def direction_evidence(
    time: FloatArray,
    current: FloatArray,
    *,
    soc: FloatArray | None = None,
    voltage: FloatArray | None = None,
    vehicle: npt.NDArray[np.int64] | None = None,
) -> DirectionEvidence:
    """Evidence of one or more vehicles whose rows are each in time order.

    ``time`` s, ``current`` A, ``soc`` %, ``voltage`` V: float64 [N], NaN where missing; ``vehicle``: int64 [N], or None
    for a single one. Rows may be 0.1 to 120 s apart; longer gaps are left out.
    """
    soc_votes = voltage_votes = (0, 0)
    for rows in _rows_of_vehicles(vehicle, len(time)):
        if soc is not None:
            soc_votes = _sum(soc_votes, _soc_votes(time[rows], current[rows], soc[rows]))
        if voltage is not None:
            voltage_votes = _sum(voltage_votes, _voltage_votes(time[rows], current[rows], voltage[rows]))
    return evidence_of(soc_votes, voltage_votes)


def evidence_of(soc_votes: Votes, voltage_votes: Votes) -> DirectionEvidence:
    """What votes say, each (discharge_positive, charge_positive)."""
    # Neighbouring steps share a reading, so that their votes count half.
    strength = _strength(soc_votes) + _strength(voltage_votes) / 2.0
    confidence = 1.0 - math.exp(-abs(strength) / 2.0)
    direction: Direction | None = None
    if confidence >= LEAST_CONFIDENCE:
        direction = "discharge_positive" if strength > 0 else "charge_positive"
    return DirectionEvidence(direction, soc_votes, voltage_votes, confidence)


def contradiction(evidence: DirectionEvidence, given: str) -> str | None:
    """One line for an error or a warning where ``evidence`` strongly speaks against the convention ``given``."""
    if not evidence.contradicts(given):
        return None
    return (
        f"current looks {evidence.direction}, but {given} was given ({evidence.summary()}): "
        f"give current_sign={evidence.direction!r} or check the current sensor"
    )


def contradiction_before_turning(evidence: DirectionEvidence, given: str) -> str | None:
    """The same for ``evidence`` on a current that was turned to discharge_positive if ``given`` was charge_positive."""
    if given == "charge_positive" and evidence.direction is not None:
        before: Direction = "charge_positive" if evidence.direction == "discharge_positive" else "discharge_positive"
        soc, voltage = evidence.soc_votes[::-1], evidence.voltage_votes[::-1]
        evidence = DirectionEvidence(before, soc, voltage, evidence.confidence)
    return contradiction(evidence, given)


def _rows_of_vehicles(vehicle: npt.NDArray[np.int64] | None, rows: int) -> list[npt.NDArray[np.int64] | slice]:
    if vehicle is None or rows == 0 or bool((vehicle == vehicle[0]).all()):
        return [slice(None)]
    order = np.argsort(vehicle, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(vehicle[order])) + 1))


def _sum(one: Votes, other: Votes) -> Votes:
    return one[0] + other[0], one[1] + other[1]


def _strength(votes: Votes) -> float:
    """Signed: twice the exponent of Hoeffding's bound, by which fair coins would fall so far apart."""
    total = votes[0] + votes[1]
    difference = votes[0] - votes[1]
    return 0.0 if abs(difference) < 0.3 * total or total == 0 else math.copysign(difference**2 / total, difference)


def _soc_votes(time: FloatArray, current: FloatArray, soc: FloatArray) -> Votes:
    """Each time SoC has moved by its resolution or more: against the charge that flowed meanwhile."""
    known = np.isfinite(time) & np.isfinite(current) & np.isfinite(soc)
    time, current, soc = time[known], current[known], soc[known]
    if len(time) < 3:
        return 0, 0
    step = np.diff(time)
    within = (step > 0) & (step <= LONGEST_RUN_STEP_S)
    charge = np.concatenate(([0.0], np.cumsum(np.where(within, (current[1:] + current[:-1]) / 2.0 * step, 0.0))))
    run = np.concatenate(([0], np.cumsum(~within)))
    moved = np.abs(np.diff(soc))
    least = max(LEAST_SOC_STEP, float(np.min(moved[moved > 0], initial=math.inf)) * 0.999)
    if not math.isfinite(least):
        return 0, 0
    return _votes_of_intervals(time.tolist(), charge.tolist(), soc.tolist(), run.tolist(), least)


def _votes_of_intervals(
    time: list[float], charge: list[float], soc: list[float], run: list[int], least: float
) -> Votes:
    """Intervals whose mean current is next to nothing are left out: there sensors' offsets decide."""
    votes = [0, 0]
    start = 0
    for row in range(1, len(time)):
        if run[row] != run[start]:
            start = row
        elif abs(soc[row] - soc[start]) >= least:
            flowed = charge[row] - charge[start]
            if abs(flowed) >= LEAST_CURRENT_A * (time[row] - time[start]):
                votes[(flowed > 0) == (soc[row] > soc[start])] += 1
            start = row
    return votes[0], votes[1]


def _voltage_votes(time: FloatArray, current: FloatArray, voltage: FloatArray) -> Votes:
    """Each large step of the current, taken where the voltage moved too."""
    step, of_current, of_voltage = np.diff(time), np.diff(current), np.diff(voltage)
    usable = (step > 0) & (step <= LONGEST_VOLTAGE_STEP_S) & np.isfinite(of_current) & np.isfinite(of_voltage)
    of_current, of_voltage = of_current[usable], of_voltage[usable]
    if not len(of_current):
        return 0, 0
    large = np.abs(of_current) >= max(
        LEAST_CURRENT_STEP_A, LARGE_SHARE * float(np.quantile(np.abs(of_current), LARGE_STEPS_QUANTILE))
    )
    discharge = np.count_nonzero(large & (of_current * of_voltage < 0))
    charge = np.count_nonzero(large & (of_current * of_voltage > 0))
    return int(discharge), int(charge)
