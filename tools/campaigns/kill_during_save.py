"""The writer killed at every system call that touches the disk, in the middle of writes, and at random moments.

Usage: ``python -m tools.campaigns.kill_during_save [--slice] [--random N] [--seed N]``. After each kill the old or the
new model must load, whole, and the next save must succeed and leave three files. ``SIGINT`` takes the same round, and
must leave nothing of a save that it cut off. A naive writer is the control: it must be found out. Exits with 1 on a
fault.
"""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tools.campaigns.forked_child import Child, no_core_dumps
from tools.campaigns.injection import LOOKING, Call, Injector, chosen_injector
from tools.campaigns.injection import Fault as Injected
from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.saves import (
    Contents,
    Fault,
    Models,
    Scenario,
    Tally,
    check_next_save,
    contents,
    model_at,
    sized,
    visible,
    which,
)

from ev_qa_runtime.artifact import ArtifactPaths

CUTS_A_FILE = 25


@dataclass(slots=True)
class Campaign:
    """Folders, models and figures of one run."""

    root: Path
    models: Models
    injector: Injector
    short: bool
    kills_at_random: int
    rng: random.Random
    tallies: dict[str, Tally] = field(default_factory=dict)
    at_random: dict[str, Tally] = field(default_factory=dict)
    crashed: dict[tuple[tuple[str, bytes], ...], Contents] = field(default_factory=dict)
    """Every different folder that a kill left of an overwrite."""

    def tasks(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Every part of the campaign, with its title. The complete ``save_model`` last: it makes this process large."""
        everything = self.models.scenarios()
        first, overwrite = everything[0], everything[2]
        for scenario in [*([first, overwrite] if self.short else everything), self.models.naive()]:
            yield scenario.name, partial(self.at_every_call, scenario, "KILL")
        for scenario in [overwrite] if self.short else everything:
            yield f"SIGINT: {scenario.name}", partial(self.at_every_call, scenario, "INT")
        yield "killed again after a kill", self.after_crashes
        yield "killed in the middle of a write", self.in_the_middle_of_writes
        for scenario in (first, overwrite):
            yield f"random kills: {scenario.name}", partial(self.random_kills, scenario)
        yield "random kills, one after the other", self.random_chain
        yield "sign_model", lambda: self.at_every_call(self.models.signed(), "KILL")
        yield "save_model, overwrite", partial(self._complete, over=True)
        if not self.short:
            yield "save_model, first save", partial(self._complete, over=False)
            yield "random kills: save_model", lambda: self.random_kills(self.models.complete(over=True))

    def _complete(self, *, over: bool) -> None:
        self.at_every_call(self.models.complete(over=over), "KILL")

    def at_every_call(self, scenario: Scenario, fault: Injected, row: str | None = None) -> None:
        """One save for each of its calls, cut off there."""
        tally = self.tallies.setdefault(row or f"{'SIGINT: ' * (fault == 'INT')}{scenario.name}", Tally())
        with self._folder() as folder:
            paths = scenario.prepare(folder)
            old = model_at(paths)
            calls = self.injector.calls(lambda: scenario.save(paths), folder, hard_links=scenario.hard_links)
        if self.short:
            calls = [call for call in calls if call.name not in LOOKING]
            calls = calls[:: max(1, len(calls) // 5)] if scenario.marker else calls
        for call in calls:
            self.cut_off(scenario, old, call, fault, tally)

    def cut_off(self, scenario: Scenario, old: bytes | None, call: Call, fault: Injected, tally: Tally) -> None:
        """One save, cut off at ``call``, and what is left of it."""
        with self._folder() as folder:
            paths = scenario.prepare(folder)
            outcome = self.injector.run(lambda: scenario.save(paths), call, fault, hard_links=scenario.hard_links)
            tally.add("runs")
            expected = ("killed",) if fault == "KILL" else ("interrupted", "saved")
            where = f"{scenario.name}, {fault} at {call.name} {call.occurrence}"
            with self._noted(tally, where):
                if outcome.ended not in expected:
                    raise Fault(f"ended as {outcome}")
                there = contents(paths.folder)
                if fault == "KILL" and scenario.name == "overwrite":
                    self.crashed.setdefault(tuple(there.items()), there)
                loaded = which(scenario, paths, old)
                if fault == "INT":
                    check_nothing_left(scenario, loaded, there)
                tally.add(loaded)
                check_next_save(paths, self.models.other)

    def after_crashes(self) -> None:
        """A second save, cut off at every call, over each folder that a first one left."""
        states = list(self.crashed.values())
        if self.short:
            states = states[len(states) // 2 :][:1]
        for number, state in enumerate(states):
            scenario = replace(self.models.after_crash(number, state), new=self.models.other)
            scenario = replace(scenario, save=self.models.other.commit)
            self.at_every_call(scenario, "KILL", f"killed again, over {len(states)} folder(s) that a kill left")

    def in_the_middle_of_writes(self) -> None:
        """A save that is killed when a file has grown to a size: the write before is cut short there."""
        tally = self.tallies.setdefault("killed in the middle of a write", Tally())
        for suffix in ("joblib", "onnx", "json"):
            new = sized(self.models.new, suffix, 2 * max(map(len, self.models.new.files.values())))
            scenario = Scenario(f"cut .{suffix}", self.models.old.named("model"), new, new.commit)
            full = len(new.files[suffix])
            least = max((len(data) for other, data in new.files.items() if other != suffix), default=0)
            least = 0 if suffix == next(iter(new.files)) else least
            for cut in range(CUTS_A_FILE // (5 if self.short else 1)):
                self._killed_at_size(scenario, self.rng.randrange(least, full) if cut else full - 1, tally)

    def _killed_at_size(self, scenario: Scenario, size: int, tally: Tally) -> None:
        with self._folder() as folder:
            paths = scenario.prepare(folder)
            old = model_at(paths)

            def limited() -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
                scenario.save(paths)

            with Child(limited) as child:
                child.release()
                outcome = child.outcome()
            tally.add("runs")
            with self._noted(tally, f"{scenario.name} at {size} bytes"):
                if outcome.ended != "killed" or size not in map(len, contents(folder).values()):
                    raise Fault(f"ended as {outcome}, not in the middle of a write")
                tally.add(which(scenario, paths, old))
                check_next_save(paths, self.models.other)

    def random_kills(self, scenario: Scenario) -> None:
        """Kills at moments spread evenly over the time that a save takes, each over the same folder."""
        tally = self.at_random.setdefault(scenario.name, Tally())
        start, end = self._moments(scenario)
        for _ in range(self.kills_at_random):
            with self._folder() as folder:
                paths = scenario.prepare(folder)
                self._kill_once(scenario, paths, self.rng.uniform(start, end), tally)
                with self._noted(tally, scenario.name):
                    check_next_save(paths, self.models.other)

    def random_chain(self) -> None:
        """Kills one after the other in one folder that nobody tidies: each save meets what the last ones left."""
        tally = self.at_random.setdefault("overwrite, one after the other", Tally())
        start, end = self._moments(self.models.scenarios()[2])
        choice = [self.models.old, self.models.new, self.models.other, self.models.new.without_joblib()]
        with self._folder() as folder:
            paths = self.models.scenarios()[2].prepare(folder)
            for number in range(self.kills_at_random):
                new = choice[number % len(choice)]
                scenario = Scenario("one after the other", contents(folder), new, new.commit)
                self._kill_once(scenario, paths, self.rng.uniform(start, end), tally)
            with self._noted(tally, "one after the other"):
                check_next_save(paths, self.models.other)

    def _kill_once(self, scenario: Scenario, paths: ArtifactPaths, delay: float, tally: Tally) -> None:
        before, old = contents(paths.folder), model_at(paths)
        with Child(lambda: scenario.save(paths)) as child:
            child.release()
            time.sleep(delay)
            child.kill()
            outcome = child.outcome()
        tally.add("runs")
        with self._noted(tally, f"{scenario.name}, killed after {delay * 1000:.2f} ms"):
            if outcome.ended not in ("killed", "saved"):
                raise Fault(f"ended as {outcome}")
            there = contents(paths.folder)
            loaded = which(scenario, paths, old)
            tally.add(reached(before, there, loaded))
            tally.add(loaded)

    def _moments(self, scenario: Scenario) -> tuple[float, float]:
        """From when to when, in seconds, a save in a child may be killed: over all of it, and a little longer.

        The whole ``save_model`` scores for most of its time, writes at the end, and takes now more, now less time.
        """
        whole = self._seconds(scenario)
        if not scenario.marker:
            return 0.0, 1.1 * whole
        writing = self._seconds(self.models.scenarios()[2])
        return max(0.0, whole - 2 * writing), whole + 2 * writing

    def _seconds(self, scenario: Scenario) -> float:
        taken = []
        for _ in range(15):
            with self._folder() as folder:
                paths = scenario.prepare(folder)
                with Child(lambda paths=paths: scenario.save(paths)) as child:  # type: ignore[misc]
                    child.release()
                    taken.append(child.outcome().seconds)
        return statistics.median(taken)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """A name for a new folder, removed afterwards."""
        folder = self.root / "folder"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _noted(self, tally: Tally, where: str) -> Iterator[None]:
        try:
            yield
        except Fault as fault:
            tally.faults.append(f"{where}: {fault}")


def reached(before: Contents, there: Contents, loaded: str) -> str:
    """How far a save had got when it was killed."""
    if there == before:
        return "before"
    hidden = len(there) - len(visible(there))
    if loaded == "new" and not hidden:
        return "after"
    return f"during, {'new' if loaded == 'new' else 'old'}"


def check_nothing_left(scenario: Scenario, loaded: str, there: Contents) -> None:
    """An interrupted save undid what it had done, or had committed. Raises ``Fault``."""
    if loaded == "new":
        if not scenario.marker and there != scenario.new.named("model"):
            raise Fault(f"left {sorted(there)}")
    elif there != (scenario.before if not scenario.below else {}):
        raise Fault(f"left {sorted(there)}")


def show(campaign: Campaign) -> None:
    """Print the figures."""
    print_table(
        f"Saves cut off at every system call that touches the disk, by {campaign.injector.name}; then what loads",
        ("save", "cut off", "old", "new", "none yet", "faults"),
        [(name, *(one[key] for key in ("runs", "old", "new", "none")), len(one.faults))
         for name, one in campaign.tallies.items()],
    )  # fmt: skip
    keys = ("runs", "before", "during, old", "during, new", "after")
    print_table(
        "Saves killed at random moments: how far they had got",
        (
            "save",
            "kills",
            "before its first file",
            "underway, old or none",
            "underway, new",
            "after its last",
            "faults",
        ),
        [(name, *(one[key] for key in keys), len(one.faults)) for name, one in campaign.at_random.items()],
    )


def sum_up(campaign: Campaign) -> int:
    """Print the last line; the exit code."""
    control = campaign.models.naive().name
    faults = [fault for name, one in campaign.tallies.items() if name != control for fault in one.faults]
    faults += [fault for one in campaign.at_random.values() for fault in one.faults]
    naive = campaign.tallies[control]
    if not naive.faults:
        faults.append("the naive writer was not found out: this campaign shows nothing")
    at_calls = sum(one["runs"] for name, one in campaign.tallies.items() if name != control)
    at_random = sum(one["runs"] for one in campaign.at_random.values())
    claim = (
        f"{at_calls:,} saves cut off at a system call, {at_random:,} killed at random moments"
        f" (control: {len(naive.faults)} of {naive['runs']} torn)"
    )
    return finish("kill_during_save", claim, faults)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Kill the writer of a model at every system call and at random moments.")
    options.add_argument("--random", type=int, help="kills at random moments a kind of save (default 500; slice 20)")
    options.add_argument("--seed", type=int, default=4, help="of the random moments (default %(default)s)")
    options.add_argument("--without-strace", action="store_true", help="as on a machine where strace cannot trace")
    options.add_argument("--folder", type=Path, help="where to save (default: the system's temporary folder)")
    given = options.parse_args(argv)
    count = given.random or (20 if given.slice else 500)
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch, no_core_dumps(), progress() as bar:
        root = Path(scratch).resolve()
        (root / "trained").mkdir()
        models = Models.trained(root / "trained")
        rng = random.Random(given.seed)  # noqa: S311 - moments, not secrets
        campaign = Campaign(root, models, chosen_injector(without_strace=given.without_strace), given.slice, count, rng)
        tasks = list(campaign.tasks())
        task = bar.add_task("", total=len(tasks))
        for name, work in tasks:
            bar.update(task, description=name, refresh=True)
            work()
            bar.advance(task)
    show(campaign)
    return sum_up(campaign)


if __name__ == "__main__":
    sys.exit(main())
