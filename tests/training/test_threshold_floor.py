"""The lowest reachable score against all readings that a tiny forest can tell apart."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.export import folded_forest
from ev_qa_framework.forest import FlatForest
from ev_qa_framework.threshold_floor import ScoreFloor, lowest_reachable_score, threshold_warning
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.features import FLOAT32_MAX
from ev_qa_runtime.severity import scores_from_path_length

WIDTH = 3
DENOMINATOR = 10.0

Split = tuple[int, float, "float | Split", "float | Split"]
"""A leaf is its value; a split its column, threshold and children."""


def splits(below: st.SearchStrategy[float | Split]) -> st.SearchStrategy[Split]:
    threshold = st.sampled_from([-math.inf, -2.0, -1.0, 0.0, 1.0, 2.0, math.inf])
    return st.tuples(st.integers(0, WIDTH - 1), threshold, below, below)


leaf_values = st.integers(4, 40).map(lambda number: number / 4)
forests = st.lists(splits(st.recursive(leaf_values, splits, max_leaves=8)), min_size=1, max_size=6)


def flat(trees: list[Split]) -> FlatForest:
    nodes: list[list[float]] = []
    leaves: list[float] = []

    def add(tree: float | Split) -> tuple[int, bool]:
        if isinstance(tree, float):
            leaves.append(tree)
            return len(leaves) - 1, True
        place = len(nodes)
        nodes.append([])
        column, threshold, left, right = tree
        nodes[place] = [column, threshold, *add(left), *add(right)]
        return place, False

    root = [add(tree)[0] for tree in trees]
    column, threshold, left, left_is_leaf, right, right_is_leaf = zip(*nodes, strict=True)
    return FlatForest(
        root=np.array(root),
        column=np.array(column),
        threshold=np.array(threshold),
        missing_left=np.zeros(len(nodes), dtype=bool),
        left=np.array(left),
        left_is_leaf=np.array(left_is_leaf),
        right=np.array(right),
        right_is_leaf=np.array(right_is_leaf),
        leaf_value=np.array(leaves),
        denominator=DENOMINATOR,
        offset=-0.5,
    )


def length_of(forest: FlatForest, reading: tuple[float, ...]) -> float:
    total = 0.0
    for root in forest.root.tolist():
        place, is_leaf = root, False
        while not is_leaf:
            if reading[forest.column[place]] <= forest.threshold[place]:
                place, is_leaf = int(forest.left[place]), bool(forest.left_is_leaf[place])
            else:
                place, is_leaf = int(forest.right[place]), bool(forest.right_is_leaf[place])
        total += float(forest.leaf_value[place])
    return total


def shortest_of_all(forest: FlatForest) -> float:
    """Over one reading from every cell of the grid that the thresholds cut."""
    ends = [*np.unique(forest.threshold[np.isfinite(forest.threshold)]).tolist(), FLOAT32_MAX]
    return min(length_of(forest, reading) for reading in itertools.product(ends, repeat=WIDTH))


def score_of(length: float) -> float:
    return float(scores_from_path_length(np.array([length]), DENOMINATOR)[0])


@settings(max_examples=150, deadline=None)
@given(forests)
@example([(0, math.inf, 1.0, 2.0), (0, -math.inf, 1.0, 2.0)])
@example([(0, 0.0, 1.0, 5.0), (0, 0.0, 5.0, 1.0), (0, 1.0, 5.0, 1.0)])
@example([(0, 1.0, (0, 2.0, 4.0, 1.0), 3.0)])
def test_the_floor_is_the_lowest_of_all_readings(trees: list[Split]) -> None:
    forest = flat(trees)
    floor = lowest_reachable_score(forest)
    assert floor.exact
    assert floor.lower_bound == floor.reached == pytest.approx(score_of(shortest_of_all(forest)), rel=1e-12)
    assert score_of(length_of(forest, (*floor.reading, *[0.0] * WIDTH))) == pytest.approx(floor.reached, rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(forests, st.integers(1, 6))
def test_a_search_cut_short_still_brackets_the_floor(trees: list[Split], most_boxes: int) -> None:
    forest = flat(trees)
    floor = lowest_reachable_score(forest, most_boxes)
    lowest = score_of(shortest_of_all(forest))
    assert floor.lower_bound <= lowest * (1 - 1e-12)
    assert floor.reached >= lowest * (1 + 1e-12)
    assert floor.exact == (floor.lower_bound == floor.reached)
    assert score_of(length_of(forest, (*floor.reading, *[0.0] * WIDTH))) == pytest.approx(floor.reached, rel=1e-12)


def test_trees_whose_shallow_leaves_exclude_each_other() -> None:
    """Each tree can give 1 by itself, but no reading reaches the shallow leaves of both."""
    floor = lowest_reachable_score(flat([(0, 0.0, 1.0, 5.0), (0, 0.0, 5.0, 1.0)]))
    assert floor.exact
    assert floor.reached == score_of(6.0)


@pytest.fixture(scope="module")
def wide() -> tuple[EVBatteryAnalyzer, pd.DataFrame]:
    """Many features, so that the search has to give up."""
    rng = np.random.default_rng(2)
    names = tuple(f"feature_{number}" for number in range(12))
    rows = pd.DataFrame(rng.normal(size=(2000, 12)) @ rng.normal(size=(12, 12)), columns=list(names))
    return EVBatteryAnalyzer(n_estimators=60, features=names).fit(rows), rows


def test_the_default_recipe(analyzer: EVBatteryAnalyzer, readings: np.ndarray) -> None:
    floor = lowest_reachable_score(folded_forest(analyzer.pipeline))
    assert floor.exact
    assert analyzer.score_samples(np.array([floor.reading]))[0] == pytest.approx(floor.reached, rel=1e-12)
    anywhere = np.random.default_rng(1).uniform([250, -500, -40], [450, 500, 120], (20_000, 3))
    assert min(analyzer.score_samples(anywhere).min(), analyzer.score_samples(readings).min()) >= floor.reached - 1e-12


def test_a_forest_that_is_too_large_gets_a_bracket(wide: tuple[EVBatteryAnalyzer, pd.DataFrame]) -> None:
    analyzer, rows = wide
    forest = folded_forest(analyzer.pipeline)
    few, more = (lowest_reachable_score(forest, most_boxes) for most_boxes in (10, 200))
    assert not few.exact
    assert few.lower_bound <= more.lower_bound < more.reached <= few.reached
    found = analyzer.score_samples(pd.DataFrame([more.reading], columns=list(rows.columns)))[0]
    assert found == pytest.approx(more.reached, rel=1e-12)
    assert more.reached < analyzer.score_samples(rows).min()
    assert lowest_reachable_score(forest, 200) == more


def test_trees_of_one_sample() -> None:
    forest = replace(flat([(0, 0.0, 1.0, 1.0)]), denominator=0.0)
    floor = lowest_reachable_score(forest)
    assert (floor.lower_bound, floor.reached, floor.exact) == (-0.5, -0.5, True)


EXACT = ScoreFloor(-0.75, -0.75, True, (0.0,))
BRACKET = ScoreFloor(-0.8, -0.7, False, (0.0,))


ADVICE = "; raise the threshold or calibrate the model"
NEVER = "no reading can ever score below "
NOT_FOUND = "no reading was found that scores below "
LOWEST = "the lowest score this forest can give is"


@pytest.mark.parametrize(
    ("thresholds", "floor", "words"),
    [
        (Thresholds(-0.8, -0.5), EXACT, f"{NEVER}critical_threshold -0.8: {LOWEST} -0.7500{ADVICE}"),
        (
            Thresholds(-0.9, -0.75),
            EXACT,
            f"{NEVER}critical_threshold -0.9 or warning_threshold -0.75: {LOWEST} -0.7500{ADVICE}",
        ),
        (Thresholds(-0.74, -0.5), EXACT, None),
        (
            Thresholds(-0.8, -0.5),
            BRACKET,
            f"{NEVER}critical_threshold -0.8: {LOWEST} between -0.8000 and -0.7000{ADVICE}",
        ),
        (
            Thresholds(-0.75, -0.5),
            BRACKET,
            f"{NOT_FOUND}critical_threshold -0.75: the lowest score found is -0.7000, proven is -0.8000{ADVICE}",
        ),
        (Thresholds(-0.69, -0.5), BRACKET, None),
    ],
)
def test_the_warning(thresholds: Thresholds, floor: ScoreFloor, words: str | None) -> None:
    assert threshold_warning(thresholds, floor) == words


def test_the_guides_thresholds_are_warned_of(analyzer: EVBatteryAnalyzer) -> None:
    floor = lowest_reachable_score(folded_forest(analyzer.pipeline))
    assert threshold_warning(Thresholds(floor.reached, -0.5), floor) is not None
    assert threshold_warning(Thresholds(floor.reached + 1e-6, -0.5), floor) is None
