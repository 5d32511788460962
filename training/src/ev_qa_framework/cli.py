"""``ev-qa``: train, inspect, compare and migrate models from a shell."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ev_qa_framework.calibrate_command import calibrate
from ev_qa_framework.command_line import (
    EXIT_CODES,
    PARITY_EXIT_CODES,
    json_option,
    option_names,
    rows_option,
    show,
    steps,
)
from ev_qa_framework.compare_command import compare
from ev_qa_framework.detect_command import detect
from ev_qa_framework.registry_commands import registry_group
from ev_qa_framework.report_command import report
from ev_qa_framework.signing_commands import (
    expires_option,
    key_to_sign_with,
    keygen,
    passphrase_option,
    sign,
    signatures,
)
from ev_qa_runtime.contract import Profile
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.exit_codes import DIFFERS, INTERRUPTED, USER_ERRORS, exit_code, in_options, one_line, printable


@click.group(epilog=PARITY_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ev-qa-framework")
def commands() -> None:
    """Train an anomaly detector for EV-battery telemetry once, deploy it many times."""


@commands.command(epilog=EXIT_CODES, short_help="Fit a model on telemetry and save it.")
@click.argument("telemetry", nargs=-1, required=True)
@click.option("-o", "--output", "name", required=True, metavar="NAME", help="Model to write, e.g. models/battery_v1.0")
@click.option("--config", metavar="FILE", help="Parameters from a TOML or JSON file (docs/configuration.md).")
@click.option("--profile", help="Named profile in the configuration.")
@click.option(
    "--features",
    type=click.Choice(["physics"]),
    help="physics: judge readings over time (docs/physics.md); each file is a trip.",
)
@click.option(
    "--limits", metavar="PROFILE|FILE", help="Limits of a model over time: li_ion, nmc, nca, lfp or a TOML file."
)
@click.option("--current-sign", type=click.Choice(["discharge_positive", "charge_positive"]), help="Of the telemetry.")
@click.option("--metadata", "entries", multiple=True, metavar="KEY=VALUE", help="Kept with the model; repeatable.")
@click.option(
    "--onnx-profile",
    type=click.Choice(["exact", "compat"]),
    default="exact",
    show_default=True,
    help="compat: for gateways with onnxruntime 1.15 to 1.20.",
)
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace an existing model.")
@click.option("--sign-with", metavar="FILE", help="Sign the model with this private key (ev-qa keygen).")
@passphrase_option
@expires_option
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
    **options: str | None,
) -> None:
    """Fit a model on TELEMETRY (one or more CSV or Parquet files) and save it as NAME.joblib, .onnx and .json.

    A value of --metadata is read as JSON where it is JSON, else kept as text.
    """
    if profile is not None and config is None:
        raise click.UsageError("--profile needs --config")
    metadata = dict(_metadata_entry(entry) for entry in entries)
    over_time = {key: options.pop(key) for key in ("features", "limits", "current_sign")}
    signed = _signing(**options)
    with steps() as progress:
        task = progress.add_task("loading libraries", total=4)
        from ev_qa_framework.analysis import EVBatteryAnalyzer  # noqa: PLC0415 - slow imports wait until needed
        from ev_qa_framework.commit import refuse_existing  # noqa: PLC0415
        from ev_qa_framework.limits_file import read_limits, resting_limits  # noqa: PLC0415
        from ev_qa_framework.registry.destination import destination  # noqa: PLC0415
        from ev_qa_framework.telemetry import read_for_fitting  # noqa: PLC0415

        paths = destination(name)
        if no_overwrite:
            refuse_existing(paths)
        progress.update(task, advance=1, description="reading telemetry")
        analyzer = EVBatteryAnalyzer() if config is None else EVBatteryAnalyzer.from_config(config, profile)
        analyzer.set_params(**{key: value for key, value in over_time.items() if value is not None})
        data = read_for_fitting(telemetry, analyzer.features, rows)
        progress.update(task, advance=1, description=f"fitting on {len(data):,} rows")
        started = time.perf_counter()
        result = analyzer.analyze_telemetry(data)
        seconds = time.perf_counter() - started
        progress.update(task, advance=1, description="exporting, checking parity, saving")
        analyzer.save_model(name, metadata=metadata, overwrite=not no_overwrite, profile=onnx_profile, **signed)
        progress.update(task, advance=1, description="done")
    if (remark := analyzer.threshold_remark()) is not None:
        warnings.warn(remark, stacklevel=1)
    info = analyzer.get_model_info()
    shown = {key: info[key] for key in ("name", "version", "created", "rows_trained_on", "parity_max_ulp", "signed_by")}
    shown |= {key: info[key] for key in ("warning_threshold", "critical_threshold")}
    shown |= {"calibration": info["monitoring"]["calibration"]} if "monitoring" in info else {}
    if not as_json and "events" in result:
        result |= {"events": f"{len(result['events'])} (ev-qa detect lists them)"}
    shown |= {"training_data": result, "fit_seconds": seconds}
    if over_time["limits"] is not None and "monitoring" in info:
        resting = resting_limits(read_limits(over_time["limits"]), info["monitoring"]["signals"])
        if resting is not None:
            warnings.warn(resting, stacklevel=1)
    show(shown, as_json, f"trained {name}")


@commands.command(epilog=EXIT_CODES, short_help="Show what a model is.")
@click.argument("name")
@json_option
def info(name: str, as_json: bool) -> None:
    """Show what the model NAME is, what it was trained on, and the back end it would be scored with here.

    NAME is a path, or a reference such as artifacts@champion.
    """
    from ev_qa_framework.analysis import EVBatteryAnalyzer  # noqa: PLC0415 - slow import

    show(EVBatteryAnalyzer.load_model(name).get_model_info(), as_json, name)


@commands.command(epilog=PARITY_EXIT_CODES, short_help="Score with every engine and count the bits that differ.")
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

    NAME is a path, or a reference such as artifacts@champion.

    Exits with 1 where any label or severity differs, or any score by more than one unit in the last place.
    """
    with steps() as progress:
        task = progress.add_task("loading libraries", total=3)
        from ev_qa_framework.model_parity import model_parity  # noqa: PLC0415 - slow imports
        from ev_qa_framework.telemetry import read_table  # noqa: PLC0415

        progress.update(task, advance=1, description="reading telemetry")
        frame = read_table(telemetry, rows)
        progress.update(
            task, advance=1, description=f"scoring {len(frame):,} rows and {adversarial:,} adversarial ones"
        )
        found = model_parity(name, frame, adversarial=adversarial, reference_rows=reference_rows)
        progress.update(task, advance=1, description="done")
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print_parity(found.as_dict())
    if not found.agrees:
        raise click.exceptions.Exit(DIFFERS)


