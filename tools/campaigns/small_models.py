"""Small real models for campaigns: trained on the demo's telemetry, each with another seed, so with other scores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ev_qa_framework.commit import commit
from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import SUFFIXES, ArtifactPaths

if TYPE_CHECKING:
    from ev_qa_framework import EVBatteryAnalyzer

ROOT = Path(__file__).parents[2]
TELEMETRY = ROOT / "demo" / "telemetry" / "healthy_drive_01.csv"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The bytes of a model's files, by suffix without dot."""

    files: Mapping[str, bytes]

    @classmethod
    def of(cls, path: Path) -> ModelFiles:
        """The model that lies at ``path``."""
        paths = ArtifactPaths.of(path)
        there = {suffix[1:]: paths.file(suffix[1:]) for suffix in SUFFIXES}
        return cls({suffix: file.read_bytes() for suffix, file in there.items() if file.exists()})

    @property
    def sidecar(self) -> bytes:
        """The sidecar's bytes; they tell models apart."""
        return self.files["json"]

    @property
    def payloads(self) -> dict[str, bytes]:
        """Everything but the sidecar."""
        return {suffix: data for suffix, data in self.files.items() if suffix != "json"}

    def named(self, name: str) -> dict[str, bytes]:
        """File name → bytes, as they lie in a folder."""
        return {f"{name}.{suffix}": data for suffix, data in self.files.items()}

    def without_joblib(self) -> ModelFiles:
        """The same model as somebody without scikit-learn saves it: ONNX and sidecar."""
        contract = sidecar.decode(self.sidecar)
        contract = replace(contract, files={"onnx": contract.files["onnx"]})
        return ModelFiles({"onnx": self.files["onnx"], "json": sidecar.encode(contract)})

    def commit(self, paths: ArtifactPaths) -> None:
        """Save it at ``paths`` by the protocol under test."""
        commit(paths, self.payloads, self.sidecar, overwrite=True)


def train(folder: Path, count: int, trees: int = 5, metadata: Mapping[str, str] | None = None) -> list[Path]:
    """Train ``count`` different models and save them as ``m0``, ``m1`` … in ``folder``; their paths.

    In a process of its own: this one stays small, so that forking it stays cheap.
    """
    paths = [folder / f"m{number}" for number in range(count)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.starmap(_train_one, [(path, seed, trees, dict(metadata or {})) for seed, path in enumerate(paths)])
    return paths


def _train_one(path: Path, seed: int, trees: int, metadata: dict[str, str]) -> None:
    fitted(seed, trees).save_model(path, metadata=metadata)


def fitted(seed: int, trees: int = 5) -> EVBatteryAnalyzer:
    """An analyzer fitted on a demo drive, in this process."""
    import pandas as pd  # noqa: PLC0415 - only where something is trained

    from ev_qa_framework import EVBatteryAnalyzer  # noqa: PLC0415 - the same

    return EVBatteryAnalyzer(n_estimators=trees, max_samples=64, random_state=seed).fit(pd.read_csv(TELEMETRY))
