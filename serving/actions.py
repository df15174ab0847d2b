"""Which action, if any, is worth more than doing nothing, for each customer.

An action is chosen for what it changes, not for how likely the customer is to leave: those at high
risk are not those whom a treatment moves (Ascarza 2018, "Retention Futility: Targeting High-Risk
Customers Might Be Ineffective", Journal of Marketing Research 55(1)). The effects are what the
playbook assumes, what was measured, or a mixture of both, and every answer says which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from serving.evidence import Evidence, Provenance, provenance
from serving.mixture import Worth, value_actions
from serving.playbook import LET_GO, NONE, Action, Playbook
from serving.sentences import Language, load_table
from serving.worth import LEVELS, Effects, Outlook
from training.stages import STAGES
from training.uplift.lifts import Lifts

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_MID = LEVELS.index("mid")
_OF_CUSTOMERS = {"open_complaint": "complaint_open", "open_checkout": "checkout_open"}
"""What an action can need of a customer, and what says so."""
RANKED = 3
"""Actions that are told of one customer, the best first."""

NOTES = (
    "recommended",
    "plan_only_consent_unknown",
    "none_consent_refused",
    "none_consent_unknown",
    "none_complaint_open",
    "none_cooling_down",
    "none_not_worth_it",
    "none_not_sure",
    "none_no_action",
    "none_value_unknown",
    "let_go",
)
"""Why an action, or none; said in words in the tables of sentences."""
ALLOWED, REFUSED, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class Standing:
    """What stands between customers and actions, one row for each; unknown is as if it were not.

    Attributes
    ----------
    complaint_open
        Marketing waits.
    checkout_open
        Something was begun to be bought, and not paid.
    done : intp array of shape (n, recent)
        The different actions that the customer was treated with, the last first: their places in
        the menu, below 0 for others and none.
    days_since_done : float64 array of shape (n, recent)
        How long ago that was; infinite for none.
    """

    complaint_open: Flags
    checkout_open: Flags
    done: NDArray[np.intp]
    days_since_done: Floats

    @classmethod
    def unknown(cls, rows: int) -> Standing:
        """Nothing is known of so many customers."""
        no = np.zeros(rows, dtype=np.bool_)
        return cls(no, no, np.full((rows, 1), -1), np.full((rows, 1), np.inf))


@dataclass(frozen=True)
class Menu:
    """A playbook as arrays, one column for each of its actions.

    Attributes
    ----------
    keys : tuple of str
        The actions in the playbook's order.
    in_stage : bool array of shape (stages, k)
        Where an action makes sense; nowhere for letting go, which is doing nothing.
    lost : bool array of shape (stages,)
        Where a customer may be let go.
    wait_days : float64 array of shape (k + 1, k)
        How many days each action waits after what was done, a row for each action; the last row is
        of anything else.
    may_follow : bool array of shape (k + 1, k)
        Whether each action may be done where that was the last.
    """

    keys: tuple[str, ...]
    effects: Effects
    in_stage: Flags
    lost: Flags
    is_marketing: Flags
    needs: tuple[frozenset[str], ...]
    wait_days: Floats
    may_follow: Flags
    evidence: Evidence

    @classmethod
    def of(cls, playbook: Playbook, lifts: Lifts | None = None) -> Menu:
        """Read a playbook, and what was measured of its actions, once for all customers."""
        actions = playbook.actions
        within = np.array([[stage in action.stages for action in actions] for stage in STAGES])
        let_go = np.array([action.key == LET_GO for action in actions])
        keys = tuple(action.key for action in actions)
        return cls(
            keys,
            Effects.of(actions),
            within & ~let_go,
            (within & let_go).any(axis=1),
            np.array([action.purpose == "marketing" for action in actions]),
            tuple(frozenset(action.needs) for action in actions),
            np.array(
                [
                    *([float(_wait_days(action, last)) for action in actions] for last in keys),
                    [0.0] * len(keys),
                ]
            ),
            np.array(
                [
                    [not action.only_after or last in action.only_after for action in actions]
                    for last in (*keys, NONE)
                ]
            ),
            Evidence.of(actions, lifts or Lifts()),
        )

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each action stands."""
        return {key: place for place, key in enumerate(self.keys)}

    def has(self, available_data: frozenset[str], standing: Standing) -> Flags:
        """Whether what each action needs is there, by customer and action."""
        tables = [needs - _OF_CUSTOMERS.keys() <= available_data for needs in self.needs]
        there = np.broadcast_to(np.array(tables), (len(standing.done), len(tables))).copy()
        for need, named in _OF_CUSTOMERS.items():
            needing = np.array([need in needs for needs in self.needs])
            there[:, needing] &= getattr(standing, named)[:, None]
        return there

    def waits(self, standing: Standing) -> tuple[Flags, Flags]:
        """Whether each action waits for a complaint to be resolved, and after what was done."""
        complaint = standing.complaint_open[:, None] & self.is_marketing
        cooling = np.zeros(complaint.shape, dtype=np.bool_)
        for done, days in zip(standing.done.T, standing.days_since_done.T, strict=True):
            if (done >= 0).any():
                # Anything else is at place -1: the last row, which waits for nothing.
                cooling |= days[:, None] < self.wait_days[done]
        return complaint, cooling

    def follows(self, standing: Standing) -> Flags:
        """Whether each action may be done after what was done last; of one day any will do."""
        last = standing.days_since_done[:, 0]
        may: Flags = self.may_follow[standing.done[:, 0]]
        if self.may_follow.all():
            return may
        for done, days in zip(standing.done.T[1:], standing.days_since_done.T[1:], strict=True):
            may = may | (self.may_follow[done] & ((done >= 0) & (days == last))[:, None])
        return may


