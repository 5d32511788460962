"""A model over time on every data set: stream = batch = chunks = a restored state, bit by bit; explanations add up.

Usage: ``python -m tools.campaigns.streams_and_batches [--slice]``. Recordings: every demo trip, some of them also at 10
and at 0.03 Hz, and with gaps, repeated and missing readings; the real car of ``../shared/data`` where it is present.
Each is judged as a batch by the runtime; by the training side; in chunks cut at random; and one reading after the
other, the state saved as JSON and restored in a model loaded anew at random rows. Every score, severity, reason and
event must be the same to the last bit, and the contributions to every row must add up to its path length to 1e-9. Exits
with 1 where something does not.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
from tools.campaigns.reporting import finish, parser, print_table, progress
from tools.campaigns.small_models import ROOT

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime import Detector, load_model
from ev_qa_runtime.events import Event
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts

TELEMETRY = ROOT / "demo" / "telemetry"
CAR = ROOT.parent / "shared" / "data" / "ev_fault_car" / "car4.csv"
LARGEST_DIFFERENCE = 1e-9
CHUNKINGS = 5
RESTARTS = 20
EXPLAINED_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Recording:
    """Telemetry of one vehicle and the model that judges it."""

    name: str
    model: str
    table: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a recording: rows, events, the largest error of an explanation, and what differed."""

    name: str
    rows: int
    events: int
    largest_error: float
    differing: tuple[str, ...]


def demo_recordings(short: bool) -> list[Recording]:
    """The demo's trips as they are, faster, slower, and damaged."""
    paths = sorted(TELEMETRY.glob("*.csv"))[:: 8 if short else 1]
    recordings = []
    for number, path in enumerate(paths):
        trip = pd.read_csv(path).drop(columns="fault")
        recordings.append(Recording(f"{path.stem}, 1 Hz", "demo", trip))
        if number % 4 == 0:
            recordings.append(Recording(f"{path.stem}, 10 Hz", "demo", resampled(trip[:400], 0.1)))
            recordings.append(Recording(f"{path.stem}, 0.03 Hz", "demo", trip[::33]))
            recordings.append(Recording(f"{path.stem}, damaged", "demo", damaged(trip, Random(number))))  # noqa: S311
    return recordings


def resampled(trip: pd.DataFrame, step_s: float) -> pd.DataFrame:
    """The same drive with readings every ``step_s`` seconds, in between on straight lines."""
    seconds = trip["time_s"].to_numpy(float)
    at = np.arange(seconds[0], seconds[-1], step_s)
    return pd.DataFrame({name: np.interp(at, seconds, column.to_numpy(float)) for name, column in trip.items()})


