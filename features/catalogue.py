"""The named, versioned list of features: one row a feature, with its meaning, unit and source.

Definitions in code compute these columns, Feast serves them by theme (one feature view each), and
a model's feature service names a version of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from features.ingest.contract import KINDS, Table

VERSION = 5
"""Raised whenever a feature is added, removed or given another meaning."""

WINDOW_DAYS = (7, 14, 30, 60, 90, 180, 365)
"""Lengths of the trailing windows; a window of n days holds as_of and the n - 1 days before it."""

YEAR = 365
SEASON_DAYS = (30, 90)
"""How far the look at what followed this day a year ago goes."""

LOOK_BACK_DAYS = YEAR + 90
"""No window reaches further back than this."""

ANSWER_DAYS = 14
"""A purchase within so many days after a treatment counts as its response."""

MOST_CATEGORIES = 8
"""Categories that are listed of each customer, those of most lines first."""
CATEGORIES_LISTED = tuple(f"category_{place}" for place in range(1, MOST_CATEGORIES + 1))
RECENT_ACTIONS = 6
"""Different actions that are listed of each customer, the last done first."""
ACTIONS_LISTED = tuple(f"treatment_recent_{place}" for place in range(1, RECENT_ACTIONS + 1))
LISTED = (*CATEGORIES_LISTED, *ACTIONS_LISTED)
"""Lists of facts, an entry a feature, by which actions are chosen; no model learns from them."""

JOIN_KEY = "customer_id"

YES_OR_NO = "0 or 1"
"""Unit of a count that is one of the two."""

KeyType = Literal["integer", "text"]
"""How a workspace names its customers."""

Kind = Literal["count", "measure", "category"]

SERVICES = {
    "churn": f"churn_v{VERSION}",
    "spend": f"spend_v{VERSION}",
    "scorer": f"lifecycle_scorer_v{VERSION}",
}
"""Feature service of each registered model; the number is that of the feature list."""


@dataclass(frozen=True)
class View:
    """A theme: one feature view, computed from one table (seasons from the day itself)."""

    table: Table
    meaning: str


VIEWS: dict[str, View] = {
    "purchase_history": View("orders", "How often, how recently and for how much so far"),
    "purchase_windows": View(
        "orders", "Orders and net spend in trailing windows, their trend and acceleration"
    ),
    "purchase_rhythm": View("orders", "The customer's own cadence and lateness against it"),
    "purchase_mix": View("orders", "Order values, quantities, discounts, categories and channels"),
    "purchase_returns": View("orders", "What was sent back"),
    "purchase_season": View("orders", "The same time last year, and the season ahead"),
    "engagement": View("interactions", "What the customer did besides buying, by kind"),
    "satisfaction": View("interactions", "Surveys, reviews, support and complaints"),
    "treatment": View("treatments", "What we assigned to the customer, and the responses"),
    "subscription": View("contracts", "Terms, fees, renewals and cancellations"),
    "profile": View("customers", "Who the customer is, and whom the customer brought"),
}


@dataclass(frozen=True)
class Feature:
    """One feature of the list.

    Attributes
    ----------
    kind
        ``count`` (whole number, Int64), ``measure`` (Float64) or ``category`` (String). A null
        means that the fact does not exist yet, such as the gap of a customer with one order, or
        that the data do not say it, be it that its table is absent; it is never a zero. A count
        or a sum over nothing is zero; a sum over rows of which none states a value is null. Of
        several labels the first is the one of the lowest code points.
    """

    name: str
    view: str
    kind: Kind
    unit: str
    meaning: str

    @property
    def table(self) -> Table:
        """The table of the data contract that it is computed from."""
        return VIEWS[self.view].table


def _list(view: str, *rows: tuple[str, Kind, str, str]) -> list[Feature]:
    return [Feature(name, view, kind, unit, meaning) for name, kind, unit, meaning in rows]


def _history() -> list[Feature]:
    return _list(
        "purchase_history",
        ("as_of_day", "count", "days since 1970-01-01", "the snapshot's own day"),
        ("purchases", "count", "orders", "orders with a positive amount"),
        ("purchase_days", "count", "days", "different days with a purchase"),
        ("recency_days", "count", "days", "days since the last purchase"),
        ("tenure_days", "count", "days", "days since the first purchase"),
        ("known_days", "count", "days", "days since the first fact of any table"),
        ("spend_net", "measure", "money", "all amounts, returns counted"),
        ("spend_gross", "measure", "money", "amounts of purchases"),
        ("spend_without_cost", "measure", "money", "net spend of lines without a cost of goods"),
        ("margin_recorded", "measure", "money", "amounts less cost of goods, of lines with one"),
        ("monetary_value", "measure", "money", "mean spend a repeat purchase day (BTYD)"),
        ("order_value_mean", "measure", "money", "mean amount of a purchase"),
        ("order_value_geometric_mean", "measure", "money", "geometric mean amount of a purchase"),
        ("order_value_max", "measure", "money", "largest purchase"),
        ("order_value_first", "measure", "money", "spend on the first purchase day"),
        ("order_value_last", "measure", "money", "spend on the last purchase day"),
    )


def _windows() -> list[Feature]:
    counts: list[tuple[str, Kind, str, str]] = [
        (f"purchases_{n}d", "count", "orders", f"purchases in the last {n} days")
        for n in WINDOW_DAYS
    ]
    spent: list[tuple[str, Kind, str, str]] = [
        (f"spend_{n}d", "measure", "money", f"net spend in the last {n} days") for n in WINDOW_DAYS
    ]
    return _list(
        "purchase_windows",
        *counts,
        *spent,
        ("purchases_change_30d", "count", "orders", "last 30 days less the 30 before"),
        ("purchases_change_90d", "count", "orders", "last 90 days less the 90 before"),
        ("spend_change_30d", "measure", "money", "last 30 days less the 30 before"),
        ("spend_change_90d", "measure", "money", "last 90 days less the 90 before"),
        ("purchases_acceleration_30d", "count", "orders", "change over 30 days less that before"),
        ("spend_acceleration_30d", "measure", "money", "change over 30 days less that before"),
    )


def _rhythm() -> list[Feature]:
    return _list(
        "purchase_rhythm",
        ("gap_mean_days", "measure", "days", "mean gap between purchase days"),
        ("gap_std_days", "measure", "days", "spread of those gaps (population)"),
        ("gap_cv", "measure", "ratio", "spread of the gaps over their mean"),
        ("gap_max_days", "count", "days", "longest gap"),
        ("gap_first_days", "count", "days", "gap from the first purchase to the second"),
        ("gap_last_days", "count", "days", "gap before the last purchase"),
        ("lateness", "measure", "usual gaps", "recency over the mean gap"),
        ("purchase_rate", "measure", "a day", "purchase days over tenure plus one"),
    )


def _mix() -> list[Feature]:
    return _list(
        "purchase_mix",
        (
            "order_value_log_std",
            "measure",
            "log money",
            "spread of the logarithms of order values, to 0.001",
        ),
        ("lines_per_purchase", "measure", "lines", "product lines a purchase"),
        ("quantity_per_purchase", "measure", "units", "units bought a purchase"),
        ("discount_share", "measure", "share", "discount over gross plus discount"),
        ("discount_share_365d", "measure", "share", "the same over the last 365 days"),
        ("discounted_line_share", "measure", "share", "purchased lines with a discount"),
        ("categories", "count", "categories", "different categories of products bought"),
        ("categories_180d", "count", "categories", "of these in the last 180 days"),
        ("category_entropy", "measure", "nats", "Shannon entropy of product lines over categories"),
        ("category_repeat_rate", "measure", "share", "categories bought on more days than one"),
        ("category_favourite", "category", "category", "with most lines; of several the first"),
        ("category_favourite_share", "measure", "share", "its share of the lines"),
        *(
            (
                name,
                "category",
                "category",
                f"number {place} by lines bought; of several the first by name",
            )
            for place, name in enumerate(CATEGORIES_LISTED, 1)
        ),
        ("channels", "count", "channels", "different channels used"),
        ("channel_entropy", "measure", "nats", "Shannon entropy of lines over channels"),
        ("channel_favourite", "category", "channel", "with most lines; of several the first"),
        ("channel_favourite_share", "measure", "share", "its share of the lines"),
    )


def _returns() -> list[Feature]:
    return _list(
        "purchase_returns",
        ("returns", "count", "lines", "lines with a negative amount"),
        ("returns_90d", "count", "lines", "of these in the last 90 days"),
        ("returns_365d", "count", "lines", "of these in the last 365 days"),
        ("returns_value", "measure", "money", "their amount, as a positive number"),
        ("returns_value_365d", "measure", "money", "the same in the last 365 days"),
        ("returns_share", "measure", "share", "returned over gross spend"),
        ("days_since_return", "count", "days", "days since the last return"),
    )


def _season() -> list[Feature]:
    ahead: list[tuple[str, Kind, str, str]] = [
        row
        for n in SEASON_DAYS
        for row in (
            (
                f"purchases_next_{n}d_last_year",
                "count",
                "orders",
                f"purchases in the {n} days after this day 365 days ago",
            ),
            (
                f"spend_next_{n}d_last_year",
                "measure",
                "money",
                f"net spend in the {n} days after this day 365 days ago",
            ),
        )
    ]
    return _list(
        "purchase_season",
        *ahead,
        ("purchases_90d_last_year", "count", "orders", "in the 90 days that ended 365 days ago"),
        ("season_days", "count", "days", "days to the next season, which is never today"),
        ("season", "category", "season", "which season that is"),
    )


def _engagement() -> list[Feature]:
    by_kind: list[tuple[str, Kind, str, str]] = [
        (f"{kind}_90d", "count", "interactions", f"of kind {kind} in the last 90 days")
        for kind in KINDS
    ]
    return _list(
        "engagement",
        ("interactions", "count", "interactions", "of any kind so far"),
        ("interactions_7d", "count", "interactions", "of any kind in the last 7 days"),
        ("interactions_30d", "count", "interactions", "of any kind in the last 30 days"),
        ("interactions_365d", "count", "interactions", "of any kind in the last 365 days"),
        ("interactions_change_30d", "count", "interactions", "last 30 days less the 30 before"),
        ("days_since_interaction", "count", "days", "days since the last one of any kind"),
        ("active_days_90d", "count", "days", "different days with one in the last 90 days"),
        *by_kind,
        ("intent_90d", "count", "interactions", "compare, cart, trial or inquiry in 90 days"),
        ("days_since_intent", "count", "days", "days since the last of those four kinds"),
        ("visit_seconds_90d", "measure", "seconds", "values of visits in the last 90 days"),
        ("usage_units_90d", "measure", "units", "values of usage in the last 90 days"),
        (
            "usage_units_change_30d",
            "measure",
            "units",
            "last 30 days less the 30 before",
        ),
        ("email_click_rate_365d", "measure", "clicks", "clicks an email opened in 365 days"),
        ("cart_payment_rate_365d", "measure", "payments", "payments a cart in 365 days"),
        ("interaction_channel_favourite", "category", "channel", "used most; of several the first"),
        ("interaction_cost", "measure", "money", "cost of all interactions so far"),
    )


def _satisfaction() -> list[Feature]:
    return _list(
        "satisfaction",
        ("survey_mean", "measure", "score", "mean score of all surveys"),
        ("survey_last", "measure", "score", "mean score on the last day with a survey"),
        ("survey_change", "measure", "score", "that less the mean"),
        ("review_mean", "measure", "score", "mean score of all reviews"),
        ("support_tickets_365d", "count", "tickets", "in the last 365 days"),
        ("complaints", "count", "complaints", "so far"),
        ("complaints_365d", "count", "complaints", "in the last 365 days"),
        ("complaint_open", "count", YES_OR_NO, "so far more complaints than resolutions"),
        ("days_since_complaint", "count", "days", "days since the last complaint"),
        (
            "complaint_topic",
            "category",
            "topic",
            "that of the last day with a topic; the first of it",
        ),
    )


def _treatment() -> list[Feature]:
    return _list(
        "treatment",
        ("treatments", "count", "treatments", "assigned to be treated, so far"),
        ("treatments_90d", "count", "treatments", "of these in the last 90 days"),
        ("treatments_withheld", "count", "treatments", "assigned to the control arm, so far"),
        ("days_since_treatment", "count", "days", "days since the last, the control arm left out"),
        ("treatment_last", "category", "action", "the action of that day, the first by name"),
        *(
            (
                name,
                "category",
                "action:days",
                f"number {place} of the different actions done, the last done first, and how many "
                "days ago; the control arm left out",
            )
            for place, name in enumerate(ACTIONS_LISTED, 1)
        ),
        (
            "treatment_response_rate",
            "measure",
            "share",
            f"of those {ANSWER_DAYS} days ago or more: a purchase in the {ANSWER_DAYS} days after",
        ),
        ("treatment_cost_365d", "measure", "money", "cost of the last 365 days' treatments"),
        ("treatment_cost", "measure", "money", "cost of all treatments so far"),
    )


def _subscription() -> list[Feature]:
    return _list(
        "subscription",
        ("contracts", "count", "terms", "terms that have started"),
        ("contracts_active", "count", "terms", "started, not ended before today, not cancelled"),
        ("contract_fee_active", "measure", "money", "their fees"),
        ("contract_days_left", "count", "days", "days to the next end of an active term"),
        (
            "contract_days_secured",
            "count",
            "days",
            "days to the last end of an active term: then a renewal is due",
        ),
        ("contract_term_days", "count", "days", "length of the newest term"),
        (
            "days_since_contract_end",
            "count",
            "days",
            "days since the last term ran out, null while one runs, be it cancelled",
        ),
        ("contract_tenure_days", "count", "days", "days since the first term started"),
        ("contract_renewals", "count", "terms", "terms that have been renewed"),
        ("contract_cancellations", "count", "terms", "terms that have been cancelled"),
        ("days_since_cancellation", "count", "days", "days since the last cancellation"),
        ("contract_plan", "category", "plan", "of the newest term with one; of several the first"),
    )


def _profile() -> list[Feature]:
    return _list(
        "profile",
        ("registered_days", "count", "days", "days since the registration"),
        (
            "registered_to_first_purchase_days",
            "count",
            "days",
            "from it on; below 0: bought before",
        ),
        ("acquisition_channel", "category", "channel", "where the customer came from"),
        ("acquisition_cost", "measure", "money", "what it cost to win the customer"),
        ("region", "category", "region", "where the customer lives"),
        ("age_group", "category", "age group", "as the customers table gives it"),
        ("was_referred", "count", YES_OR_NO, "a row by then names who referred the customer"),
        ("referred_customers", "count", "customers", "whose rows by then name this one"),
        ("days_since_referral", "count", "days", "days since the last of these registered"),
        ("referred_spend_without_cost", "measure", "money", "these customers' spend_without_cost"),
        ("referred_margin_recorded", "measure", "money", "these customers' margin_recorded"),
        (
            "marketing_consent",
            "count",
            YES_OR_NO,
            "the newest word on it: marketing is allowed; it filters actions, no model learns it",
        ),
    )


FEATURES: tuple[Feature, ...] = (
    *_history(),
    *_windows(),
    *_rhythm(),
    *_mix(),
    *_returns(),
    *_season(),
    *_engagement(),
    *_satisfaction(),
    *_treatment(),
    *_subscription(),
    *_profile(),
)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
CATEGORIES: tuple[str, ...] = tuple(f.name for f in FEATURES if f.kind == "category")
"""Features whose values are text; they stay text until a model gives them codes of its own."""


def in_view(view: str) -> tuple[Feature, ...]:
    """List the features of one view, in order.

    >>> [feature.name for feature in in_view("purchase_rhythm")][:2]
    ['gap_mean_days', 'gap_std_days']
    """
    return tuple(feature for feature in FEATURES if feature.view == view)
