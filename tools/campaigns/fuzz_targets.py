"""What is fuzzed: a model's folder is written, loaded as users load it, and what comes out is judged.

Only documented errors may come out: an ``EvQaError``, or the operating system's for a file that cannot be read. The
message must be one printable line. A model that does load must score, and say what it is in JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from ev_qa_runtime import Detector, load_model, sidecar
from ev_qa_runtime.artifact import ArtifactPaths
from ev_qa_runtime.contract import FileDigest, ModelContract
from ev_qa_runtime.errors import EvQaError
from ev_qa_runtime.exit_codes import one_line
from ev_qa_runtime.monitoring import Monitoring
from ev_qa_runtime.signal_names import SIGNALS

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "data" / "hostile" / "models"
OVER_TIME = ROOT / "tests" / "data" / "models" / "over_time_v1.0.0"
LONGEST_MESSAGE = 2000
ROWS = np.array([[350.0, 1.0, 20.0], [np.nan, 1e300, -1e300], [0.0, -0.0, 5e-324]])
READINGS = (352.4, 41.0, 24.5, 61.0, 24.0, 3.7, 3.69)
"""Of the signals in their usual order; the rows of :func:`drive` are these, changed a little and a lot."""

_END = re.compile(rb'"sidecar_sha256": "[^"\n]*"\s*\}\s*\Z')


class FindingError(Exception):
    """Something came out that must not."""


def judged(load: Callable[[], object]) -> str:
    """How ``load`` ended, without what differs from input to input; ``FindingError`` for what must not happen."""
    try:
        load()
    except (EvQaError, OSError) as error:
        line = one_line(error)
        if not line.isprintable() or not line or len(line) > LONGEST_MESSAGE:
            raise FindingError(f"{type(error).__name__} with a message that is not one line: {line[:200]!r}") from error
        return f"{type(error).__name__}: {_general(line)}"
    except Exception as error:
        raise FindingError(f"{type(error).__name__}: {error}"[:300]) from error
    return "loads"


def _general(line: str) -> str:
    without_path = line.rpartition("fuzzed")[2].lstrip("._jsonxlb")
    return re.sub(r"'.*'|\b0x\w+|\"[^\"]*\"|[-+]?\d[\d.e+-]*|\[.*\]|\{.*\}", "…", without_path)[:110]


def resealed(data: bytes) -> bytes:
    """The sidecar with the digest that it needs, where its end is recognised; half of the inputs would stop there."""
    found = _END.search(data)
    if found is None:
        return data
    blank = data[: found.start()] + b'"sidecar_sha256": "' + b"0" * 64 + b'"\n}\n'
    return blank[:-68] + hashlib.sha256(blank).hexdigest().encode() + b'"\n}\n'


class Target:
    """A folder with a sound model, and the ways to break it."""

    def __init__(self, folder: Path) -> None:
        self.paths = ArtifactPaths(folder, "fuzzed")
        self.sound = {profile: (CORPUS / f"sound_{profile}.onnx").read_bytes() for profile in ("exact", "compat")}
        self.sidecars = {profile: (CORPUS / f"sound_{profile}.json").read_bytes() for profile in self.sound}
        self._contracts = {profile: sidecar.decode(data) for profile, data in self.sidecars.items()}
        self.sidecars["over_time"] = OVER_TIME.with_name(f"{OVER_TIME.name}.json").read_bytes()
        self._over_time = OVER_TIME.with_name(f"{OVER_TIME.name}.onnx").read_bytes()

    def sidecar(self, data: bytes) -> str:
        """Load a sound ONNX model under the sidecar ``data``: the one over time where it speaks of such."""
        self.paths.file("onnx").write_bytes(self._over_time if b"monitoring" in data else self.sound["exact"])
        self.paths.sidecar.write_bytes(resealed(data))
        return judged(self._load_and_use)

    def model(self, data: bytes) -> str:
        """Load the ONNX model ``data`` under a sidecar that vouches for it."""
        profile = "compat" if b"TreeEnsembleRegressor" in data else "exact"
        digest = FileDigest(len(data), hashlib.sha256(data).hexdigest())
        self.paths.file("onnx").write_bytes(data)
        self.paths.sidecar.write_bytes(sidecar.encode(replace(self._contracts[profile], files={"onnx": digest})))
        return judged(self._load_and_use)

    def _load_and_use(self) -> None:
        detector = load_model(self.paths.sidecar)
        contract: ModelContract = detector.contract
        json.dumps(detector.info)
        sidecar.decode(sidecar.encode(contract))
        scores = detector.score_samples(np.resize(ROWS, (3, len(contract.features))))
        if not np.isfinite(scores).all():
            raise FindingError(f"a loaded model scores {scores}")
        if contract.monitoring is not None:
            _use_over_time(detector, contract.monitoring)

    def files(self, seed: int) -> str:
        """Load from a folder in which anything may lie under the model's names."""
        random = Random(seed)  # noqa: S311 - mutations are to be repeated
        folder = self.paths.folder
        for old in folder.iterdir():
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        raw = self.sidecars["exact"], self.sound["exact"]
        document, onnx = random.choice((raw, (self.sidecars["over_time"], self._over_time)))
        for suffix, data in (("json", document), ("onnx", onnx), ("joblib", _BOMB)):
            path = self.paths.file(suffix)
            random.choice(PLACES)(path, data, random)
            if random.random() < 0.1:
                random.choice(PLACES)(self.paths.aside(suffix, hashlib.sha256(data).hexdigest()), data, random)
        endings = ("", ".json", ".onnx", ".joblib", "/x", "@champion")
        outcomes = [judged(partial(load_model, f"{folder / self.paths.name}{ending}")) for ending in endings]
        if Path(_TRAP).exists():
            raise FindingError("the .joblib was unpickled")
        return outcomes[random.randrange(len(outcomes))]


