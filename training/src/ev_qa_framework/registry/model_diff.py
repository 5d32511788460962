"""What changed from one model to another: contract, parameters, data, scores, sizes, and the step the rule asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ev_qa_framework.registry.model_files import ModelFiles
from ev_qa_framework.registry.version_rule import Difference, differences, level_of, stepped
from ev_qa_runtime.contract import FeatureSpec, ModelContract
from ev_qa_runtime.monitoring import Monitoring, monitoring_document
from ev_qa_runtime.session import ScoringSession
from ev_qa_runtime.severity import FloatArray, scores_from_path_length


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """How the training data of one feature moved, in the feature's unit; None where a contract has no statistics.

    Sidecars keep mean, standard deviation and range of a feature, no quantiles: a change of shape alone does not show.
    ``mean_shift`` is the difference of the means in standard deviations of the old data, ``std_ratio`` new/old.
    """

    name: str
    old_mean: float | None
    new_mean: float | None
    mean_shift: float | None
    std_ratio: float | None
    old_range: tuple[float, float] | None
    new_range: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Scores:
    """``score_samples`` of one model on golden rows, which hold the extremes: no measure of what it flags in use."""

    rows: int
    lowest: float
    median: float
    mean: float
    highest: float


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """Old against new. Pairs are (old, new).

    ``monitoring``: (what, old, new) of everything that models over time carry beside their forest, alike or not; None
    where one of the two has none of it. Histograms and curves are left out.
    """

    old: str
    new: str
    differences: tuple[Difference, ...]
    rows: tuple[int, int]
    invalid_rows: tuple[int, int]
    time_span: tuple[tuple[str, str] | None, tuple[str, str] | None]
    same_data: bool
    features: tuple[FeatureShift, ...]
    scores: tuple[Scores, Scores]
    scores_computed_from: str
    bytes: dict[str, tuple[int | None, int | None]]
    monitoring: tuple[tuple[str, str | None, str | None], ...]
    asked: str
    follows: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        plain = asdict(self)
        plain["differences"] = [
            {"level": found.level.name, "what": found.what, "old": found.old, "new": found.new}
            for found in self.differences
        ]
        return plain


def model_diff(old: ModelFiles, new: ModelFiles) -> ModelDiff:
    """Compare two models; their golden rows are scored here, by both where they read the same features."""
    a, b = old.contract, new.contract
    scores, computed_from = _scores(old, new)
    suffixes = sorted({*old.digests, *new.digests})
    sizes = {suffix: (_size(old, suffix), _size(new, suffix)) for suffix in suffixes}
    level = level_of(a, b)
    return ModelDiff(
        old=a.name,
        new=b.name,
        differences=tuple(differences(a, b)),
        rows=(a.training.rows, b.training.rows),
        invalid_rows=(a.training.invalid_rows, b.training.invalid_rows),
        time_span=(a.training.time_span, b.training.time_span),
        same_data=a.training.sha256 == b.training.sha256,
        features=feature_shifts(a, b),
        scores=scores,
        scores_computed_from=computed_from,
        bytes=sizes,
        monitoring=side_by_side(a.monitoring, b.monitoring),
        asked=level.name,
        follows=str(stepped(a.version, level)),
    )


def side_by_side(old: Monitoring | None, new: Monitoring | None) -> tuple[tuple[str, str | None, str | None], ...]:
    """What models over time carry, member by member: (what, old, new) as JSON has it."""
    before, after = (dict(_members(monitoring)) for monitoring in (old, new))
    return tuple((name, before.get(name), after.get(name)) for name in dict.fromkeys((*before, *after)))


def _members(monitoring: Monitoring | None) -> Iterator[tuple[str, str]]:
    if monitoring is None:
        return
    document = monitoring_document(monitoring)
    calibration = document["calibration"]
    if calibration is not None:
        del calibration["curve"], calibration["scores_sha256"]
    for limit in (document["limits"] or {"limits": []})["limits"]:
        bounds = {name: value for name, value in limit.items() if name not in ("signal", "side")}
        document[f"limit on {limit['signal']} {limit['side']}"] = bounds
    if document["limits"] is not None:
        del document["limits"]["limits"]
    del document["quality"]["signals"], document["drift"]  # figures of the data: the training statistics say it better
    yield from _flat("", document)


def _flat(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Objects member by member, lists of numbers in one; nothing for what is null."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{where}.{name}" if where else name, inner)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{where}[{number}]", inner)
    elif value is not None:
        yield where, json.dumps(value, ensure_ascii=False)


def feature_shifts(old: ModelContract, new: ModelContract) -> tuple[FeatureShift, ...]:
    """The training data of every feature that one of the two reads, from the statistics in the contracts."""
    before = {feature.name: feature for feature in old.features}
    after = {feature.name: feature for feature in new.features}
    return tuple(_shift(name, before.get(name), after.get(name)) for name in dict.fromkeys((*before, *after)))


def _shift(name: str, old: FeatureSpec | None, new: FeatureSpec | None) -> FeatureShift:
    a, b = old and old.training, new and new.training
    moved = ratio = None
    if a and b:
        moved = _quotient(b.mean - a.mean, a.std)
        ratio = _quotient(b.std, a.std)
    return FeatureShift(
        name=name,
        old_mean=a.mean if a else None,
        new_mean=b.mean if b else None,
        mean_shift=moved,
        std_ratio=ratio,
        old_range=(a.minimum, a.maximum) if a else None,
        new_range=(b.minimum, b.maximum) if b else None,
    )


def _quotient(value: float, unit: float) -> float | None:
    """None for a feature that was constant, where no quotient says anything; 0 of it is 0."""
    if value == 0:
        return 0.0
    quotient = value / unit if unit else math.inf
    return quotient if math.isfinite(quotient) else None


def _scores(old: ModelFiles, new: ModelFiles) -> tuple[tuple[Scores, Scores], str]:
    mine, others = _golden_rows(old.contract), _golden_rows(new.contract)
    if old.contract.feature_names == new.contract.feature_names:
        rows = np.concatenate([mine, others])
        said = f"the complete golden rows of both models ({len(rows)}), scored by each"
        return (_scored(old, rows), _scored(new, rows)), said
    said = f"each model's own complete golden rows ({len(mine)} and {len(others)}), since they read different features"
    return (_scored(old, mine), _scored(new, others)), said


def _golden_rows(contract: ModelContract) -> FloatArray:
    rows: FloatArray = np.array(contract.golden.readings, dtype=np.float64)
    complete: FloatArray = rows[np.isfinite(rows).all(axis=1)]
    return complete


def _scored(files: ModelFiles, rows: FloatArray) -> Scores:
    rule = files.contract.scoring
    path_length = ScoringSession(files.payloads["onnx"], files.contract).path_length(np.ascontiguousarray(rows))
    scores = scores_from_path_length(path_length, rule.denominator)
    return Scores(
        rows=len(rows),
        lowest=float(scores.min()),
        median=float(np.median(scores)),
        mean=float(scores.mean()),
        highest=float(scores.max()),
    )


def _size(files: ModelFiles, suffix: str) -> int | None:
    digest = files.digests.get(suffix)
    return None if digest is None else digest.bytes
