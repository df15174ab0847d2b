"""What the purchase history alone says: a BTYD model and Gamma-Gamma, read from the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from training.btyd import FAMILY, FamilyName, GammaGamma, PurchaseModel

Float = NDArray[np.float64]

PENALTY = 0.1
"""Weight of the weak prior on log-parameters: a shop's first year lets a and b run to infinity."""

_BOUNDS = (1e-6, 1 - 1e-6)
_COLUMN = {name: position for position, name in enumerate(catalogue.NAMES)}


def column(matrix: Float, name: str) -> Float:
    """Take one feature out of a matrix by its name."""
    return matrix[:, _COLUMN[name]]


@dataclass(frozen=True)
class Foretold:
    """What the purchase history alone says of customers who have bought, a row each.

    Attributes
    ----------
    churn_probability
        P(no purchase in the horizon), shape (n,).
    spend_if_purchase
        Mean spend in the horizon of those who do buy in it, in currency, shape (n,).
    alive
        P(still a customer today), shape (n,).
    silence
        P(no purchase in longer windows, given none in the horizon), at least 1 if shorter, a column
        a window.
    growth
        Mean purchases by the end of some windows over those of the horizon, given that the customer
        lives, never falling, a column a window.
    """

    churn_probability: Float
    spend_if_purchase: Float
    alive: Float
    silence: Float
    growth: Float


@dataclass(frozen=True)
class Prior:
    """A customer-base model of one day, fitted without any label.

    Attributes
    ----------
    family
        Which model of repeat purchases :attr:`purchases` is.
    mean_order_value
        Stands in where Gamma-Gamma has nobody to learn from, in currency.
    """

    family: FamilyName
    purchases: PurchaseModel
    value: GammaGamma | None
    mean_order_value: float

    @classmethod
    def fit(cls, matrix: Float, family: FamilyName = "bg_nbd") -> Prior:
        """Fit on the customers of one snapshot who have bought.

        Parameters
        ----------
        family
            Alone, MBG/NBD and Pareto/NBD rank CDNOW's customers better than BG/NBD, and Online
            Retail's equally; under trees, which learn the difference, none is better.
        """
        buyers = matrix[column(matrix, "purchases") > 0]
        frequency, recency, age = summary(buyers)
        monetary = column(buyers, "monetary_value")
        repeat = (frequency > 0) & (monetary > 0)
        value = None
        if repeat.sum() >= 10:
            value = GammaGamma.fit(frequency[repeat], monetary[repeat], penalty=PENALTY)
        days = column(buyers, "purchase_days").sum()
        gross = column(buyers, "spend_gross").sum()
        return cls(
            family,
            FAMILY[family].fit(frequency, recency, age, penalty=PENALTY),
            value,
            float(gross / days) if days else 0.0,
        )

    def foretell(
        self,
        matrix: Float,
        horizon_days: float,
        silences_days: Sequence[float] | Float = (),
        growth_days: Sequence[float] | Float = (),
    ) -> Foretold:
        """Say all at once of customers who have bought.

        Parameters
        ----------
        silences_days, growth_days
            Windows of :attr:`Foretold.silence` and :attr:`Foretold.growth`.
        """
        said = self.purchases.foresee(
            *summary(matrix),
            np.append(silences_days, horizon_days),
            np.append(growth_days, horizon_days),
        )
        silent = np.clip(said.silent, *_BOUNDS)
        churn = silent[:, -1]
        count = np.maximum(said.alive * said.purchases[:, -1] / (1 - churn), 1.0)
        given = np.asarray(growth_days, dtype=np.float64)
        growth = said.purchases[:, :-1] / said.purchases[:, -1:]
        growth = np.where(given == horizon_days, 1.0, growth)
        return Foretold(
            churn,
            np.maximum(count * self.purchase_value(matrix), 1e-4),
            said.alive,
            silent[:, :-1] / silent[:, -1:],
            np.maximum.accumulate(growth, axis=1),
        )

    def purchase_value(self, matrix: Float) -> Float:
        """Mean spend of a future purchase day, in currency."""
        frequency, _, _ = summary(matrix)
        first = column(matrix, "order_value_first")
        if self.value is None:
            return np.where(first > 0, (first + self.mean_order_value) / 2, self.mean_order_value)
        return np.maximum(
            self.value.expected_value(frequency, column(matrix, "monetary_value")), 1e-4
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "family": self.family,
            "purchases": self.purchases.to_dict(),
            "value": self.value.to_dict() if self.value else None,
            "mean_order_value": self.mean_order_value,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Prior:
        """Undo :meth:`to_dict`."""
        return cls(
            values["family"],
            FAMILY[values["family"]].from_dict(values["purchases"]),
            GammaGamma.from_dict(values["value"]) if values["value"] else None,
            values["mean_order_value"],
        )


def summary(matrix: Float) -> tuple[Float, Float, Float]:
    """Reduce features to the field's summary: frequency, recency and age (T), in days."""
    tenure = column(matrix, "tenure_days")
    return (
        column(matrix, "purchase_days") - 1,
        tenure - column(matrix, "recency_days"),
        tenure,
    )