@commands.command(epilog=EXIT_CODES, short_help="Convert a .joblib in the old structure.")
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
    show({key: model[key] for key in keys}, as_json, f"migrated {legacy}")


for command in (calibrate, compare, detect, report, keygen, sign, signatures, registry_group):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code. Warnings are told in one line each, once."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _teller()
            code = commands.main(args=arguments, prog_name="ev-qa", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("ev-qa: error: interrupted", err=True)
        return INTERRUPTED
    except USER_ERRORS as error:
        click.echo(f"ev-qa: error: {in_options(one_line(error), option_names(commands))}", err=True)
        return exit_code(error)
    return code if isinstance(code, int) else 0


def _teller() -> Callable[..., None]:
    """What tells a warning once, in one line, in the words of the command line."""
    told: set[str] = set()

    def tell(message: Warning | str, *_where: object) -> None:
        text = " ".join(str(message).split()).replace("call calibrate()", "run ev-qa calibrate")
        if text not in told:
            told.add(text)
            click.echo(f"ev-qa: warning: {printable(in_options(text, option_names(commands)))}", err=True)

    return tell


def _signing(sign_with: str | None, passphrase_env: str | None, expires: str | None) -> dict[str, Any]:
    """What ``save_model`` takes to sign; the key is read before the fit, so that a wrong one is told at once."""
    if sign_with is None:
        if passphrase_env is not None or expires is not None:
            raise click.UsageError("--passphrase-env and --expires need --sign-with")
        return {}
    return {"sign_with": key_to_sign_with(sign_with, passphrase_env), "signature_expires": expires}


def _metadata_entry(entry: str) -> tuple[str, Any]:
    key, equals, text = entry.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{entry!r} is not KEY=VALUE", param_hint="--metadata")
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def _print_parity(found: dict[str, Any]) -> None:
    click.echo(f"parity of {found['model']}")
    table = Table()
    for heading in ("engine", "against", "rows", "max ulp", "labels differing", "severities differing"):
        table.add_column(heading, overflow="fold")
    for row in found["comparisons"]:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
