"""The façade: ``load_model`` and ``Detector``."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_qa_runtime.artifact import Artifact, read_artifact
from ev_qa_runtime.contract import CurrentSign, ModelContract
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import FLOAT32_MAX, match_names, read_telemetry
from ev_qa_runtime.model_input import are_features, read_for
from ev_qa_runtime.session import ScoringSession, installed_onnxruntime
from ev_qa_runtime.severity import (
    FloatArray,
    IntArray,
    Severity,
    labels,
    score_from_path_length,
    scores_from_path_length,
    severity_codes,
)
from ev_qa_runtime.verdict import Verdict, Verdicts, invalid_verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ev_qa_runtime.drift import DriftMonitor
    from ev_qa_runtime.explanation import Explainer, Explanations
    from ev_qa_runtime.features import Telemetry
    from ev_qa_runtime.fleet_monitor import FleetMonitor
    from ev_qa_runtime.model_version import ModelVersion
    from ev_qa_runtime.monitoring import Monitoring
    from ev_qa_runtime.trust import PublicKeys, TrustPolicy
    from ev_qa_runtime.vehicle_stream import VehicleStream, VehicleStreams

_FLOAT64 = np.dtype(np.float64)


def load_model(
    path: str | os.PathLike[str],
    *,
    public_keys: PublicKeys | None = None,
    require_signature: bool | None = None,
    minimum_version: str | ModelVersion | None = None,
) -> Detector:
    """Load a model for scoring, once, at start-up.

    ``path`` may carry one of the suffixes or none. Verifies the digests, checks schema and onnxruntime version, and
    scores the golden rows. Needs ``NAME.json`` and ``NAME.onnx``; the ``.joblib`` is never opened.

    With ``public_keys`` (paths of PEM files or of folders of ``*.pub`` files, PEM bytes, or keys) the sidecar must be
    signed by one of them, unless ``require_signature`` is False. ``minimum_version`` refuses older models. What is
    None comes from the environment: ``EV_QA_PUBLIC_KEYS``, ``EV_QA_REQUIRE_SIGNATURE``, ``EV_QA_MINIMUM_VERSION``.

    Raises ``FileNotFoundError`` where no model lies there, ``ArtifactError`` (a ``ValueError``) where it cannot be
    trusted or used, and ``ConfigurationError`` for a key that is none.
    """
    policy: TrustPolicy | None = None  # the environment's
    if public_keys is not None or require_signature is not None or minimum_version is not None:
        from ev_qa_runtime.trust import TrustPolicy  # noqa: PLC0415 - only where something is demanded

        policy = TrustPolicy.of(public_keys, require_signature, minimum_version)
    return Detector(read_artifact(path, policy=policy))


class Detector:
    """Scores telemetry with one loaded model. Thread-safe; share one instance.

    ``current_sign``, wherever it is taken, says how that telemetry counts the current, ``"discharge_positive"`` or
    ``"charge_positive"``; it is converted to the model's. None: it is the model's already.
    """

    def __init__(self, artifact: Artifact) -> None:
        """Build from verified bytes and score the golden rows; :func:`load_model` is the usual way in."""
        self.contract: ModelContract = artifact.contract
        self.sidecar_sha256 = artifact.sidecar_sha256
        self._signed_by = artifact.signed_by
        self._onnx_model = artifact.payloads["onnx"]
        self._explainer: Explainer | None = None
        self._streams: VehicleStreams | None = None
        self._session = ScoringSession(self._onnx_model, self.contract)
        self._session.self_test(self.contract)
        self._names = self.contract.feature_names
        self._one_row = (1, len(self._names))
        self._path_length_of_one = self._session.path_length_of_one
        self._columns_of = lru_cache(maxsize=64)(self._match)
        self._rule = self.contract.scoring

    def __repr__(self) -> str:
        return f"Detector({self.contract.name!r}, version={str(self.contract.version)!r})"

    @property
    def info(self) -> dict[str, Any]:
        """The model in plain types, the keys of ``get_model_info()``; a fresh dictionary."""
        here = {"signed_by": list(self._signed_by), "backend": "onnx", "onnxruntime": installed_onnxruntime()}
        return self.contract.info() | here

    def path_length(self, data: Any, threads: int = 1, *, current_sign: CurrentSign | None = None) -> FloatArray:
        """Path lengths summed over the trees, float64 [N]: the same bits on every machine."""
        as_is = current_sign is None and self._takes_as_is(data)
        values = data if as_is else self.read(data, current_sign=current_sign).values
        return self._session.path_length(values, threads)

    def read(self, data: Any, *, current_sign: CurrentSign | None = None) -> Telemetry:
        """What the forest takes, as :func:`~ev_qa_runtime.model_input.read_for` reads it."""
        return read_for(self.contract, data, current_sign)

    def _takes_as_is(self, data: Any) -> bool:
        """Whether ``data`` is already the matrix that onnxruntime takes, so that nothing needs to be read."""
        return (
            type(data) is np.ndarray
            and data.dtype == np.float64
            and data.ndim == 2
            and data.shape[1] == len(self._names)
            and data.flags.c_contiguous
        )

    def score_samples(self, data: Any, threads: int = 1, *, current_sign: CurrentSign | None = None) -> FloatArray:
        """scikit-learn's ``score_samples``, float64 [N], lower is more anomalous.

        ``data``: float64 [N, F] in the contract's order (C-contiguous is not copied) or anything with named columns.
        Large batches are scored on ``threads`` threads; the bits stay the same. Missing readings are routed as the
        forest learned; use :meth:`predict` or :meth:`verdicts` to judge them. NaN where a model over time cannot judge.
        """
        if type(data) is np.ndarray and data.dtype is _FLOAT64 and data.shape == self._one_row and current_sign is None:
            summed = self._path_length_of_one(data)
            return np.array([score_from_path_length(summed, self._rule.denominator)])
        if self.contract.monitoring is not None and not are_features(data, len(self._names)):
            telemetry = self.read(data, current_sign=current_sign)
            scores = self.score_samples(telemetry.values, threads)
            return np.where(telemetry.valid, scores, np.nan)
        path_length = self.path_length(data, threads, current_sign=current_sign)
        return scores_from_path_length(path_length, self._rule.denominator)

    def decision_function(self, data: Any, *, current_sign: CurrentSign | None = None) -> FloatArray:
        """``score_samples − offset``, float64 [N]: negative for anomalies."""
        return self.score_samples(data, current_sign=current_sign) - self._rule.offset

    def predict(self, data: Any, *, current_sign: CurrentSign | None = None) -> IntArray:
        """int64 [N]: 1 normal, −1 anomalous; a row with a missing or non-finite reading is never normal, so −1."""
        return self.verdicts(data, current_sign=current_sign).label

    def verdicts(self, data: Any, threads: int = 1, *, current_sign: CurrentSign | None = None) -> Verdicts:
        """Score and judge every row; large batches on ``threads`` threads.

        A model over time takes a table with the time of every row, and gives events as well
        (:class:`~ev_qa_runtime.monitored_verdicts.MonitoredVerdicts`); each call begins anew. Use :meth:`monitor` for
        chunks that go on from each other.
        """
        if self.contract.monitoring is not None and not are_features(data, len(self._names)):
            return self.monitor(threads=threads, current_sign=current_sign).verdicts(data, last=True)
        return self._forest_verdicts(self.read(data, current_sign=current_sign), threads)

    def monitor(
        self, *, threads: int = 1, drift: bool = False, current_sign: CurrentSign | None = None
    ) -> FleetMonitor:
        """A monitor for chunks of telemetry that go on from each other; with ``drift`` it also counts what it judges.

        Raises ``TelemetryError`` for a model without time, with ``drift`` also for one without a drift baseline.
        """
        from ev_qa_runtime.fleet_monitor import FleetMonitor  # noqa: PLC0415 - for models over time only

        return FleetMonitor(
            self._over_time(),
            lambda telemetry: self._forest_verdicts(telemetry, threads),
            current_sign=self.contract.current_sign,
            given_sign=current_sign,
            drift=self.drift_monitor() if drift else None,
        )

    def drift_monitor(self, *, thin_s: float | None = None, half_life_rows: int | None = None) -> DriftMonitor:
        """Running histograms to compare with training, see :class:`~ev_qa_runtime.drift.DriftMonitor`.

        For streams: ``drift.update_one(stream.features, verdict.score)``. Raises ``TelemetryError`` for a model without
        histograms of its training data.
        """
        from ev_qa_runtime.drift import DriftMonitor  # noqa: PLC0415 - only when asked

        baseline = None if self.contract.monitoring is None else self.contract.monitoring.drift
        if baseline is None:
            raise TelemetryError(f"model {self.contract.name} has no drift baseline: it was saved without one")
        return DriftMonitor(baseline, thin_s=thin_s, half_life_rows=half_life_rows)

    def stream(
        self,
        vehicle_id: str | int = "",
        state: Mapping[str, Any] | None = None,
        *,
        current_sign: CurrentSign | None = None,
    ) -> VehicleStream:
        """The stream of one vehicle's readings: ``detector.stream("car 7").score(time=…, voltage=…, …)``.

        The same vehicle has the same stream every time, 7 the one of ``"7"``; the streams of the last 10,000 are kept.
        ``state`` is a stream's :meth:`~ev_qa_runtime.vehicle_stream.VehicleStream.state` to go on from. A
        ``current_sign`` holds until another one is given. Raises ``TelemetryError`` for a model without time and for a
        state that is none of this model's.
        """
        if self._streams is None:
            from ev_qa_runtime.vehicle_stream import VehicleStreams  # noqa: PLC0415 - for models over time only

            self._over_time()
            self._streams = VehicleStreams(self.contract, self._verdict)
        stream = self._streams.of(vehicle_id)
        if state is not None:
            stream.restore(state)
        if current_sign is not None:
            stream.take_sign(current_sign)
        return stream

    def explain(self, data: Any, *, current_sign: CurrentSign | None = None) -> Explanations:
        """How much every feature contributes to each row's path length, exactly; some milliseconds a row."""
        if self._explainer is None:
            from ev_qa_runtime.explanation import Explainer  # noqa: PLC0415 - only when asked

            self._explainer = Explainer(self._onnx_model, self.contract)
        return self._explainer.explain(self.read(data, current_sign=current_sign).values)

    def _over_time(self) -> Monitoring:
        if self.contract.monitoring is None:
            raise TelemetryError(f"model {self.contract.name} judges each reading alone: use score() or verdicts()")
        return self.contract.monitoring

    def _forest_verdicts(self, telemetry: Telemetry, threads: int) -> Verdicts:
        path_length = self._session.path_length(telemetry.values, threads)
        return Verdicts.of(
            telemetry,
            scores_from_path_length(path_length, self._rule.denominator),
            labels(path_length, self._rule),
            severity_codes(path_length, self._rule),
        )

    def analyze_telemetry(self, data: Any, *, current_sign: CurrentSign | None = None) -> dict[str, Any]:
        """The guide's result dictionary for a batch; the same as the training side gives."""
        return self.verdicts(data, current_sign=current_sign).summary() | self.contract.training.summary()

    def score(self, **readings: float | None) -> Verdict:
        """Judge one reading: ``detector.score(voltage=352.4, current=41.0, temp=24.5)``.

        Names are the contract's or their aliases, values in its units; further names are ignored; None and NaN mean
        missing and make the reading INVALID. Raises ``TelemetryError`` where a name is absent or a value is no number.
        """
        row = [readings[column] for column in self._columns_of(tuple(readings))]
        for reading in row:
            # Exactly float: None, text, arrays and other numbers are read as a batch is.
            if type(reading) is not float or not -FLOAT32_MAX <= reading <= FLOAT32_MAX:
                return self._score_uncommon(row)
        return self._verdict(row)  # type: ignore[arg-type]  # every reading was just seen to be a float

    def _match(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the given names holds each feature; what was given once is seldom given otherwise later."""
        if self.contract.monitoring is not None:
            raise TelemetryError(
                f"model {self.contract.name} judges readings over time: use stream(vehicle_id).score(time=…, …)"
            )
        if "current_sign" in given:  # further names are ignored, but this one asks for something
            raise TelemetryError("current_sign is no reading: turn the current, or use verdicts(…, current_sign=…)")
        columns = match_names(given, self.contract.features)
        return tuple(columns[name] for name in self._names)

    def _score_uncommon(self, row: list[Any]) -> Verdict:
        telemetry = read_telemetry(dict(zip(self._names, row, strict=True)), self.contract.features)
        if len(telemetry) != 1:
            raise TelemetryError(f"score() takes one reading, not {len(telemetry)}: use verdicts() for a batch")
        if not telemetry.valid[0]:
            return invalid_verdict(telemetry.reasons(0))
        return self._verdict(telemetry.values[0].tolist())

    def _verdict(self, row: list[float]) -> Verdict:
        rule = self._rule
        path_length = self._path_length_of_one(row)
        if path_length < rule.critical_cut:
            severity = Severity.CRITICAL
        else:
            severity = Severity.WARNING if path_length < rule.warning_cut else Severity.INFO
        label = -1 if path_length < rule.offset_cut else 1
        return Verdict(score_from_path_length(path_length, rule.denominator), label, severity, True)
