"""Training days: the features of a day, the prior of that day, and what then happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features import catalogue
from features.store import matrix_of
from training.labels import labels
from training.prior import Prior, column

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

NOT_LEARNED = ("as_of_day",)
"""The calendar day tells a training day apart from another and nothing about a customer."""

TREE_FEATURES: tuple[str, ...] = tuple(n for n in catalogue.NAMES if n not in NOT_LEARNED)
_TREE_COLUMNS = [catalogue.NAMES.index(name) for name in TREE_FEATURES]


def tree_matrix(matrix: Float) -> Float:
    """Keep the columns that the trees learn from, in the order of :data:`TREE_FEATURES`."""
    return np.ascontiguousarray(matrix[:, _TREE_COLUMNS])


@dataclass(frozen=True)
class LabelledDay:
    """Customers who had bought by a day, and their outcomes in the horizon after it.

    Attributes
    ----------
    matrix
        Features in the catalogue's order, shape (n, features).
    prior
        Fitted on this day's features alone.
    prior_churn, prior_spend
        The prior's churn probability and mean spend given a purchase, shape (n,).
    purchased, net_spend
        Outcomes, shape (n,); spend in currency.
    """

    as_of: date
    matrix: Float
    prior: Prior
    prior_churn: Float
    prior_spend: Float
    purchased: Bool
    net_spend: Float

    @property
    def churned(self) -> Bool:
        """No purchase in the horizon."""
        return ~self.purchased

    def take(self, rows: NDArray[np.int64]) -> LabelledDay:
        """Keep some customers."""
        return LabelledDay(
            self.as_of,
            self.matrix[rows],
            self.prior,
            self.prior_churn[rows],
            self.prior_spend[rows],
            self.purchased[rows],
            self.net_spend[rows],
        )


@dataclass(frozen=True)
class NeverBought:
    """Customers known without a purchase, over all training days, and how many converted."""

    seen: int = 0
    converted: int = 0
    spend: float = 0.0

    def conversion(self) -> float:
        """Chance that such a customer buys within the horizon (Jeffreys' estimate).

        >>> round(NeverBought(9, 1).conversion(), 2)
        0.15
        """
        return (self.converted + 0.5) / (self.seen + 1.0)


def label_days(
    table: pa.Table,
    orders: Path,
    days: Sequence[date],
    horizon_days: int,
    known_by: date,
) -> tuple[list[LabelledDay], NeverBought]:
    """Join a retrieved training set with its outcomes and fit each day's prior.

    Parameters
    ----------
    table
        From :meth:`features.store.FeatureStore.historical`: ``customer_id``,
        ``event_timestamp``, features.
    orders
        The ledger's Parquet file.
    known_by
        The day of the training: what arrived later is not seen.
    """
    frame = pl.DataFrame(pl.from_arrow(table))
    stamps = frame["event_timestamp"].dt.date()
    labelled = []
    never = NeverBought()
    for day in days:
        rows = frame.filter(stamps == day)
        joined = rows.select("customer_id").join(
            labels(orders, day, horizon_days, known_by),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
        purchased = joined["purchased"].fill_null(value=False).to_numpy()
        net_spend = joined["net_spend"].fill_null(0.0).to_numpy()
        matrix = matrix_of(rows.to_arrow())
        buyers = column(matrix, "purchases") > 0
        prospects = ~buyers & purchased
        never = NeverBought(
            never.seen + int((~buyers).sum()),
            never.converted + int(prospects.sum()),
            never.spend + float(net_spend[prospects].sum()),
        )
        if not buyers.any():
            continue
        matrix = matrix[buyers]
        prior = Prior.fit(matrix)
        labelled.append(
            LabelledDay(
                day,
                matrix,
                prior,
                prior.churn_probability(matrix, horizon_days),
                prior.spend_if_purchase(matrix, horizon_days),
                purchased[buyers],
                net_spend[buyers],
            )
        )
    return labelled, never
