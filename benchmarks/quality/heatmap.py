"""The picture: ROC-AUC by fault and detector."""

from __future__ import annotations

from pathlib import Path

from benchmarks.engines.base import needed
from benchmarks.quality.evaluation import Evaluation


def draw(evaluation: Evaluation, file: Path, subtitle: str) -> None:
    """Write it. The colours run from 0.5, chance, to 1 and read in grey too; every cell has its number."""
    pyplot = needed("matplotlib.pyplot")
    names = list(evaluation.found)
    columns = [evaluation.found[name].paired.intervals() for name in names]
    rows = [[kinds[row].value for kinds, _ in columns] for row in range(len(evaluation.kinds))]
    rows.append([mean.value for _, mean in columns])
    figure, axes = pyplot.subplots(figsize=(2.6 + 1.0 * len(names), 8.4), layout="constrained")
    axes.imshow(rows, cmap="cividis", vmin=0.5, vmax=1.0, aspect="auto")
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            ink = "black" if value > 0.75 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="left", fontsize=9)
    axes.xaxis.tick_top()
    labels = [*(kind.name.replace("_", " ") for kind in evaluation.kinds), "mean"]
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.axhline(len(labels) - 1.5, color="white", linewidth=3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(f"ROC-AUC, held-out trips (0.5 is chance)\n{subtitle}", fontsize=10)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
