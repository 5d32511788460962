"""How a model's training data were sampled: the time between readings, and the steps in which signals come.

The sidecar's member ``monitoring.sampling``, absent in older files. Noise, steps and stillness depend on both, so that
telemetry sampled otherwise is judged wrongly: :mod:`ev_qa_runtime.sampling_tally` tells when it is. Standard library
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

SAMPLING_VERSION = 1
MOST_SIGNALS = 64
LONGEST_STEP_S = 1e9
FINEST, COARSEST = 1e-12, 1e9


@dataclass(frozen=True, slots=True)
class Resolution:
    """The smallest step, in its unit, in which ``signal`` came; 0 where it never moved."""

    signal: str
    step: float

    def __post_init__(self) -> None:
        if self.step != 0.0 and not FINEST <= self.step <= COARSEST:
            raise ArtifactError(
                f"sampling: the resolution of {self.signal!r:.40} must be 0 or lie between {FINEST:g} and {COARSEST:g}"
            )


@dataclass(frozen=True, slots=True)
class Sampling:
    """``step_s``: seconds between readings of the training data, their 5 %, 50 % and 95 % quantiles."""

    step_s: tuple[float, float, float]
    resolutions: tuple[Resolution, ...]
    version: int = SAMPLING_VERSION

    def __post_init__(self) -> None:
        low, middle, high = self.step_s
        if not 0.0 < low <= middle <= high <= LONGEST_STEP_S:
            raise ArtifactError("sampling: step_s must be three rising numbers of positive seconds")
        names = [resolution.signal for resolution in self.resolutions]
        if len(set(names)) != len(names) or len(names) > MOST_SIGNALS:
            raise ArtifactError(f"sampling: resolutions must be of at most {MOST_SIGNALS} distinct signals")

    def summary(self) -> str:
        """One line, such as ``"every 1 s; resolution: voltage 0.1, temp 0.5"``."""
        low, middle, high = self.step_s
        usual = f"every {middle:.3g} s" if high < 1.05 * low else f"every {middle:.3g} s ({low:.3g} to {high:.3g})"
        known = [f"{one.signal} {one.step:.3g}" for one in self.resolutions if one.step]
        return f"{usual}; resolution: {', '.join(known)}" if known else usual


def sampling_document(sampling: Sampling) -> dict[str, Any]:
    """The sidecar's member."""
    return {
        "version": sampling.version,
        "step_s": list(sampling.step_s),
        "resolutions": [{"signal": one.signal, "step": one.step} for one in sampling.resolutions],
    }


def sampling_of(members: Members) -> Sampling:
    """Read the sidecar's member.

    Raises ``IncompatibleModelError`` for a newer version, else ``ArtifactError`` naming what is wrong.
    """
    version = members.integer("version", lowest=1)
    if version > SAMPLING_VERSION:
        raise IncompatibleModelError(
            f"the sampling record has version {version}, this runtime reads up to {SAMPLING_VERSION}: update "
            "ev-qa-runtime"
        )
    steps = members.numbers("step_s")
    if len(steps) != 3:
        raise ArtifactError("sampling: step_s must be three rising numbers of positive seconds")
    return Sampling(
        (steps[0], steps[1], steps[2]),
        tuple(Resolution(one.text("signal"), one.number("step")) for one in members.sections("resolutions")),
        version,
    )
