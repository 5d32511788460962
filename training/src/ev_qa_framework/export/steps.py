"""Which steps of a Pipeline fold into the thresholds, and which must be converted before the forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ev_qa_framework.folding import MONOTONE_STEPS


@dataclass(frozen=True, slots=True)
class ExportSteps:
    """A fitted Pipeline, taken apart.

    ``converted``: (name, step) up to the last one that is no plain scaler, for skl2onnx; ``folded``: the scalers
    after them, with their names; ``n_features`` is the width of the raw input, ``n_forest_inputs`` that of what the
    forest reads.
    """

    converted: tuple[tuple[str, Any], ...]
    folded: tuple[Any, ...]
    folded_names: tuple[str, ...]
    forest: IsolationForest
    n_features: int

    @property
    def n_forest_inputs(self) -> int:
        """Columns that the forest, and the scalers folded into it, take."""
        return int(self.forest.n_features_in_)


def export_steps(pipeline: Pipeline) -> ExportSteps:
    """Take a fitted Pipeline apart.

    Raises ``TypeError`` for what is no Pipeline or ends in something else, or naming a step that is no transformer;
    ``ValueError`` for a Pipeline without steps, or naming an unfitted step.
    """
    if not isinstance(pipeline, Pipeline):
        raise TypeError(f"expected a fitted scikit-learn Pipeline, not {type(pipeline).__name__}")
    if not pipeline.steps:
        raise ValueError("the Pipeline has no steps: it must end in an IsolationForest")
    last_name, forest = pipeline.steps[-1]
    if type(forest) is not IsolationForest:
        raise TypeError(f"the last step {last_name!r} must be an IsolationForest, not {type(forest).__name__}")
    before = [(name, step) for name, step in pipeline.steps[:-1] if step is not None and step != "passthrough"]
    for name, step in [*before, (last_name, forest)]:
        _check_fitted(name, step)
    keep = max((index + 1 for index, (_, step) in enumerate(before) if type(step) not in MONOTONE_STEPS), default=0)
    folded = before[keep:]
    return ExportSteps(
        converted=tuple(before[:keep]),
        folded=tuple(step for _, step in folded),
        folded_names=tuple(name for name, _ in folded),
        forest=forest,
        n_features=int(before[0][1].n_features_in_ if before else forest.n_features_in_),
    )


def _check_fitted(name: str, step: Any) -> None:
    try:
        check_is_fitted(step)
    except ValueError:
        raise ValueError(f"step {name!r} ({type(step).__name__}) is not fitted: fit the Pipeline first") from None
    except Exception:  # noqa: BLE001 - scikit-learn's versions raise differently for what is no estimator
        raise TypeError(f"step {name!r} ({type(step).__name__}) is not a scikit-learn transformer") from None
    if not hasattr(step, "n_features_in_"):
        raise TypeError(f"step {name!r} ({type(step).__name__}) does not say how many columns it takes: n_features_in_")
