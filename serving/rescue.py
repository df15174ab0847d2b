"""Whether a customer on the way out is worth a rescue, and the most that one may cost.

What is asked is what the best action that the playbook has for the customer's stage would bring,
whatever stands in its way today (consent, a cooldown, an open complaint): that is for the choice of
an action (:mod:`serving.actions`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.actions import Choices
from serving.worth import LEVELS
from training.stages import STAGES

Floats = NDArray[np.float64]

VERDICTS = ("worth_it", "let_go", "no_rescue")
AT_RISK = ("declining", "churned")
"""Stages in which there is somebody to rescue."""
NUMBERS = ("rescue_cost", "break_even_cost", "break_even_cost_low", "break_even_cost_high")
_AT_RISK = np.array([stage in AT_RISK for stage in STAGES])
_MID = LEVELS.index("mid")


@dataclass(frozen=True)
class Rescue:
    """Verdicts on the customers of a few stages; of all others nothing is said.

    Attributes
    ----------
    verdict : int8 array
        Index into :data:`VERDICTS`: the best rescue brings more than it costs, or not, or the
        playbook has none for the customer; below 0 where nobody is to be rescued, or the
        predictions are unknown.
    action : int16 array
        The best rescue, an index into :attr:`serving.actions.Choices.keys`; below 0 where none.
    cost : float64 array
        What it costs, contact and expected incentive; NaN where none.
    break_even : three float64 arrays
        What it brings before its costs, so the most that one may spend on contacting this customer
        and giving to them: by the likely, the lowest and the highest value of its effects.
    """

    verdict: NDArray[np.int8]
    action: NDArray[np.int16]
    cost: Floats
    break_even: tuple[Floats, Floats, Floats]

    def numbers(self) -> dict[str, Floats]:
        """Name every number, as :data:`NUMBERS` does."""
        return dict(zip(NUMBERS, (self.cost, *self.break_even), strict=True))


def judge_rescue(stage: NDArray[np.int8], choices: Choices) -> Rescue:
    """Judge the best rescue of each customer at risk, by the effects in force.

    >>> from serving.actions import Menu, choose
    >>> from serving.playbook import load_playbook
    >>> stage = np.array([STAGES.index(name) for name in ("declining", "declining", "loyal")])
    >>> choices = choose(Menu.of(load_playbook()), stage, [0.7] * 3, [100.0, 0.5, 100.0], [0.0] * 3,
    ...     margin=0.3, consent=[0] * 3, consent_unknown="refuse", available_data=frozenset())
    >>> found = judge_rescue(stage, choices)
    >>> [VERDICTS[code] if code >= 0 else None for code in found.verdict]
    ['worth_it', 'let_go', None]
    >>> (found.break_even[0] > found.cost).tolist()
    [True, False, False]
    """
    at_risk = _AT_RISK[stage]
    if not at_risk.any():
        return _nobody(len(stage))
    rows = np.arange(len(stage))
    worth = np.where(choices.eligible, choices.worth[_MID], -np.inf)
    best = worth.argmax(axis=1)
    value = worth[rows, best]
    # Unknown predictions give NaN, an empty menu -inf.
    none = np.isneginf(value)
    found = at_risk & np.isfinite(value)
    verdict = (~choices.valued.pays[rows, best]).astype(np.int8)
    cost = np.where(found, choices.cost[rows, best], np.nan)
    low, mid, high = choices.worth[:, rows, best] + cost
    return Rescue(
        np.where(at_risk & ~np.isnan(value), np.where(none, np.int8(2), verdict), np.int8(-1)),
        np.where(found, best + 1, -1).astype(np.int16),
        cost,
        # Where a sale loses money, the stronger effect is the lower gain.
        (mid, np.minimum(low, high), np.maximum(low, high)),
    )


def _nobody(rows: int) -> Rescue:
    unknown = np.full(rows, np.nan)
    none = np.full(rows, -1, np.int16)
    return Rescue(none.astype(np.int8), none, unknown, (unknown, unknown, unknown))
