"""The profiles are of the shape that a pack's limits need to have."""

from __future__ import annotations

import pytest

from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.limit_profiles import PROFILES, profile_limits
from ev_qa_runtime.limits import upward

CUT_OFFS = {"nmc": (2.5, 4.2), "nca": (2.5, 4.2), "lfp": (2.0, 3.65)}
"""Of the data sheets: discharge, charge; V a cell."""


def test_there_is_one_for_each_chemistry() -> None:
    assert list(PROFILES) == ["li_ion", "nmc", "nca", "lfp"]


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_names_itself_and_its_source(name: str) -> None:
    limits = PROFILES[name]
    assert limits.profile == name
    assert limits.source
    assert limits.chemistry
    assert {limit.signal for limit in limits.limits} == {
        "temp",
        "temp_rate",
        "probe_spread",
        "cell_voltage",
        "cell_spread",
        "c_rate",
    }
    assert all(limit.warning is not None and limit.critical is not None for limit in limits.limits)
    assert all(limit.hysteresis > 0 for limit in limits.limits)


@pytest.mark.parametrize("name", CUT_OFFS)
def test_what_the_data_sheet_allows_is_no_breach(name: str) -> None:
    lowest, highest = CUT_OFFS[name]
    cells = {limit.side: limit.warning for limit in PROFILES[name].limits if limit.signal == "cell_voltage"}
    assert cells["above"] is not None
    assert cells["below"] is not None
    assert cells["above"] > highest
    assert cells["below"] <= lowest


@pytest.mark.parametrize("name", CUT_OFFS)
def test_li_ion_is_the_mildest(name: str) -> None:
    mild = {(limit.signal, limit.side): limit for limit in PROFILES["li_ion"].limits}
    for limit in PROFILES[name].limits:
        other = mild[limit.signal, limit.side]
        sign = upward(limit.side)
        assert other.warning is not None
        assert other.critical is not None
        assert limit.warning is not None
        assert limit.critical is not None
        assert sign * other.warning >= sign * limit.warning
        assert sign * other.critical >= sign * limit.critical


def test_the_runaway_of_the_standard_is_critical() -> None:
    (rate,) = (limit for limit in PROFILES["nmc"].limits if limit.signal == "temp_rate")
    assert (rate.critical, rate.hold_s) == (1.0, 3.0)  # GB 38031, C.5.3.7


def test_a_profile_for_one_pack() -> None:
    limits = profile_limits("lfp", cells_in_series=108, capacity_ah=161.0)
    assert (limits.cells_in_series, limits.capacity_ah, limits.limits) == (108, 161.0, PROFILES["lfp"].limits)
    assert PROFILES["lfp"].cells_in_series is None


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no limit profile 'nmcc'; there are: li_ion, nmc, nca, lfp"):
        profile_limits("nmcc")
