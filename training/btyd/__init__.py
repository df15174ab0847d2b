"""Buy-till-you-die models: how often a customer will buy, until when, and for how much.

They need three facts and a mean per customer and no feature at all, which makes them the baseline
that every learned model has to beat, and a prior for customers with little history.

The columns, here and in the literature (x, t_x, T, z-bar):

frequency
    Repeat purchases: distinct days with a purchase, the first not counted. Whole number, >= 0.
recency_days
    Days from the first to the last purchase day (0 when frequency is 0).
age_days
    Days from the first purchase day to the end of observation, >= recency_days.
monetary_value
    Mean spend of a *repeat* purchase day (the first day's spend not counted); NaN if there is none.

How often and until when is said by a :class:`~training.btyd.purchases.PurchaseModel`, of which
:data:`FAMILY` names three; for how much, by :class:`~training.btyd.gamma_gamma.GammaGamma`.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from training.btyd.beta_geometric import BetaGeometric, ModifiedBetaGeometric
from training.btyd.gamma_gamma import GammaGamma
from training.btyd.pareto import ParetoNBD
from training.btyd.purchases import PurchaseModel

FamilyName: TypeAlias = Literal["bg_nbd", "mbg_nbd", "pareto_nbd"]

FAMILY: Mapping[FamilyName, type[PurchaseModel]] = {
    "bg_nbd": BetaGeometric,
    "mbg_nbd": ModifiedBetaGeometric,
    "pareto_nbd": ParetoNBD,
}
"""The models of repeat purchases by the names under which they are stored."""

__all__ = [
    "FAMILY",
    "BetaGeometric",
    "FamilyName",
    "GammaGamma",
    "ModifiedBetaGeometric",
    "ParetoNBD",
    "PurchaseModel",
]
