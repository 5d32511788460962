"""Writers and readers of one model name at the same time: ``test_commit`` runs this.

``python concurrent_saves.py TARGET TURNS MODEL…``: one forked writer a MODEL saves it to TARGET over and over while
two readers load TARGET with each package. Prints what they met as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ev_qa_runtime
from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.commit import commit
from ev_qa_runtime import sidecar
from ev_qa_runtime.artifact import ArtifactPaths


def forked(work: Callable[[], dict[str, Any]], report: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        outcome = work()
    except BaseException as error:  # noqa: BLE001 - reported
        outcome = {"errors": [repr(error)]}
    report.write_text(json.dumps(outcome))
    os._exit(0)


def write(model: str, target: str, turns: int) -> dict[str, Any]:
    payloads = {suffix: Path(f"{model}.{suffix}").read_bytes() for suffix in ("joblib", "onnx")}
    contract = sidecar.decode(Path(f"{model}.json").read_bytes())
    for turn in range(turns):  # no two saves are the same, as in life
        commit(
            ArtifactPaths.of(target),
            payloads,
            sidecar.encode(replace(contract, metadata={"turn": turn})),
            overwrite=True,
        )
    return {"errors": []}


def read(load: Callable[[str], Any], target: str, done: Path) -> dict[str, Any]:
    errors, seen, loads = [], set(), 0
    golden = np.array([[355.0, 10.0, 20.0], [300.0, -50.0, 60.0]])
    while not done.exists():
        loads += 1
        try:
            model = load(target)
            info = model.info if hasattr(model, "info") else model.get_model_info()
            seen.add((info["name"], *model.score_samples(golden).tolist()))
        except Exception as error:  # noqa: BLE001 - reported
            errors.append(repr(error))
    return {"errors": errors, "seen": sorted(seen), "loads": loads}


def main() -> None:
    target, turns, models = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    scratch = Path(f"{target}-reports")
    scratch.mkdir(parents=True)
    done = scratch / "done"
    write(models[0], target, 1)
    writers = [
        forked(lambda: write(model, target, turns), scratch / f"writer-{number}")  # noqa: B023 - runs at once
        for number, model in enumerate(models)
    ]
    loaders = {
        "runtime": ev_qa_runtime.load_model,
        "sklearn": lambda path: EVBatteryAnalyzer.load_model(path, backend="sklearn"),
        "onnx": lambda path: EVBatteryAnalyzer.load_model(path, backend="onnx"),
    }
    readers = [
        forked(lambda: read(load, target, done), scratch / f"reader-{name}")  # noqa: B023 - runs at once
        for name, load in loaders.items()
    ]
    for process in writers:
        os.waitpid(process, 0)
    done.touch()
    for process in readers:
        os.waitpid(process, 0)
    reports = {file.name: json.loads(file.read_text()) for file in scratch.iterdir() if file != done}
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
