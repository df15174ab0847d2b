"""Measures of churn probabilities and spend predictions against what then happened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
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


def calibration_range(
    probability: Float, bins: int = 20, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """95% range of the calibration error that these probabilities have where they are the truth.

    Outcomes are drawn from the probabilities: chance alone leaves a gap in every bin.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(probability, kind="stable")
    rising = probability[order]
    starts = np.flatnonzero(np.diff(rising, prepend=np.nan) != 0)
    tie = np.cumsum(np.diff(rising, prepend=np.nan) != 0) - 1
    size = np.diff(starts, append=len(rising))
    bin_starts = np.array([group[0] for group in np.array_split(np.arange(len(rising)), bins)
                           if len(group)])  # fmt: skip
    errors = []
    for _ in range(draws):
        happened = (rng.random(len(rising)) < rising).astype(np.float64)
        gap = rising - (np.add.reduceat(happened, starts) / size)[tie]
        errors.append(abs(np.add.reduceat(gap, bin_starts)).sum() / len(rising))
    lower, upper = np.quantile(errors, [0.025, 0.975])
    return float(lower), float(upper)


def calibration_line(probability: Float, happened: Bool) -> tuple[float, float]:
    """Slope and intercept of the outcomes' log-odds on those that were said (Cox 1958).

    A slope below 1 says that answers are too sure; the intercept is what is left at even odds.
    NaN where only one outcome was seen.

    >>> even = np.repeat([0.2, 0.8], 10)
    >>> slope, intercept = calibration_line(even, np.arange(20) % 10 < np.repeat([2, 8], 10))
    >>> round(slope, 6), abs(round(intercept, 6))
    (1.0, 0.0)
    """
    if happened.all() or not happened.any():
        return float("nan"), float("nan")
    said = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    sign = np.where(happened, 1.0, -1.0)

    def loss(line: Float) -> tuple[float, Float]:
        margin = sign * (line[0] * said + line[1])
        weight = -sign * expit(-margin)
        return float(np.logaddexp(0, -margin).mean()), np.array(
            [(weight * said).mean(), weight.mean()]
        )

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-7})
    return float(found.x[0]), float(found.x[1])


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


def decile_noise(
    churn: Float, said: Float, seen: Float, purchased: Bool, draws: int = 100, seed: int = 0
) -> float:
    """Mean decile error of someone who knows every customer's true mean: what chance leaves.

    Spend is drawn from what was said: nothing with the churn probability, else the mean given a
    purchase times a ratio of seen to said of a buyer of like churn probability, scaled to a mean
    of one. NaN with fewer than 30 buyers, too few to show how spend scatters.
    """
    if purchased.sum() < 30:
        return float("nan")
    rng = np.random.default_rng(seed)
    mean = said / np.maximum(1 - churn, 1e-6)
    buyers = np.flatnonzero(purchased)
    edges = np.quantile(churn[buyers], np.arange(1, 5) / 5)
    group, buyer_group = np.searchsorted(edges, churn), np.searchsorted(edges, churn[buyers])
    pools = []
    for place in range(len(edges) + 1):
        alike = buyers[buyer_group == place] if (buyer_group == place).any() else buyers
        ratio = seen[alike] / np.maximum(mean[alike], 1e-9)
        pools.append(ratio / ratio.mean() if ratio.mean() > 0 else np.ones(len(ratio)))
    starts = np.cumsum([0, *map(len, pools)])[:-1]
    ratios, sizes = np.concatenate(pools), np.array([len(pool) for pool in pools])
    deciles = np.zeros(len(said), dtype=np.int64)
    for place, rows in enumerate(equal_mass_bins(said, 10)):
        deciles[rows] = place
    promised = np.bincount(deciles, said)
    errors = []
    for _ in range(draws):
        pick = starts[group] + (rng.random(len(said)) * sizes[group]).astype(np.int64)
        spent = np.where(rng.random(len(said)) < churn, 0.0, mean * ratios[pick])
        total = spent.sum()
        errors.append(abs(promised - np.bincount(deciles, spent)).sum() / total if total else 0.0)
    return float(np.mean(errors))


def value_capture(said: Float, seen: Float, share: float = 0.1) -> float:
    """Spend of the predicted top tenth over spend of the true top tenth."""
    count = max(1, int(len(said) * share))
    best = np.sort(seen)[-count:].sum()
    taken = shared_outcome(said, seen)[np.argsort(-said, kind="stable")[:count]].sum()
    return float(taken / best) if best > 0 else float("nan")


def churn_metrics(probability: Float, churned: Bool) -> dict[str, float]:
    """AUC, PR-AUC, log loss, calibration (error, slope, intercept) and mean said and seen.

    Where only one outcome was seen the ranking measures are NaN.
    """
    both = bool(churned.any() and not churned.all())
    slope, intercept = calibration_line(probability, churned)
    return {
        "auc": float(roc_auc_score(churned, probability)) if both else float("nan"),
        "pr_auc": float(average_precision_score(churned, probability)) if both else float("nan"),
        "log_loss": float(log_losses(probability, churned).mean()),
        "calibration_error": calibration_error(probability, churned),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "churn_said": float(probability.mean()),
        "churn_seen": float(churned.mean()),
    }


def spend_metrics(said: Float, seen: Float) -> dict[str, float]:
    """Deviance, ranking, totals and the top tenth's capture."""
    ratio = float(said.sum() / seen.sum()) if seen.sum() > 0 else float("nan")
    constant = len(np.unique(said)) < 2 or len(np.unique(seen)) < 2
    return {
        "spend_deviance": tweedie_deviance(said, seen),
        "spend_gini": normalised_gini(said, seen),
        "spend_spearman": float("nan") if constant else float(spearmanr(said, seen).statistic),
        "spend_total_ratio": ratio,
        "spend_total_log": float(np.log(ratio)) if ratio > 0 else float("nan"),
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
