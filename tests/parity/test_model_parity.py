"""``model_parity`` and ``compare``: the figures that ``ev-qa parity`` and the sidecar show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.model_parity import Comparison, ModelParity, model_parity
from ev_qa_framework.parity import Scored, compare, ulp_distance
from ev_qa_runtime.artifact import read_contract
from ev_qa_runtime.contract import ParityRecord


def test_a_saved_model_agrees_with_every_engine(demo_model: Path, demo_files: list[Path]) -> None:
    frame = pd.read_csv(demo_files[0]).head(500)
    frame.loc[3, "voltage"] = np.nan

    found = model_parity(demo_model, frame, adversarial=2_000, reference_rows=20)

    assert found.agrees
    assert [(pair.engine, pair.against, pair.found) for pair in found.comparisons] == [
        ("runtime", "scikit-learn", ParityRecord(2_500, 0, 0, 0)),
        ("onnx.reference", "scikit-learn", ParityRecord(20, 0, 0, 0)),
    ]
    assert found.as_dict()["agrees"] is True


def test_the_sidecar_records_the_parity_of_the_save(demo_model: Path) -> None:
    assert read_contract(demo_model).parity == ParityRecord(4_096, 0, 0, 0)


def test_telemetry_without_a_valid_row_gives_nothing_to_compare(demo_model: Path) -> None:
    with pytest.raises(ValueError, match="no valid row"):
        model_parity(demo_model, np.full((5, 3), np.nan))


@pytest.mark.parametrize(
    ("record", "agrees"),
    [
        (ParityRecord(10, 0, 0, 0), True),
        (ParityRecord(10, 1, 0, 0), True),
        (ParityRecord(10, 2, 0, 0), False),
        (ParityRecord(10, 0, 1, 0), False),
        (ParityRecord(10, 0, 0, 1), False),
    ],
)
def test_one_label_or_two_ulp_are_a_disagreement(record: ParityRecord, agrees: bool) -> None:
    assert ModelParity("m", "exact", (Comparison("a", "b", record),)).agrees is agrees


def test_compare_counts_what_differs() -> None:
    scores = np.array([-0.5, -0.6, -0.7])
    reference = Scored(scores, np.array([1, -1, -1]), np.array([0, 1, 2]))
    other = replace(reference, score_samples=np.nextafter(scores, 0), label=np.array([1, 1, -1]))

    assert compare(reference, reference) == ParityRecord(3, 0, 0, 0)
    assert compare(reference, other) == ParityRecord(3, 1, 1, 0)
    assert compare(reference, replace(reference, severity=np.array([1, 1, 1]))) == ParityRecord(3, 0, 0, 2)


def test_the_distance_of_doubles_in_ulp() -> None:
    left = np.array([1.0, 1.0, 0.0, -5e-324, np.nan, np.nan, np.inf])
    right = np.array([1.0, 1 + 2**-52, -0.0, 5e-324, np.nan, 1.0, np.finfo(float).max])

    assert ulp_distance(left, right).tolist() == [0, 1, 0, 2, 0, np.iinfo(np.int64).max, 1]


def test_a_compat_model_is_compared_by_its_own_measure(tmp_path: Path) -> None:
    telemetry = np.round(np.random.default_rng(2).normal(size=(400, 3)) * [9, 60, 4] + [355, 0, 22], 1)
    EVBatteryAnalyzer(n_estimators=20).fit(telemetry).save_model(tmp_path / "gateway", profile="compat")

    found = model_parity(tmp_path / "gateway", telemetry, adversarial=500)

    assert found.profile == "compat"
    assert found.agrees
    assert [pair.engine for pair in found.comparisons] == ["runtime"]  # onnx.reference cannot evaluate it
