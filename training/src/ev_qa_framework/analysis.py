"""The training API: ``EVBatteryAnalyzer`` as the guide describes it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from ev_qa_framework import persistence
from ev_qa_framework.backends import SklearnBackend
from ev_qa_framework.calibration import WARNING_RATE, calibrate_scores
from ev_qa_framework.configuration import PARAMETERS, PHYSICS, check_parameters, read_parameters
from ev_qa_framework.fitting import fit_pipeline
from ev_qa_framework.healthy_range import FEWEST_TRIPS
from ev_qa_framework.limits_file import read_limits
from ev_qa_framework.over_time import (
    Prepared,
    Scorer,
    calibration,
    cross_judged,
    fit_monitoring,
    judged,
    prepare,
    prepare_for,
    read_for_forest,
    read_over_time,
    trip_column,
    with_drift_baseline,
    with_healthy_range,
    with_sampling,
)
from ev_qa_framework.persistence import BackendChoice
from ev_qa_framework.pipeline import MODEL_STEP, SCALER_STEP, build_pipeline
from ev_qa_framework.telemetry import feature_specs, fitting_rows, training_record, with_statistics
from ev_qa_framework.threshold_floor import lowest_reachable_score, threshold_warning
from ev_qa_framework.trained_model import TrainedModel, reference_rows, this_environment, unsaved_info
from ev_qa_framework.trips import split_trips
from ev_qa_runtime.calibration_record import CalibrationRecord
from ev_qa_runtime.contract import CurrentSign, FeatureSpec, Profile, Thresholds
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.features import Telemetry, read_telemetry
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.model_version import ModelVersion
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import read_signals
from ev_qa_runtime.trust import PublicKeys, TrustPolicy
from ev_qa_runtime.verdict import Verdicts

if TYPE_CHECKING:
    from ev_qa_framework.signing import Expiry, KeyToSignWith

DEFAULT_FEATURES = ("voltage", "current", "temp")
DEFAULT_LIMITS = "li_ion"
DEFAULT_CALIBRATION_FOLDS = 5
FLOOR_BOXES = 100
"""So many boxes are searched for the lowest score that a forest can give: some tenths of a second for 200 trees."""
_FOREST_PARAMETERS = ("contamination", "n_estimators", "max_samples", "random_state")


class EVBatteryAnalyzer(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Anomaly detection on battery telemetry: StandardScaler and IsolationForest, fitted once, saved, reused.

    Parameters follow scikit-learn's conventions: stored as given, checked when fitting.

    contamination
        Share of anomalies in the training data, in (0, 0.5], or ``"auto"``; sets the offset of ``predict``.
    n_estimators, max_samples, random_state
        As in ``sklearn.ensemble.IsolationForest``.
    critical_threshold, warning_threshold
        Severity limits on ``score_samples``, whose range is [-1, 0); lower is more anomalous.
    features
        Names of the columns the model reads, in order; each also answers to its aliases. Or ``"physics"``: a model over
        time, which judges what voltage, current, temp and soc do together (``docs/physics.md``).
    current_sign
        Which direction of ``current`` is positive; recorded in the model's contract. Methods that score take another
        one for telemetry that counts it otherwise, and convert.
    limits
        Of a model over time: a profile's name, the path of a ``.toml`` file, ``Limits``, or None for no limits.
    calibration_folds
        Of a model over time: :meth:`fit` calibrates the thresholds on its own trips, each scored by one of so many
        models that were fitted on the others; 0 for none. With fewer than eight trips nothing is calibrated.
    """

    # Set by fitting, loading and scoring only, as scikit-learn's conventions ask: __init__ stores parameters.
    _trained: TrainedModel | None = None
    _anomalies: pd.DataFrame | None = None

    def __init__(  # noqa: PLR0913 - scikit-learn wants every parameter here, by name
        self,
        contamination: float | str = 0.1,
        n_estimators: int = 200,
        random_state: Any = 42,
        critical_threshold: float = -0.8,
        warning_threshold: float = -0.5,
        *,
        max_samples: int | float | str = "auto",
        features: tuple[str, ...] | str = DEFAULT_FEATURES,
        current_sign: CurrentSign = "unspecified",
        limits: str | os.PathLike[str] | Limits | None = DEFAULT_LIMITS,
        calibration_folds: int = DEFAULT_CALIBRATION_FOLDS,
    ) -> None:
        self.contamination = contamination
        self.n_estimators = n_estimators
        self.random_state = random_state
        self.critical_threshold = critical_threshold
        self.warning_threshold = warning_threshold
        self.max_samples = max_samples
        self.features = features
        self.current_sign = current_sign
        self.limits = limits
        self.calibration_folds = calibration_folds

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], profile: str | None = None) -> Self:
        """An analyzer with the parameters of a TOML or JSON file (``docs/configuration.md``).

        Raises ``FileNotFoundError``, or ``ValueError`` naming the key that is unknown or out of range.
        """
        analyzer = cls(**read_parameters(os.fspath(path), profile))
        try:
            analyzer._check_parameters()
        except ConfigurationError as error:  # a value that is fine alone but not beside a default
            raise ConfigurationError(f"{os.fspath(path)}: {error}") from None
        return analyzer

    @property
    def pipeline(self) -> Pipeline | None:
        """The scikit-learn Pipeline: unfitted before fitting, None in a model that was loaded with ONNX."""
        trained = self._trained
        if trained is None:
            return build_pipeline(**{name: getattr(self, name) for name in _FOREST_PARAMETERS})
        return trained.backend.pipeline if isinstance(trained.backend, SklearnBackend) else None

    @property
    def model(self) -> Any:
        """The Pipeline's IsolationForest; see :attr:`pipeline`."""
        pipeline = self.pipeline
        return None if pipeline is None else pipeline.named_steps[MODEL_STEP]

    @property
    def scaler(self) -> Any:
        """The Pipeline's StandardScaler; see :attr:`pipeline`."""
        pipeline = self.pipeline
        return None if pipeline is None else pipeline.named_steps[SCALER_STEP]

    @property
    def anomalies(self) -> pd.DataFrame:
        """The flagged rows of the last ``analyze_telemetry``: index and columns as given, plus ``anomaly_score``."""
        return pd.DataFrame() if self._anomalies is None else self._anomalies

    def __sklearn_is_fitted__(self) -> bool:
        return self._trained is not None

    @property
    def n_features_in_(self) -> int:
        """Number of features the model was fitted with."""
        return len(self._fitted().features)

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Fit scaler and forest on the valid rows of ``X`` (named columns, or an array [N, F]); ``y`` is ignored.

        Raises ``ValueError`` naming the parameter, the column, or the number of rows that will not do.
        """
        self._check_parameters()
        if self.features == PHYSICS:
            return self._fit_over_time(X)
        specs = feature_specs(tuple(self.features))
        return self._fit_forest(X, read_telemetry(X, specs), specs, self.current_sign)

    def _fit_over_time(self, X: Any) -> Self:
        prepared = prepare(X, self.current_sign)
        monitoring = fit_monitoring(prepared, self._limits())
        telemetry = read_over_time(prepared, monitoring)
        forest = fitting_rows(read_for_forest(prepared, monitoring))
        self._fit_forest(X, telemetry, monitoring.recipe.features, prepared.table.given_sign, forest)
        trained = self._fitted()
        monitoring = with_drift_baseline(monitoring, telemetry, trained.backend.score_samples(telemetry))
        try:
            if self.calibration_folds and prepared.trip_count >= FEWEST_TRIPS:
                folds, limits = int(self.calibration_folds), monitoring.limits
                trips = cross_judged(prepared, self._forest_scores, folds, limits)
                without_range, monitoring = monitoring, with_healthy_range(monitoring, trips)
                record = self._set_thresholds(calibration(without_range, trips))
                monitoring = replace(monitoring, calibration=record)
            elif self.calibration_folds:
                warnings.warn(_too_few(prepared.trip_count), stacklevel=3)
        except ConfigurationError as error:
            warnings.warn(f"{_NOT_CALIBRATED} ({error})", stacklevel=3)
        self._trained = replace(trained, monitoring=with_sampling(monitoring, prepared))
        if monitoring.calibration is not None:
            self._warn_of_thresholds(stacklevel=4)
        return self

    def _forest_scores(self, telemetry: Telemetry) -> Scorer:
        """The scores of a forest that is fitted on ``telemetry``."""
        return SklearnBackend(self._fitted_pipeline(fitting_rows(telemetry), telemetry.names)).score_samples

    def _fitted_pipeline(self, rows: FloatArray, names: tuple[str, ...]) -> Pipeline:
        if isinstance(self.max_samples, float) and self.max_samples * len(rows) < 1:
            raise ConfigurationError(f"max_samples must reach one row, not {self.max_samples!r} of {len(rows)}")
        pipeline = build_pipeline(**{name: getattr(self, name) for name in _FOREST_PARAMETERS})
        fit_pipeline(pipeline, pd.DataFrame(rows, columns=list(names)))
        return pipeline

    def _fit_forest(
        self,
        X: Any,
        telemetry: Telemetry,
        specs: tuple[FeatureSpec, ...],
        sign: CurrentSign,
        forest_rows: FloatArray | None = None,
    ) -> Self:
        rows = fitting_rows(telemetry)
        pipeline = self._fitted_pipeline(rows if forest_rows is None else forest_rows, telemetry.names)
        self._trained = TrainedModel(
            backend=SklearnBackend(pipeline),
            features=with_statistics(specs, rows),
            current_sign=sign,
            training=training_record(X, telemetry, rows),
            environment=this_environment(),
            reference_rows=reference_rows(rows),
        )
        return self

    def calibrate(
        self,
        healthy: Any,
        *,
        warning_rate: float = WARNING_RATE,
        critical_rate: float | None = None,
        current_sign: CurrentSign | None = None,
    ) -> CalibrationRecord:
        """Set both thresholds from healthy trips that the model was not fitted on (``docs/calibration.md``).

        ``healthy``: telemetry with a time for every row, of several trips. At most ``warning_rate`` of a new trip's
        rows are expected to be WARNING or worse, at most ``critical_rate`` CRITICAL (None: 0.0005, or the lowest rate
        that the data support). Sets ``warning_threshold`` and ``critical_threshold``, and gives the record that a model
        over time carries in its sidecar.

        Raises ``ConfigurationError`` for rates that the data do not support, ``TelemetryError`` for data that cannot be
        read, ``NotFittedError`` before fitting.
        """
        trained = self._fitted()
        if trained.monitoring is not None:
            prepared = prepare_for(healthy, trained.monitoring, trained.current_sign, current_sign)
            record = self._calibrate(prepared, warning_rate, critical_rate)
            self._warn_of_thresholds()
            return record
        times = read_signals(healthy, (), "discharge_positive")
        trips = split_trips(times.time, times.vehicle, trip_column(healthy, len(times)))
        telemetry = trained.read(healthy, current_sign)
        scores = trained.backend.score_samples(telemetry)
        record = self._set_thresholds(
            calibrate_scores(
                scores,
                trips,
                times.time,
                warning_rate=warning_rate,
                critical_rate=critical_rate,
                valid=telemetry.valid,
            )
        )
        self._warn_of_thresholds()
        return record

    def _calibrate(self, prepared: Prepared, warning_rate: float, critical_rate: float | None) -> CalibrationRecord:
        trained = self._fitted()
        assert trained.monitoring is not None  # noqa: S101 - asked before
        scores_of = trained.backend.score_samples
        trips = judged(trained.monitoring, prepared, scores_of)
        record = calibration(trained.monitoring, trips, warning_rate, critical_rate)
        monitoring = replace(with_healthy_range(trained.monitoring, trips), calibration=record)
        self._trained = replace(trained, monitoring=monitoring)
        return self._set_thresholds(record)

    def _set_thresholds(self, record: CalibrationRecord) -> CalibrationRecord:
        self.warning_threshold = record.warning.threshold
        self.critical_threshold = record.critical.threshold
        return record

    def threshold_remark(self) -> str | None:
        """What to say of thresholds that no reading, or none that was found, can score below; None where all is well.

        Looked for in the trees, for at most a second or so; None too for a model loaded with ONNX, which has none here.
        """
        pipeline = None if self._trained is None else self.pipeline
        if pipeline is None:
            return None
        from ev_qa_framework.export import folded_forest  # noqa: PLC0415 - onnx, which fitting alone does without

        floor = lowest_reachable_score(folded_forest(pipeline), FLOOR_BOXES)
        return threshold_warning(self._thresholds(), floor)

    def _warn_of_thresholds(self, stacklevel: int = 3) -> None:
        if (remark := self.threshold_remark()) is not None:
            warnings.warn(remark, stacklevel=stacklevel)

    def _limits(self) -> Limits | None:
        if self.limits is None or isinstance(self.limits, Limits):
            return self.limits
        return read_limits(os.fspath(self.limits))

    def read(self, X: Any, *, current_sign: CurrentSign | None = None) -> Telemetry:
        """What the forest takes, from telemetry: readings, or the features of a model over time."""
        return self._fitted().read(X, current_sign)

    def score_samples(self, X: Any, *, current_sign: CurrentSign | None = None) -> FloatArray:
        """scikit-learn's ``score_samples``, float64 [N] in [-1, 0), lower is more anomalous.

        Rows with missing readings are routed as the forest learned; ``predict`` and ``analyze_telemetry`` judge them.
        """
        trained = self._fitted()
        telemetry = trained.read(X, current_sign)
        scores = trained.backend.score_samples(telemetry)
        return scores if trained.monitoring is None else np.where(telemetry.valid, scores, np.nan)

    def decision_function(self, X: Any, *, current_sign: CurrentSign | None = None) -> FloatArray:
        """``score_samples − offset_``, float64 [N]: negative for anomalies."""
        return self.score_samples(X, current_sign=current_sign) - self._fitted().backend.offset

    def predict(self, X: Any, *, current_sign: CurrentSign | None = None) -> IntArray:
        """int64 [N]: 1 normal, −1 anomalous; a row with a missing or non-finite reading is never normal, so −1."""
        return self.verdicts(X, current_sign=current_sign).label

    def verdicts(self, X: Any, *, current_sign: CurrentSign | None = None) -> Verdicts:
        """Score and judge every row. ``current_sign``: how ``X`` counts the current; None: as the model does.

        Raises ``TelemetryError`` for telemetry that cannot be read, ``ConfigurationError`` for a sign that the model
        cannot convert from.
        """
        return self._fitted().verdicts(X, self._thresholds(), current_sign)

    def analyze_telemetry(self, df_telemetry: Any, *, current_sign: CurrentSign | None = None) -> dict[str, Any]:
        """Judge a batch; the first call of an untrained analyzer fits on it, later calls only score.

        Returns plain JSON types: ``total_samples``, ``anomalies_detected``, ``anomaly_percentage`` (0–100, of all
        samples), ``severity`` (``CRITICAL``/``WARNING``/``INFO``), ``invalid_samples`` and more, see
        ``docs/model_persistence.md``. ``current_sign`` as for :meth:`verdicts`. Raises ``ValueError`` as :meth:`fit`
        does.
        """
        if self._trained is None:
            if current_sign not in (None, self.current_sign):
                raise ConfigurationError(
                    "a model is fitted with its own current_sign: give it when making the analyzer"
                )
            self.fit(df_telemetry)
        verdicts = self.verdicts(df_telemetry, current_sign=current_sign)
        self._anomalies = _flagged(df_telemetry, verdicts)
        return verdicts.summary() | self._fitted().training.summary()

    def save_model(
        self,
        filepath: str | os.PathLike[str],
        metadata: Mapping[str, Any] | None = None,
        *,
        compress: Any = 3,
        overwrite: bool = True,
        profile: Profile | None = None,
        sign_with: KeyToSignWith | None = None,
        signature_expires: Expiry = None,
    ) -> None:
        """Write ``filepath.joblib``, ``filepath.onnx`` and ``filepath.json``, together or not at all.

        A ``.joblib``, ``.onnx`` or ``.json`` ending is taken as given, anything else is part of the name. Folders
        are created. ``metadata`` is kept untouched; ``compress`` is joblib's, 0–9; ``overwrite=False`` refuses
        existing files; ``profile="compat"`` writes an ONNX file for gateways with onnxruntime 1.15 to 1.20.
        ``sign_with`` is a private key or the path of one without passphrase: the model is signed, for ever or until
        ``signature_expires`` (a date, or a time with its zone).
        Raises ``ValueError`` before fitting, for metadata JSON cannot hold and for a key that is none,
        ``FileExistsError``, ``OSError`` with the path.
        """
        if self._trained is None:
            raise ValueError("Model not trained: call analyze_telemetry() or fit() before save_model()")
        seal, signed_by = _sealing(sign_with, signature_expires)
        contract = persistence.save(
            self._trained,
            filepath,
            thresholds=self._thresholds(),
            parameters={name: getattr(self, name) for name in _FOREST_PARAMETERS},
            metadata=metadata,
            profile=profile,
            compress=compress,
            overwrite=overwrite,
            seal=seal,
        )
        self._trained = replace(self._trained, contract=contract, signed_by=signed_by)

    @classmethod
    def load_model(
        cls,
        filepath: str | os.PathLike[str],
        *,
        backend: BackendChoice = "auto",
        public_keys: PublicKeys | None = None,
        require_signature: bool | None = None,
        minimum_version: str | ModelVersion | None = None,
    ) -> Self:
        """A new instance of this class with the model at ``filepath``, with or without suffix.

        ``backend="auto"`` takes scikit-learn where the installed version is the one that trained the model, else
        ONNX; the results are the same. ``public_keys``, ``require_signature`` and ``minimum_version`` say which
        models are trusted, as for ``ev_qa_runtime.load_model``. Raises ``FileNotFoundError`` and, for a corrupted,
        truncated, foreign or untrusted file, ``ValueError``; signatures and digests are checked before anything is
        unpickled.
        """
        policy = TrustPolicy.of(public_keys, require_signature, minimum_version)
        trained = persistence.load(filepath, backend, policy)
        contract = trained.contract
        assert contract is not None  # noqa: S101 - loading always brings its sidecar
        known = {name: value for name, value in contract.parameters.items() if name in _FOREST_PARAMETERS}
        analyzer = cls(
            **known,
            critical_threshold=contract.thresholds.critical,
            warning_threshold=contract.thresholds.warning,
            features=contract.feature_names if contract.monitoring is None else PHYSICS,
            current_sign=contract.current_sign,
            limits=DEFAULT_LIMITS if contract.monitoring is None else contract.monitoring.limits,
        )
        analyzer._trained = trained
        return analyzer

    def get_model_info(self) -> dict[str, Any]:
        """Parameters, and once trained also version, creation time, rows trained on, features, library versions."""
        info = {
            "contamination": self.contamination,
            "n_estimators": self.n_estimators,
            "critical_threshold": self.critical_threshold,
            "warning_threshold": self.warning_threshold,
            "is_fitted": self._trained is not None,
            "backend": None,
        }
        trained = self._trained
        if trained is None:
            return info
        contract = trained.contract
        details = contract.info() | {"signed_by": list(trained.signed_by)} if contract else unsaved_info(trained)
        return details | info | {"backend": trained.backend.name}

    def _check_parameters(self) -> None:
        check_parameters({name: getattr(self, name) for name in PARAMETERS})

    def _fitted(self) -> TrainedModel:
        if self._trained is None:
            raise NotFittedError(f"this {type(self).__name__} is not trained: call fit() or analyze_telemetry() first")
        return self._trained

    def _thresholds(self) -> Thresholds:
        given = {name: getattr(self, name) for name in ("critical_threshold", "warning_threshold")}
        check_parameters(given)
        return Thresholds(float(self.critical_threshold), float(self.warning_threshold))


_NOT_CALIBRATED = "the thresholds are not calibrated: call calibrate() with healthy trips that were not fitted on"


def _too_few(trips: int) -> str:
    found = "there is 1 trip" if trips == 1 else f"there are {trips} trips"
    return f"{_NOT_CALIBRATED}; {found}, {FEWEST_TRIPS} are needed, and without them there is no healthy range"


def _flagged(data: Any, verdicts: Verdicts) -> pd.DataFrame:
    """The anomalous rows as they were given, with their score."""
    names = list(verdicts.telemetry.names)
    frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(verdicts.telemetry.values, columns=names)
    flagged = frame[verdicts.anomalous].copy()
    flagged["anomaly_score"] = verdicts.score_samples[verdicts.anomalous]
    return flagged


def _sealing(sign_with: KeyToSignWith | None, expires: Expiry) -> tuple[Callable[[bytes], bytes], tuple[str, ...]]:
    """What signs the sidecar's bytes, and the key's id; nothing where no key is given."""
    if sign_with is not None:
        from ev_qa_framework.signing import sealing  # noqa: PLC0415 - cryptography is imported with a key only

        return sealing(sign_with, expires)
    if expires is not None:
        raise ConfigurationError("signature_expires needs sign_with: without a key nothing is signed")
    return bytes, ()


def __getattr__(name: str) -> Any:
    """``AnomalyDetector`` is found here too, where it was before it had a module of its own."""
    if name != "AnomalyDetector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("ev_qa_framework.anomaly_detector").AnomalyDetector
