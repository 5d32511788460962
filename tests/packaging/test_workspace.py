"""The workspace's own files agree with each other and say nothing of the machine they were written on."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECTS = ("runtime", "training")
CONFIGURATION = ("constraints.txt", "pyproject.toml", "runtime/pyproject.toml", "training/pyproject.toml", "Makefile")
BINARY = {".onnx", ".joblib", ".png", ".jpg", ".gif", ".parquet", ".gz", ".pdf", ".whl"}

# Written in parts, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:" + "|".join(["work", "root", "tmp/w", r"home/\w+", r"Users/\w+"]) + r")(?![\w-])"
)
ADDRESS = re.compile(r"\w+:" + "//" + r"|git\+|@\s*file:")
SOURCES = sorted(path for project in PROJECTS for path in (ROOT / project / "src").rglob("*.py"))


def toml(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is tracked is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return [file for file in files if file.is_file()]


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """Canonical name → version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def makefile_list(name: str) -> list[str]:
    """The words of a variable of the Makefile, others in it expanded."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    match = re.search(rf"^{name} := (.+)$", text, re.MULTILINE)
    assert match is not None
    words: list[str] = []
    for word in match.group(1).split():
        inner = re.fullmatch(r"\$\((\w+)\)", word)
        words += makefile_list(inner.group(1)) if inner else [word]
    return words


def group(name: str) -> list[str]:
    requirements: list[str] = toml("pyproject.toml")["dependency-groups"][name]
    return [f"{it.name}[{','.join(it.extras)}]" if it.extras else it.name for it in map(Requirement, requirements)]


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 20
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.!]*", line)] == []


def test_constraints_name_each_distribution_once(pinned: dict[str, str]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if "==" in line and not line.startswith("#")]) == len(pinned)


@pytest.mark.parametrize("name", CONFIGURATION)
def test_configuration_holds_no_addresses(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if ADDRESS.search(line)] == []


def test_no_tracked_text_names_a_path_of_one_machine() -> None:
    found = []
    for file in tracked_files():
        data = file.read_bytes()
        if file.suffix in BINARY or b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip():.100}")
    assert found == []


@pytest.mark.parametrize("path", ["{}work", "see {}work/x", "'{}root/.cache'", "({}tmp/w/v)", "={}home/someone/x"])
def test_the_search_for_such_paths_finds_them(path: str) -> None:
    assert MACHINE_PATH.search(path.format("/"))


@pytest.mark.parametrize("text", ["models/work", "a/tmp/w", "/workers", "https://x/work", "~/work", "/root-cause"])
def test_the_search_for_such_paths_leaves_others_alone(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def test_the_makefile_installs_the_test_group() -> None:
    assert sorted(makefile_list("TEST_TOOLS")) == sorted(group("test"))


def test_the_makefile_installs_the_lint_group_and_what_lint_reads() -> None:
    assert sorted(makefile_list("LINT_TOOLS")) == sorted(group("test") + group("lint"))


@pytest.mark.parametrize("project", PROJECTS)
def test_what_a_package_needs_is_pinned_to_a_version_it_allows(pinned: dict[str, str], project: str) -> None:
    runtime_version = importlib.metadata.version("ev-qa-runtime")
    requirements = [Requirement(text) for text in toml(f"{project}/pyproject.toml")["project"]["dependencies"]]
    for requirement in requirements:
        version = (
            runtime_version if requirement.name == "ev-qa-runtime" else pinned[canonicalize_name(requirement.name)]
        )
        assert requirement.specifier.contains(version), requirement


def test_every_tool_is_pinned_to_a_version_its_group_allows(pinned: dict[str, str]) -> None:
    for requirements in toml("pyproject.toml")["dependency-groups"].values():
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("project", PROJECTS)
def test_a_packages_build_backend_is_pinned(pinned: dict[str, str], project: str) -> None:
    for requirement in map(Requirement, toml(f"{project}/pyproject.toml")["build-system"]["requires"]):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_both_packages_and_the_tools_mean_the_same_python() -> None:
    root = toml("pyproject.toml")["tool"]
    assert {toml(f"{project}/pyproject.toml")["project"]["requires-python"] for project in PROJECTS} == {">=3.11"}
    assert (root["ruff"]["target-version"], root["mypy"]["python_version"]) == ("py311", "3.11")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring.splitlines()[0]) > 10
