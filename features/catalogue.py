"""The named, versioned list of features: one row a feature, with its meaning and unit.

Definitions in code compute these columns, Feast serves them by theme (one feature view each), and
a model's feature service names a version of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VERSION = 1
"""Raised whenever a feature is added, removed or given another meaning."""

WINDOW_DAYS = (7, 14, 30, 60, 90, 180, 365)
"""Lengths of the trailing windows; a window of n days holds as_of and the n - 1 days before it."""

JOIN_KEY = "customer_id"

KeyType = Literal["integer", "text"]
"""How a workspace names its customers."""

SERVICES = {
    "churn": f"churn_v{VERSION}",
    "spend": f"spend_v{VERSION}",
    "scorer": f"lifecycle_scorer_v{VERSION}",
}
"""Feature service of each registered model; the number is that of the feature list."""

VIEWS = {
    "purchase_history": "How often, how recently and for how much a customer has bought so far",
    "purchase_windows": "Orders and net spend in trailing windows, and how they change",
    "purchase_rhythm": "The customer's own cadence and lateness against it",
    "purchase_mix": "Returns, quantities, discounts, categories and channels",
}


@dataclass(frozen=True)
class Feature:
    """One feature of the list.

    Attributes
    ----------
    kind
        ``count`` (whole number, Int64) or ``measure`` (Float64). A null means that the fact does
        not exist yet, such as the gap of a customer with one order; it is never a zero.
    """

    name: str
    view: str
    kind: Literal["count", "measure"]
    unit: str
    meaning: str


def _history() -> list[Feature]:
    view = "purchase_history"
    return [
        Feature("as_of_day", view, "count", "days since 1970-01-01", "the snapshot's own day"),
        Feature("purchases", view, "count", "orders", "orders with a positive amount"),
        Feature("purchase_days", view, "count", "days", "different days with a purchase"),
        Feature("recency_days", view, "count", "days", "days since the last purchase"),
        Feature("tenure_days", view, "count", "days", "days since the first purchase"),
        Feature("known_days", view, "count", "days", "days since the first line of any kind"),
        Feature("spend_net", view, "measure", "money", "all amounts, returns counted"),
        Feature("spend_gross", view, "measure", "money", "amounts of purchases"),
        Feature(
            "monetary_value", view, "measure", "money", "mean spend a repeat purchase day (BTYD)"
        ),
        Feature("order_value_mean", view, "measure", "money", "mean amount of a purchase"),
        Feature("order_value_median", view, "measure", "money", "median amount of a purchase"),
        Feature("order_value_max", view, "measure", "money", "largest purchase"),
        Feature("order_value_first", view, "measure", "money", "spend on the first purchase day"),
        Feature("order_value_last", view, "measure", "money", "spend on the last purchase day"),
    ]


def _windows() -> list[Feature]:
    view = "purchase_windows"
    counts = [
        Feature(f"purchases_{n}d", view, "count", "orders", f"purchases in the last {n} days")
        for n in WINDOW_DAYS
    ]
    money = [
        Feature(f"spend_{n}d", view, "measure", "money", f"net spend in the last {n} days")
        for n in WINDOW_DAYS
    ]
    trend = [
        Feature("purchases_change_30d", view, "count", "orders", "last 30 days less the 30 before"),
        Feature("purchases_change_90d", view, "count", "orders", "last 90 days less the 90 before"),
        Feature("spend_change_30d", view, "measure", "money", "last 30 days less the 30 before"),
        Feature("spend_change_90d", view, "measure", "money", "last 90 days less the 90 before"),
    ]
    return counts + money + trend


def _rhythm() -> list[Feature]:
    view = "purchase_rhythm"
    return [
        Feature("gap_mean_days", view, "measure", "days", "mean gap between purchase days"),
        Feature("gap_std_days", view, "measure", "days", "spread of those gaps (population)"),
        Feature("gap_max_days", view, "count", "days", "longest gap"),
        Feature(
            "gap_first_days", view, "count", "days", "gap from the first purchase to the second"
        ),
        Feature("gap_last_days", view, "count", "days", "gap before the last purchase"),
        Feature("lateness", view, "measure", "usual gaps", "recency over the mean gap"),
        Feature("purchase_rate", view, "measure", "a day", "purchase days over tenure plus one"),
    ]


def _mix() -> list[Feature]:
    view = "purchase_mix"
    return [
        Feature("returns", view, "count", "lines", "lines with a negative amount"),
        Feature("returns_value", view, "measure", "money", "their amount, as a positive number"),
        Feature("returns_share", view, "measure", "share", "returned over gross spend"),
        Feature("days_since_return", view, "count", "days", "days since the last return"),
        Feature("lines_per_purchase", view, "measure", "lines", "product lines a purchase"),
        Feature("quantity_per_purchase", view, "measure", "units", "units bought a purchase"),
        Feature("discount_share", view, "measure", "share", "discount over gross plus discount"),
        Feature("categories", view, "count", "categories", "different categories bought"),
        Feature("categories_180d", view, "count", "categories", "of these in the last 180 days"),
        Feature("channels", view, "count", "channels", "different channels used"),
    ]


FEATURES: tuple[Feature, ...] = (*_history(), *_windows(), *_rhythm(), *_mix())
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


def in_view(view: str) -> tuple[Feature, ...]:
    """List the features of one view, in order.

    >>> [feature.name for feature in in_view("purchase_rhythm")][:2]
    ['gap_mean_days', 'gap_std_days']
    """
    return tuple(feature for feature in FEATURES if feature.view == view)
