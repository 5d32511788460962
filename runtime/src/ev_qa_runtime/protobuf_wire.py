"""protobuf's wire format, read strictly: single fields in Python, long runs of numbers in numpy.

Encoding: https://protobuf.dev/programming-guides/encoding. Whatever is wrong with the bytes is an ``ArtifactError``.
Nothing here recurses, and everything takes time proportional to the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ev_qa_runtime.errors import ArtifactError

IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5


class Field(NamedTuple):
    """One field: ``key`` has its number and wire type; ``number`` is set for VARINT, ``value`` for all others."""

    key: int
    number: int
    value: memoryview
    encoding: memoryview


def key_of(field: int, kind: int) -> int:
    """The key of field number ``field`` with wire type ``kind``."""
    return field << 3 | kind


OUT_OF_RANGE = -1
"""What stands in arrays for numbers that are negative or beyond 35 bits: no number of ours is."""

_SMALLEST_WINDOW, _LARGEST_WINDOW = 2**12, 2**18
"""Bytes that are decoded at once, so that a long run takes little memory beside its numbers."""

_LOWEST_KEY = 8  # field numbers begin at 1
_LONGEST_VARINT = 10
_LONGEST_OF_OURS = 5


def fields(message: memoryview) -> Iterator[Field]:
    """Every field of ``message``."""
    position = 0
    while position < len(message):
        field = read_field(message, position)
        yield field
        position += len(field.encoding)


def read_field(message: memoryview, start: int) -> Field:
    """The field that begins at ``start``."""
    key, position = _read_varint(message, start)
    kind, number = key & 7, 0
    length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(kind, 0)
    if kind == VARINT:
        number, position = _read_varint(message, position)
    elif kind == LENGTH:
        length, position = _read_varint(message, position)
    if kind not in (VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES) or key < _LOWEST_KEY:
        raise ArtifactError("not an ONNX model: its protobuf encoding is broken")
    end = position + length
    if end > len(message):
        raise ArtifactError("not an ONNX model: its protobuf encoding ends early")
    return Field(key, number, message[position:end], message[start:end])


def varint_run(message: memoryview, position: int, key: int) -> tuple[IntArray, int]:
    """The values of the VARINT fields with the one-byte ``key`` that follow each other from ``position`` on.

    int64, :data:`OUT_OF_RANGE` where a value is none of ours; and where the run ends.
    """
    parts = []
    size = _SMALLEST_WINDOW
    while True:
        window = np.frombuffer(message[position : position + size], dtype=np.uint8)
        values, taken = _pairs_like_the_first(window, key)
        size = min(2 * size, _LARGEST_WINDOW)
        if taken < len(window) // 2:  # widths are mixed here: take what a slower way gets out of the same bytes
            values, taken = _pairs(window, key)
            size = _SMALLEST_WINDOW
        if not taken:
            break
        parts.append(values)
        position += taken
    return (np.concatenate(parts) if parts else np.empty(0, np.int64)), position


def _pairs_like_the_first(window: ByteArray, key: int) -> tuple[IntArray, int]:
    """As :func:`varint_run`, as long as values have as many bytes as the first, 1 to 3; and the bytes they take."""
    width = 1 + int((window[1:4] < 0x80).argmax()) if len(window) >= 4 else 1
    pairs = window[: len(window) // (1 + width) * (1 + width)].reshape(-1, 1 + width)
    fits = (pairs[:, 0] == key) & (pairs[:, width] < 0x80)
    for column in range(1, width):
        fits &= pairs[:, column] >= 0x80
    count = len(pairs) if fits.all() else int(fits.argmin())
    values = pairs[:count, width].astype(np.int64)
    for column in range(width - 1, 0, -1):
        values = values << 7 | (pairs[:count, column] & 0x7F)
    return values, (1 + width) * count


def _pairs(window: ByteArray, key: int) -> tuple[IntArray, int]:
    """As :func:`varint_run`, for values of any length that lie in ``window`` whole; and the bytes they take."""
    last = np.flatnonzero(window < 0x80)
    last = last[: len(last) // 2 * 2]
    if not len(last):
        return np.empty(0, np.int64), 0
    key_ends, ends = last[0::2], last[1::2]
    key_starts = np.concatenate(([0], ends[:-1] + 1))
    is_pair = (key_starts == key_ends) & (window[key_ends] == key)
    count = len(is_pair) if is_pair.all() else int(is_pair.argmin())
    key_ends, ends = key_ends[:count], ends[:count]
    if not count:
        return np.empty(0, np.int64), 0
    length = ends - key_ends
    longest = int(length.max())
    if longest > _LONGEST_VARINT:
        raise ArtifactError("not an ONNX model: its protobuf encoding is broken")
    values = window[ends].astype(np.int64)
    for back in range(1, min(longest, _LONGEST_OF_OURS)):
        longer = length > back
        values[longer] = values[longer] << 7 | (window[ends[longer] - back] & 0x7F)
    values[length > _LONGEST_OF_OURS] = OUT_OF_RANGE
    return values, int(ends[-1]) + 1


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    fault = "ends early" if position == len(message) else "is broken"
    raise ArtifactError(f"not an ONNX model: its protobuf encoding {fault}")


def head(key: int, value: bytes) -> bytes:
    """What goes before ``value`` in a field of wire type LENGTH: its key and length."""
    return encoded_varint(key) + encoded_varint(len(value))


def encoded_varint(value: int) -> bytes:
    """A number that is not negative, encoded."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
