"""What a model or limits flag, as tables on a terminal, readable at 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ev_qa_framework.report.detection import Detection
from ev_qa_framework.report.event_story import EventStory
from ev_qa_framework.report.headline import SHAPES
from ev_qa_framework.time_scale import local_text
from ev_qa_runtime.detector import Detector
from ev_qa_runtime.exit_codes import printable
from ev_qa_runtime.limits import Limits
from ev_qa_runtime.severity import Severity

DIGEST_SHOWN = 12
TOLD_CONTRIBUTIONS = 3

STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "yellow",
    Severity.INFO: "green",
    Severity.INVALID: "magenta",
}


def print_detections(heading: str, found: Sequence[Detection], console: Console, *, events_only: bool = False) -> None:
    """Print what was found in every recording; ``events_only``: nothing of recordings without events.

    ``heading`` says who judged: :func:`model_heading` or :func:`limits_heading`.
    """
    names = _names(found)
    if not events_only:
        console.print(_shown(heading), highlight=False)
        console.print(_vehicles(found))
    for one in found:
        if one.invalid and not events_only:
            console.print(_invalid(one, names[one.source]))
        if one.stories:
            console.print(_events(one, names[one.source]))
    unwatched = dict.fromkeys(name for one in found for name in one.unwatched)
    if unwatched and not events_only:
        console.print(f"Limits not watched, for want of signals or figures: {', '.join(unwatched)}.", highlight=False)
    if not found[0].over_time:
        console.print("This model judges each reading alone: there are flagged rows, but no events.")
    elif not any(one.stories for one in found):
        console.print("No events.")


def model_heading(detector: Detector) -> str:
    """Which model judged: its name, version, and the beginning of its sidecar's digest, as in a registry's history."""
    contract = detector.contract
    return f"{contract.name} version {contract.version} (sidecar sha256 {detector.sidecar_sha256[:DIGEST_SHOWN]}…)"


def limits_heading(limits: Limits) -> str:
    """Which limits judged, where there was no model."""
    pack = [f"{limits.cells_in_series} cells in series"] if limits.cells_in_series is not None else []
    pack += [f"{limits.capacity_ah:g} Ah"] if limits.capacity_ah is not None else []
    known = f" for {', '.join(pack)}" if pack else ""
    return f"limits {limits.profile}{known}, and ranges of the readings; no model"


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


def _invalid(one: Detection, name: str) -> Table:
    table = Table(title=f"not judged in {_shown(name)}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    several = len(one.vehicles) > 1
    if several:
        table.add_column("vehicle", overflow="fold")
    table.add_column("why", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("first", overflow="fold")
    table.add_column("last", overflow="fold")
    for reason in one.invalid:
        ends = (_at(reason.first_time, reason.first_row), _at(reason.last_time, reason.last_row))
        whose = [_shown(reason.vehicle)] if several else []
        table.add_row(*whose, _shown(reason.reason), f"{reason.rows:,}", *ends)
    return table


def _events(one: Detection, name: str) -> Table:
    table = Table(title=f"events in {_shown(name)}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", justify="right")
    table.add_column("severity")
    table.add_column("vehicle, when, why" if len(one.vehicles) > 1 else "when and why", overflow="fold")
    for story in one.stories:
        lines = [_shown(story.event.vehicle)] if len(one.vehicles) > 1 else []
        table.add_row(str(story.number), _mark(story.event.severity), "\n".join([*lines, *_story(story)]))
    return table


def _story(story: EventStory) -> list[str]:
    """An event in lines: when, its peak, the reasons, and what made the forest say so."""
    event = story.event
    lines = [f"from {_at(event.start_time, event.start_row)}"]
    lines.append(f"to   {_at(event.end_time, event.end_row)}")
    lines.append(f"for  {story.lasted}{'; not cleared when the telemetry ended' if story.lasting else ''}")
    score = "" if math.isnan(event.peak_score) else f", score {event.peak_score:.4f}"
    lines.append(f"peak {_at(event.peak_time, event.peak_row)}{score}")
    lines += [f"· {_shown(text)}" for text in story.at_peak]
    lines += [_shown(reason) for reason in story.reasons]
    lines += [f"· {_shown(text)}" for text in story.further_words]
    shortened = [one for one in story.contributions if one.share < 0.0][:TOLD_CONTRIBUTIONS]
    if shortened:
        told = ", ".join(f"{_shown(one.feature)} {-100 * one.share:.0f} %" for one in shortened)
        lines.append(f"path shortened by {told}")
    return lines


def _at(seconds: float | None, row: int) -> str:
    if seconds is None:
        return f"row {row:,}"
    return f"{local_text(seconds)} (row {row:,})"


def _names(found: Sequence[Detection]) -> dict[str, str]:
    """Source → file name, or the source itself where two files have the same name."""
    names = {one.source: Path(one.source).name for one in found}
    return names if len(set(names.values())) == len(names) else {source: source for source in names}


def _mark(severity: Severity) -> str:
    return f"[{STYLES[severity]}]{SHAPES[severity]} {severity}[/]"


def _shown(text: str) -> str:
    """Text from outside: neither rich's markup nor a control sequence for the terminal."""
    return escape(printable(text))
