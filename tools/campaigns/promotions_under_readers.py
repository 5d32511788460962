"""Readers that load ``ROOT@champion`` without pause while the champion is promoted and rolled back thousands of times.

Usage: ``python -m tools.campaigns.promotions_under_readers [--slice] [--changes N] [--readers N]``. Now and then a
model that nobody needs is archived, so that it vanishes under readers who have just resolved it. Every load must give
one published model, whole (name, version, digest, and scores of the golden rows), and one that was champion at some
moment between the beginning and the end of that load. A model whose files are overwritten in place is the control: its
readers must meet faults. Exits with 1 on a fault.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.small_models import ModelFiles, fitted

from ev_qa_runtime import load_model
from ev_qa_runtime.errors import RegistryError
from ev_qa_runtime.registry_reference import LocalFiles, latest_event

if TYPE_CHECKING:
    from ev_qa_framework.registry import Registry

FAMILY = "pack"
MODELS = 4
ARCHIVED_EVERY = 20
CONTROL_CHANGES = 300
Published = dict[str, tuple[str, str, tuple[float, ...]]]
"""Name → version, digest of the .onnx, and scores of the golden rows."""


@dataclass(slots=True)
class Seen:
    """What one reader met: (event before, event after, model) → loads, and what went wrong."""

    loads: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)


def identity(path: str | Path) -> tuple[str, tuple[str, str, tuple[float, ...]]]:
    """What the loaded model says it is, and what its golden rows score."""
    detector = load_model(path)
    contract = detector.contract
    scores = detector.score_samples(np.array(contract.golden.readings))
    return contract.name, (str(contract.version), contract.files["onnx"].sha256, tuple(scores.tolist()))


def read(root: str, path: str, published: Published, stop: Any, ready: Any, found: Any) -> None:
    """Load ``path`` until told to stop; runs in a process of its own."""
    seen = Seen()
    files = LocalFiles(root)
    ready.release()
    while not stop.is_set():
        before = _number(files)
        try:
            name, what = identity(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the campaign looks for
            seen.missing.append(f"after event {before}: {type(error).__name__}: {error}")
            continue
        if published.get(name) != what:
            seen.mixed.append(f"after event {before}: {name}, version {what[0]}, digest {what[1][:12]}")
        seen.loads[before, _number(files), name] += 1
    found.put(seen)


def _number(files: LocalFiles) -> int:
    last = latest_event(files)
    return 0 if last is None else last[0]


@dataclass(slots=True)
class Readers:
    """Processes that read until the end of the block; ``seen`` is theirs together."""

    root: str
    path: str
    published: Published
    count: int
    seen: list[Seen] = field(default_factory=list)
    _stop: Any = None
    _found: Any = None
    _processes: list[Any] = field(default_factory=list)

    def __enter__(self) -> Readers:
        context = multiprocessing.get_context("spawn")
        self._stop, self._found, ready = context.Event(), context.Queue(), context.Semaphore(0)
        given = (self.root, self.path, self.published, self._stop, ready, self._found)
        self._processes = [context.Process(target=read, args=given, daemon=True) for _ in range(self.count)]
        for process in self._processes:
            process.start()
        for _ in self._processes:
            ready.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.seen = [self._found.get(timeout=60) for _ in self._processes]
        for process in self._processes:
            process.join()


def publish(registry: Registry, folder: Path) -> Published:
    """Train and publish the models; what each must be when it is loaded."""
    from ev_qa_framework.publishing import publish_model  # noqa: PLC0415 - readers need none of it

    names = [f"{FAMILY}_v1.{number}.0" for number in range(MODELS)]
    for number, name in enumerate(names):
        fitted(number).save_model(folder / name)
        publish_model(registry, folder / name)
    return dict(identity(folder / name) for name in names)


def change(registry: Registry, rng: random.Random, done: Counter[str]) -> None:
    """One promotion or rollback; now and then also an archiving."""
    champion = registry.state().aliases[FAMILY]["champion"]
    others = [f"{FAMILY}_v1.{number}.0" for number in range(MODELS) if f"{FAMILY}_v1.{number}.0" != champion.model]
    if rng.random() < 1 / ARCHIVED_EVERY:
        done["archived"] += registry.archive(rng.choice(others)) is not None
    if champion.parent is not None and rng.random() < 0.5:
        try:
            registry.rollback(FAMILY)
        except RegistryError:
            pass
        else:
            done["rollbacks"] += 1
            return
    registry.promote(rng.choice(others))
    done["promotions"] += 1


def impossible(registry: Registry, seen: list[Seen]) -> list[str]:
    """Loads of a model that was champion at no moment between their beginning and their end."""
    events = registry.journal.history()
    champion = [event.change.aliases.get(FAMILY, {}).get("champion") for event in events]
    names = ["", *(target.model if target else "" for target in champion)]
    return [
        f"{count} loads of {name} between events {before} and {after}"
        for one in seen
        for (before, after, name), count in one.loads.items()
        if name not in names[before : after + 1]
    ]


def control(folder: Path, published: Published) -> int:
    """Faults that readers meet where files are overwritten in place."""
    models = [ModelFiles.of(folder / name) for name in published]
    naive = folder / "naive"
    naive.mkdir()

    def overwrite(model: ModelFiles) -> None:
        for suffix in ("onnx", "json"):
            (naive / f"champion.{suffix}").write_bytes(model.files[suffix])

    overwrite(models[0])
    with Readers(str(naive), str(naive / "champion"), published, 1) as readers:
        for number in range(CONTROL_CHANGES):
            overwrite(models[number % MODELS])
            time.sleep(0.002)  # the pace of the registry's changes, roughly
    return sum(len(one.missing) + len(one.mixed) for one in readers.seen)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Load the champion without pause while it is promoted and rolled back.")
    options.add_argument("--changes", type=int, help="promotions and rollbacks (default 10,000; slice 150)")
    options.add_argument("--readers", type=int, default=3, help="reading processes (default 3)")
    options.add_argument("--seed", type=int, default=0, help="of the order of changes")
    given = options.parse_args(argv)
    changes = given.changes or (150 if given.slice else 10_000)
    from ev_qa_framework.registry import Registry  # noqa: PLC0415 - spawned readers import this module too

    rng, done = random.Random(given.seed), Counter[str]()  # noqa: S311 - not for secrets
    with tempfile.TemporaryDirectory() as scratch, progress() as bar:
        root, folder = Path(scratch) / "models", Path(scratch) / "trained"
        registry = Registry(root, who="campaign")
        published = publish(registry, folder)
        registry.promote(f"{FAMILY}_v1.0.0")
        task = bar.add_task("promotions and rollbacks", total=changes)
        started = time.monotonic()
        with Readers(str(root), f"{root}@champion", published, given.readers) as readers:
            while done["promotions"] + done["rollbacks"] < changes:
                change(registry, rng, done)
                bar.update(task, completed=done["promotions"] + done["rollbacks"], refresh=True)
        seconds = time.monotonic() - started
        found = control(folder, published)
        faults = [fault for one in readers.seen for fault in (*one.missing, *one.mixed)]
        wrong = impossible(registry, readers.seen)
    loads = sum(one.loads.total() for one in readers.seen)
    meanwhile = sum(count for one in readers.seen for (before, after, _), count in one.loads.items() if before != after)
    print_table(
        f"{given.readers} readers during {changes:,} changes, {seconds:.0f} s",
        ("", "figure"),
        [
            *((name, done[name]) for name in ("promotions", "rollbacks", "archived")),
            ("loads", loads),
            ("loads with a change while they ran", meanwhile),
            ("missing", sum(len(one.missing) for one in readers.seen)),
            ("mixed", sum(len(one.mixed) for one in readers.seen)),
            ("never champion meanwhile", len(wrong)),
            ("CONTROL: faults where files are overwritten in place", found),
        ],
    )
    faults += wrong
    if not found:
        faults.append("files overwritten in place were not found out: this campaign shows nothing")
    return finish("promotions_under_readers", f"{changes} changes, {loads} loads", faults)


if __name__ == "__main__":
    sys.exit(main())
