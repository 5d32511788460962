"""Saving and loading trained models; the only importer of joblib.

Invariants:

* ``NAME.joblib``, ``NAME.onnx`` and ``NAME.json`` appear or change together (:mod:`ev_qa_framework.commit`);
* a model is scored through both back ends before it is saved, and the difference goes into the sidecar;
* nothing is unpickled before its digest matched the sidecar, and the sidecar the trust policy; a ``.joblib`` without
  sidecar is never unpickled here.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import joblib
import numpy as np
import sklearn
from sklearn.pipeline import Pipeline

from ev_qa_framework.backends import OnnxBackend, SklearnBackend
from ev_qa_framework.commit import commit
from ev_qa_framework.metadata import checked_metadata, version_of
from ev_qa_framework.onnx_artifact import exported, renamed
from ev_qa_framework.parity import (
    scored_by_sklearn,
    ulp_distance,
)
from ev_qa_framework.pipeline import MODEL_STEP, SCALER_STEP
from ev_qa_framework.registry.destination import destination, unpublished
from ev_qa_framework.registry.resolution import read_resolved
from ev_qa_framework.trained_model import TrainedModel
from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import Artifact, ArtifactPaths, read_artifact
from ev_qa_runtime.contract import FileDigest, ModelContract, Profile, Thresholds
from ev_qa_runtime.errors import ArtifactError, EvQaError, ModelNotFoundError
from ev_qa_runtime.trust import TrustPolicy

BackendChoice = Literal["auto", "sklearn", "onnx"]
GOLDEN_TOLERANCE_ULP = 4
logger = logging.getLogger("ev_qa_framework")


def save(
    trained: TrainedModel,
    filepath: str | os.PathLike[str],
    *,
    thresholds: Thresholds,
    parameters: Mapping[str, Any],
    metadata: Mapping[str, Any] | None,
    profile: Profile | None,
    compress: Any,
    overwrite: bool,
    seal: Callable[[bytes], bytes] = bytes,
) -> ModelContract:
    """Write the three files and return the contract that was written.

    ``profile`` is the ONNX model's, ``exact`` unless said; one that was loaded without scikit-learn keeps its own.
    ``seal`` gives the sidecar's bytes their signature.
    Raises ``ConfigurationError`` for an URL or a reference, ``RegistryError`` for the path of a published model,
    ``ValueError`` for metadata that JSON cannot hold or where the ONNX model disagrees with scikit-learn,
    ``FileExistsError``, and ``OSError`` with the path.
    """
    paths = destination(filepath)
    user = checked_metadata(metadata)
    created = datetime.now(UTC).replace(microsecond=0)
    header = {
        "name": paths.name,
        "version": version_of(user, paths.name),
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "thresholds": thresholds,
        "metadata": user,
    }
    if isinstance(trained.backend, SklearnBackend):
        pipeline = trained.backend.pipeline
        fitted = pipeline.named_steps[MODEL_STEP]  # the caller's parameters may have changed since
        header["parameters"] = _plain_parameters({name: getattr(fitted, name) for name in parameters})
        contract, onnx_model = exported(trained, pipeline, header, profile or "exact")
        pickled: bytes | None = _pickled(trained, pipeline, contract, compress)
    else:
        contract, onnx_model = renamed(trained, header, profile)
        pickled = trained.payloads.get("joblib")
    payloads = {"onnx": onnx_model} if pickled is None else {"joblib": pickled, "onnx": onnx_model}
    files = {suffix: digest_of(data) for suffix, data in payloads.items()}
    contract = replace(contract, files=files)
    with unpublished(paths):
        commit(paths, payloads, seal(sidecar.encode(contract)), overwrite=overwrite)
    return contract


def load(
    filepath: str | os.PathLike[str], backend: BackendChoice = "auto", policy: TrustPolicy | None = None
) -> TrainedModel:
    """Read, verify and load a model. ``policy`` says which models are trusted; None stands for the environment's.

    ``auto`` takes scikit-learn where the installed version is the one in the sidecar and the golden rows come out
    right, else ONNX, and logs which and why. Raises ``FileNotFoundError`` and ``ValueError`` as the guide has it.
    """
    if backend not in ("auto", "sklearn", "onnx"):
        raise ValueError(f"backend must be 'auto', 'sklearn' or 'onnx', not {backend!r}")
    artifact = read_resolved(filepath, lambda path: _read(path, backend, policy))
    contract = artifact.contract
    if backend == "sklearn":
        return _loaded_with_sklearn(artifact)
    if backend == "onnx":
        return _loaded_with_onnx(artifact)
    trained_with = contract.environment.get("scikit-learn")
    if "joblib" not in artifact.payloads:
        reason = "there is no .joblib"
    elif trained_with != sklearn.__version__:
        reason = f"it was trained with scikit-learn {trained_with}, installed is {sklearn.__version__}"
    else:
        try:
            loaded = _loaded_with_sklearn(artifact)
        except ArtifactError as error:
            reason = str(error)
        else:
            logger.info("%s: scored with scikit-learn %s, which trained it", artifact.paths, trained_with)
            return loaded
    logger.info("%s: scored with its ONNX model, since %s", artifact.paths, reason)
    return _loaded_with_onnx(artifact)


def digest_of(data: bytes) -> FileDigest:
    """Size and SHA-256 of a file's bytes."""
    return FileDigest(len(data), hashlib.sha256(data).hexdigest())


