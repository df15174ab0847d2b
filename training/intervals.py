"""Predictive intervals of the net spend that will be seen.

Net spend is a mixture: nothing with the churn probability, otherwise the mean given a purchase
times a ratio whose distribution is read off rolling-origin predictions, by groups of churn
probability. The mixture's quantiles are then conformalised: the nominal level is raised until the
intervals cover as many of those predictions as they promise (distributional conformal prediction,
Chernozhukov, Wüthrich and Zhu 2021, PNAS 118(48)). Where "nothing" already takes the whole lower
tail, the upper one gets all of the missed share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

GROUPS = 5
SMALLEST_GROUP = 100
LEVELS = np.linspace(0.0, 1.0, 201)
PROMISED = (0.5, 0.8, 0.9)
"""Coverages that intervals are given for."""
SPREAD = 1.25
"""Standard deviations of a level that intervals allow for, where the level is itself uncertain."""
_NORMAL = ndtri((np.arange(15) + 0.5) / 15)
_TRIED = np.concatenate([np.linspace(0.3, 0.99, 70), np.linspace(0.991, 0.999, 9)])


@dataclass(frozen=True)
class IntervalTable:
    """Quantiles of seen over said among buyers, by group of churn probability.

    Attributes
    ----------
    edges
        Upper bounds of the groups but the last, ascending, shape (groups - 1,).
    ratios
        Quantiles at :data:`LEVELS`, shape (groups, 201).
    levels
        For each coverage of :data:`PROMISED` the nominal one that covers as many of the
        calibration predictions.
    odds_spread
        How far the log-odds of churn may lie off for everybody at once: a lower bound is that of
        customers more likely to leave by so much, an upper bound of less likely ones.
    """

    edges: Float
    ratios: Float
    levels: tuple[float, ...]
    odds_spread: float = 0.0

    @classmethod
    def fit(
        cls,
        churn_probability: Float,
        spend_if_purchase: Float,
        purchased: Bool,
        net_spend: Float,
    ) -> IntervalTable:
        """Fit on rolling-origin predictions and what then happened.

        Raises
        ------
        ValueError
            Nobody bought in any window.
        """
        if not purchased.any():
            raise ValueError("no purchase in any label window: an interval cannot be fitted")
        chance = churn_probability[purchased]
        ratio = net_spend[purchased] / spend_if_purchase[purchased]
        groups = int(np.clip(len(ratio) // SMALLEST_GROUP, 1, GROUPS))
        edges = np.unique(np.quantile(chance, np.arange(1, groups) / groups))
        member = np.searchsorted(edges, chance)
        ratios = np.stack(
            [
                np.quantile(ratio[member == g] if (member == g).any() else ratio, LEVELS)
                for g in range(len(edges) + 1)
            ]
        )
        # A few buyers say little of the tail: let the largest ratio of all bound every group.
        ratios[:, -1] = max(ratio.max(), 1.0)
        table = cls(edges, ratios, PROMISED)
        levels = tuple(
            table._covering_level(promised, churn_probability, spend_if_purchase, net_spend)
            for promised in PROMISED
        )
        return cls(edges, ratios, levels)

    def widened(self, odds_sd: float, log_spend_sd: float) -> IntervalTable:
        """Allow for levels that may be off for everybody at once.

        Parameters
        ----------
        odds_sd, log_spend_sd
            Standard deviations of the forecast levels of churn and spend.
        """
        spread = np.exp(SPREAD * log_spend_sd * _NORMAL)
        ratios = np.stack(
            [np.quantile(np.multiply.outer(row, spread).ravel(), LEVELS) for row in self.ratios]
        )
        return replace(self, ratios=ratios, odds_spread=odds_sd)

    def bounds(self, churn_probability: Float, spend_if_purchase: Float) -> tuple[Float, Float]:
        """Lower and upper bounds of the net spend, in currency.

        Returns
        -------
        lower, upper
            A column for each coverage of :data:`PROMISED`, shape (n, 3); a wider interval holds
            the narrower ones.
        """
        odds = logit(np.clip(churn_probability, 1e-9, 1 - 1e-9))
        mean = np.tile(spend_if_purchase, 2)
        # The first half are likelier to leave by the spread, the second less likely.
        chance = expit(np.concatenate([odds + self.odds_spread, odds - self.odds_spread]))
        lower, upper = self._bounds_at(np.array(self.levels), chance, mean)
        return (
            np.minimum.accumulate(lower[: len(odds)], axis=1),
            np.maximum.accumulate(upper[len(odds) :], axis=1),
        )

    def _covering_level(self, promised: float, chance: Float, mean: Float, seen: Float) -> float:
        # Whoever is almost surely gone is covered by "nothing" at any level, and must not pay for
        # those of whom the interval really says something.
        living = chance < promised
        if living.sum() >= SMALLEST_GROUP:
            chance, mean, seen = chance[living], mean[living], seen[living]
        needed = promised + (1 - promised) / (len(seen) + 1)
        for level in _TRIED[promised - 0.2 <= _TRIED]:
            lower, upper = self._bounds_at(np.array([level]), chance, mean)
            if np.mean((seen >= lower[:, 0]) & (seen <= upper[:, 0])) >= needed:
                return float(level)
        return float(_TRIED[-1])

    @cached_property
    def _below(self) -> Float:
        """Share of buyers whose net spend is negative, by group."""
        return np.array([np.searchsorted(row, 0.0) / (len(row) - 1) for row in self.ratios])

    def _bounds_at(self, levels: Float, chance: Float, mean: Float) -> tuple[Float, Float]:
        """Bounds at nominal levels, shape (n, levels) each."""
        group = np.searchsorted(self.edges, chance)[:, None]
        buys = np.clip(1 - chance, 1e-9, 1.0)[:, None]
        # The mass of a negative net spend lies below that of "nothing".
        below = buys * self._below[group]
        facts = (group, chance[:, None], buys, below, mean[:, None])
        tail = (1 - levels) / 2
        lower = self._quantile(tail, *facts)
        missed = np.where(lower == 0.0, np.minimum(below, tail), tail)
        upper = self._quantile(np.minimum(missed + levels, 1.0), *facts)
        return np.minimum(lower, upper), upper

    def _quantile(
        self, at: Float, group: NDArray[np.int64], chance: Float, buys: Float, below: Float,
        mean: Float,
    ) -> Float:  # fmt: skip
        negative = at < below
        positive = at > below + chance
        inside = np.where(negative, at / buys, np.where(positive, (at - chance) / buys, 0.0))
        value = mean * self._ratio(np.clip(inside, 0.0, 1.0), group)
        return np.where(negative | positive, value, 0.0)

    def _ratio(self, level: Float, group: NDArray[np.int64]) -> Float:
        position = level * (len(LEVELS) - 1)
        left = np.minimum(position.astype(np.int64), len(LEVELS) - 2)
        share = position - left
        ratio: Float = self.ratios[group, left] * (1 - share) + self.ratios[group, left + 1] * share
        return ratio

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "edges": self.edges.tolist(),
            "ratios": self.ratios.tolist(),
            "levels": list(self.levels),
            "odds_spread": self.odds_spread,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> IntervalTable:
        """Undo :meth:`to_dict`."""
        return cls(
            np.array(values["edges"], dtype=np.float64),
            np.array(values["ratios"], dtype=np.float64),
            tuple(values["levels"]),
            values["odds_spread"],
        )
