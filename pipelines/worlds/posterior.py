"""What could be known: the exact chances of what no table shows, given all that the tables do.

The forward filter of a hidden Markov chain (Rabiner 1989), a row a customer: a weight on each
class outside and within a spell of interest, and one on having left. Whoever knew the world's
parameters and read everything up to a day could know no more; so what follows from it is the best
that any method can say, and the plan made of it the best that any method can make. Rows that
arrive late are taken as known on their own day, which makes the bound a little too good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.worlds.chances import (
    complaint_chance,
    customer_chances,
    prospect_chances,
    quit_chance,
    renewal_chance,
)
from pipelines.worlds.company import Company
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.living import MOST
from pipelines.worlds.programme import treatment_chance
from pipelines.worlds.responses import CELLS
from pipelines.worlds.seen import Seen

EVERY = slice(None)
AT_ONCE = 4096
"""Rows that are looked at together: so many fit into a processor's cache."""


@dataclass
class Posterior:
    """Weights of all who are known; each row, with ``gone``, sums to 1.

    Attributes
    ----------
    quiet, within
        Person x class: still there, outside and within a spell of interest (float32).
    gone
        Has left (float32).
    log_values, priced
        Sum of the logarithms of order values freed of prices and promotions, and how many.
    """

    quiet: Floats
    within: Floats
    gone: Floats
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

    def learn(self, company: Company, seen: Seen) -> None:
        """Take in a day."""
        known = len(seen.was_customer)
        self._choose(company, seen)
        self._annoy(company, seen)
        tables = _tables(company, seen)
        group = _groups(company, seen)
        buyers = seen.buyers
        ordered = self._ordered(company, seen, tables, group)
        told, shown = _told(company, seen), _shown(company, seen)
        visited = np.zeros(known, dtype=np.int64)
        visited[seen.visitors] = 1
        for rows in _chunks(known):
            self._day_without_order(
                seen, tables, group[rows], visited[rows], shown[rows], told[rows], rows
            )
        cancelled = np.setdiff1d(seen.deciding, buyers)
        self.quiet[cancelled] = self.within[cancelled] = 0
        self.gone[cancelled] = 1
        self._have_ordered(company, seen, buyers, ordered, told[buyers])
        self._welcome(company, seen, known)
        np.add.at(self.log_values, seen.priced, seen.log_values)
        np.add.at(self.priced, seen.priced, 1)

    def _choose(self, company: Company, seen: Seen) -> None:
        """Learn from whom the company chose to treat, where it knew more than the tables show."""
        given, programme = seen.given, company.world.programme
        if given is None or programme.random or company.day in company.plans:
            return
        ids = given.ids
        for weights, interested, there in (
            (self.quiet, False, True),
            (self.within, True, True),
            (self.gone[:, None], False, False),
        ):
            chance = treatment_chance(company, ids, interested, there)
            told = np.where(given.treated, chance, 1 - chance)
            weights[ids] = weights[ids] * told[:, None]

    def _annoy(self, company: Company, seen: Seen) -> None:
        """Let some who were treated have left at once."""
        ids = seen.treated
        annoyed = company.responses.annoys[company.state.action[ids]].astype(np.float32)
        self.gone[ids] += ((self.quiet[ids] + self.within[ids]) * annoyed).sum(axis=1)
        self.quiet[ids] *= 1 - annoyed
        self.within[ids] *= 1 - annoyed

    def _day_without_order(
        self,
        seen: Seen,
        tables: _Tables,
        group: Ints,
        visited: Ints,
        shown: Floats,
        told: Floats,
        rows: slice,
    ) -> None:
        """Weigh anew who did not order: spells begin and end, visits tell, some leave."""
        quiet, within = self.quiet[rows], self.within[rows]
        place = 2 * group + visited
        still = quiet * tables.quiet_quiet[place] + within * tables.within_quiet[place]
        thinking = within * tables.within_within[place] + quiet * tables.quiet_within[place]
        visitors = np.flatnonzero(visited)
        still[visitors] *= shown[visitors, 0, None]
        thinking[visitors] *= shown[visitors, 1, None]
        stays = tables.stays[2 * (group % 2) + seen.was_complaining[rows]]
        before = still.sum(axis=1) + thinking.sum(axis=1)
        still *= stays
        thinking *= stays
        left = before - still.sum(axis=1) - thinking.sum(axis=1)
        still *= told[:, 0, None]
        thinking *= told[:, 1, None]
        gone = (self.gone[rows] * (visited == 0) + np.maximum(left, 0)) * told[:, 2]
        total = still.sum(axis=1) + thinking.sum(axis=1) + gone
        # Who cancelled today and cannot be, is set right afterwards.
        total = np.where(total > 0, total, 1)
        quiet[:] = still / total[:, None]
        within[:] = thinking / total[:, None]
        self.gone[rows] = gone / total

    def _ordered(self, company: Company, seen: Seen, tables: _Tables, group: Ints) -> Floats:
        """Weigh who ordered by how likely each class was to order, as they did."""
        ids = seen.buyers
        at = group[ids]
        begins, ends = tables.begins[at], tables.ends
        quiet = self.quiet[ids] * (1 - begins) + self.within[ids] * ends
        within = self.within[ids] * (1 - ends) + self.quiet[ids] * begins
        ordered = quiet * tables.buys_quiet[at] + within * tables.buys_within[at]
        renewed = np.isin(ids, seen.deciding)
        if renewed.any():
            factor = tables.factor[at[renewed] // 2]
            complaining = seen.was_complaining[ids[renewed]][:, None].astype(np.float64)
            chances = [
                renewal_chance(
                    company.world, company.classes, EVERY, seen.day, factor, used, complaining
                )
                for used in (0.0, 1.0)
            ]
            ordered[renewed] = quiet[renewed] * chances[0] + within[renewed] * chances[1]
        likely: Floats = ordered * _promotion(company, seen, ids) * _redemption(company, seen, ids)
        return likely

    def _have_ordered(
        self, company: Company, seen: Seen, ids: Ints, ordered: Floats, told: Floats
    ) -> None:
        """Who ordered is outside a spell of interest, or has left after the order."""
        quits = quit_chance(company.classes, EVERY, seen.day)
        quiet = ordered * (1 - quits) * told[:, 0, None]
        gone = (ordered * quits).sum(axis=1) * told[:, 2]
        total = quiet.sum(axis=1) + gone
        self.quiet[ids] = quiet / total[:, None]
        self.within[ids] = 0
        self.gone[ids] = gone / total

    def _welcome(self, company: Company, seen: Seen, known: int) -> None:
        """Take newcomers in: all that is known of them is what brought them."""
        ids = np.arange(known, company.known)
        people, classes = company.people, company.classes
        prior = classes.share_by_source[people.source[ids]]
        ordered = people.at_once[ids]
        prior[ordered] *= _promotion(company, seen, ids[ordered])
        prior /= prior.sum(axis=1, keepdims=True)
        quits = quit_chance(classes, EVERY, seen.day)
        self.quiet[ids] = prior * np.where(ordered[:, None], 1 - quits, 1.0)
        self.within[ids] = 0
        self.gone[ids] = (prior * quits).sum(axis=1) * ordered


@dataclass(frozen=True)
class _Tables:
    """What a day does to weights, by group of people and class.

    A group is who shares an action that works, the state that it met, a closed home channel and
    whether there was an order yet; of the first four arrays each group has two rows, for those who
    did not visit and for those who did. ``stays`` has a row for customers and for prospects,
    without and with an open complaint.
    """

    quiet_quiet: Floats
    within_quiet: Floats
    within_within: Floats
    quiet_within: Floats
    begins: Floats
    ends: float
    buys_quiet: Floats
    buys_within: Floats
    stays: Floats
    factor: Floats


def _chunks(size: int) -> Iterator[slice]:
    for begin in range(0, size, AT_ONCE):
        yield slice(begin, min(begin + AT_ONCE, size))


def _groups(company: Company, seen: Seen) -> Ints:
    """Tell the group of everybody who was known this morning, as :func:`_tables` lays them out."""
    known = len(seen.was_customer)
    lost = np.zeros(known, dtype=np.int64)
    if seen.day.lost_channel is not None:
        channels = list(company.world.orders.channels)
        lost[company.people.channel[:known] == channels.index(seen.day.lost_channel)] = 1
    return ((seen.working * CELLS + seen.cell) * 2 + lost) * 2 + ~seen.was_customer


def _tables(company: Company, seen: Seen) -> _Tables:
    world, classes, day = company.world, company.classes, seen.day
    factor = company.responses.buying.reshape(-1, 1, len(classes)) * np.array(
        [[1.0], [day.channel_kept]]
    )
    factor = factor.reshape(-1, len(classes))
    ours = customer_chances(world, classes, EVERY, day, factor)
    theirs = prospect_chances(world, day, factor)

    def both(customers: Floats, prospects: Floats) -> Floats:
        """Lay customers' and prospects' rows in turn."""
        laid = np.stack([customers, prospects], axis=1).reshape(-1, len(classes))
        return laid.astype(np.float32)

    begins = both(ours.begins, theirs.begins)
    quiet, within = both(ours.buys[0], theirs.buys[0]), both(ours.buys[1], theirs.buys[1])
    ends = np.float32(world.interest.ends_per_day)

    def by_visit(chance: Floats, place: int) -> Floats:
        visits = world.signs.visit[place]
        ways = np.array(
            [np.minimum(visits * classes.browses, MOST), np.full(len(classes), visits)],
            dtype=np.float32,
        )
        likely = np.stack([1 - ways, ways], axis=1)
        groups = chance.reshape(-1, 2, 1, len(classes)) * likely
        return groups.reshape(-1, len(classes))

    return _Tables(
        quiet_quiet=by_visit((1 - begins) * (1 - quiet), 0),
        within_quiet=by_visit(ends * (1 - quiet), 0),
        within_within=by_visit((1 - ends) * (1 - within), 1),
        quiet_within=by_visit(begins * (1 - within), 1),
        begins=begins,
        ends=float(ends),
        buys_quiet=quiet,
        buys_within=within,
        stays=np.array(
            [1 - ours.leaves[0], 1 - ours.leaves[1]]
            + [np.full(len(classes), 1 - float(theirs.leaves[0]))] * 2,
            dtype=np.float32,
        ),
        factor=factor,
    )


def _shown(company: Company, seen: Seen) -> Floats:
    """Give the likelihood of what visitors showed, outside a spell and within one."""
    told = np.ones((len(seen.was_customer), 2), dtype=np.float32)
    for kind, shown in seen.shows.items():
        for place, chance in enumerate(company.world.signs.shows[kind]):
            told[seen.visitors, place] *= np.where(shown, chance, 1 - chance)
    return told


def _told(company: Company, seen: Seen) -> Floats:
    """Give the likelihood of mail and complaints: outside a spell, within one, having left."""
    world, known = company.world, len(seen.was_customer)
    signs = world.signs
    told = np.ones((known, 3), dtype=np.float32)
    opened, clicked = np.isin(seen.mailed, seen.opened), np.isin(seen.mailed, seen.clicked)
    for place in (0, 1):
        opens, clicks = signs.email_open[place], signs.email_click[place]
        told[seen.mailed, place] *= np.where(
            opened, opens * np.where(clicked, clicks, 1 - clicks), 1 - opens
        )
    gone = signs.email_open_gone
    told[seen.mailed, 2] *= np.where(opened, gone * ~clicked, 1 - gone)
    might = seen.was_customer.copy()
    might[seen.buyers] = True
    might &= ~seen.was_complaining
    might[seen.complained] = False
    told[might, :2] *= 1 - complaint_chance(world)
    told[seen.complained, 2] = 0
    return told


def _promotion(company: Company, seen: Seen, ids: Ints) -> Floats | float:
    """How likely each class is to have used the promotion, or not, as who ordered did."""
    if seen.day.depth == 0 or company.world.subscription is not None:
        return 1.0
    uses = company.classes.uses_discount
    used = np.isin(ids, seen.discounted)
    return np.where(used[:, None], uses, 1 - uses)


def _redemption(company: Company, seen: Seen, ids: Ints) -> Floats:
    """How likely each class is to have redeemed an incentive, or not, as who ordered did."""
    told = np.ones((len(ids), len(company.classes)))
    able = np.isin(ids, seen.able)
    redeems = company.responses.redeems[company.state.action[ids[able]]]
    used = np.isin(ids[able], seen.redeemed)
    told[able] = np.where(used[:, None], redeems, 1 - redeems)
    return told
