"""What a customer did and said besides buying."""

from __future__ import annotations

import narwhals as nw

from features.catalogue import YEAR
from features.definitions.expressions import (
    Frame,
    after,
    commonest,
    count_where,
    known_by,
    stated_sum,
    sum_where,
    whole,
)
from features.ingest.contract import KINDS

INTENT = ("compare", "cart", "trial", "inquiry")
"""Kinds that show a prospect to be considering."""


def interaction_facts(interactions: Frame, as_of_day: int) -> Frame:
    """Count and sum what was known of a customer's interactions by the end of a day.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, Int64 counts and sums (values in ten-thousandths), and the Strings
        ``interaction_channel_favourite`` and ``complaint_topic``.
    """
    known = known_by(interactions, as_of_day)
    return (
        _counts(known, as_of_day)
        .join(_last_survey(known), on="customer_id", how="left")
        .join(_favourite_channel(known), on="customer_id", how="left")
        .join(_last_complaint(known), on="customer_id", how="left")
    )


def _is(*kinds: str) -> nw.Expr:
    return nw.col("kind").is_in(list(kinds))


def _day_where(condition: nw.Expr) -> nw.Expr:
    return nw.when(condition).then(nw.col("event_day"))


def _counts(known: Frame, as_of_day: int) -> Frame:
    def last(days: int) -> nw.Expr:
        return after(as_of_day, days)

    def value(name: str, *kinds: str) -> nw.Expr:
        return nw.when(_is(*kinds)).then(nw.col("value_e4")).alias(name)

    flagged = known.with_columns(
        value("_survey_e4", "survey"),
        value("_review_e4", "review"),
        _day_where(last(90)).alias("_active_day"),
    )
    sums = flagged.group_by("customer_id").agg(
        nw.len().alias("interactions"),
        nw.col("event_day").min().alias("first_interaction_day"),
        nw.col("event_day").max().alias("last_interaction_day"),
        *(count_where(last(n)).alias(f"interactions_{n}d") for n in (7, 30, 60, YEAR)),
        *(count_where(_is(kind) & last(90)).alias(f"{kind}_90d") for kind in KINDS),
        count_where(_is(*INTENT) & last(90)).alias("intent_90d"),
        _day_where(_is(*INTENT)).max().alias("last_intent_day"),
        *stated_sum(~nw.col("kind").is_null(), "cost_e4", "cost"),
        *stated_sum(_is("visit") & last(90), "value_e4", "visit_90d"),
        *stated_sum(_is("usage") & last(90), "value_e4", "usage_90d"),
        *stated_sum(_is("usage") & last(60), "value_e4", "usage_60d"),
        sum_where(_is("usage") & last(30), "value_e4").alias("usage_e4_30d"),
        *(
            count_where(_is(kind) & last(YEAR)).alias(f"{kind}_{YEAR}d")
            for kind in ("email_open", "email_click", "cart", "payment")
        ),
        nw.col("_survey_e4").sum().alias("survey_e4"),
        nw.col("_survey_e4").count().alias("surveys"),
        nw.col("_review_e4").sum().alias("review_e4"),
        nw.col("_review_e4").count().alias("reviews"),
        count_where(_is("support_ticket") & last(YEAR)).alias("support_tickets_365d"),
        count_where(_is("complaint")).alias("complaints"),
        count_where(_is("complaint") & last(YEAR)).alias("complaints_365d"),
        count_where(_is("complaint_resolved")).alias("complaints_resolved"),
        _day_where(_is("complaint")).max().alias("last_complaint_day"),
    )
    days = (
        flagged.filter(~nw.col("_active_day").is_null())
        .select("customer_id", "_active_day")
        .unique(["customer_id", "_active_day"])
        .group_by("customer_id")
        .agg(nw.len().alias("active_days_90d"))
    )
    return whole(sums.join(days, on="customer_id", how="left"))


def _last_survey(known: Frame) -> Frame:
    surveys = known.filter(_is("survey"), ~nw.col("value_e4").is_null())
    last = surveys.group_by("customer_id").agg(nw.col("event_day").max().alias("_last"))
    return whole(
        surveys.join(last, on="customer_id", how="inner")
        .filter(nw.col("event_day") == nw.col("_last"))
        .group_by("customer_id")
        .agg(
            nw.col("value_e4").sum().alias("last_survey_e4"),
            nw.len().alias("last_surveys"),
        )
    )


def _favourite_channel(known: Frame) -> Frame:
    used = (
        known.filter(~nw.col("channel").is_null())
        .group_by("customer_id", "channel")
        .agg(nw.len().alias("times"))
    )
    return commonest(used, "channel", "times", "interaction_channel_favourite")


def _last_complaint(known: Frame) -> Frame:
    complaints = known.filter(_is("complaint"), ~nw.col("topic").is_null())
    return commonest(
        complaints.select("customer_id", "topic", "event_day"),
        "topic",
        "event_day",
        "complaint_topic",
    )
