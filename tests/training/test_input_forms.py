"""The same readings in every container that telemetry comes in give the same model and the same scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_runtime.features import KNOWN_FEATURES

FEATURES = ["voltage", "current", "temp"]


class PolarsLike:
    """A frame as polars has it: ``columns`` is a list of names, a column has ``to_numpy``."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.columns = list(frame.columns)

    def __getitem__(self, name: str) -> Any:
        values = self._frame[name].to_numpy()

        class Series:
            def to_numpy(self) -> np.ndarray:
                return values

        return Series()


FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "pandas Float64": lambda frame: frame.astype("Float64"),
    "pandas arrow": lambda frame: frame.astype("double[pyarrow]"),
    "pandas object": lambda frame: frame.astype(object),
    "columns reversed": lambda frame: frame[frame.columns[::-1]],
    "polars-like": PolarsLike,
    "dict of arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "dict of lists": lambda frame: frame.to_dict(orient="list"),
    "dict of series": lambda frame: {name: frame[name] for name in frame},
    "pyarrow table": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "pyarrow record batch": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    "structured array": lambda frame: frame.to_records(index=False),
    "array": lambda frame: frame[FEATURES].to_numpy(),
    "Fortran array": lambda frame: np.asfortranarray(frame[FEATURES].to_numpy()),
    "object array": lambda frame: frame[FEATURES].to_numpy(dtype=object),
    "list of rows": lambda frame: frame[FEATURES].to_numpy().tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_container_changes_nothing(
    form: str, telemetry: pd.DataFrame, analyzer: EVBatteryAnalyzer, saved_once: Path
) -> None:
    data = FORMS[form](telemetry.astype(float))
    expected = analyzer.score_samples(telemetry)

    fitted = EVBatteryAnalyzer(n_estimators=10, contamination=0.05).fit(data)

    np.testing.assert_array_equal(fitted.score_samples(telemetry), expected, strict=True)
    for model in (fitted, EVBatteryAnalyzer.load_model(saved_once, backend="onnx")):
        np.testing.assert_array_equal(model.score_samples(data), expected, strict=True)
        assert model.analyze_telemetry(data)["total_samples"] == len(telemetry)


@pytest.mark.parametrize(
    "missing",
    [
        lambda frame: frame.astype("Float64"),
        lambda frame: frame.astype("double[pyarrow]"),
        lambda frame: frame.astype(object).where(frame.notna(), None),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: {name: np.ma.masked_invalid(frame[name].to_numpy()) for name in frame},
        lambda frame: frame[FEATURES].astype(object).where(frame[FEATURES].notna(), None).to_numpy(),
    ],
    ids=["Float64", "arrow", "None", "pyarrow null", "masked", "object array"],
)
def test_every_kind_of_missing_reading_is_missing(
    missing: Callable[[pd.DataFrame], Any], analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame
) -> None:
    frame = telemetry.astype(float)
    frame.loc[[3, 8], "temp"] = np.nan

    result = analyzer.analyze_telemetry(missing(frame))

    assert result == analyzer.analyze_telemetry(frame)
    assert result["invalid_reasons"] == {"temp: missing": 2}


@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]", "int16", "float32", "uint8"])
def test_integers_and_short_floats_are_numbers(dtype: str, analyzer: EVBatteryAnalyzer) -> None:
    frame = pd.DataFrame({"voltage": [200, 201, 202], "current": [3, 4, 5], "temp": [20, 21, 22]})

    np.testing.assert_array_equal(analyzer.score_samples(frame.astype(dtype)), analyzer.score_samples(frame))


def test_a_missing_integer_is_missing(analyzer: EVBatteryAnalyzer) -> None:
    frame = pd.DataFrame({"voltage": [355, pd.NA], "current": [3, 4], "temp": [20, 21]}, dtype="Int64")

    assert analyzer.predict(frame).tolist()[1] == -1
    assert analyzer.analyze_telemetry(frame)["invalid_reasons"] == {"voltage: missing": 1}


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_aliases_answer_in_any_order_and_spelling(
    data: st.DataObject, telemetry: pd.DataFrame, analyzer: EVBatteryAnalyzer
) -> None:
    rows = telemetry.head(12)
    columns = {}
    for feature in data.draw(st.permutations(FEATURES)):
        spec = KNOWN_FEATURES[feature]
        words = data.draw(st.sampled_from([spec.name, *spec.aliases])).split("_")
        joined = data.draw(st.sampled_from(["_", " ", "-", ".", " ["])).join(words)
        columns[data.draw(st.sampled_from([joined, joined.upper(), f" {joined}]"]))] = rows[feature].to_numpy()
    columns |= dict.fromkeys(data.draw(st.sets(st.sampled_from(["soc", "time", "vin", "fault"]))), rows["soc"])

    scores = analyzer.score_samples(pd.DataFrame(columns))

    np.testing.assert_array_equal(scores, analyzer.score_samples(rows), strict=True)


def test_named_columns_are_never_matched_by_position(analyzer: EVBatteryAnalyzer, telemetry: pd.DataFrame) -> None:
    renamed = telemetry[["voltage", "current", "temp"]].set_axis(["a", "b", "c"], axis=1)

    with pytest.raises(ValueError, match=r"missing column.* there were: 'a', 'b', 'c'"):
        analyzer.score_samples(renamed)
