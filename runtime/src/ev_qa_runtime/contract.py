"""What a model promises: frozen dataclasses of the sidecar. Standard library only.

Invariants, checked on construction:

* features have distinct, non-empty names;
* thresholds and path-length cuts are numbers, ``critical <= warning``;
* golden rows have one expected path length, label and severity each, and one reading per feature;
* the name could be a file's on any system, the suffixes of ``files`` are plain; neither is ever made into a path here.

The JSON form lives in :mod:`ev_qa_runtime.sidecar`.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.model_version import ModelVersion

if TYPE_CHECKING:
    from ev_qa_runtime.monitoring import Monitoring

SCHEMA_VERSION = 2
"""The newest sidecar layout this package reads; ``docs/stability.md`` has the procedure to bump it."""

MONITORING_SCHEMA = 2
"""The layout of models over time; those that judge readings alone are still written as 1."""

MOST_GOLDEN_ROWS = 10_000
"""Every load scores them: more would be a way to make loading slow. Models are saved with 16."""

LONGEST_NAME = 255
"""Characters; file systems take no longer one."""

_SUFFIX = re.compile(r"[a-z0-9]{1,16}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.ASCII | re.DOTALL)

CurrentSign = Literal["discharge_positive", "charge_positive", "unspecified"]
Profile = Literal["exact", "compat"]
CURRENT_SIGNS: tuple[CurrentSign, ...] = get_args(CurrentSign)
PROFILES: tuple[Profile, ...] = get_args(Profile)


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Of the rows a feature was trained on, in the feature's unit."""

    mean: float
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One input of the model: its name, unit and the other names it answers to.

    ``plausible_range`` is (lowest, highest) in ``unit``, or None where unknown; it documents, it rejects nothing.
    """

    name: str
    unit: str | None = None
    aliases: tuple[str, ...] = ()
    plausible_range: tuple[float, float] | None = None
    training: FeatureStatistics | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ArtifactError("a feature has an empty name")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Severity thresholds on ``score_samples`` (lower is more anomalous); comparisons are strict."""

    critical: float = -0.8
    warning: float = -0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.critical) and math.isfinite(self.warning)):
            raise ArtifactError(f"thresholds must be finite, not critical={self.critical}, warning={self.warning}")
        if self.critical > self.warning:
            raise ArtifactError(
                f"critical_threshold {self.critical} lies above warning_threshold {self.warning}: lower is more severe"
            )


@dataclass(frozen=True, slots=True)
class ScoringRule:
    """How a summed path length becomes a score: ``score_samples = -2 ** -(path_length / denominator)``.

    Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, equation 2, with scikit-learn's sign. A sum of path lengths has
    the same bits on every machine; the power does not (maths libraries differ in the last bit). So labels and
    severities are decided on the sum: below ``*_cut`` means that the score was below the threshold where the model
    was trained. ``denominator`` 0 (trees of one sample) scores every row −0.5, as scikit-learn does.
    """

    offset: float
    denominator: float
    offset_cut: float
    warning_cut: float
    critical_cut: float

    def __post_init__(self) -> None:
        values = (self.offset, self.denominator, self.offset_cut, self.warning_cut, self.critical_cut)
        if any(math.isnan(value) for value in values) or self.denominator < 0:
            raise ArtifactError("the scoring rule holds NaN or a negative denominator")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What the model was fitted on. ``sha256`` is over the fitted rows, float64 little-endian in feature order."""

    rows: int
    invalid_rows: int
    sha256: str
    time_span: tuple[str, str] | None = None
    source: str | None = None

    def summary(self) -> dict[str, int]:
        """Its part of the guide's result dictionary."""
        return {"training_samples": self.rows, "excluded_from_training": self.invalid_rows}


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size in bytes and SHA-256 (lower-case hex) of one file of the artifact."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ParityRecord:
    """How far the ONNX model was from the scikit-learn Pipeline when it was saved; 0 everywhere is the norm.

    ``max_ulp`` is the largest difference of ``score_samples`` in units in the last place over ``rows`` rows.
    """

    rows: int
    max_ulp: int
    labels_differing: int
    severities_differing: int


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """Rows with the results they must give; every load scores them. A reading of NaN stands for a missing one."""

    readings: tuple[tuple[float, ...], ...]
    path_length: tuple[float, ...]
    score_samples: tuple[float, ...]
    label: tuple[int, ...]
    severity: tuple[int, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.readings), len(self.path_length), len(self.score_samples), len(self.label)}
        if len(lengths | {len(self.severity)}) != 1 or not self.readings:
            raise ArtifactError("golden rows and their expected results differ in number, or there are none")
        if len(self.readings) > MOST_GOLDEN_ROWS:
            raise ArtifactError(f"there are {len(self.readings)} golden rows, at most {MOST_GOLDEN_ROWS} are scored")


