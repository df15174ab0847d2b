"""How well an uplift ranks: Qini and AUUC from doubly robust scores, with intervals.

Radcliffe (2007), "Using control groups to target on predicted lift"; with scores in the place of
counted outcomes, as in Yadlowsky et al. (2025), "Evaluating treatment prioritization rules via
rank-weighted average treatment effects", every area is a mean of weighted scores, whose error is
that of a mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.uplift.experiment import Float, Int, clustered

Z95 = 1.959964
FIFTHS = 5


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    error: float

    @property
    def lower(self) -> float:
        """Lower end of the 95% interval."""
        return self.value - Z95 * self.error

    @property
    def upper(self) -> float:
        """Upper end of the 95% interval."""
        return self.value + Z95 * self.error

    @property
    def z(self) -> float:
        """How many errors it lies from 0; 0 where nothing is known."""
        return self.value / self.error if self.error > 0 else 0.0


@dataclass(frozen=True)
class Curve:
    """Additional purchases a customer if the best-ranked are treated.

    Attributes
    ----------
    share
        Of the customers who are treated, 0 to 1.
    gain
        Additional purchases so, over all customers.
    auuc
        Area under the gain.
    qini
        That area less the one under treating at random.
    """

    share: Float
    gain: Float
    auuc: Estimate
    qini: Estimate


def curve(uplift: Float, score: Float, customer: Int, points: int = 101) -> Curve:
    """Rank by an uplift and add up the scores.

    Parameters
    ----------
    uplift
        By a model that has not seen the row, shape (n,).
    score
        Doubly robust, shape (n,).
    customer
        Number of each row's customer: rows of one are not independent.

    Examples
    --------
    Half is moved by 1 and half by -1, and known exactly: treating the first half gains 0.5.

    >>> effect = np.repeat([1.0, -1.0], 500)
    >>> found = curve(effect, effect, np.arange(1000), points=3)
    >>> found.gain.round(3).tolist(), round(found.qini.value, 3), round(found.auuc.value, 3)
    ([0.0, 0.5, 0.0], 0.25, 0.25)
    """
    n = len(uplift)
    order = np.argsort(-uplift, kind="stable")
    place = np.empty(n)
    place[order] = (np.arange(n) + 0.5) / n
    # A score counts from its place on: the area of its step is what is left of the axis. Rows that
    # the model cannot tell apart have one place, or their order would count.
    values, ties = np.unique(uplift, return_inverse=True)
    place = (np.bincount(ties, place, len(values)) / np.bincount(ties, minlength=len(values)))[ties]
    auuc = Estimate(*clustered((1 - place) * score, customer))
    qini = Estimate(*clustered((0.5 - place) * score, customer))
    gained = np.concatenate([[0.0], np.cumsum(score[order])]) / n
    share = np.linspace(0, 1, points)
    return Curve(share, gained[np.round(share * n).astype(np.int64)], auuc, qini)


@dataclass(frozen=True)
class Fifth:
    """Customers of like uplift: what was said of them, and what the arms show."""

    said: float
    seen: Estimate


def calibration(uplift: Float, score: Float, customer: Int) -> tuple[Fifth, ...]:
    """Compare said and seen effects by fifths of the uplift, the lowest first."""
    order = np.argsort(uplift, kind="stable")
    return tuple(
        Fifth(float(uplift[rows].mean()), Estimate(*clustered(score[rows], customer[rows])))
        for rows in np.array_split(order, FIFTHS)
        if len(rows)
    )
