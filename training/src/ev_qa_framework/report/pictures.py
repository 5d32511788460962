"""The report's pictures: SVG for the page, twice where a phone needs another shape, and one PNG."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ev_qa_framework.report.course import close_up, course_of
from ev_qa_framework.report.drawings import (
    PAGE,
    PAPER,
    STYLE_VARIABLES,
    Course,
    draw_calibration,
    draw_close_up,
    draw_course,
)
from ev_qa_framework.report.event_story import EventStory
from ev_qa_framework.report.judged import Judged
from ev_qa_framework.svg_picture import RC, svg_of
from ev_qa_runtime.calibration_record import CalibrationRecord
from ev_qa_runtime.contract import ModelContract

WIDE_INCHES, NARROW_INCHES = 10.6, 5.0
WIDE_BINS, NARROW_BINS = 700, 350
CLOSE_UP_INCHES = (5.4, 3.6)
PNG_DOTS_PER_INCH = 150


@dataclass(frozen=True, slots=True)
class CoursePicture:
    """One vehicle over time, for wide and for narrow screens, with what it shows in words."""

    vehicle: str
    alternative: str
    wide: str
    narrow: str


def course_picture(
    contract: ModelContract, judged: Judged, vehicle: int, stories: tuple[EventStory, ...]
) -> CoursePicture:
    """Signals, score and events of vehicle number ``vehicle``."""
    course = course_of(contract, judged, vehicle, stories)
    name = "" if judged.signals is None else judged.signals.vehicles[vehicle]
    said = alternative(course, name)
    shapes = []
    for width, bins, kind in ((WIDE_INCHES, WIDE_BINS, "wide"), (NARROW_INCHES, NARROW_BINS, "narrow")):
        inches = (width, _height(course))

        def draw(figure: Figure, bins: int = bins) -> None:
            draw_course(figure, course, PAGE, bins)

        shapes.append(svg_of(f"course-{vehicle}-{kind}", said, inches, draw, STYLE_VARIABLES))
    return CoursePicture(name, said, shapes[0], shapes[1])


def close_up_picture(contract: ModelContract, judged: Judged, story: EventStory) -> str:
    """The feature that contributed most to an event, and the score, around it."""
    strongest = story.contributions[0]
    course, line = close_up(contract, judged, story, strongest.feature)
    said = f"{strongest.feature} and score around event {story.number}"

    def draw(figure: Figure) -> None:
        draw_close_up(figure, course, line, PAGE, strongest.usual)

    return svg_of(f"event-{story.number}", said, CLOSE_UP_INCHES, draw, STYLE_VARIABLES)


def calibration_picture(contract: ModelContract, record: CalibrationRecord) -> str:
    """The calibration curve with both thresholds."""

    def draw(figure: Figure) -> None:
        draw_calibration(figure, record, contract.thresholds, PAGE)

    said = "Calibration: share of healthy rows below every threshold, with the thresholds of WARNING and CRITICAL"
    return svg_of("calibration", said, CLOSE_UP_INCHES, draw, STYLE_VARIABLES)


def png_picture(contract: ModelContract, judged: Judged, vehicle: int, stories: tuple[EventStory, ...]) -> bytes:
    """Signals, score and events of one vehicle as a PNG on white, with a title."""
    course = course_of(contract, judged, vehicle, stories)
    name = "" if judged.signals is None else judged.signals.vehicles[vehicle]
    inked = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
    colours = dict.fromkeys(inked, PAPER.ink) | {"grid.color": PAPER.grid}
    with mpl.rc_context(RC | colours), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # names may hold any character
        figure = Figure(figsize=(WIDE_INCHES, _height(course) + 0.3), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        figure.suptitle(" · ".join(part for part in (judged.source, name, f"judged by {contract.name}") if part))
        draw_course(figure, course, PAPER, 2 * WIDE_BINS)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def alternative(course: Course, vehicle: str) -> str:
    """What a picture shows, for who cannot see it."""
    signals = ", ".join(line.label.partition(",")[0] for line in course.signals)
    whose = f" of {vehicle}" if vehicle else ""
    events = f", {len(course.spans)} event(s) shaded" if course.spans else ""
    return (
        f"{signals} and score{whose} over {course.label.partition(' ')[0]}{events}; the tables below have the figures"
    )


def _height(course: Course) -> float:
    return 1.25 * len(course.signals) + 2.3 + (0.5 if course.spans else 0.0)
