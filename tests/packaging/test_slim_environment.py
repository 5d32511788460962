"""The environment `make` builds for the runtime holds its wheel, what that needs, and nothing of training."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SLIM = ROOT / ".venv-runtime"
TEST_TOOLS = ("pytest", "hypothesis")
INSTALLERS = {"pip", "setuptools"}
FORBIDDEN = ["sklearn", "joblib", "onnx", "skl2onnx", "pandas", "scipy", "pyarrow", "click", "rich", "ev_qa_framework"]

DESCRIBE = """
import importlib.metadata, importlib.util, json, sys
import ev_qa_runtime
runtime = importlib.metadata.distribution("ev-qa-runtime")
print(json.dumps({
    "requires": {item.metadata["Name"]: item.requires or [] for item in importlib.metadata.distributions()},
    "importable": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    "file": ev_qa_runtime.__file__,
    "prefix": sys.prefix,
    "origin": json.loads(runtime.read_text("direct_url.json") or "{}"),
    "record": [str(path) for path in runtime.files],
    "path": sys.path,
}))
"""

pytestmark = pytest.mark.skipif(
    not (SLIM / ".wheel").exists(), reason="no .venv-runtime here: `make test` builds it, these tests describe it"
)


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the slim environment's own interpreter says of itself, started outside the source tree."""
    done = subprocess.run(
        [SLIM / "bin" / "python", "-I", "-c", DESCRIBE, *FORBIDDEN],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
    )
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def closure(requires: dict[str, list[str]], *names: str) -> set[str]:
    """The distributions that ``names`` need, themselves included, as far as they are installed."""
    by_name = {canonicalize_name(name): needs for name, needs in requires.items()}
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name not in by_name:
            continue
        found.add(name)
        needs = map(Requirement, by_name[name])
        waiting += [
            canonicalize_name(need.name) for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})
        ]
    return found


def test_only_the_runtime_its_needs_and_the_test_tools_are_installed(slim: dict[str, Any]) -> None:
    installed = {str(canonicalize_name(name)) for name in slim["requires"]}
    assert installed <= closure(slim["requires"], "ev-qa-runtime", *TEST_TOOLS) | INSTALLERS
    assert {"ev-qa-runtime", "numpy", "onnxruntime"} <= installed


def test_the_runtime_needs_numpy_and_onnxruntime_directly(slim: dict[str, Any]) -> None:
    needs = map(Requirement, slim["requires"]["ev-qa-runtime"])
    assert {need.name for need in needs if need.marker is None} == {"numpy", "onnxruntime"}


def test_nothing_of_the_training_side_can_be_imported(slim: dict[str, Any]) -> None:
    assert slim["importable"] == []


def test_the_runtime_comes_from_its_wheel(slim: dict[str, Any]) -> None:
    site_packages = Path(slim["file"]).parents[1]
    assert site_packages.name == "site-packages"
    assert site_packages.is_relative_to(slim["prefix"])
    assert "ev_qa_runtime/__init__.py" in slim["record"]
    assert not slim["origin"].get("dir_info", {}).get("editable", False)
    assert slim["origin"]["url"].endswith(".whl")
    sources = [str(ROOT / package / "src") for package in ("runtime", "training")]
    assert not set(sources) & set(slim["path"])
