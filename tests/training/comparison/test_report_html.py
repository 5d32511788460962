"""The HTML report: whole, self-contained, escaped, and holding the comparison's figures."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from ev_qa_framework import EVBatteryAnalyzer, compare_models
from ev_qa_framework.comparison import ModelComparison
from ev_qa_framework.comparison.report_html import html_report, write_html

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{1}$ --> ]]> {{ 7*7 }} \ud800'


class Page(HTMLParser):
    """Elements, attributes and text of a page; remembers what was left open or closed out of turn."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(" ".join(data.split()))

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


@pytest.fixture(scope="module")
def found(analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame, faulty: pd.DataFrame) -> ModelComparison:
    other = EVBatteryAnalyzer(n_estimators=8, contamination=0.2, random_state=3).fit(telemetry)
    return compare_models(analyzer, other, faulty, np.where(faulty["fault"], "drift", ""), resamples=100)


@pytest.fixture(scope="module")
def page(found: ModelComparison) -> str:
    return html_report(found)


def test_it_is_well_formed_and_tells_what_it_is(page: str) -> None:
    parsed = Page(page)
    assert (parsed.faults, parsed.open) == ([], [])
    assert page.startswith("<!DOCTYPE html>")
    assert ("html", {"lang": "en"}) in parsed.elements
    assert any(
        tag == "meta" and "width=device-width" in str(attributes.get("content")) for tag, attributes in parsed.elements
    )


