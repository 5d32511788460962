"""All examples run from any folder and print what they promise."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0"
GATEWAY = ROOT / "examples" / "embed_in_gateway.py"
STORY = ROOT / "examples" / "model_persistence_example.py"
LIFE = ROOT / "examples" / "model_lifecycle_example.py"


def run(script: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(script), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    """Two ordinary readings, one without temperature, one with text, one far out, one ordinary again."""
    file = tmp_path / "bus.csv"
    rows = ["352.4,41,24.5", "352.4,41,24.5", "352.4,41,", "n/a,41,24.5", "0,1000,150", "352.4,41,24.5"]
    file.write_text("\n".join(["voltage,current,temp", *rows]) + "\n", encoding="utf-8")
    return file


def test_gateway_reports_changes_and_invalid_readings(telemetry: Path, tmp_path: Path) -> None:
    done = run(GATEWAY, MODEL, telemetry, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "model demo_pack_v1.0.0, version 1.0.0"
    changes = [re.sub(r" score -0\.\d+,", "", line) for line in lines[1:-1]]
    assert changes == [
        "reading      0  INFO  label +1",
        "reading      2  INVALID  temp: missing",
        "reading      4  WARNING  label -1",
        "reading      5  INFO  label +1",
    ]
    assert lines[-1] == "INFO 3, WARNING 1, CRITICAL 0, INVALID 2"


def test_gateway_limit(telemetry: Path, tmp_path: Path) -> None:
    done = run(GATEWAY, MODEL, telemetry, "--limit", 3, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "INFO 2, WARNING 0, CRITICAL 0, INVALID 1"


def test_gateway_refuses_a_missing_model_in_one_line(telemetry: Path, tmp_path: Path) -> None:
    done = run(GATEWAY, tmp_path / "nothing", telemetry, cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"error: Model file not found: [^\n]*nothing[^\n]*\n", done.stderr)


def test_gateway_imports_the_runtime_and_the_standard_library_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(GATEWAY.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"ev_qa_runtime"}


def test_story_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    done = run(STORY, "kept", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line[0].isdigit()] == [
        "1. train offline, save two versions",
        "2. check before deployment",
        "3. compare the two on trips they have not seen",
        "4. monitor fault_voltage_gain_01.csv with baseline_v1.1.0",
        next(line for line in done.stdout.splitlines() if line.startswith("5. one reading in the runtime: score -0.")),
    ]
    assert done.stdout.count("parity 0 ulp") == 2
    assert done.stdout.count("scikit-learn, ONNX and the runtime give the same result on 6000 rows") == 2
    names = {f"baseline_v{version}.{suffix}" for version in ("1.0.0", "1.1.0") for suffix in ("joblib", "onnx", "json")}
    assert {path.name for path in (tmp_path / "kept").iterdir()} == names


def test_story_without_folder_leaves_nothing(tmp_path: Path) -> None:
    done = run(STORY, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_models_life_ends_where_it_began(tmp_path: Path) -> None:
    done = run(LIFE, tmp_path / "kept", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compared in its shadow: 1800 rows" in done.stdout
    assert "serves now: city_v1.0.0" in done.stdout
    actions = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert actions == ["publish", "publish", "promote", "promote", "promote", "rollback"]
    assert (tmp_path / "kept" / "registry" / "production" / "city_v1.1.0.onnx").exists()
