"""What a shadow counts: calls, rows both judged, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from ev_qa_runtime.severity import INVALID_CODE, SEVERITY_OF_CODE, Severity
from ev_qa_runtime.verdict import Verdict, Verdicts

State = Literal["loading", "running", "disabled", "closed"]
Pair = tuple[Severity, Severity]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One reading that both judged differently; ``readings`` by name, as they were given to the champion."""

    readings: Mapping[str, Any]
    champion: Verdict
    challenger: Verdict


@dataclass(frozen=True, slots=True)
class ShadowStatistics:
    """What a shadow has seen so far. ``answers``, ``skipped``, ``over_budget`` and ``failed`` count calls, not rows.

    ``compared`` rows are those that ``agreed``, in label and severity, and those in ``disagreements``, by the
    champion's severity and the challenger's; one severity with two labels is a disagreement too. ``label_flips``
    counts all rows with two labels. ``not_sampled`` rows were left out of large batches. ``skipped`` calls came while
    the challenger was loading, busy, disabled or closed. Score differences are absolute, None before the first.
    ``last_error`` and ``disabled_because`` are one line.
    """

    state: State
    answers: int
    compared: int
    agreed: int
    disagreements: Mapping[Pair, int]
    label_flips: int
    not_sampled: int
    skipped: int
    over_budget: int
    failed: int
    callback_failures: int
    mean_score_difference: float | None
    largest_score_difference: float | None
    last_error: str | None
    disabled_because: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; a pair of severities becomes ``"INFO>WARNING"``."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        pairs = {f"{champion}>{challenger}": count for (champion, challenger), count in self.disagreements.items()}
        return values | {"disagreements": pairs}


@dataclass(slots=True)
class Counts:
    """The numbers of :class:`ShadowStatistics` while they grow."""

    answers: int = 0
    compared: int = 0
    agreed: int = 0
    disagreements: dict[Pair, int] = field(default_factory=dict)
    label_flips: int = 0
    not_sampled: int = 0
    skipped: int = 0
    over_budget: int = 0
    failed: int = 0
    callback_failures: int = 0
    scored: int = 0
    difference_sum: float = 0.0
    difference_largest: float = 0.0
    last_error: str | None = None

    def disagree(self, pair: Pair, rows: int = 1) -> None:
        """Count rows of one pair of severities."""
        self.disagreements[pair] = self.disagreements.get(pair, 0) + rows

    def differ(self, rows: int, total: float, largest: float) -> None:
        """Count absolute score differences."""
        self.scored += rows
        self.difference_sum += total
        self.difference_largest = max(self.difference_largest, largest)

    def snapshot(self, state: State, disabled_because: str | None) -> ShadowStatistics:
        """The numbers as they stand."""
        return ShadowStatistics(
            state=state,
            answers=self.answers,
            compared=self.compared,
            agreed=self.agreed,
            disagreements=MappingProxyType(dict(sorted(self.disagreements.items()))),
            label_flips=self.label_flips,
            not_sampled=self.not_sampled,
            skipped=self.skipped,
            over_budget=self.over_budget,
            failed=self.failed,
            callback_failures=self.callback_failures,
            mean_score_difference=self.difference_sum / self.scored if self.scored else None,
            largest_score_difference=self.difference_largest if self.scored else None,
            last_error=self.last_error,
            disabled_because=disabled_because,
        )


class Compared(Protocol):
    """What both said of some rows."""

    def count(self, counts: Counts) -> None:
        """Add the rows to ``counts``."""
        ...  # a protocol has no body

    def disagreements(self) -> list[Disagreement]:
        """The rows that both judged differently."""
        ...  # a protocol has no body


@dataclass(frozen=True, slots=True)
class ComparedReading:
    """One reading."""

    readings: Mapping[str, Any]
    champion: Verdict
    challenger: Verdict

    @property
    def _agrees(self) -> bool:
        return self.champion.label == self.challenger.label and self.champion.severity is self.challenger.severity

    def count(self, counts: Counts) -> None:
        """See :class:`Compared`."""
        champion, challenger = self.champion, self.challenger
        counts.compared += 1
        counts.label_flips += champion.label != challenger.label
        if champion.valid and challenger.valid:
            difference = abs(challenger.score - champion.score)
            counts.differ(1, difference, difference)
        if self._agrees:
            counts.agreed += 1
        else:
            counts.disagree((champion.severity, challenger.severity))

    def disagreements(self) -> list[Disagreement]:
        """See :class:`Compared`."""
        return [] if self._agrees else [Disagreement(self.readings, self.champion, self.challenger)]


@dataclass(frozen=True, slots=True)
class ComparedBatch:
    """Rows of a batch; both hold as many."""

    champion: Verdicts
    challenger: Verdicts

    def count(self, counts: Counts) -> None:
        """See :class:`Compared`."""
        ours, theirs = self.champion, self.challenger
        differing = self._differing()
        counts.compared += len(ours)
        counts.agreed += len(ours) - len(differing)
        counts.label_flips += int(np.count_nonzero(ours.label != theirs.label))
        kinds = len(SEVERITY_OF_CODE) + 1  # INVALID is −1
        pairs = (ours.severity[differing] - INVALID_CODE) * kinds + theirs.severity[differing] - INVALID_CODE
        for pair, rows in enumerate(np.bincount(pairs, minlength=1).tolist()):
            if rows:
                counts.disagree((_severity(pair // kinds), _severity(pair % kinds)), rows)
        both = ours.telemetry.valid & theirs.telemetry.valid
        if both.any():
            difference = np.abs(theirs.score_samples[both] - ours.score_samples[both])
            counts.differ(len(difference), float(difference.sum()), float(difference.max()))

    def disagreements(self) -> list[Disagreement]:
        """See :class:`Compared`."""
        names, values = self.champion.telemetry.names, self.champion.telemetry.values
        return [
            Disagreement(
                dict(zip(names, values[row].tolist(), strict=True)), self.champion.row(row), self.challenger.row(row)
            )
            for row in self._differing().tolist()
        ]

    def _differing(self) -> np.ndarray[Any, np.dtype[np.intp]]:
        ours, theirs = self.champion, self.challenger
        return np.flatnonzero((ours.label != theirs.label) | (ours.severity != theirs.severity))


def _severity(place: int) -> Severity:
    return Severity.INVALID if place == 0 else SEVERITY_OF_CODE[place + INVALID_CODE]
