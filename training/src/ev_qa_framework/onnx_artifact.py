"""A trained model's ONNX file and contract, checked against each other before anything is written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from ev_qa_framework.export import folded_forest, model_rule, requirements, restated, to_onnx
from ev_qa_framework.forest import FlatForest
from ev_qa_framework.parity import (
    adversarial_rows,
    compare,
    golden_rows,
    scored_by_sklearn,
    scored_from_path_length,
)
from ev_qa_framework.trained_model import TrainedModel
from ev_qa_runtime.contract import MONITORING_SCHEMA, GoldenRows, ModelContract, ParityRecord, Profile, Thresholds
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.session import ScoringSession
from ev_qa_runtime.severity import FloatArray, scoring_rule

ADVERSARIAL_ROWS = 2048
TOLERANCE_ULP: dict[Profile, int] = {"exact": 1, "compat": 2**20}
"""Of ``score_samples``: the share of the last power where numpy computes it in two ways, and of float sums (1e-10)."""


def exported(
    trained: TrainedModel, pipeline: Pipeline, header: dict[str, Any], profile: Profile
) -> tuple[ModelContract, bytes]:
    """Export ``pipeline`` and state its contract; ``header`` has the contract's members that the caller decides.

    Raises ``ArtifactError`` where the ONNX model disagrees with scikit-learn.
    """
    thresholds: Thresholds = header["thresholds"]
    forest = folded_forest(pipeline)
    contract = ModelContract(
        **header,
        features=trained.features,
        current_sign=trained.current_sign,
        scoring=model_rule(forest, profile, thresholds),
        training=trained.training,
        environment=trained.environment,
        onnx=requirements(profile),
        parity=ParityRecord(0, 0, 0, 0),
        golden=golden_rows(pipeline, trained.reference_rows, thresholds, forest=forest),
        files={},
        **_monitoring(trained),
        unknown=trained.contract.unknown if trained.contract else {},
    )
    properties = _properties(contract)
    model = to_onnx(pipeline, profile=profile, thresholds=thresholds, properties=properties).SerializeToString()
    session = ScoringSession(model, contract)
    if profile == "compat":
        contract = replace(contract, golden=_judged_again(contract, session))
    session.self_test(contract)
    parity = _checked_parity(pipeline, forest, trained.reference_rows, contract, session)
    return replace(contract, parity=parity), model


def _monitoring(trained: TrainedModel) -> dict[str, Any]:
    """The layout of the sidecar, and its member for models over time."""
    if trained.monitoring is None:
        return {}
    return {"schema_version": MONITORING_SCHEMA, "monitoring": trained.monitoring}


def _judged_again(contract: ModelContract, session: ScoringSession) -> GoldenRows:
    """Golden rows with this model's verdicts: other thresholds, or a profile that decides ties the other way."""
    path_length = session.path_length(np.array(contract.golden.readings))
    judged = scored_from_path_length(path_length, contract.scoring)
    return replace(contract.golden, label=tuple(judged.label.tolist()), severity=tuple(judged.severity.tolist()))


def _checked_parity(
    pipeline: Pipeline, forest: FlatForest, reference: FloatArray, contract: ModelContract, session: ScoringSession
) -> ParityRecord:
    """Score reference and adversarial rows with both; ``ArtifactError`` where they disagree by more than they may."""
    rows = np.concatenate([reference, adversarial_rows(pipeline, reference, ADVERSARIAL_ROWS, forest=forest)])
    found = compare(
        scored_by_sklearn(pipeline, rows, contract.thresholds),
        scored_from_path_length(session.path_length(rows), contract.scoring),
    )
    exact = contract.onnx.profile == "exact"
    verdicts_differ = exact and (found.labels_differing or found.severities_differing)
    if found.max_ulp > TOLERANCE_ULP[contract.onnx.profile] or verdicts_differ:
        raise ArtifactError(
            f"not saved: the ONNX model differs from scikit-learn by up to {found.max_ulp} ulp on {found.rows} rows"
            f" ({found.labels_differing} labels, {found.severities_differing} severities differ); report this"
        )
    return found


def renamed(trained: TrainedModel, header: dict[str, Any], profile: Profile | None) -> tuple[ModelContract, bytes]:
    """The contract and ONNX model of a model without its Pipeline, with another header: same trees, same scores.

    Raises ``ValueError`` where ``profile`` is another than the model's: there is no Pipeline to export it from.
    """
    before = trained.contract
    if before is None:
        raise ArtifactError("this model has neither a Pipeline nor a sidecar to save")
    if profile not in (None, before.onnx.profile):
        raise ValueError(
            f"profile {profile!r} needs the Pipeline: this model was loaded without scikit-learn and stays"
            f" {before.onnx.profile!r}"
        )
    thresholds: Thresholds = header["thresholds"]
    rule = scoring_rule(before.scoring.offset, before.scoring.denominator, thresholds, before.onnx.profile)
    contract = replace(
        before,
        **header,
        **_monitoring(trained),
        scoring=replace(before.scoring, warning_cut=rule.warning_cut, critical_cut=rule.critical_cut),
    )
    model = restated(trained.payloads["onnx"], contract.scoring, _properties(contract))
    session = ScoringSession(model, contract)
    contract = replace(contract, golden=_judged_again(contract, session))
    session.self_test(contract)
    return contract, model


def _properties(contract: ModelContract) -> dict[str, str]:
    """The contract for ``metadata_props``, so that the ``.onnx`` alone says what it takes and means."""
    values: dict[str, Any] = {
        "schema_version": contract.schema_version,
        "name": contract.name,
        "version": str(contract.version),
        "created": contract.created,
        "features": [
            {"name": feature.name, "unit": feature.unit, "aliases": list(feature.aliases)}
            for feature in contract.features
        ],
        "current_sign": contract.current_sign,
        "thresholds": asdict(contract.thresholds),
        "scoring": asdict(contract.scoring),
    }
    return {
        f"ev_qa.{key}": value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        for key, value in values.items()
    }
