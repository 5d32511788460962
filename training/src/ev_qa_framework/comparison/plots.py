"""The pictures of a comparison as SVG to put into a page, in the colours of its style, light or dark.

Models are called A and B. The only names from outside are the features'; they are never read as mathematics, and
matplotlib escapes them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from ev_qa_framework.comparison.number_format import plural
from ev_qa_framework.comparison.result import BoolArray, ComparedModel, ComparedRows, ModelComparison
from ev_qa_framework.svg_picture import GRID, INK, Picture, stand_in, svg_of
from ev_qa_framework.time_scale import time_scale
from ev_qa_runtime.severity import SEVERITY_OF_CODE, FloatArray

A_COLOUR, B_COLOUR, AGREED, BOTH = map(stand_in, range(2, 6))
STYLE_VARIABLES = {
    INK: "--ink", GRID: "--grid", A_COLOUR: "--a", B_COLOUR: "--b", AGREED: "--agreed", BOTH: "--both"
}  # fmt: skip

POINTS_OF_A_KIND = 700
"""Points of the scatter plot for each combination of flags; more make the page heavy and show no more."""
BINS = 60
CURVE_POINTS = 400


def pictures(found: ModelComparison) -> Iterator[Picture]:
    """Every picture that the comparison has the data for."""
    rows = found.row_values
    yield _drawn("scores", "Scores, A against B", _scatter_caption(rows), lambda axes: _scatter(axes, found))
    yield _drawn(
        "distributions",
        "Distribution of the scores",
        "Share of the rows by score; each model flags what lies below its dashed line.",
        lambda axes: _distributions(axes, found),
    )
    yield _drawn(
        "severity", "Severity, A down, B across", "Rows by what each calls them.", lambda axes: _confusion(axes, found)
    )
    yield _drawn(
        "over-time",
        "Flagged over time" if rows.time is not None else "Flagged, in the order of the rows",
        _over_time_caption(rows),
        lambda axes: _over_time(axes, rows),
    )
    if any(each.shift_std is not None for each in found.feature_shift):
        yield _drawn(
            "shift",
            "The data against the training data",
            _shift_caption(found),
            lambda axes: _shift(axes, found),
        )
    if rows.fault is not None and rows.fault.any() and not rows.fault.all():
        fault = rows.fault
        dots = "the dots are the flags" if _any_flag(rows) else "neither model flags a row, so there are no dots"
        yield _drawn("roc", "ROC", f"By score; {dots}.", lambda axes: _roc(axes, found, fault))
        yield _drawn(
            "precision-recall",
            "Precision and recall",
            f"By score; {dots}; the line is what chance gives.",
            lambda axes: _precision_recall(axes, found, fault),
        )


def _drawn(name: str, title: str, caption: str, draw: Callable[[Axes], None]) -> Picture:
    svg = svg_of(name, title, (5.2, 3.4), lambda figure: draw(figure.add_subplot()), STYLE_VARIABLES)
    return Picture(title, caption, svg)


def _scatter_caption(rows: ComparedRows) -> str:
    shown = sum(min(int(kind.sum()), POINTS_OF_A_KIND) for kind, _, _ in _kinds(rows))
    total = len(rows.scores_a)
    sample = f" {shown:,} of {total:,} rows, at most {POINTS_OF_A_KIND} of a kind." if shown < total else ""
    return f"Lower is more anomalous; each model flags what lies below its dashed line.{sample}"


def _over_time_caption(rows: ComparedRows) -> str:
    nothing = "" if _any_flag(rows) else "Neither model flags a row. "
    faults = ", with the share labelled as faults shaded" if rows.fault is not None and rows.fault.any() else ""
    return f"{nothing}Share of the rows flagged, in {plural(_bins(rows), 'stretch', 'stretches')}{faults}."


def _shift_caption(found: ModelComparison) -> str:
    moved = any(each.shift_std for each in found.feature_shift)
    nothing = "" if moved else "No mean has moved. "
    return f"{nothing}Difference of the means in standard deviations of each model's training data."


def _any_flag(rows: ComparedRows) -> bool:
    return bool(rows.flagged_a.any() or rows.flagged_b.any())


def _flags_below(model: ComparedModel) -> float:
    """A row is flagged for its label (below the offset) or its severity (below the warning threshold)."""
    return max(model.offset, model.warning_threshold)


def _kinds(rows: ComparedRows) -> list[tuple[BoolArray, str, str]]:
    a, b = rows.flagged_a, rows.flagged_b
    return [
        (~a & ~b, AGREED, "neither"),
        (a & b, BOTH, "both"),
        (a & ~b, A_COLOUR, "A only"),
        (b & ~a, B_COLOUR, "B only"),
    ]


def _scatter(axes: Axes, found: ModelComparison) -> None:
    rows = found.row_values
    for kind, colour, label in _kinds(rows):
        index = np.flatnonzero(kind)
        if len(index):
            index = index[np.linspace(0, len(index) - 1, min(len(index), POINTS_OF_A_KIND)).astype(int)]
            axes.plot(
                rows.scores_a[index], rows.scores_b[index], ".", ms=3, color=colour, label=f"{label}: {kind.sum():,}"
            )
    axes.axvline(_flags_below(found.a), color=A_COLOUR, lw=0.9, ls="--")
    axes.axhline(_flags_below(found.b), color=B_COLOUR, lw=0.9, ls="--")
    axes.set_xlabel("score of A")
    axes.set_ylabel("score of B")
    axes.legend(title="flagged by", markerscale=3)


def _distributions(axes: Axes, found: ModelComparison) -> None:
    rows = found.row_values
    low = min(rows.scores_a.min(), rows.scores_b.min())
    high = max(rows.scores_a.max(), rows.scores_b.max())
    edges = np.linspace(low, high if high > low else low + 1e-9, BINS + 1)
    for scores, model, colour, label in (
        (rows.scores_a, found.a, A_COLOUR, "A"),
        (rows.scores_b, found.b, B_COLOUR, "B"),
    ):
        share = np.histogram(scores, edges)[0] / len(scores)
        axes.stairs(100.0 * share, edges, color=colour, label=label, lw=1.4)
        axes.axvline(_flags_below(model), color=colour, lw=0.9, ls="--")
    axes.set_xlabel("score (lower is more anomalous)")
    axes.set_ylabel("rows, %")
    axes.legend()


def _confusion(axes: Axes, found: ModelComparison) -> None:
    counts = np.array(found.severity_confusion)
    shade = np.where(counts > 0, 0.15 + 0.45 * counts / counts.max(), 0.04)
    axes.grid(visible=False)
    for i, j in np.ndindex(*counts.shape):
        colour = AGREED if i == j else BOTH
        axes.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], color=colour, alpha=float(shade[i, j]), lw=0)
        axes.text(j + 0.5, i + 0.5, f"{counts[i, j]:,}", ha="center", va="center")
    axes.set_xticks(np.arange(len(SEVERITY_OF_CODE)) + 0.5, list(SEVERITY_OF_CODE))
    axes.set_yticks(np.arange(len(SEVERITY_OF_CODE)) + 0.5, list(SEVERITY_OF_CODE))
    axes.set_xlabel("B")
    axes.set_ylabel("A")
    axes.set_xlim(0, counts.shape[1])
    axes.set_ylim(counts.shape[0], 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _bins(rows: ComparedRows) -> int:
    return max(min(BINS, len(rows.position) // 5), 1)


def _over_time(axes: Axes, rows: ComparedRows) -> None:
    where = rows.position.astype(np.float64) if rows.time is None else rows.time
    edges = np.linspace(where[0], where[-1] if where[-1] > where[0] else where[0] + 1.0, _bins(rows) + 1)
    count = np.histogram(where, edges)[0]

    def share(flags: BoolArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            percentage: FloatArray = 100.0 * np.histogram(where[flags], edges)[0] / count
        return percentage  # NaN, which draws nothing, where there was no row

    shown, label = _time_scale(edges, rows)
    if rows.fault is not None and rows.fault.any():
        axes.stairs(np.nan_to_num(share(rows.fault)), shown, color=AGREED, fill=True, alpha=0.35, lw=0, label="faults")
    axes.stairs(share(rows.flagged_a), shown, baseline=None, color=A_COLOUR, lw=1.3, label="A")
    axes.stairs(share(rows.flagged_b), shown, baseline=None, color=B_COLOUR, lw=1.3, label="B")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("flagged, %")
    axes.legend()


def _time_scale(edges: FloatArray, rows: ComparedRows) -> tuple[FloatArray, str]:
    """Edges in a unit that reads well, and the name of the axis."""
    if rows.time is None:
        return edges, "row"
    scale = time_scale(float(edges[0]), float(edges[-1]), is_date=rows.time_is_date)
    return scale.place(edges), scale.label


def _shift(axes: Axes, found: ModelComparison) -> None:
    names = sorted({each.feature for each in found.feature_shift})
    for model, colour, beside in (("A", A_COLOUR, -0.18), ("B", B_COLOUR, 0.18)):
        shown = [each for each in found.feature_shift if each.model == model and each.shift_std is not None]
        places = [names.index(each.feature) + beside for each in shown]
        axes.barh(places, [each.shift_std or 0.0 for each in shown], height=0.32, color=colour, label=model)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.set_yticks(range(len(names)), [textwrap.shorten(name, 24, placeholder="…") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("difference of the means, standard deviations")
    axes.legend()


def _thinned(*curve: FloatArray) -> list[FloatArray]:
    index = np.unique(np.linspace(0, len(curve[0]) - 1, CURVE_POINTS).astype(int))
    return [each[index] for each in curve]


def _roc(axes: Axes, found: ModelComparison, fault: BoolArray) -> None:
    rows = found.row_values
    for scores, flagged, colour, label in _both(rows):
        false_rate, true_rate, _ = roc_curve(fault, -scores)
        axes.plot(*_thinned(false_rate, true_rate), color=colour, label=label, lw=1.4)
        if flagged.any():
            axes.plot([flagged[~fault].mean()], [flagged[fault].mean()], "o", ms=5, color=colour)
    axes.plot([0, 1], [0, 1], color=GRID, lw=1.0)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, found: ModelComparison, fault: BoolArray) -> None:
    rows = found.row_values
    for scores, flagged, colour, label in _both(rows):
        precision, recall, _ = precision_recall_curve(fault, -scores)
        thin_recall, thin_precision = _thinned(recall, precision)
        axes.step(thin_recall, thin_precision, where="post", color=colour, label=label, lw=1.4)
        if flagged.any():
            axes.plot([flagged[fault].mean()], [fault[flagged].mean()], "o", ms=5, color=colour)
    axes.axhline(float(fault.mean()), color=GRID, lw=1.0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.legend(loc="upper right")


def _both(rows: ComparedRows) -> list[tuple[FloatArray, BoolArray, str, str]]:
    return [(rows.scores_a, rows.flagged_a, A_COLOUR, "A"), (rows.scores_b, rows.flagged_b, B_COLOUR, "B")]
