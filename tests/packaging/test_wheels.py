"""Both wheels, built offline from this tree: what they hold and what they say they need."""

from __future__ import annotations

import ast
import configparser
import email
import email.message
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = {"runtime": "ev_qa_runtime", "training": "ev_qa_framework"}
COMMANDS = {
    "runtime": ("ev-qa-runtime", "ev_qa_runtime.__main__:main"),
    "training": ("ev-qa", "ev_qa_framework.cli:main"),
}


@dataclass(frozen=True)
class Wheel:
    """A built wheel: its files without their ``.dist-info``, and what that says."""

    name: str
    files: set[str]
    metadata: email.message.Message
    entry_points: configparser.ConfigParser


def read_wheel(path: Path) -> Wheel:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        entry_points = configparser.ConfigParser(delimiters="=")
        entry_points.read_string(archive.read(f"{info}/entry_points.txt").decode())
        return Wheel(
            path.name,
            {name for name in names if not name.startswith(f"{info}/")},
            email.message_from_bytes(archive.read(f"{info}/METADATA")),
            entry_points,
        )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """Folder name → wheel."""
    target = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "-w", str(target)]
    done = subprocess.run(
        [*command, *(f"./{folder}" for folder in PACKAGES)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {folder: read_wheel(next(target.glob(f"{package}-*.whl"))) for folder, package in PACKAGES.items()}


def version_in_source(folder: str) -> str:
    tree = ast.parse((ROOT / folder / "src" / PACKAGES[folder] / "__init__.py").read_text(encoding="utf-8"))
    values = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id == "__version__" for target in node.targets)
    ]
    assert len(values) == 1
    return str(values[0])


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_wheel_holds_every_module_template_and_the_type_marker_and_nothing_else(
    wheels: dict[str, Wheel], folder: str
) -> None:
    source = ROOT / folder / "src"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    templates = {path.relative_to(source).as_posix() for path in source.rglob("templates/*.html")}
    assert len(modules) > 10
    assert wheels[folder].files == modules | templates | {f"{PACKAGES[folder]}/py.typed"}


def test_the_training_wheel_brings_the_template_of_the_report(wheels: dict[str, Wheel]) -> None:
    assert "ev_qa_framework/comparison/templates/comparison.html" in wheels["training"].files


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_wheel_runs_on_any_platform(wheels: dict[str, Wheel], folder: str) -> None:
    assert wheels[folder].name == f"{PACKAGES[folder]}-{version_in_source(folder)}-py3-none-any.whl"


@pytest.mark.parametrize("folder", PACKAGES)
def test_the_metadata_tell_version_python_and_licence(wheels: dict[str, Wheel], folder: str) -> None:
    metadata = wheels[folder].metadata
    assert metadata["Version"] == version_in_source(folder)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert str(metadata.get_payload()).strip()


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_wheel_brings_its_command(wheels: dict[str, Wheel], folder: str) -> None:
    name, target = COMMANDS[folder]
    assert dict(wheels[folder].entry_points["console_scripts"]) == {name: target}


def test_the_runtime_depends_on_numpy_and_onnxruntime_alone(wheels: dict[str, Wheel]) -> None:
    requirements = [Requirement(text) for text in wheels["runtime"].metadata.get_all("Requires-Dist", [])]
    always = [requirement for requirement in requirements if requirement.marker is None]
    assert sorted(requirement.name for requirement in always) == ["numpy", "onnxruntime"]
    assert not any(requirement.extras for requirement in requirements)


def test_the_runtimes_one_extra_verifies_signatures(wheels: dict[str, Wheel]) -> None:
    requirements = map(Requirement, wheels["runtime"].metadata.get_all("Requires-Dist", []))
    extra = {requirement.name: str(requirement.marker) for requirement in requirements if requirement.marker}
    assert extra == {"cryptography": 'extra == "signing"'}


def test_the_training_side_depends_on_the_runtime_of_its_version(wheels: dict[str, Wheel]) -> None:
    requirements = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, wheels["training"].metadata.get_all("Requires-Dist", []))
    }
    assert requirements["ev-qa-runtime"].contains(version_in_source("runtime"))
    assert {"scikit-learn", "onnx", "skl2onnx", "joblib", "pandas"} <= set(requirements)
