"""Every relative link of the documents leads somewhere, and every path of the repository map exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "artifacts", "runtime", "training", "demo", "benchmarks", "examples")
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
MAP_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").casefold())
    return kept.replace(" ", "-")


def broken_links(document: Path) -> list[str]:
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        headings = (
            HEADING.findall(target.read_text(encoding="utf-8")) if target.suffix == ".md" and target.is_file() else []
        )
        if not target.exists() or (fragment and fragment not in map(anchor, headings)):
            broken.append(link)
    return broken


def repository_map(readme: str) -> list[str]:
    section = readme.partition("## Map of the repository")[2].partition("\n## ")[0]
    return MAP_ROW.findall(section)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`\n[a](#one-two) [b](#three) [c](page.md#one-two) [d](gone.md) [e](https://example.org)\n"
    )
    assert broken_links(page) == ["#three", "gone.md"]


def test_repository_map_names_what_is_there() -> None:
    paths = repository_map((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(paths) >= 8
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_repository_map_is_complete() -> None:
    paths = repository_map((ROOT / "README.md").read_text(encoding="utf-8"))
    mapped = {path.split("/")[0] for path in paths}
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert there - mapped - {"build", "models", "dist"} == set()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_decision_records_have_their_three_parts(number: int) -> None:
    (record,) = (ROOT / "docs" / "adr").glob(f"{number:04d}-*.md")
    headings = HEADING.findall(record.read_text(encoding="utf-8"))
    assert headings[0].startswith(f"{number:04d} ")
    assert headings[1:] == ["Context", "Decision", "Consequences"]
