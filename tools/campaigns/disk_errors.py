"""``ENOSPC`` and ``EIO`` at every system call of a save that touches the disk, and disks that are really full.

Usage: ``python -m tools.campaigns.disk_errors [--slice]``. Each call fails once, and then from there on for good. A
refused save must raise an ``OSError`` with the system's number, a path and one line, leave the old model as it was and
no other file; the next save must succeed. The last part fills small file systems to every number of free blocks and
inodes. Exits with 1 on a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.campaigns.forked_child import Child, Outcome
from tools.campaigns.injection import LOOKING, Call, Injector, chosen_injector
from tools.campaigns.injection import Fault as Injected
from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.saves import (
    NAME,
    Contents,
    Fault,
    Models,
    Scenario,
    Tally,
    check_next_save,
    contents,
    model_at,
    which,
)
from tools.campaigns.small_models import ROOT, ModelFiles

from ev_qa_runtime.artifact import ArtifactPaths

IN_PLACE = "the new model is in place"
ERRORS: tuple[Injected, ...] = ("ENOSPC", "EIO")
CLEANING = {"unlink", "unlinkat", "rename", "renameat", "renameat2", "replace", "open", "openat"}
CLEANING |= {"getdents64", "scandir", "listdir", "stat", "fstat", "newfstatat", "statx"}
"""Where one of these fails, something cannot be tidied away."""

BLOCK = 4096
INODES = 16
"""More than a save needs: two models, the second names, the folders."""


@dataclass(slots=True)
class Campaign:
    """Folders, models and figures of one run."""

    root: Path
    models: Models
    injector: Injector
    short: bool
    tallies: dict[str, Tally] = field(default_factory=dict)
    full_disk: str = "not tried"

    def tasks(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Every part of the campaign, with its title."""
        everything = self.models.scenarios()
        chosen = [one for one in everything if not self.short or one.name in ("first save", "overwrite")]
        for scenario in [*chosen, self.models.naive()]:
            for lasting in (False, True):
                yield scenario.name, partial(self.at_every_call, scenario, lasting=lasting)
        yield "full disks", self.on_full_disks
        yield "sign_model", lambda: self.at_every_call(self.models.signed(), lasting=False)
        if not self.short:
            for over in (False, True):
                yield "save_model", partial(self._complete, over=over)

    def _complete(self, *, over: bool) -> None:
        self.at_every_call(self.models.complete(over=over), lasting=False)

    def at_every_call(self, scenario: Scenario, *, lasting: bool) -> None:
        """One save for each of its calls and each error."""
        tally = self.tallies.setdefault(f"{scenario.name}, {'for good' if lasting else 'once'}", Tally())
        with self._folder() as folder:
            paths = scenario.prepare(folder)
            old = model_at(paths)
            calls = self.injector.calls(lambda: scenario.save(paths), folder, hard_links=scenario.hard_links)
        if self.short:
            calls = [call for call in calls if call.name not in LOOKING][:: 4 if scenario.marker or lasting else 1]
        for call in calls:
            for error in ERRORS:
                self._refused(scenario, old, call, error, tally, lasting=lasting)

    def _refused(
        self, scenario: Scenario, old: bytes | None, call: Call, error: Injected, tally: Tally, *, lasting: bool
    ) -> None:
        with self._folder() as folder:
            paths = scenario.prepare(folder)
            outcome = self.injector.run(
                lambda: scenario.save(paths), call, error, lasting=lasting, hard_links=scenario.hard_links
            )
            tally.add("runs")
            try:
                cleaning = call.name in CLEANING
                check(scenario, paths, old, outcome, getattr(errno, error), tally, cleaning=cleaning, lasting=lasting)
                check_next_save(paths, self.models.other)
            except Fault as fault:
                where = f"{scenario.name}, {error} at {call.name} {call.occurrence}{' and all later' * lasting}"
                tally.faults.append(f"{where}: {fault}")

    def on_full_disks(self) -> None:
        """Saves on file systems of every size that is too small, as far as this machine lets us mount one."""
        tally = self.tallies.setdefault("a disk that is really full", Tally())
        source = self.root / "models.json"
        source.write_text(json.dumps([str(self.models.path.with_name(name)) for name in ("m0", "m1", "m2")]))
        mount_point = self.root / "small"
        mount_point.mkdir()
        command = [sys.executable, "-m", "tools.campaigns.disk_errors", "--mounted", str(mount_point), str(source)]
        command += ["--slice"] * self.short
        unshare = shutil.which("unshare")
        if unshare is not None:
            done = subprocess.run([unshare, "-rm", *command], capture_output=True, text=True, check=False, cwd=ROOT)
            if done.returncode == 0:
                said = json.loads(done.stdout)
                tally.counts, tally.faults = said["counts"], said["faults"]
                self.full_disk = "tmpfs of every size, with every number of inodes"
                return
        self.full_disk = "no mount allowed here: a limit on the size of files instead, which gives EFBIG, not ENOSPC"
        self._limited_files(tally)

    def _limited_files(self, tally: Tally) -> None:
        for scenario in self.models.scenarios():
            for size in range(0, max(map(len, scenario.new.files.values())), 4 * BLOCK if self.short else 256):
                with self._folder() as folder:
                    paths = scenario.prepare(folder)
                    old = model_at(paths)
                    with Child(partial(_limited, size, partial(scenario.save, paths))) as child:
                        child.release()
                        outcome = child.outcome()
                    tally.add("runs")
                    try:
                        check(scenario, paths, old, outcome, errno.EFBIG, tally)
                        check_next_save(paths, self.models.other)
                    except Fault as fault:
                        tally.faults.append(f"{scenario.name}, files of at most {size} bytes: {fault}")

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """A name for a new folder, removed afterwards."""
        folder = self.root / "folder"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _limited(size: int, save: Callable[[], object]) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    save()


