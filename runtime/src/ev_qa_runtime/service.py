"""``ModelService``: a model that is loaded on first use, once, and shared by everyone in the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ev_qa_runtime.detector import Detector, load_model


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
    """The runtime's service: ``ModelService("models/baseline_v2.0").predict(batch)``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, load_model)
