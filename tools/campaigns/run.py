"""Every fault campaign, one after the other, with one summary: ``make campaigns``.

Usage: ``python -m tools.campaigns.run [--slice] [--only NAME …]``. Each runs in a process of its own and prints its own
table. Exits with 1 where one found a fault or did not finish.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tools.campaigns.reporting import parser, print_table
from tools.campaigns.small_models import ROOT

CAMPAIGNS = (
    "byte_changes",
    "signature_tampering",
    "kill_during_save",
    "disk_errors",
    "registry_disk_errors",
    "promotions_under_readers",
    "concurrent_registry",
    "kill_during_registry",
    "load_memory",
    "fuzz_artifacts",
    "streams_and_batches",
)


@dataclass(frozen=True, slots=True)
class Result:
    """How a campaign ended: its exit code, the line it sums up with, and its minutes."""

    name: str
    code: int
    said: str
    minutes: float


def present() -> list[str]:
    """The campaigns that this checkout has."""
    return [name for name in CAMPAIGNS if importlib.util.find_spec(f"tools.campaigns.{name}") is not None]


def run(name: str, arguments: Sequence[str]) -> Result:
    """Run one, its output shown as it comes."""
    started = time.monotonic()
    command = [sys.executable, "-m", f"tools.campaigns.{name}", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    said = last.removeprefix(f"{name}: ") if process.returncode in (0, 1) else "did not finish"
    return Result(name, process.returncode, said, (time.monotonic() - started) / 60)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser("Run every fault campaign.")
    options.add_argument("--only", nargs="+", choices=present(), metavar="NAME", help=f"of {', '.join(present())}")
    given = options.parse_args(argv)
    results = []
    for name in given.only or present():
        print(f"\n=== {name}", flush=True)
        results.append(run(name, ["--slice"] * given.slice))
    print_table(
        f"Fault campaigns{', short form' * given.slice}",
        ("campaign", "minutes", "exit", "result"),
        [(one.name, f"{one.minutes:.1f}", one.code, one.said) for one in results],
    )
    failed = [one.name for one in results if one.code]
    ended = f"FAILED: {', '.join(failed)}" if failed else "no fault"
    print(f"campaigns: {len(results)} run: {ended}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