def check(
    scenario: Scenario,
    paths: ArtifactPaths,
    old: bytes | None,
    outcome: Outcome,
    number: int,
    tally: Tally,
    *,
    cleaning: bool = False,
    lasting: bool = False,
) -> None:
    """What a save that met an error left behind, and how it said so. Raises ``Fault``.

    Where removing a file fails (``cleaning``), the file stays; a refused save is cleaned up by calls of its own, so
    there only where they fail for good (``lasting``).
    """
    there = contents(paths.folder)
    loaded = which(scenario, paths, old)
    if outcome.ended == "saved":
        if loaded != "new":
            raise Fault("reported as saved, but it is not there")
        _check_new(scenario, there, stray_allowed=cleaning)
        tally.add("saved")
        tally.counts["left"] = tally["left"] + len(there) - len(scenario.new.files)
        return
    check_error(outcome, number, paths)
    if loaded == "new":
        if IN_PLACE not in outcome.message:
            raise Fault(f"refused, but the new model is in place: {outcome.message}")
        _check_new(scenario, there, stray_allowed=True)  # the old model's files stay: a power cut may bring it back
        tally.add("undurable")
        tally.counts["left"] = tally["left"] + len(there) - len(scenario.new.files)
        return
    if IN_PLACE in outcome.message:
        raise Fault(f"said to be in place, but is not: {outcome.message}")
    left = there != (scenario.before if not scenario.below else {})
    if left and not (cleaning and lasting):
        raise Fault(f"refused, but left {sorted(there)}")
    tally.add("refused")
    tally.counts["left"] = tally["left"] + max(0, len(there) - len(scenario.before))


def _check_new(scenario: Scenario, there: Contents, *, stray_allowed: bool) -> None:
    new = scenario.new.named(NAME)
    if not scenario.marker and not new.items() <= there.items():
        raise Fault("the new model's files are not the ones given")
    if there.keys() != new.keys() and not stray_allowed:
        raise Fault(f"saved, but left {sorted(there)}")


def check_error(outcome: Outcome, number: int, paths: ArtifactPaths) -> None:
    """An ``OSError`` with the number, a path of the model and one line. Raises ``Fault``."""
    if outcome.ended != "refused" or outcome.errno != number:
        raise Fault(f"ended as {outcome}")
    if not outcome.path or not _belongs(Path(outcome.path), paths) or outcome.path not in outcome.message:
        raise Fault(f"an error without the model's path: {outcome.message}")
    if "\n" in outcome.message:
        raise Fault(f"an error of several lines: {outcome.message!r}")


def _belongs(named: Path, paths: ArtifactPaths) -> bool:
    return named == paths.folder or paths.folder in named.parents or named in paths.folder.parents


