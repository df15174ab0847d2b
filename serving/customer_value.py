"""What a customer is to the company, as answers and scores tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.rescue import VERDICTS, Rescue
from training.bundle import Predictions
from training.profit import MISSING, Profit
from training.tiers import TIERS

Float = NDArray[np.float64]
Labels = tuple[Sequence[str], NDArray[Any]]


def value_at_risk(predictions: Predictions) -> Float:
    """Value over twelve months times the chance of leaving; NaN for prospects.

    Little of it is with those who are as good as gone: their value is small already.
    """
    at_stake = predictions.churn_probability * np.maximum(predictions.clv_12m, 0.0)
    return np.where(predictions.prospect, np.nan, at_stake)


@dataclass(frozen=True)
class CustomerValue:
    """What customers are to the company, a row each.

    Attributes
    ----------
    tier
        Index into :data:`training.tiers.TIERS`, below 0 for who never bought.
    at_risk
        From :func:`value_at_risk`.
    """

    profit: Profit
    tier: NDArray[np.int8]
    at_risk: Float
    rescue: Rescue

    def numbers(self) -> dict[str, Float]:
        """Name the numbers that are told; NaN where there is none to tell."""
        return {
            **self.profit.numbers(),
            "value_at_risk": self.at_risk,
            **self.rescue.numbers(),
        }

    def labelled(self, actions: Sequence[str]) -> Mapping[str, Labels]:
        """Name the labels that are told, and each customer's code; below 0 is none."""
        return {
            "value_tier": (TIERS, self.tier),
            "rescue": (VERDICTS, self.rescue.verdict),
            "rescue_action": (actions, self.rescue.action),
        }

    def answers(self, actions: Sequence[str]) -> dict[str, list[Any]]:
        """Spell everything out, a list a column."""
        numbers = {
            name: [None if value != value else value for value in values.tolist()]  # noqa: PLR0124
            for name, values in self.numbers().items()
        }
        labels = {
            name: [spelt[code] if code >= 0 else None for code in codes.tolist()]
            for name, (spelt, codes) in self.labelled(actions).items()
        }
        missing = [MISSING[code] for code in self.profit.missing.tolist()]
        return {**numbers, **labels, "profit_missing": missing}
