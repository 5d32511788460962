"""``ev-qa calibrate``: the thresholds of a saved model, set anew from healthy telemetry, saved under another name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ev_qa_framework.command_line import EXIT_CODES, json_option, rows_option, show, sign_option, steps
from ev_qa_runtime.artifact import read_contract
from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.exit_codes import printable

if TYPE_CHECKING:
    from ev_qa_runtime.calibration_record import CalibrationRecord, LevelCalibration


@click.command(epilog=EXIT_CODES, short_help="Set a model's thresholds from healthy telemetry.")
@click.argument("name")
@click.argument("telemetry", nargs=-1, required=True)
@click.option("-o", "--output", "new", required=True, metavar="NEW", help="Model to write, e.g. models/battery_v1.1.0")
@click.option(
    "--warning-rate",
    type=float,
    default=0.005,
    show_default=True,
    help="Largest expected share of a new trip's rows that are WARNING or worse.",
)
@click.option(
    "--critical-rate",
    type=float,
    help="The same of CRITICAL.  [default: 0.0005, or the lowest that the data support]",
)
@sign_option
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace an existing model.")
@rows_option
@json_option
def calibrate(
    name: str,
    telemetry: tuple[str, ...],
    new: str,
    warning_rate: float,
    critical_rate: float | None,
    current_sign: CurrentSign | None,
    no_overwrite: bool,
    rows: slice,
    as_json: bool,
) -> None:
    """Calibrate the model NAME on TELEMETRY, healthy trips that it was not fitted on, and save it as NEW.

    Each CSV or Parquet file is a trip, unless it has a column trip. Nothing is fitted anew: scores stay as they are, so
    the version rule asks for a MINOR step. docs/calibration.md says what is promised.
    """
    with steps() as progress, warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        task = progress.add_task("loading libraries", total=4)
        from ev_qa_framework.analysis import EVBatteryAnalyzer  # noqa: PLC0415 - slow imports wait until needed
        from ev_qa_framework.commit import refuse_existing  # noqa: PLC0415
        from ev_qa_framework.registry.destination import destination  # noqa: PLC0415
        from ev_qa_framework.registry.resolution import read_resolved  # noqa: PLC0415
        from ev_qa_framework.telemetry import read_trips  # noqa: PLC0415

        paths = destination(new)
        if no_overwrite:
            refuse_existing(paths)
        progress.update(task, advance=1, description="loading the model")
        analyzer = EVBatteryAnalyzer.load_model(name)
        before = analyzer.get_model_info()
        progress.update(task, advance=1, description="reading telemetry")
        contract = read_resolved(name, read_contract)
        data = read_trips(telemetry, rows, contract.monitoring.recipe.signals if contract.monitoring else ())
        _warn_of_training_files(contract.training.source, telemetry)
        progress.update(task, advance=1, description=f"calibrating on {len(data):,} rows")
        record = analyzer.calibrate(
            data, warning_rate=warning_rate, critical_rate=critical_rate, current_sign=current_sign
        )
        analyzer.save_model(new, metadata=before["metadata"], overwrite=not no_overwrite)
        progress.update(task, advance=1, description="done")
    for remark in remarks:
        if issubclass(remark.category, UserWarning):
            click.echo(f"ev-qa: warning: {printable(str(remark.message))}", err=True)
    info = analyzer.get_model_info()
    shown = {key: info[key] for key in ("name", "version", "created")} | {"calibrated_from": before["name"]}
    show(shown | _said(record), as_json, f"calibrated {new}")


def _warn_of_training_files(source: str | None, telemetry: tuple[str, ...]) -> None:
    """By their names, which is all that a model keeps of the files that it was fitted on."""
    fitted_on = set() if source is None else set(source.split(", "))
    again = [path for path in map(Path, telemetry) if path.name in fitted_on]
    if again:
        warnings.warn(
            f"{len(again)} of {len(telemetry)} files have the name of one that the model was fitted on, such as "
            f"{again[0].name}: the rates hold for new trips only where these are new",
            stacklevel=2,
        )


def _said(record: CalibrationRecord) -> dict[str, Any]:
    """The record in plain types, with its promises in words."""
    return {
        "trips": record.trips,
        "hours": record.hours,
        "rows": record.rows,
        "warning": _level(record.warning),
        "critical": _level(record.critical),
        "trips_with_critical": record.trips_with_critical,
        "held_out": record.held_out,
        "intervals": record.intervals,
    }


def _level(level: LevelCalibration) -> dict[str, Any]:
    observed, alarms = level.observed_rate, level.false_alarms_per_100h
    return {
        "threshold": level.threshold,
        "rate": level.rate,
        "guarantee": level.guarantee,
        "observed_rate": observed.estimate,
        "observed_rate_interval": [observed.low, observed.high],
        "false_alarms_per_100h": alarms.estimate,
        "false_alarms_per_100h_interval": [alarms.low, alarms.high],
    }
