"""Every kind of fault: changes only its own readings, only after its onset, by time and not by rows, reproducibly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmarks.faults import CELLS, DRIFT_ENDS_S, FAULT_KINDS, KIND_OF, SPELL_S, described, inject
from benchmarks.pack_estimate import PackEstimate
from benchmarks.workload import TELEMETRY
from hypothesis import given, settings
from hypothesis import strategies as st

PACK = PackEstimate(0.06, 0.09, 0.7, 170.0, 360.0, cells=96)
KINDS = pytest.mark.parametrize("kind", FAULT_KINDS, ids=lambda kind: kind.name)


def trip(times: np.ndarray) -> pd.DataFrame:
    """Smooth in time, so that the same moment reads the same at any sampling rate."""
    current = 60.0 + 50.0 * np.sin(times / 20.0)
    voltage = 370.0 - 0.1 * current - times / 200.0
    table = {
        "time_s": times, "voltage": voltage, "current": current,
        "temp": 20.0 + times / 300.0, "soc": 80.0 - times / 100.0,
        "cell_voltage_max": voltage / 96 + 0.01, "cell_voltage_min": voltage / 96 - 0.01, "odometer": times / 50.0,
    }  # fmt: skip
    return pd.DataFrame(table)


@pytest.fixture(scope="module")
def demo_trips() -> list[pd.DataFrame]:
    return [pd.read_csv(file) for file in sorted(TELEMETRY.glob("healthy_*.csv"))]


def test_twenty_one_kinds() -> None:
    assert len(FAULT_KINDS) == 21
    assert len({kind.name for kind in FAULT_KINDS}) == 21
    assert len({(kind.signals[0], kind.effect) for kind in FAULT_KINDS}) == 21
    assert list(KIND_OF) == [kind.name for kind in FAULT_KINDS]
    assert all(len(description) > 20 for *_, description in described())


@KINDS
def test_only_its_readings_change_and_only_after_the_onset(kind) -> None:
    healthy = trip(np.arange(0.0, 900.0))
    before = healthy.copy(deep=True)
    faulted = inject(kind, healthy, PACK)
    pd.testing.assert_frame_equal(healthy, before)
    first = int(np.searchsorted(healthy["time_s"], kind.onset * 899.0))
    pd.testing.assert_frame_equal(faulted.drop(columns="fault").head(first), healthy.head(first))
    changed = {name for name in healthy if not faulted[name].equals(healthy[name].round(4))}
    changed -= {name for name in healthy if faulted[name].iloc[first:].equals(healthy[name].iloc[first:])}
    differs = {name for name in changed if (faulted[name] - healthy[name]).abs().max() > 1e-3}
    assert differs == set(kind.signals)
    assert not faulted["fault"].head(first).any()
    if kind.intermittent:
        off = faulted["fault"].to_numpy() == 0
        assert np.allclose(faulted.loc[off, kind.signals[0]], healthy.loc[off, kind.signals[0]], atol=1e-4)
        assert 0.03 < faulted["fault"].iloc[first:].mean() < 0.2
    else:
        assert faulted["fault"].iloc[first:].all()


@KINDS
def test_deterministic_under_a_seed(kind) -> None:
    healthy = trip(np.arange(0.0, 600.0))
    first, again, other = (inject(kind, healthy, PACK, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    random = kind.intermittent or kind.name.endswith("_noise")
    assert first.equals(other) is not random


@KINDS
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32), share=st.floats(0.0, 1.0))
def test_independent_of_the_sampling_rate(kind, seed: int, share: float) -> None:
    """Any rows left out, the others read the same; the onset's row stays, for a sensor can only stick at a reading.

    What is integrated over time (cooling loss) agrees within the integral's error, over at most 10 s.
    """
    fine = trip(np.arange(0.0, 600.0, 0.5))
    kept = np.random.default_rng(seed).random(len(fine)) < share
    kept[::20] = True  # the onset's row, 400, among them
    everything = inject(kind, fine, PACK, onset_s=200.0, seed=5)[kept].reset_index(drop=True)
    thinned = inject(kind, fine[kept].reset_index(drop=True), PACK, onset_s=200.0, seed=5)
    tolerance = 0.02 if kind.name == "cooling_loss" else 0.0
    for name in everything:
        assert np.allclose(everything[name], thinned[name], rtol=0.0, atol=tolerance), name


@KINDS
def test_an_epoch_changes_nothing(kind) -> None:
    healthy = trip(np.arange(0.0, 600.0))
    later = healthy.assign(time_s=healthy["time_s"] + 1.5e9)
    now, then = (inject(kind, table, PACK).drop(columns="time_s") for table in (healthy, later))
    pd.testing.assert_frame_equal(now, then)


def test_magnitudes_by_hand() -> None:
    healthy = trip(np.arange(0.0, 3_000.0))

    def change(name: str, signal: str, **settings: float) -> np.ndarray:
        faulted = inject(KIND_OF[name], healthy, PACK, onset_s=600.0, **settings)
        return (faulted[signal] - healthy[signal]).to_numpy()[600:]

    elapsed, current = np.arange(2_400.0), healthy["current"].to_numpy()[600:]
    near = {"rtol": 0.0, "atol": 1e-4}
    assert np.allclose(change("resistance_x2", "voltage"), -0.06 * current, **near)
    assert np.allclose(change("resistance_x2", "voltage", magnitude=3.0), -0.12 * current, **near)
    assert np.allclose(change("resistance_x2", "cell_voltage_min"), -0.06 * current / 96, **near)
    drained = 100 * 40.0 * elapsed / 3_600 / 170
    assert np.allclose(change("internal_short", "voltage"), -(0.06 * 40 + 0.7 * drained), **near)
    assert np.allclose(change("cell_imbalance", "cell_voltage_min"), -2.0 * np.minimum(elapsed / 600, 1.0), **near)
    assert np.allclose(change("voltage_drift", "voltage"), -0.005 * np.minimum(elapsed, DRIFT_ENDS_S), **near)
    heat = 0.9 * 0.09 * np.sum((current[1:] ** 2 + current[:-1] ** 2) / 2) / (5.0 * 170.0 * 360.0)
    assert change("cooling_loss", "temp")[-1] == pytest.approx(heat, abs=1e-4)
    assert (np.diff(change("cooling_loss", "temp")) >= -2e-4).all()
    noise = change("voltage_noise", "voltage")
    assert abs(noise.mean()) < 0.3
    assert noise.std() == pytest.approx(3.0, rel=0.1)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.1


def test_a_leak_cannot_drain_more_than_there_is() -> None:
    hours = trip(np.arange(0.0, 1_000.0)).assign(time_s=np.arange(0.0, 1_000.0) * 60.0, soc=10.0)
    faulted = inject(KIND_OF["internal_short"], hours, PACK)
    assert (faulted["voltage"] - hours["voltage"]).min() == pytest.approx(-(0.06 * 40 + 0.7 * 10.0), abs=1e-4)


def test_spells_last() -> None:
    """A spell is a slot of two seconds: at 10 Hz the contact opens for twenty rows in a row."""
    faulted = inject(KIND_OF["voltage_dropout"], trip(np.arange(0.0, 900.0, 0.1)), PACK, onset_s=0.0)
    edges = np.flatnonzero(np.diff(faulted["fault"].to_numpy()))
    assert len(edges) > 20
    assert (np.diff(edges) % round(SPELL_S / 0.1) == 0).all()
    assert (faulted.loc[faulted["fault"] == 1, "voltage"] == 0.0).all()


def test_what_cannot_be_faulted() -> None:
    with pytest.raises(ValueError, match="time_s must not be empty nor go backwards"):
        inject(FAULT_KINDS[0], trip(np.array([0.0, 5.0, 4.0])), PACK)
    with pytest.raises(ValueError, match="voltage_stuck begins 100 s into a trip of 50 s"):
        inject(FAULT_KINDS[0], trip(np.arange(0.0, 51.0)), PACK, onset_s=100.0)


def test_estimates_from_the_demo(demo_trips: list[pd.DataFrame]) -> None:
    """The simulation has 170 Ah, 96 cells of about 0.1 ohm with the polarisation, and records one decimal."""
    pack = PackEstimate.of(demo_trips)
    assert pack.capacity_ah == pytest.approx(170.0, rel=0.02)
    assert 0.04 < pack.resistance_ohm < pack.total_resistance_ohm < 0.15
    assert 0.3 < pack.ocv_slope_v_per_percent < 1.2
    assert pack.decimals == dict.fromkeys(("voltage", "current", "temp", "soc"), 1)
    assert pack.cells is None


def test_estimates_by_hand() -> None:
    times = np.arange(0.0, 3_600.0)
    current = np.where(times // 30 % 2 > 0, 100.0, 20.0)
    soc = 90.0 - 100.0 * np.cumsum(current) / 3_600.0 / 120.0
    voltage = 300.0 + 0.5 * soc - 0.08 * current
    table = pd.DataFrame({"time_s": times, "voltage": voltage, "current": current, "temp": 20.0, "soc": soc})
    pack = PackEstimate.of([table.assign(cell_voltage_max=voltage / 90, cell_voltage_min=voltage / 90)])
    assert pack.resistance_ohm == pytest.approx(0.08, rel=0.01)
    assert pack.total_resistance_ohm == pytest.approx(0.08, rel=0.01)
    assert pack.ocv_slope_v_per_percent == pytest.approx(0.5, rel=0.01)
    assert pack.capacity_ah == pytest.approx(120.0, rel=0.01)
    assert pack.cells == 90
    assert set(CELLS) <= set(pack.decimals)
    with pytest.raises(ValueError, match="current must be positive when discharging"):
        PackEstimate.of([table.assign(current=-current)])


@KINDS
def test_readings_stay_recorded_as_before(kind, demo_trips: list[pd.DataFrame]) -> None:
    faulted = inject(kind, demo_trips[0], PackEstimate.of(demo_trips))
    for name in ("voltage", "current", "temp", "soc"):
        assert np.allclose(faulted[name], faulted[name].round(1), rtol=0.0, atol=1e-9)
