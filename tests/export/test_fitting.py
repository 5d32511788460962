"""Fitting with our own scorer gives scikit-learn's offset, to the bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ev_qa_framework.fitting import fit_pipeline
from ev_qa_framework.pipeline import build_pipeline


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.37, 0.5, "auto"])
@pytest.mark.parametrize("n_rows", [100, 60_000])
def test_the_fitted_pipeline_equals_scikit_learns(contamination, n_rows):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(np.round(rng.normal(size=(n_rows, 3)) * 20, 1), columns=["voltage", "current", "temp"])
    parameters = {"contamination": contamination, "n_estimators": 25, "max_samples": "auto", "random_state": 4}
    ours, theirs = build_pipeline(**parameters), build_pipeline(**parameters)

    fit_pipeline(ours, rows)
    theirs.fit(rows)

    assert ours[-1].offset_ == theirs[-1].offset_
    assert type(ours[-1].offset_) is type(theirs[-1].offset_)
    assert ours[-1].contamination == contamination
    assert np.array_equal(ours.predict(rows), theirs.predict(rows))
    assert np.array_equal(ours.score_samples(rows), theirs.score_samples(rows))
