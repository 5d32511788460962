"""The fault campaigns of saving, loading and killed changes of a registry, in their short form."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not hasattr(os, "fork"), reason="forks, and reads /proc")


def campaign(name: str, *arguments: str, code: int = 0) -> str:
    """What a campaign prints; it must end with ``code``."""
    command = [sys.executable, "-m", f"tools.campaigns.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def figures(printed: str, row: str) -> list[int]:
    """The figures of a row of a printed table."""
    line = next(line for line in printed.splitlines() if line.startswith(f"│ {row} "))
    return [int(cell) for cell in re.findall(r"│ +(-?\d+) ", line)]


@pytest.mark.parametrize("injector", [[], ["--without-strace"]], ids=["strace", "stand-in"])
def test_a_killed_writer_leaves_the_old_model_or_the_new_one(injector: list[str], tmp_path: Path) -> None:
    printed = campaign("kill_during_save", "--slice", "--folder", str(tmp_path), *injector)

    runs, old, new, none, faults = figures(printed, "first save")
    assert (runs >= 20, old, new >= 3, none >= 15, faults) == (True, 0, True, True, 0)
    for row in ("overwrite", "SIGINT: overwrite"):
        runs, old, new, none, faults = figures(printed, row)
        assert (runs >= 25, old >= 20, new >= 3, none, faults) == (True, True, True, 0, 0), row
    assert figures(printed, "CONTROL: naive overwrite")[-1] >= 4
    assert "60 killed at random moments" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("injector", [[], ["--without-strace"]], ids=["strace", "stand-in"])
def test_a_disk_that_refuses_leaves_the_old_model_and_nothing_else(injector: list[str], tmp_path: Path) -> None:
    printed = campaign("disk_errors", "--slice", "--folder", str(tmp_path), *injector)

    for row in ("first save, once", "overwrite, once"):
        runs, refused, undurable, saved, _, faults = figures(printed, row)
        assert runs == refused + undurable + saved
        assert (refused >= 30, undurable, faults) == (True, 4, 0), row  # opening and syncing the folder, two errors
    assert figures(printed, "first save, once")[4] == 0
    runs, refused, *_, faults = figures(printed, "a disk that is really full")
    assert (runs > 10, refused > 5, faults) == (True, True, 0)
    assert list(tmp_path.iterdir()) == []


def test_loads_of_alternating_models_take_no_memory() -> None:
    printed = campaign("load_memory", "--slice")

    assert printed.rstrip().endswith("no fault")
    assert printed.count("│ EVBatteryAnalyzer, ") == 2
    assert printed.count("│ runtime") == 2


def test_a_killed_change_of_a_registry_is_recorded_or_not(tmp_path: Path) -> None:
    printed = campaign("kill_during_registry", "--slice", "--folder", str(tmp_path))

    assert printed.rstrip().endswith("none half done: no fault")
    for row in ("first publish", "publish", "promote", "roll back", "archive", "prune"):
        runs, not_recorded, recorded, faults = figures(printed, row)
        assert (runs >= 4, not_recorded + recorded, faults) == (True, runs, 0), row
    assert list(tmp_path.iterdir()) == []


def test_a_change_of_a_registry_on_a_failing_disk_is_recorded_or_not(tmp_path: Path) -> None:
    printed = campaign("registry_disk_errors", "--slice", "--folder", str(tmp_path))

    assert printed.rstrip().endswith("faults of a naive writer): no fault")
    for row in ("first publish", "publish", "promote", "roll back", "archive", "prune"):
        runs, refused, saved, not_recorded, recorded, faults = figures(printed, f"{row}, once")
        assert (runs >= 4, refused >= 1, refused + saved, not_recorded + recorded, faults) == (
            True, True, runs, runs, 0,
        ), row  # fmt: skip
    assert figures(printed, "CONTROL: naive publish")[-1] >= 1
    assert list(tmp_path.iterdir()) == []


SABOTAGE = """
import contextlib, random, sys
from pathlib import Path
import ev_qa_framework.commit as protocol
from tools.campaigns import disk_errors, kill_during_save
from tools.campaigns.injection import PythonStandIn
from tools.campaigns.saves import Models
root = Path(sys.argv[1])
(root / "trained").mkdir()
models = Models.trained(root / "trained")
campaign = {campaign}
{sabotage}
campaign.at_every_call(models.scenarios()[2], {how})
print([fault for tally in campaign.tallies.values() for fault in tally.faults])
"""
KILLS = ("kill_during_save.Campaign(root, models, PythonStandIn(), True, 0, random.Random(0))", '"KILL"')
ERRORS = ("disk_errors.Campaign(root, models, PythonStandIn(), True)", "lasting=False")


@pytest.mark.parametrize(
    ("campaign_and_how", "sabotage", "found"),
    [
        (KILLS, "protocol._link = lambda file, second_name: None", "torn: IntegrityError"),
        (KILLS, "protocol._tidy = lambda paths, keep: None", "the next save left"),
        (ERRORS, "protocol._undo = lambda paths, old, payloads: None", "refused, but left"),
        (ERRORS, "protocol._sync_committed = lambda paths: protocol.sync_folder(paths.folder)", "but the new model"),
        (ERRORS, "protocol.named = lambda path: contextlib.nullcontext()", "an error without the model's path"),
    ],
)
def test_a_protocol_that_is_broken_is_found_out(
    campaign_and_how: tuple[str, str], sabotage: str, found: str, tmp_path: Path
) -> None:
    campaign, how = campaign_and_how
    code = SABOTAGE.format(campaign=campaign, how=how, sabotage=sabotage)

    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)

    assert found in done.stdout


def test_every_campaign_is_run_by_the_runner() -> None:
    campaigns = ROOT / "tools" / "campaigns"
    sources = {path.stem: path.read_text("utf-8") for path in campaigns.glob("*.py")}
    stated = {name for name, text in sources.items() if "def main(" in text and "finish(" in text}
    code = "from tools.campaigns.run import present; print(*present())"
    listed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(listed.split()) == stated
