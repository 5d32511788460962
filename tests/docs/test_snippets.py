"""Every Python block and every ``ev-qa`` line of the documents runs, and prints what the documents say it prints.

A document's blocks run in order, in one namespace and one folder, which holds ``demo`` and a copy of ``artifacts``.
In a ``console`` block a command begins with ``$``; the lines after it are its output. In a ``sh`` block every line is
a command. A ``text`` block right after a ``python`` block is what that block prints. In output, ``…`` stands for
anything. A command ends with exit code 0, or with N where its line ends in ``# exit N``. A ``toml`` block whose
first line is ``# NAME.toml`` is written to that file.
"""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "runtime" / "README.md",
    ROOT / "training" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
MODULES = {"ev-qa": "ev_qa_framework.cli", "ev-qa-runtime": "ev_qa_runtime"}
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[\w-]*) *$")
EXIT = re.compile(r"\s+# exit (\d+)$")
FILE_NAME = re.compile(r"^# ([\w.-]+\.toml)$")


@dataclass
class Block:
    kind: str
    line: int
    indent: str = ""
    lines: list[str] = field(default_factory=list)
    follows_python: bool = False

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass
class Command:
    line: int
    text: str
    code: int
    output: list[str] = field(default_factory=list)


def blocks_of(document: str) -> list[Block]:
    blocks: list[Block] = []
    current: Block | None = None
    only_blank_since = False
    for number, line in enumerate(document.splitlines(), start=1):
        fence = FENCE.match(line)
        if current is None:
            if fence:
                follows = only_blank_since and bool(blocks) and blocks[-1].kind == "python"
                current = Block(fence["kind"], number, fence["indent"], follows_python=follows)
            elif line.strip():
                only_blank_since = False
        elif fence and not fence["kind"]:
            blocks.append(current)
            current = None
            only_blank_since = True
        else:
            current.lines.append(line.removeprefix(current.indent))
    assert current is None, f"line {current.line if current else 0}: the block is never closed"
    return blocks


def commands_of(block: Block) -> list[Command]:
    commands: list[Command] = []
    pending = ""
    for number, line in enumerate(block.lines, start=block.line + 1):
        if pending or block.kind == "sh" or line.startswith("$ "):
            text = pending + (line if pending or block.kind == "sh" else line[2:]).strip()
            if text.endswith("\\"):
                pending = text[:-1]
                continue
            pending = ""
            code = EXIT.search(text)
            commands.append(Command(number, EXIT.sub("", text), int(code[1]) if code else 0))
        elif commands:
            commands[-1].output.append(line)
    return commands


def expanded(words: list[str], folder: Path) -> list[str]:
    result: list[str] = []
    for word in words:
        found = sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if "*" in word else []
        result += found or [word]
    return result


def assert_prints(expected: list[str], printed: str, where: str) -> None:
    """Each expected line is there, in this order; white space counts as one blank."""
    there = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in expected:
        wanted = " ".join(line.split())
        if wanted:
            pattern = ".*".join(map(re.escape, wanted.split("…")))
            assert any(re.fullmatch(pattern, got) for got in there), f"{where}: {wanted!r} is not printed:\n{printed}"


def run_command(command: Command, folder: Path, where: str) -> None:
    words = shlex.split(command.text, comments=True)
    if not words or words[0] not in MODULES:
        return
    done = subprocess.run(
        [sys.executable, "-m", MODULES[words[0]], *expanded(words[1:], folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == command.code, f"{where}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert_prints(command.output, done.stdout + done.stderr, where)


def run_document(document: Path, folder: Path) -> int:
    """Run the blocks; the result is how many things ran."""
    name = document.relative_to(ROOT) if document.is_relative_to(ROOT) else Path(document.name)
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    ran = 0
    for block in blocks_of(document.read_text(encoding="utf-8")):
        where = f"{name}:{block.line}"
        if block.kind == "python":
            code = compile("\n" * block.line + block.text, str(name), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(code, namespace)  # noqa: S102 - our own documents
            printed = output.getvalue()
            ran += 1
        elif block.kind == "text" and block.follows_python:
            assert_prints(block.lines, printed, where)
        elif block.kind in ("console", "sh"):
            for command in commands_of(block):
                run_command(command, folder, f"{name}:{command.line}: {command.text}")
                ran += 1
        elif block.kind == "toml" and (file := FILE_NAME.match(block.lines[0])):
            (folder / file[1]).write_text(block.text, encoding="utf-8")
    return ran


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    shutil.copytree(ROOT / "artifacts", tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_snippet_runs(document: Path, folder: Path) -> None:
    run_document(document, folder)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "runtime/README.md",
        "training/README.md",
        *(
            f"docs/{guide}.md"
            for guide in (
                "best_practices",
                "commands",
                "comparison",
                "configuration",
                "export",
                "migration",
                "model_persistence",
                "registry",
                "signing",
                "telemetry",
            )
        ),
    ],
)
def test_the_guides_have_snippets(name: str) -> None:
    kinds = [block.kind for block in blocks_of((ROOT / name).read_text(encoding="utf-8"))]
    assert {"python", "console"} & set(kinds)


class TestTheRunnerItself:
    """A runner that overlooks what is wrong would be worse than none."""

    @pytest.fixture
    def page(self, folder: Path) -> Path:
        return folder / "page.md"

    def test_blocks_share_a_namespace(self, page: Path, folder: Path) -> None:
        page.write_text("```python\nx = 1\n```\n\n```python\nprint(x + 1)\n```\n\n```text\n2\n```\n")
        assert run_document(page, folder) == 2

    def test_python_errors_surface_with_their_line(self, page: Path, folder: Path) -> None:
        page.write_text("intro\n\n```python\nx = 1\nraise RuntimeError('broken')\n```\n")
        with pytest.raises(RuntimeError, match="broken") as caught:
            run_document(page, folder)
        assert caught.traceback[-1].lineno + 1 == 5

    def test_wrong_output_is_noticed(self, page: Path, folder: Path) -> None:
        page.write_text("```python\nprint(2)\n```\n\n```text\n3\n```\n")
        with pytest.raises(AssertionError, match="'3' is not printed"):
            run_document(page, folder)

    def test_wrong_exit_code_is_noticed(self, page: Path, folder: Path) -> None:
        page.write_text("```console\n$ ev-qa-runtime info models/nowhere\n```\n")
        with pytest.raises(AssertionError, match="exit code 3"):
            run_document(page, folder)

    def test_blocks_in_lists_run(self, page: Path, folder: Path) -> None:
        page.write_text("- item\n\n  ```python\n  raise RuntimeError('broken')\n  ```\n")
        with pytest.raises(RuntimeError, match="broken"):
            run_document(page, folder)

    def test_expected_exit_code_and_output(self, page: Path, folder: Path) -> None:
        page.write_text("```console\n$ ev-qa-runtime info \\\n    nowhere  # exit 3\n… Model file not found: …\n```\n")
        assert run_document(page, folder) == 1

    def test_wrong_console_output_is_noticed(self, page: Path, folder: Path) -> None:
        page.write_text("```console\n$ ev-qa-runtime --version\nev-qa-runtime 99\n```\n")
        with pytest.raises(AssertionError, match="'ev-qa-runtime 99' is not printed"):
            run_document(page, folder)

    def test_unclosed_block_is_noticed(self) -> None:
        with pytest.raises(AssertionError, match="never closed"):
            blocks_of("```python\nx = 1\n")
