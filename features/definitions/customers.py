"""Who a customer is, as far as that was known on a day."""

from __future__ import annotations

from collections.abc import Collection

import narwhals as nw

from features.definitions.expressions import Frame, customers_of, whole

ATTRIBUTES = ("acquisition_channel", "region", "age_group", "acquisition_cost_e4")


def customer_facts(customers: Frame, as_of_day: int, static: Collection[str]) -> Frame:
    """Describe each customer as of the end of a day.

    A row with ``valid_from`` speaks from that day until the next one does. An attribute of a row
    without it is today's: it counts only where the settings declare it static, and then on every
    day on which the customer is known. A registration and a referral stay true once a row has
    said them; a referral's day is that of the registration, else that of its row.

    Parameters
    ----------
    static
        Names of attributes that never change.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, the attributes (String; the cost Int64), and Int64 days and counts; the
        consent is 0 or 1. Rows that say nothing yet are there with nulls; ``first_profile_day`` is
        then null.
    """
    known = spoken_by(customers, as_of_day)
    dated = known.filter(~nw.col("valid_from").is_null())
    newest = dated.group_by("customer_id").agg(nw.col("valid_from").max().alias("_newest"))
    now = (
        dated.join(newest, on="customer_id", how="inner")
        .filter(nw.col("valid_from") == nw.col("_newest"))
        .select("customer_id", *(nw.col(name).alias(f"{name}_dated") for name in ATTRIBUTES))
    )
    undated = known.filter(nw.col("valid_from").is_null()).select(
        "customer_id", *(nw.col(name).alias(f"{name}_static") for name in ATTRIBUTES)
    )
    said = known.filter(~nw.col("event_day").is_null())
    facts = (
        customers_of(known, said.select(nw.col("referred_by").alias("customer_id")))
        .filter(~nw.col("customer_id").is_null())
        .join(now, on="customer_id", how="left")
        .join(undated, on="customer_id", how="left")
        .join(_registrations(said), on="customer_id", how="left")
        .join(_referrals(said), on="customer_id", how="left")
        .join(_consents(known), on="customer_id", how="left")
    )
    return facts.select(
        "customer_id",
        "registered_day",
        "was_referred",
        "first_profile_day",
        "referred_customers",
        "last_referral_day",
        "marketing_consent",
        *(_attribute(name, static) for name in ATTRIBUTES),
    )


def spoken_by(customers: Frame, as_of_day: int) -> Frame:
    """Keep the rows known by the end of a day, and of them no registration that came later.

    A row without any date says nothing of when; what is static in it was always so.
    """
    known = customers.filter(nw.col("known_day").is_null() | (nw.col("known_day") <= as_of_day))
    registered = nw.when(nw.col("registered_day") <= as_of_day).then(nw.col("registered_day"))
    return known.with_columns(registered.alias("registered_day"))


def _attribute(name: str, static: Collection[str]) -> nw.Expr:
    if name.removesuffix("_e4") in static:
        return nw.coalesce(f"{name}_dated", f"{name}_static").alias(name)
    return nw.col(f"{name}_dated").alias(name)


def _consents(known: Frame) -> Frame:
    """Find each customer's newest word on marketing: 1 allowed, 0 refused.

    A row without ``valid_from`` speaks of today, and where no dated row has said anything. Of two
    words of one moment the refusal counts.
    """
    allowed = nw.when(nw.col("marketing_consent")).then(nw.lit(1)).otherwise(nw.lit(0))
    said = known.filter(~nw.col("marketing_consent").is_null()).select(
        "customer_id", "valid_from", allowed.alias("_allowed")
    )
    dated = said.filter(~nw.col("valid_from").is_null())
    newest = dated.group_by("customer_id").agg(nw.col("valid_from").max().alias("_newest"))
    then = (
        dated.join(newest, on="customer_id", how="inner")
        .filter(nw.col("valid_from") == nw.col("_newest"))
        .group_by("customer_id")
        .agg(nw.col("_allowed").min().alias("_dated"))
    )
    today = (
        said.filter(nw.col("valid_from").is_null())
        .group_by("customer_id")
        .agg(nw.col("_allowed").min().alias("_today"))
    )
    return whole(
        customers_of(said)
        .join(then, on="customer_id", how="left")
        .join(today, on="customer_id", how="left")
        .select("customer_id", nw.coalesce("_dated", "_today").alias("marketing_consent"))
    )


def _registrations(said: Frame) -> Frame:
    referred = nw.when(~nw.col("referred_by").is_null()).then(nw.lit(1)).otherwise(nw.lit(0))
    first = nw.min_horizontal("event_day", "registered_day")
    return whole(
        said.with_columns(referred.alias("_referred"), first.alias("_first"))
        .group_by("customer_id")
        .agg(
            nw.col("registered_day").min(),
            nw.col("_first").min().alias("first_profile_day"),
            nw.col("_referred").max().alias("was_referred"),
        )
    )


def _referrals(said: Frame) -> Frame:
    day = nw.coalesce("registered_day", "event_day")
    brought = (
        said.filter(~nw.col("referred_by").is_null())
        .with_columns(day.alias("_day"))
        .group_by(nw.col("referred_by").alias("_by"), "customer_id")
        .agg(nw.col("_day").min())
    )
    return whole(
        brought.group_by("_by")
        .agg(
            nw.len().alias("referred_customers"),
            nw.col("_day").max().alias("last_referral_day"),
        )
        .select(nw.col("_by").alias("customer_id"), "referred_customers", "last_referral_day")
    )
