"""Limits from TOML: what a file changes of a profile, and what it must not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from ev_qa_framework.limits_file import read_limits
from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.limit_profiles import PROFILES
from ev_qa_runtime.limits import Limit, Limits


def written(folder: Path, text: str) -> Path:
    path = folder / "pack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def only(limits: Limits, signal: str) -> list[Limit]:
    return [limit for limit in limits.limits if limit.signal == signal]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_by_name(name: str) -> None:
    assert read_limits(name) == PROFILES[name]
    limits = read_limits(name, cells_in_series=96, capacity_ah=170)
    assert (limits.cells_in_series, limits.capacity_ah) == (96, 170.0)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        profile = "nmc"
        cells_in_series = 96
        capacity_ah = 170
        [limits.temp]
        above_warning = 48
        below_critical = -40
        [limits.cell_spread]
        above_critical = "off"
        hold_s = 30
        [limits.c_rate]
        above_warning = "off"
        above_critical = "off"
        [limits.soc]
        below_warning = 3.0
        """,
    )
    limits = read_limits(str(path))
    assert (limits.profile, limits.cells_in_series, limits.capacity_ah) == ("nmc", 96, 170.0)
    assert only(limits, "temp") == [
        Limit("temp", "above", 48.0, 60.0, hysteresis=2.0),
        Limit("temp", "below", None, -40.0),
    ]
    assert only(limits, "cell_spread") == [Limit("cell_spread", "above", 0.2, None, hysteresis=0.02, hold_s=30.0)]
    assert [limit.side for limit in only(limits, "c_rate")] == ["below"]
    assert only(limits, "soc") == [Limit("soc", "below", 3.0, None)]
    assert only(limits, "cell_voltage") == only(PROFILES["nmc"], "cell_voltage")
    assert limits.source.endswith("; temp, cell_spread, c_rate, soc from pack.toml")


def test_an_empty_file_is_the_profile_for_any_pack(tmp_path: Path) -> None:
    assert read_limits(written(tmp_path, "")) == PROFILES["li_ion"]


def test_what_the_file_does_not_say_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "capacity_ah = 50.5")
    limits = read_limits(path, cells_in_series=88, capacity_ah=50.5)
    assert (limits.cells_in_series, limits.capacity_ah) == (88, 50.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profil = 'nmc'", "unknown key 'profil'; did you mean 'profile'?"),
        ("profile = 'nmcc'", "unknown profile 'nmcc'; did you mean 'nmc'?"),
        ("profile = ['nmc']", "unknown profile"),
        ("profile = 5", "unknown profile 5; profiles are: li_ion, nmc, nca, lfp"),
        ("[limits.tmep]", "limits: unknown key 'tmep'; did you mean 'temp'?"),
        ("[limits.temp]\nabove_warnin = 5", "limits.temp: unknown key 'above_warnin'; did you mean 'above_warning'?"),
        ("[limits.temp]\nzzz = 5", "limits.temp: unknown key 'zzz'; known are: above_warning, "),
        ("[limits.temp]\nabove_warning = true", "above_warning must be a number or 'off', not True"),
        ("[limits.temp]\nabove_warning = 'no'", "above_warning must be a number or 'off', not 'no'"),
        ("[limits.temp]\nhold_s = 'off'", "hold_s must be a number, not 'off'"),
        ("[limits.temp]\nhold_s = -1", "limits.temp: .* must be finite and not negative"),
        ("[limits.temp]\nabove_critical = 40", "the critical bound 40 is milder than the warning 55"),
        ("[limits.temp]\nabove_critical = nan", "needs a warning or a critical bound, finite"),
        ("[limits.soc]\nhold_s = 3", "limits.soc: sets no bound; bounds are: above_warning"),
        ("limits = 3", "limits must be a table, not 3"),
        ("[limits]\ntemp = 50", "limits.temp must be a table, not 50"),
        ("cells_in_series = 96.0", "cells_in_series must be an integer, not 96.0"),
        ("cells_in_series = 0", "cells_in_series must be from 1 to 10000, not 0"),
        ("capacity_ah = true", "capacity_ah must be a number, not True"),
        ("capacity_ah = inf", "capacity_ah must be a positive number of Ah, not inf"),
        ("capacity_ah = 1\ncapacity_ah = 2", "not valid TOML"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError, match=message) as error:
        read_limits(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pack.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        read_limits(path)


def test_two_numbers_of_cells_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cells_in_series is 96 in the file and 88 in the call"):
        read_limits(written(tmp_path, "cells_in_series = 96"), cells_in_series=88)


def test_a_name_that_is_neither_profile_nor_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"limits are a profile or a \.toml file; did you mean"):
        read_limits("ncm")
    with pytest.raises(FileNotFoundError, match="Limits file not found"):
        read_limits(tmp_path / "none.toml")
