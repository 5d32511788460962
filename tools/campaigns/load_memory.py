"""Hundreds of loads of alternating models in one process: its memory must not grow.

Usage: ``python -m tools.campaigns.load_memory [--slice] [--loads N]``. Each way of loading gets a process of its own,
which first warms up, then loads two models in turn. Read after garbage collection, and after the C library has given
back what it keeps in reserve: the resident memory, from the system; and at both ends how many objects Python's
collector knows. Growth is the median of the slopes within the quarters of the loads, each the median of the slopes
between all pairs of readings: one step of an allocator or of a growing table is no leak, a leak grows in every quarter.
A loader that keeps every contract is the control: it must be found out. Linux only. Exits with 1 where memory grows.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import multiprocessing
import os
import statistics
import sys
import tempfile
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.small_models import train

BOUND_KIB = 3.0
"""Resident growth a load. A contract that is kept weighs 12 KiB, a model much more; what the allocator breaks up and
what onnxruntime itself keeps of a session (some 70 bytes) stays far below."""

BOUND_OBJECTS = 0.1
"""Growth a load of the number of Python's objects, which is exact: one object kept a load is ten times that."""

WARM_UP = 100
QUARTERS = 4
EVERY = 5
"""Loads between two readings of the memory."""

REFERENCES = "runtime, ROOT@FAMILY/champion"
CONTROL = "CONTROL: runtime, keeping each model's contract"


@dataclass(frozen=True, slots=True)
class Grown:
    """What a loader's process used: KiB after the warm-up and at the end; KiB and objects a load in between."""

    first: int
    last: int
    kib: float
    objects: float

    @property
    def grows(self) -> bool:
        """Whether something is kept."""
        return self.kib > BOUND_KIB or self.objects > BOUND_OBJECTS


def loader(name: str) -> Callable[[str], object]:
    """A way of loading a model; imports what it needs."""
    if "EVBatteryAnalyzer" in name:
        from ev_qa_framework import EVBatteryAnalyzer  # noqa: PLC0415 - in the process that measures

        backend: Literal["sklearn", "onnx"] = "sklearn" if name.endswith("sklearn") else "onnx"
        return lambda path: EVBatteryAnalyzer.load_model(path, backend=backend)
    from ev_qa_runtime import load_model  # noqa: PLC0415 - the same

    kept: list[Any] = []
    return (lambda path: kept.append(load_model(path).contract)) if name == CONTROL else load_model


def references(paths: Sequence[Path], root: Path) -> list[str]:
    """Each model as the champion of a family of its own in a registry at ``root``."""
    from ev_qa_framework.publishing import publish_model  # noqa: PLC0415 - only here, and it is large
    from ev_qa_framework.registry import Registry  # noqa: PLC0415 - the same

    registry = Registry(root, who="campaign")
    for path in paths:
        publish_model(registry, path, family=path.name, version="1.0.0")
        registry.promote(f"{path.name}_v1.0.0")
    return [f"{root}@{path.name}/champion" for path in paths]


def growth(readings: Sequence[int]) -> float:
    """KiB a load: the median over the quarters of the readings, which lie ``EVERY`` loads apart."""
    size = len(readings) // QUARTERS
    return statistics.median(_slope(readings[first : first + size + 1]) for first in range(0, size * QUARTERS, size))


def _slope(readings: Sequence[int]) -> float:
    pairs = itertools.combinations(enumerate(readings), 2)
    return statistics.median((late - early) / (n - m) for (m, early), (n, late) in pairs) / EVERY


def resident_kib() -> int:
    """Resident memory of this process, without what the C library keeps in reserve."""
    with contextlib.suppress(AttributeError):  # glibc's; others have no such call
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def measured(name: str, paths: Sequence[str], loads: int) -> Grown:
    """Load the models in turn, and read the memory."""
    load = loader(name)
    turns = itertools.cycle(paths)
    for _ in range(WARM_UP):
        load(next(turns))
    count = loads // EVERY + 1
    kib = array("q", bytes(8 * count))  # made before: readings take no memory
    resident_kib()  # what it imports is no growth
    gc.collect()
    objects = len(gc.get_objects())
    for reading in range(count):
        gc.collect()
        kib[reading] = resident_kib()
        for _ in range(EVERY):
            load(next(turns))
    gc.collect()
    objects = len(gc.get_objects()) - objects
    return Grown(kib[0], kib[-1], growth(kib), objects / (count * EVERY))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Load models over and over: memory must not grow.")
    options.add_argument("--loads", type=int, help="loads in each way (default 400; slice 100)")
    given = options.parse_args(argv)
    loads = given.loads or (100 if given.slice else 400)
    names = ["runtime", REFERENCES, "EVBatteryAnalyzer, sklearn", "EVBatteryAnalyzer, onnx", CONTROL]
    found: dict[str, Grown] = {}
    with tempfile.TemporaryDirectory() as scratch, progress() as bar:
        trained = train(Path(scratch), 2, trees=25 if given.slice else 100)
        paths, champions = [str(path) for path in trained], references(trained, Path(scratch, "models"))
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name, refresh=True)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[name] = pool.apply(measured, (name, champions if name == REFERENCES else paths, loads))
            bar.advance(task)
    print_table(
        f"Resident memory over {loads} loads of alternating models",
        ("loaded by", "KiB, warm", "KiB, at the end", "KiB a load", "Python objects a load"),
        [(name, one.first, one.last, f"{one.kib:+.3f}", f"{one.objects:+.3f}") for name, one in found.items()],
    )
    control = found.pop(CONTROL)
    faults = [
        f"{name}: grows by {one.kib:.2f} KiB and {one.objects:.2f} objects a load"
        for name, one in found.items()
        if one.grows
    ]
    if not control.grows:
        faults.append("the loader that keeps what it loads was not found out: this campaign shows nothing")
    kib, objects = max(one.kib for one in found.values()), max(one.objects for one in found.values())
    claim = (
        f"{loads} loads each, at most {kib:+.3f} KiB (bound {BOUND_KIB}) and {objects:+.3f} objects"
        f" (bound {BOUND_OBJECTS}) a load (control: {control.kib:+.1f} KiB, {control.objects:+.1f} objects)"
    )
    return finish("load_memory", claim, faults)


if __name__ == "__main__":
    sys.exit(main())
