"""The report: what it says agrees with the verdicts; the page is whole, self-contained, escaped and not too large."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.report import ModelReport, report_on
from ev_qa_framework.report.course import course_of
from ev_qa_framework.report.drawings import PAPER
from ev_qa_framework.report.event_story import listed
from ev_qa_framework.report.judged import CHUNK_ROWS, judge
from ev_qa_framework.report.report_html import html_report, write_html, write_png
from ev_qa_framework.report.thinning import thinned, with_breaks
from ev_qa_framework.time_scale import clock_text, duration_text, time_scale
from ev_qa_runtime import Detector, load_model
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.monitored_verdicts import MonitoredVerdicts
from ev_qa_runtime.severity import Severity

TELEMETRY = Path(__file__).parents[3] / "demo" / "telemetry"
VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{1}$ {{ 7*7 }} \ud800'


class Page(HTMLParser):
    """Elements and text of a page; remembers what was left open or closed out of turn."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
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
        self.text = f"{self.text} {' '.join(data.split())}" if data.strip() else self.text


@pytest.fixture(scope="module")
def page(found: ModelReport) -> str:
    return html_report(found)


@pytest.fixture(scope="module")
def raw(saved_once: Path, faulty: pd.DataFrame) -> ModelReport:
    return report_on(saved_once, faulty, "faulty.csv")


