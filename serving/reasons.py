"""Why a churn probability is what it is, in sentences with the customer's own numbers.

Features that say the same thing are told as one topic. The contributions behind the order are
approximate (see :mod:`training.attribution`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.ingest.contract import KINDS
from features.matrix import Vocabulary

Float = NDArray[np.float64]

TOLD = 3
"""Reasons told for each customer."""
SMALLEST = 0.02
"""A contribution below this, in log-odds, is not worth a sentence."""

_PLACE = {name: place for place, name in enumerate(catalogue.NAMES)}


class Facts:
    """One customer's features by name; categories by their text."""

    def __init__(self, row: Float, vocabulary: Vocabulary) -> None:
        self._row = row
        self._labels = vocabulary.labels

    def __getitem__(self, name: str) -> float:
        return float(self._row[_PLACE[name]])

    def __contains__(self, name: str) -> bool:
        return not math.isnan(self[name])

    def label(self, name: str) -> str | None:
        """The text of a category; None where it is unknown or too rare to have a code."""
        labels = self._labels.get(name, ())
        return labels[int(self[name])] if name in self and self[name] < len(labels) else None


@dataclass(frozen=True)
class Topic:
    """Features that are told together, and the sentence that tells them.

    The sentence is None where there is nothing to tell of this customer.
    """

    name: str
    features: tuple[str, ...]
    sentence: Callable[[Facts], str | None]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:,.1f}".removesuffix(".0")


def _counted(value: float, noun: str, plural: str | None = None) -> str:
    """Count things.

    >>> _counted(1, "category", "categories"), _counted(12, "category", "categories")
    ('1 category', '12 categories')
    >>> _counted(0, "complaint")
    'no complaints'
    """
    number = _number(value)
    return f"{'no' if value == 0 else number} {noun if number == '1' else plural or noun + 's'}"


def _days_ago(facts: Facts, name: str) -> str | None:
    return f"the last {_counted(facts[name], 'day')} ago" if facts[name] > 0 else None


def _changed(change: float) -> str:
    more = "more" if change > 0 else "fewer"
    return f"{_number(abs(change))} {more} in the last 30 than in the 30 before"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _joined(*parts: str | None) -> str | None:
    return ", ".join(part for part in parts if part) or None


def _silence(facts: Facts) -> str | None:
    text = f"no order for {_counted(facts['recency_days'], 'day')}"
    if facts["recency_days"] == 0:
        text = "an order today"
    gap = "gap_mean_days"
    return _joined(text) if gap not in facts else f"{text}; usual gap {_number(facts[gap])}"


def _history(facts: Facts) -> str | None:
    return f"{_counted(facts['purchases'], 'order')} in {_counted(facts['tenure_days'], 'day')}"


def _recent(facts: Facts) -> str | None:
    before = facts["purchases_180d"] - facts["purchases_90d"]
    now = _counted(facts["purchases_90d"], "order")
    return f"{now} in the last 90 days, {_number(before)} in the 90 before"


def _rhythm(facts: Facts) -> str | None:
    if "gap_last_days" not in facts:
        return "no second order yet"
    last, longest = _number(facts["gap_last_days"]), _number(facts["gap_max_days"])
    return f"last gap {last} days, longest {longest}"


def _value(facts: Facts) -> str | None:
    return (
        f"mean order {_number(facts['order_value_mean'])}, "
        f"net spend of the last year {_number(facts['spend_365d'])}"
    )


def _last_year(facts: Facts) -> str | None:
    name = "purchases_next_90d_last_year"
    if name not in facts:
        return None
    return f"{_counted(facts[name], 'order')} in these 90 days a year ago"


def _returns(facts: Facts) -> str | None:
    if not facts["returns"] > 0:
        return "nothing returned" if "returns" in facts else None
    return _joined(
        f"{_counted(facts['returns'], 'returned line')} worth {_number(facts['returns_value'])}",
        f"{_number(facts['returns_90d'])} of them in the last 90 days"
        if facts["returns_90d"] > 0
        else None,
    )


def _discounts(facts: Facts) -> str | None:
    if "discount_share" not in facts:
        return None
    return f"{_percent(facts['discount_share'])} of the list price taken as discount"


def _basket(facts: Facts) -> str | None:
    if "lines_per_purchase" not in facts:
        return None
    return f"{_counted(facts['lines_per_purchase'], 'product line')} an order"


