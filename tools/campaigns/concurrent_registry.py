"""Processes that publish, promote, roll back and archive in one registry at once: nobody's entry may be lost.

Usage: ``python -m tools.campaigns.concurrent_registry [--slice] [--processes N] [--rounds N] [--store local|s3]``. Each
process publishes versions that follow by rule and moves the one champion, in one family, so that all of them want the
same version numbers and the same next event. Afterwards every change that was acknowledged must be exactly one event,
the numbers must be without gap, the chain intact, and every file as its events say. With ``--store s3`` the registry
lies on moto's S3 server, on loopback; there is no lock there, the conditional put decides alone. Exits with 1 on a
fault.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.small_models import train

from ev_qa_runtime.errors import ModelNotFoundError, RegistryError

if TYPE_CHECKING:
    from ev_qa_framework.registry import Registry
    from ev_qa_framework.registry.event import Event

FAMILY = "pack"
CHANGES_A_ROUND = 4
SETTINGS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


@dataclass(slots=True)
class Work:
    """What one process did: number and nonce of every event that it was given, and what was refused."""

    acknowledged: list[tuple[int, str, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def note(self, event: Event | None) -> None:
        """Keep what was acknowledged."""
        if event is not None:
            self.acknowledged.append((event.number, event.nonce, event.change.action))


def work(root: str, model: str, who: int, rounds: int, barrier: Any) -> Work:
    """Publish once a round, then change the champion a few times; runs in a process of its own."""
    from ev_qa_framework.publishing import publish_model  # noqa: PLC0415 - in the process that works
    from ev_qa_framework.registry import Registry  # noqa: PLC0415 - the same

    registry, rng, done = Registry(root, who=f"process {who}"), random.Random(who), Work()  # noqa: S311 - no secret
    barrier.wait()
    for _ in range(rounds):
        try:
            done.note(publish_model(registry, model, family=FAMILY, follow=True, reason=f"by {who}"))
            for _ in range(CHANGES_A_ROUND):
                with refusals(done):
                    done.note(change(registry, rng))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the campaign looks for
            done.errors.append(f"process {who}: {type(error).__name__}: {error}")
    return done


@contextlib.contextmanager
def refusals(done: Work) -> Iterator[None]:
    """What the registry's rules refuse is no fault: another process was there first."""
    try:
        yield
    except (RegistryError, ModelNotFoundError) as error:
        done.refused[type(error).__name__] += 1


def change(registry: Registry, rng: random.Random) -> Event | None:
    """One random change."""
    name = rng.choice([name.text for name in registry.state().names])
    kind = rng.random()
    if kind < 0.45:
        return registry.promote(name, alias="champion" if kind < 0.35 else "challenger")
    if kind < 0.75:
        return registry.rollback(FAMILY)
    return registry.archive(name) if kind < 0.9 else registry.clear(FAMILY)


@contextlib.contextmanager
def stored_in(kind: str, folder: Path) -> Iterator[str]:
    """The root of a new registry; for S3 with a server that runs as long."""
    if kind == "local":
        yield str(folder / "models")
        return
    import s3fs  # type: ignore[import-untyped]  # noqa: PLC0415 - only for S3; ships no types
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - the same

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(zip(SETTINGS, (f"http://{host}:{port}", "campaign", "campaign", "us-east-1"), strict=True))
    try:
        s3fs.S3FileSystem().call_s3("create_bucket", Bucket="models")
        yield "s3://models/fleet"
    finally:
        server.stop()


def faults_of(root: str, works: list[Work]) -> tuple[int, list[str]]:
    """How many events there are, and what is wrong with them."""
    from ev_qa_framework.registry import Registry  # noqa: PLC0415 - workers import this module too
    from ev_qa_framework.registry.verification import verify  # noqa: PLC0415 - the same

    registry = Registry(root, who="campaign")
    events = registry.journal.history()
    faults = [fault for one in works for fault in one.errors]
    recorded = {(event.number, event.nonce) for event in events}
    acknowledged = Counter((number, nonce) for one in works for number, nonce, _ in one.acknowledged)
    faults += [f"event {number} was acknowledged and is not there" for number, _ in acknowledged.keys() - recorded]
    faults += [f"event {number} is there and nobody made it" for number, _ in recorded - acknowledged.keys()]
    faults += [
        f"event {number} was acknowledged {times} times" for (number, _), times in acknowledged.items() if times > 1
    ]
    if registry.journal.numbers() != list(range(1, len(events) + 1)):
        faults.append(f"the numbers have gaps: {len(events)} events, {registry.journal.numbers()[-1:]} is the last")
    return len(events), faults + list(verify(registry.store).faults)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Change one registry from many processes at once.")
    options.add_argument("--processes", type=int, default=8, help="how many (default 8)")
    options.add_argument("--rounds", type=int, help="publications a process (default 25; slice 2)")
    options.add_argument("--store", choices=["local", "s3"], default="local", help="where the registry lies")
    given = options.parse_args(argv)
    rounds = given.rounds or (2 if given.slice else 25)
    import ev_qa_framework.publishing  # noqa: F401, PLC0415 - once, for all that are forked

    # A server's threads and a client's event loop do not survive a fork.
    context = multiprocessing.get_context("fork" if given.store == "local" else "spawn")
    with (
        tempfile.TemporaryDirectory() as scratch,
        stored_in(given.store, Path(scratch)) as root,
        progress() as bar,
        context.Manager() as manager,
        context.Pool(given.processes) as pool,
    ):
        task = bar.add_task("changing", total=given.processes)
        barrier = manager.Barrier(given.processes)
        model = train(Path(scratch) / "trained", 1)[0]
        tasks = [(root, str(model), who, rounds, barrier) for who in range(given.processes)]
        started = time.monotonic()
        pending = [pool.apply_async(work, one) for one in tasks]
        works = []
        for one in pending:
            works.append(one.get(timeout=3600))
            bar.advance(task)
            bar.refresh()
        seconds = time.monotonic() - started
        events, faults = faults_of(root, works)
    actions = Counter(action for one in works for _, _, action in one.acknowledged)
    refused = sum(one.refused.total() for one in works)
    print_table(
        f"{given.processes} processes on one registry ({given.store}), {seconds:.0f} s",
        ("", "figure"),
        [
            *sorted(actions.items()),
            ("acknowledged", actions.total()),
            ("events in the history", events),
            ("refused by a rule", refused),
            ("faults", len(faults)),
        ],
    )
    return finish(
        "concurrent_registry", f"{given.store}: {actions.total()} changes acknowledged, {events} events", faults
    )


if __name__ == "__main__":
    sys.exit(main())
