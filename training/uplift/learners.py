"""T-, X- and DR-learners on LightGBM, cross-fitted.

Künzel, Sekhon, Bickel and Yu (2019), "Metalearners for estimating heterogeneous treatment effects
using machine learning"; Kennedy (2023), "Towards optimal doubly robust estimation of heterogeneous
causal effects". They are few lines here and share their first stage, which packages fit anew for
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.trees import BINNING, Machine
from training.uplift.experiment import FOLDS, Bool, Experiment, Float, Int

Learner = Literal["t", "x", "dr"]
LEARNERS: tuple[Learner, ...] = get_args(Learner)

SPLITS = 3
"""Times that the customers are dealt into folds anew, where they are few."""
MANY = 10_000
"""Rows from which on one split does: chance in it decides no more."""
HALVES = 2
"""Parts of what a fold learns from: the score that a row gives is of models of the other part."""
_RESPONSE: dict[str, Any] = {
    "num_leaves": 12, "learning_rate": 0.06, "lambda_l2": 20.0, "feature_fraction": 0.5,
    "bagging_fraction": 0.7, "bagging_freq": 1, "rounds": 90,
}  # fmt: skip
_EFFECT: dict[str, Any] = {
    "num_leaves": 6, "learning_rate": 0.05, "lambda_l2": 50.0, "feature_fraction": 0.4,
    "bagging_fraction": 0.7, "bagging_freq": 1, "rounds": 60,
}  # fmt: skip
FEWEST_IN_LEAF = 40
LEAF_SHARE = 0.02


@dataclass(frozen=True)
class Responses:
    """What is expected of rows by models that have not seen them, arrays of shape (n,).

    Attributes
    ----------
    control, treated
        Chance of a purchase in either arm.
    spend
        Mean net spend of an untreated buyer.
    """

    control: Float
    treated: Float
    spend: Float

    def scores(self, experiment: Experiment, rows: Int) -> tuple[Float, Float]:
        """Doubly robust scores of some rows: of the purchase, and of net spend."""
        treated, chance = experiment.treated[rows], experiment.chance[rows]
        weight = np.where(treated, 1 / chance, -1 / (1 - chance))
        said = np.where(treated, self.treated, self.control)
        effect = self.treated - self.control
        purchase = effect + weight * (experiment.purchased[rows] - said)
        spend = effect * self.spend + weight * (experiment.net_spend[rows] - said * self.spend)
        return purchase, spend


@dataclass(frozen=True)
class CrossFitted:
    """Responses and uplifts of every row of an experiment, by models of other customers.

    Attributes
    ----------
    uplift
        Shape (n,), by learner.
    purchase_score, spend_score
        Doubly robust scores, shape (n,).
    """

    responses: Responses
    purchase_score: Float
    spend_score: Float
    uplift: dict[Learner, Float]


def cross_fit(experiment: Experiment, machine: Machine) -> CrossFitted:
    """Fit all learners, a fold of customers after the other, in several splits.

    In each fold the responses are learned from one half of the other customers and make the scores
    of the other half, from which the effects are learned: no score is of a model that has seen it.
    What a row is said to be is the mean over the splits, so that chance in one of them does not
    decide.
    """
    count = SPLITS if len(experiment) < MANY else 1
    splits = [_split(experiment, machine, machine.seed + number) for number in range(count)]

    def mean(columns: Sequence[Float]) -> Float:
        found: Float = np.mean(columns, axis=0)
        return found

    responses = Responses(
        mean([one.responses.control for one in splits]),
        mean([one.responses.treated for one in splits]),
        mean([one.responses.spend for one in splits]),
    )
    return CrossFitted(
        responses,
        mean([one.purchase_score for one in splits]),
        mean([one.spend_score for one in splits]),
        {learner: mean([one.uplift[learner] for one in splits]) for learner in LEARNERS},
    )


def _split(experiment: Experiment, machine: Machine, seed: int) -> CrossFitted:
    fold = experiment.folds(seed)
    n = len(experiment)
    said = {name: np.empty(n) for name in ("control", "treated", "spend")}
    uplift: dict[Learner, Float] = {learner: np.empty(n) for learner in LEARNERS}
    half = np.random.default_rng([seed, 1]).integers(0, HALVES, int(experiment.customer.max()) + 1)[
        experiment.customer
    ]
    for number in range(FOLDS):
        judged = np.flatnonzero(fold == number)
        parts = [np.flatnonzero((fold != number) & (half == h)) for h in range(HALVES)]
        arms = [_arms(experiment, part, machine) for part in parts]
        by_arms = [_respond(models, experiment.matrix[judged], machine) for models in arms]
        for name, column in said.items():
            column[judged] = np.mean([getattr(one, name) for one in by_arms], axis=0)
        for learner, effect in _effects(experiment, parts, arms, judged, machine).items():
            uplift[learner][judged] = effect
    responses = Responses(**said)
    purchase, spend = responses.scores(experiment, np.arange(n))
    return CrossFitted(responses, purchase, spend, uplift)


def _arms(
    experiment: Experiment, rows: Int, machine: Machine
) -> tuple[lgb.Booster, lgb.Booster, lgb.Booster]:
    """Learn the chance of a purchase in the control and the treated arm, and an order's worth."""
    treated = experiment.treated[rows]
    models = [
        _grow("binary", experiment, part, experiment.purchased[part], _RESPONSE, machine)
        for part in (rows[~treated], rows[treated])
    ]
    buyers = rows[~treated & experiment.purchased[rows]]
    worth = _grow(
        "regression", experiment, buyers, experiment.net_spend[buyers], _RESPONSE, machine
    )
    return models[0], models[1], worth


