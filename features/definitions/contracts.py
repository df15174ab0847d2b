"""What terms a customer had signed."""

from __future__ import annotations

import narwhals as nw

from features.definitions.expressions import (
    Frame,
    commonest,
    count_where,
    known_by,
    stated_sum,
    whole,
)

_TERM = ("customer_id", "contract_id", "starts_at")


def contract_facts(contracts: Frame, as_of_day: int) -> Frame:
    """Count what was known of a customer's terms by the end of a day.

    Of the versions of a term, the one that arrived last by then counts; a renewal, a cancellation
    or an end counts from its own day on.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, Int64 counts, days and fees, and the String ``contract_plan``.
    """
    known = known_by(contracts, as_of_day)
    newest = known.group_by(*_TERM).agg(nw.col("arrived_at").max().alias("_newest"))
    terms = (
        known.join(newest, on=list(_TERM), how="inner")
        .filter(nw.col("arrived_at") == nw.col("_newest"))
        .select(
            "customer_id", "event_day", "ends_day", "renewed_day", "cancelled_day", "fee_e4", "plan"
        )
    )
    cancelled = (nw.col("cancelled_day") <= as_of_day).fill_null(value=False)
    ended = (nw.col("ends_day") < as_of_day).fill_null(value=False)
    active = ~cancelled & ~ended
    # A cancelled term runs out at its end; without one it ends with the cancellation.
    over_day = nw.coalesce(
        nw.col("ends_day"), nw.when(cancelled).then(nw.col("cancelled_day")).cast(nw.Int32)
    )
    runs = (over_day >= as_of_day).fill_null(value=True)
    open_ended = (active & nw.col("ends_day").is_null()).fill_null(value=False)
    sums = terms.group_by("customer_id").agg(
        nw.len().alias("contracts"),
        nw.col("event_day").min().alias("first_contract_day"),
        count_where(active).alias("contracts_active"),
        *stated_sum(active, "fee_e4", "fee_active"),
        nw.when(active).then(nw.col("ends_day")).min().alias("next_end_day"),
        nw.when(active).then(nw.col("ends_day")).max().alias("secured_day"),
        count_where(open_ended).alias("contracts_open_ended"),
        count_where(runs).alias("contracts_running"),
        over_day.max().alias("last_over_day"),
        count_where((nw.col("renewed_day") <= as_of_day).fill_null(value=False)).alias(
            "contract_renewals"
        ),
        count_where(cancelled).alias("contract_cancellations"),
        nw.when(cancelled).then(nw.col("cancelled_day")).max().alias("last_cancellation_day"),
    )
    lengths = (
        terms.join(
            terms.group_by("customer_id").agg(nw.col("event_day").max().alias("_last")),
            on="customer_id",
            how="inner",
        )
        .filter(nw.col("event_day") == nw.col("_last"))
        .group_by("customer_id")
        .agg((nw.col("ends_day") - nw.col("event_day")).max().alias("contract_term_days"))
    )
    sums = sums.join(lengths, on="customer_id", how="left")
    plans = terms.filter(~nw.col("plan").is_null()).select("customer_id", "plan", "event_day")
    return whole(sums).join(
        commonest(plans, "plan", "event_day", "contract_plan"), on="customer_id", how="left"
    )
