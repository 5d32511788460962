"""The tables of the guide agree with the code: error messages, result keys, members of the sidecar, exit codes."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.cli import PARITY_EXIT_CODES as TRAINING_CODES
from ev_qa_runtime import load_model
from ev_qa_runtime.__main__ import EXIT_CODES as RUNTIME_CODES
from ev_qa_runtime.features import KNOWN_FEATURES

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "model_persistence.md"
SOURCES = [*(ROOT / "runtime" / "src").rglob("*.py"), *(ROOT / "training" / "src").rglob("*.py")]
GAP = "…"
SPEAKING_OF_MEMBERS = {
    "onnx_fields.py",
    "onnx_inspection.py",
    "tree_structure.py",
    "sidecar.py",
    "strict_json.py",
    "contract.py",
}
"""Their messages name a part of a sidecar or an ONNX model that this project did not write; one row stands for each."""


def section(document: Path, heading: str) -> str:
    level = heading.split(" ", maxsplit=1)[0]
    text = document.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    assert text, f"{document.name} has no section {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """The first cell of every table row, heads left out."""
    rows = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [line.split("|")[1].strip() for table in rows for line in table.splitlines()[2:]]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def spelled(node: ast.expr) -> str | None:
    """A text or f-text with ``…`` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None


def texts_in(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.expr) and (text := spelled(node)):
            yield " ".join(text.split())


def raised_in(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            if isinstance(node.exc.func, ast.Name) and node.exc.func.id == "AttributeError":
                continue  # Python's own words for a name that a module does not have
            text = spelled(node.exc.args[0])
            if text and re.sub(rf"[{GAP}\W]", "", text):
                yield " ".join(text.split())


def agrees(documented: str, text: str) -> bool:
    """Whether the documented message is a part of ``text``; a gap in either stands for anything."""
    return re.search(".*".join(re.escape(part.strip()) for part in documented.split(GAP)), text) is not None


MESSAGES = [
    " … ".join(codes(cell)).replace("\\`", "`")
    for cell in first_cells(section(GUIDE, "## Troubleshooting"))
    if cell.startswith("`")
]


@pytest.mark.parametrize("message", MESSAGES)
def test_documented_messages_exist(message: str) -> None:
    assert any(agrees(message, text) for source in SOURCES for text in texts_in(source))


def test_raised_messages_are_documented() -> None:
    undocumented = [
        f"{source.name}: {text}"
        for source in SOURCES
        if source.name not in SPEAKING_OF_MEMBERS
        for text in raised_in(source)
        if not any(agrees(message, text) for message in MESSAGES)
    ]
    assert not undocumented, "\n".join(undocumented)


def test_a_message_that_is_gone_is_noticed() -> None:
    assert not agrees("Model mislaid: …", "Model file not found: …")
    assert agrees("… exists already: choose …", "… exists already: choose another name")


def test_result_keys(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal([350.0, 10.0, 25.0], [5.0, 20.0, 3.0], (40, 3))
    analyzer = EVBatteryAnalyzer(n_estimators=3)
    results = analyzer.analyze_telemetry(rows)
    analyzer.save_model(tmp_path / "small")
    documented = [codes(cell)[0] for cell in first_cells(section(GUIDE, "## The result of analyze_telemetry"))]
    assert documented == list(results) == list(load_model(tmp_path / "small").analyze_telemetry(rows))


def test_info_keys(tmp_path: Path) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=3)
    cells = re.findall(r"^\|(.*)\|(.*)\|(.*)\|(.*)\|$", section(GUIDE, "### get_model_info"), re.MULTILINE)[2:]
    documented = [({*codes(key)}, before.strip(), fitted.strip()) for key, before, fitted, _ in cells]
    assert set(analyzer.get_model_info()) == set().union(*(keys for keys, before, _ in documented if before != "–"))
    analyzer.fit(np.random.default_rng(0).normal(size=(40, 3)))
    assert set(analyzer.get_model_info()) == set().union(*(keys for keys, _, fitted in documented if fitted != "–"))
    analyzer.save_model(tmp_path / "small")
    assert set(analyzer.get_model_info()) == set().union(*(keys for keys, _, _ in documented))
    assert set(load_model(tmp_path / "small").info) == set(analyzer.get_model_info()) | {"onnxruntime"}


def test_parameters() -> None:
    documented = [codes(cell)[0] for cell in first_cells(section(GUIDE, "### EVBatteryAnalyzer"))]
    parameters = EVBatteryAnalyzer().get_params()
    assert set(documented[: len(parameters)]) == set(parameters)
    keys = [codes(cell)[0] for cell in first_cells(section(ROOT / "docs" / "configuration.md", "## Keys"))]
    assert set(keys) == set(parameters)


def test_sidecar_members() -> None:
    schema: dict[str, Any] = json.loads(
        (ROOT / "artifacts" / "schema" / "model-v2.schema.json").read_text(encoding="utf-8")
    )
    documented = [name for cell in first_cells(section(GUIDE, "### The sidecar")) for name in codes(cell)]
    assert documented == list(schema["properties"])


def test_exit_codes() -> None:
    documented = first_cells(section(ROOT / "docs" / "commands.md", "## Exit codes"))
    in_help = set(re.findall(r"^  (\d+)  ", TRAINING_CODES + RUNTIME_CODES, re.MULTILINE))
    assert set(documented) == in_help


def test_aliases() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (.*) \|$", section(ROOT / "docs" / "telemetry.md", "## Columns"), re.M)
    documented = {name: (unit, tuple(codes(aliases))) for name, unit, aliases in rows}
    assert documented == {name: (spec.unit, spec.aliases) for name, spec in KNOWN_FEATURES.items()}


@pytest.mark.parametrize("package", ["runtime/src/ev_qa_runtime", "training/src/ev_qa_framework"])
def test_every_module_is_in_the_architecture(package: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition(f"`{package}`:")[2].partition("\n\n")[2].partition("\n\n")[0]
    documented = {name for cell in first_cells(table + "\n") for name in codes(cell)}
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert documented == modules | {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