class TestWhatItSays:
    def test_chunks_give_what_one_call_gives(self, detector: Detector, fleet: pd.DataFrame) -> None:
        long = pd.concat([fleet] * 4, ignore_index=True)
        long["timestamp"] += pd.to_timedelta(np.repeat(np.arange(4), len(fleet)), unit="h")
        long = long.iloc[700:].reset_index(drop=True)  # both vehicles have an open event where the first chunk ends
        assert len(long) > CHUNK_ROWS
        judged = judge(detector, long, "long")
        whole = detector.verdicts(long)
        assert isinstance(whole, MonitoredVerdicts)
        assert np.array_equal(judged.verdicts.score_samples, whole.score_samples, equal_nan=True)
        assert np.array_equal(judged.verdicts.severity, whole.severity)
        assert np.array_equal(judged.verdicts.label, whole.label)
        assert repr(judged.verdicts.events) == repr(whole.events)
        assert judged.verdicts.summary() == whole.summary()

    def test_progress_reaches_every_row(self, detector: Detector, fleet: pd.DataFrame) -> None:
        steps: list[int] = []
        judge(detector, fleet, "fleet", steps.append)
        assert sum(steps) == len(fleet)

    def test_the_worst_event_is_on_top(self, found: ModelReport) -> None:
        story = found.told[0]
        assert abs(story.event.start_row - 1100) < 30
        assert "reading check" in story.speakers
        assert story.lasting
        first = found.headline.sentences[0]
        assert found.headline.severity is story.event.severity
        assert found.headline.title.startswith(str(story.event.severity))
        assert f"since {story.began}" in first
        assert "it had not cleared when the telemetry ended" in first
        assert "the check of the readings" in first
        assert "current: frozen" in first

    def test_an_event_beyond_the_healthy_range_says_how_far(self, detector: Detector) -> None:
        resistive = pd.read_csv(TELEMETRY / "fault_resistance_x2_02.csv")
        found = report_on(detector, resistive, "resistive")
        story = found.told[0]
        assert "healthy range" in story.speakers
        row = found.judged.verdicts.row(story.event.peak_row)
        assert [text.replace("ohm", "Ω") for text in row.reasons] == list(story.at_peak)
        assert re.search(r"\d Ω above the model, .* \(10 healthy trips kept to ", "\n".join(story.at_peak))
        sentence = found.headline.sentences[0]
        assert f"Why: {story.at_peak[0]}" in sentence
        assert "far beyond what healthy trips showed" not in sentence
        assert "standard deviations" not in sentence  # which names no feature
        assert story.as_dict()["at_peak"] == list(story.at_peak)
        told = Page(html_report(found)).text
        assert story.at_peak[0] in told

    def test_contributions_are_the_explanation_s(self, detector: Detector, found: ModelReport) -> None:
        story = found.told[0]
        shares = [each.share for each in story.contributions]
        assert shares == sorted(shares)
        assert {each.feature for each in story.contributions} == set(detector.contract.feature_names)
        values = found.judged.verdicts.telemetry.values[story.event.peak_row]
        named = dict(zip(detector.contract.feature_names, values, strict=True))
        assert all(each.value == named[each.feature] for each in story.contributions)
        assert 1 <= len(story.words) <= 3

    def test_limits_speak_of_a_fire(self, of_fleet: ModelReport) -> None:
        fire = [story for story in of_fleet.stories if story.event.vehicle == "car <2>" and "limits" in story.speakers]
        assert fire
        assert fire[-1].event.severity is Severity.CRITICAL
        broken = {line.signal: line for line in of_fleet.limits if line.rows}
        assert broken["temp"].watched
        assert "cell voltage" in of_fleet.unwatched

    def test_quality_is_counted(self, of_fleet: ModelReport) -> None:
        missing = next(one for one in of_fleet.quality if (one.signal, one.kind) == ("soc", "missing"))
        assert (missing.rows, missing.unusable) == (41, True)
        assert missing.first == "2024-06-01 00:03:20 UTC"

    def test_vehicles_add_up(self, of_fleet: ModelReport) -> None:
        assert [one.vehicle for one in of_fleet.vehicles] == ["car 1", "car <2>"]
        assert sum(one.rows for one in of_fleet.vehicles) == len(of_fleet.judged.verdicts)
        severity = of_fleet.judged.verdicts.severity
        assert sum(one.critical for one in of_fleet.vehicles) == (severity == 2).sum()
        assert sum(len(one.events) for one in of_fleet.vehicles) == len(of_fleet.stories)

    def test_nothing_to_judge_is_said(self, detector: Detector, stuck: pd.DataFrame) -> None:
        found = report_on(detector, stuck.iloc[:50].assign(voltage=np.nan), "empty.csv")
        assert found.headline.title == "Nothing could be judged"
        assert found.headline.severity is Severity.INVALID
        assert Page(html_report(found)).faults == []

    def test_a_quiet_recording(self, detector: Detector, healthy: pd.DataFrame) -> None:
        found = report_on(detector, healthy.iloc[:60], "short.csv")
        assert found.headline.title == "No events"
        assert "There were none." in Page(html_report(found)).text

    def test_models_without_time_have_rows(self, raw: ModelReport) -> None:
        assert (raw.stories, raw.drift, raw.limits) == ((), None, ())
        assert raw.worst is not None
        assert raw.worst.row == int(raw.judged.verdicts.score_samples.argmin())
        text = Page(html_report(raw)).text
        assert "it knows no time" in text
        assert "no events, no calibration and no drift baseline" in text

    def test_bad_telemetry_names_the_source(self, detector: Detector, stuck: pd.DataFrame) -> None:
        with pytest.raises(TelemetryError, match=r"^x\.csv: .*'soc'"):
            report_on(detector, stuck.drop(columns="soc"), "x.csv")
        with pytest.raises(TelemetryError, match=r"^x\.csv: there are no data rows to judge$"):
            report_on(detector, stuck.iloc[:0], "x.csv")


