"""Dataframes of the libraries that users have, read by a runtime that imports none of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ev_qa_runtime import Detector, TelemetryError, load_model

REFERENCE = Path(__file__).parents[2] / "artifacts" / "production" / "demo_pack_v1.0.0"
ROWS = np.array([[352.4, 41.0, 24.5], [360.0, -20.0, 18.25], [371.5, 3.0, 30.0]])
FRAME = pd.DataFrame(ROWS, columns=["Voltage (V)", "current", "temperature"])


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_model(REFERENCE)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME[FRAME.columns[::-1]].assign(vin="text", soc=5),
        FRAME.set_index(pd.date_range("2026-01-01", periods=3, freq="s")),
        FRAME.convert_dtypes(),
        FRAME.astype("Float64"),
        FRAME.astype("double[pyarrow]"),
        FRAME.astype(object),
        FRAME.to_records(),
        FRAME.to_dict("list"),
        dict(FRAME.items()),
        pa.Table.from_pandas(FRAME),
        pa.RecordBatch.from_pandas(FRAME),
        pa.table({name: pa.chunked_array([FRAME[name][:1], FRAME[name][1:]]) for name in FRAME}),
    ],
    ids=[
        "frame", "reordered", "time index", "convert_dtypes", "Float64", "pyarrow backed", "object",
        "records", "dict of lists", "dict of series", "table", "record batch", "chunked table",
    ],
)  # fmt: skip
def test_any_dataframe_scores_as_the_bare_array(detector: Detector, frame: object) -> None:
    assert detector.score_samples(frame).tobytes() == detector.score_samples(ROWS).tobytes()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"voltage": [352.4, None], "current": [41.0, 1.0], "temp": [24.5, 20.0]}),
        pd.DataFrame({"voltage": pd.array([352, None], dtype="Int64"), "current": [41.0, 1.0], "temp": [24.5, 20.0]}),
        pd.DataFrame({"voltage": pd.array([352.4, None], dtype="Float64"), "current": [41, 1], "temp": [24.5, 20.0]}),
        pd.DataFrame({"voltage": [352.4, pd.NA], "current": [41, 1], "temp": [24.5, 20.0]}, dtype=object),
        pa.table({"voltage": [352.4, None], "current": [41.0, 1.0], "temp": [24.5, 20.0]}),
        pa.table({"voltage": [352, None], "current": [41, 1], "temp": [24, 20]}),
    ],
    ids=["NaN", "Int64", "Float64", "NA in objects", "arrow doubles", "arrow integers"],
)
def test_missing_readings_of_any_dataframe_are_missing(detector: Detector, frame: object) -> None:
    verdicts = detector.verdicts(frame)
    assert verdicts.telemetry.valid.tolist() == [True, False]
    assert verdicts.row(1).reasons == ("voltage: missing",)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.rename(columns={"current": "i"}), "missing column.*'current'; there were: 'Voltage .*'temperature'"),
        (pd.concat([FRAME, FRAME[["current"]]], axis=1), "duplicate columns for 'current'"),
        (FRAME.assign(current="41.0"), "column 'current' is not numeric"),
        (FRAME.assign(current=True), "column 'current' is not numeric"),
        (FRAME.assign(current=pd.Timestamp("2026-01-01")), "column 'current' is not numeric"),
        (pa.Table.from_pandas(FRAME.assign(current=["1", "2", "3"])), "column 'current' is not numeric"),
    ],
    ids=["missing", "duplicate", "text", "bool", "time", "arrow text"],
)
def test_columns_that_do_not_fit_are_named(detector: Detector, frame: object, message: str) -> None:
    with pytest.raises(TelemetryError, match=message):
        detector.score_samples(frame)


def test_a_reading_of_pandas_na_is_missing(detector: Detector) -> None:
    assert detector.score(voltage=352.4, current=pd.NA, temp=20.0).reasons == ("current: missing",)