def _categories(facts: Facts) -> str | None:
    if "categories" not in facts:
        return None
    favourite = facts.label("category_favourite")
    return _joined(
        _counted(facts["categories"], "category", "categories"),
        f"{_number(facts['categories_180d'])} in the last 180 days"
        if "categories_180d" in facts
        else None,
        f"mostly {favourite}" if favourite else None,
    )


def _channels(facts: Facts) -> str | None:
    if "channels" not in facts:
        return None
    favourite = facts.label("channel_favourite")
    return _joined(
        _counted(facts["channels"], "channel"), f"mostly {favourite}" if favourite else None
    )


def _engagement(facts: Facts) -> str | None:
    if "interactions_365d" not in facts:
        return None
    change = facts["interactions_change_30d"]
    return _joined(
        f"{_counted(facts['interactions_365d'], 'interaction')} in the last year",
        _changed(change) if abs(change) > 0 else None,
        _days_ago(facts, "days_since_interaction"),
    )


def _intent(facts: Facts) -> str | None:
    if "intent_90d" not in facts:
        return None
    kinds = (
        (facts["compare_90d"], "comparison"),
        (facts["cart_90d"], "cart"),
        (facts["trial_90d"], "trial"),
        (facts["inquiry_90d"], "inquiry"),
    )
    counted = [
        _counted(count, noun, "inquiries" if noun == "inquiry" else None)
        for count, noun in kinds
        if count > 0
    ]
    if not counted:
        return "no comparison, cart, trial or inquiry in the last 90 days"
    return f"{', '.join(counted)} in the last 90 days"


def _usage(facts: Facts) -> str | None:
    if "usage_units_90d" not in facts:
        return None
    change = facts["usage_units_change_30d"]
    return _joined(
        f"{_number(facts['usage_units_90d'])} units used in the last 90 days",
        _changed(change) if abs(change) > 0 else None,
    )


def _satisfaction(facts: Facts) -> str | None:
    return _joined(
        f"last survey score {_number(facts['survey_last'])}, mean {_number(facts['survey_mean'])}"
        if "survey_last" in facts
        else None,
        f"mean review {_number(facts['review_mean'])}" if "review_mean" in facts else None,
    )


def _complaints(facts: Facts) -> str | None:
    if "complaints" not in facts:
        return None
    topic = facts.label("complaint_topic")
    tickets = facts["support_tickets_365d"]
    return _joined(
        _counted(facts["complaints"], "complaint"),
        f"the last about {topic}" if topic else None,
        "one still open" if facts["complaint_open"] > 0 else None,
        f"{_counted(tickets, 'support ticket')} in the last year" if tickets > 0 else None,
    )


def _treatments(facts: Facts) -> str | None:
    if not facts["treatments"] > 0:
        return "no treatment so far" if "treatments" in facts else None
    last = facts.label("treatment_last")
    rate = "treatment_response_rate"
    return _joined(
        _counted(facts["treatments"], "treatment"),
        f"the last a {last}" if last else None,
        f"{_percent(facts[rate])} followed by an order" if rate in facts else None,
    )


def _contracts(facts: Facts) -> str | None:
    if not facts["contracts"] > 0:
        return "no contract" if "contracts" in facts else None
    return _joined(
        _counted(facts["contracts_active"], "active contract"),
        f"{_counted(facts['contract_days_left'], 'day')} left"
        if "contract_days_left" in facts
        else None,
        f"{_counted(facts['contract_renewals'], 'renewal')}"
        if facts["contract_renewals"] > 0
        else None,
        f"{_counted(facts['contract_cancellations'], 'cancellation')}"
        if facts["contract_cancellations"] > 0
        else None,
    )


def _profile(facts: Facts) -> str | None:
    channel, region = facts.label("acquisition_channel"), facts.label("region")
    age = facts.label("age_group")
    return _joined(
        f"registered {_counted(facts['registered_days'], 'day')} ago"
        if facts["registered_days"] > 0
        else None,
        f"came by {channel}" if channel else None,
        f"region {region}" if region else None,
        f"age group {age}" if age else None,
    )


def _referrals(facts: Facts) -> str | None:
    return _joined(
        "came on a customer's word" if facts["was_referred"] > 0 else None,
        f"brought {_counted(facts['referred_customers'], 'customer')}"
        if facts["referred_customers"] > 0
        else None,
    )


def _named(*starts: str) -> tuple[str, ...]:
    """Features by the start of their names."""
    return tuple(name for name in catalogue.NAMES if name.startswith(starts))


