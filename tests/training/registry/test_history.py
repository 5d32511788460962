"""What served when, what changed between models, and the changelog made of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.publishing import publish_model
from ev_qa_framework.registry.event import Event
from ev_qa_framework.registry.inventory import description, inventory
from ev_qa_framework.registry.model_changelog import MARK, changelog, write_changelog
from ev_qa_framework.registry.model_diff import feature_shifts, model_diff
from ev_qa_framework.registry.model_files import ModelFiles, read_model
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.service_history import moments, served
from ev_qa_runtime.errors import ConfigurationError

Fill = Callable[..., list[str]]


@pytest.fixture
def events(local: Registry, fill: Fill) -> list[Event]:
    """Champions A from 10:00, B from 12:00, A again from the next day 09:00; a challenger for an hour."""
    first, second = fill(local, 2)
    local.promote(first)
    local.promote(second, alias="challenger")
    local.clear()
    local.promote(second)
    local.rollback()
    start = datetime(2026, 11, 23, tzinfo=UTC)
    hours = [8, 9, 10, 10.5, 11.5, 12, 33]
    return [
        dataclasses.replace(event, time=start + timedelta(hours=hour))
        for event, hour in zip(local.journal.history(), hours, strict=True)
    ]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T09:59:59Z", []),
        ("2026-11-23T10:00:00Z", ["champion pack_v1.0.0"]),
        ("2026-11-23T12:30:00+01:00", ["champion pack_v1.0.0"]),
        ("2026-11-23T11:00", ["champion pack_v1.0.0", "challenger pack_v1.0.1"]),
        ("2026-11-23T12:00:00Z", ["champion pack_v1.0.1"]),
        ("2026-11-24T08:59:59Z", ["champion pack_v1.0.1"]),
        ("2026-11-24T09:00:00Z", ["champion pack_v1.0.0"]),
        ("2030-01-01", ["champion pack_v1.0.0"]),
        ("2026-11-22", []),
        ("2026-11-23", ["champion pack_v1.0.0", "challenger pack_v1.0.1", "champion pack_v1.0.1"]),
        ("2026-11-24", ["champion pack_v1.0.1", "champion pack_v1.0.0"]),
    ],
)
def test_what_served_then(events: list[Event], at: str, expected: list[str]) -> None:
    assert [f"{period.alias} {period.model}" for period in served(events, at)] == expected


def test_a_period_says_since_when_until_when_and_which_files(events: list[Event]) -> None:
    period = served(events, "2026-11-23T12:00:00Z")[0].as_dict()
    target = events[5].change.aliases["pack"]["champion"]
    assert period == {
        "family": "pack",
        "alias": "champion",
        "model": "pack_v1.0.1",
        "sidecar_sha256": target.sidecar_sha256,
        "event": 6,
        "since": "2026-11-23T12:00:00Z",
        "until": "2026-11-24T09:00:00Z",
    }


@pytest.mark.parametrize("at", ["yesterday", "", "2026-13-01", "12:00", "2026-11-23T25:00"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(ConfigurationError, match="is no time such as"):
        moments(at)


def test_the_clock_never_goes_back_in_the_history(local: Registry, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = fill(local, 2)
    before = local.journal.history()[-1]

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return before.time - timedelta(minutes=4)

    monkeypatch.setattr("ev_qa_framework.registry.journal.datetime", Earlier)
    event = local.promote(first)
    assert event is not None
    assert event.time == before.time


@pytest.fixture
def two(local: Registry, telemetry: pd.DataFrame, tmp_path: Path) -> Registry:
    """pack 1.0.0 and, on warmer data and with another contamination, 1.1.0."""
    recipes = [(0.1, telemetry), (0.05, telemetry.assign(temp=2 * telemetry["temp"] + 3).iloc[:500])]
    for number, (contamination, data) in enumerate(recipes):
        analyzer = EVBatteryAnalyzer(contamination=contamination, n_estimators=3, max_samples=32).fit(data)
        analyzer.save_model(tmp_path / "trained", metadata={"dataset": f"set {number}"})
        publish_model(local, tmp_path / "trained", family="pack", follow=True, reason=f"recipe {number}")
    local.promote("pack_v1.1.0", reason="checked on the bench")
    return local


def test_a_diff_says_what_changed(two: Registry, telemetry: pd.DataFrame) -> None:
    old, new = (read_model(two.store, "experiments", f"pack_v1.{number}.0") for number in range(2))
    found = model_diff(old, new)
    plain = json.loads(json.dumps(found.as_dict()))

    assert plain["differences"] == [{"level": "MINOR", "what": "contamination", "old": "0.1", "new": "0.05"}]
    assert (found.rows, found.same_data, found.asked, found.follows) == ((720, 500), False, "MINOR", "1.1.0")
    shifts = {shift.name: shift for shift in found.features}
    expected = (2 * telemetry["temp"] + 3).iloc[:500]
    assert shifts["temp"].mean_shift == pytest.approx(
        (expected.mean() - telemetry["temp"].mean()) / telemetry["temp"].std(ddof=0), rel=1e-9
    )
    assert shifts["temp"].std_ratio == pytest.approx(expected.std() / telemetry["temp"].std(), rel=1e-2)
    assert shifts["temp"].new_range == (expected.min(), expected.max())
    assert found.bytes["onnx"] == (len(old.payloads["onnx"]), len(new.payloads["onnx"]))
    assert "golden rows of both models" in found.scores_computed_from
    golden = np.concatenate([files.contract.golden.readings for files in (old, new)])
    rows = golden[np.isfinite(golden).all(axis=1)]
    assert found.scores[0].rows == found.scores[1].rows == len(rows)
    scored = EVBatteryAnalyzer.load_model(f"{two.root}@pack_v1.0.0").score_samples(
        pd.DataFrame(rows, columns=["voltage", "current", "temp"])
    )
    assert found.scores[0].lowest == scored.min()


def test_a_diff_of_a_model_with_itself_is_a_patch(tiny: ModelFiles) -> None:
    found = model_diff(tiny, tiny)
    assert (found.differences, found.same_data, found.asked) == ((), True, "PATCH")
    assert found.scores[0] == found.scores[1]
    assert [(shift.mean_shift, shift.std_ratio) for shift in found.features] == [(0.0, 1.0)] * 3


def test_other_features_are_compared_as_far_as_they_go(
    telemetry: pd.DataFrame, tiny: ModelFiles, local: Registry, tmp_path: Path
) -> None:
    analyzer = EVBatteryAnalyzer(n_estimators=2, max_samples=16, features=("soc", "temp")).fit(telemetry)
    analyzer.save_model(tmp_path / "pack_v2.0.0")
    publish_model(local, tmp_path / "pack_v2.0.0")
    found = model_diff(tiny, read_model(local.store, "experiments", "pack_v2.0.0"))
    assert found.asked == "MAJOR"
    assert "each model's own" in found.scores_computed_from
    assert [(shift.name, shift.mean_shift is None) for shift in found.features] == [
        ("voltage", True), ("current", True), ("temp", False), ("soc", True),
    ]  # fmt: skip


def test_a_constant_feature_has_no_shift_in_standard_deviations(tiny: ModelFiles) -> None:
    feature = tiny.contract.features[0]
    assert feature.training is not None
    still = dataclasses.replace(feature, training=dataclasses.replace(feature.training, std=0.0))
    contract = dataclasses.replace(tiny.contract, features=(still, *tiny.contract.features[1:]))
    shift = feature_shifts(contract, tiny.contract)[0]
    assert (shift.mean_shift, shift.std_ratio) == (0.0, None)


def test_the_changelog_has_every_version_newest_first(two: Registry) -> None:
    text = changelog(two)
    assert text.splitlines()[1] == MARK
    assert [line.rpartition(" - ")[0] for line in text.splitlines() if line.startswith("## ")] == [
        "## pack 1.1.0",
        "## pack 1.0.0",
    ]
    newest, oldest = text.split("## ")[1:]
    assert "- MINOR against 1.0.0:\n  - contamination: 0.1 -> 0.05\n" in newest
    assert "training data of temp: mean +" in newest
    assert "published into experiments/ by tester@bench (event 2): recipe 1" in newest
    assert "made champion by tester@bench (event 3): checked on the bench" in newest
    assert "- First version: IsolationForest on voltage, current, temp; contamination 0.1" in oldest


def test_a_changelog_that_somebody_wrote_is_not_replaced(two: Registry, tmp_path: Path) -> None:
    file = tmp_path / "models" / "CHANGELOG.md"
    file.write_text("mine\n")
    with pytest.raises(FileExistsError, match="was written by hand: move it, or say --overwrite"):
        write_changelog(two)
    assert file.read_text() == "mine\n"
    assert write_changelog(two, overwrite=True) == file.read_text()
    two.archive("pack_v1.0.0")
    assert "archived from experiments/" in write_changelog(two)


def test_the_inventory_lists_every_model_and_a_damaged_one(two: Registry, tmp_path: Path) -> None:
    (tmp_path / "models" / "experiments" / "pack_v1.0.0.json").write_text("{}")
    damaged, sound = inventory(two)
    assert (damaged.model, damaged.created) == ("pack_v1.0.0", None)
    assert "schema_version is missing" in str(damaged.problem)
    assert (sound.model, sound.stages, sound.aliases) == ("pack_v1.1.0", ("production", "experiments"), ("champion",))
    assert sound.signed_by == ()


def test_a_description_has_the_contract_and_the_events(two: Registry) -> None:
    found = json.loads(json.dumps(description(two, "champion")))
    assert (found["model"], found["parameters"]["contamination"], found["metadata"]["dataset"]) == (
        "pack_v1.1.0", 0.05, "set 1",
    )  # fmt: skip
    assert [event["action"] for event in found["events"]] == ["publish", "promote"]
