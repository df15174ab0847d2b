"""What the purchase history alone says: a BTYD model and Gamma-Gamma, read from the features."""

from __future__ import annotations

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

    def churn_probability(self, matrix: Float, horizon_days: float) -> Float:
        """P(no purchase in the horizon) of customers who have bought."""
        probability: Float = self.purchases.probability_of_no_purchase(
            *summary(matrix), horizon_days
        )
        return np.clip(probability, *_BOUNDS)

    def silence(self, matrix: Float, horizon_days: float, longer_days: Float) -> Float:
        """P(no purchase in longer windows, given none in the horizon), at least 1 if shorter.

        Returns
        -------
        array
            A row a customer, a column a window.
        """
        windows = np.append(longer_days, horizon_days)
        silent = np.clip(self.purchases.silence(*summary(matrix), windows), *_BOUNDS)
        ratio: Float = silent[:, :-1] / silent[:, -1:]
        return ratio

    def expected_purchases(self, matrix: Float, horizon_days: float) -> Float:
        """Mean purchase days in the horizon."""
        return self.purchases.expected_purchases(*summary(matrix), horizon_days)

    def purchase_value(self, matrix: Float) -> Float:
        """Mean spend of a future purchase day, in currency."""
        frequency, _, _ = summary(matrix)
        first = column(matrix, "order_value_first")
        if self.value is None:
            return np.where(first > 0, (first + self.mean_order_value) / 2, self.mean_order_value)
        return np.maximum(
            self.value.expected_value(frequency, column(matrix, "monetary_value")), 1e-4
        )

    def spend_if_purchase(self, matrix: Float, horizon_days: float) -> Float:
        """Mean spend in the horizon of those who do buy in it, in currency."""
        chance = 1 - self.churn_probability(matrix, horizon_days)
        count = np.maximum(self.expected_purchases(matrix, horizon_days) / chance, 1.0)
        return np.maximum(count * self.purchase_value(matrix), 1e-4)

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
