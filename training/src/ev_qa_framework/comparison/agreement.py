"""How far two models agree on the same rows: flags, severities, scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from ev_qa_framework.comparison.intervals import (
    BlockBootstrap,
    estimated,
    newcombe_paired,
    percentile_interval,
    wilson,
)
from ev_qa_framework.comparison.result import Agreement, BoolArray, Rate, RateDifference, ScoreAgreement
from ev_qa_runtime.severity import SEVERITY_OF_CODE, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class FlagTable:
    """Rows by who flags them: counts, or one array element a resample."""

    both: FloatArray
    a_only: FloatArray
    b_only: FloatArray
    neither: FloatArray

    @property
    def rows(self) -> FloatArray:
        """All rows."""
        return self.both + self.a_only + self.b_only + self.neither

    @property
    def rate_a(self) -> FloatArray:
        """Share of the rows that A flags."""
        return (self.both + self.a_only) / self.rows

    @property
    def rate_b(self) -> FloatArray:
        """Share of the rows that B flags."""
        return (self.both + self.b_only) / self.rows

    @property
    def same_flag(self) -> FloatArray:
        """Share of the rows that both flag or neither does."""
        return (self.both + self.neither) / self.rows

    @property
    def kappa(self) -> FloatArray:
        """Cohen's kappa (Educational and Psychological Measurement 20, 1960).

        Where both flag all rows, or both none, chance alone would agree on every row and kappa is 0/0: 1 here, since
        they agree.
        """
        chance = self.rate_a * self.rate_b + (1.0 - self.rate_a) * (1.0 - self.rate_b)
        with np.errstate(invalid="ignore", divide="ignore"):
            kappa: FloatArray = np.where(
                self.both + self.neither == self.rows, 1.0, (self.same_flag - chance) / (1.0 - chance)
            )
        return kappa


@dataclass(frozen=True, slots=True)
class FlagAgreement:
    """What the flags of both say."""

    rate_a: Rate
    rate_b: Rate
    difference: RateDifference
    agreement: Agreement


def flag_agreement(
    flagged_a: BoolArray, flagged_b: BoolArray, bootstrap: BlockBootstrap, level: float
) -> FlagAgreement:
    """Compare flags bool [N]; ``level`` is the confidence of the intervals, such as 0.95."""
    cells = np.stack([flagged_a & flagged_b, flagged_a & ~flagged_b, ~flagged_a & flagged_b, ~flagged_a & ~flagged_b])
    both, a_only, b_only, neither = (int(count) for count in cells.sum(axis=1))
    rows = len(flagged_a)
    resampled = FlagTable(*bootstrap.sums(cells.T.astype(np.float64)).T)
    observed = FlagTable(*(np.array(float(count)) for count in (both, a_only, b_only, neither)))

    def rate(count: int, resampled_rate: FloatArray) -> Rate:
        share = count / rows
        return Rate(count, rows, share, wilson(count, rows, level), percentile_interval(share, resampled_rate, level))

    difference = (b_only - a_only) / rows
    return FlagAgreement(
        rate_a=rate(both + a_only, resampled.rate_a),
        rate_b=rate(both + b_only, resampled.rate_b),
        difference=RateDifference(
            difference,
            newcombe_paired(both, a_only, b_only, neither, level),
            percentile_interval(difference, (resampled.b_only - resampled.a_only) / resampled.rows, level),
        ),
        agreement=Agreement(
            same_flag=rate(both + neither, resampled.same_flag),
            kappa=estimated(float(observed.kappa), resampled.kappa, level),
            jaccard=both / (rows - neither) if neither < rows else None,
            both=both,
            a_only=a_only,
            b_only=b_only,
            neither=neither,
        ),
    )


def severity_confusion(severity_a: IntArray, severity_b: IntArray) -> tuple[tuple[int, ...], ...]:
    """Counts of rows by A's (outer) and B's severity, codes 0 INFO, 1 WARNING, 2 CRITICAL."""
    kinds = len(SEVERITY_OF_CODE)
    counts = np.bincount(severity_a * kinds + severity_b, minlength=kinds * kinds).reshape(kinds, kinds)
    return tuple(tuple(row) for row in counts.tolist())


def score_agreement(scores_a: FloatArray, scores_b: FloatArray) -> ScoreAgreement:
    """Rank correlations, with ties, and absolute differences of ``score_samples`` [N].

    Spearman's rho on mid-ranks; Kendall's tau-b (Biometrika 33, 1945). Both are undefined where a model scores every
    row the same.
    """
    varied = np.ptp(scores_a) > 0.0 and np.ptp(scores_b) > 0.0
    difference = np.abs(scores_b - scores_a)
    return ScoreAgreement(
        spearman=_at_most_one(spearmanr(scores_a, scores_b).statistic) if varied else None,
        kendall_tau_b=_at_most_one(kendalltau(scores_a, scores_b).statistic) if varied else None,
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
    )


def _at_most_one(correlation: float) -> float:
    """Rounding takes a perfect correlation past 1 now and then."""
    return float(np.clip(correlation, -1.0, 1.0))
