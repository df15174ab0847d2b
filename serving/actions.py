"""Which action, if any, is worth more than doing nothing, for each customer.

An action is chosen for what it changes, not for how likely the customer is to leave: those at high
risk are not those whom a treatment moves (Ascarza 2018, "Retention Futility: Targeting High-Risk
Customers Might Be Ineffective", Journal of Marketing Research 55(1)). The effects are the
playbook's assumptions, and every answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from serving.playbook import LET_GO, NONE, Action, Playbook
from training.stages import STAGES

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Level = Literal["low", "mid", "high"]

NOTE_TEXTS: dict[str, str] = {
    "recommended": "Of all that may be done for this customer, this is worth most by the "
    "playbook's assumed effects.",
    "plan_only_consent_unknown": "A plan only: whether the customer consents to marketing is "
    "unknown; obtain consent before acting.",
    "none_consent_refused": "An action would pay, but the customer refuses marketing.",
    "none_consent_unknown": "An action would pay, but whether the customer consents to marketing "
    "is unknown; ask for consent.",
    "none_not_worth_it": "No action is worth more than it costs.",
    "none_no_action": "The playbook has no action for this stage that the data at hand allow.",
    "none_value_unknown": "The predictions for this customer are unknown, so no action can be "
    "valued.",
    "let_go": "Every rescue costs more than it would bring: let the customer go.",
}
NOTES: tuple[str, ...] = tuple(NOTE_TEXTS)
ALLOWED, REFUSED, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class Outlook:
    """What is expected of customers over the horizon if nothing is done, one row for each.

    Attributes
    ----------
    purchase_probability : float64 array
        Chance of buying within the horizon.
    spend_if_purchase, spend_if_none : float64 arrays
        Mean net spend of those who buy and of those who do not (returns: at most 0).
    margin : float
        Contribution margin on net spend.
    """

    purchase_probability: Floats
    spend_if_purchase: Floats
    spend_if_none: Floats
    margin: float

    def of(self, rows: NDArray[np.intp]) -> Outlook:
        """Keep some of the customers."""
        return Outlook(
            self.purchase_probability[rows],
            self.spend_if_purchase[rows],
            self.spend_if_none[rows],
            self.margin,
        )


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
    provenance : str array
        Where the effect comes from: ``assumed`` by the playbook.
    """

    keys: tuple[str, ...]
    action_index: NDArray[np.int16]
    action_value: Floats
    action_value_low: Floats
    action_value_high: Floats
    note_index: NDArray[np.int8]
    provenance: NDArray[np.str_]

    @property
    def action(self) -> NDArray[np.str_]:
        """The keys of the chosen actions."""
        return np.array(self.keys)[self.action_index]

    @property
    def note(self) -> NDArray[np.str_]:
        """The codes that `note_text` explains."""
        return np.array(NOTES)[self.note_index]


def note_text(code: str) -> str:
    """Explain a note in a sentence.

    >>> note_text("let_go")
    'Every rescue costs more than it would bring: let the customer go.'
    >>> note_text("gone")
    Traceback (most recent call last):
    ...
    ValueError: unknown note 'gone'; use one of recommended, plan_only_consent_unknown, ...
    """
    if code not in NOTE_TEXTS:
        raise ValueError(f"unknown note {code!r}; use one of {', '.join(NOTES)}")
    return NOTE_TEXTS[code]


def probability_change(probability: Floats, lift_log_odds: float) -> Floats:
    """Change of a probability when a lift is added to its log-odds.

    With ``odds = p / (1 - p)`` the new odds are ``odds * exp(lift)``; solved for the difference,
    which is exact where there is none: certain buyers and certain non-buyers are not moved.

    >>> probability_change(np.array([0.0, 0.5, 1.0]), math.log(3)).round(9).tolist()
    [0.0, 0.25, 0.0]
    """
    shift = math.expm1(lift_log_odds)
    return probability * (1 - probability) * shift / (1 + probability * shift)


def incremental_value(action: Action, outlook: Outlook, level: Level = "mid") -> Floats:
    """Value of an action above doing nothing, over the horizon.

    E[margin | action] - E[margin | nothing] = change in p x (margin if they buy - margin if they
    do not) + p under the action x change in a buyer's margin - contact cost - p under the action x
    redemption rate x incentive. Those who would have bought anyway redeem too. A share of the order
    is taken of all that a buyer spends within the horizon, the most that it can cost.

    A chance of 50% raised to 75%, 100 of spend at a margin of 0.4, and a coupon of 5 which 80% of
    the buyers redeem: 0.25 x 40 - 1 - 0.75 x 0.8 x 5 = 6.

    >>> nothing = {"low": 0, "mid": 0, "high": 0}
    >>> coupon = Action(key="coupon", name_en="Coupon", name_zh="优惠券", purpose="marketing",
    ...     stages=["new"], channel="email", contact_cost=1, incentive={"amount": 5},
    ...     redemption_rate=0.8, lift_log_odds={"low": 0, "mid": math.log(3), "high": 2},
    ...     lift_spend=nothing, cooldown_days=0)
    >>> customer = Outlook(np.array([0.5]), np.array([100.0]), np.array([0.0]), margin=0.4)
    >>> incremental_value(coupon, customer).round(9).tolist()
    [6.0]

    Without an effect only the costs remain, and those who buy anyway redeem: -1 - 0.5 x 0.8 x 5.

    >>> incremental_value(coupon, customer, "low").tolist()
    [-3.0]
    """
    lift_log_odds: float = getattr(action.lift_log_odds, level)
    lift_spend: float = getattr(action.lift_spend, level)
    before, spend = outlook.purchase_probability, outlook.spend_if_purchase
    change = probability_change(before, lift_log_odds)
    after = before + change
    return (
        change * (outlook.margin * (spend - outlook.spend_if_none))
        + after * (outlook.margin * spend * lift_spend)
        - action.contact_cost
        - after * (action.redemption_rate * _incentive_cost(action, spend * (1 + lift_spend)))
    )


