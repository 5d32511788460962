"""The tables of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from benchmarks.faults import described
from benchmarks.pack_estimate import PackEstimate
from benchmarks.quality.adbench import PUBLISHED, OutlierSet
from benchmarks.quality.alarms import delay_text, false_alarms_per_100h
from benchmarks.quality.detectors import ALARM_RATE
from benchmarks.quality.evaluation import Evaluation
from benchmarks.quality.severities import EVENT_ROW, CarResult, Shares
from benchmarks.quality.shipped import RULE
from benchmarks.tables import table, text_table

METHOD = f"""\
- **Trips, never rows, are split.** Each fold fits on some trips, sets thresholds on others and is tested on the rest;
  every trip is tested on once. Scores of different folds are never compared.
- **Positives** are the rows after the onset of a faulted held-out trip; of the two faults that come and go (dropout,
  sentinel) the rows in which they are present. **Negatives** are all rows of the fold's healthy held-out trips. The
  figure *within the trip* compares with the rows before the onset of the same trip instead.
- **Intervals** are 95 %, by a bootstrap over trips; a trip that is drawn brings its faulted and its healthy rows.
- **Alarm** in all tables but *As shipped*: a row below the threshold, which is set so that {100 * ALARM_RATE:g} % of
  the rows of the calibration trips lie below it, for every detector alike. Alarms closer than a minute are one. A
  *delay* is the time from the onset to the first alarm, the median over the trips in which there was one, and the share
  of those. *By chance* is the same where no fault begins: what a detector finds more than that, or sooner, it has
  found.
- **False alarms per 100 h** in the summary are such single rows, at a rate equal for all: a yardstick, and not what
  users see. At one row a second {100 * ALARM_RATE:g} % are {ALARM_RATE * 360_000:,.0f} rows in 100 h. Scattered rows
  make many alarms of them, rows that lie together few; so a detector can flag more rows and raise fewer alarms. A row
  alone makes no event: what users see is under *As shipped*.
- **As shipped:** fitted on all trips but those of the fold, with the thresholds that fitting or the library sets.
  {RULE.k} of {RULE.n} readings make an event, of models that have none by themselves too. INVALID readings count in it
  where a sensor gave what no pack can have, and for nothing where a value did not come. A fault is found by an event
  that begins in its first faulted row or later. One that began before does not count, so a detector in constant alarm
  finds little. *By chance* is the same on the healthy trip, from the time on at which the faults begin. Delays are
  medians over the trips found: to the first row of the event, and to the row that made it one, when users hear of it.
  False events are counted over whole healthy trips.
