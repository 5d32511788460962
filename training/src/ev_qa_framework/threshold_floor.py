"""The lowest score that a forest can give at all, from its trees.

The score falls with the summed path length, so the floor is the smallest sum over all readings. Each tree by itself can
be as short as its shallowest leaf, but one reading seldom reaches the shallowest leaves of all trees together. The
smallest sum is found by branch and bound over boxes of readings (Land, Doig, "An automatic method of solving discrete
programming problems", Econometrica 28, 1960): a box can reach no less than the sum of the shallowest leaves that it
meets. Where the search takes too many boxes, what is proven so far is a bracket.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ev_qa_framework.forest import BoolArray, FlatForest
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.features import FLOAT32_MAX
from ev_qa_runtime.severity import FloatArray, IntArray, scores_from_path_length

MOST_BOXES = 4_000
"""Boxes that are looked at before the search gives up: a few seconds for 200 trees."""

STARTS = 24
"""Readings from which a shortest path is looked for, one feature at a time, before the boxes are split."""

_FOR_BOTH_SIDES = 1e-3
"""Decides between cuts that part equally many leaves: the one with more leaves on both sides together."""

_ROUNDING = 1e-9
"""By how much sums that differ less are taken for equal, in path length: additions are in another order here."""


@dataclass(frozen=True, slots=True)
class ScoreFloor:
    """``lower_bound`` <= lowest score of any complete reading <= ``reached``; ``exact`` where both are the same.

    No reading scores below ``lower_bound``, up to rounding of the sum: that is proven. ``reading`` scores ``reached``;
    it ends with the last feature that a tree reads. A reading with a missing value is INVALID, whatever its score.
    """

    lower_bound: float
    reached: float
    exact: bool
    reading: tuple[float, ...]


def lowest_reachable_score(forest: FlatForest, most_boxes: int = MOST_BOXES) -> ScoreFloor:
    """The floor of ``score_samples``, or a bracket of it after ``most_boxes`` boxes.

    ``forest`` should take raw readings (:func:`ev_qa_framework.export.folded_forest`): readings are then doubles up to
    the largest float32, as the runtime judges them. The answer is the same on every run.
    """
    search = _Search(_Leaves(forest))
    search.descend_from_many(STARTS)
    search.split_boxes(most_boxes)
    exact = search.bound >= search.shortest - _ROUNDING
    bound = search.shortest if exact else search.bound
    lower_bound, reached = scores_from_path_length(np.array([bound, search.shortest]), forest.denominator).tolist()
    return ScoreFloor(lower_bound, reached, exact, tuple(search.reading.tolist()))


def threshold_warning(thresholds: Thresholds, floor: ScoreFloor) -> str | None:
    """What to tell of thresholds that no reading can score below, or None where there are none such."""
    proven = [name for name, value in _named(thresholds) if value <= floor.lower_bound]
    doubtful = [name for name, value in _named(thresholds) if floor.lower_bound < value <= floor.reached]
    if proven:
        lowest = f"{floor.reached:.4f}" if floor.exact else f"between {floor.lower_bound:.4f} and {floor.reached:.4f}"
        return (
            f"no reading can ever score below {_shown(proven, thresholds)}: the lowest score this forest can give is "
            f"{lowest}; raise the threshold or calibrate the model"
        )
    if doubtful:
        return (
            f"no reading was found that scores below {_shown(doubtful, thresholds)}: the lowest score found is "
            f"{floor.reached:.4f}, proven is {floor.lower_bound:.4f}; raise the threshold or calibrate the model"
        )
    return None


def _named(thresholds: Thresholds) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("critical_threshold", thresholds.critical), ("warning_threshold", thresholds.warning)


def _shown(names: list[str], thresholds: Thresholds) -> str:
    values = dict(_named(thresholds))
    return " or ".join(f"{name} {values[name]}" for name in names)


class _Leaves:
    """The leaves of a forest as boxes: readings with ``lower < reading <= upper`` in every feature.

    ``lower``/``upper`` float64 [F, L]; ``value`` float64 [L]; leaves of a tree are neighbours and begin at ``first``
    int64 [T]. Leaves that no reading reaches are left out.
    """

    def __init__(self, forest: FlatForest) -> None:
        boxes = list(_boxes(forest, int(forest.column.max()) + 1))
        self.lower = np.array([lower for _, lower, _, _ in boxes]).T.copy()
        self.upper = np.array([upper for _, _, upper, _ in boxes]).T.copy()
        self.value = np.array([value for *_, value in boxes])
        self.first = np.flatnonzero(np.diff([tree for tree, *_ in boxes], prepend=-1))
        self.tree = np.repeat(np.arange(len(self.first)), np.diff(self.first, append=len(boxes)))
        self.n_features = len(self.lower)

    def holding(self, reading: FloatArray) -> BoolArray:
        """Bool [F, L]: whether a reading [F] lies inside, feature by feature."""
        return np.asarray((self.lower < reading[:, None]) & (reading[:, None] <= self.upper))

    def shortest(self, alive: BoolArray) -> FloatArray:
        """Float64 [T]: the value of each tree's shallowest leaf among bool [L] ``alive``, which has one in each."""
        return np.minimum.reduceat(np.where(alive, self.value, np.inf), self.first)


