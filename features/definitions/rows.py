"""One row a customer: the sums of every table brought together and turned into the features.

The sums are whole numbers from an engine. What follows is row by row, on Arrow: there a division is
rounded as IEEE 754 says, where Polars multiplies by a reciprocal if a batch holds one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import narwhals as nw

from features.catalogue import FEATURES, SEASON_DAYS, WINDOW_DAYS, YEAR
from features.days import day_number, day_of
from features.definitions.expressions import UNIT_E4, as_float, money, ratio, spread, where
from features.definitions.orders import LOG_PARTS, NLOGN_PARTS, ROUGH_LOG_PARTS
from features.ingest.contract import KINDS, Table

Rows = nw.DataFrame[Any]

FIRST_DAYS: Mapping[Table, str] = {
    "orders": "first_line_day",
    "interactions": "first_interaction_day",
    "treatments": "first_treatment_day",
    "contracts": "first_contract_day",
    "customers": "first_profile_day",
}
"""The column of each table's sums that says since when a customer is known from it."""


@dataclass(frozen=True)
class Rules:
    """What the settings add to the definitions; part of every snapshot's key.

    Attributes
    ----------
    static, sensitive
        Attributes of customers that never change, and that are never features.
    seasons
        Name of a season to its day: ``MM-DD`` each year, or ``YYYY-MM-DD`` once.
    objection
        Column of customers that says who objected to profiling; see :mod:`features.objections`.
    """

    static: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    seasons: Mapping[str, str] = field(default_factory=dict)
    objection: str | None = None


def said_by(attribute: str) -> tuple[str, ...]:
    """Name the features that a column of customers says.

    >>> said_by("region"), said_by("registered_at")
    (('region',), ('registered_days', 'registered_to_first_purchase_days'))
    """
    return _SAID_BY.get(attribute, (attribute,))


_SAID_BY = {
    "registered_at": ("registered_days", "registered_to_first_purchase_days"),
    "referred_by": (
        "was_referred",
        "referred_customers",
        "days_since_referral",
        "referred_spend_without_cost",
        "referred_margin_recorded",
    ),
}


def next_season(seasons: Mapping[str, str], as_of_day: int) -> tuple[int, str] | None:
    """Find the next season after a day: how many days ahead, and its name.

    >>> next_season({"christmas": "12-25", "carnival": "2024-02-12"}, day_number(date(2024, 2, 1)))
    (11, 'carnival')
    >>> next_season({"christmas": "12-25"}, day_number(date(2023, 12, 25)))
    (366, 'christmas')
    """
    year = day_of(as_of_day).year
    days = [
        (day_number(date.fromisoformat(text)) - as_of_day, name)
        for name, when in sorted(seasons.items())
        for text in ([when] if len(when) > 5 else [f"{year}-{when}", f"{year + 1}-{when}"])
        if len(when) > 5 or _exists(text)
    ]
    return min((found for found in days if found[0] > 0), default=None)


