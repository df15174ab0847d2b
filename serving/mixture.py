"""What actions are worth by what was measured of them, as far as it was, and else as assumed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from serving.belief import Belief
from serving.evidence import QUARTILE, Evidence
from serving.worth import (
    LEVELS,
    Effects,
    Outlook,
    assumed_parts,
    expected_costs,
    incremental_values,
    probability_change,
)

Floats = NDArray[np.float64]
_MID = LEVELS.index("mid")
LIKELIER = 0.5
LARGEST = 2.0
"""Logarithm of the largest factor on anybody's spend that is believed."""


@dataclass(frozen=True)
class Worth:
    """What actions are worth, by customer and action.

    Attributes
    ----------
    value : float64 array of shape (3, n, k)
        Above doing nothing, over the horizon, net of costs: low, mid and high.
    effects, outlook
        What was assumed.
    priced : float64 array of shape (n, k), optional
        Costs, where incentives were seen to cost something else than was assumed.
    factor : float64 array of shape (n, k), optional
        On the expected net spend, as it was measured.
    belief : optional
        What counts of either.
    """

    value: Floats
    effects: Effects
    outlook: Outlook
    priced: Floats | None = None
    factor: Floats | None = None
    belief: Belief | None = None

    @property
    def works(self) -> bool:
        """Whether it is likelier than not that any action does anything here."""
        return self.belief is None or self.belief.nothing < LIKELIER

    @property
    def pays(self) -> NDArray[np.bool_]:
        """Whether each action is worth its cost to each customer, likelier than not."""
        paying: NDArray[np.bool_] = self.value[_MID] > 0
        return paying if self.works else np.zeros_like(paying)

    @cached_property
    def cost(self) -> Floats:
        """Contact and redeemed incentive, part of the value already."""
        if self.priced is None:
            return expected_costs(self.effects, self.outlook)
        return self.priced

    @cached_property
    def moved(self) -> Floats:
        """Likely change of the chance of buying.

        A factor on spend is taken for one on how often is bought: of a Poisson process.
        """
        before = self.outlook.purchase_probability[:, None]
        assumed = probability_change(before, np.expm1(self.effects.lift_log_odds[_MID]))
        if self.factor is None or self.belief is None:
            return assumed
        measured = (1 - before) - (1 - before) ** self.factor
        return self.belief.kept * assumed + self.belief.weight * measured


def value_actions(
    effects: Effects, evidence: Evidence, outlook: Outlook, facts: Floats | None = None
) -> Worth:
    """Value every action for every customer.

    What was measured is E[margin | action] - E[margin | nothing] itself: a factor on the expected
    net spend. It counts by its weight, and what the playbook assumes of the same customer as far as
    it is still believed; costs are taken off after that. The ends are the quartiles of what is
    believed.

    Parameters
    ----------
    facts
        The evidence's moderators, shape (n, d); None where no action differs.

    Examples
    --------
    An action that was believed to double the odds, and measured, surely, to do harm: half of the
    margin of 40 is lost.

    >>> from dataclasses import replace
    >>> doubled = Effects(np.full((3, 1), np.log(2)), np.zeros((3, 1)), *[np.zeros(1)] * 4)
    >>> sure = Belief(np.zeros(1), np.ones(1), np.ones(1), np.zeros(1))
    >>> seen = replace(Evidence.none(1), belief=sure, level=np.log([0.5]))
    >>> customer = Outlook(np.array([1.0]), np.array([100.0]), np.array([0.0]), margin=0.4)
    >>> value_actions(doubled, seen, customer).value[1].round(6).tolist()
    [[-20.0]]
    """
    if not evidence.any:
        value = incremental_values(effects, outlook)
        return Worth(value, effects, outlook)
    assumed = assumed_parts(effects, outlook)
    chance = outlook.purchase_probability
    spend = chance * outlook.spend_if_purchase + (1 - chance) * outlook.spend_if_none
    margin = outlook.margin * np.maximum(spend, 0.0)[:, None]
    log, error = _measured(evidence, facts)
    factor, belief = np.exp(np.clip(log, -LARGEST, LARGEST)), evidence.belief
    measured = belief.weight * margin * (factor - 1)
    doubt = QUARTILE * belief.weight * margin * factor * error
    told, priced = evidence.cost_terms
    incentive = told * assumed.incentive + priced * (margin / outlook.margin)
    cost = effects.contact_cost + incentive[_MID]
    middle = belief.kept * assumed.gain[_MID] + measured - cost
    net = assumed.gain - incentive
    below, above = (
        np.hypot(belief.left * (end - net[_MID]), doubt)
        for end in (net.min(axis=0), net.max(axis=0))
    )
    value = np.stack([middle - below, middle, middle + above])
    factor = np.broadcast_to(factor, cost.shape)
    return Worth(value, effects, outlook, cost, factor, belief)


def _measured(evidence: Evidence, facts: Floats | None) -> tuple[Floats, Floats]:
    """Give the logarithm of the factor on each customer's spend, and its standard error."""
    if facts is None:
        return evidence.level, evidence.level_error
    terms = np.empty((len(facts), 1, len(evidence.terms)))
    count = facts.shape[1]
    terms[:, 0, 0] = 1.0
    terms[:, 0, 1 : count + 1] = facts
    left, right = evidence.pairs
    terms[:, 0, count + 1 :] = facts[:, left] * facts[:, right]
    # A product a row: BLAS rounds one product of all rows by how many there are.
    log = (terms[:, :, : count + 1] @ evidence.log_terms)[:, 0]
    variance = (terms @ evidence.terms)[:, 0]
    return log, np.sqrt(np.maximum(variance, 0.0))
