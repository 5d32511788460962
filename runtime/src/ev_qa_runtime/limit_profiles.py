"""Ready-made limits by cell chemistry, each figure with where it comes from.

[GB] GB 38031-2025 (and -2020) appendix C, C.5.3.7: a thermal runaway is dT/dt >= 1 degC/s for more than 3 s, together
with a voltage drop of 25 % or the highest operating temperature. UN GTR 20 and ECE R100.03 demand protection against
over-temperature, over-charge, over-discharge and over-current, but leave every figure to the manufacturer.
[IEC] IEC 62133-2:2017 annex A: 4.25 V is the upper limit charging voltage of cells for 4.2 V.
[25R] Samsung INR18650-25R (NMC/NCA blend): charged to 4.2 V, discharged to 2.5 V.
[18650B] Panasonic NCR18650B (NCA): 4.2 V, 2.5 V, charge 0..45 degC, discharge -20..60 degC.
[Lishen] Lishen LP54173207 202 Ah (LFP), specification of 2020-03-09: charged to 3.65 V, discharged to 2.5 V, below
0 degC to 2.0 V; charge 0..60 degC, discharge -35..60 degC; 2 C for 30 s.
[foxBMS] foxBMS 2, battery_cell_cfg.h: operating, recommended and safety limit 45, 50 and 55 degC when discharging.
[Guo] Guo, Lu, Ouyang, Feng, Sci. Rep. 6:30248, 2016: overdischarge dissolves the copper collector, and the cell shorts.
[NREL] Pesaran, Vlahinos, Burch, "Thermal performance of EV and HEV battery modules and packs": temperatures should be
even across a pack; batterydesign.net, "Cell temperature gradient", expects 10 degC in hard use.

Engineering practice, without a source that gives the figure: all hysteresis and hold times but the 3 s of [GB], the
warning of ``temp_rate``, the distance of critical cell voltages from the cut-offs, ``cell_spread``, ``probe_spread``
and ``c_rate``. The data sheet of the cell at hand is better than any of these.
"""

from __future__ import annotations

import dataclasses

from ev_qa_runtime.errors import ConfigurationError
from ev_qa_runtime.limits import Limit, Limits

_TEMPERATURES = (
    # Critical: the highest discharge temperature of [18650B] and [Lishen]. Warning: the safety limit of [foxBMS].
    Limit("temp", "above", warning=55.0, critical=60.0, hysteresis=2.0),
    # Critical: [GB], with its 3 s. Warning: 15 degC a minute; fast charging has 1 or 2. More than 2 steps of 1 degC.
    Limit("temp_rate", "above", warning=0.25, critical=1.0, hysteresis=0.05, hold_s=3.0),
    # Practice: [NREL] expects less than 10 degC.
    Limit("probe_spread", "above", warning=15.0, critical=25.0, hysteresis=2.0, hold_s=10.0),
)

_CURRENTS = (
    # Practice: [Lishen] takes 2 C for 30 s; power cells take several times that.
    Limit("c_rate", "above", warning=6.0, critical=10.0, hysteresis=0.5, hold_s=10.0),
    Limit("c_rate", "below", warning=-4.0, critical=-6.0, hysteresis=0.5, hold_s=10.0),
)


def _cells(
    above: tuple[float, float], below: tuple[float, float], spread: tuple[float, float]
) -> tuple[Limit, Limit, Limit]:
    """The limits of a cell's voltage and of the spread between cells, each (warning, critical) in V."""
    return (
        Limit("cell_voltage", "above", *above, hysteresis=0.03, hold_s=2.0),
        Limit("cell_voltage", "below", *below, hysteresis=0.1, hold_s=2.0),
        Limit("cell_spread", "above", *spread, hysteresis=0.02, hold_s=10.0),
    )


PROFILES: dict[str, Limits] = {
    limits.profile: limits
    for limits in (
        Limits(
            # No voltage that any chemistry on a graphite anode allows: 4.35 V and 4.4 V cells exist, LFP goes to 2.0 V
            # in the cold [Lishen]. At 1.5 V the copper collector is in danger [Guo].
            (*_TEMPERATURES, *_cells((4.45, 4.55), (2.0, 1.5), (0.4, 1.0)), *_CURRENTS),
            profile="li_ion",
            chemistry="any lithium-ion cell with a graphite anode",
            source="the mildest of nmc, nca and lfp",
        ),
        Limits(
            # [25R], [IEC]; a pulse in the cold may go below the cut-off for a while.
            (*_TEMPERATURES, *_cells((4.25, 4.35), (2.5, 2.0), (0.2, 0.5)), *_CURRENTS),
            profile="nmc",
            chemistry="NMC / graphite, charged to 4.2 V",
            source="GB 38031 appendix C, IEC 62133-2 annex A, Samsung INR18650-25R; see docs/limits.md",
        ),
        Limits(
            # [18650B], [IEC]
            (*_TEMPERATURES, *_cells((4.25, 4.35), (2.5, 2.0), (0.2, 0.5)), *_CURRENTS),
            profile="nca",
            chemistry="NCA / graphite, charged to 4.2 V",
            source="GB 38031 appendix C, IEC 62133-2 annex A, Panasonic NCR18650B; see docs/limits.md",
        ),
        Limits(
            # [Lishen]; the steep ends of the voltage curve spread cells further apart than in NMC.
            (*_TEMPERATURES, *_cells((3.75, 3.9), (2.0, 1.5), (0.4, 0.8)), *_CURRENTS),
            profile="lfp",
            chemistry="LFP / graphite, charged to 3.65 V",
            source="GB 38031 appendix C, Lishen LP54173207; see docs/limits.md",
        ),
    )
}
"""By name: ``li_ion``, ``nmc``, ``nca``, ``lfp``; without a pack's cells in series and capacity."""


def profile_limits(name: str, cells_in_series: int | None = None, capacity_ah: float | None = None) -> Limits:
    """A profile for one pack: its cells in series, so that the pack voltage can be judged, and its capacity in Ah.

    ``ConfigurationError`` where there is no such profile.
    """
    if name not in PROFILES:
        raise ConfigurationError(f"there is no limit profile {name!r}; there are: {', '.join(PROFILES)}")
    return dataclasses.replace(PROFILES[name], cells_in_series=cells_in_series, capacity_ah=capacity_ah)
