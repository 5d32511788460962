"""What the commands of ``ev-qa`` share: options, the progress bar, and how results are shown."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ev_qa_runtime.row_range import parse_rows

PARITY_EXIT_CODES = """\b
Exit codes:
  0  done
  1  the two back ends differ (parity)
  2  the command line is wrong
  3  the model is missing, damaged, not trusted or cannot be used here, or the registry's rules refuse the change
  4  the telemetry or the configuration will not do
  5  a file cannot be read or written
  130  interrupted
"""
EXIT_CODES = PARITY_EXIT_CODES.replace("  1  the two back ends differ (parity)\n", "")

UNVERSIONED = "0.0.0"
NO_VERSION = "0.0.0, which stands for none (name it NAME_vX.Y.Z)"


class RowRange(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """``START:STOP`` of data rows."""

    name = "START:STOP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> slice:
        """See :func:`ev_qa_runtime.row_range.parse_rows`."""
        try:
            return value if isinstance(value, slice) else parse_rows(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


sign_option = click.option(
    "--current-sign",
    type=click.Choice(["discharge_positive", "charge_positive"]),
    help="Which current of the telemetry is positive.  [default: as in the model's training]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
rows_option = click.option("--rows", type=RowRange(), default=":", help="Data rows to use, from 0.", show_default=True)


def option_names(group: click.Group) -> frozenset[str]:
    """Every long option of a group's commands as Python would spell it: ``current_sign``."""
    names: set[str] = set()
    for command in group.commands.values():
        if isinstance(command, click.Group):
            names |= option_names(command)
        names |= {one[2:].replace("-", "_") for param in command.params for one in param.opts if one.startswith("--")}
    return frozenset(names)


def steps() -> Progress:
    """A progress bar on standard error; silent where that is not a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def show(values: dict[str, Any], as_json: bool, title: str) -> None:
    """Print ``values`` as a table of two columns under ``title``, or as JSON."""
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in values.items():
        table.add_row(name, NO_VERSION if (name, value) == ("version", UNVERSIONED) else cell(value))
    Console().print(table)


def cell(value: Any) -> str:
    """One value as a table shows it."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(" ".join(map(str, item.values())) if isinstance(item, dict) else cell(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
