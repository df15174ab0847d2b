"""What could be known: the exact chances of what no table shows, given all that the tables do.

The forward filter of a hidden Markov chain (Rabiner 1989), a row a customer: a weight on each
class outside and within a spell of interest, and one on having left. Whoever knew the world's
parameters and read everything up to a day could know no more; so what follows from it is the best
that any method can say, and the plan made of it the best that any method can make. Rows that
arrive late are taken as known on their own day, which makes the bound a little too good.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.worlds.chances import (
    Chances,
    complaint_chance,
    customer_chances,
    prospect_chances,
    quit_chance,
    renewal_chance,
)
from pipelines.worlds.company import Company
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.living import MOST, factor_on
from pipelines.worlds.seen import Seen

Weights = NDArray[np.float32]
EVERY = slice(None)


@dataclass
class Posterior:
    """Weights of all who are known; each row, with ``gone``, sums to 1.

    Attributes
    ----------
    quiet, within
        Person x class: still there, outside and within a spell of interest.
    gone
        Has left.
    log_values, priced
        Sum of the logarithms of order values freed of prices and promotions, and how many.
    """

    quiet: Weights
    within: Weights
    gone: Weights
    log_values: Floats
    priced: Ints

    @classmethod
    def empty(cls, size: int, classes: int) -> Posterior:
        """Nobody is known yet."""
        nothing = np.zeros((size, classes), dtype=np.float32)
        return cls(
            nothing,
            nothing.copy(),
            np.zeros(size, dtype=np.float32),
            np.zeros(size),
            np.zeros(size, dtype=np.int64),
        )

    def copy(self) -> Posterior:
        """Give one that goes its own way from here."""
        return copy.deepcopy(self)

    def learn(self, company: Company, seen: Seen) -> None:
        """Take in a day."""
        known = len(seen.was_customer)
        rows = _Rows(self, known)
        rows.annoy(company, seen)
        chances = _chances(company, seen, known)
        rows.think(chances)
        buyers = seen.buyers[seen.buyers < known]
        rows.order(company, seen, chances, buyers)
        rows.visit(company, seen, buyers)
        rows.leave(company, seen, chances, buyers)
        rows.read_mail(company, seen)
        rows.complain(company, seen)
        rows.settle()
        self._welcome(company, seen, known)
        np.add.at(self.log_values, seen.priced, seen.log_values)
        np.add.at(self.priced, seen.priced, 1)

    def _welcome(self, company: Company, seen: Seen, known: int) -> None:
        """Take newcomers in: all that is known of them is what brought them."""
        ids = np.arange(known, company.known)
        people, classes = company.people, company.classes
        prior = classes.share_by_source[people.source[ids]].astype(np.float32)
        ordered = people.at_once[ids]
        prior[ordered] *= _promotion(company, seen, ids[ordered])
        prior /= prior.sum(axis=1, keepdims=True)
        quits = quit_chance(classes, EVERY, seen.day)
        self.quiet[ids] = prior * np.where(ordered[:, None], 1 - quits, 1.0)
        self.within[ids] = 0
        self.gone[ids] = (prior * quits).sum(axis=1) * ordered


def _promotion(company: Company, seen: Seen, ids: Ints) -> Any:  # noqa: ANN401 - an array or 1
    """How likely each class is to have used the promotion, or not, as who ordered did."""
    if seen.day.depth == 0:
        return 1.0
    uses = company.classes.uses_discount
    used = np.isin(ids, seen.discounted)
    return np.where(used[:, None], uses, 1 - uses).astype(np.float32)


def _chances(company: Company, seen: Seen, known: int) -> Chances:
    """Give each person's chances were they of each class; a customer's and a prospect's."""
    world, classes, day = company.world, company.classes, seen.day
    shape = (known, len(classes))
    begins, quiet, within = (np.empty(shape, dtype=np.float32) for _ in range(3))
    stay = np.empty(shape, dtype=np.float32)
    special = seen.working > 0
    if day.lost_channel is not None:
        special[:] = True
    plain = customer_chances(world, classes, EVERY, day, 1.0)
    prospect = prospect_chances(world, day, 1.0)
    for member, chances in ((seen.was_customer, plain), (~seen.was_customer, prospect)):
        usual = member & ~special
        begins[usual], quiet[usual], within[usual] = chances.begins, *chances.buys
        for open_, leaves in enumerate(chances.leaves):
            stay[member & (seen.was_complaining == open_)] = 1 - leaves
    who = np.flatnonzero(special)
    factor = _class_factors(company, seen, who)
    for member, chances in (
        (seen.was_customer[who], customer_chances(world, classes, EVERY, day, factor)),
        (~seen.was_customer[who], prospect_chances(world, day, factor)),
    ):
        rows = who[member]
        begins[rows] = chances.begins[member]
        quiet[rows], within[rows] = chances.buys[0][member], chances.buys[1][member]
    return Chances(begins, world.interest.ends_per_day, (quiet, within), (stay, stay))


def _class_factors(company: Company, seen: Seen, ids: Ints) -> Floats:
    """Give the factor on people's buying, were they of each class."""
    classes = np.arange(len(company.classes))
    return np.column_stack(
        [factor_on(company, seen, ids, np.full(len(ids), place)) for place in classes]
    ).reshape(len(ids), len(classes))


