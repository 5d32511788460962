"""``ev-qa``: train, inspect, compare and migrate models from a shell."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ev_qa_runtime.artifact import ArtifactPaths
from ev_qa_runtime.contract import Profile
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.exit_codes import DIFFERS, INTERRUPTED, USER_ERRORS, exit_code, one_line
from ev_qa_runtime.row_range import parse_rows

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the two back ends differ (parity)
  2  the command line is wrong
  3  the model is missing, damaged or cannot be used here
  4  the telemetry or the configuration will not do
  5  a file cannot be read or written
  130  interrupted
"""


class RowRange(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """``START:STOP`` of data rows."""

    name = "START:STOP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> slice:
        """See :func:`ev_qa_runtime.row_range.parse_rows`."""
        try:
            return value if isinstance(value, slice) else parse_rows(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
rows_option = click.option("--rows", type=RowRange(), default=":", help="Data rows to use, from 0.", show_default=True)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ev-qa-framework")
def commands() -> None:
    """Train an anomaly detector for EV-battery telemetry once, deploy it many times."""


@commands.command(epilog=EXIT_CODES)
@click.argument("telemetry", nargs=-1, required=True)
@click.option("-o", "--output", "name", required=True, metavar="NAME", help="Model to write, e.g. models/battery_v1.0")
@click.option("--config", metavar="FILE", help="Parameters from a TOML or JSON file (docs/configuration.md).")
@click.option("--profile", help="Named profile in the configuration.")
@click.option("--metadata", "entries", multiple=True, metavar="KEY=VALUE", help="Kept with the model; repeatable.")
@click.option(
    "--onnx-profile",
    type=click.Choice(["exact", "compat"]),
    default="exact",
    show_default=True,
    help="compat: for gateways with onnxruntime 1.15 to 1.20.",
)
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace an existing model.")
@rows_option
@json_option
def train(
    telemetry: tuple[str, ...],
    name: str,
    config: str | None,
    profile: str | None,
    entries: tuple[str, ...],
    onnx_profile: Profile,
    no_overwrite: bool,
    rows: slice,
    as_json: bool,
) -> None:
    """Fit a model on TELEMETRY (one or more CSV or Parquet files) and save it as NAME.joblib, .onnx and .json.

    A value of --metadata is read as JSON where it is JSON, else kept as text.
    """
    if profile is not None and config is None:
        raise click.UsageError("--profile needs --config")
    metadata = dict(_metadata_entry(entry) for entry in entries)
    with _steps() as steps:
        task = steps.add_task("loading libraries", total=4)
        from ev_qa_framework.analysis import EVBatteryAnalyzer  # noqa: PLC0415 - slow imports wait until needed
        from ev_qa_framework.commit import refuse_existing  # noqa: PLC0415
        from ev_qa_framework.telemetry import feature_specs, read_tables  # noqa: PLC0415

        if no_overwrite:
            refuse_existing(ArtifactPaths.of(name))
        steps.update(task, advance=1, description="reading telemetry")
        analyzer = EVBatteryAnalyzer() if config is None else EVBatteryAnalyzer.from_config(config, profile)
        data = read_tables(telemetry, feature_specs(tuple(analyzer.features)), rows)
        steps.update(task, advance=1, description=f"fitting on {len(data):,} rows")
        started = time.perf_counter()
        result = analyzer.analyze_telemetry(data)
        seconds = time.perf_counter() - started
        steps.update(task, advance=1, description="exporting, checking parity, saving")
        analyzer.save_model(name, metadata=metadata, overwrite=not no_overwrite, profile=onnx_profile)
        steps.update(task, advance=1, description="done")
    info = analyzer.get_model_info()
    shown = {key: info[key] for key in ("name", "version", "created", "rows_trained_on", "parity_max_ulp")}
    shown |= {"training_data": result, "fit_seconds": seconds}
    _show(shown, as_json, f"trained {name}")


@commands.command(epilog=EXIT_CODES)
@click.argument("name")
@json_option
def info(name: str, as_json: bool) -> None:
    """Show what the model NAME is, what it was trained on, and the back end it would be scored with here."""
    from ev_qa_framework.analysis import EVBatteryAnalyzer  # noqa: PLC0415 - slow import

    _show(EVBatteryAnalyzer.load_model(name).get_model_info(), as_json, name)


@commands.command(epilog=EXIT_CODES)
@click.argument("name")
@click.argument("telemetry")
@click.option(
    "--adversarial",
    type=click.IntRange(min=0),
    default=10_000,
    show_default=True,
    help="Rows made to go wrong, added to the telemetry.",
)
@click.option(
    "--reference-rows",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Rows also scored with onnx.reference (slow).",
)
@rows_option
@json_option
def parity(name: str, telemetry: str, adversarial: int, reference_rows: int, rows: slice, as_json: bool) -> None:
    """Score TELEMETRY with scikit-learn, the runtime and onnx.reference, and count the bits that differ.

    Exits with 1 where any label or severity differs, or any score by more than one unit in the last place.
    """
    with _steps() as steps:
        task = steps.add_task("loading libraries", total=3)
        from ev_qa_framework.model_parity import model_parity  # noqa: PLC0415 - slow imports
        from ev_qa_framework.telemetry import read_table  # noqa: PLC0415

        steps.update(task, advance=1, description="reading telemetry")
        frame = read_table(telemetry, rows)
        steps.update(task, advance=1, description=f"scoring {len(frame):,} rows and {adversarial:,} adversarial ones")
        found = model_parity(name, frame, adversarial=adversarial, reference_rows=reference_rows)
        steps.update(task, advance=1, description="done")
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print_parity(found.as_dict())
    if not found.agrees:
        raise click.exceptions.Exit(DIFFERS)


@commands.command(epilog=EXIT_CODES)
@click.argument("legacy")
@click.option("-o", "--output", metavar="NAME", help="Model to write; default: beside LEGACY, under its name.")
@click.option("--trust", is_flag=True, help="Say that you trust LEGACY: unpickling runs whatever code it holds.")
@click.option("--features", metavar="A,B,…", help="Its columns in order, where the file does not name them.")
@click.option("--overwrite", is_flag=True, help="Replace an existing model.")
@json_option
def migrate(legacy: str, output: str | None, trust: bool, features: str | None, overwrite: bool, as_json: bool) -> None:
    """Convert LEGACY, a .joblib in the old structure without sidecar, into a whole model."""
    if not trust:
        raise ArtifactError(f"{legacy}: a pickle runs code when it is loaded; if you trust this file, add --trust")
    from ev_qa_framework import migration  # noqa: PLC0415 - slow import

    names = tuple(name.strip() for name in features.split(",")) if features else None
    analyzer = migration.migrate(legacy, output, features=names, overwrite=overwrite)
    model = analyzer.get_model_info()
    keys = ("name", "version", "created", "features", "parity_max_ulp", "metadata")
    _show({key: model[key] for key in keys}, as_json, f"migrated {legacy}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    try:
        code = commands.main(args=arguments, prog_name="ev-qa", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("ev-qa: error: interrupted", err=True)
        return INTERRUPTED
    except USER_ERRORS as error:
        click.echo(f"ev-qa: error: {one_line(error)}", err=True)
        return exit_code(error)
    return code if isinstance(code, int) else 0


def _metadata_entry(entry: str) -> tuple[str, Any]:
    key, equals, text = entry.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{entry!r} is not KEY=VALUE", param_hint="--metadata")
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def _steps() -> Progress:
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


def _show(values: dict[str, Any], as_json: bool, title: str) -> None:
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in values.items():
        table.add_row(name, _cell(value))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(" ".join(map(str, item.values())) if isinstance(item, dict) else _cell(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)


def _print_parity(found: dict[str, Any]) -> None:
    table = Table(title=f"parity of {found['model']}", title_justify="left")
    for heading in ("engine", "against", "rows", "max ulp", "labels differing", "severities differing"):
        table.add_column(heading)
    for row in found["comparisons"]:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