def _wait_days(action: Action, last: str) -> int:
    return action.cooldown_days if last == action.key else action.not_within.get(last, 0)


@dataclass(frozen=True)
class Choices:
    """The chosen action of every customer and its worth, one row for each.

    Attributes
    ----------
    keys : tuple of str
        The candidates: ``none``, then the playbook's actions in their order.
    action_index : int16 array
        The choice, an index into ``keys``.
    action_value : float64 array
        Incremental value of the choice over the horizon, net of its costs; 0 for doing nothing.
    action_value_low, action_value_high : float64 arrays
        The lowest and highest value within the range of the effects.
    note_index : int8 array
        Why, an index into `NOTES`.
    measured_share : float64 array of shape (k + 1,)
        How much of each candidate's effect is measured, 0 to 1; the rest is assumed.
    worth : float64 array of shape (3, n, k)
        Value of every action at the low, mid and high end of its effects.
    candidate : bool array of shape (n, k)
        Whether the action is allowed for the customer and worth more than nothing.
    allowed : bool array of shape (n, k)
        Whether the action is allowed for the customer, whatever it is worth.
    eligible : bool array of shape (n, k)
        Whether the action is meant for such a customer, whatever stands in its way today.
    valued
        What the values were reckoned from.
    """

    keys: tuple[str, ...]
    action_index: NDArray[np.int16]
    action_value: Floats
    action_value_low: Floats
    action_value_high: Floats
    note_index: NDArray[np.int8]
    measured_share: Floats
    worth: Floats
    candidate: Flags
    allowed: Flags
    eligible: Flags
    valued: Worth

    @property
    def cost(self) -> Floats:
        """Expected cost of every action, shape (n, k); part of its value already."""
        return self.valued.cost

    @property
    def effects(self) -> list[Provenance]:
        """Where each candidate's effect comes from, of length k + 1."""
        return [provenance(share) for share in self.measured_share.tolist()]

    @property
    def moved(self) -> Floats:
        """Likely change of the chance of buying by every action, shape (n, k)."""
        return self.valued.moved

    @property
    def provenance(self) -> NDArray[np.str_]:
        """Where the effect of each customer's choice comes from."""
        return np.array(self.effects)[self.action_index]

    @property
    def action(self) -> NDArray[np.str_]:
        """The keys of the chosen actions."""
        return np.array(self.keys)[self.action_index]

    @property
    def note(self) -> NDArray[np.str_]:
        """The codes that `note_text` explains."""
        return np.array(NOTES)[self.note_index]

    def ranking(self) -> list[list[Ranked]]:
        """List each customer's `RANKED` best actions that are worth more than nothing."""
        mid = np.where(self.candidate, self.worth[_MID], -np.inf)
        order = np.argsort(-mid, axis=1, kind="stable")[:, :RANKED]
        low, high = self.worth.min(axis=0), self.worth.max(axis=0)
        told, shares = self.effects, self.measured_share.tolist()
        return [
            [
                Ranked(
                    self.keys[place + 1],
                    float(mid[row, place]),
                    float(low[row, place]),
                    float(high[row, place]),
                    told[place + 1],
                    shares[place + 1],
                )
                for place in places
                if mid[row, place] > 0
            ]
            for row, places in enumerate(order.tolist())
        ]


class Ranked(NamedTuple):
    """An action among the best of a customer, with its value and where that comes from.

    Of the effect, ``measured_share`` is measured, and the rest is assumed.
    """

    action: str
    value: float
    value_low: float
    value_high: float
    effect: str
    measured_share: float


