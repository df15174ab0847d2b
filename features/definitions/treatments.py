"""What was assigned to a customer, and whether a purchase followed."""

from __future__ import annotations

import narwhals as nw

from features.catalogue import ACTIONS_LISTED, ANSWER_DAYS, YEAR
from features.definitions.expressions import (
    Frame,
    after,
    commonest,
    count_where,
    foremost,
    known_by,
    stated_sum,
    sum_where,
    whole,
)
from features.definitions.orders import purchases


def treatment_facts(treatments: Frame, lines: Frame | None, as_of_day: int) -> Frame:
    """Count what was known of a customer's treatments by the end of a day.

    A row of the control arm is a treatment withheld: it is counted as that and nothing else.

    Parameters
    ----------
    lines
        Order lines, in which the responses are looked up.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, Int64 counts and costs, and the String ``treatment_last``.
    """
    known = known_by(treatments, as_of_day)
    treated = known.filter(nw.col("arm") == "treated")
    given = nw.col("arm") == "treated"
    sums = known.group_by("customer_id").agg(
        nw.col("event_day").min().alias("first_treatment_day"),
        count_where(given).alias("treatments"),
        count_where(given & after(as_of_day, 90)).alias("treatments_90d"),
        count_where(~given).alias("treatments_withheld"),
        nw.when(given).then(nw.col("event_day")).max().alias("last_treatment_day"),
        *stated_sum(given & after(as_of_day, YEAR), "cost_e4", "cost_365d"),
        *stated_sum(given, "cost_e4", "cost_treated"),
    )
    last = commonest(
        treated.select("customer_id", "action", "event_day"),
        "action",
        "event_day",
        "treatment_last",
    )
    joined = whole(sums).join(last, on="customer_id", how="left")
    joined = joined.join(_recent(treated, as_of_day), on="customer_id", how="left")
    if lines is None:
        return joined.with_columns(
            nw.lit(None, nw.Int64).alias("ripe_treatments"),
            nw.lit(None, nw.Int64).alias("answered_treatments"),
        )
    return joined.join(_responses(treated, lines, as_of_day), on="customer_id", how="left")


def _recent(treated: Frame, as_of_day: int) -> Frame:
    """List the actions that were done last, each with the days since."""
    actions = treated.group_by("customer_id", "action").agg(nw.col("event_day").max())
    ago = (as_of_day - nw.col("event_day")).cast(nw.Int64).cast(nw.String)
    told = actions.with_columns(
        nw.concat_str([nw.col("action"), ago], separator=":").alias("_told")
    )
    # Placed by the action's name: with the days behind it another order may come out.
    return foremost(told, "action", "event_day", ACTIONS_LISTED, "_told")


def _responses(treated: Frame, lines: Frame, as_of_day: int) -> Frame:
    ripe = (
        treated.filter(nw.col("event_day") <= as_of_day - ANSWER_DAYS)
        .group_by("customer_id", nw.col("event_day").alias("treated_day"))
        .agg(nw.len().alias("treated"))
    )
    those = lines.join(ripe.select("customer_id").unique("customer_id"), "customer_id", how="semi")
    bought = (
        purchases(known_by(those, as_of_day))
        .select("customer_id", "event_day")
        .unique(["customer_id", "event_day"])
    )
    answered = (
        ripe.join(bought, on="customer_id", how="inner")
        .filter(
            nw.col("event_day") > nw.col("treated_day"),
            nw.col("event_day") <= nw.col("treated_day") + ANSWER_DAYS,
        )
        .select("customer_id", "treated_day")
        .unique(["customer_id", "treated_day"])
        .with_columns(nw.lit(1).alias("_answered"))
    )
    return whole(
        ripe.join(answered, on=["customer_id", "treated_day"], how="left")
        .group_by("customer_id")
        .agg(
            nw.col("treated").sum().alias("ripe_treatments"),
            sum_where(~nw.col("_answered").is_null(), "treated").alias("answered_treatments"),
        )
    )
