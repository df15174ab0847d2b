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
        cls, prior: Float, trees: Float, churned: Bool, moment: Float, weights: Float = WEIGHTS
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
        moment
            Snapshot day of each row, counted in horizons, shape (n,).
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
            _platt(raw[rows], np.full(rows.sum(), centre), churned[rows])[1]
            for rows in (moment == d for d in np.unique(moment))
        ]
        return cls(weight, centre, shift * steadiness(shifts, _windows(moment)), slope)


def steadiness(values: list[float], windows: float) -> float:
    """How much of a mean over days to believe as a lasting level.

    The positive-part James-Stein factor with the days as observations (1 where they agree, 0 where
    they cancel), times n / (n + 1) for n label windows that do not overlap: days whose windows
    overlap agree because they saw the same weeks, and one season says little of the next.

    >>> steadiness([0.2, 0.2, 0.2], windows=3), steadiness([0.2, -0.2], windows=2)
    (0.75, 0.0)
    >>> steadiness([0.3], windows=1)
    0.5
    """
    mean = float(np.mean(values))
    noise = float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0
    agreement = max(0.0, 1.0 - noise / mean**2) if mean else 0.0
    return agreement / (1 + 1 / windows)


def _windows(moment: Float) -> float:
    """How many label windows fit beside each other into the days of a pool."""
    return float(moment.max() - moment.min()) + 1.0


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
        moment: Float,
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
            float(np.log(np.clip(left[rows].sum() / said[rows].sum(), 0.2, 5.0)))
            for rows in (moment == d for d in np.unique(moment))
        ]
        scale = float(np.exp(np.mean(ratios) * steadiness(ratios, _windows(moment))))
        return cls(weight, scale, none)


def to_dict(calibration: ChurnCalibration | SpendCalibration) -> dict[str, Any]:
    """Plain values for JSON."""
    return asdict(calibration)