def _boxes(forest: FlatForest, n_features: int) -> Iterator[tuple[int, FloatArray, FloatArray, float]]:
    """Tree, lower and upper bounds and value of every leaf that a reading can reach."""
    everything = np.full(n_features, np.nextafter(-FLOAT32_MAX, -np.inf)), np.full(n_features, FLOAT32_MAX)
    for tree, root in enumerate(forest.root.tolist()):
        stack = [(root, False, *everything)]
        while stack:
            place, is_leaf, lower, upper = stack.pop()
            if is_leaf:
                yield tree, lower, upper, float(forest.leaf_value[place])
                continue
            column, threshold = int(forest.column[place]), float(forest.threshold[place])
            if threshold < upper[column]:
                above = lower.copy()
                above[column] = max(lower[column], threshold)
                stack.append((int(forest.right[place]), bool(forest.right_is_leaf[place]), above, upper))
            if threshold > lower[column]:
                below = upper.copy()
                below[column] = min(upper[column], threshold)
                stack.append((int(forest.left[place]), bool(forest.left_is_leaf[place]), lower, below))


@dataclass(frozen=True, slots=True)
class _Box:
    """Readings with ``lower < reading <= upper``, float64 [F] each, and the leaves they meet, one bit a leaf.

    Thousands of boxes wait at a time, so ``packed`` is what :func:`numpy.packbits` makes of the bool [L] ``alive``.
    """

    lower: FloatArray
    upper: FloatArray
    packed: npt.NDArray[np.uint8]


