"""One training cell: fit, export, and write down what scikit-learn itself computes here.

Usage: ``python -m tools.matrix.train_cell FOLDER``. Writes for every case ``NAME.exact.onnx``, ``NAME.compat.onnx``,
``NAME.joblib`` and ``NAME.npz``; the analyzer's model is saved as ``analyzer`` by ``save_model``. Prints JSON.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.pipeline import Pipeline
from tools.matrix.cases import cases, demo_frame

from ev_qa_framework.analysis import EVBatteryAnalyzer
from ev_qa_framework.backends import pipeline_scores
from ev_qa_framework.export import export_steps, model_rule, to_onnx
from ev_qa_framework.folding import to_float32, transform_rows
from ev_qa_framework.forest import FlatForest, path_length
from ev_qa_framework.parity import adversarial_rows, ulp_distance
from ev_qa_framework.pipeline import build_pipeline
from ev_qa_runtime.contract import Thresholds
from ev_qa_runtime.severity import FloatArray, severity_codes_of_scores

ORDINARY, ADVERSARIAL = 1500, 2500
ANALYZER_ADVERSARIAL = 10_000
_FOREST_PARAMETERS = ("contamination", "n_estimators", "max_samples", "random_state")
_VERSIONS = ("scikit-learn", "numpy", "scipy", "pandas", "joblib", "onnx", "onnxruntime")


def main(folder: Path) -> int:
    """Fill ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = demo_frame()
    demo = frame.to_numpy(dtype=np.float64)
    refused: dict[str, str] = {}
    written = ["analyzer"]
    offset_ulp = _analyzer(folder, frame, demo)
    for case in cases():
        rows = np.ascontiguousarray(case.rows(demo))
        try:
            case.pipeline.fit(rows)
        except ValueError as error:
            refused[case.name] = str(error).splitlines()[0]
            continue
        _write(folder / case.name, case.pipeline, rows)
        written.append(case.name)
    versions = {name: version(name) for name in _VERSIONS} | {"python": platform.python_version()}
    json.dump({"versions": versions, "cases": written, "refused": refused, "offset_ulp": offset_ulp}, sys.stdout)
    return 0


def _analyzer(folder: Path, frame: Any, demo: FloatArray) -> int:
    """Save the analyzer's model; how far its offset is from what scikit-learn's own ``fit`` places there, in ulp."""
    analyzer = EVBatteryAnalyzer()
    analyzer.fit(frame)
    analyzer.save_model(folder / "analyzer", metadata={"version": "1.0"})
    pipeline = analyzer.pipeline
    assert pipeline is not None  # noqa: S101 - it was fitted here
    thresholds = Thresholds(analyzer.critical_threshold, analyzer.warning_threshold)
    rows = np.concatenate([demo[::4], adversarial_rows(pipeline, demo, ANALYZER_ADVERSARIAL)])
    _expected(folder / "analyzer.npz", pipeline, rows, thresholds)
    parameters = {name: getattr(analyzer, name) for name in _FOREST_PARAMETERS}
    by_sklearn = build_pipeline(**parameters).fit(frame).steps[-1][1].offset_
    return int(ulp_distance(np.array([pipeline.steps[-1][1].offset_]), np.array([by_sklearn]))[0])


def _write(stem: Path, pipeline: Pipeline, rows: FloatArray) -> None:
    scores = pipeline_scores(pipeline, rows)
    thresholds = Thresholds(critical=float(np.median(scores[: len(scores) // 2])), warning=float(np.max(scores)))
    for profile in ("exact", "compat"):
        model = to_onnx(pipeline, profile=profile, thresholds=thresholds)
        stem.with_name(f"{stem.name}.{profile}.onnx").write_bytes(model.SerializeToString())
    joblib.dump(pipeline, stem.with_name(f"{stem.name}.joblib"))
    ordinary = rows[np.linspace(0, len(rows) - 1, ORDINARY).astype(int)]
    checked = np.concatenate([ordinary, adversarial_rows(pipeline, rows, ADVERSARIAL, seed=3)])
    _expected(stem.with_name(f"{stem.name}.npz"), pipeline, checked, thresholds)


def _expected(file: Path, pipeline: Pipeline, rows: FloatArray, thresholds: Thresholds) -> None:
    """Rows with scikit-learn's own results, and the rules that the exporter derived from the forest."""
    with sklearn.config_context(assume_finite=True), np.errstate(all="ignore"):
        score_samples = pipeline.score_samples(_named(pipeline, rows))
        decision_function = pipeline.decision_function(_named(pipeline, rows))
        label = pipeline.predict(_named(pipeline, rows))
    steps = export_steps(pipeline)
    rules = [model_rule(FlatForest.of(steps.forest), profile, thresholds) for profile in ("exact", "compat")]
    np.savez(
        file,
        rows=rows,
        score_samples=score_samples,
        decision_function=decision_function,
        label=label.astype(np.int64),
        severity=severity_codes_of_scores(score_samples, thresholds),
        path_length=path_length(steps.forest, to_float32(transform_rows(steps.folded, rows))),
        rules=np.array(
            [[rule.offset, rule.denominator, rule.offset_cut, rule.warning_cut, rule.critical_cut] for rule in rules]
        ),
    )


def _named(pipeline: Pipeline, rows: FloatArray) -> Any:
    names = getattr(pipeline, "feature_names_in_", None)
    if names is None:
        return rows
    import pandas as pd  # noqa: PLC0415 - as the analyzer fits, with names

    return pd.DataFrame(rows, columns=names)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
