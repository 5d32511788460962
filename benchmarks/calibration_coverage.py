"""Do healthy trips that a calibration has not seen show what it states?

Trips are split at random. Some train a model over time with default settings, which calibrates itself on them
(``fit``); the others are not seen until the end: some of them calibrate the same model anew (``calibrate``), and the
rest is scored. The share of rows flagged and the alarms in 100 h of that rest are then looked up in the intervals of
the record: inside, below or above. Intervals of 95 % hold 95 % of new driving as long as they are for.

Give folders with more trips of the same vehicle (``demo/generate_telemetry.py --seed N --output DIR``): of a small pool
little is left to look at, and the splits are much alike.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables import table
from benchmarks.timing import progress
from benchmarks.workload import TELEMETRY

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.calibration import calibrate_scores
from ev_qa_framework.drives import BoolArray, Drives
from ev_qa_framework.held_out import NEW_SHARE, Forced, HeldOutRows
from ev_qa_framework.telemetry import read_trips
from ev_qa_runtime.calibration_record import CalibrationRecord, Figure
from ev_qa_runtime.errors import ConfigurationError

TRAINING_TRIPS, CALIBRATION_TRIPS = (6, 10, 16), (6, 10, 16)
SPLITS, QUICK_SPLITS, REDRAWS = 30, 1, 3
MOST_UNSEEN = 36
"""So many trips beside the training ones are scored at most: scoring takes longest."""
SEED = 20261124
LEVELS = ("WARNING", "CRITICAL")
PLACES = ("inside", "below", "above")


@dataclass(frozen=True, slots=True)
class Seen:
    """A stated figure, and what new trips showed of it."""

    way: str
    trips: int
    new: str
    figure: str
    stated: Figure
    shown: float

    @property
    def place(self) -> str:
        """Where the shown value lies."""
        if self.shown < self.stated.low:
            return "below"
        return "above" if self.shown > self.stated.high else "inside"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Trips that a model was not fitted on: scores float64, which rows have one, their trip and time, all [N]."""

    scores: np.ndarray[tuple[int], np.dtype[np.float64]]
    valid: BoolArray
    severity: np.ndarray[tuple[int], np.dtype[np.int64]]
    trip: np.ndarray[tuple[int], np.dtype[np.int64]]
    time: np.ndarray[tuple[int], np.dtype[np.float64]]

    def shown(self, trips: Sequence[int], threshold: float, forced_from: int) -> tuple[float, float]:
        """Share of rows flagged, and alarms in 100 h, of some trips: below the threshold, or forced."""
        here = np.isin(self.trip, trips)
        forced = self.severity >= forced_from
        counted = here & (self.valid | forced)
        rows = HeldOutRows.of(Drives.of(self.scores, self.trip, self.time, counted), len(self.trip))
        figures = rows.figures((self.valid & (self.scores < threshold)) | forced, 1.0, crossed=False)
        return figures.observed_rate.estimate, figures.false_alarms_per_100h.estimate


def analyzer() -> EVBatteryAnalyzer:
    """With default settings."""
    return EVBatteryAnalyzer(features="physics", current_sign="discharge_positive")


def frame(paths: Sequence[Path]) -> pd.DataFrame:
    """Every file a trip, numbered from 0."""
    return read_trips([str(path) for path in paths], slice(None)).drop(columns="fault", errors="ignore")


def unseen_by(model: EVBatteryAnalyzer, paths: Sequence[Path]) -> Unseen:
    """Score trips; ``severity`` holds only what is forced: the forest is judged apart, for thresholds to come."""
    model.set_params(critical_threshold=-1.0, warning_threshold=-1.0)  # below every score
    data = frame(paths)
    verdicts = model.verdicts(data)
    return Unseen(
        verdicts.score_samples,
        verdicts.telemetry.valid,
        verdicts.severity.astype(np.int64),
        data["trip"].to_numpy(np.int64),
        data["time_s"].to_numpy(np.float64),
    )


