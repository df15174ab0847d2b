"""All pictures of a run: which there are, what each answers, and how they come into a folder."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from features.matrix import matrix_of
from training.attribution import tree_shap
from training.plots.canvas import DPI
from training.plots.churn import calibration, gains
from training.plots.drift import drift
from training.plots.features import contributions, importance
from training.plots.rounds import rounds
from training.plots.skills import skills
from training.plots.spend import coverage, deciles, residuals
from training.plots.tuning import tuning
from training.tracking.drift import Drift
from training.tracking.training import Training

Float = NDArray[np.float64]

SHAP_CUSTOMERS = 300
"""Customers whose answers are taken apart."""

QUESTIONS: Mapping[str, str] = {
    "01_is_it_better_than_the_baselines": "Is it better than the best baseline, day by day?",
    "02_does_churn_come_as_said": "Does churn come as often as said?",
    "03_who_is_found_first": "How many of those who leave or come back are found first?",
    "04_does_spend_come_as_said": "Is spend what was said, tenth by tenth?",
    "05_do_the_intervals_hold": "Do the intervals of spend hold, by tenth and by stage?",
    "06_which_stages_are_off": "In which stages is it off?",
    "07_what_moves_churn": "What moves the churn probability of today's customers?",
    "08_what_moves_spend": "What do the trees add to the spend of today's customers?",
    "09_which_features_do_the_trees_use": "Which features do the trees use?",
    "10_were_there_enough_trees": "Were there enough trees, or too many?",
    "11_what_did_tuning_find_for_churn": "What did tuning find for churn, and what mattered?",
    "12_what_did_tuning_find_for_spend": "What did tuning find for spend, and what mattered?",
    "13_what_moved_since_the_champion": "What has moved since the champion?",
}
"""File to the question that it answers, in the order in which to look."""


@dataclass(frozen=True)
class Album:
    """The pictures of one training."""

    training: Training
    drift: Drift | None
    threads: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Those that this training can have, in order."""
        return tuple(sorted(self._painters()))

    def save(self, folder: Path) -> None:
        """Draw every picture into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with _uncollected():
            for name, paint in self._painters().items():
                paint().savefig(folder / f"{name}.png", dpi=DPI, pil_kwargs={"compress_level": 2})

    def _painters(self) -> dict[str, Callable[[], Figure]]:
        return {**self._judged(), **self._features(), **self._learning(), **self._moved()}

    def _judged(self) -> dict[str, Callable[[], Figure]]:
        evaluation, currency = self.training.evaluation, self.training.bundle.currency
        if evaluation is None:
            return {}
        newest = self.training.contests[-1]
        return {
            "01_is_it_better_than_the_baselines": partial(skills, evaluation, newest.horizon_days),
            "02_does_churn_come_as_said": partial(calibration, newest),
            "03_who_is_found_first": partial(gains, newest),
            "04_does_spend_come_as_said": partial(deciles, newest, currency),
            "05_do_the_intervals_hold": partial(coverage, newest),
            "06_which_stages_are_off": partial(residuals, newest, currency),
        }

    def _features(self) -> dict[str, Callable[[], Figure]]:
        bundle, grown = self.training.bundle, self.training.learned.trees
        found: dict[str, Callable[[], Figure]] = {"07_what_moves_churn": self._moves_churn}
        if bundle.trees.spend is not None:
            found["08_what_moves_spend"] = self._moves_spend
        if grown.churn is not None:
            found["09_which_features_do_the_trees_use"] = partial(
                importance, grown.churn, grown.spend
            )
        return found

    def _learning(self) -> dict[str, Callable[[], Figure]]:
        learned = self.training.learned
        found: dict[str, Callable[[], Figure]] = {}
        if learned.curves:
            found["10_were_there_enough_trees"] = partial(rounds, learned.curves)
        if learned.recipe.churn.trials:
            found["11_what_did_tuning_find_for_churn"] = partial(
                tuning, learned.recipe.churn.trials, "churn"
            )
        if learned.recipe.spend.trials:
            found["12_what_did_tuning_find_for_spend"] = partial(
                tuning, learned.recipe.spend.trials, "spend"
            )
        return found

    def _moved(self) -> dict[str, Callable[[], Figure]]:
        if self.drift is None:
            return {}
        return {"13_what_moved_since_the_champion": partial(drift, self.drift)}

    def _moves_churn(self) -> Figure:
        bundle, matrix = self.training.bundle, self._taken_apart()
        return contributions(
            matrix,
            bundle.attribution(matrix, "exact", self.threads).contributions,
            "What moves the churn probability?",
            f"{len(matrix):,} customers of {bundle.as_of} drawn at random, a dot each; left lowers "
            "the risk, right raises it; prior (Shapley) and trees (TreeSHAP) together",
            "log-odds of churn",
        )

    def _moves_spend(self) -> Figure:
        bundle, matrix = self.training.bundle, self._taken_apart()
        return contributions(
            matrix,
            tree_shap(bundle.trees.spend, matrix, self.threads).contributions,
            "What do the trees add to the spend of who buys?",
            f"{len(matrix):,} customers of {bundle.as_of} drawn at random, a dot each; what the "
            "trees (TreeSHAP) add to Gamma-Gamma's mean",
            "log of spend given a purchase",
        )

    def _taken_apart(self) -> Float:
        some = self.training.today.slice(0, SHAP_CUSTOMERS)
        return matrix_of(some, self.training.bundle.vocabulary)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Put garbage collection off: a picture is so many objects that it took a fifth of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
