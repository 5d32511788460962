"""``ev-qa report``: one recording under a model, as a page for people."""

from __future__ import annotations

from pathlib import Path

import click

from ev_qa_framework.command_line import EXIT_CODES, rows_option, sign_option, steps
from ev_qa_framework.page_file import refuse_unwritable
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.exit_codes import printable


@click.command(epilog=EXIT_CODES, short_help="Write a page on what a model finds in a recording.")
@click.argument("name")
@click.argument("telemetry")
@click.option("-o", "--output", "html", required=True, metavar="FILE", help="The page to write, e.g. report.html.")
@click.option("--png", metavar="FILE", help="Also write the picture of signals, score and events.")
@sign_option
@rows_option
def report(
    name: str, telemetry: str, html: str, png: str | None, current_sign: CurrentSign | None, rows: slice
) -> None:
    """Judge TELEMETRY (a CSV or Parquet file) with the model NAME and write a report: one page that needs no others.

    docs/report.md says what is in it.
    """
    for path in (html, png):
        if path is not None:
            refuse_unwritable(path, (telemetry,))
    if png is not None and Path(png).resolve() == Path(html).resolve():
        raise click.UsageError("the page and its picture need a file each")
    with steps() as progress:
        task = progress.add_task("loading libraries", total=None)
        from ev_qa_framework.report.judged import load_detector  # noqa: PLC0415 - slow imports wait until needed
        from ev_qa_framework.report.report import report_on  # noqa: PLC0415
        from ev_qa_framework.report.report_html import write_html, write_png  # noqa: PLC0415 - matplotlib
        from ev_qa_framework.telemetry import read_table  # noqa: PLC0415

        progress.update(task, description="loading the model")
        detector = load_detector(name)
        progress.update(task, description="reading telemetry")
        table = read_table(telemetry, rows)
        progress.update(task, description=f"judging {len(table):,} rows", total=max(len(table), 1))
        found = report_on(
            detector,
            table,
            table.attrs["source"],
            lambda more: progress.update(task, advance=more),
            current_sign=current_sign,
        )
        progress.update(task, description="drawing")
        write_html(found, html)
        if png is not None:
            write_png(found, png)
    click.echo(f"{html}: {printable(found.headline.title)}")
    if png is not None:
        click.echo(png)
