"""Shapley values of a forest's features, exactly: what every feature adds to a reading's summed path length.

The value function is the path-dependent one of Lundberg et al., "From local explanations to global understanding with
explainable AI for trees", Nature Machine Intelligence 2, 2020 (TreeSHAP, algorithm 2): where a feature is left out, a
node sends a reading both ways, in proportion to the training samples that went there.

Computed leaf by leaf. Let a leaf of value v have conditions on the features D, met (o = 1) or not (o = 0), each with
the share z of samples that it lets pass. The Shapley weight |S|! (|D| − |S| − 1)! / |D|! is the integral of
t^|S| (1 − t)^(|D| − |S| − 1) over t from 0 to 1, so that feature i contributes

    v (o_i − z_i) ∫ Π_{j ≠ i} (z_j + t (o_j − z_j)) dt,

the integral of a polynomial of degree |D| − 1, for which Gauss-Legendre quadrature with ⌈|D| / 2⌉ points is exact.
Every factor of it is positive, so nothing cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ev_qa_runtime.forest_arrays import BoolArray, FloatArray, ForestArrays, node_samples
from ev_qa_runtime.leaf_conditions import LeafConditions, leaf_conditions
from ev_qa_runtime.protobuf_wire import IntArray


class ForestShapley:
    """Contributions by one forest. Thread-safe.

    ``base_value``: the summed path length averaged over the training samples of the trees.
    """

    def __init__(self, forest: ForestArrays) -> None:
        """``ArtifactError`` where the leaves' weights are not path lengths, from which the samples follow."""
        samples = node_samples(forest)
        expected = _expected_values(forest, samples)
        conditions = leaf_conditions(forest, samples)
        # A constant of a whole tree is no feature's doing: taking it off first makes the sums smaller, and rounding.
        value = forest.value[conditions.node] - expected[conditions.root]
        self.base_value = float(expected[forest.roots].sum())
        self._groups = list(_groups(conditions, value))

    def contributions(self, values: FloatArray) -> FloatArray:
        """Float64 [N, F] of float64 [N, F]; NaN goes the way that the trees send it.

        One reading is computed after the other: the arrays of one already fill the processor's cache.
        """
        contributions = np.zeros(values.shape)
        for number, row in enumerate(values):
            for group in self._groups:
                contributions[number] += group.contributions(row)
        return contributions


@dataclass(frozen=True, slots=True)
class _Group:
    """L leaves with conditions on D features each, and P quadrature points.

    ``column``, ``lower``, ``upper``, ``missing`` [D, L]: see :class:`LeafConditions`. Factors of the integrand, float64
    [D, P, L]: ``met`` where a condition is met, ``unmet`` where not; ``gain``: what the factor of a met one is replaced
    with for its own contribution, divided by it; ``loss`` [P, 1]: the same of an unmet one, for all leaves alike.
    ``weight`` [P, L]: the leaf's value times the quadrature's weight.
    """

    column: IntArray
    lower: FloatArray
    upper: FloatArray
    missing: BoolArray
    met: FloatArray
    unmet: FloatArray
    gain: FloatArray
    loss: FloatArray
    weight: FloatArray

    def contributions(self, row: FloatArray) -> FloatArray:
        """Float64 [F], of one reading [F]."""
        reading = row[self.column]
        meets = (reading <= self.upper) & ~(reading <= self.lower)
        if np.isnan(row).any():
            meets = np.where(np.isnan(reading), self.missing, meets)
        product = self.weight.copy()
        for met, unmet, feature in zip(self.met, self.unmet, meets, strict=True):
            product *= np.where(feature, met, unmet)
        lost = (product * self.loss).sum(axis=0)
        gained = (product * self.gain).sum(axis=1)
        added = np.bincount(self.column.ravel(), np.where(meets, gained, lost).ravel(), minlength=len(row))
        return added.astype(np.float64, copy=False)


def _expected_values(forest: ForestArrays, samples: IntArray) -> FloatArray:
    """The mean over training samples of what is below each node, float64 [K]."""
    expected = forest.value.copy()
    for level in reversed(list(forest.levels())):
        inner = level[forest.left[level] >= 0]
        left, right = forest.left[inner], forest.right[inner]
        total = expected[left] * samples[left] + expected[right] * samples[right]
        expected[inner] = total / samples[inner]
    return expected


def _groups(conditions: LeafConditions, value: FloatArray) -> Iterator[_Group]:
    """Leaves with equally many conditions together; those without any contribute nothing."""
    count = np.bincount(conditions.leaf, minlength=len(value))
    start = np.cumsum(count) - count
    for features in np.unique(count[count > 0]).tolist():
        leaves = np.flatnonzero(count == features)
        place = start[leaves] + np.arange(features)[:, None]
        share = conditions.share[place]
        nodes, weights = np.polynomial.legendre.leggauss((features + 1) // 2)
        point = ((1.0 + nodes) / 2.0)[:, None]
        met = share[:, None] + point * (1.0 - share[:, None])
        yield _Group(
            column=conditions.column[place],
            lower=conditions.lower[place],
            upper=conditions.upper[place],
            missing=conditions.missing[place],
            met=met,
            unmet=share[:, None] * (1.0 - point),
            gain=(1.0 - share[:, None]) / met,
            loss=-1.0 / (1.0 - point),
            weight=weights[:, None] / 2.0 * value[leaves],
        )
