"""The eight lifecycle stages: rules that a person can read, of which the first match wins.

The rules look at facts first (has the customer ever bought, for how long have they been silent)
and at predictions last, so that a prediction never overrules what was seen. Bad news needs to be
strictly beyond its threshold and a window includes its last day: where every customer looks alike
and the fitted thresholds coincide, nobody is called declining.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.population import StageThresholds

STAGE_NAMES_ZH: Mapping[str, str] = {
    "prospect_aware": "潜在客户·认知",
    "prospect_considering": "潜在客户·考虑",
    "churned": "流失客户",
    "won_back": "挽回客户",
    "new": "新客户",
    "declining": "衰退期客户",
    "loyal": "忠实客户",
    "developing": "发展期客户",
}
STAGES: tuple[str, ...] = tuple(STAGE_NAMES_ZH)

STAGE_FEATURES = (
    "purchases",
    "recency_days",
    "tenure_days",
    "gap_mean_days",
    "gap_last_days",
    "lateness",
    "intent_90d",
)


def assign(
    features: Mapping[str, NDArray[np.float64]],
    churn_probability: NDArray[np.float64],
    annual_value: NDArray[np.float64],
    thresholds: StageThresholds,
) -> NDArray[np.int8]:
    """Put every customer in exactly one stage.

    What is unknown (NaN) satisfies no rule: an unknown number of purchases reads as none, an
    unknown churn probability is neither high nor low.

    Parameters
    ----------
    features : mapping of str to float64 arrays of one length
        - purchases: orders with a positive amount known so far
        - recency_days: days since the last purchase, NaN without one
        - tenure_days: days since the first purchase, NaN without one
        - gap_mean_days: mean days between purchase days, NaN with fewer than two
        - gap_last_days: days between the last two purchase days, NaN with fewer than two
        - lateness: recency_days over the usual gap; where NaN, the gap is the customer's own mean,
          else the company's
        - intent_90d: compares, carts, trials and inquiries in the last 90 days, NaN without any
          interactions on record
    churn_probability, annual_value : float64 arrays
        The predictions for the same customers.
    thresholds : StageThresholds
        What is high, low and late in this company.

    Returns
    -------
    int8 array
        For each customer the index of their stage in `STAGES`.

    Raises
    ------
    ValueError
        A feature is missing, or an array is not one row per customer.

    Examples
    --------
    >>> company = StageThresholds(silent_days=91, activation_days=30, churn_high=0.7,
    ...     churn_low=0.3, value_high=200, lateness_high=2, company_gap_days=40)
    >>> def stage(purchases, recency, tenure, gaps, churn=0.5, value=100, intent=0):
    ...     row = dict(purchases=purchases, recency_days=recency, tenure_days=tenure,
    ...         gap_mean_days=gaps[0], gap_last_days=gaps[1], lateness=recency / gaps[0],
    ...         intent_90d=intent)
    ...     columns = {name: np.array([cell], dtype=float) for name, cell in row.items()}
    ...     return STAGES[assign(columns, np.array([churn]), np.array([value]), company)[0]]
    >>> unknown = np.nan
    >>> never = unknown, unknown

    Without an order, engagement makes the difference:

    >>> stage(0, unknown, unknown, never), stage(0, unknown, unknown, never, intent=1)
    ('prospect_aware', 'prospect_considering')

    Silence is a fact, whatever the prediction; the last day of the window is not yet silence:

    >>> stage(5, 92, 400, (60, 60), churn=0.1), stage(5, 91, 400, (60, 60))
    ('churned', 'developing')

    An order after such a silence, then a second one:

    >>> stage(2, 10, 200, (190, 190)), stage(3, 5, 205, (100, 10))
    ('won_back', 'developing')

    A first order inside the activation window:

    >>> stage(1, 30, 30, never, churn=0.9), stage(1, 31, 31, never)
    ('new', 'developing')

    Behind the cadence (with one order, the company's), or of high churn probability:

    >>> stage(5, 41, 400, (20, 20)), stage(1, 81, 81, never), stage(5, 9, 400, (20, 20), churn=0.8)
    ('declining', 'declining', 'declining')

    Steady, safe and valuable at once; an unsteady last gap is not yet loyalty:

    >>> stage(5, 9, 400, (20, 20), 0.3, 200), stage(5, 9, 400, (20, 41), 0.3, 200)
    ('loyal', 'developing')
    """
    columns = _columns(features, churn_probability, annual_value)
    conditions = list(_conditions(columns, thresholds).values())
    indices = [np.int8(index) for index in range(len(STAGES))]
    return np.select(conditions, indices[:-1], default=indices[-1])


def rule_text(stage: str, thresholds: StageThresholds) -> str:
    """Say in a sentence the rule that puts a customer in a stage, with this company's numbers.

    >>> company = StageThresholds(91, 30, 0.7, 0.3, 200, 2, 40)
    >>> rule_text("churned", company)
    'No purchase for more than 91 days.'
    >>> rule_text("asleep", company)
    Traceback (most recent call last):
    ...
    ValueError: unknown stage 'asleep'; use one of prospect_aware, prospect_considering, ...
    """
    if stage not in STAGE_NAMES_ZH:
        raise ValueError(f"unknown stage {stage!r}; use one of {', '.join(STAGES)}")
    return _texts(thresholds)[stage]


def _conditions(
    column: Mapping[str, NDArray[np.float64]], thresholds: StageThresholds
) -> dict[str, NDArray[np.bool_]]:
    """One condition per stage, in the order of `STAGES`; the last stage needs none."""
    bought = column["purchases"] >= 1
    recency, churn = column["recency_days"], column["churn_probability"]
    return {
        "prospect_aware": ~bought & ~(column["intent_90d"] > 0),
        "prospect_considering": ~bought,
        "churned": recency > thresholds.silent_days,
        # The last gap is the silence: with the next order it is no longer the last.
        "won_back": (column["gap_last_days"] > thresholds.silent_days)
        & (recency <= thresholds.activation_days),
        "new": column["tenure_days"] <= thresholds.activation_days,
        "declining": _is_late(column, thresholds) | (churn > thresholds.churn_high),
        # That the present gap is no longer than usual either follows from not being declining.
        "loyal": (column["gap_last_days"] <= thresholds.lateness_high * column["gap_mean_days"])
        & (churn <= thresholds.churn_low)
        & (column["annual_value"] >= thresholds.value_high),
    }


def _is_late(
    column: Mapping[str, NDArray[np.float64]], thresholds: StageThresholds
) -> NDArray[np.bool_]:
    own, lateness = column["gap_mean_days"], column["lateness"]
    usual = np.where(np.isnan(own), thresholds.company_gap_days, own)
    late: NDArray[np.bool_] = np.where(
        np.isnan(lateness),
        column["recency_days"] > thresholds.lateness_high * usual,
        lateness > thresholds.lateness_high,
    )
    return late


def _columns(
    features: Mapping[str, NDArray[np.float64]], churn_probability: ArrayLike, value: ArrayLike
) -> dict[str, NDArray[np.float64]]:
    if missing := [name for name in STAGE_FEATURES if name not in features]:
        raise ValueError(f"the stages need {', '.join(missing)}; add them to the features")
    given: dict[str, Any] = {name: features[name] for name in STAGE_FEATURES}
    given |= {"churn_probability": churn_probability, "annual_value": value}
    columns = {name: np.asarray(cells, dtype=np.float64) for name, cells in given.items()}
    rows = columns["purchases"].shape
    for name, cells in columns.items():
        if cells.ndim != 1 or cells.shape != rows:
            raise ValueError(
                f"{name} has shape {cells.shape}, purchases {rows}; give one row per customer"
            )
    return columns


def _texts(thresholds: StageThresholds) -> dict[str, str]:
    active = "active engagement (compare, cart, trial or inquiry) in the last 90 days"
    silent, activation = _days(thresholds.silent_days), _days(thresholds.activation_days)
    times = f"{_number(thresholds.lateness_high)} times"
    # NaN where nobody ever bought twice: then there is no such gap to speak of.
    company = (
        f" (the customer's own, or with one purchase day the company's "
        f"{_days(thresholds.company_gap_days)})"
        if np.isfinite(thresholds.company_gap_days)
        else ""
    )
    return {
        "prospect_aware": f"No order yet, and no {active}.",
        "prospect_considering": f"No order yet, but {active}.",
        "churned": f"No purchase for more than {silent}.",
        "won_back": f"The last order, at most {activation} ago, is the first after a silence of "
        f"more than {silent}.",
        "new": f"First order at most {activation} ago.",
        "declining": f"Silent for more than {times} the usual gap between purchases{company}, or a "
        f"churn probability above {_number(100 * thresholds.churn_high)}%.",
        "loyal": f"Steady (neither the last gap nor the present one above {times} the usual), a "
        f"churn probability of at most {_number(100 * thresholds.churn_low)}% and an annual value "
        f"of at least {_number(thresholds.value_high)}.",
        "developing": "Has bought, and no other rule applies: neither new, silent, late or at high "
        "risk, nor yet steady, safe and of high value at once.",
    }


def _days(days: float) -> str:
    text = _number(days)
    return f"{text} day" if text == "1" else f"{text} days"


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