def pickled_model(data: bytes) -> dict[str, Any]:
    """Unpickle a ``.joblib``'s dictionary: runs code from the file, so only for bytes that somebody vouches for.

    Raises ``ArtifactError`` where it is not the guide's dictionary.
    """
    try:
        content = joblib.load(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - unpickling raises whatever the classes inside raise
        raise ArtifactError(f"the .joblib cannot be unpickled here: {type(error).__name__}: {error}") from None
    if not isinstance(content, dict) or not {"model", "scaler"} <= content.keys():
        raise ArtifactError("the .joblib does not hold a saved model: no dictionary with 'model' and 'scaler'")
    return content


def _read(filepath: str | os.PathLike[str], backend: BackendChoice, policy: TrustPolicy | None) -> Artifact:
    paths = ArtifactPaths.of(filepath)
    if not os.path.lexists(paths.sidecar):
        if paths.file("joblib").exists():
            raise ArtifactError(
                f"{paths.file('joblib')} has no sidecar {paths.sidecar.name}: a legacy model, an unfinished save or a"
                f" foreign file, and never unpickled as it is; if you trust it, convert it with"
                f" `ev-qa migrate {paths.file('joblib')} --trust`"
            )
        if not paths.file("onnx").exists():
            raise ModelNotFoundError(f"Model file not found: {os.fspath(filepath)}")
    if backend == "sklearn":
        return read_artifact(filepath, wanted=("onnx", "joblib"), policy=policy)
    return read_artifact(filepath, optional=("joblib",), policy=policy)


def _pickled(trained: TrainedModel, pipeline: Pipeline, contract: ModelContract, compress: Any) -> bytes:
    content = {
        "model": pipeline.named_steps[MODEL_STEP],
        "scaler": pipeline.named_steps[SCALER_STEP],
        "contamination": contract.parameters["contamination"],
        "critical_threshold": contract.thresholds.critical,
        "warning_threshold": contract.thresholds.warning,
        "save_timestamp": contract.created,
        "metadata": contract.metadata,
        "pipeline": pipeline,
        "versions": trained.environment,
    }
    buffer = io.BytesIO()
    joblib.dump(content, buffer, compress=compress)
    return buffer.getvalue()


def _plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as JSON can hold them; a random generator has no JSON form and becomes None."""
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None or isinstance(value, (str, bool)):
            plain[name] = value
        elif hasattr(value, "__index__"):
            plain[name] = int(value)
        else:
            plain[name] = float(value) if hasattr(value, "__float__") else None
    return plain


def _loaded_with_sklearn(artifact: Artifact) -> TrainedModel:
    content = pickled_model(artifact.payloads["joblib"])
    pipeline = content.get("pipeline")
    if not isinstance(pipeline, Pipeline):
        raise ArtifactError(f"{artifact.paths}: the .joblib holds no fitted Pipeline")
    try:
        backend = SklearnBackend(pipeline)
        _check_golden(backend, artifact.contract)
    except EvQaError:
        raise
    except Exception as error:  # noqa: BLE001 - estimators from another version fail in any way they like
        raise ArtifactError(
            f"{artifact.paths}: its Pipeline does not run under scikit-learn {sklearn.__version__}"
            f" ({type(error).__name__}: {error})"
        ) from None
    return _trained(artifact, backend)


def _check_golden(backend: SklearnBackend, contract: ModelContract) -> None:
    golden = contract.golden
    scores = scored_by_sklearn(backend.pipeline, np.array(golden.readings), contract.thresholds).score_samples
    if ulp_distance(scores, np.array(golden.score_samples)).max() > GOLDEN_TOLERANCE_ULP:
        raise ArtifactError(
            f"model {contract.name}: scikit-learn {sklearn.__version__} scores the golden rows differently than when"
            " the model was saved"
        )


def _loaded_with_onnx(artifact: Artifact) -> TrainedModel:
    return _trained(artifact, OnnxBackend(artifact.payloads["onnx"], artifact.contract))


def _trained(artifact: Artifact, backend: SklearnBackend | OnnxBackend) -> TrainedModel:
    contract = artifact.contract
    golden = np.array(contract.golden.readings)
    return TrainedModel(
        backend=backend,
        features=contract.features,
        current_sign=contract.current_sign,
        training=contract.training,
        environment=contract.environment,
        reference_rows=golden[np.isfinite(golden).all(axis=1)],
        contract=contract,
        payloads=artifact.payloads if isinstance(backend, OnnxBackend) else {},
        signed_by=artifact.signed_by,
        monitoring=contract.monitoring,
    )
