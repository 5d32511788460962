"""What the report draws, on figures of matplotlib: signals, score and events over time, close-ups, the calibration.

Colours are Okabe and Ito's ("Color Universal Design", 2008); everything that has a colour also has a line style, a
hatch or a marker of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ev_qa_framework.report.thinning import thinned, with_breaks
from ev_qa_framework.svg_picture import GRID, INK, stand_in
from ev_qa_runtime.calibration_record import CalibrationRecord
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.severity import FloatArray, IntArray, Severity

NUMBERED_EVENTS = 24
"""With more events the numbers beside their markers would cover each other."""
DRAWN_EVENTS = 400
DRAWN_BREAKS = 200
MARKED_ROWS = 300


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a picture."""

    ink: str
    grid: str
    measured: str
    expected: str
    warning: str
    critical: str


PAGE = Palette(INK, GRID, *map(stand_in, range(2, 6)))
"""Stand-ins for the page's style."""
STYLE_VARIABLES = {
    PAGE.ink: "--ink",
    PAGE.grid: "--grid",
    PAGE.measured: "--measured",
    PAGE.expected: "--expected",
    PAGE.warning: "--warning",
    PAGE.critical: "--critical",
}
PAPER = Palette("#1c2330", "#d9dee6", "#0072b2", "#009e73", "#e69f00", "#d55e00")
"""For a picture on its own, on white."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve, float64 [N]; ``expected`` lies beside it where the model says what it should be."""

    label: str
    values: FloatArray
    expected: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """An event's place on the axis."""

    start: float
    end: float
    number: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Course:
    """One vehicle over time: ``place`` float64 [N] on an axis with a ``label``, ``breaks`` rows that begin anew.

    ``score`` is NaN where a row could not be judged; ``severity`` int64 [N], −1 there.
    """

    place: FloatArray
    label: str
    breaks: IntArray
    signals: tuple[Line, ...]
    score: FloatArray
    severity: IntArray
    thresholds: Thresholds
    spans: tuple[Span, ...]


def draw_course(figure: Figure, course: Course, palette: Palette, bins: int) -> None:
    """Signals, score and events of one vehicle below each other, with one axis of time."""
    ratios = [*([0.45] if course.spans else []), *[1.0] * len(course.signals), 1.3]
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    rest = list(panels)
    if course.spans:
        _event_strip(rest.pop(0), course.spans, palette)
    for axes, line in zip(rest, course.signals, strict=False):
        _signal(axes, course, line, palette, bins)
    _score(rest[-1], course, palette, bins)
    for axes in rest:
        _shade(axes, course.spans, palette)
        for row in course.breaks[:DRAWN_BREAKS]:
            axes.axvline(float(course.place[row]), color=palette.grid, lw=0.8, ls=":")
    rest[-1].set_xlabel(course.label)
    if len(course.place) and course.place[0] < course.place[-1]:
        rest[-1].set_xlim(float(np.nanmin(course.place)), float(np.nanmax(course.place)))
    figure.align_ylabels(rest)


def draw_close_up(figure: Figure, course: Course, line: Line, palette: Palette, usual: float | None) -> None:
    """What contributed most to one event, above the score."""
    top, bottom = figure.subplots(2, 1, sharex=True, squeeze=False)[:, 0]
    _signal(top, course, line, palette, 350)
    if usual is not None:
        top.axhline(usual, color=palette.expected, lw=1.1, ls="--", label="usual (mean of the training data)")
        top.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)
    _score(bottom, course, palette, 350)
    for axes in (top, bottom):
        _shade(axes, course.spans, palette)
    bottom.set_xlabel(course.label)


