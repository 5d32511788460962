"""Running histograms: the same bits in any chunks, merged, restored; PSI by its formula; the baseline's JSON form."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_qa_runtime.drift import DriftMonitor
from ev_qa_runtime.drift_baseline import DriftBaseline, Histogram, drift_baseline_document, drift_baseline_of
from ev_qa_runtime.drift_statistics import chi_square_tail, holm, homogeneity_p_value, population_stability_index
from ev_qa_runtime.errors import ArtifactError, ConfigurationError, IncompatibleModelError, TelemetryError
from ev_qa_runtime.strict_json import Members, parse_object

FLAT = Histogram((0.0, 1.0, 2.0, 3.0), (0, 100, 100, 100, 0, 0), 1.0)
SCORE = Histogram((-0.6, -0.5, -0.4), (0, 100, 200, 0, 0), 4.0)
BASELINE = DriftBaseline(("voltage", "temp"), (FLAT, dataclasses.replace(FLAT, counts=(5, 90, 100, 90, 5, 10))), SCORE)
GOLDEN = (
    '{"version": 1, "row_s": null, "features": [{"name": "voltage", "edges": [0.0, 1.0, 2.0, 3.0], "counts": '
    '[0, 100, 100, 100, 0, 0], "rows_alike": 1.0}, {"name": "temp", "edges": [0.0, 1.0, 2.0, 3.0], "counts": '
    '[5, 90, 100, 90, 5, 10], "rows_alike": 1.0}], "score": {"edges": [-0.6, -0.5, -0.4], "counts": '
    '[0, 100, 200, 0, 0], "rows_alike": 4.0}}'
)

CELLS = st.one_of(st.floats(-1.0, 4.0), st.sampled_from([0.0, 1.0, 3.0, math.nan, math.inf, -math.inf]))
ROWS = st.lists(st.tuples(CELLS, CELLS, st.floats(-0.8, -0.3)), max_size=40)
SETTINGS = st.one_of(
    st.fixed_dictionaries({"every": st.integers(1, 5), "half_life_rows": st.none() | st.integers(1, 10)}),
    st.fixed_dictionaries({"thin_s": st.floats(0.5, 20.0), "half_life_rows": st.none() | st.integers(1, 10)}),
)


def table(rows: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, scores and times; the clock is set back once."""
    cells = np.array(rows).reshape(-1, 3)
    time = 1.5 * np.arange(float(len(cells)))
    time[len(cells) // 2 :] -= 20.0
    return cells[:, :2], cells[:, 2], time


class TestCounting:
    def test_bins_are_half_open_and_missing_apart(self) -> None:
        monitor = DriftMonitor(BASELINE)
        readings = [-0.1, 0.0, 0.9, 1.0, 2.9, 3.0, math.inf, -math.inf, math.nan]
        monitor.update(np.column_stack([readings, np.zeros(9)]), np.full(9, -0.5))
        assert monitor.state()["new"] == [[2, 2, 1, 1, 2, 1], [0, 9, 0, 0, 0, 0], [0, 0, 9, 0, 0]]
        drift = monitor.report().features[0]
        assert (drift.below_share, drift.above_share, drift.missing_share) == (2 / 9, 2 / 9, 1 / 9)

    @given(ROWS, SETTINGS, st.lists(st.integers(0, 12), max_size=8))
    def test_any_chunks_give_the_same_bits(
        self, rows: list[tuple[float, float, float]], settings: dict[str, Any], chunks: list[int]
    ) -> None:
        values, scores, time = table(rows)
        whole, chunked, single = (DriftMonitor(BASELINE, **settings) for _ in range(3))
        whole.update(values, scores, time)
        begin = 0
        for rows_now in (*chunks, len(scores)):
            part = slice(begin, begin + rows_now)
            chunked.update(values[part], scores[part], time[part])
            restored = DriftMonitor(BASELINE, **settings)
            restored.restore(json.loads(json.dumps(chunked.state())))
            chunked = restored
            begin += rows_now
        for value, score, moment in zip(values.tolist(), scores.tolist(), time.tolist(), strict=True):
            single.update_one(value, score, moment)
        assert whole.state() == chunked.state() == single.state()
        assert whole.report() == chunked.report() == single.report()

    def test_thinning_goes_on_across_chunks(self) -> None:
        whole, chunked = DriftMonitor(BASELINE, every=3), DriftMonitor(BASELINE, every=3)
        whole.update(np.zeros((10, 2)), np.full(10, -0.5))
        for rows in (1, 4, 0, 5):
            chunked.update(np.zeros((rows, 2)), np.full(rows, -0.5))
        assert whole.state() == chunked.state()
        assert whole.report().rows == 4

    def test_faded_rows_are_worth_what_kish_says(self) -> None:
        monitor = DriftMonitor(BASELINE, half_life_rows=100)
        monitor.update(np.zeros((150, 2)), np.full(150, -0.5))  # 100 rows of weight 1/2, 50 of weight 1
        assert monitor.report().features[0].effective_rows == 100.0**2 / (100 * 0.25 + 50)

    @given(ROWS, ROWS)
    def test_merging_is_seeing_the_rows_of_both(
        self, one: list[tuple[float, float, float]], other: list[tuple[float, float, float]]
    ) -> None:
        merged, more, both = (DriftMonitor(BASELINE) for _ in range(3))
        for monitors, rows in (((merged, both), one), ((more, both), other)):
            for monitor in monitors:
                monitor.update(*table(rows)[:2])
        merged.merge(more)
        assert merged.state() == both.state()
        assert merged.report() == both.report()

    def test_thinning_counts_every_kth_row_or_one_in_some_seconds(self) -> None:
        values, scores, time = np.zeros((100, 2)), np.full(100, -0.5), np.arange(100.0)
        by_rows, by_time = DriftMonitor(BASELINE, every=7), DriftMonitor(BASELINE, thin_s=10.0)
        by_rows.update(values, scores)
        by_time.update(values, scores, time)
        assert (by_rows.report().rows, by_time.report().rows, by_time.report().seen) == (15, 10, 100)
        by_time.update(values, scores, np.full(100, np.nan))
        assert by_time.report().rows == 10

    def test_older_rows_fade_and_memory_stays(self) -> None:
        monitor = DriftMonitor(BASELINE, half_life_rows=50)
        monitor.update(np.full((1000, 2), 5.0), np.full(1000, -0.9))
        small = len(json.dumps(monitor.state()))
        monitor.update(np.tile(np.arange(3.0)[:, np.newaxis], (400, 2)) + 0.5, np.tile([-0.55, -0.45, -0.45], 400))
        report = monitor.report()
        assert report.rows < 101
        assert report.features[0].above_share < 1e-6
        assert report.features[0].reading == "stable"
        assert _after(np.full((1000, 2), 5.0)).features[0].reading == "major"
        assert len(json.dumps(monitor.state())) < 3 * small


def _after(values: np.ndarray) -> Any:
    monitor = DriftMonitor(BASELINE)
    monitor.update(values, np.full(len(values), -0.5))
    return monitor.report()


class TestRefusals:
    @pytest.mark.parametrize("settings", [{"every": 0}, {"half_life_rows": 0}])
    def test_settings_below_one(self, settings: dict[str, int]) -> None:
        with pytest.raises(ConfigurationError, match="every and half_life_rows must be at least 1"):
            DriftMonitor(BASELINE, **settings)

    @pytest.mark.parametrize("settings", [{"thin_s": 0.0}, {"thin_s": math.inf}, {"thin_s": 5.0, "every": 2}])
    def test_thinning_twice_or_not_at_all(self, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="thin_s must be positive seconds and without every"):
            DriftMonitor(BASELINE, **settings)

    def test_other_shapes_count_nothing(self) -> None:
        monitor = DriftMonitor(BASELINE, thin_s=1.0)
        with pytest.raises(
            TelemetryError, match=r"2 features with one score and time a row, not values of shape \(3, 1\)"
        ):
            monitor.update(np.zeros((3, 1)), np.zeros(3), np.arange(3.0))
        with pytest.raises(TelemetryError, match="a reading of 2 features, not 3"):
            monitor.update_one([0.0, 0.0, 0.0], -0.5, 0.0)
        with pytest.raises(TelemetryError, match="needs the time of every row"):
            monitor.update(np.zeros((3, 2)), np.zeros(3))
        assert monitor.state() == DriftMonitor(BASELINE, thin_s=1.0).state()

    def test_strange_monitors_do_not_merge(self) -> None:
        with pytest.raises(ConfigurationError, match="cannot be merged"):
            DriftMonitor(BASELINE).merge(DriftMonitor(BASELINE, every=2))
        with pytest.raises(ConfigurationError, match="cannot be merged"):
            DriftMonitor(BASELINE).merge(DriftMonitor(dataclasses.replace(BASELINE, row_s=1.0)))

    def test_states_of_others_are_refused(self) -> None:
        state = DriftMonitor(BASELINE).state()
        with pytest.raises(ArtifactError, match="of another model or version"):
            DriftMonitor(dataclasses.replace(BASELINE, row_s=1.0)).restore(state)
        with pytest.raises(ArtifactError, match="made with every 1, not 2"):
            DriftMonitor(BASELINE, every=2).restore(state)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("new", 0, 0), -1),
            (("new", 0, 0), 0.5),
            (("new", 0, 0), 1),  # more rows than the other columns have
            (("new", 0, 0), True),
            (("new", 1), [0, 0]),
            (("new", 1), None),
            (("old",), []),
            (("old", 0, 0), math.nan),
            (("old_rows",), "many"),
            (("last_time",), math.inf),
        ],
    )
    def test_damaged_states_are_refused_and_change_nothing(self, path: tuple[Any, ...], value: Any) -> None:
        monitor = DriftMonitor(BASELINE)
        state = copy.deepcopy(monitor.state())
        *parents, last = path
        place: Any = state
        for step in parents:
            place = place[step]
        place[last] = value
        with pytest.raises(ArtifactError, match="drift state is damaged"):
            monitor.restore(state)
        assert monitor.state() == DriftMonitor(BASELINE).state()


