"""The pictures: ROC-AUC by fault and detector; faults found and how soon as users get them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.engines.base import needed
from benchmarks.quality.as_shipped import NO_FAULT, SIMULATED, AsShipped
from benchmarks.quality.evaluation import Evaluation
from benchmarks.quality.shipped_report import percent, seconds, share


def draw(evaluation: Evaluation, file: Path, subtitle: str) -> str:
    """Write ROC-AUC by fault and detector, the mean last; what is to be seen."""
    names = list(evaluation.found)
    columns = [evaluation.found[name].paired.intervals() for name in names]
    rows = [[kinds[row].value for kinds, _ in columns] for row in range(len(evaluation.kinds))]
    rows.append([mean.value for _, mean in columns])
    labels = [*(kind.name for kind in evaluation.kinds), "mean"]
    texts = [[f"{value:.2f}" for value in row] for row in rows]
    draw_cells(names, labels, rows, texts, 0.5, file, f"ROC-AUC, held-out trips (0.5 is chance)\n{subtitle}")
    return "ROC-AUC by fault and detector"


def draw_shipped(result: AsShipped, file: Path, subtitle: str) -> str:
    """Write the share found and the delay by fault and detector, chance last; what is to be seen."""
    names = list(result.shown)
    kinds = [*(kind for kind in result.kinds if kind not in (SIMULATED, NO_FAULT)), NO_FAULT]
    starts = [[result.shown[name].values(kind, "start") for name in names] for kind in kinds]
    known = [[result.shown[name].values(kind, "known") for name in names] for kind in kinds]
    rows = [[share(values) for values in row] for row in starts]
    texts = [[f"{percent(share(values))}  {seconds(values)}" for values in row] for row in known]
    title = (
        f"Events of WARNING or worse after the onset, as shipped: trips found, median delay to the event\n{subtitle}"
    )
    draw_cells(names, kinds, rows, texts, 0.0, file, title)
    return "Faults found as shipped, by fault and detector"


def draw_cells(
    names: Sequence[str],
    labels: Sequence[str],
    rows: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    lowest: float,
    file: Path,
    title: str,
) -> None:
    """Colours run from ``lowest`` to 1 and read in grey too; every cell has its text, the last row stands apart."""
    pyplot = needed("matplotlib.pyplot")
    widest = max((len(text) for row in texts for text in row), default=0)
    figure, axes = pyplot.subplots(figsize=(2.6 + max(1.0, 0.095 * widest) * len(names), 8.4), layout="constrained")
    axes.imshow(np.array(rows), cmap="cividis", vmin=lowest, vmax=1.0, aspect="auto")
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            ink = "black" if value > (1.0 + lowest) / 2.0 else "white"
            axes.text(column, row, texts[row][column], ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="left", fontsize=9)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(labels)), [label.replace("_", " ") for label in labels], fontsize=9)
    axes.axhline(len(labels) - 1.5, color="white", linewidth=3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
