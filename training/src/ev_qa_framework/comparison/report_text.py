"""A comparison as tables on a terminal, readable at 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ev_qa_framework.comparison.labelled_metrics import MEASURES
from ev_qa_framework.comparison.number_format import (
    counted,
    interval,
    number,
    percent,
    percent_interval,
    plural,
    points,
    points_interval,
    reading,
    signed,
    title,
    with_interval,
)
from ev_qa_framework.comparison.result import LabelledComparison, Latency, Method, ModelComparison
from ev_qa_runtime.exit_codes import printable
from ev_qa_runtime.severity import SEVERITY_OF_CODE

MEASURE_NAMES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
}


def print_comparison(found: ModelComparison, console: Console) -> None:
    """Print every table of a comparison."""
    console.print(f"A  {_shown(title(found.a, 'not saved yet'))}  version {found.a.version or '–'}")
    console.print(f"B  {_shown(title(found.b, 'not saved yet'))}  version {found.b.version or '–'}")
    rows = found.rows
    console.print(
        f"{rows.compared:,} rows compared of {rows.given:,};"
        f" INVALID for both {rows.invalid_in_both:,}, for A alone {rows.invalid_in_a_only:,},"
        f" for B alone {rows.invalid_in_b_only:,}"
    )
    tables = [_flagged(found), _agreement(found), _severities(found), _shift(found)]
    tables += [] if found.labelled is None else [_quality(found.labelled)]
    tables += [_faults(found.labelled)] if found.labelled and found.labelled.by_fault else []
    tables += [] if found.latency is None else [_latency(found.latency)]
    for table in tables:
        console.print()
        console.print(table)
    console.print()
    console.print(f"Intervals: {percent(found.method.confidence)}. {by_blocks(found.method)} Differences are B − A.")


def by_blocks(method: Method) -> str:
    """How the intervals by blocks were made, or why there are none."""
    if method.left_out is not None:
        return f"None by blocks: {method.left_out}."
    return (
        f"By blocks: {method.resamples:,} resamples in blocks of {plural(method.block_rows, 'row')}"
        f" ({method.blocks:,} of them, in {plural(method.recordings, 'recording')}), seed {method.seed}."
    )


def _shown(text: str) -> str:
    """Text from outside: neither rich's markup nor a control sequence for the terminal."""
    return escape(printable(text))


def _table(heading: str, *columns: str) -> Table:
    table = Table(title=heading, title_justify="left")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _flagged(found: ModelComparison) -> Table:
    table = _table("flagged", "", "rows", "rate", "rows apart, %", "by blocks, %")
    for name, rate in (("A", found.a.flagged), ("B", found.b.flagged)):
        table.add_row(
            name, counted(rate), percent(rate.rate), percent_interval(rate.wilson), percent_interval(rate.blocks)
        )
    difference = found.flagged_difference
    table.add_row(
        "B − A",
        "",
        points(difference.value),
        points_interval(difference.newcombe),
        points_interval(difference.blocks),
    )
    return table


def _agreement(found: ModelComparison) -> Table:
    table = _table("agreement", "", "value", "by blocks")
    agreement, scores = found.agreement, found.score_agreement
    same = agreement.same_flag
    table.add_row("same flag", percent(same.rate), percent_interval(same.blocks))
    table.add_row("Cohen's kappa", number(agreement.kappa.value), interval(agreement.kappa.interval))
    table.add_row("flagged by both", f"{agreement.both:,}", "")
    table.add_row("by A only", f"{agreement.a_only:,}", "")
    table.add_row("by B only", f"{agreement.b_only:,}", "")
    table.add_row("overlap (Jaccard)", number(agreement.jaccard), "")
    table.add_row("Spearman of scores", number(scores.spearman), "")
    table.add_row("Kendall's tau-b", number(scores.kendall_tau_b), "")
    table.add_row("mean score difference", number(scores.mean_difference, 4), "")
    table.add_row("largest", number(scores.largest_difference, 4), "")
    return table


def _severities(found: ModelComparison) -> Table:
    table = _table("severity: A down, B across", "", *SEVERITY_OF_CODE)
    for severity, counts in zip(SEVERITY_OF_CODE, found.severity_confusion, strict=True):
        table.add_row(severity, *(f"{count:,}" for count in counts))
    return table


def _shift(found: ModelComparison) -> Table:
    table = _table("data against training", "", "mean", "trained", "shift, std", "std ratio", "outside")
    for each in found.feature_shift:
        table.add_row(
            _shown(f"{each.model} {each.feature}"),
            reading(each.mean),
            reading(each.training_mean),
            signed(each.shift_std, 2),
            number(each.std_ratio, 2),
            percent(each.outside_share),
        )
    return table


def _quality(found: LabelledComparison) -> Table:
    table = _table(f"against labels: {found.faults:,} faulty rows", "", "A", "B", "B − A")
    for name in MEASURES:
        table.add_row(
            MEASURE_NAMES[name],
            with_interval(getattr(found.a, name)).replace(" (", "\n("),
            with_interval(getattr(found.b, name)).replace(" (", "\n("),
            with_interval(getattr(found.difference, name), sign=True).replace(" (", "\n("),
        )
    return table


def _faults(found: LabelledComparison) -> Table:
    table = _table("recall by fault", "", "rows", "A", "B")
    for each in found.by_fault:
        table.add_row(_shown(each.fault), f"{each.rows:,}", percent(each.recall_a), percent(each.recall_b))
    return table


def _latency(found: Latency) -> Table:
    table = _table("on this machine", "", "A", "B", "B / A")
    a, b = found.a, found.b
    table.add_row("one reading by", a.call, b.call, "")
    table.add_row(
        "  median, µs", number(a.one_row_median_us, 1), number(b.one_row_median_us, 1), number(found.one_row_ratio, 2)
    )
    table.add_row("  p95, µs", number(a.one_row_p95_us, 1), number(b.one_row_p95_us, 1), "")
    table.add_row(
        f"batch of {found.batch_rows:,}, rows/s", f"{a.rows_per_second:,.0f}", f"{b.rows_per_second:,.0f}", ""
    )
    table.add_row(
        "  median, ms", number(a.batch_median_ms, 2), number(b.batch_median_ms, 2), number(found.batch_ratio, 2)
    )
    table.add_row("  p95, ms", number(a.batch_p95_ms, 2), number(b.batch_p95_ms, 2), "")
    return table
