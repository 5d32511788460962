"""The tables of what users get."""

from __future__ import annotations

import numpy as np
from benchmarks.quality.alarms import false_alarms_per_100h
from benchmarks.quality.as_shipped import NO_FAULT, SIMULATED, AsShipped
from benchmarks.quality.report import shares_cells
from benchmarks.quality.severities import Shares
from benchmarks.quality.shipped import RULE
from benchmarks.tables import table, text_table

from ev_qa_runtime.severity import FloatArray

ITALIC = (SIMULATED, NO_FAULT)
KTH = {1: "1st", 2: "2nd", 3: "3rd"}.get(RULE.k, f"{RULE.k}th")


def shipped_section(result: AsShipped, picture: str) -> str:
    """All of it: in short, healthy trips, by fault for our own, and what the detectors are."""
    ours = [name for name in result.shown if "recipe" in name]
    parts = [
        "What users see: events, with the thresholds that fitting or the library sets. *Method* says how.",
        picture,
    ]
    parts += ["### Faults found", found_table(result), "### Healthy trips", healthy_table(result)]
    for name in ours:
        parts += [f"### By fault: {name}", fault_table(result, name)]
    parts += ["### What is used", setup_table(result)]
    return "\n\n".join(part for part in parts if part)


def found_table(result: AsShipped) -> str:
    """One row a detector, averaged over the kinds of fault that were put in; beside it the same where there is none."""
    rows = []
    for name, shown in result.shown.items():
        kinds = [kind for kind in result.kinds if kind not in ITALIC]
        start, known = (np.concatenate([shown.values(kind, what) for kind in kinds]) for what in ("start", "known"))
        cells = [
            percent(float(np.nanmean([share(shown.values(kind, what)) for kind in group])))
            for what in ("start", "critical")
            for group in (kinds, [NO_FAULT])
        ]
        rows.append((name, *cells, seconds(start), seconds(known)))
    head = ("mean over faults", "WARNING or worse", "by chance", "CRITICAL", "by chance", "to its start")
    return table((*head, f"to its {KTH} row"), rows)


def healthy_table(result: AsShipped) -> str:
    """False events and shares of rows of the healthy held-out trips."""
    rows = []
    for name, shown in result.shown.items():
        events = (false_alarms_per_100h(trips).text(0) for trips in (shown.events, shown.critical_events))
        rows.append((name, *events, *shares_cells(Shares.of(np.concatenate(shown.severities)))))
    head = ("", "false events per 100 h", "CRITICAL ones", "rows WARNING or worse", "CRITICAL", "INVALID", "rows")
    return table((*head, "≤ 1 % and ≤ 0.1 %"), rows)


def fault_table(result: AsShipped, name: str) -> str:
    """Of one detector: events by kind of fault, and what became of the faulted rows."""
    shown = result.shown[name]
    rows = []
    for kind in result.kinds:
        start, known, critical = (shown.values(kind, what) for what in ("start", "known", "critical"))
        found = (percent(share(start)), seconds(start), seconds(known), percent(share(critical)), seconds(critical))
        faulted = (percent(mean(shown.values(kind, what))) for what in ("flagged", "flagged_critical", "invalid"))
        rows.append((f"*{kind}*" if kind in ITALIC else kind, *found, *faulted))
    head = ("", "WARNING or worse", "to its start", f"to its {KTH} row", "CRITICAL", "to its start")
    return table((*head, "faulted rows WARNING or worse", "CRITICAL", "INVALID"), rows)


def setup_table(result: AsShipped) -> str:
    """What the detectors are, and which could not run."""
    rows = [(name, shown.setup) for name, shown in result.shown.items()]
    return text_table(("as shipped", ""), rows + [(name, f"skipped: {why}") for name, why in result.skipped.items()])


def share(delays: FloatArray) -> float:
    """Of trips in which there was an event."""
    return mean(np.isfinite(delays).astype(np.float64))


def mean(values: FloatArray) -> float:
    """NaN where there are none: in a slice a fault may have shown in no trip."""
    return float(values.mean()) if len(values) else float("nan")


def seconds(delays: FloatArray) -> str:
    """The median of those found."""
    found = delays[np.isfinite(delays)]
    return f"{np.median(found):,.0f} s" if len(found) else "–"


def percent(value: float) -> str:
    """Whole per cent."""
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"
