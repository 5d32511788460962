"""What the HTML reports share: matplotlib's SVG as an element of a page, in the colours of its style, light or dark."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


def stand_in(number: int) -> str:
    """A colour that no picture uses for itself; a variable of the page's style takes its place."""
    return f"#00{number:02x}fe"


INK, GRID = stand_in(0), stand_in(1)

RC: Any = {  # matplotlib types the keys as literals
    "svg.fonttype": "none",
    "svg.hashsalt": "ev-qa",
    "font.size": 9.0,
    "font.family": ["sans-serif"],
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "path.simplify": True,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG element with its heading and what there is to see."""

    title: str
    caption: str
    svg: str


def svg_of(
    name: str,
    alternative: str,
    inches: tuple[float, float],
    draw: Callable[[Figure], None],
    variables: Mapping[str, str],
) -> str:
    """What ``draw`` makes of a figure of a width and height in inches, as :func:`inline_svg` puts it."""
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # the browser has the font, not we
        figure = Figure(figsize=inches, layout="constrained")
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return inline_svg(buffer.getvalue(), name, alternative, variables)


def inline_svg(document: str, name: str, alternative: str, variables: Mapping[str, str]) -> str:
    """Matplotlib's SVG document as an element of a page: ids of its own, colours of the page, nothing but drawing.

    ``name`` comes before every id, ``alternative`` is what is read aloud; ``variables``: stand-in → variable of the
    page's style.
    """
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would apply to the whole page
    # matplotlib names clip paths by where they lay in memory; the same picture has the same names here.
    for number, clip in enumerate(dict.fromkeys(re.findall(r'<clipPath id="([^"]+)"', svg))):
        svg = svg.replace(f'id="{clip}"', f'id="clip{number}"').replace(f"#{clip})", f"#clip{number})")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r'\swidth="[^"]*" height="[^"]*"|\sheight="[^"]*" width="[^"]*"', "", svg, count=1)
    for colour, variable in variables.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alternative)}" ', 1).strip()
