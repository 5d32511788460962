"""How much every feature contributes to a reading's summed path length, exactly.

Contributions are the Shapley values of :mod:`ev_qa_runtime.tree_shapley` and add up: base value + contributions =
summed path length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.features import read_telemetry
from ev_qa_runtime.forest_arrays import FloatArray, read_forest
from ev_qa_runtime.onnx_inspection import inspect
from ev_qa_runtime.tree_shapley import ForestShapley


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one reading, or the mean of several.

    ``base_value``: the summed path length that the trees give on average over what they were trained on;
    ``contributions``: feature name → what it adds to that, in path length. Negative: a shorter path, more anomalous.
    """

    base_value: float
    contributions: Mapping[str, float]

    @property
    def path_length(self) -> float:
        """The reading's summed path length: base value and contributions added up."""
        return self.base_value + sum(self.contributions.values())

    def ranked(self) -> tuple[tuple[str, float], ...]:
        """(feature, contribution), most anomalous first; equals stay in the model's order."""
        return tuple(sorted(self.contributions.items(), key=lambda item: item[1]))


@dataclass(frozen=True, slots=True)
class Explanations:
    """Of N readings: ``contributions`` float64 [N, F], one column for each of ``names``; see :class:`Explanation`."""

    names: tuple[str, ...]
    base_value: float
    contributions: FloatArray

    def __len__(self) -> int:
        return len(self.contributions)

    def __iter__(self) -> Iterator[Explanation]:
        return (self.row(index) for index in range(len(self)))

    @property
    def path_length(self) -> FloatArray:
        """Summed path lengths, float64 [N]: base value and contributions added up."""
        lengths: FloatArray = self.base_value + self.contributions.sum(axis=1)
        return lengths

    def row(self, index: int) -> Explanation:
        """The explanation of one reading."""
        return self._explanation(self.contributions[index])

    def mean(self) -> Explanation:
        """The mean over all readings, such as those of one event; zeros where there are none."""
        total = self.contributions.sum(axis=0)
        return self._explanation(total / max(len(self), 1))

    def _explanation(self, contributions: FloatArray) -> Explanation:
        return Explanation(self.base_value, dict(zip(self.names, contributions.tolist(), strict=True)))


class Explainer:
    """Explains what one model says of readings. Thread-safe; building one takes as long as loading its model."""

    def __init__(self, onnx_model: bytes, contract: ModelContract) -> None:
        """From an artifact's verified bytes; they are inspected again.

        ``ArtifactError`` where the model is not what the exporter writes for ``contract``, or its leaves' weights are
        not path lengths, from which the numbers of samples follow.
        """
        self._features = contract.features
        try:
            inspect(onnx_model, contract)
            self._forest = ForestShapley(read_forest(onnx_model))
        except ArtifactError as error:
            named = f"model {contract.name}: {error}"
            raise ArtifactError(named) from None

    def explain(self, values: Any) -> Explanations:
        """Explain readings: float64 [N, F] in the contract's order, or telemetry with names.

        NaN goes the way that the trees send it. Raises ``TelemetryError`` for telemetry that does not fit the model.
        """
        telemetry = read_telemetry(values, self._features)
        contributions = self._forest.contributions(telemetry.values)
        return Explanations(telemetry.names, self._forest.base_value, contributions)
