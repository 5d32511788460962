"""What a model over time has beside its forest: recipe, quality rule, limits, event rule, and more.

The sidecar's member ``monitoring``. Sidecars that have it carry ``schema_version`` 2: to an older runtime the recipe's
features would be columns, and it would not know of limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ev_qa_runtime.calibration_record import CalibrationRecord, Figure, calibration_document, calibration_of
from ev_qa_runtime.drift_baseline import DriftBaseline, drift_baseline_document, drift_baseline_of
from ev_qa_runtime.errors import ArtifactError
from ev_qa_runtime.events import EventRule, event_rule_document, event_rule_of
from ev_qa_runtime.healthy_range import HealthyRange, healthy_range_document, healthy_range_of
from ev_qa_runtime.limits import Limits, limits_document, limits_of
from ev_qa_runtime.physics.recipe import PhysicsRecipe, recipe_document, recipe_of
from ev_qa_runtime.reading_quality import QualityRule, quality_rule_document, quality_rule_of
from ev_qa_runtime.sampling import Sampling, sampling_document, sampling_of
from ev_qa_runtime.strict_json import Members


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Everything that judges readings over time.

    ``limits`` None: none are watched. ``calibration`` None: the thresholds were given, not calibrated. ``drift`` None:
    the model does not know what its training data looked like. ``healthy_range`` None: no such range is watched.
    ``sampling`` None: nothing is known of how the training data were sampled.
    """

    recipe: PhysicsRecipe
    quality: QualityRule
    events: EventRule
    limits: Limits | None = None
    calibration: CalibrationRecord | None = None
    drift: DriftBaseline | None = None
    healthy_range: HealthyRange | None = None
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        if lacking := set(self.recipe.signals) - {quality.signal for quality in self.quality.signals}:
            raise ArtifactError(f"the quality rule lacks signals that the recipe reads: {sorted(lacking)!r:.200}")
        made = tuple(feature.name for feature in self.recipe.features)
        if self.drift is not None and self.drift.names != made:
            raise ArtifactError("the drift baseline is of other features than the recipe makes")
        if self.healthy_range is not None and len(self.healthy_range.lowest) != len(self.recipe.middle):
            raise ArtifactError("the healthy range is of another number of features than the recipe makes of readings")

    def summary(self) -> dict[str, Any]:
        """What ``info`` says of it: plain JSON types, a fresh dictionary."""
        limits, calibration = self.limits, self.calibration
        said: dict[str, Any] = {
            "signals": list(self.recipe.signals),
            "recipe": f"physics version {self.recipe.version}",
            "events": f"{self.events.k} of {self.events.n} readings, ended by {self.events.clear_after}",
            "limits": None if limits is None else f"{limits.profile}, {len(limits.limits)} limits",
            "drift_baseline": self.drift is not None,
            "healthy_range": None if self.healthy_range is None else f"of {self.healthy_range.trips} trips",
            "sampling": None if self.sampling is None else self.sampling.summary(),
            "calibration": None,
        }
        if calibration is not None:
            said["calibration"] = {
                "trips": calibration.trips,
                "hours": calibration.hours,
                "warning": calibration.warning.guarantee,
                "critical": calibration.critical.guarantee,
                "warning_false_alarms_per_100h": _range(calibration.warning.false_alarms_per_100h),
                "critical_false_alarms_per_100h": _range(calibration.critical.false_alarms_per_100h),
            }
        return said


def _range(figure: Figure) -> str:
    return f"{figure.estimate:.3g} ({figure.low:.3g} to {figure.high:.3g})"


def monitoring_document(monitoring: Monitoring) -> dict[str, Any]:
    """The sidecar's member."""
    limits, calibration, drift = monitoring.limits, monitoring.calibration, monitoring.drift
    later: dict[str, Any] = {}  # files from before these existed come back byte for byte
    if monitoring.healthy_range is not None:
        later["healthy_range"] = healthy_range_document(monitoring.healthy_range)
    if monitoring.sampling is not None:
        later["sampling"] = sampling_document(monitoring.sampling)
    return {
        "recipe": recipe_document(monitoring.recipe),
        "quality": quality_rule_document(monitoring.quality),
        "events": event_rule_document(monitoring.events),
        "limits": None if limits is None else limits_document(limits),
        "calibration": None if calibration is None else calibration_document(calibration),
        "drift": None if drift is None else drift_baseline_document(drift),
        **later,
    }


def monitoring_of(members: Members) -> Monitoring:
    """Read the sidecar's member.

    Raises ``IncompatibleModelError`` for a recipe or rule that is newer than this runtime, ``ArtifactError`` naming the
    member for anything malformed.
    """
    has = {name: members.any(name) is not None for name in ("limits", "calibration", "drift")}
    has |= {name: members.members.get(name) is not None for name in ("healthy_range", "sampling")}  # older files lack
    return Monitoring(
        recipe=recipe_of(members.section("recipe")),
        quality=quality_rule_of(members.section("quality")),
        events=event_rule_of(members.section("events")),
        limits=limits_of(members.section("limits")) if has["limits"] else None,
        calibration=calibration_of(members.section("calibration")) if has["calibration"] else None,
        drift=drift_baseline_of(members.section("drift")) if has["drift"] else None,
        healthy_range=healthy_range_of(members.section("healthy_range")) if has["healthy_range"] else None,
        sampling=sampling_of(members.section("sampling")) if has["sampling"] else None,
    )
