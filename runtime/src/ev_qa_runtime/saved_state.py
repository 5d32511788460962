"""Numbers of a saved state, which comes back as JSON that nobody vouches for."""

from __future__ import annotations

import math
from typing import Any


def finite_number(number: Any) -> float:
    """``number`` as a float; ``ValueError`` where it is no finite number."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not -math.inf < number < math.inf:
        raise ValueError
    return float(number)


def whole_number(number: Any, lowest: int = 0) -> int:
    """``number`` as it is; ``ValueError`` where it is no integer from ``lowest`` to 2**63."""
    if isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= 2**63:
        raise ValueError
    return number
