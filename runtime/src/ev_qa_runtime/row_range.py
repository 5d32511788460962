"""``START:STOP``: which data rows of a file a command takes."""

from __future__ import annotations


def parse_rows(text: str) -> slice:
    """Rows from START up to, not including, STOP; both count from 0 and either may be left out.

    Raises ``ValueError`` for anything else.
    """
    start, colon, stop = text.partition(":")
    try:
        bounds = slice(int(start) if start else None, int(stop) if stop else None)
    except ValueError:
        colon = ""
    if not colon or (bounds.start or 0) < 0 or (bounds.stop is not None and bounds.stop < (bounds.start or 0)):
        raise ValueError(f"{text!r} is not START:STOP with 0 <= START <= STOP, such as 0:12000 or 12000:")
    return bounds