class _Search:
    """The shortest sum found so far, the reading that has it, and the sum that no reading can fall below."""

    def __init__(self, leaves: _Leaves) -> None:
        self._leaves = leaves
        self._all = _Box(leaves.lower.min(axis=1), leaves.upper.max(axis=1), _packed(leaves.value > -np.inf))
        self.shortest = np.inf
        self.reading = self._all.upper
        self.bound = self._bound(self._all)

    def descend_from_many(self, starts: int) -> None:
        """Look for short sums from the corners of the shallowest leaves, one leaf a start."""
        leaves = self._leaves
        for leaf in np.argsort(leaves.value, kind="stable")[:starts].tolist():
            self._descend(leaves.upper[:, leaf])

    def split_boxes(self, most_boxes: int) -> None:
        """Split the box with the lowest bound, again and again, until none can hold a shorter sum."""
        waiting = [(self.bound, 0, self._all)]
        seen = 1
        while waiting and waiting[0][0] < self.shortest - _ROUNDING and seen < most_boxes:
            _, _, box = heapq.heappop(waiting)
            for half in self._halves(box):
                bound = self._bound(half)
                seen += 1
                if bound < self.shortest - _ROUNDING:
                    self._try(half.upper)
                    heapq.heappush(waiting, (bound, seen, half))
        self.bound = min(waiting[0][0] if waiting else np.inf, self.shortest)

    def _halves(self, box: _Box) -> Iterator[_Box]:
        column, threshold = self._where_to_split(box)
        leaves = self._leaves
        upper, lower = box.upper.copy(), box.lower.copy()
        upper[column] = lower[column] = threshold
        yield _Box(box.lower, upper, box.packed & _packed(leaves.lower[column] < threshold))
        yield _Box(lower, box.upper, box.packed & _packed(leaves.upper[column] > threshold))

    def _alive(self, box: _Box) -> BoolArray:
        return np.unpackbits(box.packed, count=len(self._leaves.value)).astype(np.bool_)

    def _bound(self, box: _Box) -> float:
        return float(self._leaves.shortest(self._alive(box)).sum())

    def _where_to_split(self, box: _Box) -> tuple[int, float]:
        """The bound of a leaf that parts the box where trees disagree most.

        Every tree has a shallowest leaf in the box; were there a reading in all of them, the bound would be reached.
        Of their bounds inside the box, the one is taken with the most such leaves wholly on either side of it.
        """
        leaves = self._leaves
        ideal = self._ideal_leaves(box)
        best, column_of_best, threshold_of_best = -1.0, 0, float("nan")
        for column in range(leaves.n_features):
            lower = np.maximum(leaves.lower[column, ideal], box.lower[column])
            upper = np.minimum(leaves.upper[column, ideal], box.upper[column])
            inside = np.concatenate([lower[lower > box.lower[column]], upper[upper < box.upper[column]]])
            if not len(inside):
                continue
            candidates = np.unique(inside)
            above = len(ideal) - np.searchsorted(np.sort(lower), candidates, side="left")
            below = np.searchsorted(np.sort(upper), candidates, side="right")
            parted = np.minimum(above, below) + _FOR_BOTH_SIDES * (above + below)
            place = int(np.argmax(parted))
            if parted[place] > best:
                best, column_of_best, threshold_of_best = float(parted[place]), column, float(candidates[place])
        return column_of_best, threshold_of_best

    def _ideal_leaves(self, box: _Box) -> IntArray:
        """The first of the shallowest leaves of each tree in the box, int64 [T]."""
        leaves = self._leaves
        alive = self._alive(box)
        shallow = np.flatnonzero(alive & (leaves.value <= leaves.shortest(alive)[leaves.tree]))
        return shallow[np.unique(leaves.tree[shallow], return_index=True)[1]]

    def _try(self, reading: FloatArray) -> None:
        inside = self._leaves.holding(reading).all(axis=0)
        self._keep(float(self._leaves.value[inside].sum()), reading)

    def _keep(self, length: float, reading: FloatArray) -> None:
        if length < self.shortest:
            self.shortest, self.reading = length, reading.copy()

    def _descend(self, start: FloatArray) -> None:
        """Move one feature at a time to where the sum is smallest, until none helps."""
        leaves = self._leaves
        reading, length = start.copy(), np.inf
        inside = leaves.holding(reading)
        while True:
            before = length
            for column in range(leaves.n_features):
                others = inside.sum(axis=0) - inside[column] == leaves.n_features - 1
                length, reading[column] = _shortest_on_a_line(
                    leaves.lower[column, others], leaves.upper[column, others], leaves.value[others]
                )
                inside[column] = (leaves.lower[column] < reading[column]) & (reading[column] <= leaves.upper[column])
            if not length < before - _ROUNDING:
                break
        self._keep(length, reading)


def _packed(alive: BoolArray) -> npt.NDArray[np.uint8]:
    return np.packbits(alive)


def _shortest_on_a_line(lower: FloatArray, upper: FloatArray, value: FloatArray) -> tuple[float, float]:
    """The smallest sum of the values of intervals (lower, upper] that hold a number, and the largest such number.

    The intervals of each tree cover the line once, so sums change at bounds only.
    """
    ends = np.unique(upper)
    begin, end = np.searchsorted(ends, lower, side="right"), np.searchsorted(ends, upper, side="left")
    change = np.zeros(len(ends) + 1)
    np.add.at(change, begin, value)
    np.add.at(change, end + 1, -value)
    sums = np.cumsum(change)[:-1]
    place = int(np.argmin(sums))
    reading = float(ends[place])
    holds = (lower < reading) & (reading <= upper)
    return float(value[holds].sum()), reading
