"""A service loads its model at the first use, once, and shares it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from ev_qa_runtime import Detector, ModelNotFoundError, ModelService, load_model
from ev_qa_runtime.service import LazyModel


class Counting:
    """A loader that counts its calls, from any thread, and fails the first ``failures`` times."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self._failures = failures
        self._lock = threading.Lock()

    def __call__(self, path: str | os.PathLike[str]) -> Detector:
        with self._lock:
            self.calls += 1
            if self.calls <= self._failures:
                raise OSError(f"storage not mounted yet, attempt {self.calls}")
        return load_model(path)


def test_nothing_is_loaded_before_the_first_use(tmp_path: Path) -> None:
    service = ModelService(tmp_path / "not there yet")
    assert not service.loaded


def test_the_first_use_loads_and_later_ones_share(reference: Path, golden: np.ndarray) -> None:
    loader = Counting()
    service = LazyModel(reference, loader)
    assert (loader.calls, service.loaded) == (0, False)
    first = service.model
    assert service.loaded
    assert service.predict(golden) == service.predict(golden)
    assert service.model is first
    assert loader.calls == 1


def test_sixteen_threads_load_it_once(reference: Path, golden: np.ndarray) -> None:
    loader = Counting()
    service = LazyModel(reference, loader)
    start = threading.Barrier(16)
    models: list[Detector] = []

    def work() -> None:
        start.wait()
        models.append(service.model)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loader.calls == 1
    assert len(models) == 16
    assert all(model is models[0] for model in models)


def test_a_failure_is_raised_and_tried_again(reference: Path) -> None:
    loader = Counting(failures=2)
    service = LazyModel(reference, loader)
    for attempt in (1, 2):
        with pytest.raises(OSError, match=f"storage not mounted yet, attempt {attempt}"):
            _ = service.model
        assert not service.loaded
    assert service.model.contract.name == reference.name
    assert loader.calls == 3


def test_a_model_that_arrives_later_is_found(copied: Path) -> None:
    sidecar = Path(f"{copied}.json")
    away = sidecar.rename(sidecar.with_suffix(".away"))
    service = ModelService(copied)
    with pytest.raises(ModelNotFoundError, match="the sidecar is missing beside"):
        service.predict([[350.0, 1.0, 20.0]])
    away.rename(sidecar)
    assert service.predict([[350.0, 1.0, 20.0]])["total_samples"] == 1


def test_predict_gives_the_detectors_result(reference: Path, detector: Detector, demo_rows: np.ndarray) -> None:
    assert ModelService(reference).predict(demo_rows) == detector.analyze_telemetry(demo_rows)