- Faults change the readings of simulated healthy trips. The figures rank detectors; they are no promise for a fleet."""


def fault_table() -> str:
    """What the faults are."""
    return text_table(("fault", "magnitude", "readings", "what it does"), described())


def pack_line(pack: PackEstimate) -> str:
    """What the physical faults were made with."""
    return (
        f"Taken from the healthy trips: R0 {1000 * pack.resistance_ohm:.0f} mΩ, total resistance"
        f" {1000 * pack.total_resistance_ohm:.0f} mΩ, dOCV/dSoC"
        f" {pack.ocv_slope_v_per_percent:.2f} V/%, {pack.capacity_ah:.0f} Ah; heat capacity"
        f" {pack.heat_capacity_j_per_k / 1000:.0f} kJ/K, an assumption from the energy."
    )


def area_table(evaluation: Evaluation) -> str:
    """AUC by fault and detector, with intervals; the mean last."""
    columns = [found.paired.intervals() for found in evaluation.found.values()]
    rows = [
        (kind.name, *(kinds[number].text(2) for kinds, _ in columns)) for number, kind in enumerate(evaluation.kinds)
    ]
    rows.append(("**mean**", *(f"**{mean.text()}**" for _, mean in columns)))
    return table(("ROC-AUC", *evaluation.found), rows)


def summary_table(evaluation: Evaluation) -> str:
    """One row a detector: means, alarms."""
    rows = []
    for name, found in evaluation.found.items():
        flagged = 100 * float(np.average([t.flagged for t in found.healthy], weights=[t.hours for t in found.healthy]))
        cells = (
            found.paired.intervals()[1].text(),
            f"{np.nanmean(found.within):.3f}",
            delay_text(found.delays.ravel()),
        )
        rows.append((name, *cells, false_alarms_per_100h(found.healthy).text(0), f"{flagged:.2f} %"))
    head = ("", "mean AUC", "within the trip", "median delay, found", "false alarms per 100 h", "healthy rows flagged")
    return table(head, rows)


def delay_table(evaluation: Evaluation) -> str:
    """Delay and share found by fault."""
    rows = [
        (kind.name, *(delay_text(found.delays[number]) for found in evaluation.found.values()))
        for number, kind in enumerate(evaluation.kinds)
    ]
    chance = (delay_text(np.array(found.by_chance)) for found in evaluation.found.values())
    return table(("median delay, found", *evaluation.found), [*rows, ("*no fault: by chance*", *chance)])


def within_table(evaluation: Evaluation) -> str:
    """Second figures: AUC within the trip; and of intermittent faults over all rows after the onset."""
    rows = [
        (kind.name, *(f"{np.nanmean(found.within[number]):.2f}" for found in evaluation.found.values()))
        for number, kind in enumerate(evaluation.kinds)
    ]
    after = [found.after_onset.intervals()[0] for found in evaluation.found.values()]
    rows += [
        (f"{kind.name}, all rows after the onset, other trips", *(f"{kinds[number].value:.2f}" for kinds in after))
        for number, kind in enumerate(evaluation.kinds)
        if kind.intermittent
    ]
    return table(("ROC-AUC within the trip", *evaluation.found), rows)


def simulated_table(evaluation: Evaluation) -> str:
    """The trips that came with a fault, averaged over folds."""
    columns = list(evaluation.found.values())
    names = list(columns[0].simulated_area) if columns else []
    rows = [
        (
            name,
            *(
                f"{np.mean(f.simulated_area[name]):.2f}; {delay_text(np.array(f.simulated_delay[name]))}"
                for f in columns
            ),
        )
        for name in names
    ]
    means = (f"**{np.mean([np.mean(found.simulated_area[name]) for name in names]):.3f}**" for found in columns)
    return table(("AUC; median delay, found", *evaluation.found), [*rows, ("**mean AUC**", *means)]) if names else NONE


NONE = "None in this telemetry."


def detector_table(evaluation: Evaluation) -> str:
    """What the detectors are, and which could not run."""
    rows = [(name, found.setup) for name, found in evaluation.found.items()]
    return text_table(("detector", ""), rows + [(name, f"skipped: {why}") for name, why in evaluation.skipped.items()])


def targets_table(evaluation: Evaluation, name: str = "physics recipe") -> str:
    """The bounds that the project sets itself for the physics recipe."""
    if name not in evaluation.found:
        return f"Skipped: {evaluation.skipped.get(name, 'it did not run')}."
    kinds, mean = evaluation.found[name].paired.intervals()
    figures = {kind.name: found.value for kind, found in zip(evaluation.kinds, kinds, strict=True)} | {
        "mean": mean.value
    }
    bounds = {"mean": 0.88, "resistance_x2": 0.93, "voltage_stuck": 0.95, "current_stuck": 0.95}
    rows = [
        (f"AUC, {what}", f"≥ {bound:g}", f"{figures[what]:.3f}", reached(figures[what] >= bound))
        for what, bound in bounds.items()
        if what in figures
    ]
    return text_table((name, "bound", "figure", ""), rows)


def shares_cells(shares: Shares) -> tuple[str, ...]:
    """Percentages, rows, verdict."""
    percent = (f"{100 * share:.2f} %" for share in (shares.warning, shares.critical, shares.invalid))
    return (*percent, f"{shares.rows:,}", reached(shares.bounded))


def car_table(results: Mapping[str, CarResult | str]) -> str:
    """The real car."""
    if not results:
        return "Skipped: the real car's telemetry is not at ../shared/data/ev_fault_car/car4.csv."
    head = ("", "WARNING or worse", "CRITICAL", "INVALID", "rows", "≤ 1 % and ≤ 0.1 %", "first CRITICAL row", "")
    rows: list[Sequence[str]] = []
    for name, result in results.items():
        if isinstance(result, str):
            rows.append((name, result, *[""] * (len(head) - 2)))
        else:
            first = "none" if result.first_critical is None else f"{result.first_critical:,}"
            rows.append((name, *shares_cells(result.ordinary), first, reached(result.found)))
    return f"{table(head, rows)}\n\nThe event begins at row {EVENT_ROW:,}; five rows before or after it count as found."


def adbench_table(sets: Sequence[OutlierSet]) -> str:
    """The labelled outlier sets."""
    rows = [
        (
            each.name,
            f"{each.mean:.2f} ({min(each.areas):.2f}–{max(each.areas):.2f})",
            f"{each.published:.2f}",
            f"{each.mean - each.published:+.2f}",
            reached(each.sound),
        )
        for each in sets
    ]
    absent = [name for name in PUBLISHED if name.partition("_")[2] not in {each.name for each in sets}]
    lines = (
        [table(("AUC, %", "our runtime, mean over seeds (range)", "published", "points", "within 3"), rows)]
        if rows
        else []
    )
    if absent:
        lines.append(f"Skipped, not at ../shared/data/adbench: {', '.join(absent)}.")
    return "\n\n".join(lines)


def reached(kept: bool) -> str:
    """In words."""
    return "reached" if kept else "**not reached**"