def draw_calibration(figure: Figure, record: CalibrationRecord, thresholds: Thresholds, palette: Palette) -> None:
    """Shares of healthy rows below every threshold, and the bound on it that holds for new telemetry."""
    axes = figure.add_subplot()
    curve = record.curve
    levels = np.array(curve.thresholds)
    for shares, colour, style, label in (
        (curve.bounds, palette.measured, "-", "bound for new telemetry"),
        (curve.shares, palette.expected, "--", "healthy rows held out"),
    ):
        values = np.array(shares)
        axes.plot(levels, 100.0 * np.where(values > 0.0, values, np.nan), color=colour, ls=style, lw=1.5, label=label)
    for level, colour, style, marker in (
        (record.warning, palette.warning, "--", "D"),
        (record.critical, palette.critical, "-.", "^"),
    ):
        name = "WARNING" if level is record.warning else "CRITICAL"
        axes.axvline(level.threshold, color=colour, ls=style, lw=1.2)
        axes.plot([level.threshold], [100.0 * level.rate], marker, color=colour, ms=7, label=f"{name}, rate asked for")
    if (thresholds.warning, thresholds.critical) != (record.warning.threshold, record.critical.threshold):
        axes.axvline(thresholds.warning, color=palette.ink, ls=":", lw=1.0, label="thresholds in use")
        axes.axvline(thresholds.critical, color=palette.ink, ls=":", lw=1.0)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("threshold on the score (lower is more anomalous)")
    axes.set_ylabel("healthy rows below it, %")
    axes.legend(loc="best")


def _signal(axes: Axes, course: Course, line: Line, palette: Palette, bins: int) -> None:
    rows = thinned(line.values, bins)
    axes.plot(
        *with_breaks(course.place, line.values, rows, course.breaks),
        color=palette.measured,
        lw=1.1,
        label="measured" if line.expected is not None else None,
    )
    if line.expected is not None:
        rows = thinned(line.expected, bins)
        shown = with_breaks(course.place, line.expected, rows, course.breaks)
        axes.plot(*shown, color=palette.expected, lw=1.2, ls="--", label="expected")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.96), ncols=2, borderaxespad=0.1)
    axes.set_ylabel(line.label)
    axes.margins(y=0.08)


def _score(axes: Axes, course: Course, palette: Palette, bins: int) -> None:
    rows = thinned(course.score, bins)
    axes.plot(*with_breaks(course.place, course.score, rows, course.breaks), color=palette.ink, lw=0.9)
    thresholds = course.thresholds
    axes.axhline(thresholds.warning, color=palette.warning, lw=1.3, ls="--", label="WARNING below")
    axes.axhline(thresholds.critical, color=palette.critical, lw=1.3, ls="-.", label="CRITICAL below")
    low, high = axes.get_ylim()
    step = 0.09 * (high - low)
    for place, (code, marker, colour, label) in enumerate(
        (
            (1, "D", palette.warning, "WARNING rows"),
            (2, "^", palette.critical, "CRITICAL rows"),
            (-1, "x", palette.ink, "INVALID rows"),
        ),
        start=1,
    ):
        flagged = np.flatnonzero(course.severity == code)
        if len(flagged):
            some = flagged[np.unique(np.linspace(0, len(flagged) - 1, MARKED_ROWS).astype(int))]
            axes.plot(
                course.place[some],
                np.full(len(some), low - place * step),
                marker,
                color=colour,
                ms=4,
                ls="none",
                label=label,
            )
    axes.set_ylabel("score")
    axes.legend(loc="upper left", ncols=3, bbox_to_anchor=(0.0, -0.28), borderaxespad=0.0)


def _shade(axes: Axes, spans: Sequence[Span], palette: Palette) -> None:
    for span in spans:
        colour = _colour(span, palette)
        axes.axvspan(span.start, span.end, facecolor=colour, edgecolor=colour, alpha=0.22, lw=1.0, zorder=0.5)


def _event_strip(axes: Axes, spans: Sequence[Span], palette: Palette) -> None:
    for span in spans:
        critical = span.severity is Severity.CRITICAL
        colour = _colour(span, palette)
        hatch = "xxx" if critical else "///"
        axes.axvspan(span.start, span.end, 0.0, 0.34, facecolor="none", edgecolor=colour, hatch=hatch, lw=0.8)
        middle = 0.5 * (span.start + span.end)
        axes.plot([middle], [0.55], "^" if critical else "D", color=colour, ms=6, clip_on=False)
        if len(spans) <= NUMBERED_EVENTS:
            axes.annotate(
                str(span.number),
                (middle, 0.62),
                (0, 4),
                textcoords="offset points",
                ha="center",
                color=palette.ink,
                fontsize=8,
            )
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    axes.set_ylabel("events", rotation=0, ha="right", va="center")


def _colour(span: Span, palette: Palette) -> str:
    return palette.critical if span.severity is Severity.CRITICAL else palette.warning
