"""The runtime needs numpy and onnxruntime, brings nothing else into the process, and leaves logging alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ev_qa_runtime

FORBIDDEN = ["sklearn", "joblib", "onnx", "skl2onnx", "pandas", "scipy", "pyarrow", "click", "rich", "ev_qa_framework"]

PROGRAM = """
import importlib, json, logging, pkgutil, sys, warnings
before = list(logging.getLogger().handlers), logging.getLogger().level, len(warnings.filters)
import ev_qa_runtime
modules = [module.name for module in pkgutil.walk_packages(ev_qa_runtime.__path__, "ev_qa_runtime.")]
for name in modules:
    importlib.import_module(name)
detector = ev_qa_runtime.load_model(sys.argv[1])
verdict = detector.score(voltage=352.4, current=41.0, temp=24.5)
result = detector.analyze_telemetry({"voltage": [352.4, None], "current": [41.0, 1.0], "temp": [24.5, 1.0]})
info = detector.info
after = list(logging.getLogger().handlers), logging.getLogger().level, len(warnings.filters)
print(json.dumps({
    "modules": modules,
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    "valid": verdict.valid,
    "rows": result["total_samples"],
    "logging_untouched": before[:2] == after[:2],
    "own_handlers": sum(len(logging.getLogger(name).handlers) for name in modules),
}))
"""


@pytest.fixture(scope="module")
def process(reference: Path) -> dict[str, object]:
    """What a fresh process holds after importing every module and scoring."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(reference)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_every_module_is_imported_and_scoring_works(process: dict[str, object]) -> None:
    root = Path(ev_qa_runtime.__file__).parent
    there = {path.relative_to(root).with_suffix("").as_posix().replace("/", ".") for path in root.rglob("*.py")}
    there = {name.removesuffix(".__init__") for name in there} - {"__init__"}
    assert {str(name).partition(".")[2] for name in process["modules"]} == there  # type: ignore[attr-defined]  # a list
    assert (process["valid"], process["rows"]) == (True, 2)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_the_training_stack_is_not_loaded(process: dict[str, object], package: str) -> None:
    assert package not in process["loaded"]  # type: ignore[operator]  # a list


def test_numpy_and_onnxruntime_are_what_it_stands_on(process: dict[str, object]) -> None:
    assert {"numpy", "onnxruntime"} <= set(process["loaded"])  # type: ignore[call-overload]  # a list


def test_logging_is_left_alone(process: dict[str, object]) -> None:
    assert process["logging_untouched"]
    assert process["own_handlers"] == 0
