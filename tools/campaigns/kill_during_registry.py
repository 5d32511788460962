"""Changes of a registry killed at every system call that touches its folder.

Usage: ``python -m tools.campaigns.kill_during_registry [--slice]``. After each kill the history must be without gap and
verified, with the change recorded or not, the champion must be the one that the history says, and load, whole. A change
that was not recorded must succeed when it is tried again, one that was must not be in the way of the next; after
pruning nothing may be left of it. Exits with 1 on a fault.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.campaigns.injection import LOOKING, Call, Injector, chosen_injector
from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.saves import Fault, Tally
from tools.campaigns.small_models import train

from ev_qa_framework.registry import Registry
from ev_qa_framework.registry.leftovers import leftovers
from ev_qa_framework.registry.model_files import ModelFiles, read_model
from ev_qa_framework.registry.retention import RetentionPolicy, prune
from ev_qa_framework.registry.verification import verify
from ev_qa_runtime import load_model

FAMILY, OTHER = "pack", "other"
TWO_DAYS = 2 * 24 * 3600
KEEP_ALL = RetentionPolicy(keep=1000)
EVERY_SLICE = 7
Operation = Callable[[Registry], object]


@dataclass(frozen=True, slots=True)
class Change:
    """A change under test, over a copy of the registry ``base``."""

    name: str
    base: Path
    do: Operation


@dataclass(frozen=True, slots=True)
class Expected:
    """What the history and the champion were before the change and are after it."""

    events: int
    champion: str | None
    champion_after: str | None


@dataclass(frozen=True, slots=True)
class Staged:
    """Models that wait to be published, by their full names; ``next`` is one that no change here publishes."""

    files: dict[str, ModelFiles]

    @property
    def versions(self) -> list[str]:
        """The names in the family under test, lowest version first."""
        return sorted(name for name in self.files if name.startswith(f"{FAMILY}_"))

    def publish(self, registry: Registry, name: str, to: str = "experiments") -> object:
        """Publish one of them."""
        return registry.publish(name, self.files[name], to=to)


def staged(folder: Path) -> Staged:
    """Train four models, and give them their names and versions by publishing them in a registry of their own."""
    from ev_qa_framework.publishing import publish_model  # noqa: PLC0415 - only here, and it is large

    staging = Registry(folder / "staging", who="campaign")
    paths = train(folder, 4)
    for path in paths:
        publish_model(staging, path, family=FAMILY, follow=True)
    for family in (OTHER, "next"):
        publish_model(staging, paths[0], family=family, version="1.0.0")
    names = [name.text for name in staging.state().names]
    return Staged({name: read_model(staging.store, "experiments", name) for name in names})


def base_registry(root: Path, models: Staged) -> None:
    """A registry with a champion that had a predecessor, a challenger, and an archived model."""
    registry = Registry(root, who="campaign")
    first, second, third, _ = models.versions
    for name in (first, second, third, f"{OTHER}_v1.0.0"):
        models.publish(registry, name)
    registry.promote(first)
    registry.promote(second)
    registry.promote(third, alias="challenger")
    registry.archive(f"{OTHER}_v1.0.0")


def changes(base: Path, models: Staged) -> list[Change]:
    """Every change that a registry knows."""
    first, _, third, last = models.versions
    empty = base.with_name("empty")
    return [
        Change("first publish", empty, lambda registry: models.publish(registry, first)),
        Change("publish", base, lambda registry: models.publish(registry, last)),
        Change("publish to production", base, lambda registry: models.publish(registry, last, to="production")),
        Change("promote", base, lambda registry: registry.promote(third)),
        Change("promote to challenger", base, lambda registry: registry.promote(first, alias="challenger")),
        Change("roll back", base, lambda registry: registry.rollback(FAMILY)),
        Change("clear", base, lambda registry: registry.clear(FAMILY)),
        Change("archive", base, lambda registry: registry.archive(first)),
        Change("prune", base, lambda registry: prune(registry, RetentionPolicy(keep=0))),
    ]


def champion_of(root: Path) -> str | None:
    """The name of the champion that loads; None before the first."""
    registry = Registry(root, who="campaign")
    targets = registry.state().aliases.get(FAMILY, {})
    if "champion" not in targets:
        return None
    loaded = str(load_model(f"{root}@{FAMILY}/champion").info["name"])
    if loaded != targets["champion"].model:
        raise Fault(f"the champion is {targets['champion'].model}, but {loaded} was loaded")
    return loaded


def expected(change: Change, root: Path) -> Expected:
    """What the change does when nobody kills it."""
    shutil.copytree(change.base, root)
    before, champion = len(Registry(root, who="campaign").journal.numbers()), champion_of(root)
    change.do(Registry(root, who="campaign"))
    found = Expected(before, champion, champion_of(root))
    if len(Registry(root, who="campaign").journal.numbers()) != before + 1:
        raise Fault(f"{change.name} is not one event")
    shutil.rmtree(root)
    return found


def check(change: Change, root: Path, want: Expected, models: Staged) -> str:
    """``recorded`` or ``not recorded``. Raises ``Fault`` for anything that must not be."""
    recorded = _history(root) - want.events
    if recorded not in (0, 1):
        raise Fault(f"{recorded} events were recorded")
    champion = want.champion_after if recorded else want.champion
    if champion_of(root) != champion:
        raise Fault(f"{champion_of(root)} is champion, not {champion}")
    registry = Registry(root, who="campaign")
    if not recorded:
        change.do(registry)
    models.publish(registry, "next_v1.0.0")
    if _history(root) != want.events + 2:
        raise Fault(f"{_history(root)} events in the end, not {want.events + 2}")
    _prune_what_is_left(root)
    if champion_of(root) != want.champion_after:
        raise Fault("pruning changed the champion")
    return "recorded" if recorded else "not recorded"


def _history(root: Path) -> int:
    """How many events there are; they are without gap, and everything they say is true."""
    registry = Registry(root, who="campaign")
    numbers = registry.journal.numbers()
    if numbers != list(range(1, len(numbers) + 1)):
        raise Fault(f"the history has gaps: {numbers}")
    if registry.state().is_empty:  # killed before the first event: there is nothing to verify
        return 0
    faults = verify(registry.store).faults
    if faults:
        raise Fault(f"verify: {'; '.join(faults)}")
    return len(numbers)


def _prune_what_is_left(root: Path) -> None:
    then = time.time() - TWO_DAYS
    for file in root.rglob("*"):
        os.utime(file, (then, then))  # what is older than a day is no upload that still goes on
    registry = Registry(root, who="campaign")
    prune(registry, KEEP_ALL)
    left = [found.path for found in leftovers(registry.store, registry.state())]
    left += list(verify(registry.store).remarks)
    if left:
        raise Fault(f"pruning left {left}")


def killed_at(change: Change, call: Call, injector: Injector, root: Path) -> None:
    """The change over a new copy of its base, killed at ``call``."""
    shutil.copytree(change.base, root)
    outcome = injector.run(lambda: change.do(Registry(root, who="campaign")), call, "KILL")
    if outcome.ended != "killed":
        raise Fault(f"ended as {outcome}")


def kill_everywhere(change: Change, injector: Injector, models: Staged, root: Path, step: int) -> Tally:
    """One run for each of the change's calls that change something on the disk."""
    tally = Tally()
    want = expected(change, root)
    shutil.copytree(change.base, root)
    calls = injector.calls(lambda: change.do(Registry(root, who="campaign")), root)
    shutil.rmtree(root)
    for call in [call for call in calls if call.name not in LOOKING][::step]:
        try:
            killed_at(change, call, injector, root)
            tally.add("runs")
            tally.add(check(change, root, want, models))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong after a kill is what is looked for
            said = str(error) if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
            tally.faults.append(f"{change.name}, killed at {call.name} {call.occurrence}: {said}")
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Kill changes of a registry at every system call.")
    options.add_argument("--without-strace", action="store_true", help="as on a machine where strace cannot trace")
    options.add_argument("--folder", type=Path, help="where the registry lies (default: the system's temporary folder)")
    given = options.parse_args(argv)
    injector = chosen_injector(without_strace=given.without_strace)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch, progress() as bar:
        folder = Path(scratch).resolve()
        models = staged(folder)
        base = folder / "base"
        (folder / "empty").mkdir()
        base_registry(base, models)
        kill = partial(kill_everywhere, injector=injector, models=models, root=folder / "registry")
        task = bar.add_task("", total=len(changes(base, models)))
        for change in changes(base, models):
            bar.update(task, description=change.name, refresh=True)
            tallies[change.name] = kill(change, step=EVERY_SLICE if given.slice else 1)
            bar.advance(task)
    print_table(
        f"Changes of a registry killed at every system call that changes something on the disk, by {injector.name}",
        ("change", "kills", "not recorded", "recorded", "faults"),
        [(name, one["runs"], one["not recorded"], one["recorded"], len(one.faults)) for name, one in tallies.items()],
    )
    faults = [fault for one in tallies.values() for fault in one.faults]
    claim = f"{sum(one['runs'] for one in tallies.values()):,} changes killed, none half done"
    return finish("kill_during_registry", claim, faults)


if __name__ == "__main__":
    sys.exit(main())
