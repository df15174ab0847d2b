"""A day whose outcomes are known: what every method said of its customers, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.answers import PRODUCT, Answers
from training.dataset import LabelledDay
from training.judged import Judged
from training.population import fit_thresholds
from training.prior import column
from training.rivals import baselines
from training.stage_rules import StageRules
from training.staging import CompanyStages

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Contest:
    """Customers who had bought by a day, their outcomes, and the answers of every method.

    Attributes
    ----------
    learned_days
        How many labelled days the product had to learn from.
    customer_ids
        Int64 or text, shape (n,).
    churned, net_spend
        Outcomes of the horizon after the day, shape (n,); spend in currency.
    active
        Bought within the horizon before the day, shape (n,): the long-gone make any AUC look good.
    stage
        Place in :data:`training.stages.STAGES` by the day's own facts and the product's answers,
        int8, shape (n,).
    answers
        Method to answers; :data:`training.answers.PRODUCT` is the product.
    total
        The product's 90% interval of the net spend of all customers together.
    """

    day: date
    horizon_days: int
    learned_days: int
    customer_ids: NDArray[Any]
    churned: Bool
    net_spend: Float
    active: Bool
    stage: NDArray[np.int8]
    answers: Mapping[str, Answers]
    total: tuple[float, float]

    @property
    def ends(self) -> date:
        """Last day of the outcomes."""
        return self.day + timedelta(days=self.horizon_days)

    def take(self, rows: NDArray[np.int64]) -> Contest:
        """Keep some customers; the total's interval stays that of all of them."""
        return Contest(
            self.day,
            self.horizon_days,
            self.learned_days,
            self.customer_ids[rows],
            self.churned[rows],
            self.net_spend[rows],
            self.active[rows],
            self.stage[rows],
            {method: answers.take(rows) for method, answers in self.answers.items()},
            self.total,
        )


def hold(
    judged: Judged,
    earlier: Sequence[LabelledDay],
    horizon_days: int,
    rules: StageRules,
    silent_days: int | None = None,
    activation_days: int | None = None,
) -> Contest:
    """Set the product's answers of a day beside those of the baselines.

    Parameters
    ----------
    earlier
        Every labelled day whose outcomes had ended by the judged day.
    rules
        Who is in which stage.
    silent_days, activation_days
        What the settings say of the stages; None to fit.
    """
    day = judged.day
    product = Answers(judged.churn_probability, judged.expected_spend, judged.lower, judged.upper)
    # High value is relative: the order of the horizon's spend stands in for that of a year's.
    thresholds = fit_thresholds(
        day.matrix,
        judged.churn_probability,
        judged.expected_spend,
        horizon_days,
        silent_days,
        activation_days,
    )
    said = {
        "churn_probability": judged.churn_probability,
        "expected_spend": judged.expected_spend,
        "annual_value": judged.expected_spend,
    }
    asked = {name: said[name] if name in said else column(day.matrix, name) for name in rules.asked}
    return Contest(
        day=day.as_of,
        horizon_days=horizon_days,
        learned_days=len(earlier),
        customer_ids=day.customer_ids,
        churned=day.churned,
        net_spend=day.net_spend,
        active=column(day.matrix, "recency_days") <= horizon_days,
        stage=CompanyStages(rules, thresholds).assign(asked).stage,
        answers={PRODUCT: product, **baselines(day, earlier, horizon_days)},
        total=(judged.total_lower, judged.total_upper),
    )
