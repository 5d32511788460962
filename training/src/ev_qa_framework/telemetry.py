"""Tables of telemetry on the training side: reading files, and what was in them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ev_qa_framework.configuration import PHYSICS
from ev_qa_runtime.contract import FeatureSpec, FeatureStatistics, TrainingRecord
from ev_qa_runtime.csv_telemetry import check_separator
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import KNOWN_FEATURES, Telemetry, match_names, normalise_name
from ev_qa_runtime.physics.recipe import NEEDED_SIGNALS
from ev_qa_runtime.severity import FloatArray
from ev_qa_runtime.signal_names import TIME, match_signals, vehicle_columns

TIME_COLUMNS = ("timestamp", "time", "datetime", "date")
"""Columns of points in time; seconds since the start of a trip say nothing of when the data are from."""
MINIMUM_ROWS = 10
"""Fewer valid rows than this say nothing about what is normal."""


def read_table(path: str | Path, rows: slice = slice(None)) -> pd.DataFrame:
    """A CSV (also ``.csv.gz``) or Parquet file as a frame; ``rows`` picks data rows. Its name goes into ``attrs``.

    Raises ``FileNotFoundError``, or ``TelemetryError`` where the file is not a table.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"Telemetry file not found: {file}")
    try:
        frame = pd.read_parquet(file) if file.suffix.lower() in (".parquet", ".pq") else _read_csv(file)
    except TelemetryError as error:
        raise TelemetryError(f"{file}: {error}") from None
    except (ValueError, UnicodeError, pd.errors.ParserWarning) as error:  # pandas' parser errors are ValueErrors
        raise TelemetryError(f"{file}: not a readable table: {str(error).splitlines()[0]}") from None
    frame = frame.iloc[rows]
    frame.attrs["source"] = file.name
    return frame


def read_tables(paths: Sequence[str | Path], specs: Sequence[FeatureSpec], rows: slice = slice(None)) -> pd.DataFrame:
    """Several files of the same features as one frame, whatever each calls its columns; ``rows`` of each.

    Raises as :func:`read_table` does, and ``TelemetryError`` naming the file that lacks a column.
    """
    frames = []
    for path in paths:
        frame = read_table(path, rows)
        try:
            columns = match_names(frame.columns, specs)
        except TelemetryError as error:
            raise TelemetryError(f"{path}: {error}") from None
        frames.append(frame.rename(columns={given: name for name, given in columns.items()}))
    if len(frames) == 1:
        return frames[0]
    data = pd.concat(frames, ignore_index=True)
    data.attrs["source"] = ", ".join(frame.attrs["source"] for frame in frames)
    return data


def read_trips(paths: Sequence[str | Path], rows: slice = slice(None), signals: tuple[str, ...] = ()) -> pd.DataFrame:
    """Several files of telemetry over time as one frame, each file a trip: its number is the column ``trip``.

    A file that has such a column keeps it. Raises as :func:`read_table` does, and ``TelemetryError`` naming the file
    that has no column for the time or one of ``signals``, or whose columns are others than the first one's.
    """
    frames: list[pd.DataFrame] = []
    for number, path in enumerate(paths):
        frame = read_table(path, rows)
        if frames and set(frame.columns) | {"trip"} != set(frames[0].columns):
            other = sorted(map(str, set(frame.columns) ^ (set(frames[0].columns) - {"trip"})))
            raise TelemetryError(f"{path}: its columns are not those of {paths[0]}: {', '.join(other)}")
        try:
            match_signals(frame.columns, (TIME, *signals), ())
        except TelemetryError as error:
            raise TelemetryError(f"{path}: {error}") from None
        frames.append(frame if "trip" in frame.columns else frame.assign(trip=number))
    data = pd.concat(frames, ignore_index=True)
    data.attrs["source"] = ", ".join(Path(path).name for path in paths)
    return data


def read_for_fitting(
    paths: Sequence[str | Path], features: Sequence[str] | str, rows: slice = slice(None)
) -> pd.DataFrame:
    """The files as a model with these ``features`` is fitted on them; see :func:`read_tables`, :func:`read_trips`."""
    if features == PHYSICS:
        return read_trips(paths, rows, NEEDED_SIGNALS)
    return read_tables(paths, feature_specs(tuple(features)), rows)


def _read_csv(file: Path) -> pd.DataFrame:
    """As the runtime reads it.

    ``-`` is missing, a first column is data even where rows have too many cells, and a vehicle's id is a text.
    """
    header = list(pd.read_csv(file, nrows=0, index_col=False).columns)
    check_separator(header)
    vehicles = dict.fromkeys(vehicle_columns(header), str)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # more cells than the header: never shifted or cut off
        return pd.read_csv(file, na_values=["-"], index_col=False, dtype=vehicles)


def feature_specs(names: tuple[str, ...]) -> tuple[FeatureSpec, ...]:
    """The specifications of named features; known ones come with unit and aliases."""
    return tuple(KNOWN_FEATURES.get(name, FeatureSpec(name)) for name in names)


def fitting_rows(telemetry: Telemetry) -> FloatArray:
    """The valid rows, float64 [N, F].

    Raises ``TelemetryError`` (a ``ValueError``) giving the number where there are too few to fit.
    """
    rows = telemetry.values[telemetry.valid]
    if len(rows) < MINIMUM_ROWS:
        invalid = f", {telemetry.invalid_count} more are INVALID" if telemetry.invalid_count else ""
        raise TelemetryError(
            f"cannot fit on {len(rows)} valid row(s) of {len(telemetry)}: at least {MINIMUM_ROWS} are needed{invalid}"
        )
    return rows


def with_statistics(specs: tuple[FeatureSpec, ...], rows: FloatArray) -> tuple[FeatureSpec, ...]:
    """The specifications with mean, standard deviation, minimum and maximum of the fitted rows."""
    with np.errstate(over="ignore"):  # readings near the top of float64 are legal; their statistics are cut off there
        columns = zip(rows.mean(axis=0), rows.std(axis=0), rows.min(axis=0), rows.max(axis=0), strict=True)
        limits = np.finfo(np.float64)
        statistics = [FeatureStatistics(*np.clip(column, limits.min, limits.max).tolist()) for column in columns]
    return tuple(
        FeatureSpec(spec.name, spec.unit, spec.aliases, spec.plausible_range, numbers)
        for spec, numbers in zip(specs, statistics, strict=True)
    )


def training_record(data: Any, telemetry: Telemetry, rows: FloatArray) -> TrainingRecord:
    """What the model is fitted on, for its sidecar. ``rows`` are the valid ones of ``telemetry``."""
    is_frame = isinstance(data, pd.DataFrame)
    return TrainingRecord(
        rows=len(rows),
        invalid_rows=telemetry.invalid_count,
        sha256=hashlib.sha256(np.ascontiguousarray(rows, dtype="<f8").tobytes()).hexdigest(),
        time_span=_time_span(data) if is_frame else None,
        source=str(data.attrs["source"]) if is_frame and "source" in data.attrs else None,
    )


def _time_span(frame: pd.DataFrame) -> tuple[str, str] | None:
    if isinstance(frame.index, pd.DatetimeIndex):
        return str(frame.index.min()), str(frame.index.max())
    for column in frame.columns:
        if isinstance(column, str) and normalise_name(column) in TIME_COLUMNS:
            times = frame[column].dropna()
            return (str(times.min()), str(times.max())) if len(times) else None
    return None