class TestPage:
    def test_it_is_well_formed(self, page: str, of_fleet: ModelReport, raw: ModelReport) -> None:
        for each in (page, html_report(of_fleet), html_report(raw)):
            parsed = Page(each)
            assert (parsed.faults, parsed.open) == ([], [])
            assert each.startswith("<!DOCTYPE html>")

    def test_it_needs_nothing_from_outside(self, page: str) -> None:
        parsed = Page(page)
        tags = {tag for tag, _ in parsed.elements}
        assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form", "image"})
        for tag, attributes in parsed.elements:
            for name, value in attributes.items():
                assert not name.startswith("on"), (tag, name)
                if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                    assert str(value).startswith("#"), (tag, name, value)
                if not name.startswith("xmlns"):
                    assert "://" not in str(value), (tag, name, value)
        assert re.findall(r"url\((?!#)", page) == []
        policy = next(attributes for _, attributes in parsed.elements if attributes.get("http-equiv"))
        assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"

    def test_ids_are_unique_and_references_lead_somewhere(self, page: str) -> None:
        ids = [str(attributes["id"]) for _, attributes in Page(page).elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)

    def test_colours_are_the_page_s(self, page: str) -> None:
        assert re.findall(r"#00[0-9a-f]{2}fe", page) == []  # no stand-in was left
        drawings = page[page.index("<svg") : page.rindex("</svg>")]
        assert set(re.findall(r"(?:fill|stroke): *(#[0-9a-f]{3,6})", drawings)) <= {"#000000"}
        assert {PAPER.measured, PAPER.expected, PAPER.warning, PAPER.critical} <= set(re.findall("#[0-9a-f]{6}", page))

    def test_every_picture_is_told_in_words(self, page: str) -> None:
        pictures = [attributes for tag, attributes in Page(page).elements if tag == "svg"]
        assert pictures
        assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in pictures)

    def test_a_current_that_was_turned_is_said(self, detector: Detector, healthy: pd.DataFrame, page: str) -> None:
        turned = healthy.assign(current=-healthy["current"])
        text = Page(html_report(report_on(detector, turned, "turned", current_sign="charge_positive"))).text
        assert "The current is shown positive when discharging" in text
        assert "The current is shown positive when discharging" not in Page(page).text

    def test_a_wrong_sign_is_told_in_options(self, detector: Detector, healthy: pd.DataFrame) -> None:
        text = Page(html_report(report_on(detector, healthy.assign(current=-healthy["current"]), "turned"))).text
        assert "current looks charge_positive" in text
        assert "--current-sign charge_positive" in text
        assert "current_sign=" not in text

    def test_it_holds_what_the_model_is(self, page: str, found: ModelReport) -> None:
        text = Page(page).text
        contract = found.contract
        assert contract.monitoring is not None
        assert contract.monitoring.calibration is not None
        for said in (
            contract.name, contract.files["onnx"].sha256, found.sidecar_sha256, "physics version",
            f"{contract.thresholds.warning:.4f}",
            f"{contract.training.rows:,} rows", contract.monitoring.calibration.warning.guarantee,
            f"{contract.parity.rows:,} rows, largest difference {contract.parity.max_ulp} ulp",
        ):  # fmt: skip
            assert said in text, said
        assert found.drift is not None
        for each in (*found.drift.features, found.drift.score):
            assert f"{each.psi:.2f}" in text

    def test_it_holds_every_event(self, of_fleet: ModelReport) -> None:
        text = Page(html_report(of_fleet)).text
        for story in of_fleet.stories:
            for said in (story.began, story.ended, story.lasted, story.event.vehicle, *story.reasons, *story.words):
                assert said in text, said

    def test_names_from_outside_are_escaped(
        self, of_fleet: ModelReport, detector: Detector, fleet: pd.DataFrame
    ) -> None:
        hostile = fleet.assign(vehicle_id=fleet["vehicle_id"].replace("car 1", HOSTILE.replace("\ud800", "")))
        found = report_on(detector, hostile, HOSTILE)
        contract = replace(found.contract, training=replace(found.contract.training, source=HOSTILE))
        page = html_report(replace(found, contract=contract, signed_by=(HOSTILE,)))
        parsed = Page(page.encode("utf-8", "xmlcharrefreplace").decode())
        assert parsed.faults == []
        assert {tag for tag, _ in parsed.elements}.isdisjoint({"script", "img"})
        assert "<script>alert(1)</script>" in parsed.text  # shown as text
        assert "{{ 7*7 }}" in parsed.text

    def test_the_same_report_gives_the_same_page(self, found: ModelReport, page: str) -> None:
        assert html_report(found) == page

    def test_long_telemetry_makes_no_large_page(self, saved_once: Path) -> None:
        random = np.random.default_rng(0)
        rows = random.normal([360.0, 20.0, 25.0], [9.0, 40.0, 3.0], (300_000, 3))
        page = html_report(report_on(saved_once, rows, "long"))
        assert len(page) < 3_000_000
        assert Page(page).faults == []