class TestStatistics:
    def test_psi_by_its_formula(self) -> None:
        """Shares 0.2, 0.3, 0.5 against 0.5, 0.3, 0.2: 2 · 0.3 · ln 2.5 = 0.5498; half a row of a million is nothing."""
        psi = population_stability_index([200_000, 300_000, 500_000], [500_000, 300_000, 200_000])
        assert psi == pytest.approx(2 * 0.3 * math.log(2.5), abs=1e-5)
        assert population_stability_index([1, 2, 0], [0, 0, 0]) == 0.0
        assert population_stability_index([9, 0], [0, 9]) == pytest.approx(2 * 0.9 * math.log(19))  # 9.5/10, 0.5/10

    @given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=22))
    def test_psi_is_symmetric_not_negative_and_zero_for_the_same(self, bins: list[tuple[int, int]]) -> None:
        one, other = ([pair[side] for pair in bins] for side in (0, 1))
        psi = population_stability_index(one, other)
        assert psi >= -1e-12
        assert psi == pytest.approx(population_stability_index(other, one))
        assert population_stability_index(one, one) == 0.0

    def test_readings_of_psi_are_the_usual_ones(self) -> None:
        drift = DriftMonitor(BASELINE).report().score
        for psi, reading in ((0.0999, "stable"), (0.1, "moderate"), (0.2499, "moderate"), (0.25, "major")):
            assert dataclasses.replace(drift, psi=psi).reading == reading

    @pytest.mark.parametrize(
        ("statistic", "degrees", "tail"),
        [(3.841459, 1, 0.05), (6.634897, 1, 0.01), (31.410433, 20, 0.05), (10.850811, 20, 0.95), (0.0, 3, 1.0)],
    )
    def test_chi_square_as_tabled(self, statistic: float, degrees: int, tail: float) -> None:
        assert chi_square_tail(statistic, degrees) == pytest.approx(tail, rel=1e-6)

    def test_the_test_of_a_two_by_two_table(self) -> None:
        """Pearson's chi-square of 30, 70 and 45, 55 is 4.8; P = 0.02846."""
        p_value = homogeneity_p_value([30, 70, 0], [45, 55, 0], 100.0, 100.0)
        assert p_value == pytest.approx(0.028460, abs=1e-6)
        assert homogeneity_p_value([30, 70, 0], [45, 55, 0], 25.0, 25.0) == pytest.approx(0.273322, abs=1e-6)

    def test_nearly_empty_bins_are_joined_and_too_little_says_nothing(self) -> None:
        joined = homogeneity_p_value([0, 30, 68, 2, 0], [1, 44, 52, 3, 0], 100.0, 100.0)
        assert joined == pytest.approx(homogeneity_p_value([30, 70, 0], [45, 55, 0], 100.0, 100.0))
        assert homogeneity_p_value([50, 50], [0, 0], 100.0, 0.0) is None
        assert homogeneity_p_value([50, 50], [4, 5], 100.0, 9.0) is None
        assert homogeneity_p_value([100, 0], [100, 0], 100.0, 100.0) == 1.0

    def test_values_that_go_missing_are_drift(self) -> None:
        assert (homogeneity_p_value([50, 50, 0], [40, 40, 20], 100.0, 100.0) or 1.0) < 1e-4

    def test_holm_as_worked_out(self) -> None:
        assert holm([0.01, 0.04, None, 0.03, 0.005]) == [0.03, 0.06, None, 0.06, 0.02]
        assert holm([0.9, 0.8]) == [1.0, 1.0]
        assert holm([None]) == [None]


