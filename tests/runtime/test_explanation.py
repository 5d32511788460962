"""Contributions against Shapley's own formula over all subsets, and against the path lengths that onnxruntime gives."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ev_qa_runtime import Detector, load_model
from ev_qa_runtime.artifact import read_artifact
from ev_qa_runtime.errors import ArtifactError, TelemetryError
from ev_qa_runtime.explanation import Explainer, Explanation, Explanations
from ev_qa_runtime.forest_arrays import (
    ForestArrays,
    average_path_length,
    node_samples,
    read_forest,
    samples_of,
)
from ev_qa_runtime.leaf_conditions import leaf_conditions
from ev_qa_runtime.tree_shapley import ForestShapley

CORPUS = Path(__file__).parents[1] / "data" / "hostile" / "models"
WIDTH = 4
MISSING = float("nan")
FEW_VALUES = [-math.inf, -1.0, 0.0, 0.5, 1.0, math.inf]

Leaf = int
Split = tuple[int, float, bool, "Leaf | Split", "Leaf | Split"]
"""A leaf is its number of samples; a split its column, threshold, side of missing readings and children."""


def splits(below: st.SearchStrategy[Leaf | Split]) -> st.SearchStrategy[Split]:
    column, threshold = st.integers(0, WIDTH - 1), st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])
    return st.tuples(column, threshold, st.booleans(), below, below)


trees = splits(st.recursive(st.integers(1, 9), splits, max_leaves=10))
readings = st.lists(
    st.one_of(st.sampled_from([*FEW_VALUES, MISSING]), st.floats(-2, 2)), min_size=WIDTH, max_size=WIDTH
)


def arrays_of(forest: list[Leaf | Split]) -> ForestArrays:
    rows: list[list[float]] = []

    def add(tree: Leaf | Split, depth: int) -> int:
        place = len(rows)
        rows.append([-1, -1, 0, 0.0, False, 0.0])
        if isinstance(tree, int):
            rows[place][5] = depth + 1 + float(average_path_length(np.array([tree]))[0]) - 1.0
        else:
            column, threshold, missing_left, left, right = tree
            rows[place][:5] = [add(left, depth + 1), add(right, depth + 1), column, threshold, missing_left]
        return place

    roots = [add(tree, 0) for tree in forest]
    left, right, column, threshold, missing_left, value = zip(*rows, strict=True)
    whole = [np.array(items, dtype=np.int64) for items in (roots, left, right, column)]
    return ForestArrays(*whole, np.array(threshold), np.array(missing_left, dtype=np.bool_), np.array(value))


def expected_value(forest: ForestArrays, samples: np.ndarray, row: np.ndarray, known: set[int], node: int) -> float:
    """What a tree gives where only the features in ``known`` are known: Lundberg et al. 2020, algorithm 1."""
    left, right, column = int(forest.left[node]), int(forest.right[node]), int(forest.column[node])
    if left < 0:
        return float(forest.value[node])
    if column not in known:
        of_both = [
            float(samples[child]) * expected_value(forest, samples, row, known, child) for child in (left, right)
        ]
        return sum(of_both) / float(samples[node])
    reading = row[column]
    goes_left = forest.missing_left[node] if math.isnan(reading) else reading <= forest.threshold[node]
    return expected_value(forest, samples, row, known, left if goes_left else right)


def shapley_by_subsets(forest: ForestArrays, samples: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The definition: the mean over all orders of what a feature changes, here as a sum over subsets."""
    width = len(row)

    def value(known: set[int]) -> float:
        return sum(expected_value(forest, samples, row, known, int(root)) for root in forest.roots)

    found = np.zeros(width)
    for feature in range(width):
        others = [other for other in range(width) if other != feature]
        for size in range(width):
            weight = math.factorial(size) * math.factorial(width - size - 1) / math.factorial(width)
            for subset in itertools.combinations(others, size):
                found[feature] += weight * (value({*subset, feature}) - value({*subset}))
    return found


