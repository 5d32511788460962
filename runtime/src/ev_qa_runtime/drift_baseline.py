"""What readings looked like in training, as histograms: the baseline of drift. Standard library only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ev_qa_runtime.errors import ArtifactError, IncompatibleModelError
from ev_qa_runtime.strict_json import Members

BASELINE_VERSION = 1
MOST_EDGES = 1000
"""A monitor keeps two numbers for each bin."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of one feature.

    ``edges`` rise, in the feature's unit. ``counts`` holds one number more than there are edges, then one for missing
    values: below the first edge, from each edge up to the next one (which belongs to the next bin), from the last
    edge on, missing (NaN). ``rows_alike``: autocorrelation time in rows; so many neighbours count as one.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    rows_alike: float

    def __post_init__(self) -> None:
        if len(self.edges) > MOST_EDGES:
            raise ArtifactError(f"a histogram has at most {MOST_EDGES} edges, not {len(self.edges)}")
        if not self.edges or not all(low < high for low, high in pairwise(self.edges)):
            raise ArtifactError("a histogram's edges must rise and be at least one")
        if len(self.counts) != len(self.edges) + 2 or min(self.counts) < 0 or not sum(self.counts):
            raise ArtifactError("a histogram needs a count for each bin, below, above and missing, and some rows")
        if not self.rows_alike >= 1.0:
            raise ArtifactError(f"rows_alike must be at least 1, not {self.rows_alike}")

    @property
    def rows(self) -> int:
        """How many rows were counted, missing ones included."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class DriftBaseline:
    """Histograms of the features a model was trained on, in the model's order, and of its scores on those rows.

    ``row_s``: median seconds between the rows, None where there was no time.
    """

    names: tuple[str, ...]
    features: tuple[Histogram, ...]
    score: Histogram
    row_s: float | None = None
    version: int = BASELINE_VERSION

    def __post_init__(self) -> None:
        if len(self.names) != len(self.features) or len(set(self.names)) != len(self.names):
            raise ArtifactError("a drift baseline needs one histogram for each feature, with distinct names")
        if self.row_s is not None and not self.row_s > 0.0:
            raise ArtifactError(f"row_s must be positive seconds, not {self.row_s}")

    @property
    def sha256(self) -> str:
        """Of the JSON form: which baseline a monitor's state belongs to."""
        return hashlib.sha256(json.dumps(drift_baseline_document(self)).encode()).hexdigest()


def drift_baseline_document(baseline: DriftBaseline) -> dict[str, Any]:
    """The baseline as a JSON object."""
    return {
        "version": baseline.version,
        "row_s": baseline.row_s,
        "features": [
            {"name": name} | _histogram_document(histogram)
            for name, histogram in zip(baseline.names, baseline.features, strict=True)
        ],
        "score": _histogram_document(baseline.score),
    }


def drift_baseline_of(members: Members) -> DriftBaseline:
    """The baseline of a JSON object.

    Raises ``IncompatibleModelError`` for a newer version, else ``ArtifactError`` naming what is wrong.
    """
    version = members.integer("version", lowest=1)
    if version > BASELINE_VERSION:
        raise IncompatibleModelError(
            f"the drift baseline has version {version}, this runtime reads up to {BASELINE_VERSION}: update "
            "ev-qa-runtime"
        )
    features = members.sections("features")
    return DriftBaseline(
        names=tuple(section.text("name") for section in features),
        features=tuple(_histogram(section) for section in features),
        score=_histogram(members.section("score")),
        row_s=None if members.any("row_s") is None else members.number("row_s"),
        version=version,
    )


def _histogram_document(histogram: Histogram) -> dict[str, Any]:
    return {
        "edges": list(histogram.edges),
        "counts": list(histogram.counts),
        "rows_alike": histogram.rows_alike,
    }


def _histogram(section: Members) -> Histogram:
    return Histogram(section.numbers("edges"), section.integers("counts"), section.number("rows_alike"))
