"""A comparison as one HTML page that needs nothing else: no requests, no scripts, light and dark, wide and narrow."""

from __future__ import annotations

import os
from importlib.metadata import version
from importlib.resources import files

import jinja2

from ev_qa_framework.comparison import number_format
from ev_qa_framework.comparison.labelled_metrics import MEASURES
from ev_qa_framework.comparison.plots import pictures
from ev_qa_framework.comparison.report_text import MEASURE_NAMES, by_blocks
from ev_qa_framework.comparison.result import ModelComparison
from ev_qa_framework.page_file import write_page

TEMPLATE = "comparison.html"


def html_report(found: ModelComparison) -> str:
    """The page, the same for the same comparison. Names and whatever else comes from outside are escaped."""
    source = (files("ev_qa_framework.comparison") / "templates" / TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(
        found=found,
        show=number_format,
        measures=[(name, MEASURE_NAMES[name]) for name in MEASURES],
        by_blocks=by_blocks(found.method),
        pictures=list(pictures(found)),
        version=version("ev-qa-framework"),
    )


def write_html(found: ModelComparison, path: str | os.PathLike[str]) -> None:
    """Write :func:`html_report` to ``path``, whole or not at all. Raises ``OSError`` with the path."""
    write_page(html_report(found), path)
