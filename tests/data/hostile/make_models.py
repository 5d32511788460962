"""The corpus of hostile models: made from the sound ones, and tried on onnxruntime alone.

Usage: ``python tests/data/hostile/make_models.py --write`` makes the files in ``models`` anew, and what refuses each in
``models/expectations.json``. Without option every case goes through onnxruntime alone, without our inspection, in a
process of its own with a limit of time and memory, and what happens is printed; ``--python`` names the interpreter of
another environment, to try another release of onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass

import cases_encoding  # noqa: F401 - importing it registers its cases
import cases_graph  # noqa: F401 - the same
import cases_trees
from hostile_case import CORPUS, SOUND, hostile_models

_ALONE = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(open(sys.argv[1], "rb").read(), options, providers=["CPUExecutionProvider"])
rows = numpy.array([[350.0, 1.0, 20.0], [1e30, -1e30, numpy.nan], [0.0, 0.0, 0.0]])
found = session.run(("path_length",), {"telemetry": rows})[0]
print("answers", found.reshape(-1)[:3].tolist())
"""
_SECONDS = 60
_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What onnxruntime did: ``kind`` is answers, refuses, crashes or hangs."""

    kind: str
    detail: str


def onnxruntime_alone(python: str, data: bytes, seconds: float = _SECONDS) -> Outcome:
    """Load and score in a process of its own, with at most ``seconds`` and 4 GiB."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(data)
        file.flush()
        try:
            done = subprocess.run(
                [python, "-c", _ALONE, file.name],
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES)),
            )
        except subprocess.TimeoutExpired:
            return Outcome("hangs", f"for more than {seconds:.0f} s")
    if done.returncode < 0:
        return Outcome("crashes", f"signal {-done.returncode}")
    if done.returncode:
        return Outcome("refuses", (done.stderr.strip().splitlines() or ["?"])[-1][-160:])
    return Outcome("answers", done.stdout.strip())


def _measure(python: str) -> None:
    counts: Counter[str] = Counter()
    cases = [(name, data) for name, _, data, _ in hostile_models()]
    for name, data in [*cases, ("chain_of_100000_nodes", cases_trees.long_chain())]:  # too large to be kept
        outcome = onnxruntime_alone(python, data)
        counts[outcome.kind] += 1
        print(f"{name:42} {outcome.kind:8} {outcome.detail}", flush=True)
    print(dict(counts))


def _stale() -> list[str]:
    """Cases whose file is not what would be written now."""
    return [name for name, _, data, _ in hostile_models() if (CORPUS / f"{name}.onnx").read_bytes() != data]


def _write() -> None:
    expectations = {}
    for path in CORPUS.glob("*.onnx"):
        if path not in SOUND.values() and not path.name.startswith("found_"):
            path.unlink()
    for name, profile, data, match in hostile_models():
        (CORPUS / f"{name}.onnx").write_bytes(data)
        expectations[name] = {"profile": profile, "match": match}
    (CORPUS / "expectations.json").write_text(json.dumps(expectations, indent=1) + "\n", encoding="utf-8")
    print(f"{len(expectations)} models in {CORPUS}")


def main() -> int:
    """Write the corpus, or show what onnxruntime does with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the corpus anew")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a file would be written otherwise")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with numpy and onnxruntime")
    options = parser.parse_args()
    if options.check:
        stale = _stale()
        print(f"differ: {', '.join(stale)}" if stale else "every file is as it would be written now")
        return int(bool(stale))
    if options.write:
        _write()
    else:
        _measure(options.python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
