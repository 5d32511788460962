"""A report as one HTML page that needs nothing else: no requests, no scripts, light and dark, phone and paper."""

from __future__ import annotations

import os
from importlib.metadata import version
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from ev_qa_framework.comparison import number_format
from ev_qa_framework.page_file import write_page
from ev_qa_framework.report.event_story import SPEAKERS, Contribution, listed, readable
from ev_qa_framework.report.headline import SHAPES
from ev_qa_framework.report.pictures import calibration_picture, close_up_picture, course_picture, png_picture
from ev_qa_framework.report.report import ModelReport
from ev_qa_framework.time_scale import clock_text, duration_text
from ev_qa_runtime.drift import MAJOR_PSI, MODERATE_PSI
from ev_qa_runtime.exit_codes import in_options

TEMPLATE = "report.html"
FULL_BAR_PSI = 2 * MAJOR_PSI
BARS = 6
"""Contributions shown of an event; the rest is summed up."""


def html_report(found: ModelReport) -> str:
    """The page, the same for the same report. Names and whatever else comes from outside are escaped."""
    source = (files("ev_qa_framework.report") / "templates" / TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    contract = found.contract
    calibration = contract.monitoring.calibration if contract.monitoring else None
    return environment.from_string(source).render(
        found=found,
        contract=contract,
        monitoring=contract.monitoring,
        calibration=calibration,
        remark=None if found.judged.remark is None else in_options(found.judged.remark, ("current_sign",)),
        turned=found.judged.signals is not None and found.judged.signals.given_sign == "charge_positive",
        calibration_picture=None if calibration is None else calibration_picture(contract, calibration),
        courses=[course_picture(contract, found.judged, vehicle, found.stories) for vehicle in found.drawn],
        close_ups={
            story.number: close_up_picture(contract, found.judged, story) for story in found.told if story.contributions
        },
        bars=bars,
        breakable=breakable,
        readable=readable,
        drift_width=lambda psi: f"{100.0 * min(psi / FULL_BAR_PSI, 1.0):.1f}%",
        psi_limits=(MODERATE_PSI, MAJOR_PSI),
        show=number_format,
        clock=clock_text,
        duration=duration_text,
        shapes={str(severity): shape for severity, shape in SHAPES.items()},
        speakers=lambda who: listed([SPEAKERS[speaker] for speaker in who]),
        version=version("ev-qa-framework"),
    )


def write_html(found: ModelReport, path: str | os.PathLike[str]) -> None:
    """Write :func:`html_report` to ``path``, whole or not at all. Raises ``OSError`` with the path."""
    write_page(html_report(found), path)


def write_png(found: ModelReport, path: str | os.PathLike[str]) -> None:
    """Write signals, score and events of the worst vehicle as a PNG, whole or not at all."""
    ranked = sorted(found.drawn, key=lambda number: (-found.vehicles[number].critical, -found.vehicles[number].warning))
    write_page(png_picture(found.contract, found.judged, ranked[0], found.stories), path)


def breakable(name: str) -> Markup:
    """A name that a line may break after its underscores."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def bars(contributions: tuple[Contribution, ...]) -> list[tuple[Contribution, str]]:
    """The largest contributions, most anomalous first, with the width of their bar."""
    largest = sorted(contributions, key=lambda one: -abs(one.share))[:BARS]
    full = max((abs(one.share) for one in largest), default=0.0) or 1.0
    shown = sorted(largest, key=lambda one: one.share)
    return [(one, f"{100.0 * abs(one.share) / full:.1f}%") for one in shown]