def note_text(code: str, language: Language = "en") -> str:
    """Explain a note in a sentence.

    >>> note_text("let_go")
    'Every rescue costs more than it would bring: let the customer go.'
    >>> note_text("none_not_worth_it", "zh")
    '没有哪项行动的价值高于其成本。'
    >>> note_text("gone")
    Traceback (most recent call last):
    ...
    ValueError: unknown note 'gone'; use one of recommended, plan_only_consent_unknown, ...
    """
    if code not in NOTES:
        raise ValueError(f"unknown note {code!r}; use one of {', '.join(NOTES)}")
    return load_table(language).notes[code]


def choose(
    menu: Menu,
    stage_index: ArrayLike,
    churn_probability: ArrayLike,
    spend_if_purchase: ArrayLike,
    spend_if_none: ArrayLike,
    *,
    margin: float,
    consent: ArrayLike,
    consent_unknown: Literal["refuse", "plan"],
    available_data: frozenset[str],
    standing: Standing | None = None,
    admitted: Flags | None = None,
    facts: Floats | None = None,
) -> Choices:
    """Choose for every customer the action worth most, where doing nothing is worth 0.

    An action is a candidate in its stages and segments, where the data that it needs are available,
    after what it may follow, and not within its cooldown or too soon after another; marketing only
    with consent, and not while a complaint is open. Costs and effects are the playbook's;
    capacities are left to the plan that is made of these choices.

    Parameters
    ----------
    menu : Menu
        The actions.
    stage_index : int array
        The customers' stages, as indices into `STAGES`.
    churn_probability : float64 array
        P(no purchase within the horizon).
    spend_if_purchase, spend_if_none : float64 arrays
        Mean net spend over the horizon of those who buy and of those who do not.
    margin : float
        Contribution margin on net spend.
    consent : int array
        To marketing: 1 allowed, 0 refused, -1 unknown.
    consent_unknown : {"refuse", "plan"}
        Whether unknown consent counts as refused, or allows a plan, which the note then says.
    available_data : frozenset of str
        What is there of `serving.playbook.NEEDS` for the company as a whole.
    standing : Standing, optional
        What is known of each customer.
    admitted : bool array of shape (n, k), optional
        Whether each customer is in the segments of each action; default: all are.
    facts : float64 array of shape (n, d), optional
        The moderators of the menu's evidence, where effects differ by them.

    Raises
    ------
    ValueError
        The arrays differ in length, or a stage, a probability or a consent cannot be one.

    Examples
    --------
    >>> from serving.playbook import load_playbook
    >>> def advise(stage, churn, spend, consent=1, unknown="refuse"):
    ...     made = choose(Menu.of(load_playbook()), [STAGES.index(stage)], [churn], [spend], [0.0],
    ...         margin=0.3, consent=[consent], consent_unknown=unknown, available_data=frozenset())
    ...     return made.action[0].item(), made.action_value[0].item(), made.note[0].item()

    Of two rescues the dearer pays only where there is enough to lose:

    >>> advise("declining", 0.9, 100.0)[0], advise("declining", 0.5, 100.0)[0]
    ('retention_offer', 'cadence_reminder')

    Marketing needs consent; where it is unknown the setting decides:

    >>> advise("loyal", 0.2, 100.0, consent=0)
    ('none', 0.0, 'none_consent_refused')
    >>> advise("loyal", 0.2, 100.0, consent=-1)
    ('none', 0.0, 'none_consent_unknown')
    >>> advise("loyal", 0.2, 100.0, consent=-1, unknown="plan")[2]
    'plan_only_consent_unknown'

    Service needs none of this:

    >>> advise("new", 0.5, 100.0, consent=0)[0]
    'welcome_onboarding'

    Where every action costs more than it brings, nothing is done; the lost are let go:

    >>> advise("loyal", 0.2, 0.1), advise("churned", 0.99, 5.0)
    (('none', 0.0, 'none_not_worth_it'), ('let_go', 0.0, 'let_go'))
    """
    outlook = Outlook(
        1 - np.asarray(churn_probability, dtype=np.float64),
        np.asarray(spend_if_purchase, dtype=np.float64),
        np.asarray(spend_if_none, dtype=np.float64),
        margin,
    )
    stages, consents = _checked(np.asarray(stage_index), np.asarray(consent), outlook)
    permitted = consents == ALLOWED
    if consent_unknown == "plan":
        permitted |= consents == UNKNOWN
    standing = standing or Standing.unknown(len(stages))
    eligible = menu.in_stage[stages] & menu.has(available_data, standing)
    eligible &= menu.follows(standing)
    if admitted is not None:
        eligible &= admitted
    valued = value_actions(menu.effects, menu.evidence, outlook, facts)
    worth = valued.value
    complaint, cooling = menu.waits(standing)
    consented = eligible & (permitted[:, None] | ~menu.is_marketing)
    allowed = consented & ~complaint & ~cooling
    pays = valued.pays
    candidate = allowed & pays
    # Of equals the first: a manager's order counts.
    best = np.where(candidate, worth[_MID], -np.inf).argmax(axis=1)
    chosen = candidate.any(axis=1)
    ends = np.where(chosen, worth[:, np.arange(len(stages)), best], 0.0)
    # What an action would be worth if nothing stood in between tells why nothing is done: -inf
    # without any candidate, NaN if it is unknown.
    potential = np.where(eligible, worth[_MID], -np.inf).max(axis=1)
    if not valued.works:
        potential = np.minimum(potential, 0.0)
    index = np.where(chosen, best + 1, 0).astype(np.int16)
    is_marketing = chosen & menu.is_marketing[best]
    paying = consented & pays
    stopped = _Stopped(
        paying.any(axis=1),
        (paying & ~complaint).any(axis=1),
        (allowed & (worth[_MID] > 0) & ~pays).any(axis=1),
    )
    note = _notes(chosen, is_marketing, menu.lost[stages], consents, potential, stopped)
    # Its value stays 0: letting go is doing nothing, with the reason said.
    keys = (NONE, *menu.keys)
    if LET_GO in keys:
        index[note == NOTES.index("let_go")] = keys.index(LET_GO)
    shares = np.concatenate([[0.0], menu.evidence.share])
    # Where an incentive costs more than a sale earns, the stronger effect is the lower value.
    low, high = ends.min(axis=0), ends.max(axis=0)
    return Choices(
        keys, index, ends[_MID], low, high, note, shares, worth, candidate, allowed, eligible,
        valued,
    )  # fmt: skip