@dataclass(frozen=True, slots=True)
class OnnxRequirements:
    """What the ``.onnx`` file needs: opset per domain ('' is ai.onnx) and the oldest onnxruntime that scores it."""

    profile: Profile
    opsets: dict[str, int]
    minimum_onnxruntime: str


@dataclass(frozen=True, slots=True)
class ModelContract:
    """Everything the sidecar says about a model.

    ``parameters`` are the forest's hyper-parameters, ``environment`` the library versions and platform it was
    trained under, ``metadata`` the user's own and never interpreted, ``unknown`` what a later minor writer added.
    ``files`` is keyed by suffix without dot: ``onnx``, ``joblib``. ``monitoring``: of a model that judges readings over
    time, whose ``features`` its recipe makes; None where features are readings.
    """

    name: str
    version: ModelVersion
    created: str
    features: tuple[FeatureSpec, ...]
    current_sign: CurrentSign
    thresholds: Thresholds
    scoring: ScoringRule
    parameters: dict[str, Any]
    training: TrainingRecord
    environment: dict[str, str]
    onnx: OnnxRequirements
    parity: ParityRecord
    golden: GoldenRows
    files: dict[str, FileDigest]
    metadata: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "IsolationForest"
    schema_version: int = 1
    monitoring: Monitoring | None = None
    unknown: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.feature_names
        if not names or len(set(names)) != len(names):
            raise ArtifactError(f"feature names must be distinct and at least one, not {_shown(names)}")
        if any(len(row) != len(names) for row in self.golden.readings):
            raise ArtifactError(f"a golden row does not have one reading for each of {_shown(names)}")
        if (self.monitoring is not None) != (self.schema_version >= MONITORING_SCHEMA):
            raise ArtifactError("a sidecar has monitoring where its schema_version is 2 or more, and only there")
        if self.monitoring is not None and names != tuple(one.name for one in self.monitoring.recipe.features):
            raise ArtifactError(f"the features {_shown(names)} are not the ones that the recipe makes")
        _check_name(self.name)
        for suffix in self.files:
            if _SUFFIX.fullmatch(suffix) is None or suffix == "json":
                raise ArtifactError(f"files: {suffix!r:.40} is not the suffix of a payload, such as onnx")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the inputs, in the model's order."""
        return tuple(feature.name for feature in self.features)

    def info(self) -> dict[str, Any]:
        """The model in plain types, as ``get_model_info()`` and the commands show it; a fresh dictionary."""
        over_time = {} if self.monitoring is None else {"monitoring": self.monitoring.summary()}
        return {
            "contamination": self.parameters.get("contamination"),
            "n_estimators": self.parameters.get("n_estimators"),
            "critical_threshold": self.thresholds.critical,
            "warning_threshold": self.thresholds.warning,
            "is_fitted": True,
            "name": self.name,
            "version": str(self.version),
            "created": self.created,
            "algorithm": self.algorithm,
            "rows_trained_on": self.training.rows or None,  # a migrated model does not know
            "features": [{"name": feature.name, "unit": feature.unit} for feature in self.features],
            "current_sign": self.current_sign,
            "recipe": "raw" if self.monitoring is None else "physics",
            **over_time,
            "offset": self.scoring.offset,
            "profile": self.onnx.profile,
            "parity_max_ulp": self.parity.max_ulp,
            "library_versions": dict(self.environment),
            "metadata": copy.deepcopy(self.metadata),
        }


def _shown(names: tuple[str, ...]) -> str:
    return f"{list(names[:20])!r:.400}"


def _check_name(name: str) -> None:
    """Names come from file names and may become such again, on other systems and in other programs."""
    if not name or name in (".", "..") or len(name) > LONGEST_NAME:
        raise ArtifactError(f"name: {name!r:.40} has no or more than {LONGEST_NAME} characters, or is a folder's")
    if any(character in "/\\:" or not character.isprintable() for character in name):
        raise ArtifactError(f"name: {name!r:.40} holds a separator of paths or a character that cannot be printed")
    if _DEVICE.fullmatch(name):
        raise ArtifactError(f"name: {name!r:.40} is a device's under Windows")
