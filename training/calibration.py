"""From a prior and what the trees add to it to probabilities and means that can be believed.

Both models have the same shape: the prior's log-odds (or log mean) plus a weight times the trees'
correction, and a level. Weight 0 is the prior itself, so the fallback is a point of the same
family. Weight and slope are fitted on rolling-origin predictions, never on days that the trees
learned from, with a level of its own for every day; the level of the day to come is forecast
(:mod:`training.levels`) from the prior's levels on all matured days, plus the mean distance of
these predictions' levels from the prior's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from training.levels import Forecast, Level, churn_level, spend_level

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

WEIGHTS = np.linspace(0.0, 1.2, 13)
RIDGE = 5.0
"""Pull of the slope towards one, in units of log-likelihood."""

BOUNDS = (1e-4, 1 - 1e-4)
"""No answer is certain."""


@dataclass(frozen=True)
class ChurnCalibration:
    """log-odds = centre + level + slope * (prior log-odds + tree_weight * trees - centre).

    Platt's line (1999), with its level kept apart from its slope: levels differ from day to day
    far more than customers' noise says.

    Attributes
    ----------
    level, level_sd
        Forecast for the window after the day of the answer, with its standard deviation.
    lasting
        The level that remains beyond that window.
    """

    tree_weight: float = 1.0
    centre: float = 0.0
    slope: float = 1.0
    level: float = 0.0
    level_sd: float = 0.0
    lasting: float = 0.0

    def probability(self, prior: Float, trees: Float) -> Float:
        """Churn probability from the prior's probability and the trees' raw correction."""
        return _chance(self._line(prior, trees) + self.level)

    def lasting_probability(self, prior: Float, trees: Float) -> Float:
        """The same in a window like any other, without what is special to the next one."""
        return _chance(self._line(prior, trees) + self.lasting)

    def _line(self, prior: Float, trees: Float) -> Float:
        raw = logit(prior) + self.tree_weight * trees
        line: Float = self.centre + self.slope * (raw - self.centre)
        return line

    @classmethod
    def fit(
        cls,
        prior: Float,
        trees: Float,
        churned: Bool,
        day: Int,
        history: Sequence[Level],
        expected: Forecast,
        weights: Float = WEIGHTS,
    ) -> tuple[ChurnCalibration, Float]:
        """Choose the weight and the slope with the best penalised likelihood.

        Parameters
        ----------
        prior
            Churn probabilities of the prior, shape (n,).
        trees
            Raw scores of the trees, shape (n,).
        churned
            What happened, shape (n,).
        day
            Snapshot day of each row, days since 1970-01-01, shape (n,).
        history
            The prior's own levels on matured days.
        expected
            What these say of the day to come.

        Returns
        -------
        calibration
        probability
            Of each row, with its day's own level: what would have been said had that been known.
        """
        days, place = np.unique(day, return_inverse=True)
        found = [_platt(logit(prior) + w * trees, churned, place) for w in weights]
        losses, centres, slopes = (np.array(column) for column in zip(*found, strict=True))
        best = int(np.argmin(losses))
        line = cls(float(weights[best]), float(centres[best]), float(slopes[best]))
        raw = line._line(prior, trees)
        levels = [
            churn_level(int(d), raw[place == at], churned[place == at]).value
            for at, d in enumerate(days)
        ]
        above = _distance(days, levels, history)
        calibration = cls(
            line.tree_weight,
            line.centre,
            line.slope,
            expected.mean + above,
            expected.sd,
            expected.lasting + above,
        )
        return calibration, _chance(raw + np.array(levels)[place])


def _chance(log_odds: Float) -> Float:
    probability: Float = expit(log_odds)
    return np.clip(probability, *BOUNDS)


def _distance(days: Int, levels: Sequence[float], history: Sequence[Level]) -> float:
    """Mean distance of some days' levels from those of the prior alone on the same days."""
    prior = {level.day: level.value for level in history}
    return float(np.mean([level - prior[int(d)] for d, level in zip(days, levels, strict=True)]))