def damaged(trip: pd.DataFrame, random: Random) -> pd.DataFrame:
    """With repeated, missing and impossible readings, a pause, and a clock that is set back."""
    rows = sorted([*range(len(trip)), *(random.randrange(len(trip)) for _ in range(40))])
    found = trip.iloc[rows].reset_index(drop=True).astype(float)
    for signal in ("voltage", "current", "temp", "soc"):
        for value in (np.nan, np.inf, 65535.0, -40.0):
            found.loc[random.randrange(len(found)), signal] = value
    found.loc[len(found) // 3 :, "time_s"] += 3600.0
    found.loc[2 * len(found) // 3 :, "time_s"] -= 1800.0
    return found


def check(recording: Recording, stem: Path, analyzer: EVBatteryAnalyzer, chunkings: int, restarts: int) -> Checked:
    """Judge a recording in every way."""
    detector, table = load_model(stem), recording.table
    random = Random(len(table))  # noqa: S311 - to be repeated
    whole = detector.verdicts(table)
    assert isinstance(whole, MonitoredVerdicts)  # noqa: S101 - it is a model over time
    expected = [repr(verdict) for verdict in whole]
    differing = []
    if [repr(verdict) for verdict in analyzer.verdicts(table)] != expected:
        differing.append("training side")
    for number in range(chunkings):
        cuts = sorted({0, len(table), *(random.randrange(len(table)) for _ in range(number * number))})
        if in_chunks(detector, table, cuts) != (expected, sorted(map(repr, whole.events))):
            differing.append(f"chunks at {cuts[:5]}")
    if streamed(stem, table, restarts, random) != (expected, [repr(event) for event in whole.events]):
        differing.append("stream")
    rows = np.flatnonzero(whole.telemetry.valid)
    values = whole.telemetry.values[rows[:: max(1, len(rows) * 31 // EXPLAINED_ROWS)]]
    errors = np.abs(detector.explain(values).path_length - detector.path_length(values))
    largest = float(errors.max()) if len(errors) else 0.0
    if not largest <= LARGEST_DIFFERENCE:
        differing.append(f"explanations, by {largest:.1e}")
    return Checked(recording.name, len(table), len(whole.events), largest, tuple(differing))


def in_chunks(detector: Detector, table: pd.DataFrame, cuts: list[int]) -> tuple[list[str], list[str]]:
    """Verdicts and events of a table that arrives in parts."""
    monitor = detector.monitor()
    verdicts: list[str] = []
    events: list[Event] = []
    for first, last in itertools.pairwise(cuts):
        part = monitor.verdicts(table[first:last], last=last == len(table))
        verdicts += [repr(verdict) for verdict in part]
        events += [event for event in part.events if not event.open]
    return verdicts, sorted(map(repr, events))


def streamed(stem: Path, table: pd.DataFrame, restarts: int, random: Random) -> tuple[list[str], list[str]]:
    """Verdicts and events of a stream that is saved and restored now and then, each time in a model loaded anew."""
    stream = load_model(stem).stream()
    again = {random.randrange(len(table)) for _ in range(restarts)}
    verdicts: list[str] = []
    events: list[Event] = []
    for row, reading in enumerate(table.to_dict("records")):
        if row in again:
            events += stream.take_events()
            state = json.dumps(stream.state(), allow_nan=False)
            stream = load_model(stem).stream("", json.loads(state))
        verdicts.append(repr(stream.score(**{str(name): value for name, value in reading.items()})))
    return verdicts, [repr(event) for event in (*events, *stream.finish())]


def models(folder: Path, trees: int) -> dict[str, tuple[Path, EVBatteryAnalyzer]]:
    """A model over time for each car, fitted and saved."""
    trips = [pd.read_csv(path).assign(trip=at) for at, path in enumerate(sorted(TELEMETRY.glob("healthy_*.csv")))]
    training = {"demo": pd.concat(trips, ignore_index=True)}
    if CAR.exists():
        training["car"] = pd.read_csv(CAR)[:12_000]
    found = {}
    for name, table in training.items():
        analyzer = EVBatteryAnalyzer(n_estimators=trees, features="physics", current_sign="discharge_positive")
        analyzer.fit(table).save_model(folder / f"{name}_v1.0.0")
        found[name] = (folder / f"{name}_v1.0.0", analyzer)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    short = parser("Streams against batches.").parse_args(argv).slice
    warnings.simplefilter("ignore")  # a damaged table may look as if its current were turned; that is said, and scored
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        saved = models(Path(folder), trees=20 if short else 100)
        recordings = demo_recordings(short)
        if "car" in saved:
            recordings.append(Recording("real car", "car", pd.read_csv(CAR)[11_000 if short else 0 :]))
        task = bar.add_task("judging", total=len(recordings))
        found = []
        for recording in recordings:
            found.append(check(recording, *saved[recording.model], 2 if short else CHUNKINGS, 3 if short else RESTARTS))
            bar.update(task, advance=1, refresh=True)
    print_table(
        "Streams, chunks and restored states against batches",
        ("recording", "rows", "events", "error of explanations", "differing"),
        [
            (one.name, one.rows, one.events, f"{one.largest_error:.1e}", ", ".join(one.differing) or "0")
            for one in found
        ],
    )
    faults = [f"{one.name}: {what}" for one in found for what in one.differing]
    rows, error = sum(one.rows for one in found), max(one.largest_error for one in found)
    claim = f"{rows:,} rows of {len(found)} recordings in {time.monotonic() - started:.0f} s, largest error {error:.1e}"
    return finish("streams_and_batches", claim, faults)


if __name__ == "__main__":
    sys.exit(main())
