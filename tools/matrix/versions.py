"""What the matrix is made of: one table of training environments, one of scoring environments. Names and versions only.

Each training environment holds the newest patch of its scikit-learn with libraries of its time; the first holds the
oldest of everything that ``ev-qa-framework`` declares to work with, the last ones the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

COMPAT_ONLY_BELOW = (1, 21)
"""onnxruntime below this has no ai.onnx.ml 5: only the ``compat`` files are for it."""

_TRAINING_COLUMNS = (
    "python",
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "joblib",
    "onnx",
    "onnxruntime",
    "skl2onnx",
)
_TRAINING = """
    3.11  1.3.2  1.26.4  1.11.4  2.2.0  16.0.0  1.3.2  1.17.0  1.21.0  1.17.0
    3.11  1.4.2  1.26.4  1.12.0  2.2.3  17.0.0  1.4.2  1.17.0  1.21.1  1.17.0
    3.11  1.5.2  2.0.2   1.13.1  2.2.3  18.1.0  1.4.2  1.18.0  1.22.1  1.17.0
    3.11  1.6.1  2.1.3   1.14.1  2.2.3  19.0.1  1.4.2  1.19.1  1.23.2  1.18.0
    3.11  1.7.2  2.2.6   1.15.3  2.3.3  21.0.0  1.5.3  1.20.1  1.24.4  1.19.1
    3.11  1.8.0  2.3.5   1.16.3  2.3.3  22.0.0  1.5.3  1.21.0  1.26.0  1.19.1
    3.11  1.9.1  2.4.6   1.17.1  3.1.1  26.0.1  1.6.0  1.23.2  1.32.0  1.20.0
    3.12  1.9.1  2.5.5   1.18.1  3.1.1  26.0.1  1.6.0  1.23.2  1.32.0  1.20.0
    3.13  1.9.1  2.5.5   1.18.1  3.1.1  26.0.1  1.6.0  1.23.2  1.32.0  1.20.0
"""

_SCORING_COLUMNS = ("python", "onnxruntime", "numpy")
_SCORING = """
    3.11  1.15.0  1.26.0
    3.11  1.21.0  1.26.0
    3.11  1.26.0  2.2.6
    3.11  1.32.0  2.4.6
    3.12  1.17.0  1.26.0
    3.12  1.21.0  1.26.4
    3.12  1.26.0  2.2.6
    3.12  1.32.0  2.5.5
    3.13  1.20.0  2.1.0
    3.13  1.21.0  2.1.3
    3.13  1.26.0  2.2.6
    3.13  1.32.0  2.5.5
"""

SLICE = ("train-1.3.2-py3.11", "score-1.21.0-py3.11", "score-1.32.0-py3.11")
"""The cells that continuous integration runs: the oldest training under the oldest and the newest scorer."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One environment: a Python and what is installed into it. ``kind`` is ``train`` or ``score``."""

    kind: str
    python: str
    pins: dict[str, str]

    @property
    def subject(self) -> str:
        """The version that the cell is about: scikit-learn's or onnxruntime's."""
        return self.pins["scikit-learn" if self.kind == "train" else "onnxruntime"]

    @property
    def name(self) -> str:
        """As ``--cells`` takes it and folders are called."""
        return f"{self.kind}-{self.subject}-py{self.python}"

    @property
    def compat_only(self) -> bool:
        """Whether its onnxruntime is too old for the ``exact`` profile, and so for the runtime's declared needs."""
        return tuple(map(int, self.pins["onnxruntime"].split(".")[:2])) < COMPAT_ONLY_BELOW

    @property
    def requirements(self) -> list[str]:
        """What pip is asked for."""
        return [f"{name}=={version}" for name, version in self.pins.items()]


def cells(patterns: list[str] | None = None) -> list[Cell]:
    """All cells, or those whose name matches one of the shell patterns; ``ValueError`` for one that matches none."""
    found = [*_rows("train", _TRAINING_COLUMNS, _TRAINING), *_rows("score", _SCORING_COLUMNS, _SCORING)]
    for pattern in patterns or ():
        if not any(fnmatchcase(cell.name, pattern) for cell in found):
            raise ValueError(f"no cell is called {pattern!r}; there are: {', '.join(cell.name for cell in found)}")
    return [cell for cell in found if not patterns or any(fnmatchcase(cell.name, pattern) for pattern in patterns)]


def _rows(kind: str, columns: tuple[str, ...], table: str) -> list[Cell]:
    rows = [dict(zip(columns, line.split(), strict=True)) for line in table.strip().splitlines()]
    return [Cell(kind, row.pop("python"), row) for row in rows]
