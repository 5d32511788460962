"""What the campaigns share on the command line: options, progress on a terminal, the last line and the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

SHOWN_FAULTS = 20


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with ``--slice``, the short form of every campaign."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--slice", action="store_true", help="a short form of some seconds, as the tests run it")
    return made


def progress() -> Progress:
    """A bar on a terminal, nothing elsewhere; without a thread of its own, so that the process may fork."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    return Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal, transient=True)


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a log is not as narrow as Rich takes it to be
    console.print(table)


def finish(name: str, claim: str, faults: Sequence[str]) -> int:
    """Print the faults and the line that sums up; the exit code."""
    for fault in faults[:SHOWN_FAULTS]:
        print(f"FAULT {fault}")
    if len(faults) > SHOWN_FAULTS:
        print(f"… and {len(faults) - SHOWN_FAULTS} more")
    print(f"{name}: {claim}: {f'{len(faults)} FAULTS' if faults else 'no fault'}")
    return 1 if faults else 0
