"""How the loss falls as trees are added, on a day that they had learned from and on one that not.

The loss is the tuning's own: of the day's rows with the day's own level, so that it says what the
trees know of customers and nothing of seasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.dataset import LabelledDay, tree_matrix
from training.metrics import log_losses
from training.trees import Task, outcomes

Float = NDArray[np.float64]

MARKS = 24
"""Numbers of trees at which the loss is taken."""
MOST_ROWS = 20_000
"""Customers of a day by whom it is taken."""


@dataclass(frozen=True)
class Curve:
    """Loss of one task by number of trees, on one day.

    Attributes
    ----------
    trees
        Rising from 0, the prior alone, shape (k,).
    loss
        Mean log loss for churn, mean gamma deviance for spend, shape (k,).
    """

    day: date
    trees: NDArray[np.int64]
    loss: Float

    @property
    def saved(self) -> Float:
        """Share of the prior's loss that the trees take away, shape (k,)."""
        saved: Float = 1 - self.loss / self.loss[0]
        return saved


def curve(
    task: Task, booster: lgb.Booster, day: LabelledDay, seed: int, threads: int = 1
) -> Curve | None:
    """Follow a booster's loss on a day; None where nobody bought and spend has no loss.

    Each tree is asked once: the raw score is added up between the marks.
    """
    if len(day.matrix) > MOST_ROWS:
        chosen = np.random.default_rng(seed).choice(len(day.matrix), MOST_ROWS, replace=False)
        day = day.take(np.sort(chosen))
    score, label = outcomes(task, day)
    if not len(label):
        return None
    matrix = tree_matrix(day.matrix if task == "churn" else day.matrix[day.purchased])
    trees = np.unique(np.linspace(0, booster.num_trees(), MARKS).astype(np.int64))
    losses = [_loss(task, score, label)]
    for start, end in pairwise(trees):
        score = score + booster.predict(
            matrix,
            raw_score=True,
            start_iteration=int(start),
            num_iteration=int(end - start),
            num_threads=threads,
        )
        losses.append(_loss(task, score, label))
    return Curve(day.as_of, trees, np.array(losses))


def _loss(task: Task, score: Float, label: Float) -> float:
    if task == "churn":
        return float(log_losses(expit(score), label > 0).mean())
    ratio = label / np.exp(score)
    return float(2 * (ratio - 1 - np.log(ratio)).mean())