def looked_up(way: str, trips: int, record: CalibrationRecord, unseen: Unseen, new: Sequence[int]) -> Iterator[Seen]:
    """All figures of a record, for new trips a quarter as many, and as many."""
    for wanted, name in ((max(round(NEW_SHARE * trips), 1), "a quarter"), (trips, "as many")):
        if wanted > len(new):
            continue
        for code, (level, stated) in enumerate(zip(LEVELS, (record.warning, record.critical), strict=True), start=1):
            rate, alarms = unseen.shown(new[:wanted], stated.threshold, code)
            yield Seen(way, trips, name, f"{level}, rows", stated.observed_rate, rate)
            yield Seen(way, trips, name, f"{level}, alarms", stated.false_alarms_per_100h, alarms)


def split(pool: Sequence[Path], trips: int, random: np.random.Generator, quick: bool) -> Iterator[Seen]:
    """One model and what is stated with it."""
    order = [pool[number] for number in random.permutation(len(pool))]
    model = analyzer()
    if quick:
        model.set_params(n_estimators=20)
    model.fit(frame(order[:trips]))
    record = None
    trained = model._trained
    if trained is not None and trained.monitoring is not None:
        record = trained.monitoring.calibration
    paths = order[trips : trips + MOST_UNSEEN]
    unseen = unseen_by(model, paths)
    if record is not None:
        yield from looked_up("fit", trips, record, unseen, list(range(len(paths))))
    for count in CALIBRATION_TRIPS:
        for _ in range(REDRAWS if len(paths) > count else 0):
            drawn = random.permutation(len(paths)).tolist()
            try:
                record = calibrated(unseen, drawn[:count])
            except ConfigurationError:
                continue
            yield from looked_up("calibrate", count, record, unseen, drawn[count:])


def calibrated(unseen: Unseen, trips: Sequence[int]) -> CalibrationRecord:
    """As ``EVBatteryAnalyzer.calibrate`` does with these trips, whose scores are known already."""
    here = np.isin(unseen.trip, trips)
    severity = unseen.severity[here]
    return calibrate_scores(
        unseen.scores[here],
        unseen.trip[here],
        unseen.time[here],
        valid=unseen.valid[here],
        forced=Forced(severity >= 1, severity >= 2),
    )


def report(found: Sequence[Seen]) -> str:
    """How often new trips lay inside, below and above, by way, number of trips, length and figure."""
    keys = list(dict.fromkeys((one.way, one.trips, one.new, one.figure) for one in found))
    rows = []
    for key in sorted(keys, key=lambda key: (key[0] != "fit", *key[1:])):
        ones = [one for one in found if (one.way, one.trips, one.new, one.figure) == key]
        shares = [f"{100.0 * np.mean([one.place == place for one in ones]):.0f} %" for place in PLACES]
        unit = 100.0 if "rows" in key[3] else 1.0
        middle = np.median([(each.stated.estimate, each.stated.high, each.shown) for each in ones], axis=0) * unit
        rows.append(
            (f"{key[0]}, {key[1]} trips", key[2], key[3], str(len(ones)), *shares, *(f"{m:.3g}" for m in middle))
        )
    head = ("calibrated by", "new trips", "figure", "splits", *PLACES, "stated, middle", "upper end", "shown")
    return table(head, rows)


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--telemetry", type=Path, nargs="+", default=[TELEMETRY], metavar="DIR", help="healthy_*.csv")
    parser.add_argument("--splits", type=int, default=SPLITS, help="of each number of training trips")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one split each, 20 trees")
    return parser


def main() -> int:
    """Measure and print."""
    options = arguments().parse_args()
    pool = sorted(path for folder in options.telemetry for path in folder.glob("healthy_*.csv"))
    splits = QUICK_SPLITS if options.quick else options.splits
    found: list[Seen] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of six trips, which fitting does not calibrate
        for trips in TRAINING_TRIPS:
            for number in range(splits):
                progress(f"{trips} training trips, split {number + 1} of {splits}")
                found += split(pool, trips, np.random.default_rng([SEED, trips, number]), options.quick)
    progress("")
    print(f"{len(pool)} healthy trips.\n\n{report(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
