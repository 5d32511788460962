"""Legacy ``.joblib`` files in the guide's structure → whole artifacts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from ev_qa_framework.analysis import DEFAULT_FEATURES, EVBatteryAnalyzer
from ev_qa_framework.backends import SklearnBackend
from ev_qa_framework.persistence import digest_of, pickled_model
from ev_qa_framework.pipeline import MODEL_STEP, SCALER_STEP
from ev_qa_framework.registry.destination import destination
from ev_qa_framework.telemetry import feature_specs, with_statistics
from ev_qa_framework.trained_model import TrainedModel, this_environment
from ev_qa_runtime.artifact import ArtifactPaths, read_contract
from ev_qa_runtime.contract import TrainingRecord
from ev_qa_runtime.errors import ArtifactError, ModelNotFoundError
from ev_qa_runtime.severity import FloatArray

SYNTHETIC_ROWS = 512
"""A legacy file keeps no telemetry: parity is checked on rows drawn from its scaler's mean and deviation."""


def migrate(
    legacy: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    features: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> EVBatteryAnalyzer:
    """Convert ``legacy`` (default output: the same name) and return the model; its metadata is kept.

    Unpickles the file, which runs whatever code it holds: only for files you trust. ``features`` names its columns
    where the file does not. Raises ``FileNotFoundError``, or ``ValueError`` where it is not a legacy model, such as one
    with a sidecar.
    """
    path = Path(legacy)
    if not path.is_file():
        raise ModelNotFoundError(f"Model file not found: {path}")
    _refuse_whole_model(path)
    target = destination(path if output is None else output)
    if target.sidecar.exists() and not overwrite:
        raise FileExistsError(f"{target.sidecar} exists already: choose another name with -o, or --overwrite")
    data = path.read_bytes()
    content = pickled_model(data)
    pipeline = Pipeline([(SCALER_STEP, content["scaler"]), (MODEL_STEP, content["model"])])
    _check_parts(path, content)
    names = features or _feature_names(path, content["scaler"])
    if len(names) != content["scaler"].n_features_in_:
        raise ArtifactError(f"{path}: it has {content['scaler'].n_features_in_} features, not {len(names)}: {names}")
    rows = _synthetic_rows(content["scaler"])
    analyzer = EVBatteryAnalyzer(
        contamination=content.get("contamination", content["model"].contamination),
        n_estimators=content["model"].n_estimators,
        max_samples=content["model"].max_samples,
        random_state=content["model"].random_state,
        critical_threshold=content.get("critical_threshold", -0.8),
        warning_threshold=content.get("warning_threshold", -0.5),
        features=names,
    )
    analyzer._trained = TrainedModel(
        backend=SklearnBackend(pipeline),
        features=with_statistics(feature_specs(names), rows),
        current_sign="unspecified",
        training=TrainingRecord(0, 0, digest_of(data).sha256, None, _provenance(path, content)),
        environment=this_environment(),
        reference_rows=rows,
    )
    analyzer.save_model(target.file("joblib"), metadata=content.get("metadata") or {}, overwrite=True)
    return analyzer


def _refuse_whole_model(path: Path) -> None:
    """A current model would lose its name, thresholds and metadata: its pickle alone does not hold them."""
    sidecar = ArtifactPaths.of(path).sidecar
    if not sidecar.is_file():
        return
    try:
        version = read_contract(sidecar).version
    except ArtifactError:  # some other JSON file of that name
        return
    raise ArtifactError(
        f"{path}: this is not a legacy file, its sidecar {sidecar.name} (version {version}) is there: load it as it is"
    )


def _check_parts(path: Path, content: dict[str, Any]) -> None:
    for key, expected in (("model", IsolationForest), ("scaler", StandardScaler)):
        part = content[key]
        if not isinstance(part, expected):
            raise ArtifactError(f"{path}: its {key!r} is a {type(part).__name__}, not a {expected.__name__}")
        try:
            check_is_fitted(part)
        except ValueError:
            raise ArtifactError(f"{path}: its {key!r} is not fitted, so there is nothing to convert") from None


def _feature_names(path: Path, scaler: StandardScaler) -> tuple[str, ...]:
    names = getattr(scaler, "feature_names_in_", None)
    if names is not None:
        return tuple(map(str, names))
    if scaler.n_features_in_ == len(DEFAULT_FEATURES):
        return DEFAULT_FEATURES
    raise ArtifactError(f"{path}: it has {scaler.n_features_in_} features without names; name them with --features")


def _synthetic_rows(scaler: StandardScaler) -> FloatArray:
    width = scaler.n_features_in_
    mean = np.zeros(width) if scaler.mean_ is None else scaler.mean_
    deviation = np.ones(width) if scaler.scale_ is None else scaler.scale_
    drawn: FloatArray = mean + deviation * np.random.default_rng(0).standard_normal((SYNTHETIC_ROWS, width))
    return drawn


def _provenance(path: Path, content: dict[str, Any]) -> str:
    saved = content.get("save_timestamp")
    return f"migrated from {path.name}" + (f", saved {saved}" if saved else "")
