"""Whether readings and scores still look as they did in training: running histograms against the baseline's.

Only counts are kept, whole numbers or halves of them: rows in any chunks, one by one or after a restored state, give
the same bits.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.drift_baseline import DriftBaseline, Histogram
from ev_qa_runtime.drift_statistics import holm, homogeneity_p_value, population_stability_index
from ev_qa_runtime.errors import ArtifactError, ConfigurationError, TelemetryError
from ev_qa_runtime.strict_json import LARGEST_INTEGER, Members

STATE_VERSION = 1
MODERATE_PSI, MAJOR_PSI = 0.1, 0.25
"""How PSI is usually read (Siddiqi 2006); conventions, not tests."""
SIGNIFICANCE = 0.01
_CLOCK_SLACK_S = 1.0

FloatArray = npt.NDArray[np.float64]
Reading = Literal["stable", "moderate", "major"]


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature's drift, or the score's.

    ``psi``: population stability index. ``p_value``: of the test that training and now come from one distribution;
    ``adjusted_p_value``: by Holm, for all features and the score; None where there are too few independent rows.
    ``effective_rows``: how many independent rows those counted are worth. Shares are of the rows counted: below and
    above the trained range, and missing.
    """

    name: str
    psi: float
    p_value: float | None
    adjusted_p_value: float | None
    effective_rows: float
    below_share: float
    above_share: float
    missing_share: float

    @property
    def reading(self) -> Reading:
        """How the PSI is usually read: below 0.1 stable, from 0.25 on major."""
        if self.psi < MODERATE_PSI:
            return "stable"
        return "moderate" if self.psi < MAJOR_PSI else "major"

    def drifted(self, significance: float = SIGNIFICANCE) -> bool:
        """Whether the shift is both large enough to matter (PSI) and more than chance (adjusted p-value)."""
        return self.psi >= MODERATE_PSI and self.adjusted_p_value is not None and self.adjusted_p_value < significance

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"reading": self.reading}


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Drift of all features, in the model's order, and of the score. ``seen`` rows came, ``rows`` were counted."""

    seen: int
    rows: float
    features: tuple[FeatureDrift, ...]
    score: FeatureDrift

    def drifted(self, significance: float = SIGNIFICANCE) -> tuple[str, ...]:
        """The names of what drifted, ``score`` last."""
        return tuple(each.name for each in (*self.features, self.score) if each.drifted(significance))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "seen": self.seen,
            "rows": self.rows,
            "features": [each.as_dict() for each in self.features],
            "score": self.score.as_dict(),
        }