def test_it_needs_nothing_from_outside(page: str) -> None:
    parsed = Page(page)
    assert parsed.tags().isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form", "image"})
    for tag, attributes in parsed.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                assert str(value).startswith("#"), (tag, name, value)
            if not name.startswith("xmlns"):
                assert "://" not in str(value), (tag, name, value)
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page
    policy = next(attributes for _, attributes in parsed.elements if attributes.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_reference_leads_somewhere_and_no_id_is_taken_twice(page: str) -> None:
    ids = [str(attributes["id"]) for _, attributes in Page(page).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


def test_it_follows_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert re.findall(r"#00[0-9a-f]{2}fe", page) == []  # no stand-in was left
    drawings = page[page.index("<svg") : page.rindex("</svg>")]
    colours = set(re.findall(r"(?:fill|stroke): *(#[0-9a-f]{3,6})", drawings))
    assert colours <= {"#000000"}, colours  # black is what clipping paths are given, which nobody sees


def test_it_holds_the_figures(page: str, found: ModelComparison) -> None:
    text = Page(page).text
    assert f"{100 * found.a.flagged.rate:.1f} %" in text or f"{100 * found.a.flagged.rate:.2f} %" in text
    assert f"{found.agreement.kappa.value:.3f}" in " ".join(text)
    for row in found.severity_confusion:
        for count in row:
            assert f"{count:,}" in text
    assert found.labelled is not None
    assert f"{found.labelled.a.roc_auc.value:.3f}" in text
    for count in (found.labelled.a.true_positives, found.labelled.b.false_positives):
        assert f"{count:,}" in text
    for name in ("voltage", "current", "temp"):
        assert name in text


def test_the_pictures_are_all_there(page: str, found: ModelComparison) -> None:
    drawn = [attributes["aria-label"] for tag, attributes in Page(page).elements if tag == "svg"]
    assert drawn == [
        "Scores, A against B",
        "Distribution of the scores",
        "Severity, A down, B across",
        "Flagged over time",
        "The data against the training data",
        "ROC",
        "Precision and recall",
    ]


def test_without_labels_and_time_it_says_less(analyzer: EVBatteryAnalyzer, readings: np.ndarray) -> None:
    page = html_report(compare_models(analyzer, analyzer, readings, resamples=100, measure_speed=False))
    drawn = [attributes["aria-label"] for tag, attributes in Page(page).elements if tag == "svg"]
    assert "Flagged, in the order of the rows" in drawn
    assert "ROC" not in drawn
    assert "Against labels" not in page
    assert "Speed on the machine" not in page
    assert Page(page).faults == []


def test_what_comes_from_outside_is_escaped(found: ModelComparison) -> None:
    shift = tuple(replace(each, feature=HOSTILE + each.feature, unit=HOSTILE) for each in found.feature_shift)
    contrast = tuple(replace(each, feature=HOSTILE, unit=HOSTILE) for each in found.flagged_contrast)
    assert found.labelled is not None
    by_fault = compare_by_fault(HOSTILE)
    hostile = replace(
        found,
        a=replace(found.a, name=HOSTILE, version=HOSTILE, features=(HOSTILE,)),
        b=replace(found.b, name=HOSTILE * 30),
        feature_shift=shift,
        flagged_contrast=contrast,
        labelled=replace(found.labelled, by_fault=by_fault),
    )
    page = html_report(hostile)
    page.encode("utf-8", "xmlcharrefreplace")
    parsed = Page(page.replace("\ud800", "?"))
    assert parsed.faults == []
    assert parsed.tags().isdisjoint({"script", "img"})
    assert "49" not in [text.strip() for text in parsed.text]
    assert any("<script>alert(1)</script>" in text for text in parsed.text)  # shown as text


def compare_by_fault(name: str) -> Any:
    from ev_qa_framework.comparison.result import FaultRecall  # noqa: PLC0415 - one use

    return (FaultRecall(name, 3, 0.5, 1.0), FaultRecall("short", 2, 0.0, 0.0))


def test_the_same_comparison_gives_the_same_page(found: ModelComparison, page: str) -> None:
    assert html_report(found) == page


def test_models_whose_scores_never_vary_are_drawn(readings: np.ndarray) -> None:
    flat = EVBatteryAnalyzer(n_estimators=3, max_samples=1).fit(readings)
    page = html_report(compare_models(flat, flat, readings[:20], [0, 1] * 10, resamples=100, measure_speed=False))
    assert Page(page).faults == []


def test_one_row_is_drawn(analyzer: EVBatteryAnalyzer, readings: np.ndarray) -> None:
    page = html_report(compare_models(analyzer, analyzer, readings[:1], [1], resamples=100, measure_speed=False))
    assert Page(page).faults == []


def test_the_dashed_lines_are_what_decides_a_flag(
    telemetry: pd.DataFrame, faulty: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_label = EVBatteryAnalyzer(n_estimators=6, warning_threshold=-0.7).fit(telemetry)
    by_severity = EVBatteryAnalyzer(n_estimators=6, warning_threshold=-0.41).fit(telemetry)
    found = compare_models(by_label, by_severity, faulty, resamples=100, measure_speed=False)
    drawn: dict[str, list[float]] = {"axvline": [], "axhline": []}
    for name, places in drawn.items():
        real = getattr(Axes, name)

        def line(axes: Axes, at: float, *, real: Any = real, places: list[float] = places, **style: Any) -> Any:
            if style.get("ls") == "--":
                places.append(at)
            return real(axes, at, **style)

        monkeypatch.setattr(Axes, name, line)
    html_report(found)
    assert drawn["axvline"] == [found.a.offset, found.a.offset, -0.41]  # the scatter's A; the distributions' A and B
    assert drawn["axhline"] == [-0.41]
    rows = found.row_values
    for scores, flagged, at in (
        (rows.scores_a, rows.flagged_a, found.a.offset),
        (rows.scores_b, rows.flagged_b, -0.41),
    ):
        assert ((scores < at) == flagged).all()


def test_captions_say_where_there_is_nothing_to_see(telemetry: pd.DataFrame) -> None:
    quiet = EVBatteryAnalyzer(n_estimators=6, warning_threshold=-0.99, critical_threshold=-0.995, contamination=0.01)
    quiet.fit(telemetry)
    calm = telemetry[quiet.predict(telemetry) == 1]
    labels = np.arange(len(calm)) % 2
    page = " ".join(Page(html_report(compare_models(quiet, quiet, calm, labels, measure_speed=False))).text)
    assert "Neither model flags a row. Share of the rows flagged" in page
    assert "neither model flags a row, so there are no dots" in page
    one = html_report(compare_models(quiet, quiet, calm[:1], measure_speed=False))
    assert "in 1 stretch." in one


def test_units_are_written_as_people_do(page: str) -> None:
    assert "°C" in page
    assert "degC" not in page


class TestWriting:
    def test_the_file_is_the_page(self, found: ModelComparison, page: str, tmp_path: Path) -> None:
        write_html(found, tmp_path / "report.html")
        assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
        assert [file.name for file in tmp_path.iterdir()] == ["report.html"]

    def test_a_failure_leaves_the_old_file_and_nothing_else(
        self, found: ModelComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "report.html"
        target.write_text("old")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*report\.html'"):
            write_html(found, target)
        assert target.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["report.html"]

    def test_a_folder_that_is_not_there_is_named(self, found: ModelComparison, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"nowhere/report\.html"):
            write_html(found, tmp_path / "nowhere" / "report.html")