_LAST_YEAR = tuple(name for name in catalogue.NAMES if name.endswith("_last_year"))
_COUNTS = tuple(f"purchases_{n}d" for n in catalogue.WINDOW_DAYS)
_MONEY = tuple(f"spend_{n}d" for n in catalogue.WINDOW_DAYS)
_INTENT = ("compare", "cart", "trial", "inquiry", "checkout", "payment")
_TOLD_ELSEWHERE = (
    *_INTENT, "usage", "survey", "review", "complaint", "complaint_resolved", "support_ticket",
    "referral", "share",
)  # fmt: skip
_OTHER_KINDS = tuple(f"{kind}_90d" for kind in KINDS if kind not in _TOLD_ELSEWHERE)

TOPICS = (
    Topic("silence", ("recency_days", "lateness"), _silence),
    Topic(
        "history",
        ("purchases", "purchase_days", "tenure_days", "known_days", "purchase_rate"),
        _history,
    ),
    Topic(
        "recent_orders", (*_COUNTS, *_named("purchases_change", "purchases_acceleration")), _recent
    ),
    Topic("rhythm", _named("gap_"), _rhythm),
    Topic(
        "value",
        (
            *_MONEY,
            *_named("spend_change", "spend_acceleration", "order_value"),
            "spend_net",
            "spend_gross",
            "monetary_value",
        ),
        _value,
    ),
    Topic("last_year", _LAST_YEAR, _last_year),
    Topic("returns", (*_named("returns"), "days_since_return"), _returns),
    Topic("discounts", _named("discount"), _discounts),
    Topic("basket", ("lines_per_purchase", "quantity_per_purchase"), _basket),
    Topic("categories", _named("categor"), _categories),
    Topic("channels", _named("channel"), _channels),
    Topic(
        "engagement",
        (
            *_named("interaction"),
            *_OTHER_KINDS,
            "days_since_interaction",
            "active_days_90d",
            "visit_seconds_90d",
            "email_click_rate_365d",
        ),
        _engagement,
    ),
    Topic(
        "intent",
        (
            "intent_90d",
            "days_since_intent",
            *(f"{kind}_90d" for kind in _INTENT),
            "cart_payment_rate_365d",
        ),
        _intent,
    ),
    Topic("usage", _named("usage"), _usage),
    Topic("satisfaction", _named("survey", "review"), _satisfaction),
    Topic(
        "complaints", (*_named("complaint", "support_ticket"), "days_since_complaint"), _complaints
    ),
    Topic("treatments", (*_named("treatment"), "days_since_treatment"), _treatments),
    Topic("contracts", (*_named("contract"), "days_since_cancellation"), _contracts),
    Topic(
        "profile",
        (*_named("registered"), "acquisition_channel", "acquisition_cost", "region", "age_group"),
        _profile,
    ),
    Topic(
        "referrals",
        (
            "was_referred",
            "referred_customers",
            "days_since_referral",
            "referral_90d",
            "share_90d",
        ),
        _referrals,
    ),
)

_COLUMNS = tuple(tuple(_PLACE[name] for name in topic.features) for topic in TOPICS)


def explain(
    matrix: Float, contributions: Float, prospect: NDArray[np.bool_], vocabulary: Vocabulary
) -> list[list[str]]:
    """Tell the topics that move each customer's churn risk most.

    Parameters
    ----------
    matrix
        Features in the catalogue's order, shape (n, features).
    contributions
        What each adds to the churn log-odds, same shape.
    prospect
        Customers who never bought; theirs is the conversion of others.
    vocabulary
        What the codes of categories stand for.

    Returns
    -------
    list of list of str
        Up to three sentences a customer, each with the direction in which it moves the risk.
    """
    weights = _by_topic(contributions)
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")
    told = []
    for row, ranked, weight, unbought in zip(matrix, order, weights, prospect, strict=True):
        facts = Facts(row, vocabulary)
        told.append([_unbought(facts)] if unbought else _told(facts, ranked, weight))
    return told


def _told(facts: Facts, ranked: NDArray[np.int64], weight: Float) -> list[str]:
    sentences: list[str] = []
    for place in ranked:
        if len(sentences) == TOLD or abs(weight[place]) < SMALLEST:
            break
        # A topic may weigh by what is not there; only what is can be told.
        if sentence := TOPICS[place].sentence(facts):
            direction = "raises" if weight[place] > 0 else "lowers"
            sentences.append(f"{direction} the risk: {sentence}")
    return sentences


def _unbought(facts: Facts) -> str:
    engaged = _joined("no purchase yet", _intent(facts))
    return f"{engaged}: answered from what other prospects with such engagement did"


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
