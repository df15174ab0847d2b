"""Made-up days with known outcomes, and methods that know more or less of them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.answers import BTYD, PAST, PRODUCT, Answers
from training.contest import Contest

Float = NDArray[np.float64]
FIRST = date(2024, 1, 1)


def answers(churn: Float, mean: Float) -> Answers:
    """Answers of a method that takes spend given a purchase for exponential."""
    chance = 1 - churn
    sides = []
    for coverage in (0.5, 0.8, 0.9):
        tail = (1 - coverage) / 2
        silent = churn > tail
        lower = np.where(silent, 0.0, -np.log(np.clip(1 - (tail - churn) / chance, 1e-9, 1)))
        # Where silence takes the whole lower tail, the upper one gets all that may be missed.
        missed = np.where(silent, 1 - coverage, tail)
        sides.append((lower, np.log(np.maximum(chance / missed, 1.0))))
    lower, upper = (np.stack(side, axis=1) * mean[:, None] for side in zip(*sides, strict=True))
    return Answers(churn, chance * mean, np.maximum(lower, 0.0), upper)


def contest(
    customers: int = 600,
    seed: int = 1,
    place: int = 0,
    noise: tuple[float, float, float] = (0.2, 0.8, 1.2),
    shift: float = 0.0,
    learned_days: int = 4,
) -> Contest:
    """A day on which each method sees the truth through its own noise, the product through least.

    Parameters
    ----------
    noise
        Of the product, BG/NBD and past spend, on the log-odds and on the log of the mean.
    shift
        Added to the product's log-odds: a level that is off.
    """
    rng = np.random.default_rng([seed, place])
    truth = expit(rng.normal(0.5, 1.2, customers))
    value = rng.lognormal(3, 0.7, customers)
    purchased = rng.random(customers) > truth
    spend = np.where(purchased, value * rng.exponential(1.0, customers), 0.0)
    said = {}
    for method, spread in zip((PRODUCT, BTYD, PAST), noise, strict=True):
        off = shift if method == PRODUCT else 0.0
        churn = expit(logit(truth) + spread * rng.normal(size=customers) + off)
        said[method] = answers(churn, value * np.exp(spread * rng.normal(size=customers) / 2))
    total = float(said[PRODUCT].expected_spend.sum())
    return Contest(
        day=FIRST + timedelta(days=30 * place),
        horizon_days=60,
        learned_days=learned_days + place,
        customer_ids=np.arange(customers),
        churned=~purchased,
        net_spend=spend,
        active=rng.random(customers) < 0.7,
        stage=rng.integers(2, 8, customers).astype(np.int8),
        answers=said,
        total=(0.8 * total, 1.25 * total),
    )
