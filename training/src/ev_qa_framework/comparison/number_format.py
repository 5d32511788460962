"""Numbers of a comparison as people read them, on the terminal and in the HTML report."""

from __future__ import annotations

from ev_qa_framework.comparison.result import ComparedModel, Estimate, Interval, Rate

UNDEFINED = "–"


def percent(share: float | None) -> str:
    """``12.3 %``; two digits below 10 %."""
    if share is None:
        return UNDEFINED
    value = 100.0 * share
    return f"{value:.2f} %" if abs(value) < 10.0 else f"{value:.1f} %"


def points(share: float | None) -> str:
    """A difference of shares in percentage points, with sign."""
    return UNDEFINED if share is None else f"{100.0 * share:+.2f} pp"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number."""
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with sign."""
    return UNDEFINED if value is None else f"{value:+.{digits}f}"


def reading(value: float | None) -> str:
    """A reading in its unit, four digits."""
    return UNDEFINED if value is None else f"{value:.4g}"


def percent_interval(interval: Interval | None) -> str:
    """``1.20 … 3.40``, in per cent."""
    if interval is None:
        return UNDEFINED
    return f"{100.0 * interval.low:.2f} … {100.0 * interval.high:.2f}"


def points_interval(interval: Interval | None) -> str:
    """``-1.20 … +3.40``, in percentage points."""
    if interval is None:
        return UNDEFINED
    return f"{100.0 * interval.low:+.2f} … {100.0 * interval.high:+.2f}"


def interval(found: Interval | None, *, sign: bool = False) -> str:
    """``0.812 … 0.934``."""
    if found is None:
        return UNDEFINED
    return f"{found.low:+.3f} … {found.high:+.3f}" if sign else f"{found.low:.3f} … {found.high:.3f}"


def counted(rate: Rate) -> str:
    """``303 of 1,800``."""
    return f"{rate.count:,} of {rate.rows:,}"


def with_interval(estimate: Estimate, *, sign: bool = False) -> str:
    """``0.912 (0.880 … 0.941)``."""
    value = signed(estimate.value) if sign else number(estimate.value)
    return value if estimate.interval is None else f"{value} ({interval(estimate.interval, sign=sign)})"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """``1 row``, ``1,800 rows``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def unit(name: str | None) -> str:
    """A unit as people write it."""
    return {None: "", "degC": "°C"}.get(name, name or "")


def title(model: ComparedModel, fallback: str) -> str:
    """The model's name, or ``fallback`` before its first save."""
    return fallback if model.name is None else model.name
