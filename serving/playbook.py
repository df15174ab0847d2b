"""The playbook: the file in which a CRM manager lists the actions and what they bring.

Its form is explained to that reader in ``playbook.yaml``, the one that is shipped.

>>> playbook = load_playbook()
>>> len(playbook.actions), playbook.actions[0].name_en
(17, 'Helpful content')
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from features.edited import Entry, Form, Text, digest, load_edited, mistake
from training.stages import STAGES

SHIPPED = Path(__file__).with_name("playbook.yaml")
_FORM = Form("playbook", "serving.playbook", "actions and service_standards")
NONE = "none"
LET_GO = "let_go"
# What an action can need; the first four are the optional tables of the data contract.
NEEDS = (
    "contracts",
    "customers",
    "interactions",
    "treatments",
    "category",
    "open_checkout",
    "open_complaint",
)


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


Stage = Annotated[str, AfterValidator(_known_stage)]
Need = Annotated[str, AfterValidator(_known_need)]


class Effect(Entry):
    """A belief about an effect: the likely value between a cautious and a hopeful one.

    >>> Effect(low=0.3, mid=0.2, high=0.4)
    Traceback (most recent call last):
    ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Effect
      low 0.3, mid 0.2, high 0.4 are out of order; make low <= mid <= high ...
    """

    # Beyond 5, a log-odds or a sixfold spend is a slip of the decimal point.
    low: float = Field(ge=-5, le=5)
    mid: float = Field(ge=-5, le=5)
    high: float = Field(ge=-5, le=5)

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

    low: float = Field(ge=-1, le=5)


class Incentive(Entry):
    """What a redeemed offer costs: a share of the order, or an amount."""

    share_of_order: float | None = Field(None, ge=0, le=1)
    amount: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_of_two(self) -> Incentive:
        if (self.share_of_order is None) == (self.amount is None):
            raise mistake("an incentive is either share_of_order or amount; keep one of them")
        return self


class Action(Entry):
    """Something that we may do for a customer, and what we believe it brings.

    ``lift_log_odds`` is added to the log-odds of buying within the horizon, ``lift_spend`` is the
    relative change of a buyer's net spend, ``redemption_rate`` the share of buyers who redeem.
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name_en: Text
    name_zh: Text
    purpose: Literal["marketing", "service"]
    stages: tuple[Stage, ...] = Field(min_length=1)
    channel: Text
    contact_cost: float = Field(ge=0)
    incentive: Incentive | None = None
    redemption_rate: float = Field(0.0, ge=0, le=1)
    lift_log_odds: Effect
    lift_spend: SpendEffect
    needs: tuple[Need, ...] = ()
    cooldown_days: int = Field(ge=0)
    capacity: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Action:
        if self.key == NONE:
            raise mistake("the key none stands for doing nothing; choose another", at=("key",))
        if self.incentive is not None and "redemption_rate" not in self.model_fields_set:
            raise mistake("an incentive needs a redemption_rate; add it", at=("incentive",))
        if self.key == LET_GO and not self._is_nothing():
            raise mistake(
                "let_go means to do nothing; set its contact_cost and lifts to 0, without incentive"
            )
        return self

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

    actions: tuple[Action, ...]
    service_standards: dict[Stage, ServiceStandard]

    @model_validator(mode="after")
    def _unique_and_complete(self) -> Playbook:
        keys = [action.key for action in self.actions]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise mistake(
                    "the key {key} is used twice; rename one",
                    key=key,
                    at=("actions", index, "key"),
                )
        for stage in STAGES:
            if not any(stage in action.stages for action in self.actions):
                raise mistake(
                    "no action names the stage {stage}; add it to the stages of one",
                    stage=stage,
                    at=("actions",),
                )
            if stage not in self.service_standards:
                raise mistake(
                    "no service standard for the stage {stage}; add one",
                    stage=stage,
                    at=("service_standards",),
                )
        return self

    @property
    def version(self) -> str:
        """Name the content: equal for equal rules, whatever the comments and the layout.

        >>> load_playbook().version == load_playbook(SHIPPED).version
        True
        """
        return digest(self)


def load_playbook(path: Path | None = None) -> Playbook:
    """Read a playbook; without a path, the one that is shipped.

    Raises
    ------
    InputError
        The file cannot be read or an entry is wrong; the message names the file, the line, the
        entry and the remedy.
    """
    return load_edited(Playbook, SHIPPED if path is None else path, _FORM)