def _exists(day: str) -> bool:
    """Whether a year has the day: the 29th of February is not in each."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def finish(sums: Rows, as_of_day: int, tables: frozenset[Table], rules: Rules) -> Rows:
    """Turn whole numbers into the features, row by row.

    Parameters
    ----------
    sums
        A row for each customer, with the columns of the tables that there are.
    tables
        Those tables: features of the others are null.
    rules
        What sensitive attributes say is null too.

    Returns
    -------
    narwhals.DataFrame
        ``customer_id`` and the columns of :data:`features.catalogue.FEATURES`.
    """
    known = nw.min_horizontal(*(FIRST_DAYS[table] for table in sorted(tables)))
    frame = sums.with_columns(nw.lit(as_of_day).alias("as_of_day"), known.alias("_first_known_day"))
    frame = frame.with_columns((as_of_day - nw.col("_first_known_day")).alias("known_days"))
    for table, finishing in _FINISHING.items():
        if table in tables:
            frame = finishing(frame, as_of_day)
    ahead = next_season(rules.seasons, as_of_day)
    if ahead is not None:
        days, season = ahead
        frame = frame.with_columns(
            nw.lit(days).alias("season_days"), nw.lit(season).alias("season")
        )
    dtypes: dict[str, Any] = {"count": nw.Int64, "measure": nw.Float64, "category": nw.String}
    made = set(frame.columns).difference(*(said_by(name) for name in rules.sensitive))
    return frame.select(
        "customer_id",
        *(
            (nw.col(f.name) if f.name in made else nw.lit(None)).cast(dtypes[f.kind]).alias(f.name)
            for f in FEATURES
        ),
    )


_ZERO_WITHOUT_ORDERS = (
    "purchases",
    "purchase_days",
    "net_e4",
    "uncosted_e4",
    "margin_e4",
    "gross_e4",
    "returns",
    "returned_e4",
    *(f"purchases_{n}d" for n in WINDOW_DAYS),
    *(f"net_e4_{n}d" for n in WINDOW_DAYS),
    *(f"{name}_{n}d" for name in ("returns", "returned_e4") for n in (90, YEAR)),
    f"gross_e4_{YEAR}d",
    *(f"{name}_next_{n}d_last_year" for name in ("purchases", "net_e4") for n in SEASON_DAYS),
    "purchases_90d_last_year",
)


def _finish_orders(sums: Rows, as_of_day: int) -> Rows:
    frame = sums.with_columns(nw.col(*_ZERO_WITHOUT_ORDERS).fill_null(0).cast(nw.Int64))
    for part in (_history, _windows, _rhythm, _mix, _labels, _returns, _season):
        frame = part(frame, as_of_day)
    return frame


def _history(frame: Rows, as_of_day: int) -> Rows:
    return frame.with_columns(
        (as_of_day - nw.col("last_day")).alias("recency_days"),
        (as_of_day - nw.col("first_day")).alias("tenure_days"),
        money("net_e4").alias("spend_net"),
        money("gross_e4").alias("spend_gross"),
        money("uncosted_e4").alias("spend_without_cost"),
        money("margin_e4").alias("margin_recorded"),
        ratio(
            as_float(nw.col("gross_e4") - nw.col("first_e4")), nw.col("purchase_days") - 1, UNIT_E4
        ).alias("monetary_value"),
        ratio(as_float(nw.col("gross_e4")), nw.col("purchases"), UNIT_E4).alias("order_value_mean"),
        (ratio(nw.col("log_values"), nw.col("purchases"), LOG_PARTS).exp() / UNIT_E4).alias(
            "order_value_geometric_mean"
        ),
        money("max_e4").alias("order_value_max"),
        money("first_e4").alias("order_value_first"),
        money("last_e4").alias("order_value_last"),
    )


def _change(column: str, days: int) -> nw.Expr:
    """The last days less as many before them."""
    return 2 * nw.col(f"{column}_{days}d") - nw.col(f"{column}_{2 * days}d")


def _acceleration(column: str) -> nw.Expr:
    """The change over 30 days less the change over the 30 before: W30 - 2 (W60 - W30) + ..."""
    w30, w60, w90 = (nw.col(f"{column}_{n}d") for n in (30, 60, 90))
    return w30 - 2 * (w60 - w30) + (w90 - w60)


def _windows(frame: Rows, as_of_day: int) -> Rows:
    def spent(sums: nw.Expr) -> nw.Expr:
        return as_float(sums) / UNIT_E4

    return frame.with_columns(
        *(money(f"net_e4_{n}d").alias(f"spend_{n}d") for n in WINDOW_DAYS),
        *(_change("purchases", n).alias(f"purchases_change_{n}d") for n in (30, 90)),
        *(spent(_change("net_e4", n)).alias(f"spend_change_{n}d") for n in (30, 90)),
        _acceleration("purchases").alias("purchases_acceleration_30d"),
        spent(_acceleration("net_e4")).alias("spend_acceleration_30d"),
    )


def _rhythm(frame: Rows, as_of_day: int) -> Rows:
    span = nw.col("last_day") - nw.col("first_day")
    gaps = nw.col("purchase_days") - 1
    frame = frame.with_columns(
        ratio(span, gaps).alias("gap_mean_days"),
        spread(nw.col("gaps_squared"), span, gaps).alias("gap_std_days"),
        ratio(nw.col("purchase_days"), as_of_day - nw.col("first_day") + 1).alias("purchase_rate"),
    )
    return frame.with_columns(
        ratio(nw.col("gap_std_days"), nw.col("gap_mean_days")).alias("gap_cv"),
        ratio(nw.col("recency_days"), nw.col("gap_mean_days")).alias("lateness"),
    )


def _mix(frame: Rows, as_of_day: int) -> Rows:
    def share(discount: str, gross: str) -> nw.Expr:
        given = as_float(nw.col(discount))
        return where(
            nw.col("discount_lines") > 0,
            ratio(given, as_float(nw.col(gross) + nw.col(discount))),
        )

    return frame.with_columns(
        (
            spread(nw.col("rough_logs_squared"), nw.col("rough_logs"), nw.col("purchases"))
            / ROUGH_LOG_PARTS
        ).alias("order_value_log_std"),
        ratio(nw.col("product_lines"), nw.col("purchases")).alias("lines_per_purchase"),
        where(
            nw.col("quantity_lines") > 0,
            ratio(as_float(nw.col("quantity_e4")), nw.col("purchases"), UNIT_E4),
        ).alias("quantity_per_purchase"),
        share("discount_e4", "gross_e4").alias("discount_share"),
        share(f"discount_e4_{YEAR}d", f"gross_e4_{YEAR}d").alias(f"discount_share_{YEAR}d"),
        where(
            nw.col("discount_lines") > 0, ratio(nw.col("discounted_lines"), nw.col("sold_lines"))
        ).alias("discounted_line_share"),
    )


def _labels(frame: Rows, as_of_day: int) -> Rows:
    """Breadth, entropy and favourite; null where no line has a label at all, not zero."""

    def entropy(name: str) -> nw.Expr:
        lines = nw.col(f"{name}_lines_in_all")
        # ln N - (sum of n ln n) / N; the parts' rounding may leave a hair below zero.
        value = lines.cast(nw.Float64).log() - ratio(
            nw.col(f"{name}_line_logs"), lines, NLOGN_PARTS
        )
        return where(nw.col(f"{name}_count") > 1, value).fill_null(0.0)

    def given(name: str) -> nw.Expr:
        return nw.col(f"{name}_lines") > 0

    def bought(name: str) -> nw.Expr:
        return nw.col(f"{name}_count") > 0

    return frame.with_columns(
        *(
            made
            for name, plural in (("category", "categories"), ("channel", "channels"))
            for made in (
                where(given(name), nw.col(f"{name}_count").fill_null(0)).alias(plural),
                where(bought(name), entropy(name)).alias(f"{name}_entropy"),
                ratio(nw.col(f"{name}_most"), nw.col(f"{name}_lines_in_all")).alias(
                    f"{name}_favourite_share"
                ),
            )
        ),
        where(given("category"), nw.col("category_count_180d").fill_null(0)).alias(
            "categories_180d"
        ),
        ratio(nw.col("category_repeated"), nw.col("category_count")).alias("category_repeat_rate"),
    )


def _returns(frame: Rows, as_of_day: int) -> Rows:
    def back(column: str) -> nw.Expr:
        return as_float(0 - nw.col(column)) / UNIT_E4

    return frame.with_columns(
        back("returned_e4").alias("returns_value"),
        back(f"returned_e4_{YEAR}d").alias(f"returns_value_{YEAR}d"),
        ratio(as_float(0 - nw.col("returned_e4")), as_float(nw.col("gross_e4"))).alias(
            "returns_share"
        ),
        (as_of_day - nw.col("last_return_day")).alias("days_since_return"),
    )


def _season(frame: Rows, as_of_day: int) -> Rows:
    """Null for whom a year ago is before the first order."""
    there = nw.col("first_line_day") <= as_of_day - YEAR
    return frame.with_columns(
        *(
            made
            for n in SEASON_DAYS
            for made in (
                where(there, nw.col(f"purchases_next_{n}d_last_year")).alias(
                    f"purchases_next_{n}d_last_year"
                ),
                where(there, money(f"net_e4_next_{n}d_last_year")).alias(
                    f"spend_next_{n}d_last_year"
                ),
            )
        ),
        where(there, nw.col("purchases_90d_last_year")).alias("purchases_90d_last_year"),
    )


_VALUES = ("e4", "rows", "given")
"""Columns of a sum of values that a row may lack: the sum, the rows, and those with a value."""


def _stated(sums: str, value: nw.Expr) -> nw.Expr:
    """Keep a sum of values unless there are rows of which none has one: that is no zero."""
    return where((nw.col(f"{sums}_given") > 0) | (nw.col(f"{sums}_rows") == 0), value)


_ZERO_WITHOUT_INTERACTIONS = (
    "interactions",
    *(f"interactions_{n}d" for n in (7, 30, 60, YEAR)),
    *(f"{kind}_90d" for kind in KINDS),
    "active_days_90d",
    "intent_90d",
    "complaints",
    "complaints_365d",
    "complaints_resolved",
    "support_tickets_365d",
    *(
        f"{name}_{what}"
        for name in ("cost", "visit_90d", "usage_90d", "usage_60d")
        for what in _VALUES
    ),
    "usage_e4_30d",
)


def _finish_interactions(sums: Rows, as_of_day: int) -> Rows:
    frame = sums.with_columns(nw.col(*_ZERO_WITHOUT_INTERACTIONS).fill_null(0).cast(nw.Int64))
    frame = frame.with_columns(
        _change("interactions", 30).alias("interactions_change_30d"),
        (as_of_day - nw.col("last_interaction_day")).alias("days_since_interaction"),
        (as_of_day - nw.col("last_intent_day")).alias("days_since_intent"),
        _stated("cost", money("cost_e4")).alias("interaction_cost"),
        _stated("visit_90d", money("visit_90d_e4")).alias("visit_seconds_90d"),
        _stated("usage_90d", money("usage_90d_e4")).alias("usage_units_90d"),
        _stated(
            "usage_60d", as_float(2 * nw.col("usage_e4_30d") - nw.col("usage_60d_e4")) / UNIT_E4
        ).alias("usage_units_change_30d"),
        ratio(nw.col("email_click_365d"), nw.col("email_open_365d")).alias("email_click_rate_365d"),
        ratio(nw.col("payment_365d"), nw.col("cart_365d")).alias("cart_payment_rate_365d"),
        ratio(as_float(nw.col("survey_e4")), nw.col("surveys"), UNIT_E4).alias("survey_mean"),
        ratio(as_float(nw.col("last_survey_e4")), nw.col("last_surveys"), UNIT_E4).alias(
            "survey_last"
        ),
        ratio(as_float(nw.col("review_e4")), nw.col("reviews"), UNIT_E4).alias("review_mean"),
        (as_of_day - nw.col("last_complaint_day")).alias("days_since_complaint"),
        (nw.col("complaints") > nw.col("complaints_resolved"))
        .cast(nw.Int64)
        .alias("complaint_open"),
    )
    return frame.with_columns(
        (nw.col("survey_last") - nw.col("survey_mean")).alias("survey_change")
    )


def _finish_treatments(sums: Rows, as_of_day: int) -> Rows:
    counts = ("treatments", "treatments_90d", "treatments_withheld")
    costs = (f"{name}_{what}" for name in ("cost_365d", "cost_treated") for what in _VALUES)
    frame = sums.with_columns(nw.col(*counts, *costs).fill_null(0))
    return frame.with_columns(
        (as_of_day - nw.col("last_treatment_day")).alias("days_since_treatment"),
        ratio(nw.col("answered_treatments"), nw.col("ripe_treatments")).alias(
            "treatment_response_rate"
        ),
        _stated("cost_365d", money("cost_365d_e4")).alias("treatment_cost_365d"),
        _stated("cost_treated", money("cost_treated_e4")).alias("treatment_cost"),
    )


def _finish_contracts(sums: Rows, as_of_day: int) -> Rows:
    counts = (
        "contracts",
        "contracts_active",
        "contracts_open_ended",
        "contracts_running",
        "contract_renewals",
        "contract_cancellations",
    )
    fees = (f"fee_active_{what}" for what in _VALUES)
    frame = sums.with_columns(nw.col(*counts, *fees).fill_null(0))
    return frame.with_columns(
        _stated("fee_active", money("fee_active_e4")).alias("contract_fee_active"),
        (nw.col("next_end_day") - as_of_day).alias("contract_days_left"),
        where(nw.col("contracts_open_ended") == 0, nw.col("secured_day") - as_of_day).alias(
            "contract_days_secured"
        ),
        where(nw.col("contracts_running") == 0, as_of_day - nw.col("last_over_day")).alias(
            "days_since_contract_end"
        ),
        (as_of_day - nw.col("first_contract_day")).alias("contract_tenure_days"),
        (as_of_day - nw.col("last_cancellation_day")).alias("days_since_cancellation"),
    )


def _finish_customers(sums: Rows, as_of_day: int) -> Rows:
    if "referred_margin_e4" in sums.columns:
        spent = ("referred_uncosted_e4", "referred_margin_e4")
        sums = sums.with_columns(nw.col(*spent).fill_null(0)).with_columns(
            money("referred_uncosted_e4").alias("referred_spend_without_cost"),
            money("referred_margin_e4").alias("referred_margin_recorded"),
        )
    return sums.with_columns(
        (as_of_day - nw.col("registered_day")).alias("registered_days"),
        (nw.col("first_day") - nw.col("registered_day")).alias("registered_to_first_purchase_days")
        if "first_day" in sums.columns
        else nw.lit(None).alias("registered_to_first_purchase_days"),
        money("acquisition_cost_e4").alias("acquisition_cost"),
        nw.col("referred_customers").fill_null(0),
        (as_of_day - nw.col("last_referral_day")).alias("days_since_referral"),
    )


_FINISHING = {
    "orders": _finish_orders,
    "interactions": _finish_interactions,
    "treatments": _finish_treatments,
    "contracts": _finish_contracts,
    "customers": _finish_customers,
}