@given(st.lists(trees, min_size=1, max_size=3), readings)
@example([(0, 0.0, True, 1, 1)], [0.0] * WIDTH)
@example([(0, 0.0, True, (0, -1.0, False, 1, 2), (1, 0.0, True, 3, (0, 1.0, True, 1, 4)))], [MISSING] * WIDTH)
def test_contributions_are_shapley_values(forest: list[Leaf | Split], reading: list[float]) -> None:
    arrays, row = arrays_of(forest), np.array(reading)
    shapley = ForestShapley(arrays)

    found = shapley.contributions(row[None])[0]

    samples = node_samples(arrays)
    np.testing.assert_allclose(found, shapley_by_subsets(arrays, samples, row), atol=1e-11)
    nothing_known = sum(expected_value(arrays, samples, row, set(), int(root)) for root in arrays.roots)
    assert shapley.base_value == pytest.approx(nothing_known, abs=1e-11)


@given(trees)
def test_samples_follow_from_the_leaves(tree: Split) -> None:
    def counts(part: Leaf | Split) -> list[int]:
        if isinstance(part, int):
            return [part]
        left, right = counts(part[3]), counts(part[4])
        return [sum(counts_of_leaves(part)), *left, *right]

    def counts_of_leaves(part: Leaf | Split) -> list[int]:
        return [part] if isinstance(part, int) else counts_of_leaves(part[3]) + counts_of_leaves(part[4])

    found = node_samples(arrays_of([tree])).tolist()
    ambiguous = isinstance(tree[3], int) and tree[3] == tree[4]
    assert found == ([2, 1, 1] if ambiguous else counts(tree))


def test_every_number_of_samples_is_recovered_at_any_depth() -> None:
    samples = np.arange(1, 5000)
    average = average_path_length(samples)
    assert average[:2].tolist() == [0.0, 1.0]
    for depth in (1, 2, 7, 12, 64):
        weight = (depth + average) - 1.0  # in scikit-learn's order, with its rounding
        assert np.array_equal(samples_of(weight - (depth - 1)), samples)
    assert samples_of(average_path_length(np.array([2**24, 2**24 - 1, 10**6]))).tolist() == [2**24, 2**24 - 1, 10**6]


@pytest.mark.parametrize("average", [0.5, -0.1, 1.1, 40.0, 1e300])
def test_weights_that_are_no_path_lengths(average: float) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be explained: a leaf's weight is not its depth plus"):
        samples_of(np.array([0.0, average]))


def test_conditions_on_one_feature_are_one() -> None:
    forest = arrays_of([(0, 1.0, True, (0, -1.0, False, (0, 0.5, True, 1, 2), 3), 4)])
    conditions = leaf_conditions(forest, node_samples(forest))
    # Leaves in the forest's numbering: below −1, above −1 up to 1, above 1.
    assert conditions.leaf.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(conditions.lower, [MISSING, 0.5, -1.0, 1.0])
    np.testing.assert_array_equal(conditions.upper, [-1.0, -1.0, 1.0, math.inf])
    assert conditions.missing.tolist() == [False, False, True, False]
    np.testing.assert_allclose(conditions.share, [0.1, 0.2, 0.3, 0.4])


def explainer_of(path: Path) -> Explainer:
    artifact = read_artifact(path)
    return Explainer(artifact.payloads["onnx"], artifact.contract)


@pytest.fixture(scope="module")
def explainer(reference: Path) -> Explainer:
    return explainer_of(reference)


