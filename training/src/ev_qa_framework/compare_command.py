"""``ev-qa compare``: two models on the same telemetry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.console import Console

from ev_qa_framework.command_line import EXIT_CODES, json_option, rows_option, steps
from ev_qa_framework.page_file import refuse_unwritable

if TYPE_CHECKING:
    from ev_qa_framework.comparison import ModelComparison


@click.command(epilog=EXIT_CODES, short_help="Compare two models on the same telemetry.")
@click.argument("a")
@click.argument("b")
@click.argument("telemetry", nargs=-1, required=True)
@click.option("--labels", metavar="COLUMN", help="Column that says which rows are faults.")
@click.option("--html", metavar="FILE", help="Also write a report with plots, one file that needs no others.")
@click.option("--block-rows", type=int, help="Rows that the intervals take together; default: found from the data.")
@rows_option
@json_option
def compare(
    a: str,
    b: str,
    telemetry: tuple[str, ...],
    labels: str | None,
    html: str | None,
    block_rows: int | None,
    rows: slice,
    as_json: bool,
) -> None:
    """Score TELEMETRY (CSV or Parquet files, each a recording of its own) with the models A and B and compare them.

    A and B are paths of models, or references such as artifacts@champion.

    Differences are B − A: let A be the model in use and B the candidate. docs/comparison.md explains the figures.
    """
    if html is not None:
        refuse_unwritable(html, telemetry)
    with steps() as progress:
        task = progress.add_task("loading libraries", total=3)
        from ev_qa_framework.comparison import compare_models  # noqa: PLC0415 - slow imports wait until needed
        from ev_qa_framework.comparison.report_text import print_comparison  # noqa: PLC0415
        from ev_qa_framework.telemetry import read_table  # noqa: PLC0415

        progress.update(task, advance=1, description="reading telemetry")
        tables = [read_table(path, rows) for path in telemetry]
        progress.update(task, advance=1, description=f"comparing on {sum(map(len, tables)):,} rows")
        found = compare_models(a, b, tables, labels, block_rows=block_rows)
        progress.update(task, advance=1, description="done")
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, allow_nan=False))
    else:
        print_comparison(found, Console())
    if html is not None:  # last, so that a disk that is full takes the report only
        _write_report(found, html)


def _write_report(found: ModelComparison, html: str) -> None:
    with steps() as progress:
        progress.add_task("drawing the report", total=None)
        from ev_qa_framework.comparison.report_html import write_html  # noqa: PLC0415 - matplotlib

        write_html(found, html)
