"""One scoring cell: every artifact of some training cells under this onnxruntime and numpy. No scikit-learn here.

Usage: ``python -m tools.matrix.score_cell FOLDER …``, each written by ``train_cell``. Prints JSON: for each folder
and profile what was compared and how far it was from what scikit-learn computed when it trained.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ev_qa_runtime import IncompatibleModelError, load_model
from ev_qa_runtime.contract import ScoringRule
from ev_qa_runtime.session import OUTPUT_NAMES, TreeSession
from ev_qa_runtime.severity import labels, scores_from_path_length, severity_codes

EXACT_SINCE = (1, 21)
FEW_ROWS, ALONE = 1000, 100
COUNTED = ("rows", "on_the_offset", "labels_differing", "severities_differing", "runtime_bits_differing")
WORST = ("path_length_ulp", "score_ulp", "graph_score_ulp", "score_difference")


def main(folders: list[Path]) -> int:
    """Score and print."""
    exact = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= EXACT_SINCE
    profiles = ("exact", "compat") if exact else ("compat",)
    result: dict[str, Any] = {profile: {} for profile in profiles}
    for folder in folders:
        for profile in profiles:
            found = [
                _compared((folder / f"{file.stem}.{profile}.onnx"), file, profile)
                for file in sorted(folder.glob("*.npz"))
                if file.stem != "analyzer"
            ]
            if profile == "exact":
                found.append(_analyzer(folder))
            result[profile][folder.name] = _together(found)
        if not exact:
            result.setdefault("exact_is_refused", {})[folder.name] = _is_refused(folder)
    result["versions"] = {
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }
    json.dump(result, sys.stdout)
    return 0


def _compared(model: Path, expected_file: Path, profile: str) -> dict[str, Any]:
    """One exported model: the graph's own outputs, and the runtime's judgement of its path lengths."""
    expected = np.load(expected_file)
    rule = ScoringRule(*expected["rules"][0 if profile == "exact" else 1].tolist())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
    rows = np.ascontiguousarray(expected["rows"])
    graph = {
        name: values.reshape(-1)
        for name, values in zip(OUTPUT_NAMES, session.run(list(OUTPUT_NAMES), {"telemetry": rows}), strict=True)
    }
    runtime = TreeSession(model.read_bytes(), model.stem)
    by_runtime = runtime.path_length(rows)
    found = _differences(expected, by_runtime, rule)
    found["labels_differing"] += int(np.count_nonzero(graph["label"] != expected["label"]))
    found["severities_differing"] += int(np.count_nonzero(graph["severity"] != expected["severity"]))
    found["runtime_bits_differing"] = int(np.count_nonzero(graph["path_length"] != by_runtime))
    found["runtime_bits_differing"] += _depending_on_the_batch(runtime, rows, by_runtime)
    found["graph_score_ulp"] = _ulp(graph["score_samples"], expected["score_samples"])
    return found


def _depending_on_the_batch(runtime: TreeSession, rows: Any, path_length: Any) -> int:
    """How many of some rows get other bits in a small batch or one by one than in the whole batch."""
    few = runtime.path_length(rows[:FEW_ROWS])
    alone = [runtime.path_length_of_one(row) for row in rows[-ALONE:].tolist()]
    return int(np.count_nonzero(few != path_length[:FEW_ROWS]) + np.count_nonzero(alone != path_length[-ALONE:]))


def _analyzer(folder: Path) -> dict[str, Any]:
    """The saved model through the runtime's public way in, which verifies digests and golden rows first."""
    expected = np.load(folder / "analyzer.npz")
    detector = load_model(folder / "analyzer")
    rows = np.ascontiguousarray(expected["rows"])
    found = _differences(expected, detector.path_length(rows), detector.contract.scoring)
    verdicts = detector.verdicts(rows)
    valid = verdicts.telemetry.valid
    found["labels_differing"] += int(np.count_nonzero(verdicts.label[valid] != expected["label"][valid]))
    found["runtime_bits_differing"] = int(
        np.count_nonzero(detector.score_samples(rows) != verdicts.score_samples)
        + np.count_nonzero(verdicts.label[~valid] != -1)
    )
    found["graph_score_ulp"] = 0
    return found


def _differences(expected: Any, path_length: Any, rule: ScoringRule) -> dict[str, Any]:
    scores = scores_from_path_length(path_length, rule.denominator)
    wanted = expected["score_samples"]
    return {
        "rows": len(wanted),
        "on_the_offset": int(np.count_nonzero(expected["decision_function"] == 0.0)),
        "labels_differing": int(np.count_nonzero(labels(path_length, rule) != expected["label"])),
        "severities_differing": int(np.count_nonzero(severity_codes(path_length, rule) != expected["severity"])),
        "path_length_ulp": _ulp(path_length, expected["path_length"]),
        "score_ulp": _ulp(scores, wanted),
        "score_difference": float(np.max(np.abs(scores - wanted))),
    }


def _ulp(left: Any, right: Any) -> int:
    """Largest distance in ulp of two arrays of finite doubles."""
    lowest = np.int64(np.iinfo(np.int64).min)
    a, b = (np.where(bits < 0, lowest - bits, bits) for bits in (x.view(np.int64) for x in (left.copy(), right.copy())))
    return int(np.max(np.maximum(a, b) - np.minimum(a, b)))


def _together(found: list[dict[str, Any]]) -> dict[str, Any]:
    together = {"models": len(found)} | {name: sum(one[name] for one in found) for name in COUNTED}
    return together | {name: max(one[name] for one in found) for name in WORST}


def _is_refused(folder: Path) -> bool:
    """Whether the runtime says in its own words that this onnxruntime is too old for an exact model."""
    try:
        load_model(folder / "analyzer")
    except IncompatibleModelError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
