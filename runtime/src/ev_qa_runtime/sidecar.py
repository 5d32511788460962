"""The JSON sidecar: bytes ↔ :class:`~ev_qa_runtime.contract.ModelContract`. Standard library only.

Invariants:

* a sidecar is one JSON object, UTF-8, without duplicate keys, NaN or Infinity;
* it ends in the digest over its own bytes (:mod:`ev_qa_runtime.seal`), and before that in its signatures, where it
  has any (:mod:`ev_qa_runtime.signature_member`);
* unknown members are kept and written back; a newer ``schema_version`` is refused;
* numbers come back as the same doubles (shortest round-trip form).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ev_qa_runtime.contract import (
    CURRENT_SIGNS,
    MONITORING_SCHEMA,
    PROFILES,
    SCHEMA_VERSION,
    FeatureSpec,
    FeatureStatistics,
    FileDigest,
    GoldenRows,
    ModelContract,
    OnnxRequirements,
    ParityRecord,
    ScoringRule,
    Thresholds,
    TrainingRecord,
)
from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.seal import DIGEST_KEY, NO_DIGEST, check_digest, sealed
from ev_qa_runtime.strict_json import Members, number_at, parse_object

if TYPE_CHECKING:
    from ev_qa_runtime.monitoring import Monitoring


def encode(contract: ModelContract) -> bytes:
    """The unsigned sidecar file's bytes for ``contract``; the same contract gives the same bytes."""
    document = _without_end(_merge(_document(contract), contract.unknown))
    document[DIGEST_KEY] = NO_DIGEST
    return sealed((json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def decode(data: bytes) -> ModelContract:
    """Read a sidecar file's bytes. Signatures must be well-formed; whose they are is for a ``TrustPolicy`` to say.

    Raises ``IncompatibleModelError`` for a newer schema, ``IntegrityError`` where the bytes are not the ones that
    were written, and ``ArtifactError`` naming the member for anything malformed.
    """
    document = parse_object(data)
    version = Members(document).integer("schema_version", lowest=1)
    if version > SCHEMA_VERSION:
        raise IncompatibleModelError(
            f"the sidecar has schema_version {version}, this runtime reads up to {SCHEMA_VERSION}: update ev-qa-runtime"
        )
    check_digest(data)
    if b"signatures" in data or "signatures" in document:
        from ev_qa_runtime.signature_member import check_signatures  # noqa: PLC0415 - unsigned models do without

        check_signatures(data, document)
    try:
        contract = _contract(Members(document))
        unknown = _leftover(document, _document(contract)) or {}
    except RecursionError:
        raise ArtifactError("the sidecar is nested too deeply") from None
    object.__setattr__(contract, "unknown", _without_end(unknown))  # the one field that needs the parsed contract first
    return contract


def _without_end(members: dict[str, Any]) -> dict[str, Any]:
    """``members`` without those that belong to one file and not to the contract."""
    return {key: value for key, value in members.items() if key not in ("signatures", DIGEST_KEY)}


def _contract(top: Members) -> ModelContract:
    files = top.section("files")
    return ModelContract(
        schema_version=top.integer("schema_version"),
        name=top.text("name"),
        version=_version(top.text("version")),
        created=top.text("created"),
        algorithm=top.text("algorithm"),
        features=tuple(_feature(section) for section in top.sections("features")),
        current_sign=top.choice("current_sign", CURRENT_SIGNS),
        thresholds=_thresholds(top.section("thresholds")),
        scoring=_scoring(top.section("scoring")),
        parameters=top.mapping("parameters"),
        training=_training(top.section("training")),
        environment=_environment(top.section("environment")),
        onnx=_onnx(top.section("onnx")),
        parity=_parity(top.section("parity")),
        golden=_golden(top.section("golden")),
        files={suffix: _file(files.section(suffix)) for suffix in top.mapping("files")},
        metadata=top.mapping("metadata"),
        monitoring=_monitoring(top),
    )


def _monitoring(top: Members) -> Monitoring | None:
    if top.integer("schema_version") < MONITORING_SCHEMA:
        return None
    from ev_qa_runtime.monitoring import monitoring_of  # noqa: PLC0415 - models that judge readings alone do without

    return monitoring_of(top.section("monitoring"))


def _version(text: str) -> ModelVersion:
    try:
        return ModelVersion.parse(text)
    except ValueError as error:
        raise ArtifactError(f"sidecar: version: {error}") from None


def _feature(section: Members) -> FeatureSpec:
    bounds = section.pair("plausible_range")
    training = section.section("training") if section.any("training") is not None else None
    aliases = section.items("aliases")
    if not all(isinstance(alias, str) for alias in aliases):
        raise ArtifactError("sidecar: features: aliases must be texts")
    return FeatureSpec(
        name=section.text("name"),
        unit=section.optional_text("unit"),
        aliases=tuple(aliases),
        plausible_range=None if bounds is None else _range(bounds),
        training=None if training is None else _statistics(training),
    )


def _range(bounds: list[Any]) -> tuple[float, float]:
    return number_at(bounds[0], "features.plausible_range"), number_at(bounds[1], "features.plausible_range")


def _statistics(section: Members) -> FeatureStatistics:
    return FeatureStatistics(*(section.number(key) for key in ("mean", "std", "min", "max")))


def _thresholds(section: Members) -> Thresholds:
    return Thresholds(critical=section.number("critical"), warning=section.number("warning"))


def _scoring(section: Members) -> ScoringRule:
    names = ("offset", "denominator", "offset_cut", "warning_cut", "critical_cut")
    return ScoringRule(**{name: section.number(name) for name in names})


def _training(section: Members) -> TrainingRecord:
    span = section.pair("time_span")
    if span is not None and not all(isinstance(moment, str) for moment in span):
        raise ArtifactError("sidecar: training.time_span must hold two texts")
    return TrainingRecord(
        rows=section.integer("rows"),
        invalid_rows=section.integer("invalid_rows"),
        sha256=section.digest("sha256"),
        time_span=None if span is None else (span[0], span[1]),
        source=section.optional_text("source"),
    )


def _environment(section: Members) -> dict[str, str]:
    return {key: section.text(key) for key in section.members}


def _onnx(section: Members) -> OnnxRequirements:
    opsets = section.section("opsets")
    return OnnxRequirements(
        profile=section.choice("profile", PROFILES),
        opsets={domain: opsets.integer(domain, lowest=1) for domain in opsets.members},
        minimum_onnxruntime=section.release("minimum_onnxruntime"),
    )


def _parity(section: Members) -> ParityRecord:
    names = ("rows", "max_ulp", "labels_differing", "severities_differing")
    return ParityRecord(**{name: section.integer(name) for name in names})


def _golden(section: Members) -> GoldenRows:
    rows = section.items("readings")
    if not all(isinstance(row, list) for row in rows):
        raise ArtifactError("sidecar: golden.readings must be a list of rows")
    return GoldenRows(
        readings=tuple(
            tuple(math.nan if cell is None else number_at(cell, "golden.readings") for cell in row) for row in rows
        ),
        path_length=section.numbers("path_length"),
        score_samples=section.numbers("score_samples"),
        label=section.integers("label"),
        severity=section.integers("severity"),
    )


def _file(section: Members) -> FileDigest:
    return FileDigest(bytes=section.integer("bytes"), sha256=section.digest("sha256"))


def _document(contract: ModelContract) -> dict[str, Any]:
    """The contract as the sidecar's JSON object, members in the file's order, without unknown ones."""
    training, golden, onnx = contract.training, contract.golden, contract.onnx
    return {
        "schema_version": contract.schema_version,
        "name": contract.name,
        "version": str(contract.version),
        "created": contract.created,
        "algorithm": contract.algorithm,
        "features": [_feature_document(feature) for feature in contract.features],
        "current_sign": contract.current_sign,
        "thresholds": {"critical": contract.thresholds.critical, "warning": contract.thresholds.warning},
        "scoring": {name: getattr(contract.scoring, name) for name in ScoringRule.__slots__},
        "parameters": contract.parameters,
        "training": {
            "rows": training.rows,
            "invalid_rows": training.invalid_rows,
            "sha256": training.sha256,
            "time_span": training.time_span and list(training.time_span),
            "source": training.source,
        },
        "environment": contract.environment,
        "onnx": {
            "profile": onnx.profile,
            "opsets": onnx.opsets,
            "minimum_onnxruntime": onnx.minimum_onnxruntime,
        },
        "parity": {name: getattr(contract.parity, name) for name in ParityRecord.__slots__},
        "golden": {
            "readings": [[None if math.isnan(cell) else cell for cell in row] for row in golden.readings],
            "path_length": list(golden.path_length),
            "score_samples": list(golden.score_samples),
            "label": list(golden.label),
            "severity": list(golden.severity),
        },
        "files": {suffix: {"bytes": file.bytes, "sha256": file.sha256} for suffix, file in contract.files.items()},
        "metadata": contract.metadata,
        **_monitoring_member(contract),
    }


def _monitoring_member(contract: ModelContract) -> dict[str, Any]:
    if contract.monitoring is None:
        return {}
    from ev_qa_runtime.monitoring import monitoring_document  # noqa: PLC0415 - as above

    return {"monitoring": monitoring_document(contract.monitoring)}


def _feature_document(feature: FeatureSpec) -> dict[str, Any]:
    statistics = feature.training
    return {
        "name": feature.name,
        "unit": feature.unit,
        "aliases": list(feature.aliases),
        "plausible_range": feature.plausible_range and list(feature.plausible_range),
        "training": statistics
        and {
            "mean": statistics.mean,
            "std": statistics.std,
            "min": statistics.minimum,
            "max": statistics.maximum,
        },
    }


def _leftover(read: Any, known: Any) -> Any:
    """What ``read`` holds beyond ``known``, in the same nesting, or None."""
    if read is known:  # the user's metadata, which may be large
        return None
    if isinstance(read, dict) and isinstance(known, dict):
        rest = {key: _leftover(value, known[key]) if key in known else value for key, value in read.items()}
        return {key: value for key, value in rest.items() if key not in known or value is not None} or None
    if isinstance(read, list) and isinstance(known, list) and len(read) == len(known):
        rows = [_leftover(*pair) for pair in zip(read, known, strict=True)]
        return rows if any(row is not None for row in rows) else None
    return None


def _merge(document: Any, unknown: Any) -> Any:
    """``document`` with the members of :func:`_leftover` put back."""
    if isinstance(document, dict) and isinstance(unknown, dict):
        return document | {
            key: _merge(document[key], value) if key in document else value for key, value in unknown.items()
        }
    if isinstance(document, list) and isinstance(unknown, list) and len(document) == len(unknown):
        return [_merge(*pair) for pair in zip(document, unknown, strict=True)]
    return document