def awkward_rows(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    rows = rng.normal([355.0, 5.0, 24.0], [25.0, 90.0, 12.0], (count, 3))
    for value in (np.nan, np.inf, -np.inf, 1e308, 0.0):
        rows[rng.random(rows.shape) < 0.05] = value
    return rows


@pytest.mark.parametrize("name", ["reference", "sound_exact", "sound_compat"])
def test_contributions_add_up_to_the_path_length(name: str, reference: Path, demo_rows: np.ndarray) -> None:
    path = reference if name == "reference" else CORPUS / name
    rows = np.concatenate([demo_rows[::20], awkward_rows(200), np.full((1, 3), np.nan)])
    found = explainer_of(path).explain(rows)
    assert np.abs(found.path_length - load_model(path).path_length(rows)).max() <= 1e-9


def test_both_profiles_explain_alike() -> None:
    rows = awkward_rows(100)
    exact, compat = (explainer_of(CORPUS / name).explain(rows) for name in ("sound_exact", "sound_compat"))
    np.testing.assert_allclose(exact.contributions, compat.contributions, rtol=0.0, atol=1e-12)


def test_the_shipped_model_agrees_with_the_definition(explainer: Explainer, reference: Path) -> None:
    forest = read_forest(read_artifact(reference).payloads["onnx"])
    rows = awkward_rows(3)
    samples = node_samples(forest)
    found = explainer.explain(rows).contributions
    for row, contributions in zip(rows, found, strict=True):
        np.testing.assert_allclose(contributions, shapley_by_subsets(forest, samples, row), atol=1e-9)


def test_every_tree_of_the_shipped_model_has_its_samples(reference: Path, detector: Detector) -> None:
    forest = read_forest(read_artifact(reference).payloads["onnx"])
    assert set(node_samples(forest)[forest.roots].tolist()) == {256}
    assert len(forest.roots) == detector.contract.parameters["n_estimators"]


def test_a_batch_explains_like_its_rows(explainer: Explainer, demo_rows: np.ndarray) -> None:
    whole = explainer.explain(demo_rows[:20])
    for number, row in enumerate(demo_rows[:20]):
        alone = explainer.explain(row[None])
        assert np.array_equal(alone.contributions[0], whole.contributions[number])
    assert [row.path_length for row in whole] == pytest.approx(whole.path_length)


def test_names_in_any_order(explainer: Explainer, demo_rows: np.ndarray) -> None:
    voltage, current, temp = demo_rows[:5].T
    named = explainer.explain({"temp": temp, "Voltage (V)": voltage, "amps": current})
    assert named.names == ("voltage", "current", "temp")
    assert np.array_equal(named.contributions, explainer.explain(demo_rows[:5]).contributions)


def test_no_rows(explainer: Explainer) -> None:
    none = explainer.explain(np.empty((0, 3)))
    assert (len(none), none.contributions.shape) == (0, (0, 3))
    assert none.mean().contributions == {"voltage": 0.0, "current": 0.0, "temp": 0.0}


def test_rows_of_another_width(explainer: Explainer) -> None:
    with pytest.raises(TelemetryError, match=r"must have shape \(rows, 3\)"):
        explainer.explain(np.zeros((2, 4)))


def test_ranked_is_most_anomalous_first() -> None:
    explanation = Explanation(10.0, {"a": 1.0, "b": -2.0, "c": 0.0, "d": -2.0})
    assert explanation.ranked() == (("b", -2.0), ("d", -2.0), ("c", 0.0), ("a", 1.0))
    assert explanation.path_length == 7.0


def test_the_mean_of_an_event() -> None:
    of_two = Explanations(("a", "b"), 5.0, np.array([[1.0, -4.0], [3.0, 0.0]]))
    assert of_two.mean() == Explanation(5.0, {"a": 2.0, "b": -2.0})


def test_a_model_of_another_contract_is_refused(detector: Detector, reference: Path) -> None:
    contract = dataclasses.replace(
        detector.contract,
        features=detector.contract.features[:2],
        golden=dataclasses.replace(
            detector.contract.golden, readings=tuple(row[:2] for row in detector.contract.golden.readings)
        ),
    )
    with pytest.raises(ArtifactError, match=r"model demo_pack_v1.0.0: its ONNX model is refused: it takes 3 features"):
        Explainer(read_artifact(reference).payloads["onnx"], contract)


@settings(max_examples=5)
@given(st.floats(0.001, 0.9))
def test_a_model_with_other_leaf_weights_is_refused(change: float) -> None:
    forest = arrays_of([(0, 0.0, True, (1, 0.0, True, 3, 5), 4)])
    changed = dataclasses.replace(forest, value=forest.value * np.where(forest.value == forest.value.max(), change, 1))
    with pytest.raises(ArtifactError, match="cannot be explained"):
        ForestShapley(changed)