def _platt(raw: Float, churned: Bool, place: Int) -> tuple[float, float, float]:
    """Fit one slope and a level for each day; give the loss, the centre and the slope."""
    centre = float(raw.mean())
    sign = np.where(churned, 1.0, -1.0)
    number = int(place.max()) + 1
    pull = np.zeros(number + 1)
    pull[-1] = 1.0

    def loss(line: Float) -> tuple[float, Float]:
        margin = sign * (centre + line[:-1][place] + line[-1] * (raw - centre))
        weight = -sign * expit(-margin)
        gradient = np.append(
            np.bincount(place, weight, minlength=number), (weight * (raw - centre)).sum()
        )
        away = line - pull
        strength = np.append(np.ones(number), RIDGE)
        total = np.logaddexp(0, -margin).sum() + (strength * away**2).sum()
        return float(total), gradient + 2 * strength * away

    found = minimize(
        loss,
        pull,
        jac=True,
        method="L-BFGS-B",
        bounds=[*[(-4.0, 4.0)] * number, (0.2, 3.0)],
    )
    return float(found.fun), centre, float(found.x[-1])


@dataclass(frozen=True)
class SpendCalibration:
    """Mean spend given a purchase = exp(level) * prior mean * exp(tree_weight * trees).

    Attributes
    ----------
    level, level_sd, lasting
        As in :class:`ChurnCalibration`, in logs.
    spend_if_none
        Mean net spend of those who buy nothing: their returns, at most 0, in currency.
    """

    tree_weight: float = 1.0
    level: float = 0.0
    level_sd: float = 0.0
    lasting: float = 0.0
    spend_if_none: float = 0.0

    def spend_if_purchase(self, prior: Float, trees: Float) -> Float:
        """Mean net spend given a purchase."""
        return float(np.exp(self.level)) * self.shape(prior, trees)

    def lasting_spend_if_purchase(self, prior: Float, trees: Float) -> Float:
        """The same in a window like any other, without what is special to the next one."""
        return float(np.exp(self.lasting)) * self.shape(prior, trees)

    def shape(self, prior: Float, trees: Float) -> Float:
        """Mean net spend given a purchase, but for the level."""
        mean: Float = prior * np.exp(self.tree_weight * trees)
        return mean

    @classmethod
    def fit(
        cls,
        prior: Float,
        trees: Float,
        churn_probability: Float,
        purchased: Bool,
        net_spend: Float,
        day: Int,
        history: Sequence[Level],
        expected: Forecast,
        weights: Float = WEIGHTS,
    ) -> tuple[SpendCalibration, Float]:
        """Choose the weight by gamma deviance among buyers, with each day's total put right.

        Parameters
        ----------
        churn_probability
            With each day's own level, as :meth:`ChurnCalibration.fit` gives it.

        Returns
        -------
        calibration
        mean
            Of each row given a purchase, with its day's own level.
        """
        days, place = np.unique(day, return_inverse=True)
        seen = np.maximum(net_spend[purchased], 0.0)
        bought = place[purchased]
        totals = np.bincount(bought, seen, minlength=len(days))
        losses = []
        for w in weights:
            mean = prior[purchased] * np.exp(w * trees[purchased])
            said = np.bincount(bought, mean, minlength=len(days))
            mean = mean * (np.maximum(totals, 1e-9) / np.maximum(said, 1e-9))[bought]
            losses.append(float(np.mean(seen / mean + np.log(mean))))
        shape = cls(float(weights[int(np.argmin(losses))]))
        mean = shape.shape(prior, trees)
        levels = [
            spend_level(
                int(d),
                *(
                    column[place == at]
                    for column in (mean, churn_probability, purchased, net_spend)
                ),
            ).value
            for at, d in enumerate(days)
        ]
        above = _distance(days, levels, history)
        none = min(0.0, float(net_spend[~purchased].mean())) if (~purchased).any() else 0.0
        calibration = cls(
            shape.tree_weight, expected.mean + above, expected.sd, expected.lasting + above, none
        )
        return calibration, mean * np.exp(np.array(levels))[place]
