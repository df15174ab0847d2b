"""What was measured of an action: its level, whom it moves more than others, and how sure that is.

The level is on the log-odds of a purchase, as the playbook states it: one number that means as much
for a chance of 1% as for one of 97%. Whom an action moves more than others is learned
(:mod:`training.uplift.learners`); that anything was found is said where treating by that ranking
moves more than treating at random does, on customers whom the learner has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from training.trees import Machine
from training.uplift.curves import Curve, Estimate, Fifth, calibration, curve
from training.uplift.experiment import Experiment, Float, clustered
from training.uplift.learners import LEARNERS, CrossFitted, Learner, cross_fit

LARGEST = 4.0
"""Log-odds beyond which a level is not looked for."""
CLEAR = 2.13
"""Errors that a Qini must lie above zero: 5% that any of three learners' does by chance."""
CHANCES = (0.002, 0.998)


def moved(chance: Float, level: float) -> Float:
    """Change of a chance whose log-odds are raised by a level.

    >>> moved(np.array([0.5]), float(np.log(3))).round(3).tolist()
    [0.25]
    """
    changed: Float = expit(logit(np.clip(chance, *CHANCES)) + level) - np.clip(chance, *CHANCES)
    return changed


@dataclass(frozen=True)
class Measured:
    """What the treatments with a control arm say of one action.

    Attributes
    ----------
    treated, control
        Rows of either arm.
    effect
        Mean change of the chance of a purchase.
    level
        The same on the log-odds.
    spend
        Relative change of a buyer's net spend.
    learner
        Whose ranking is clearest, of the three.
    slope
        Of the effects that are seen on those that it says; 1 if its differences are right.
    curve, fifths
        Of the learner's ranking.
    qini
        Of every learner.
    """

    action: str
    treated: int
    control: int
    effect: Estimate
    level: Estimate
    spend: Estimate
    learner: Learner
    slope: Estimate
    curve: Curve
    fifths: tuple[Fifth, ...]
    qini: dict[Learner, Estimate]

    @property
    def differs(self) -> bool:
        """Whether customers were found to differ in what the action does to them."""
        return self.curve.qini.z > CLEAR


def measure(experiment: Experiment, machine: Machine) -> Measured:
    """Measure what an action does.

    The arms were drawn at the chances that the experiment states; whether that can be so,
    :func:`training.uplift.balance.balance` tells.
    """
    fitted = cross_fit(experiment, machine)
    effect = Estimate(*clustered(fitted.purchase_score, experiment.customer))
    level = _level(fitted.responses.control, effect)
    spend = _spend(fitted, experiment)
    curves = {
        name: curve(fitted.uplift[name], fitted.purchase_score, experiment.customer)
        for name in LEARNERS
    }
    best = max(LEARNERS, key=lambda name: curves[name].qini.z)
    return Measured(
        experiment.action,
        int(experiment.treated.sum()),
        int((~experiment.treated).sum()),
        effect,
        level,
        spend,
        best,
        _slope(fitted.uplift[best], fitted.purchase_score, experiment),
        curves[best],
        calibration(fitted.uplift[best], fitted.purchase_score, experiment.customer),
        {name: one.qini for name, one in curves.items()},
    )


def _level(control: Float, effect: Estimate) -> Estimate:
    """Find the level on the log-odds at which the mean change is the one that was measured."""

    def off(level: float) -> float:
        return float(moved(control, level).mean()) - effect.value

    if off(-LARGEST) >= 0 or off(LARGEST) <= 0:
        value = LARGEST if effect.value > 0 else -LARGEST
    else:
        value = float(brentq(off, -LARGEST, LARGEST))
    chance = expit(logit(np.clip(control, *CHANCES)) + value)
    return Estimate(value, effect.error / float((chance * (1 - chance)).mean()))


def _spend(fitted: CrossFitted, experiment: Experiment) -> Estimate:
    """Measure the relative change of a buyer's spend.

    What is left of the change in net spend when the additional buyers, at what they usually spend,
    are taken out, over what buyers under the action would have spent.
    """
    said = fitted.responses
    left = fitted.spend_score - said.spend * fitted.purchase_score
    base = float((said.treated * said.spend).mean())
    mean, error = clustered(left, experiment.customer)
    return Estimate(mean / base, error / base) if base > 0 else Estimate(0.0, np.inf)


def _slope(said: Float, seen: Float, experiment: Experiment) -> Estimate:
    """Regress scores on an uplift (the best linear predictor of Chernozhukov et al. 2018)."""
    about = said - said.mean()
    spread = float((about**2).mean())
    if spread <= 0:
        return Estimate(0.0, np.inf)
    slope = float((about * seen).mean()) / spread
    left = seen - seen.mean() - slope * about
    return Estimate(slope, clustered(about * left, experiment.customer)[1] / spread)