class TestFiles:
    def test_page_and_picture(self, found: ModelReport, page: str, tmp_path: Path) -> None:
        write_html(found, tmp_path / "report.html")
        write_png(found, tmp_path / "report.png")
        assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
        assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
        assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.png"]

    def test_a_picture_of_rows(self, raw: ModelReport, tmp_path: Path) -> None:
        write_png(raw, tmp_path / "rows.png")
        assert (tmp_path / "rows.png").stat().st_size > 10_000

    def test_a_model_that_was_just_saved(
        self, analyzer: EVBatteryAnalyzer, faulty: pd.DataFrame, tmp_path: Path
    ) -> None:
        analyzer.save_model(tmp_path / "model_v1.0.0")
        assert report_on(load_model(tmp_path / "model_v1.0.0"), faulty).contract.name == "model_v1.0.0"


class TestAxis:
    def test_pauses_are_left_out_where_they_take_most_of_the_time(
        self, detector: Detector, stuck: pd.DataFrame
    ) -> None:
        parked = pd.concat([stuck.iloc[:300], stuck.iloc[1000:].assign(time_s=lambda trip: trip["time_s"] + 90_000)])
        found = report_on(detector, parked, "parked.csv")
        course = course_of(found.contract, found.judged, 0, found.stories)
        assert course.label == "minutes recorded, pauses left out"
        assert course.breaks.tolist() == [300]
        assert course.place[-1] < 20
        event, span = found.stories[0].event, course.spans[0]
        assert (span.start, span.end) == (course.place[event.start_row], course.place[event.end_row])

    def test_time_is_told_in_full_elsewhere(self, found: ModelReport) -> None:
        course = course_of(found.contract, found.judged, 0, found.stories)
        assert (course.label, len(course.breaks)) == ("minutes", 0)
        assert course.place[60] == 1.0
        line = course.signals[0]
        assert line.expected is not None
        residual = found.judged.verdicts.telemetry.values[:, found.contract.feature_names.index("voltage_residual")]
        assert np.allclose(line.values - line.expected, residual, equal_nan=True)

    def test_texts_are_listed(self) -> None:
        assert [listed("abc"[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]


class TestThinning:
    @given(st.lists(st.floats(allow_infinity=False, width=32), max_size=300), st.integers(1, 20))
    def test_no_peak_is_lost(self, values: list[float], bins: int) -> None:
        column = np.array(values, dtype=np.float64)
        rows = thinned(column, bins)
        assert (np.diff(rows) > 0).all()
        assert len(rows) <= 4 * bins or len(rows) == len(column)
        known = column[np.isfinite(column)]
        if len(known):
            kept = column[rows][np.isfinite(column[rows])]
            assert (kept.min(), kept.max()) == (known.min(), known.max())

    def test_a_line_breaks_where_nothing_was_recorded(self) -> None:
        x = np.arange(6.0)
        shown, values = with_breaks(x, 10.0 * x, np.arange(6), np.array([2, 5]))
        assert np.array_equal(shown, [0, 1, np.nan, 2, 3, 4, np.nan, 5], equal_nan=True)
        assert np.isnan(values[[2, 6]]).all()


class TestTimeInWords:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.0, "0:00:00"), (1102.4, "0:18:22"), (36_061.0, "10:01:01"), (1_717_200_200.0, "2024-06-01 00:03:20 UTC")],
    )
    def test_clock(self, seconds: float, text: str) -> None:
        assert clock_text(seconds) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (-1.0, "0 s"),
            (45.2, "45 s"),
            (697.0, "11 min 37 s"),
            (120.0, "2 min"),
            (11_100.0, "3 h 5 min"),
            (352_800.0, "4 d 2 h"),
        ],
    )
    def test_duration(self, seconds: float, text: str) -> None:
        assert duration_text(seconds) == text

    def test_scale(self) -> None:
        scale = time_scale(1_717_200_000.0, 1_717_214_400.0, is_date=True)
        assert scale.label == "hours since 2024-06-01 00:00 UTC"
        assert scale.place(1_717_207_200.0) == 2.0
        assert time_scale(0.0, 100.0, is_date=False).label == "seconds"
