"""From a prior and what the trees add to it to probabilities and means that can be believed.

Both models have the same shape: the prior's log-odds (or log mean) plus a weight times the trees'
correction. Weight 0 is BG/NBD and Gamma-Gamma themselves, so the fallback is a point of the same
family. All is fitted on rolling-origin predictions, never on days that the trees learned from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Whole = NDArray[np.int64]

WEIGHTS = np.linspace(0.0, 1.0, 11)
RIDGE = 5.0
"""Pull of the calibration line towards the identity, in units of log-likelihood."""

BOUNDS = (1e-4, 1 - 1e-4)
"""No answer is certain."""


@dataclass(frozen=True)
class ChurnCalibration:
    """log-odds = centre + shift + slope * (prior log-odds + tree_weight * trees - centre).

    Platt's line (1999), with its level kept apart from its slope: levels differ from day to day
    far more than customers' noise says, so the shift is shrunk by how much it varied over days.
    """

    tree_weight: float = 1.0
    centre: float = 0.0
    shift: float = 0.0
    slope: float = 1.0

    def probability(self, prior: Float, trees: Float) -> Float:
        """Churn probability from the prior's probability and the trees' raw correction."""
        raw = logit(prior) + self.tree_weight * trees
        probability: Float = expit(self.centre + self.shift + self.slope * (raw - self.centre))
        return np.clip(probability, *BOUNDS)

    @classmethod
    def fit(
        cls, prior: Float, trees: Float, churned: Bool, day: Whole, weights: Float = WEIGHTS
    ) -> ChurnCalibration:
        """Choose the weight and the line with the best penalised likelihood.

        Parameters
        ----------
        prior
            Churn probabilities of the prior, shape (n,).
        trees
            Raw scores of the trees, shape (n,).
        churned
            What happened, shape (n,).
        day
            Number of the snapshot day of each row, shape (n,).
        """
        found = []
        for w in weights:
            raw = logit(prior) + w * trees
            centre = float(raw.mean())
            loss, shift, slope = _platt(raw - centre, np.full(len(raw), centre), churned)
            found.append((loss, float(w), centre, shift, slope))
        _, weight, centre, shift, slope = min(found)
        raw = logit(prior) + weight * trees - centre
        shifts = [
            _platt(raw[day == d], np.full((day == d).sum(), centre), churned[day == d])[1]
            for d in np.unique(day)
        ]
        return cls(weight, centre, shift * steadiness(shifts), slope)


def steadiness(values: list[float]) -> float:
    """How much of a mean over days to believe: 1 where the days agree, 0 where they cancel.

    The positive-part James-Stein factor with the days as observations; one day alone is half
    believed.

    >>> steadiness([0.2, 0.2, 0.2]), steadiness([0.2, -0.2]), steadiness([0.3])
    (1.0, 0.0, 0.5)
    """
    if len(values) < 2:
        return 0.5
    mean = float(np.mean(values))
    noise = float(np.var(values, ddof=1)) / len(values)
    return max(0.0, 1.0 - noise / mean**2) if mean else 0.0


def _platt(raw: Float, offset: Float, churned: Bool) -> tuple[float, float, float]:
    sign = np.where(churned, 1.0, -1.0)

    def loss(line: Float) -> tuple[float, Float]:
        margin = sign * (offset + line[0] + line[1] * raw)
        pull = line - np.array([0.0, 1.0])
        weight = -sign * expit(-margin)
        gradient = np.array([weight.sum(), (weight * raw).sum()]) + 2 * RIDGE * pull
        return float(np.logaddexp(0, -margin).sum() + RIDGE * (pull**2).sum()), gradient

    found = minimize(
        loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(-3, 3), (0.2, 3)]
    )
    return float(found.fun), float(found.x[0]), float(found.x[1])


@dataclass(frozen=True)
class SpendCalibration:
    """Mean spend given a purchase = scale * prior mean * exp(tree_weight * trees).

    Attributes
    ----------
    spend_if_none
        Mean net spend of those who buy nothing: their returns, at most 0, in currency.
    """

    tree_weight: float = 1.0
    scale: float = 1.0
    spend_if_none: float = 0.0

    def spend_if_purchase(self, prior: Float, trees: Float) -> Float:
        """Mean net spend given a purchase."""
        return self.scale * prior * np.exp(self.tree_weight * trees)

    @classmethod
    def fit(
        cls,
        prior: Float,
        trees: Float,
        churn_probability: Float,
        purchased: Bool,
        net_spend: Float,
        day: Whole,
        weights: Float = WEIGHTS,
    ) -> SpendCalibration:
        """Choose the weight by gamma deviance among buyers, the scale by the total of everyone."""
        seen = np.maximum(net_spend[purchased], 0.0)
        losses = []
        for w in weights:
            mean = prior[purchased] * np.exp(w * trees[purchased])
            mean = mean * (seen.sum() / mean.sum())
            losses.append(float(np.mean(seen / mean + np.log(mean))))
        weight = float(weights[int(np.argmin(losses))])
        none = min(0.0, float(net_spend[~purchased].mean())) if (~purchased).any() else 0.0
        said = (1 - churn_probability) * prior * np.exp(weight * trees)
        left = net_spend - none * churn_probability
        ratios = [
            float(np.log(np.clip(left[day == d].sum() / said[day == d].sum(), 0.2, 5.0)))
            for d in np.unique(day)
        ]
        scale = float(np.exp(np.mean(ratios) * steadiness(ratios)))
        return cls(weight, scale, none)


def to_dict(calibration: ChurnCalibration | SpendCalibration) -> dict[str, Any]:
    """Plain values for JSON."""
    return asdict(calibration)
