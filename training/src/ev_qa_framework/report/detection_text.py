"""What a model flags, as tables on a terminal, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ev_qa_framework.report.detection import Detection
from ev_qa_framework.report.headline import SHAPES
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.exit_codes import printable
from ev_qa_runtime.severity import Severity

STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "yellow",
    Severity.INFO: "green",
    Severity.INVALID: "magenta",
}


def print_detections(
    contract: ModelContract, found: Sequence[Detection], console: Console, *, events_only: bool = False
) -> None:
    """Print what was found in every recording; ``events_only``: nothing of recordings without events."""
    names = _names(found)
    if not events_only:
        console.print(f"{_shown(contract.name)} version {contract.version}")
        console.print(_vehicles(found))
    for one in found:
        if one.stories:
            console.print(_events(one, names[one.source]))
    if not found[0].over_time:
        console.print("This model judges each reading alone: there are flagged rows, but no events.")
    elif not any(one.stories for one in found):
        console.print("No events.")


def _vehicles(found: Sequence[Detection]) -> Table:
    table = Table(title="recordings", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    several = any(vehicle.vehicle for one in found for vehicle in one.vehicles)
    table.add_column("recording", overflow="fold")
    if several:
        table.add_column("vehicle", overflow="fold")
    table.add_column("worst row")
    for name in ("rows", "INVALID", "WARNING", "CRITICAL", "events"):
        table.add_column(name, justify="right")
    names = _names(found)
    for one in found:
        for vehicle in one.vehicles:
            counts = (vehicle.rows, vehicle.invalid, vehicle.warning, vehicle.critical)
            table.add_row(
                _shown(names[one.source]),
                *([_shown(vehicle.vehicle)] if several else []),
                _mark(vehicle.severity),
                *(f"{count:,}" for count in counts),
                f"{len(vehicle.events):,}" if one.over_time else "-",
            )
    return table


def _events(one: Detection, name: str) -> Table:
    table = Table(title=f"events in {_shown(name)}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    several = len(one.vehicles) > 1
    table.add_column("", justify="right")
    if several:
        table.add_column("vehicle", overflow="fold")
    for heading in ("severity", "start", "lasted", "why"):
        table.add_column(heading, overflow="fold")
    for story in one.stories:
        reasons = [*story.reasons, *(f"· {text}" for text in story.words)]
        table.add_row(
            str(story.number),
            *([_shown(story.event.vehicle)] if several else []),
            _mark(story.event.severity),
            story.began.replace(" ", "\n", 1) + f"\nrow {story.event.start_row:,}",
            story.lasted + (" and on" if story.lasting else ""),
            "\n".join(_shown(text) for text in reasons),
        )
    return table


def _names(found: Sequence[Detection]) -> dict[str, str]:
    """Source → file name, or the source itself where two files have the same name."""
    names = {one.source: Path(one.source).name for one in found}
    return names if len(set(names.values())) == len(names) else {source: source for source in names}


def _mark(severity: Severity) -> str:
    return f"[{STYLES[severity]}]{SHAPES[severity]} {severity}[/]"


def _shown(text: str) -> str:
    """Text from outside: neither rich's markup nor a control sequence for the terminal."""
    return escape(printable(text))
