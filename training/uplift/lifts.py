"""What was measured of all actions that were ever tried, as a scorer carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.trees import Machine
from training.uplift.balance import Balance, balance
from training.uplift.expected import expect
from training.uplift.experiment import Experiment
from training.uplift.lift import Lift, lift, over_horizon
from training.uplift.moderators import Moderators

Float = NDArray[np.float64]
Verdict = Literal["measured", "not_random", "too_few"]

FEWEST_ROWS = 300
FEWEST_BUYERS = 30
"""Below so many in either arm nothing is measured."""
METHOD = 2
"""Of measuring: what was measured by another is measured again."""
MANY_ROWS = 100_000
"""Below so many, threads wait for one another longer than they work on a machine that is busy."""
SPREADS = (0.0, 0.01, 0.015, 0.02, 0.03, 0.04, 0.055, 0.075, 0.1, 0.13, 0.17, 0.22, 0.3)
"""Sizes that differences between customers may have, in logs a standard deviation of a fact."""


@dataclass(frozen=True)
class Tried:
    """One action that was assigned: how often, and what can be said of its effect.

    Attributes
    ----------
    treated, control
        Rows of either arm.
    why
        It was not measured; empty if it was.
    """

    action: str
    treated: int
    control: int
    verdict: Verdict
    why: str = ""
    lift: Lift | None = None


@dataclass(frozen=True)
class Lifts:
    """Every action that was tried, by name, and the facts by which effects may differ."""

    tried: tuple[Tried, ...] = ()
    moderators: Moderators = field(default_factory=Moderators)

    @property
    def measured(self) -> dict[str, Lift]:
        """What was measured, by action."""
        return {one.action: one.lift for one in self.tried if one.lift is not None}

    @cached_property
    def _sizes(self) -> Float:
        """Logarithm of how much likelier each of :data:`SPREADS` makes what was seen than none."""
        measured = self.measured.values()
        return np.array([sum(_likelihood(one, size) for one in measured) for size in SPREADS])

    @property
    def spread(self) -> Float:
        """How likely each of :data:`SPREADS` is, by all that was measured of all actions.

        A hierarchical model (Efron and Morris 1973) in which all sizes are as likely beforehand.
        """
        likely = np.exp(self._sizes - self._sizes.max())
        shares: Float = likely / likely.sum()
        return shares

    @property
    def differ(self) -> float:
        """How much likelier differences between customers make what was seen, in logs."""
        most = float(self._sizes.max())
        return most + float(np.log(np.exp(self._sizes - most).mean()))

    def differences(self, action: str) -> tuple[Float, Float]:
        """What goes with each fact: mean and covariance, in logs a standard deviation.

        Over all sizes that the differences may have, as likely as they are.
        """
        one = self.measured[action]
        pull, told = np.array(one.pull), np.array(one.told, dtype=np.float64)
        mean, second = np.zeros(len(pull)), np.zeros((len(pull), len(pull)))
        for size, likely in zip(SPREADS, self.spread, strict=True):
            if size > 0 and len(pull):
                covariance = np.linalg.inv(told + np.eye(len(pull)) / size**2)
                here = covariance @ pull
                mean += likely * here
                second += likely * (covariance + np.outer(here, here))
        return mean, second - np.outer(mean, mean)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Lifts:
        """Read it back."""
        tried = tuple(
            Tried(**{**one, "lift": None if one["lift"] is None else Lift.from_dict(one["lift"])})
            for one in values["tried"]
        )
        facts = {name: tuple(column) for name, column in values["moderators"].items()}
        return cls(tried, Moderators(**facts))


def _likelihood(one: Lift, size: float) -> float:
    """Marginal log-likelihood of a size of the differences, less that of none."""
    if size == 0 or not one.pull:
        return 0.0
    pull, told = np.array(one.pull), np.array(one.told)
    unit = np.eye(len(pull))
    fitted = 0.5 * float(pull @ np.linalg.solve(told + unit / size**2, pull))
    return fitted - 0.5 * float(np.linalg.slogdet(unit + size**2 * told)[1])


def measure_lifts(trials: Sequence[Experiment], machine: Machine) -> Lifts:
    """Measure every action that can be, and say of the others why not."""
    machine = sized(machine, sum(map(len, trials)))
    tried = [judge(one, machine) for one in trials]
    usable = [one for one, said in zip(trials, tried, strict=True) if said.verdict == "measured"]
    if not usable:
        return Lifts(tuple(tried))
    rows = expect(usable, machine)
    moderators = Moderators.fit(rows.whole.matrix, rows.whole.names)
    facts = moderators.of(rows.whole.matrix, rows.whole.names)
    lifts = over_horizon([lift(rows, facts, number) for number in range(len(usable))])
    found = dict(zip([one.action for one in usable], lifts, strict=True))
    whole = (
        Tried(t.action, t.treated, t.control, t.verdict, t.why, found.get(t.action)) for t in tried
    )
    return Lifts(tuple(whole), moderators)


def sized(machine: Machine, rows: int) -> Machine:
    """Use as many threads as so many rows are worth: what is found is the same."""
    return machine if rows >= MANY_ROWS else replace(machine, threads=1)


def judge(one: Experiment, machine: Machine) -> Tried:
    """Say whether an action can be measured."""
    treated = int(one.treated.sum())
    arms = (treated, len(one) - treated)
    buyers = min(int(one.purchased[one.treated].sum()), int(one.purchased[~one.treated].sum()))
    if min(arms) < FEWEST_ROWS or buyers < FEWEST_BUYERS:
        why = (
            f"at least {FEWEST_ROWS} rows and {FEWEST_BUYERS} buyers are wanted in either arm; "
            f"the smaller has {min(arms)} and {buyers}"
        )
        return Tried(one.action, *arms, "too_few", why)
    if one.net_spend.sum() <= 0:
        return Tried(one.action, *arms, "too_few", "as much came back as was bought")
    checked = balance(one, machine)
    if not checked.is_random:
        return Tried(one.action, *arms, "not_random", _confounded(checked))
    return Tried(one.action, *arms, "measured")


def _confounded(checked: Balance) -> str:
    return (
        f"the arms were told apart beforehand by {', '.join(checked.by)} ({checked.gain.z:.0f} "
        "standard errors better than the stated chances): who was treated was chosen, and the "
        "difference between the arms is not the action's effect"
    )
