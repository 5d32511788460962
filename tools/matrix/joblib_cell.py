"""What ``joblib.load`` makes of files from other versions: run in one training environment.

Usage: ``python -m tools.matrix.joblib_cell FOLDER``, written by ``train_cell`` in any environment. Prints JSON: what
happened to each file, and the errors as they read.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from ev_qa_framework.backends import pipeline_scores
from ev_qa_framework.folding import ordered_bits

SCORED_ROWS = 2000


def main(folder: Path) -> int:
    """Load every ``.joblib`` of ``folder`` and score the rows kept beside it."""
    json.dump({file.stem: _loaded(file) for file in sorted(folder.glob("*.joblib"))}, sys.stdout)
    return 0


def _loaded(file: Path) -> dict[str, Any]:
    with np.load(file.with_suffix(".npz")) as kept:
        some = np.linspace(0, len(kept["rows"]) - 1, SCORED_ROWS).astype(int)
        expected = {name: kept[name][some] for name in ("rows", "score_samples", "label")}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stage = "loading"
        try:
            content = joblib.load(file)  # made by this very run
            pipeline = content["pipeline"] if isinstance(content, dict) else content
            stage = "scoring"
            scores = pipeline_scores(pipeline, expected["rows"])
            label = np.where(scores - float(pipeline.steps[-1][1].offset_) < 0, -1, 1)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return {"outcome": "fails", "stage": stage, "error": type(error).__name__, "message": str(error)[:300]}
    warned = any(issubclass(item.category, InconsistentVersionWarning) for item in caught)
    distance = np.abs(ordered_bits(scores) - ordered_bits(expected["score_samples"]))
    return {
        "outcome": "loads",
        "warned": warned,
        "ulp": int(distance.max()),
        "rows_differing": int(np.count_nonzero(distance)),
        "labels_differing": int(np.count_nonzero(label != expected["label"])),
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