class DriftMonitor:
    """Running histograms of one stream, in memory that does not grow.

    Neighbouring rows say the same, so not all need counting: every ``every``-th, or of one vehicle at most one in
    ``thin_s`` seconds. With ``half_life_rows`` older rows count less: all counts are halved whenever so many have
    been added. Not thread-safe.

    Raises ``ConfigurationError`` for settings out of range.
    """

    __slots__ = (
        "_columns", "_every", "_half_life", "_last_time", "_new", "_new_rows", "_old", "_old_rows", "_old_squares",
        "_seen", "_thin_s", "baseline",
    )  # fmt: skip

    def __init__(
        self,
        baseline: DriftBaseline,
        *,
        every: int = 1,
        thin_s: float | None = None,
        half_life_rows: int | None = None,
    ) -> None:
        if every < 1 or (half_life_rows is not None and half_life_rows < 1):
            raise ConfigurationError(f"every and half_life_rows must be at least 1, not {every} and {half_life_rows}")
        if thin_s is not None and (every != 1 or not 0.0 < thin_s < math.inf):
            raise ConfigurationError(f"thin_s must be positive seconds and without every, not {thin_s} and {every}")
        self.baseline = baseline
        self._columns: tuple[Histogram, ...] = (*baseline.features, baseline.score)
        self._every, self._thin_s, self._half_life = every, thin_s, half_life_rows
        self._last_time: float | None = None
        self._seen = self._new_rows = 0
        self._old_rows = self._old_squares = 0.0
        self._new = [[0] * len(column.counts) for column in self._columns]
        self._old = [[0.0] * len(column.counts) for column in self._columns]

    def update(self, values: FloatArray, scores: FloatArray, time: FloatArray | None = None) -> None:
        """Count rows: ``values`` float64 [N, F] in the model's order, ``scores`` float64 [N], NaN where missing.

        ``time`` float64 [N], seconds, is needed with ``thin_s``; rows without one are not counted then. Raises
        ``TelemetryError`` for other shapes, and then counts nothing.
        """
        rows = len(scores)
        if values.shape != (rows, len(self._columns) - 1) or (time is not None and len(time) != rows):
            raise TelemetryError(
                f"drift needs {len(self._columns) - 1} features with one score and time a row, not values of shape "
                f"{values.shape} with {rows} scores"
            )
        counted = self._counted(rows, None if time is None else time.tolist())
        table = np.column_stack([values, scores])[counted]
        while len(table):
            room = len(table) if self._half_life is None else self._half_life - self._new_rows
            self._add(table[:room])
            table = table[room:]

    def update_one(self, reading: Sequence[float], score: float, time: float | None = None) -> None:
        """:meth:`update` with one row: one float for each feature, its score, and its time in seconds."""
        if len(reading) != len(self._columns) - 1:
            raise TelemetryError(f"drift needs a reading of {len(self._columns) - 1} features, not {len(reading)}")
        if not self._counts_row(time):
            return
        for column, counts, value in zip(self._columns, self._new, (*reading, score), strict=True):
            counts[bisect_right(column.edges, value) if value == value else -1] += 1  # noqa: PLR0124 - NaN
        self._new_rows += 1
        self._age()

    def report(self) -> DriftReport:
        """The drift so far, in about a millisecond."""
        rows = self._old_rows + self._new_rows
        squares = self._old_squares + self._new_rows
        worth = rows * rows / squares if squares else 0.0  # Kish's effective size of weighted rows
        found = [
            self._drift(name, column, [old + new for old, new in zip(*counts, strict=True)], worth)
            for name, column, *counts in zip(
                (*self.baseline.names, "score"), self._columns, self._old, self._new, strict=True
            )
        ]
        adjusted = holm([each.p_value for each in found])
        drifts = [
            FeatureDrift(each.name, each.psi, each.p_value, p_value, *_rest(each))
            for each, p_value in zip(found, adjusted, strict=True)
        ]
        return DriftReport(self._seen, rows, tuple(drifts[:-1]), drifts[-1])

    def merge(self, other: DriftMonitor) -> None:
        """Add what ``other`` counted, of another vehicle, say: as if this monitor had seen its rows too.

        Raises ``ConfigurationError`` where baseline or settings differ.
        """
        if other.baseline != self.baseline or other._settings() != self._settings():
            raise ConfigurationError("drift monitors of different baselines or settings cannot be merged")
        for counts, more in zip(self._new, other._new, strict=True):
            counts[:] = [one + another for one, another in zip(counts, more, strict=True)]
        for older, more_old in zip(self._old, other._old, strict=True):
            older[:] = [one + another for one, another in zip(older, more_old, strict=True)]
        self._seen += other._seen
        self._new_rows += other._new_rows
        self._old_rows += other._old_rows
        self._old_squares += other._old_squares
        self._age()

    def state(self) -> dict[str, Any]:
        """All that was counted, in plain JSON types."""
        return {
            "version": STATE_VERSION,
            "baseline": self.baseline.sha256,
            **self._settings(),
            "seen": self._seen,
            "last_time": self._last_time,
            "new": [list(counts) for counts in self._new],
            "old": [list(counts) for counts in self._old],
            "old_rows": self._old_rows,
            "old_squares": self._old_squares,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`. Raises ``ArtifactError`` for one of another baseline or settings, or damaged."""
        members = Members(dict(state), what="drift state")
        if members.integer("version") != STATE_VERSION or members.text("baseline") != self.baseline.sha256:
            raise ArtifactError("the drift state is of another model or version: begin with a new monitor")
        for name, setting in self._settings().items():
            if members.any(name) != setting:
                raise ArtifactError(f"the drift state was made with {name} {members.any(name)!r:.40}, not {setting}")
        new = [self._counts(row, column, int) for row, column in _rows(members, "new", self._columns)]
        old = [self._counts(row, column, float) for row, column in _rows(members, "old", self._columns)]
        rows = {sum(counts) for counts in new}
        last_time = members.any("last_time")
        scalars = [members.any(name) for name in ("old_rows", "old_squares")]
        if len(rows) != 1 or not all(_is_count(each) for each in scalars) or not _is_time(last_time):
            raise ArtifactError("the drift state is damaged: begin with a new monitor")
        self._new, self._old, self._new_rows = new, old, rows.pop()
        self._old_rows, self._old_squares = map(float, scalars)
        self._seen, self._last_time = members.integer("seen"), last_time

    def _settings(self) -> dict[str, Any]:
        return {"every": self._every, "thin_s": self._thin_s, "half_life_rows": self._half_life}

    @staticmethod
    def _counts(row: Any, column: Histogram, kind: type) -> list[Any]:
        if not isinstance(row, list) or len(row) != len(column.counts) or not all(_is_count(each) for each in row):
            raise ArtifactError("the drift state is damaged: begin with a new monitor")
        if kind is int and not all(isinstance(each, int) for each in row):
            raise ArtifactError("the drift state is damaged: begin with a new monitor")
        return [kind(each) for each in row]

    def _counted(self, rows: int, times: list[float] | None) -> npt.NDArray[np.intp]:
        """The places of the rows to count; moves ``seen`` and the last time on."""
        if self._thin_s is None:
            first = -self._seen % self._every
            self._seen += rows
            return np.arange(first, rows, self._every)
        if times is None:
            raise TelemetryError("a drift monitor with thin_s needs the time of every row")
        return np.array([place for place, time in enumerate(times) if self._counts_row(time)], dtype=np.intp)

    def _counts_row(self, time: float | None) -> bool:
        """Whether the next row is to be counted; moves ``seen`` and the last time on."""
        if self._thin_s is None:
            self._seen += 1
            return (self._seen - 1) % self._every == 0
        if time is None:
            raise TelemetryError("a drift monitor with thin_s needs the time of every row")
        self._seen += 1
        if not math.isfinite(time):
            return False
        if self._last_time is not None and -_CLOCK_SLACK_S <= time - self._last_time < self._thin_s:
            return False
        self._last_time = float(time)
        return True

    def _add(self, table: FloatArray) -> None:
        for column, counts, values in zip(self._columns, self._new, table.T, strict=True):
            places = np.searchsorted(column.edges, values, side="right")
            places[np.isnan(values)] = len(column.counts) - 1
            more = np.bincount(places, minlength=len(column.counts)).tolist()
            counts[:] = [one + another for one, another in zip(counts, more, strict=True)]
        self._new_rows += len(table)
        self._age()

    def _age(self) -> None:
        """Halve everything where enough rows came; halves are exact in binary."""
        if self._half_life is None or self._new_rows < self._half_life:
            return
        for counts, older in zip(self._new, self._old, strict=True):
            older[:] = [0.5 * (old + new) for old, new in zip(older, counts, strict=True)]
            counts[:] = [0] * len(counts)
        self._old_rows = 0.5 * (self._old_rows + self._new_rows)
        self._old_squares = 0.25 * (self._old_squares + self._new_rows)
        self._new_rows = 0

    def _drift(self, name: str, column: Histogram, counts: list[float], worth: float) -> FeatureDrift:
        """Without the adjustment."""
        apart = float(self._every)
        if self._thin_s is not None and self.baseline.row_s is not None:
            apart = max(self._thin_s / self.baseline.row_s, 1.0)
        effective = worth / max(column.rows_alike / apart, 1.0)
        total = sum(counts) or 1.0
        return FeatureDrift(
            name=name,
            psi=population_stability_index(column.counts, counts),
            p_value=homogeneity_p_value(column.counts, counts, column.rows / column.rows_alike, effective),
            adjusted_p_value=None,
            effective_rows=effective,
            below_share=counts[0] / total,
            above_share=counts[-2] / total,
            missing_share=counts[-1] / total,
        )


def _rest(drift: FeatureDrift) -> tuple[float, float, float, float]:
    return drift.effective_rows, drift.below_share, drift.above_share, drift.missing_share


def _rows(members: Members, key: str, columns: tuple[Histogram, ...]) -> list[tuple[Any, Histogram]]:
    items = members.items(key)
    if len(items) != len(columns):
        raise ArtifactError("the drift state is damaged: begin with a new monitor")
    return list(zip(items, columns, strict=True))


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LARGEST_INTEGER


def _is_time(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isfinite(value))