def drive(signals: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Forty readings with a pause, a repeated time, a dead probe and readings at the end of what doubles hold."""
    usual = dict(zip(SIGNALS, READINGS, strict=True))
    time = np.concatenate([np.arange(20.0), [19.0], np.arange(1000.0, 1019.0)])
    columns = {name: usual[name] * (1.0 + 0.01 * (np.arange(len(time)) % 7)) for name in signals}
    for place, name in enumerate(signals):
        columns[name][place + 3 : place + 5] = np.nan
        columns[name][place + 12] = (1e300, -1e300, 0.0, 5e-324, np.inf, 1e30, -0.0)[place]
    return {"time": time, **columns}


def _use_over_time(detector: Detector, monitoring: Monitoring) -> None:
    """Batch and stream of the same rows, with the state taken out and put back; they must agree."""
    table = drive(monitoring.recipe.signals)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the data say of their sign does not concern the loader
        verdicts = detector.verdicts(table)
    json.dumps(verdicts.summary(), allow_nan=False)
    stream = detector.stream("fuzzed")
    for row, severity in enumerate(verdicts.severity.tolist()):
        if row == len(verdicts) // 2:
            stream.restore(json.loads(json.dumps(stream.state(), allow_nan=False)))
        verdict = stream.score(**{name: float(values[row]) for name, values in table.items()})
        if verdict.severity != verdicts.row(row).severity:
            raise FindingError(f"row {row} is {verdict.severity} in a stream and {severity} in a batch")


_TRAP = f"/tmp/ev_qa_unpickled_{os.getpid()}"  # noqa: S108 - a folder that only a finding makes
_BOMB = b"cposix\nmkdir\n(V" + _TRAP.encode() + b"\ntR."


def _sound(path: Path, data: bytes, _: Random) -> None:
    path.write_bytes(data)


def _nothing(_: Path, __: bytes, ___: Random) -> None:
    """Leave the place empty."""


def _empty(path: Path, _: bytes, __: Random) -> None:
    path.write_bytes(b"")


def _part(path: Path, data: bytes, random: Random) -> None:
    path.write_bytes(data[: random.randrange(len(data))])


def _longer(path: Path, data: bytes, random: Random) -> None:
    path.write_bytes(data + bytes(random.randrange(1, 5000)))


def _sparse(path: Path, _: bytes, random: Random) -> None:
    with path.open("wb") as file:
        file.truncate(random.choice((2**24, 2**24 + 1, 2**30, 2**30 + 1, 2**40)))


def _pipe(path: Path, _: bytes, __: Random) -> None:
    os.mkfifo(path)


def _folder(path: Path, data: bytes, _: Random) -> None:
    path.mkdir()
    (path / path.name).write_bytes(data)


def _unreadable(path: Path, data: bytes, _: Random) -> None:
    path.write_bytes(data)
    path.chmod(0)


def _link(path: Path, _: bytes, random: Random) -> None:
    targets = (
        "/dev/zero",
        "/dev/full",
        "/etc/passwd",
        "/proc/self/mem",
        "nowhere",
        path.name,
        ".",
        "fuzzed.json",
        "fuzzed.onnx",
    )
    path.symlink_to(random.choice(targets))


def _linked(path: Path, data: bytes, _: Random) -> None:
    real = path.with_name(f"real_{path.name}")
    real.write_bytes(data)
    path.symlink_to(real)


PLACES = (
    _sound,
    _sound,
    _sound,
    _nothing,
    _empty,
    _part,
    _longer,
    _sparse,
    _pipe,
    _folder,
    _unreadable,
    _link,
    _linked,
)
"""What may lie in a file's place."""
