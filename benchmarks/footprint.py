"""How long does a fresh process take to judge its first reading, in how much memory and on how much disk?

Side by side, in one run: the runtime (``load_model`` and ``Detector.score``) and scikit-learn (``joblib.load`` and
``score_samples``), from the files of one model. Each round starts every program once, one after the other, so that
whatever else the machine does hits all of them; a ratio is taken within each round, its median is what counts.

* time: wall clock from starting the process until it says that it has its first verdict;
* memory: the largest resident set of that process, from ``wait4``. Linux counts what this script held when it
  started the process, so the script imports the standard library only and stays below any of them;
* load: the model once more in a process that has everything imported, so without the imports;
* disk: the files that pip recorded for a distribution and all it requires, without what its extras require
  (of an editable install that is a link: our own sources, some 0.1 MB, are then left out).

scikit-learn imports pandas, and pandas pyarrow, wherever they are installed. The third program hides pandas: the
least that scikit-learn can do.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DEFAULT_MODEL = Path(__file__).resolve().parents[1] / "artifacts/production/demo_pack_v1.0.0"
RUNTIME, SCIKIT_LEARN, WITHOUT_PANDAS = "ev-qa-runtime", "joblib + scikit-learn", "the same, pandas hidden"
BOUNDS = {"seconds": {"bound": 0.15, "goal": 0.13}, "peak_bytes": {"bound": 0.45, "goal": 0.42}}
MEGABYTE = 1e6

RUNTIME_PROGRAM = """
import ev_qa_runtime
detector = ev_qa_runtime.load_model(path)
detector.score(voltage=352.4, current=41.0, temp=24.5)
"""

# The Pipeline was fitted on named columns: a bare row makes scikit-learn warn that it has no names.
SCIKIT_LEARN_PROGRAM = """
import warnings
import joblib
import numpy as np
warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
pipeline = joblib.load(path + ".joblib")["pipeline"]
pipeline.score_samples(np.array([[352.4, 41.0, 24.5]]))
"""

HIDE_PANDAS = """
import sys
class NoPandas:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden", name=name)
sys.meta_path.insert(0, NoPandas)
"""

LOAD_AGAIN = """
import time
took = []
for _ in range(11):
    started = time.perf_counter()
    {load}
    took.append(time.perf_counter() - started)
