"""``ENOSPC`` and ``EIO`` at every system call by which a change of a registry touches its folder.

Usage: ``python -m tools.campaigns.registry_disk_errors [--slice]``. Each call fails once, and then from there on for
good. A refused change must raise an ``OSError`` with the system's number, a path in the registry and one line; the
history must be without gap and verified, with the change recorded or not, and the champion must be the one that it says
and load. A change that was not recorded must succeed when it is tried again, and nothing may be left after pruning.
Exits with 1 on a fault.
"""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.campaigns.forked_child import Outcome
from tools.campaigns.injection import LOOKING, Call, Injector, chosen_injector
from tools.campaigns.injection import Fault as Injected
from tools.campaigns.kill_during_registry import (
    Change,
    Expected,
    Staged,
    base_registry,
    changes,
    check,
    expected,
    staged,
)
from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.saves import Fault, Tally

from ev_qa_framework.registry import Registry
from ev_qa_runtime.errors import EvQaError

ERRORS: tuple[Injected, ...] = ("ENOSPC", "EIO")
EVERY_SLICE = 9


@dataclass(frozen=True, slots=True)
class Campaign:
    """What every run of one campaign shares; the registry under test lies at ``root``."""

    injector: Injector
    models: Staged
    root: Path
    short: bool

    def at_every_call(self, change: Change, *, lasting: bool, only: str = "") -> Tally:
        """One run for each of the change's calls, or those named ``only``, and each error."""
        tally = Tally()
        want = expected(change, self.root)
        shutil.copytree(change.base, self.root)
        calls = self.injector.calls(lambda: change.do(Registry(self.root, who="campaign")), self.root)
        shutil.rmtree(self.root)
        if only:
            calls = [call for call in calls if call.name == only]
        elif self.short:
            calls = [call for call in calls if call.name not in LOOKING][:: EVERY_SLICE * (3 if lasting else 1)]
        for call in calls:
            for error in ERRORS:
                self._refused(change, want, call, error, tally, lasting=lasting)
        return tally

    def _refused(
        self, change: Change, want: Expected, call: Call, error: Injected, tally: Tally, *, lasting: bool
    ) -> None:
        shutil.copytree(change.base, self.root)
        try:
            work = _unless_wrong(lambda: change.do(Registry(self.root, who="campaign")))
            outcome = self.injector.run(work, call, error, lasting=lasting)
            tally.add("runs")
            tally.add(outcome.ended)
            check_error(outcome, getattr(errno, error), self.root)
            recorded = check(change, self.root, want, self.models)
            tally.add(recorded)
            check_acknowledged(outcome, recorded)
        except Exception as fault:  # noqa: BLE001 - whatever goes wrong after an error is what is looked for
            said = str(fault) if isinstance(fault, Fault) else f"{type(fault).__name__}: {fault}"
            tally.faults.append(f"{change.name}, {error} at {call.name} {call.occurrence}{' on' * lasting}: {said}")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def _unless_wrong(work: Callable[[], object]) -> Callable[[], object]:
    """The work; an error of ours that is an ``OSError`` too, such as a missing model, is no error of the disk."""

    def done() -> None:
        try:
            work()
        except EvQaError as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None

    return done


def check_error(outcome: Outcome, number: int, root: Path) -> None:
    """A change that ended well, or an ``OSError`` with the number, a path and one line. Raises ``Fault``."""
    if outcome.ended == "saved":
        return
    if outcome.ended != "refused" or outcome.errno != number:
        raise Fault(f"ended as {outcome}")
    if not outcome.path or not Path(outcome.path).is_relative_to(root) or outcome.path not in outcome.message:
        raise Fault(f"an error without a path in the registry: {outcome.message}")
    if "\n" in outcome.message:
        raise Fault(f"an error of several lines: {outcome.message!r}")


def check_acknowledged(outcome: Outcome, recorded: str) -> None:
    """A change that ended well was recorded. Raises ``Fault``."""
    if outcome.ended == "saved" and recorded != "recorded":
        raise Fault("acknowledged, but not recorded")


def naive(models: Staged, base: Path) -> Change:
    """The control: an event that is written in place, as one does without a protocol."""
    name = models.versions[-1]

    def publish(registry: Registry) -> None:
        real = registry.store.create
        registry.store.create = lambda path, data: _written_in_place(Path(registry.root, path), data)  # type: ignore[method-assign]  # sabotage
        try:
            models.publish(registry, name)
        finally:
            registry.store.create = real  # type: ignore[method-assign]  # the real one again

    return Change("CONTROL: naive publish", base, publish)


def _written_in_place(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def sum_up(tallies: dict[str, Tally], injector: Injector) -> int:
    """Print the figures and the last line; the exit code."""
    print_table(
        f"ENOSPC and EIO at every system call of a registry's changes, by {injector.name}",
        ("change, and how the call fails", "runs", "refused", "done all the same", "not recorded", "recorded",
         "faults"),
        [
            (name, *(one[key] for key in ("runs", "refused", "saved", "not recorded", "recorded")), len(one.faults))
            for name, one in tallies.items()
        ],
    )  # fmt: skip
    checked = [one for name, one in tallies.items() if not name.startswith("CONTROL")]
    found_out = sum(len(one.faults) for name, one in tallies.items() if name.startswith("CONTROL"))
    faults = [fault for one in checked for fault in one.faults]
    if not found_out:
        faults.append("the naive writer was not found out: this campaign shows nothing")
    runs = sum(one["runs"] for one in checked)
    claim = f"{runs:,} changes on a failing disk, none half done (control: {found_out} faults of a naive writer)"
    return finish("registry_disk_errors", claim, faults)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Let the disk refuse at every system call of a registry's changes.")
    options.add_argument("--without-strace", action="store_true", help="as on a machine where strace cannot trace")
    options.add_argument("--folder", type=Path, help="where the registry lies (default: the system's temporary folder)")
    given = options.parse_args(argv)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch, progress() as bar:
        folder = Path(scratch).resolve()
        models = staged(folder)
        base = folder / "base"
        (folder / "empty").mkdir()
        base_registry(base, models)
        injector = chosen_injector(without_strace=given.without_strace)
        campaign = Campaign(injector, models, folder / "registry", given.slice)
        tried = changes(base, models)
        task = bar.add_task("", total=2 * len(tried) + 1)
        for change, lasting in [(one, lasting) for one in tried for lasting in (False, True)]:
            bar.update(task, description=change.name, refresh=True)
            title = f"{change.name}, {'for good' if lasting else 'once'}"
            tallies[title] = campaign.at_every_call(change, lasting=lasting)
            bar.advance(task)
        control = naive(models, base)
        tallies[control.name] = campaign.at_every_call(control, lasting=False, only="write")
        bar.advance(task)
    return sum_up(tallies, injector)


if __name__ == "__main__":
    sys.exit(main())
