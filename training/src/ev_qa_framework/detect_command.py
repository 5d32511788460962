"""``ev-qa detect``: what a model, or limits alone, flag in telemetry, on the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ev_qa_framework.command_line import EXIT_CODES, json_option, rows_option, sign_option, steps
from ev_qa_runtime.artifact import SUFFIXES, ArtifactPaths, read_contract
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.exit_codes import in_options, printable

if TYPE_CHECKING:
    from ev_qa_framework.report.detection import Detection

HELP = """Judge TELEMETRY (CSV or Parquet files, each a recording of its own) and list the events.

With the model NAME, by what it learnt and by the limits that it carries:

\b
  ev-qa detect models/pack_v1.0.0 drive.csv

With --limits and no NAME, by physical limits and ranges of the readings alone:

\b
  ev-qa detect drive.csv --limits nmc

Ends with 0 whatever is found: read the JSON for that.
"""

Judge = Callable[[Any, str, Callable[[int], object]], "Detection"]
"""What judges one recording: its table, its name, and what is told of every chunk of rows."""


@click.command(
    help=HELP, epilog=EXIT_CODES, short_help="List the events that a model, or limits alone, find in telemetry."
)
@click.argument("arguments", nargs=-1, required=True, metavar="[NAME] TELEMETRY...")
@click.option(
    "--limits", metavar="PROFILE|FILE", help="No model: judge by the limits li_ion, nmc, nca, lfp or of a TOML file."
)
@sign_option
@click.option("--events-only", is_flag=True, help="Only the events, without a summary of each file and vehicle.")
@rows_option
@json_option
def detect(
    arguments: tuple[str, ...],
    limits: str | None,
    current_sign: CurrentSign | None,
    events_only: bool,
    rows: slice,
    as_json: bool,
) -> None:
    """See :data:`HELP`."""
    if limits is not None:
        _refuse_models(arguments)
    elif len(arguments) < 2:
        raise click.UsageError("name a model and telemetry, or telemetry and --limits PROFILE|FILE")
    with steps() as progress:
        task = progress.add_task("loading libraries", total=None)
        from ev_qa_framework.report.detection_text import print_detections  # noqa: PLC0415 - slow imports wait
        from ev_qa_framework.telemetry import read_table  # noqa: PLC0415

        if limits is None:
            progress.update(task, description="loading the model")
            judge, who, heading = _by_model(arguments[0], current_sign)
        else:
            judge, who, heading = _by_limits(limits, current_sign)
        found: list[Detection] = []
        for path in arguments if limits is not None else arguments[1:]:
            progress.update(task, description=f"reading {printable(path)}", total=None)
            table = read_table(path, rows)
            progress.update(task, description=f"judging {printable(path)}", total=max(len(table), 1), completed=0)
            found.append(judge(table, path, lambda more: progress.update(task, advance=more)))
    for one in found:
        if one.remark is not None:
            one.summary["remark"] = in_options(one.remark, ("current_sign",))
            click.echo(f"ev-qa: warning: {printable(one.source)}: {printable(one.summary['remark'])}", err=True)
    if as_json:
        said = who | {"recordings": [one.as_dict(events_only=events_only) for one in found]}
        click.echo(json.dumps(said, indent=2, allow_nan=False))
    else:
        print_detections(heading, found, Console(), events_only=events_only)


def _refuse_models(arguments: tuple[str, ...]) -> None:
    """A model among the telemetry: it has limits of its own, and nobody would know which of the two spoke."""
    for one in arguments:
        stored = "@" in one or ArtifactPaths.of(one).sidecar.exists()
        if one.endswith(SUFFIXES) or (stored and not Path(one).is_file()):
            if stored and "@" not in one and read_contract(one).monitoring is None:
                raise click.UsageError(
                    f"--limits judges without a model, and {one} is one, of readings alone: leave one of them out"
                )
            raise click.UsageError(
                f"--limits judges without a model, and {one} is one that carries its own limits: leave one of them out"
            )


def _by_model(name: str, current_sign: CurrentSign | None) -> tuple[Judge, dict[str, Any], str]:
    """What judges by a model, which one it is for the JSON, and as a heading."""
    from ev_qa_framework.report.detection import detection  # noqa: PLC0415 - slow imports wait
    from ev_qa_framework.report.detection_text import model_heading  # noqa: PLC0415
    from ev_qa_framework.report.judged import load_detector, model_line  # noqa: PLC0415

    detector = load_detector(name)
    return (
        lambda table, source, advance: detection(detector, table, source, advance, current_sign),
        model_line(detector),
        model_heading(detector),
    )


def _by_limits(limits: str, current_sign: CurrentSign | None) -> tuple[Judge, dict[str, Any], str]:
    """The same for limits alone."""
    from ev_qa_framework.limits_file import read_limits  # noqa: PLC0415 - as above
    from ev_qa_framework.report.detection import detection_by_limits, limits_line  # noqa: PLC0415
    from ev_qa_framework.report.detection_text import limits_heading  # noqa: PLC0415

    bounds = read_limits(limits)
    sign: CurrentSign = "unspecified" if current_sign is None else current_sign
    return (
        lambda table, source, advance: detection_by_limits(bounds, table, source, sign, advance),
        limits_line(bounds),
        limits_heading(bounds),
    )
