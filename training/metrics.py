"""Measures of churn probabilities and spend predictions against what then happened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


def equal_mass_bins(score: Float, bins: int) -> list[NDArray[np.int64]]:
    """Split rows into groups of equal size by ascending score.

    >>> [group.tolist() for group in equal_mass_bins(np.array([3.0, 1.0, 2.0, 4.0]), 2)]
    [[1, 2], [0, 3]]
    """
    order = np.argsort(score, kind="stable")
    return [group for group in np.array_split(order, bins) if len(group)]


def shared_outcome(score: Float, seen: Float | Bool) -> Float:
    """Give rows of one score their mean outcome, as ties in random order have it on average.

    Without it a tie is decided by the order of rows, and rows stand by customer id.

    >>> shared_outcome(np.array([1.0, 2.0, 1.0]), np.array([0.0, 5.0, 4.0])).tolist()
    [2.0, 5.0, 2.0]
    """
    _, group = np.unique(score, return_inverse=True)
    means: Float = np.bincount(group, seen) / np.bincount(group)
    return means[group]


def calibration_error(probability: Float, happened: Bool, bins: int = 20) -> float:
    """Mean gap between said and seen over bins of equal mass (ECE; Naeini et al. 2015).

    >>> calibration_error(np.full(10, 0.5), np.arange(10) < 5)
    0.0
    """
    seen = shared_outcome(probability, happened)
    groups = equal_mass_bins(probability, bins)
    gaps = [abs(probability[g].mean() - seen[g].mean()) * len(g) for g in groups]
    return float(sum(gaps) / len(probability))


def normalised_gini(said: Float, seen: Float) -> float:
    """Gini of the spend captured in the order of the prediction, over that of the true order.

    >>> normalised_gini(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 9.0]))
    1.0

    A prediction that tells nobody apart captures as much as chance:

    >>> normalised_gini(np.array([1.0, 1.0, 1.0]), np.array([9.0, 5.0, 0.0]))
    0.0
    """
    if seen.sum() <= 0:
        return float("nan")

    def gini(order: Float) -> float:
        descending = np.argsort(-order, kind="stable")
        captured = np.cumsum(shared_outcome(order, seen)[descending]) / seen.sum()
        return float(captured.sum() / len(seen) - (len(seen) + 1) / (2 * len(seen)))

    best = gini(seen)
    return gini(said) / best if best > 0 else float("nan")


def log_losses(probability: Float, happened: Bool) -> Float:
    """Minus the log of the probability given to what happened, row by row."""
    safe = np.clip(probability, 1e-6, 1 - 1e-6)
    return -np.log(np.where(happened, safe, 1 - safe))


def tweedie_deviance(said: Float, seen: Float, power: float = 1.5) -> float:
    """Mean Tweedie deviance, a proper score for the mean of zero-heavy spend (Jørgensen 1987)."""
    return float(tweedie_deviances(said, seen, power).mean())


def tweedie_deviances(said: Float, seen: Float, power: float = 1.5) -> Float:
    """Tweedie deviance row by row; net spend below nothing counts as nothing."""
    y = np.maximum(seen, 0.0)
    mu = np.maximum(said, 1e-6)
    terms: Float = (
        y ** (2 - power) / ((1 - power) * (2 - power))
        - y * mu ** (1 - power) / (1 - power)
        + mu ** (2 - power) / (2 - power)
    )
    return 2 * terms


def decile_error(said: Float, seen: Float) -> float:
    """Mean absolute gap of decile totals over the mean decile total, deciles by prediction."""
    groups = equal_mass_bins(said, 10)
    total = abs(seen.sum())
    if total == 0:
        return float("nan")
    outcome = shared_outcome(said, seen)
    return float(sum(abs(said[g].sum() - outcome[g].sum()) for g in groups) / total)


def value_capture(said: Float, seen: Float, share: float = 0.1) -> float:
    """Spend of the predicted top tenth over spend of the true top tenth."""
    count = max(1, int(len(said) * share))
    best = np.sort(seen)[-count:].sum()
    taken = shared_outcome(said, seen)[np.argsort(-said, kind="stable")[:count]].sum()
    return float(taken / best) if best > 0 else float("nan")


def churn_metrics(probability: Float, churned: Bool) -> dict[str, float]:
    """AUC, PR-AUC, log loss, calibration error and mean said and seen.

    Where only one outcome was seen the ranking measures are NaN.
    """
    both = bool(churned.any() and not churned.all())
    return {
        "auc": float(roc_auc_score(churned, probability)) if both else float("nan"),
        "pr_auc": float(average_precision_score(churned, probability)) if both else float("nan"),
        "log_loss": float(log_losses(probability, churned).mean()),
        "calibration_error": calibration_error(probability, churned),
        "churn_said": float(probability.mean()),
        "churn_seen": float(churned.mean()),
    }


def spend_metrics(said: Float, seen: Float) -> dict[str, float]:
    """Deviance, ranking, totals and the top tenth's capture."""
    constant = len(np.unique(said)) < 2 or len(np.unique(seen)) < 2
    return {
        "spend_deviance": tweedie_deviance(said, seen),
        "spend_gini": normalised_gini(said, seen),
        "spend_spearman": float("nan") if constant else float(spearmanr(said, seen).statistic),
        "spend_total_ratio": float(said.sum() / seen.sum()) if seen.sum() > 0 else float("nan"),
        "spend_decile_error": decile_error(said, seen),
        "value_capture": value_capture(said, seen),
    }


def interval_score(lower: Float, upper: Float, seen: Float, coverage: float) -> Float:
    """Width, and a fine for each miss, row by row (Gneiting and Raftery 2007, eq. 43)."""
    fine = 2 / (1 - coverage)
    return (upper - lower) + fine * (np.maximum(lower - seen, 0) + np.maximum(seen - upper, 0))


def interval_metrics(lower: Float, upper: Float, seen: Float, coverage: float) -> dict[str, float]:
    """Share of outcomes inside the interval, and its mean score; the names carry the coverage."""
    inside = (seen >= lower) & (seen <= upper)
    score = interval_score(lower, upper, seen, coverage)
    return {
        f"coverage_{coverage:.0%}".rstrip("%"): float(inside.mean()),
        f"interval_score_{coverage:.0%}".rstrip("%"): float(score.mean()),
    }