def _respond(models: Sequence[lgb.Booster], matrix: Any, machine: Machine) -> Responses:  # noqa: ANN401
    control, treated, worth = (m.predict(matrix, num_threads=machine.threads) for m in models)
    return Responses(control, treated, np.maximum(worth, 0.0))


def _effects(
    experiment: Experiment,
    parts: Sequence[Int],
    arms: Sequence[tuple[lgb.Booster, ...]],
    judged: Int,
    machine: Machine,
) -> dict[Learner, Float]:
    """Learn the effects from the rows of some parts, and predict those of the judged rows."""
    rows, scores, imputed = [], [], []
    for part, other in zip(parts, reversed(arms), strict=True):
        said = _respond(other, experiment.matrix[part], machine)
        rows.append(part)
        scores.append(said.scores(experiment, part)[0])
        bought = experiment.purchased[part]
        treated = experiment.treated[part]
        imputed.append(np.where(treated, bought - said.control, said.treated - bought))
    row, score, effect = (np.concatenate(one) for one in (rows, scores, imputed))
    treated = experiment.treated[row]

    share = float(treated.mean())

    def learned(chosen: Bool | slice, target: Float) -> Float:
        model = _grow("regression", experiment, row[chosen], target[chosen], _EFFECT, machine)
        return _said(model, experiment, judged, machine)

    def responded(arm: Bool) -> Float:
        bought = experiment.purchased[row[arm]]
        model = _grow("binary", experiment, row[arm], bought, _RESPONSE, machine)
        return _said(model, experiment, judged, machine)

    return {
        "t": responded(treated) - responded(~treated),
        # The effect among the untreated counts where most are treated, and the other way round.
        "x": share * learned(~treated, effect) + (1 - share) * learned(treated, effect),
        "dr": learned(slice(None), score),
    }


def _said(model: lgb.Booster, experiment: Experiment, rows: Int, machine: Machine) -> Float:
    said: Float = model.predict(experiment.matrix[rows], num_threads=machine.threads)
    return said


def _grow(
    objective: str,
    experiment: Experiment,
    rows: Int,
    label: NDArray[Any],
    parameters: dict[str, Any],
    machine: Machine,
) -> lgb.Booster:
    """Fit small trees; a leaf holds so many rows that noise cannot fill it."""
    fewest = max(FEWEST_IN_LEAF, round(LEAF_SHARE * len(label)))
    given = {k: v for k, v in parameters.items() if k != "rounds"}
    dataset = lgb.Dataset(
        experiment.matrix[rows],
        label.astype(np.float64),
        categorical_feature=list(experiment.categories),
        params={**BINNING, "verbosity": -1},
    )
    return lgb.train(
        {"objective": objective, "min_child_samples": fewest, **given, **machine.parameters()},
        dataset,
        num_boost_round=parameters["rounds"],
    )
