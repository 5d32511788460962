"""CSV telemetry over time in chunks: the columns for time, vehicle and signals, found by name and unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ev_qa_runtime.contract import CurrentSign
from ev_qa_runtime.csv_telemetry import MISSING_TEXTS, Chunk, CsvRows
from ev_qa_runtime.errors import TelemetryError
from ev_qa_runtime.signal_names import TIME, VEHICLE, match_signals
from ev_qa_runtime.signals import SignalTable, read_signals


class CsvSignals(CsvRows[SignalTable]):
    """A CSV file with a header line, read once, in chunks of signals; see :class:`CsvRows`."""

    def __init__(
        self,
        path: str,
        signals: tuple[str, ...],
        current_sign: CurrentSign,
        rows: slice = slice(None),
        *,
        explicit_sign: bool = False,
    ) -> None:
        """``current_sign`` and ``explicit_sign`` as for :func:`~ev_qa_runtime.signals.read_signals`."""
        super().__init__(path, rows)
        self._signals = signals
        self._current_sign: CurrentSign = current_sign
        self._explicit_sign = explicit_sign

    def _match(self) -> None:
        found = match_signals(self.header, (TIME, *self._signals), (VEHICLE,))
        self._columns = {signal: self.header.index(name) for signal, (name, _) in found.items()}

    def _chunk(self, cells: list[list[str]]) -> Chunk[SignalTable]:
        table: dict[str, Any] = {
            self.header[column]: self._cells_of(signal, cells, column) for signal, column in self._columns.items()
        }
        try:
            signals = read_signals(table, self._signals, self._current_sign, explicit_sign=self._explicit_sign)
        except TelemetryError as error:
            counted = f" (rows counted from the file's data row {self._first_row:,})" if self._first_row else ""
            raise TelemetryError(f"{self.path}: {error}{counted}") from None
        return Chunk(cells, signals, self._bytes_read())

    def _cells_of(self, signal: str, cells: list[list[str]], column: int) -> np.ndarray[Any, Any]:
        """Signals as numbers; times as whole numbers where they are (nanoseconds fit into no double), else as text."""
        if signal not in (TIME, VEHICLE):
            return self._numbers(cells, column)
        texts = [row[column].strip() for row in cells]
        if signal == VEHICLE:
            texts = ["" if text.casefold() in MISSING_TEXTS else text for text in texts]
        if signal == TIME:
            try:
                return np.array([int(text) for text in texts], dtype=np.int64)
            except (ValueError, OverflowError):
                pass  # decimals or dates, or no time at all
        return np.array(texts, dtype=object)