def choose(
    playbook: Playbook,
    stage_index: ArrayLike,
    churn_probability: ArrayLike,
    spend_if_purchase: ArrayLike,
    spend_if_none: ArrayLike,
    *,
    margin: float,
    consent: ArrayLike,
    consent_unknown: Literal["refuse", "plan"],
    available_data: frozenset[str],
) -> Choices:
    """Choose for every customer the action worth most, where doing nothing is worth 0.

    An action is a candidate in its stages, where the data that it needs are available; marketing
    only with consent. Costs and effects are the playbook's; cooldowns and capacities are left to
    the plan that is made of these choices.

    Parameters
    ----------
    playbook : Playbook
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
        What is there of `serving.playbook.NEEDS`.

    Raises
    ------
    ValueError
        The arrays differ in length, or a stage, a probability or a consent cannot be one.

    Examples
    --------
    >>> from serving.playbook import load_playbook
    >>> def advise(stage, churn, spend, consent=1, unknown="refuse"):
    ...     made = choose(load_playbook(), [STAGES.index(stage)], [churn], [spend], [0.0],
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
    best, value, potential = _best(playbook, stages, outlook, permitted, available_data)
    note = _notes(playbook, stages, consents, best, potential)
    # Its value stays 0: letting go is doing nothing, with the reason said.
    keys = (NONE, *(action.key for action in playbook.actions))
    if LET_GO in keys:
        best[note == NOTES.index("let_go")] = keys.index(LET_GO)
    low, high = _range(playbook, outlook, best, value)
    provenance = np.broadcast_to(np.array("assumed"), value.shape)
    return Choices(keys, best, value, low, high, note, provenance)


def _incentive_cost(action: Action, order_value: Floats) -> Floats | float:
    if action.incentive is None:
        return 0.0
    if action.incentive.amount is not None:
        return action.incentive.amount
    # A discount on a negative order would be income.
    return (action.incentive.share_of_order or 0.0) * np.maximum(order_value, 0.0)


def _rescues(playbook: Playbook) -> Iterator[tuple[int, Action]]:
    """Everything but doing nothing, with its index in `Choices.keys`."""
    for index, action in enumerate(playbook.actions, start=1):
        if action.key != LET_GO:
            yield index, action


def _best(
    playbook: Playbook,
    stages: NDArray[np.intp],
    outlook: Outlook,
    permitted: Flags,
    available_data: frozenset[str],
) -> tuple[NDArray[np.int16], Floats, Floats]:
    """Choice, its value, and the highest value if consent were no matter.

    That last one tells why nothing is done: -inf without any candidate, NaN if it is unknown.
    """
    best = np.zeros(len(stages), dtype=np.int16)
    value = np.zeros(len(stages))
    potential = np.full(len(stages), -np.inf)
    for index, action in _rescues(playbook):
        if not available_data.issuperset(action.needs):
            continue
        rows = np.flatnonzero(_in_stages(action, stages))
        if not len(rows):
            continue
        worth = incremental_value(action, outlook.of(rows))
        potential[rows] = np.maximum(potential[rows], worth)
        better = worth > value[rows]
        if action.purpose == "marketing":
            better &= permitted[rows]
        best[rows[better]] = index
        value[rows[better]] = worth[better]
    return best, value, potential


def _notes(
    playbook: Playbook,
    stages: NDArray[np.intp],
    consents: NDArray[np.int8],
    best: NDArray[np.int16],
    potential: Floats,
) -> NDArray[np.int8]:
    marketing = np.array([False, *(action.purpose == "marketing" for action in playbook.actions)])
    lost = np.zeros(len(stages), dtype=np.bool_)
    for action in playbook.actions:
        if action.key == LET_GO:
            lost = _in_stages(action, stages)
    conditions = {
        "plan_only_consent_unknown": marketing[best] & (consents == UNKNOWN),
        "recommended": best > 0,
        "none_no_action": np.isneginf(potential),
        "none_value_unknown": np.isnan(potential),
        # Nothing was chosen although something would pay: only consent stands in between.
        "none_consent_refused": (potential > 0) & (consents == REFUSED),
        "none_consent_unknown": potential > 0,
        "let_go": lost & (potential < 0),
    }
    codes = [np.int8(NOTES.index(code)) for code in conditions]
    default = np.int8(NOTES.index("none_not_worth_it"))
    return np.select(list(conditions.values()), codes, default=default)


def _range(
    playbook: Playbook, outlook: Outlook, best: NDArray[np.int16], value: Floats
) -> tuple[Floats, Floats]:
    """Lowest and highest value of the choice within the range of its effects.

    Where an incentive costs more than a sale earns, the stronger effect is the lower value.
    """
    low, high = value.copy(), value.copy()
    for index, action in _rescues(playbook):
        rows = np.flatnonzero(best == index)
        if not len(rows):
            continue
        chosen = outlook.of(rows)
        ends = incremental_value(action, chosen, "low"), incremental_value(action, chosen, "high")
        low[rows] = np.minimum(value[rows], np.minimum(*ends))
        high[rows] = np.maximum(value[rows], np.maximum(*ends))
    return low, high


def _in_stages(action: Action, stages: NDArray[np.intp]) -> Flags:
    eligible = np.array([stage in action.stages for stage in STAGES])
    return eligible[stages]


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
