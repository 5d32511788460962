"""The campaigns of the registry, in their short form; ``python -m tools.campaigns.NAME`` runs them in full."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its workers")


def campaign(name: str, *arguments: str) -> dict[str, int]:
    """The figures that a campaign prints, by row; it must have found no fault."""
    command = [sys.executable, "-m", f"tools.campaigns.{name}", "--slice", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^│ (.+?) +│ +([\d,]+) │$", done.stdout, re.MULTILINE)
    return {name: int(figure.replace(",", "")) for name, figure in rows}


def test_readers_never_see_a_mixed_or_missing_champion() -> None:
    found = campaign("promotions_under_readers", "--readers", "2")
    assert found["promotions"] + found["rollbacks"] == 150
    assert (found["loads"] > 50, found["loads with a change while they ran"] > 0, found["archived"] > 0) == (True,) * 3
    assert (found["missing"], found["mixed"], found["never champion meanwhile"]) == (0, 0, 0)


def test_no_entry_is_lost_between_processes() -> None:
    found = campaign("concurrent_registry")
    assert found["publish"] == 16
    assert found["acknowledged"] == found["events in the history"] > 40
    assert found["faults"] == 0