def save_on_small_disks(mount_point: Path, source: Path, *, short: bool) -> Tally:
    """Save on file systems with 0, 1, 2 … free blocks and inodes; runs in a mount namespace of its own."""
    old, new, other = (ModelFiles.of(Path(path)) for path in json.loads(source.read_text(encoding="utf-8")))
    tally = Tally()
    models = Models(old, new, other, mount_point)
    for scenario in [one for one in models.scenarios() if one.hard_links]:
        blocks = sum(-(-len(data) // BLOCK) for data in (*scenario.before.values(), *new.files.values()))
        for kind, unit, enough in (("size", BLOCK, blocks + 4), ("nr_inodes", 1, INODES)):
            for free in range(2, enough, 3 if short else 1):
                _save_on_small_disk(scenario, other, mount_point, f"{kind}={free * unit}", tally)
    return tally


def _save_on_small_disk(scenario: Scenario, other: ModelFiles, mount_point: Path, size: str, tally: Tally) -> None:
    mount, umount = str(shutil.which("mount")), str(shutil.which("umount"))
    subprocess.run([mount, "-t", "tmpfs", "-o", size, "none", str(mount_point)], check=True)
    try:
        paths = scenario.prepare(mount_point / "folder")
        old = model_at(paths)
    except OSError:  # not even the old model fits
        subprocess.run([umount, str(mount_point)], check=True)
        return
    tally.add("runs")
    try:
        with Child(partial(scenario.save, paths)) as child:
            child.release()
            outcome = child.outcome()
        check(scenario, paths, old, outcome, errno.ENOSPC, tally)
        subprocess.run([mount, "-o", "remount,size=100M,nr_inodes=1000", str(mount_point)], check=True)
        check_next_save(paths, other)
    except Fault as fault:
        tally.faults.append(f"{scenario.name} on a tmpfs with {size}: {fault}")
    finally:
        subprocess.run([umount, str(mount_point)], check=True)


def show(campaign: Campaign) -> None:
    """Print the figures."""
    keys = ("runs", "refused", "undurable", "saved", "left")
    print_table(
        f"ENOSPC and EIO at every system call that touches the disk, by {campaign.injector.name}",
        ("save, and how the call fails", "runs", "refused", "in place, unsynced", "saved all the same",
         "files left for the next save", "faults"),
        [(name, *(one[key] for key in keys), len(one.faults)) for name, one in campaign.tallies.items()],
    )  # fmt: skip
    print(f"full disk: {campaign.full_disk}")


def sum_up(campaign: Campaign) -> int:
    """Print the last line; the exit code."""
    control = campaign.models.naive().name
    checked = {name: one for name, one in campaign.tallies.items() if not name.startswith(control)}
    found_out = sum(len(one.faults) for name, one in campaign.tallies.items() if name not in checked)
    faults = [fault for one in checked.values() for fault in one.faults]
    if not found_out:
        faults.append("the naive writer was not found out: this campaign shows nothing")
    runs = sum(one["runs"] for one in checked.values())
    claim = f"{runs:,} saves on a failing disk (control: {found_out} faults of a naive writer)"
    return finish("disk_errors", claim, faults)


def run(options: argparse.Namespace) -> int:
    """The whole campaign."""
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch, progress() as bar:
        root = Path(scratch).resolve()
        (root / "trained").mkdir()
        campaign = Campaign(
            root,
            Models.trained(root / "trained"),
            chosen_injector(without_strace=options.without_strace),
            options.slice,
        )
        tasks = list(campaign.tasks())
        task = bar.add_task("", total=len(tasks))
        for name, work in tasks:
            bar.update(task, description=name, refresh=True)
            work()
            bar.advance(task)
    show(campaign)
    return sum_up(campaign)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Let the disk refuse at every system call of a save.")
    options.add_argument("--without-strace", action="store_true", help="as on a machine where strace cannot trace")
    options.add_argument("--folder", type=Path, help="where to save (default: the system's temporary folder)")
    options.add_argument("--mounted", nargs=2, type=Path, metavar=("MOUNT_POINT", "MODELS"), help=argparse.SUPPRESS)
    given = options.parse_args(argv)
    if given.mounted:
        tally = save_on_small_disks(*given.mounted, short=given.slice)
        print(json.dumps({"counts": tally.counts, "faults": tally.faults}))
        return 0
    return run(given)


if __name__ == "__main__":
    sys.exit(main())