class _Stopped(NamedTuple):
    """How far customers' paying actions came: past consent, and past an open complaint.

    And whether any that may be done would pay, if actions did anything here.
    """

    allowed: Flags
    settled: Flags
    doubtful: Flags


def _notes(
    chosen: Flags,
    is_marketing: Flags,
    lost: Flags,
    consents: NDArray[np.int8],
    potential: Floats,
    stopped: _Stopped,
) -> NDArray[np.int8]:
    conditions = {
        "plan_only_consent_unknown": is_marketing & (consents == UNKNOWN),
        "recommended": chosen,
        "none_no_action": np.isneginf(potential),
        "none_value_unknown": np.isnan(potential),
        # Nothing was chosen although something would pay: what stands in between.
        "none_cooling_down": stopped.settled,
        "none_complaint_open": stopped.allowed,
        "none_not_sure": stopped.doubtful,
        "none_consent_refused": (potential > 0) & (consents == REFUSED),
        "none_consent_unknown": potential > 0,
        "let_go": lost & (potential < 0),
    }
    codes = [np.int8(NOTES.index(code)) for code in conditions]
    default = np.int8(NOTES.index("none_not_worth_it"))
    return np.select(list(conditions.values()), codes, default=default)


def _checked(
    stages: NDArray[np.generic], consents: NDArray[np.generic], outlook: Outlook
) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    probability = outlook.purchase_probability
    columns = (stages, consents, probability, outlook.spend_if_purchase, outlook.spend_if_none)
    shapes = {cells.shape for cells in columns}
    if len(shapes) > 1 or stages.ndim != 1:
        raise ValueError(f"the arrays have shapes {sorted(shapes)}; give one row per customer")
    # A negative index would silently count from the end.
    stage = _one_of("stage_index", stages, range(len(STAGES)))
    outside = (probability < 0) | (probability > 1)
    if outside.any():
        churn = 1 - probability[outside][0]
        raise ValueError(f"churn_probability {churn:g} is outside 0 to 1; give a probability")
    return stage.astype(np.intp), _one_of("consent", consents, (ALLOWED, REFUSED, UNKNOWN))


def _one_of(name: str, cells: NDArray[np.generic], allowed: Iterable[int]) -> NDArray[np.int8]:
    codes = np.full(cells.shape, -128, dtype=np.int8)
    for code in allowed:
        codes[cells == code] = code
    if (wrong := codes == -128).any():
        raise ValueError(f"{name} {cells[wrong][0]} is unknown; use one of {[*allowed]}")
    return codes
