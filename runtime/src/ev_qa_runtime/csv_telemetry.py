"""CSV telemetry in chunks, with the standard library: ``.csv``, ``.csv.gz``, or ``-`` for standard input."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, Self, TypeVar

import numpy as np

from ev_qa_runtime.contract import FeatureSpec
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.features import Telemetry, match_names, valid_rows
from ev_qa_runtime.severity import FloatArray

CHUNK_ROWS = 8192
MISSING_TEXTS = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "-"})

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}

Read = TypeVar("Read")


def check_separator(header: Sequence[object]) -> None:
    """``TelemetryError`` where a header line came out as one name because other separators than commas are in it."""
    if len(header) != 1:
        return
    for separator, what in OTHER_SEPARATORS.items():
        if separator in str(header[0]):
            raise TelemetryError(
                f"the columns are separated by {what}, not by commas: save it with commas between the columns and "
                "points in the numbers"
            )


@dataclass(frozen=True, slots=True)
class Chunk(Generic[Read]):
    """Some consecutive data rows: the cells as text, what the model takes, and the bytes read of the file so far."""

    cells: list[list[str]]
    telemetry: Read
    bytes_read: int


class CsvRows(ABC, Generic[Read]):
    """A CSV file with a header line, read once, in chunks of what a subclass makes of the cells.

    ``rows`` picks data rows as a Python slice with step 1 would. Use as a context manager; iterate once.
    """

    def __init__(self, path: str, rows: slice = slice(None)) -> None:
        self.path = path
        self._rows = range(rows.start or 0, sys.maxsize if rows.stop is None else rows.stop)
        self._raw: IO[bytes] = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115 - closed by __exit__
        unpacked = gzip.GzipFile(fileobj=self._raw) if path.endswith(".gz") else self._raw
        self._text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
        self._reader = csv.reader(self._text)
        self.size = 0 if path == "-" else Path(path).stat().st_size
        self.header: list[str] = []
        self._rows_seen = 0
        self._first_row = self._rows.start

    def __enter__(self) -> Self:
        try:
            self.header = next(self._lines(), [])
            self._match_header()
        except BaseException:
            self._raw.close()
            raise
        return self

    def _match_header(self) -> None:
        if not self.header:
            raise TelemetryError(f"{self.path}: the file is empty; expected a header line with column names")
        try:
            check_separator(self.header)
            self._match()
        except TelemetryError as error:
            raise TelemetryError(f"{self.path}: {error}") from None

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def __iter__(self) -> Iterator[Chunk[Read]]:
        cells: list[list[str]] = []
        for number, row in enumerate(line for line in self._lines() if line):
            if number >= self._rows.stop:
                break
            self._rows_seen += 1
            if number < self._rows.start:
                continue
            if len(row) != len(self.header):
                raise TelemetryError(
                    f"{self.path}: line {self._reader.line_num} has {len(row)} cells, the header has {len(self.header)}"
                )
            cells.append(row)
            if len(cells) == CHUNK_ROWS:
                yield self._chunk(cells)
                self._first_row += len(cells)
                cells = []
        if cells:
            yield self._chunk(cells)

    def rows_there(self) -> str:
        """How many rows the file has, where rows were asked for and iterating came to its end without one of them."""
        return f" (the file has {self._rows_seen:,})" if self._rows.start and self._rows else ""

    def _lines(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TelemetryError(
                f"{self.path}: line {self._reader.line_num + 1}: not readable as CSV: {error}"
            ) from None

    @abstractmethod
    def _match(self) -> None:
        """Find the columns in the header; ``TelemetryError`` where one is missing or there twice."""

    @abstractmethod
    def _chunk(self, cells: list[list[str]]) -> Chunk[Read]:
        """What these rows hold."""

    def _bytes_read(self) -> int:
        return self._raw.tell() if self._raw.seekable() else 0

    def _numbers(self, cells: list[list[str]], column: int) -> FloatArray:
        texts = [row[column] for row in cells]
        try:
            return np.array([float(text) for text in texts])  # the common case: every cell is a number
        except ValueError:
            return np.array([self._number(text, column) for text in texts])

    def _number(self, text: str, column: int) -> float:
        if text.strip().casefold() in MISSING_TEXTS:
            return float("nan")
        try:
            return float(text)
        except ValueError:
            name = self.header[column]
            raise TelemetryError(f"{self.path}: column {name!r} is not numeric: it holds {text!r:.40}") from None


class CsvTelemetry(CsvRows[Telemetry]):
    """The columns of a model's features, for a model that judges each reading alone; see :class:`CsvRows`."""

    def __init__(self, path: str, features: Sequence[FeatureSpec], rows: slice = slice(None)) -> None:
        super().__init__(path, rows)
        self._features = features

    def _match(self) -> None:
        columns = match_names(self.header, self._features)
        self._columns = [self.header.index(columns[feature.name]) for feature in self._features]

    def _chunk(self, cells: list[list[str]]) -> Chunk[Telemetry]:
        values = np.empty((len(cells), len(self._columns)))
        for position, column in enumerate(self._columns):
            values[:, position] = self._numbers(cells, column)
        names = tuple(feature.name for feature in self._features)
        return Chunk(cells, Telemetry(names, values, valid_rows(values)), self._bytes_read())
