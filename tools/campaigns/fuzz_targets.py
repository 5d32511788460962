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
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from ev_qa_runtime import load_model, sidecar
from ev_qa_runtime.artifact import ArtifactPaths
from ev_qa_runtime.contract import FileDigest, ModelContract
from ev_qa_runtime.errors import EvQaError
from ev_qa_runtime.exit_codes import one_line

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "data" / "hostile" / "models"
LONGEST_MESSAGE = 2000
ROWS = np.array([[350.0, 1.0, 20.0], [np.nan, 1e300, -1e300], [0.0, -0.0, 5e-324]])

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

    def sidecar(self, data: bytes) -> str:
        """Load the sound ONNX model under the sidecar ``data``."""
        self.paths.file("onnx").write_bytes(self.sound["exact"])
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

    def files(self, seed: int) -> str:
        """Load from a folder in which anything may lie under the model's names."""
        random = Random(seed)  # noqa: S311 - mutations are to be repeated
        folder = self.paths.folder
        for old in folder.iterdir():
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        for suffix, data in (("json", self.sidecars["exact"]), ("onnx", self.sound["exact"]), ("joblib", _BOMB)):
            path = self.paths.file(suffix)
            random.choice(PLACES)(path, data, random)
            if random.random() < 0.1:
                random.choice(PLACES)(self.paths.aside(suffix, hashlib.sha256(data).hexdigest()), data, random)
        endings = ("", ".json", ".onnx", ".joblib", "/x", "@champion")
        outcomes = [judged(partial(load_model, f"{folder / self.paths.name}{ending}")) for ending in endings]
        if Path(_TRAP).exists():
            raise FindingError("the .joblib was unpickled")
        return outcomes[random.randrange(len(outcomes))]


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
