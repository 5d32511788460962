"""The picture of a run: one reading's latency and a batch's throughput by engine, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.batch import Batch
from benchmarks.engines.base import needed
from benchmarks.engines.identity_floor import BOUND_NAME
from benchmarks.engines.ours import NAME as OURS
from benchmarks.one_row import FULL, OneRow
from benchmarks.tables import number

# Okabe and Ito's colours, told apart by everybody; shuffled is hatched too.
OURS_COLOUR, PEER_COLOUR, FLOOR_COLOUR = "#0072B2", "#E69F00", "#999999"


def draw(one_row: OneRow, batch: Batch, file: Path, subtitle: str) -> None:
    """Write the picture."""
    pyplot = needed("matplotlib.pyplot")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.2), layout="constrained")
    times = one_row.timings
    latency = {name: 1e6 * times.median(name) for name in times.seconds if name != BOUND_NAME}
    bars(left, latency, "one reading, µs (lower is better)")
    in_order = {name: 1 / batch.in_order.median(name) for name in batch.in_order.seconds}
    shuffled = {name: 1 / batch.shuffled.median(name) for name in batch.shuffled.seconds}
    paired_bars(right, in_order, shuffled, "batch, rows/s on one thread (higher is better)")
    figure.suptitle(subtitle, fontsize=10)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def colour(name: str) -> str:
    """Ours, a floor, or a peer."""
    if name.startswith(OURS):
        return OURS_COLOUR
    return FLOOR_COLOUR if "floor" in name else PEER_COLOUR


def bars(axes: Any, values: Mapping[str, float], title: str) -> None:
    """One bar an engine, the shortest on top."""
    names = sorted(values, key=values.__getitem__, reverse=True)
    shown = [f"{OURS}, Detector.score" if name == FULL else name for name in names]
    heights = [values[name] for name in names]
    drawn = axes.barh(shown, heights, color=[colour(name) for name in names])
    finish(axes, title, min(heights), max(heights))
    axes.bar_label(drawn, [number(value) for value in heights], padding=3, fontsize=9)


def paired_bars(axes: Any, first: Mapping[str, float], second: Mapping[str, float], title: str) -> None:
    """Two bars an engine, time order above shuffled, the fastest on top."""
    names = sorted(first, key=first.__getitem__)
    places = list(range(len(names)))
    colours = [colour(name) for name in names]
    for values, shift, hatch, label in ((first, 0.2, "", "in time order"), (second, -0.2, "////", "shuffled")):
        heights = [values[name] for name in names]
        drawn = axes.barh(
            [place + shift for place in places],
            heights,
            0.38,
            color=colours,
            hatch=hatch,
            edgecolor="white",
            label=label,
        )
        axes.bar_label(drawn, [f"{number(value / 1000)} k" for value in heights], padding=3, fontsize=8)
    axes.set_yticks(places, names)
    finish(axes, title, min((*first.values(), *second.values())), max(first.values()))
    patches = needed("matplotlib.patches")
    handles = [
        patches.Patch(facecolor="#555555", hatch=hatch, edgecolor="white", label=label)
        for hatch, label in (("", "in time order"), ("////", "shuffled"))
    ]
    axes.legend(handles=handles, loc="lower right", frameon=True, fontsize=9)


def finish(axes: Any, title: str, smallest: float, largest: float) -> None:
    """Logarithmic axis, room for the numbers, no clutter."""
    axes.set_xscale("log")
    axes.set_xlim(smallest / 3, largest * 5)
    axes.set_title(title, fontsize=11)
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