@dataclass
class _Rows:
    """The weights of those who were known this morning, in the steps of their day."""

    posterior: Posterior
    known: int

    def __post_init__(self) -> None:
        self.quiet = self.posterior.quiet[: self.known]
        self.within = self.posterior.within[: self.known]
        self.gone = self.posterior.gone[: self.known]

    def annoy(self, company: Company, seen: Seen) -> None:
        """Some who were treated left at once."""
        ids = seen.treated
        annoyed = company.responses.annoys[company.state.action[ids]].astype(np.float32)
        self.gone[ids] += ((self.quiet[ids] + self.within[ids]) * annoyed).sum(axis=1)
        self.quiet[ids] *= 1 - annoyed
        self.within[ids] *= 1 - annoyed

    def think(self, chances: Chances) -> None:
        """Spells of interest begin and end."""
        begun = self.quiet * chances.begins
        ended = self.within * np.float32(chances.ends)
        self.quiet += ended - begun
        self.within += begun - ended

    def order(self, company: Company, seen: Seen, chances: Chances, buyers: Ints) -> None:
        """Who ordered was there; who did not was less likely to be about to."""
        quiet, within = chances.buys
        ordered = self.quiet[buyers] * quiet[buyers] + self.within[buyers] * within[buyers]
        deciding = seen.deciding
        if len(deciding):
            renewed = np.isin(buyers, deciding)
            ordered[renewed] = self._renewed(company, seen, buyers[renewed])
        ordered *= _promotion(company, seen, buyers)
        ordered *= _redemption(company, seen, buyers)
        self.quiet *= 1 - quiet
        self.within *= 1 - within
        cancelled = np.setdiff1d(deciding, buyers)
        self.quiet[cancelled] = self.within[cancelled] = 0
        self.gone[cancelled] = 1
        quits = quit_chance(company.classes, EVERY, seen.day).astype(np.float32)
        self.quiet[buyers] = ordered * (1 - quits)
        self.within[buyers] = 0
        self.gone[buyers] = (ordered * quits).sum(axis=1)

    def _renewed(self, company: Company, seen: Seen, ids: Ints) -> Weights:
        factor = _class_factors(company, seen, ids)
        complaining = seen.was_complaining[ids][:, None]
        quiet, within = (
            renewal_chance(
                company.world, company.classes, EVERY, seen.day, factor, used, complaining
            )
            for used in (0.0, 1.0)
        )
        both: Weights = (self.quiet[ids] * quiet + self.within[ids] * within).astype(np.float32)
        return both

    def visit(self, company: Company, seen: Seen, buyers: Ints) -> None:
        """Who visited is there, and more likely within a spell."""
        signs = company.world.signs
        outside, inside = signs.visit
        browses = np.where(seen.was_customer[:, None], company.classes.browses, 1.0)
        chances = [np.minimum(c * browses, MOST).astype(np.float32) for c in (outside, inside)]
        did_not = np.ones(self.known, dtype=np.bool_)
        did_not[buyers] = did_not[seen.visitors] = False
        # Those who cancelled today weigh nothing any more, visit or not.
        who = seen.visitors[self.gone[seen.visitors] < 1]
        for weights, chance in zip((self.quiet, self.within), chances, strict=True):
            weights *= np.where(did_not[:, None], 1 - chance, 1)
            weights[who] *= chance[who]
        for kind, shown in seen.shows.items():
            for weights, chance in zip((self.quiet, self.within), signs.shows[kind], strict=True):
                told = np.where(shown, chance, 1 - chance).astype(np.float32)
                weights[seen.visitors] *= told[:, None]
        self.gone[who] = 0

    def leave(self, company: Company, seen: Seen, chances: Chances, buyers: Ints) -> None:
        """Some of those who did not order left unseen."""
        del company, seen
        stays = chances.leaves[0]
        stays[buyers] = 1
        before = self.quiet.sum(axis=1) + self.within.sum(axis=1)
        self.quiet *= stays
        self.within *= stays
        self.gone += before - self.quiet.sum(axis=1) - self.within.sum(axis=1)

    def read_mail(self, company: Company, seen: Seen) -> None:
        """Who opens a newsletter is likely to be there."""
        signs = company.world.signs
        opened, clicked = np.isin(seen.mailed, seen.opened), np.isin(seen.mailed, seen.clicked)
        for place, weights in enumerate((self.quiet, self.within)):
            opens, clicks = signs.email_open[place], signs.email_click[place]
            told = np.where(opened, opens * np.where(clicked, clicks, 1 - clicks), 1 - opens)
            weights[seen.mailed] *= told[:, None].astype(np.float32)
        gone = signs.email_open_gone
        self.gone[seen.mailed] *= np.where(opened, gone * ~clicked, 1 - gone).astype(np.float32)

    def complain(self, company: Company, seen: Seen) -> None:
        """Who complains is still there."""
        chance = complaint_chance(company.world)
        might = seen.was_customer.copy()
        might[seen.buyers[seen.buyers < self.known]] = True
        might &= ~seen.was_complaining
        did = np.isin(np.arange(self.known), seen.complained)
        told = np.where(might & ~did, 1 - chance, 1.0)[:, None].astype(np.float32)
        self.quiet *= told
        self.within *= told
        self.gone[seen.complained] = 0

    def settle(self) -> None:
        """Make every row sum to 1."""
        total = self.quiet.sum(axis=1) + self.within.sum(axis=1) + self.gone
        self.quiet /= total[:, None]
        self.within /= total[:, None]
        self.gone /= total


def _redemption(company: Company, seen: Seen, ids: Ints) -> Weights:
    """How likely each class is to have redeemed an incentive, or not, as who ordered did."""
    told = np.ones((len(ids), len(company.classes)), dtype=np.float32)
    able = np.isin(ids, seen.able)
    redeems = company.responses.redeems[company.state.action[ids[able]]]
    used = np.isin(ids[able], seen.redeemed)
    told[able] = np.where(used[:, None], redeems, 1 - redeems)
    return told
