"""What the customers whom somebody brought have spent: theirs, and never added to the own."""

from __future__ import annotations

import narwhals as nw

from features.definitions.customers import spoken_by
from features.definitions.expressions import Frame, known_by, whole
from features.definitions.orders import margins

REFERRED_LINES = ("customer_id", "event_day", "known_day", "amount_e4", "cost_e4")
"""Columns of order lines that are read."""


def referral_facts(customers: Frame, lines: Frame, as_of_day: int) -> Frame:
    """Sum, for who referred somebody, what these customers' lines leave by the end of a day.

    A referral counts from the day on which a row says it; of who it brought, all lines do.

    Parameters
    ----------
    lines
        At least all lines of the customers who were referred.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, ``referred_uncosted_e4`` and ``referred_margin_e4`` (Int64).
    """
    said = spoken_by(customers, as_of_day).filter(
        ~nw.col("event_day").is_null(), ~nw.col("referred_by").is_null()
    )
    pairs = said.select("customer_id", "referred_by").unique(["customer_id", "referred_by"])
    those = lines.join(pairs.select("customer_id").unique("customer_id"), "customer_id", how="semi")
    spent = whole(known_by(those, as_of_day).group_by("customer_id").agg(*margins()))
    sums = (
        pairs.join(spent, on="customer_id", how="inner")
        .select(nw.col("referred_by").alias("customer_id"), "uncosted_e4", "margin_e4")
        .group_by("customer_id")
        .agg(
            nw.col("uncosted_e4").sum().alias("referred_uncosted_e4"),
            nw.col("margin_e4").sum().alias("referred_margin_e4"),
        )
    )
    return whole(sums)
