"""The playbook: the file in which a CRM manager lists the actions and what they bring.

Its form is explained to that reader in ``playbook.yaml``, the one that is shipped, and to their
editor in ``playbook.schema.json``.

>>> playbook = load_playbook()
>>> len(playbook.actions), playbook.actions[0].name_en
(17, 'Helpful content')
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from features.edited import (
    EditedFile,
    Entry,
    Form,
    Place,
    Text,
    digest,
    mistake,
    mistakes,
    parse,
    read,
)
from serving.precedence import wrong_precedence
from serving.segments import Segments, sensitive_facts
from training.stages import STAGES

SHIPPED = Path(__file__).with_name("playbook.yaml")
_FORM = Form("playbook", "serving.playbook", "actions and service_standards")
NONE = "none"
LET_GO = "let_go"
NEEDS: Mapping[str, str] = {
    "contracts": "the table of contracts",
    "customers": "the table of customers",
    "interactions": "the table of interactions",
    "treatments": "the table of treatments",
    "category": "orders that name the product's category",
    "open_checkout": "a checkout that this customer has begun and not paid",
    "open_complaint": "a complaint of this customer that is not resolved",
}
"""What an action can need, and what that is."""
Period = Literal["day", "week", "month"]
PERIOD_DAYS: Mapping[Period, int] = {"day": 1, "week": 7, "month": 30}


def _known_stage(stage: str) -> str:
    if stage not in STAGES:
        raise mistake(
            "unknown stage {stage}; use one of {known}", stage=stage, known=", ".join(STAGES)
        )
    return stage


def _known_need(need: str) -> str:
    if need not in NEEDS:
        raise mistake("unknown data {need}; use one of {known}", need=need, known=", ".join(NEEDS))
    return need


Stage = Annotated[str, AfterValidator(_known_stage), Field(json_schema_extra={"enum": [*STAGES]})]
Need = Annotated[str, AfterValidator(_known_need), Field(json_schema_extra={"enum": [*NEEDS]})]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Effect(Entry):
    """A belief about an effect: the likely value between a cautious and a hopeful one.

    >>> Effect(low=0.3, mid=0.2, high=0.4)
    Traceback (most recent call last):
    ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Effect
      low 0.3, mid 0.2, high 0.4 are out of order; make low <= mid <= high ...
    """

    # Beyond 5, a log-odds or a sixfold spend is a slip of the decimal point.
    low: float = Field(ge=-5, le=5, description="the cautious value")
    mid: float = Field(ge=-5, le=5, description="the likely value, by which actions are chosen")
    high: float = Field(ge=-5, le=5, description="the hopeful value")

    @model_validator(mode="after")
    def _ordered(self) -> Effect:
        if not self.low <= self.mid <= self.high:
            raise mistake(
                "low {low}, mid {mid}, high {high} are out of order; make low <= mid <= high",
                low=self.low,
                mid=self.mid,
                high=self.high,
            )
        return self


class SpendEffect(Effect):
    """A relative change of spend: at -1 nothing is left."""

    low: float = Field(ge=-1, le=5, description="the cautious value")


class Incentive(Entry):
    """What a redeemed offer costs: a share of the order, or an amount."""

    share_of_order: float | None = Field(
        None, ge=0, le=1, description="0.10 is 10% of what the customer spends"
    )
    amount: float | None = Field(None, ge=0, description="in the currency of the workspace")

    @model_validator(mode="after")
    def _one_of_two(self) -> Incentive:
        if (self.share_of_order is None) == (self.amount is None):
            raise mistake("an incentive is either share_of_order or amount; keep one of them")
        return self


class Capacity(Entry):
    """How many contacts can be managed in a period."""

    contacts: int = Field(ge=0, description="at most so many")
    per: Period = Field(description="in each day, week or month of 30 days")

    def within(self, days: int) -> int:
        """Count the contacts that fit into so many days, rounded down.

        >>> week = Capacity(contacts=200, per="week")
        >>> week.within(7), week.within(1), week.within(30)
        (200, 28, 857)
        """
        return self.contacts * days // PERIOD_DAYS[self.per]


def _with_period(given: Any) -> Any:  # noqa: ANN401 - of a file
    if isinstance(given, int) and not isinstance(given, bool):
        raise mistake(
            "{count} in which time? write {contacts: {count}, per: week}, or per day or month",
            count=given,
        )
    return given


class Action(Entry):
    """Something that we may do for a customer, and what we believe it brings."""

    key: Key = Field(description="our name for it: small letters, digits and _; used once")
    name_en: Text = Field(description="what people read")
    name_zh: Text = Field(description="what people read in Chinese")
    purpose: Literal["marketing", "service"] = Field(
        description="marketing: with consent, not while a complaint is open; service: for everyone"
    )
    stages: tuple[Stage, ...] = Field(
        min_length=1, description="lifecycle stages in which it makes sense"
    )
    segments: Segments = Field({}, description="only for customers of whom all of this holds")
    names: Literal["category", "tier"] | None = Field(
        None,
        description="what is named for each customer: a category that goes with theirs, or a "
        "membership tier",
    )
    channel: Text = Field(description="how it reaches the customer", examples=["email", "phone"])
    contact_cost: float = Field(
        ge=0, description="cost of one contact, in the currency of the workspace, paid in any case"
    )
    incentive: Incentive | None = Field(None, description="what redeeming it costs us")
    redemption_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the buyers who redeem it, those who would have bought anyway too",
    )
    lift_log_odds: Effect = Field(
        description="effect on the chance of buying, added to its log-odds",
        examples=[{"low": 0.0, "mid": 0.1, "high": 0.2}],
    )
    lift_spend: SpendEffect = Field(
        description="effect on what a buyer spends; 0.05 is 5% more",
        examples=[{"low": 0.0, "mid": 0.0, "high": 0.05}],
    )
    needs: tuple[Need, ...] = Field((), description="data without which it is never proposed")
    cooldown_days: int = Field(ge=0, description="not again within so many days")
    not_within: dict[Key, Annotated[int, Field(ge=1)]] = Field(
        {},
        description="not within so many days of another action",
        examples=[{"win_back_offer": 60}],
    )
    only_after: tuple[Key, ...] = Field(
        (),
        description="only for customers whom we last did one of these for",
        examples=[["welcome_onboarding"]],
    )
    capacity: Annotated[Capacity | None, BeforeValidator(_with_period)] = Field(
        None,
        description="how many we can manage; null: as many as we like",
        examples=[{"contacts": 200, "per": "week"}],
    )

    @model_validator(mode="after")
    def _consistent(self) -> Action:
        if error := mistakes(self._inconsistent()):
            raise error
        return self

    def _inconsistent(self) -> Iterator[tuple[Place, str]]:
        if self.key == NONE:
            yield ("key",), "the key none stands for doing nothing; choose another"
        if self.incentive is not None and "redemption_rate" not in self.model_fields_set:
            yield ("incentive",), "an incentive needs a redemption_rate; add it"
        if self.key == LET_GO and not self._is_nothing():
            text = "let_go means to do nothing; set contact_cost and lifts to 0, without incentive"
            yield (), text

    def _is_nothing(self) -> bool:
        lifts = (self.lift_log_odds, self.lift_spend)
        return (
            self.contact_cost == 0
            and self.incentive is None
            and all(lift.low == lift.high == 0 for lift in lifts)
        )


class ServiceStandard(Entry):
    """What every customer of a stage can count on, in both languages."""

    en: Text
    zh: Text


class Playbook(Entry):
    """All actions in order of preference where values are equal, and the service standards."""

    actions: tuple[Action, ...] = Field(description="of two of equal value the first is chosen")
    service_standards: dict[Stage, ServiceStandard] = Field(
        description="what every customer of a stage can count on, whatever action is chosen"
    )

    @model_validator(mode="after")
    def _unique_and_complete(self) -> Playbook:
        entries = [action.model_dump(include=_ACROSS) for action in self.actions]
        if error := mistakes([*_across({"actions": entries}), *self._uncovered()]):
            raise error
        return self

    def _uncovered(self) -> Iterator[tuple[Place, str]]:
        for stage in STAGES:
            if not any(stage in action.stages for action in self.actions):
                yield (
                    ("actions",),
                    f"no action names the stage {stage}; add it to the stages of one",
                )
            if stage not in self.service_standards:
                yield ("service_standards",), f"no service standard for the stage {stage}; add one"

    @property
    def version(self) -> str:
        """Name the content: equal for equal rules, whatever the comments and the layout.

        >>> load_playbook().version == load_playbook(SHIPPED).version
        True
        """
        return digest(self)


_ACROSS = {"key", "only_after", "not_within"}


def _across(content: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    """Find what is wrong between actions; they need not be valid."""
    actions = content.get("actions")
    if not isinstance(actions, list):
        return
    seen: set[object] = set()
    for place, one in enumerate(actions):
        key = one.get("key") if isinstance(one, dict) else None
        if isinstance(key, str):
            if key in seen:
                yield ("actions", place, "key"), f"the key {key} is used twice; rename one"
            seen.add(key)
    yield from wrong_precedence(actions, LET_GO)


def load_playbook(path: Path | None = None, sensitive: Collection[str] = ()) -> Playbook:
    """Read a playbook; without a path, the one that is shipped.

    Parameters
    ----------
    sensitive
        Attributes of customers by which nothing may be offered or withheld
        (``data.sensitive_attributes``).

    Raises
    ------
    InputError
        The file cannot be read or entries are wrong; the message names the file and for each
        mistake its line, the entry and the remedy.
    """
    file = parse(SHIPPED if path is None else path, _FORM)
    playbook = read(file, Playbook, _across)
    _refuse_sensitive(file, playbook, sensitive)
    return playbook


def _refuse_sensitive(file: EditedFile, playbook: Playbook, attributes: Collection[str]) -> None:
    hidden = sensitive_facts(attributes)
    found = [
        file.mistake(
            ("actions", place, "segments", fact),
            f"it is listed as sensitive (data.sensitive_attributes), and {what} may not depend on "
            "it; remove it here",
        )
        for place, action in enumerate(playbook.actions)
        for fact in action.segments
        if fact in hidden
        for what in ["an action" if action.incentive is None else "a price offer"]
    ]
    if found:
        file.refuse(found)
