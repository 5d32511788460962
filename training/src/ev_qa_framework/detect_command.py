"""``ev-qa detect``: what a model flags in telemetry, on the terminal."""

from __future__ import annotations

import json

import click
from rich.console import Console

from ev_qa_framework.command_line import EXIT_CODES, json_option, rows_option, steps
from ev_qa_runtime.exit_codes import printable


@click.command(epilog=EXIT_CODES, short_help="List the events that a model finds in telemetry.")
@click.argument("name")
@click.argument("telemetry", nargs=-1, required=True)
@click.option("--events-only", is_flag=True, help="Only the events, without a summary of each file and vehicle.")
@rows_option
@json_option
def detect(name: str, telemetry: tuple[str, ...], events_only: bool, rows: slice, as_json: bool) -> None:
    """Judge TELEMETRY (CSV or Parquet files, each a recording of its own) with the model NAME and list the events.

    Ends with 0 whatever is found: read the JSON for that.
    """
    with steps() as progress:
        task = progress.add_task("loading libraries", total=None)
        from ev_qa_framework.report.detection import Detection, detection  # noqa: PLC0415 - slow imports wait
        from ev_qa_framework.report.detection_text import print_detections  # noqa: PLC0415
        from ev_qa_framework.report.judged import load_detector, model_line  # noqa: PLC0415
        from ev_qa_framework.telemetry import read_table  # noqa: PLC0415

        progress.update(task, description="loading the model")
        detector = load_detector(name)
        found: list[Detection] = []
        for path in telemetry:
            progress.update(task, description=f"reading {printable(path)}", total=None)
            table = read_table(path, rows)
            progress.update(task, description=f"judging {printable(path)}", total=max(len(table), 1), completed=0)
            found.append(detection(detector, table, path, lambda more: progress.update(task, advance=more)))
    for one in found:
        if one.remark is not None:
            click.echo(f"ev-qa: warning: {printable(f'{one.source}: {one.remark}')}", err=True)
    if as_json:
        said = model_line(detector.contract) | {"recordings": [one.as_dict(events_only=events_only) for one in found]}
        click.echo(json.dumps(said, indent=2, allow_nan=False))
    else:
        print_detections(detector.contract, found, Console(), events_only=events_only)
