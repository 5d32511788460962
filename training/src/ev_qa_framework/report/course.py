"""A vehicle's rows as the pictures need them: places on an axis, signals with what was expected, where events lie."""

from __future__ import annotations

import textwrap

import numpy as np

from ev_qa_framework.report.drawings import DRAWN_EVENTS, Course, Line, Span
from ev_qa_framework.report.event_story import EventStory, readable, worst_first
from ev_qa_framework.report.judged import Judged
from ev_qa_framework.time_scale import clock_text, is_date, time_scale
from ev_qa_runtime.contract import ModelContract
from ev_qa_runtime.severity import FloatArray, IntArray
from ev_qa_runtime.signals import SignalTable

SIGNAL_LABELS = {
    "voltage": "voltage, V",
    "current": "current, A",
    "temp": "temp, °C",
    "soc": "charge, %",
    "temp_min": "coldest, °C",
    "cell_voltage_max": "highest cell, V",
    "cell_voltage_min": "lowest cell, V",
}
MOST_SIGNALS = 8
"""Further features of a model that judges each reading alone are not drawn."""
PAUSE_SHARE = 0.003
"""Of the recorded time: the width of a pause that is left out."""
_MARGIN = 0.75
"""A close-up shows so much of an event's length before and after it, and at least 60 readings."""


def course_of(contract: ModelContract, judged: Judged, vehicle: int, stories: tuple[EventStory, ...]) -> Course:
    """The rows of vehicle number ``vehicle``; all rows where the model judges each reading alone."""
    if judged.signals is None:
        return _of_rows(contract, judged)
    table = judged.signals
    rows = table.rows_of(vehicle)
    own = tuple(one for one in stories if one.event.vehicle == table.vehicles[vehicle])
    place, label, breaks = _axis(contract, table.time[rows])
    return Course(
        place=place,
        label=label,
        breaks=breaks,
        signals=_signals(judged, table, rows),
        score=_scores(judged, rows),
        severity=judged.verdicts.severity[rows],
        thresholds=contract.thresholds,
        spans=tuple(_span(story, rows, place) for story in worst_first(own)[:DRAWN_EVENTS]),
    )


def close_up(contract: ModelContract, judged: Judged, story: EventStory, feature: str) -> tuple[Course, Line]:
    """The readings around an event, and the feature to look at there."""
    table = judged.signals
    assert table is not None  # noqa: S101 - only models over time have events
    event = story.event
    of_vehicle = table.rows_of(table.vehicles.index(event.vehicle))
    start, end = (int(np.searchsorted(of_vehicle, row)) for row in (event.start_row, event.end_row))
    margin = max(int(_MARGIN * (end - start)), 60)
    rows = of_vehicle[max(start - margin, 0) : end + margin + 1]
    place, axis_label, breaks = _axis(contract, table.time[rows])
    telemetry = judged.verdicts.telemetry
    column = telemetry.names.index(feature)
    unit = readable(contract.features[column].unit or "")
    part = Course(
        signals=(),
        thresholds=contract.thresholds,
        place=place,
        label=axis_label,
        breaks=breaks,
        spans=(_span(story, rows, place),),
        score=_scores(judged, rows),
        severity=judged.verdicts.severity[rows],
    )
    label = textwrap.fill(feature.replace("_", " "), 16)
    return part, Line(f"{label}, {unit}" if unit else label, telemetry.values[rows, column])


def _of_rows(contract: ModelContract, judged: Judged) -> Course:
    telemetry = judged.verdicts.telemetry
    signals = []
    for spec, values in zip(contract.features[:MOST_SIGNALS], telemetry.values.T, strict=False):
        name = spec.name if len(spec.name) <= 16 else f"{spec.name[:15]}…"
        label = f"{name}, {readable(spec.unit)}" if spec.unit else name
        signals.append(Line(label, np.where(np.isfinite(values), values, np.nan)))
    rows = np.arange(len(telemetry))
    return Course(
        place=rows.astype(np.float64),
        label="row",
        breaks=np.zeros(0, dtype=np.int64),
        signals=tuple(signals),
        score=_scores(judged, rows),
        severity=judged.verdicts.severity,
        thresholds=contract.thresholds,
        spans=(),
    )


def _axis(contract: ModelContract, time: FloatArray) -> tuple[FloatArray, str, IntArray]:
    """Places of rows on the axis, its label, and rows before which nothing was recorded or time ran back.

    Pauses that take most of the time, as of a car that is parked, are left out.
    """
    gap = contract.monitoring.events.gap_s if contract.monitoring else np.inf
    steps = np.diff(time)
    paused = (steps > gap) | (steps < 0.0)
    breaks = np.flatnonzero(paused) + 1
    first, last = float(time.min()), float(time.max())
    dated = is_date(first) and is_date(last)
    recorded = float(steps[~paused].sum())
    if not (steps < 0.0).any() and recorded >= 0.5 * (last - first):
        scale = time_scale(first, last, is_date=dated)
        return scale.place(time), scale.label, breaks
    steps[paused] = PAUSE_SHARE * recorded
    place = np.concatenate([np.zeros(1), np.cumsum(steps)])
    scale = time_scale(0.0, float(place[-1]), is_date=False)
    since = f" since {clock_text(first)}" if dated else ""
    return scale.place(place), f"{scale.label} recorded{since}, pauses left out", breaks


def _signals(judged: Judged, table: SignalTable, rows: IntArray) -> tuple[Line, ...]:
    telemetry = judged.verdicts.telemetry
    residual = telemetry.values[rows, telemetry.names.index("voltage_residual")]
    lines = []
    for name in table.names:
        values = table.column(name)[rows]
        known = np.where(np.isfinite(values), values, np.nan)
        lines.append(Line(SIGNAL_LABELS[name], known, known - residual if name == "voltage" else None))
    return tuple(lines)


def _scores(judged: Judged, rows: IntArray) -> FloatArray:
    verdicts = judged.verdicts
    return np.where(verdicts.telemetry.valid[rows], verdicts.score_samples[rows], np.nan)


def _span(story: EventStory, rows: IntArray, place: FloatArray) -> Span:
    event = story.event
    start, end = (float(place[np.searchsorted(rows, row)]) for row in (event.start_row, event.end_row))
    return Span(start, end, story.number, event.severity)