class TestTheBaseline:
    def test_the_golden_form(self) -> None:
        assert json.dumps(drift_baseline_document(BASELINE)) == GOLDEN
        assert drift_baseline_of(Members(parse_object(GOLDEN.encode()))) == BASELINE

    @given(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=21, unique=True).map(sorted),
        st.floats(1.0, 1e6),
        st.data(),
    )
    def test_numbers_come_back_as_the_same_doubles(
        self, edges: list[float], rows_alike: float, data: st.DataObject
    ) -> None:
        count = st.integers(1, 2**40)
        counts = tuple(data.draw(st.lists(count, min_size=len(edges) + 2, max_size=len(edges) + 2)))
        baseline = dataclasses.replace(BASELINE, score=Histogram(tuple(edges), counts, rows_alike), row_s=0.1)
        text = json.dumps(drift_baseline_document(baseline))
        assert drift_baseline_of(Members(parse_object(text.encode()))) == baseline

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("[0.0, 1.0, 2.0, 3.0]", "[0.0, 1.0, 1.0, 3.0]", "edges must rise"),
            ("[0.0, 1.0, 2.0, 3.0]", "[]", "edges must rise and be at least one"),
            ("[0, 100, 200, 0, 0]", "[0, 100, 200, 0]", "a count for each bin"),
            ("[0, 100, 200, 0, 0]", "[0, 0, 0, 0, 0]", "and some rows"),
            ("[0, 100, 200, 0, 0]", "[0, -1, 200, 0, 0]", "a count for each bin"),
            ('"rows_alike": 4.0', '"rows_alike": 0.5', "rows_alike must be at least 1, not 0.5"),
            ('"name": "temp"', '"name": "voltage"', "with distinct names"),
            ('"row_s": null', '"row_s": 0.0', "row_s must be positive seconds"),
            ('"rows_alike": 4.0', '"rows": 4.0', "rows_alike is missing"),
        ],
    )
    def test_refusals(self, old: str, new: str, message: str) -> None:
        with pytest.raises(ArtifactError, match=message):
            drift_baseline_of(Members(parse_object(GOLDEN.replace(old, new).encode())))

    def test_a_newer_version_is_refused(self) -> None:
        text = GOLDEN.replace('"version": 1', '"version": 2')
        with pytest.raises(IncompatibleModelError, match="drift baseline has version 2, this runtime reads up to 1"):
            drift_baseline_of(Members(parse_object(text.encode())))

    def test_reports_are_plain_json(self) -> None:
        report = json.loads(json.dumps(_after(np.full((300, 2), 5.0)).as_dict()))
        assert [each["name"] for each in report["features"]] == ["voltage", "temp"]
        assert (report["rows"], report["features"][0]["reading"]) == (300, "major")
