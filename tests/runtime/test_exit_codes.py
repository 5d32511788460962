"""What a command says speaks of its options, not of Python's keywords."""

from __future__ import annotations

import pytest

from ev_qa_runtime.exit_codes import in_options

OPTIONS = ("current_sign", "warning_rate", "rows", "rate", "output")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("give current_sign='charge_positive'", "give --current-sign charge_positive"),
        ('give current_sign="charge_positive"', "give --current-sign charge_positive"),
        ("give current_sign=charge_positive, or none", "give --current-sign charge_positive, or none"),
        ("warning_rate 1e-06 needs 200 trips", "--warning-rate 1e-06 needs 200 trips"),
        ("give no current_sign", "give no --current-sign"),
        ("rows=5 of 7 rows", "--rows 5 of 7 rows"),
        ("7 rows at a rate", "7 rows at a rate"),
        ("say --current-sign", "say --current-sign"),
        ("column 'warning_rate' is not numeric", "column 'warning_rate' is not numeric"),
        ("models/warning_rate/x: no such file", "models/warning_rate/x: no such file"),
        ("my_warning_rate, warning_rate_2, x.warning_rate", "my_warning_rate, warning_rate_2, x.warning_rate"),
        ("critical_rate 1 is too high", "critical_rate 1 is too high"),
    ],
)
def test_keywords_become_options(said: str, expected: str) -> None:
    assert in_options(said, OPTIONS) == expected
    assert in_options(expected, OPTIONS) == expected
