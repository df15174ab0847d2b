"""Why a churn probability is what it is, in sentences with the customer's own numbers.

Features that say the same thing are told as one topic. The contributions behind the order are
approximate (see :mod:`training.attribution`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import catalogue

Float = NDArray[np.float64]
Row = Mapping[str, float]

TOLD = 3
"""Reasons told for each customer."""
SMALLEST = 0.02
"""A contribution below this, in log-odds, is not worth a sentence."""


@dataclass(frozen=True)
class Topic:
    """Features that are told together, and the sentence that tells them."""

    name: str
    features: tuple[str, ...]
    sentence: Callable[[Row], str]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:,.1f}".removesuffix(".0")


def _counted(value: float, noun: str) -> str:
    number = _number(value)
    return f"{number} {noun}{'s' * (number != '1')}"


def _silence(row: Row) -> str:
    text = f"no order for {_counted(row['recency_days'], 'day')}"
    gap = row["gap_mean_days"]
    return text if math.isnan(gap) else f"{text}; usual gap {_number(gap)}"


def _history(row: Row) -> str:
    return f"{_counted(row['purchases'], 'order')} in {_counted(row['tenure_days'], 'day')}"


def _recent(row: Row) -> str:
    before = row["purchases_180d"] - row["purchases_90d"]
    return (
        f"{_counted(row['purchases_90d'], 'order')} in the last 90 days, "
        f"{_number(before)} in the 90 before"
    )


def _rhythm(row: Row) -> str:
    if math.isnan(row["gap_last_days"]):
        return "no second order yet"
    return f"last gap {_number(row['gap_last_days'])} days, longest {_number(row['gap_max_days'])}"


def _value(row: Row) -> str:
    return (
        f"mean order {_number(row['order_value_mean'])}, "
        f"net spend of the last year {_number(row['spend_365d'])}"
    )


def _returns(row: Row) -> str:
    return f"{_counted(row['returns'], 'returned line')} worth {_number(row['returns_value'])}"


def _basket(row: Row) -> str:
    categories = row["categories"]
    lines = f"{_counted(row['lines_per_purchase'], 'product line')} an order"
    if math.isnan(categories):
        return lines
    return f"{lines}, {_number(categories)} categor{'y' if categories == 1 else 'ies'}"


_COUNTS = tuple(f"purchases_{n}d" for n in catalogue.WINDOW_DAYS)
_MONEY = tuple(f"spend_{n}d" for n in catalogue.WINDOW_DAYS)

TOPICS = (
    Topic("silence", ("recency_days", "lateness"), _silence),
    Topic(
        "history",
        ("purchases", "purchase_days", "tenure_days", "known_days", "purchase_rate"),
        _history,
    ),
    Topic("recent_orders", (*_COUNTS, "purchases_change_30d", "purchases_change_90d"), _recent),
    Topic(
        "rhythm",
        ("gap_mean_days", "gap_std_days", "gap_max_days", "gap_first_days", "gap_last_days"),
        _rhythm,
    ),
    Topic(
        "value",
        (
            *_MONEY,
            "spend_change_30d",
            "spend_change_90d",
            "spend_net",
            "spend_gross",
            "monetary_value",
            *(f"order_value_{kind}" for kind in ("mean", "median", "max", "first", "last")),
            "discount_share",
        ),
        _value,
    ),
    Topic("returns", ("returns", "returns_value", "returns_share", "days_since_return"), _returns),
    Topic(
        "basket",
        (
            "lines_per_purchase",
            "quantity_per_purchase",
            "categories",
            "categories_180d",
            "channels",
        ),
        _basket,
    ),
)

_COLUMNS = tuple(tuple(catalogue.NAMES.index(name) for name in topic.features) for topic in TOPICS)


def explain(matrix: Float, contributions: Float, prospect: NDArray[np.bool_]) -> list[list[str]]:
    """Tell the topics that move each customer's churn risk most.

    Parameters
    ----------
    matrix
        Features in the catalogue's order, shape (n, features).
    contributions
        What each adds to the churn log-odds, same shape.
    prospect
        Customers who never bought; theirs is the conversion of others.

    Returns
    -------
    list of list of str
        Up to three sentences a customer, each with the direction in which it moves the risk.
    """
    weights = _by_topic(contributions)
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :TOLD]
    told = []
    for row, ranked, weight, unbought in zip(matrix, order, weights, prospect, strict=True):
        if unbought:
            told.append(["no purchase yet: answered from what others in this position did"])
            continue
        values = dict(zip(catalogue.NAMES, row.tolist(), strict=True))
        told.append(
            [
                f"{'raises' if weight[place] > 0 else 'lowers'} the risk: "
                f"{TOPICS[place].sentence(values)}"
                for place in ranked
                if abs(weight[place]) >= SMALLEST
            ]
        )
    return told


def _by_topic(contributions: Float) -> Float:
    """Add up the contributions of each topic, column by column.

    Not a matrix product: BLAS rounds a row by the number of rows beside it, and one customer alone
    must be told the same as in a batch.
    """
    weights = np.zeros((len(contributions), len(TOPICS)))
    for place, columns in enumerate(_COLUMNS):
        for column in columns:
            weights[:, place] += contributions[:, column]
    return weights
