"""``ModelService``: a model that is loaded on first use, once, and shared by everyone in the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ev_qa_runtime.detector import Detector, load_model

if TYPE_CHECKING:
    from ev_qa_runtime.model_version import ModelVersion
    from ev_qa_runtime.trust import PublicKeys


class Analyzer(Protocol):
    """What a service needs of a model."""

    def analyze_telemetry(self, data: Any, /) -> dict[str, Any]:
        """Judge a batch."""
        ...  # a protocol has no body


Model = TypeVar("Model", bound=Analyzer)


class LazyModel(Generic[Model]):
    """Loads ``path`` with ``loader`` at the first use, exactly once however many threads ask.

    A failure is raised to the caller and tried again at the next use.
    """

    def __init__(self, path: str | os.PathLike[str], loader: Callable[[str | os.PathLike[str]], Model]) -> None:
        self.path = path
        self._loader = loader
        self._lock = threading.Lock()
        self._model: Model | None = None

    @property
    def loaded(self) -> bool:
        """Whether the model has been loaded yet."""
        return self._model is not None

    @property
    def model(self) -> Model:
        """The model, loaded now if it was not yet."""
        if self._model is None:
            with self._lock:
                if self._model is None:
                    self._model = self._loader(self.path)
        return self._model

    def predict(self, data: Any) -> dict[str, Any]:
        """``analyze_telemetry`` of the shared model."""
        return self.model.analyze_telemetry(data)


class ModelService(LazyModel[Detector]):
    """The runtime's service: ``ModelService("models/baseline_v2.0").predict(batch)``.

    The keywords are those of :func:`~ev_qa_runtime.detector.load_model`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        public_keys: PublicKeys | None = None,
        require_signature: bool | None = None,
        minimum_version: str | ModelVersion | None = None,
    ) -> None:
        loader = partial(
            load_model,
            public_keys=public_keys,
            require_signature=require_signature,
            minimum_version=minimum_version,
        )
        super().__init__(path, loader)
