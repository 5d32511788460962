"""The engines that are compared: one small adapter each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.engines.base import Engine, UnavailableError
from benchmarks.engines.c_floor import CFloor
from benchmarks.engines.identity_floor import BoundIdentityFloor, IdentityFloor
from benchmarks.engines.ours import Ours
from benchmarks.engines.own_forests import Coniferest, Isotree
from benchmarks.engines.skl2onnx_converter import Skl2OnnxConverter
from benchmarks.engines.sklearn_joblib import SklearnJoblib
from benchmarks.engines.treelite_engines import Tl2cgenC, TreeliteGtil
from benchmarks.timing import progress
from benchmarks.workload import Workload

__all__ = ["Engine", "Engines", "prepared"]


@dataclass(frozen=True, slots=True)
class Engines:
    """Those that can run here, and why the others cannot, by name."""

    ready: Mapping[str, Engine]
    skipped: Mapping[str, str]
    setups: Mapping[str, str]

    @property
    def peers(self) -> list[str]:
        """Names of those that compute scores and are not ours."""
        return [name for name, engine in self.ready.items() if not engine.floor and name != Ours.name]


def prepared(workload: Workload) -> Engines:
    """Every engine, ready to score ``workload``; takes a minute or two."""
    ready: dict[str, Engine] = {}
    skipped: dict[str, str] = {}
    setups: dict[str, str] = {}
    engines: list[Engine] = [Ours(), SklearnJoblib(), Skl2OnnxConverter(), TreeliteGtil(), Tl2cgenC()]
    engines += [Isotree(), Coniferest(), IdentityFloor(), BoundIdentityFloor(), CFloor()]
    for engine in engines:
        progress(f"preparing {engine.name}")
        setups[engine.name] = engine.setup
        try:
            engine.prepare(workload)
            engine.score_samples(workload.rows[:1].copy())
        except UnavailableError as error:
            skipped[engine.name] = str(error)
        else:
            ready[engine.name] = engine
    progress("")
    return Engines(ready, skipped, setups)