print(sorted(took)[len(took) // 2])
"""

DISK_PROGRAM = """
import importlib.metadata, json, platform, re
def closure(*wanted):
    found, todo = {}, list(wanted)
    while todo:
        name = re.sub("[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # not for this platform
            continue
        needed = [text for text in found[name].requires or () if not re.search(r";.*\\bextra\\b", text)]
        todo += [re.match(r"[\\w.-]+", text).group() for text in needed]
    return found
def measured(*wanted):
    found = closure(*wanted)
    paths = {file.locate() for each in found.values() for file in each.files or ()}
    return {"distributions": len(found), "bytes": sum(path.stat().st_size for path in paths if path.is_file())}
shown = "ev-qa-runtime", "numpy", "onnxruntime", "scikit-learn", "joblib", "scipy", "pandas"
print(json.dumps({
    "python": platform.python_version(),
    "versions": {name: each.version for name, each in closure(*sum(groups, ())).items() if name in shown},
    "disk": {" + ".join(names): measured(*names) for names in groups},
}))
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process took: wall clock from its start to the first verdict, and its largest resident set."""

    seconds: float
    peak_bytes: float


@dataclass(frozen=True, slots=True)
class Program:
    """One side of the comparison: Python source, run by ``python`` with ``path`` set to the model's stem."""

    python: str
    source: str
    load: str

    def run(self, path: str) -> Usage:
        """Start it in a fresh process, wait for its first verdict and for its end."""
        code = f"path = {path!r}\n{self.source}\nprint(flush=True)"
        started = time.perf_counter()
        with subprocess.Popen([self.python, "-P", "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 - it was just asked for
            process.stdout.readline()
            seconds = time.perf_counter() - started
            _, status, resources = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"footprint: {self.python} ended with {process.returncode}; its message is above")
        in_bytes = 1 if sys.platform == "darwin" else 1024
        return Usage(seconds, resources.ru_maxrss * in_bytes)

    def load_seconds(self, path: str) -> float:
        """Median time to load the model in a process that has scored with it before."""
        again = LOAD_AGAIN.format(load=self.load)
        return float(output_of(self.python, f"path = {path!r}\n{self.source}{again}"))


def output_of(python: str, code: str) -> str:
    """What ``code`` prints; ``-P`` keeps the working directory off the import path."""
    return subprocess.run([python, "-P", "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout


def programs(runtime_python: str) -> dict[str, Program]:
    """The sides, in the order of the tables."""
    load = "joblib.load(path + '.joblib')"
    return {
        RUNTIME: Program(runtime_python, RUNTIME_PROGRAM, "ev_qa_runtime.load_model(path)"),
        SCIKIT_LEARN: Program(sys.executable, SCIKIT_LEARN_PROGRAM, load),
        WITHOUT_PANDAS: Program(sys.executable, HIDE_PANDAS + SCIKIT_LEARN_PROGRAM, load),
    }


def measure(sides: Mapping[str, Program], path: str, rounds: int) -> dict[str, list[Usage]]:
    """Run every side once a round after one warm-up each."""
    for program in sides.values():
        program.run(path)
    usages: dict[str, list[Usage]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        if sys.stderr.isatty():
            print(f"\rround {number} of {rounds}", end="\n" if number == rounds else "", file=sys.stderr, flush=True)
        for name, program in sides.items():
            usages[name].append(program.run(path))
    return usages


def compared(usages: Mapping[str, list[Usage]], peer: str, what: str) -> dict[str, float]:
    """The median over the rounds of our usage / the peer's, with the bounds."""
    pairs = zip(usages[RUNTIME], usages[peer], strict=True)
    ratio = statistics.median(getattr(ours, what) / getattr(theirs, what) for ours, theirs in pairs)
    return {"ratio": ratio} | BOUNDS[what]


def installed(python: str, *groups: tuple[str, ...]) -> dict[str, Any]:
    """Versions and sizes in the environment of ``python``."""
    result: dict[str, Any] = json.loads(output_of(python, f"groups = {groups!r}\n{DISK_PROGRAM}"))
    return result


def machine() -> dict[str, Any]:
    """What this was measured on, and when."""
    model = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"cpu": model, "cores": os.cpu_count(), "os": platform.platform(), "date": today}


def results(model: str, runtime_python: str, rounds: int) -> dict[str, Any]:
    """Everything, as plain JSON types."""
    sides = programs(runtime_python)
    usages = measure(sides, model, rounds)
    return {
        "machine": machine(),
        "rounds": rounds,
        "files": {suffix: Path(model + suffix).stat().st_size for suffix in (".onnx", ".json", ".joblib")},
        "sides": {
            name: {
                "seconds": statistics.median(use.seconds for use in uses),
                "peak_bytes": statistics.median(use.peak_bytes for use in uses),
                "load_seconds": sides[name].load_seconds(model),
                "runs": [asdict(use) for use in uses],
            }
            for name, uses in usages.items()
        },
        "against": {
            peer: {what: compared(usages, peer, what) for what in BOUNDS} for peer in (SCIKIT_LEARN, WITHOUT_PANDAS)
        },
        "runtime_environment": installed(runtime_python, ("ev-qa-runtime",)),
        "training_environment": installed(sys.executable, ("scikit-learn", "joblib"), ("ev-qa-framework",)),
    }


def header(result: Mapping[str, Any]) -> str:
    """Where and with what this was measured."""
    host = result["machine"]
    lines = [f"{host['date']} · {host['cpu']}, {host['cores']} cores · {host['os']} · {result['rounds']} rounds"]
    for side in ("runtime", "training"):
        environment = result[f"{side}_environment"]
        versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
        lines.append(f"{side} side: Python {environment['python']}, {versions}")
    return "  \n".join(lines)


def footprint_table(result: Mapping[str, Any]) -> str:
    """Medians of every side."""
    files = result["files"]
    ours, theirs = files[".onnx"] + files[".json"], files[".joblib"]
    rows = [
        (
            name,
            f"{side['seconds']:.2f} s",
            f"{side['peak_bytes'] / MEGABYTE:.0f} MB",
            f"{1000 * side['load_seconds']:.0f} ms",
            f"{(ours if name == RUNTIME else theirs) / MEGABYTE:.2f} MB",
        )
        for name, side in result["sides"].items()
    ]
    return table(("", "cold start to first verdict", "peak memory", "load, imports done", "model files"), rows)


def bounds_table(result: Mapping[str, Any]) -> str:
    """Our ratios beside what was asked for."""

    def told(at: Mapping[str, float], limit: str) -> str:
        return f"≤ {at[limit]} {'reached' if at['ratio'] <= at[limit] else '**not reached**'}"

    rows = [
        (f"{what}, against {peer}", f"{at['ratio']:.3f}", told(at, "bound"), told(at, "goal"))
        for peer, ratios in result["against"].items()
        for what, at in (("cold start", ratios["seconds"]), ("memory", ratios["peak_bytes"]))
    ]
    return table(("ev-qa-runtime", "ratio", "bound", "goal"), rows)


def disk_table(result: Mapping[str, Any]) -> str:
    """Installed sizes of the closures."""
    measured = result["runtime_environment"]["disk"] | result["training_environment"]["disk"]
    rows = [
        (f"`{names}` and all it requires", str(each["distributions"]), f"{each['bytes'] / MEGABYTE:.0f} MB")
        for names, each in measured.items()
    ]
    return table(("installed", "distributions", "on disk"), rows)


PARTS = (header, footprint_table, bounds_table, disk_table)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    rule = "|---|" + "--:|" * (len(head) - 1)
    cells = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([f"| {' | '.join(head)} |", rule, *cells])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cold start, memory and disk: the runtime beside scikit-learn.")
    parser.add_argument("--model", default=DEFAULT_MODEL, type=Path, metavar="NAME", help="path without suffix")
    parser.add_argument(
        "--runtime-python", default=sys.executable, metavar="PYTHON", help="of an environment with the runtime alone"
    )
    parser.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown tables")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    model = str(options.model.absolute())
    if missing := [model + suffix for suffix in (".onnx", ".json", ".joblib") if not Path(model + suffix).exists()]:
        parser.error(f"no such file: {missing[0]}")
    result = results(model, options.runtime_python, options.rounds)
    parts = (json.dumps(result, indent=2),) if options.json else (part(result) for part in PARTS)
    print("\n\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
