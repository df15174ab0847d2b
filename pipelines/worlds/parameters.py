"""What makes a world: every number that a simulation follows, with its unit.

A chance is a number from 0 to 1; `..._per_year` is a rate, of which a day has a 365th; money is in
the world's currency, "log rate" is added to the logarithm of a rate: 0.7 doubles it.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.ingest.contract import KINDS

Chance = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, le=1000)]
Factor = Annotated[float, Field(gt=0, le=100)]
Money = Annotated[float, Field(gt=0, le=1_000_000)]
LogRate = Annotated[float, Field(ge=-5, le=5)]

Audience = Literal["active", "lapsed", "one_order", "prospects", "complaining"]
"""Who may be drawn for an action, by what the tables show: customers who bought within
`lapsed_days`, who did not, who bought once, who never did, whose complaint is open."""


class Part(BaseModel):
    """A frozen group of parameters that refuses names which it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Kind(Part):
    """A kind of customer, which no table shows.

    The purchase process is of the family of the Pareto/NBD (Schmittlein, Morrison and Colombo
    1987) and the MBG/NBD (Batislam, Denizel and Filiztekin 2007): a rate of buying, an unseen
    end at any time and one after each order, and a mean order value of one's own (the logarithm
    of Fader and Hardie's Gamma-Gamma: Colombo and Jiang 1999 compare the two).
    """

    share: Chance = Field(description="of all who register")
    purchases_per_year: Rate = Field(description="about, while a customer; in a contract world "
                                     "spells of use")  # fmt: skip
    dropout_per_year: Rate = Field(description="rate of leaving unseen, for good")
    quits_after_order: Chance = Field(description="chance of leaving after each order")
    order_value: Money = Field(description="median of customers' mean order values")
    order_spread: float = Field(ge=0, le=3, description="spread of their logarithms")
    uses_discount: Chance = Field(description="of a promotion that is on, when ordering")
    promotion_pull: Factor = Field(description="factor on buying while a promotion is on")
    browses: Factor = Field(description="factor on visits")
    renews: Chance = Field(0.9, description="contract world: chance of renewal, while in use")


class Level(Part):
    """How active customers are within their kind: a step of a discretised gamma distribution."""

    share: Chance
    rate: Factor = Field(description="factor on purchases")


class Interest(Part):
    """The unseen spells in which a customer thinks of buying, and which visits betray.

    A hidden Markov chain of two states and an absorbing end, as Netzer, Lattin and Srinivasan
    (2008, "A hidden Markov model of customer relationship dynamics") and Schwartz, Bradlow and
    Fader (2014) have it: it makes purchases clumpy, and foretold by what precedes them.
    """

    impulse_share: Chance = Field(description="of purchases, made outside a spell")
    buys_per_day: Rate = Field(description="rate of buying within a spell")
    ends_per_day: Chance = Field(description="chance that a spell ends without a purchase")


class Prospects(Part):
    """How those who registered come to their first order."""

    order_at_once: Chance = Field(description="first order on the day of registration")
    spells_per_year: Rate = Field(description="spells of interest of those who did not")
    impulses_per_year: Rate = Field(description="first orders outside a spell")
    lost_per_year: Rate = Field(description="rate of losing interest for good")


class Signs(Part):
    """What is seen of a customer besides orders: chances a day, and upon a visit.

    Each pair is (outside a spell of interest, within one).
    """

    visit: tuple[Chance, Chance]
    shows: dict[str, tuple[Chance, Chance]] = Field(description="kinds of interaction on a visit")
    mail_weekday: int = Field(ge=0, le=6, description="of the newsletter; 0 is Monday")
    email_open: tuple[Chance, Chance]
    email_click: tuple[Chance, Chance] = Field(description="of those who opened")
    email_open_gone: Chance = Field(description="of those who have left unseen")
    survey_answered: Chance = Field(description="per order")
    review: Chance = Field(description="per order")
    referral: Chance = Field(description="per order: becomes one of those who bring friends")
    ticket: Chance = Field(description="support ticket per order")

    @model_validator(mode="after")
    def _contract_kinds(self) -> Signs:
        for kind in self.shows:
            if kind not in KINDS:
                raise ValueError(f"{kind} is no kind of interaction; use one of {', '.join(KINDS)}")
        return self


class Complaints(Part):
    """Complaints, which drive customers away until they are resolved."""

    per_year: Rate = Field(description="rate while a customer")
    resolved_per_day: Chance
    dropout_factor: Factor = Field(description="on the rate of leaving while one is open")


class Seasons(Part):
    """What moves everybody: factors on buying."""

    months: tuple[Factor, ...] = Field(min_length=12, max_length=12, description="January first")
    weekdays: tuple[Factor, ...] = Field(min_length=7, max_length=7, description="Monday first")
    christmas: Factor = Field(description="on top, from 25 November to 20 December")
    trend_per_year: Factor


class Promotions(Part):
    """Days on which prices are reduced for everybody."""

    days_of_month: tuple[int, int] = Field(description="first and last")
    depth: Chance = Field(description="of the price")


class Orders(Part):
    """What is in an order, and what comes back."""

    value_noise: float = Field(ge=0, le=3, description="spread of log order values of a customer")
    categories: tuple[str, ...] = Field(min_length=2)
    favourite_share: Chance = Field(description="of lines in the customer's own category")
    together: dict[str, str] = Field(description="category: another that is bought with it")
    together_share: Chance = Field(description="of second lines that follow it")
    channels: dict[str, Chance] = Field(min_length=1, description="customers' home channels")
    home_share: Chance = Field(description="of orders in the home channel")
    returned: Chance = Field(description="orders sent back whole")
    return_days: tuple[int, int] = Field(description="from and to so many days later")


class Source(Part):
    """An acquisition channel; who comes by it tells something of the kind."""

    share: Chance
    cost: float = Field(ge=0, description="money a newcomer, on average")
    tilt: dict[str, Factor] = Field(default_factory=dict, description="kind: factor on its share")


class People(Part):
    """Who comes, and when."""

    founding_share: Chance = Field(description="of `--customers`, who register when the shop opens")
    founding_days: int = Field(ge=1, description="within so many days")
    intake_days: int = Field(ge=1, description="the others, evenly, within so many days; they go "
                             "on coming at that rate afterwards")  # fmt: skip
    sources: dict[str, Source] = Field(min_length=1)
    regions: dict[str, Chance] = Field(min_length=1)
    age_groups: dict[str, Chance] = Field(min_length=1)
    moves_per_year: Chance = Field(description="chance of a new region a year after registering")
    consents: Chance
    refuses: Chance = Field(description="marketing; of the others it is unknown")


class When(Part):
    """What an observable state adds to an action's effect."""

    late: LogRate = Field(0.0, description="silent longer than `late_gaps` usual gaps")
    discounter: LogRate = Field(0.0, description="most orders with a discount")
    engaged: LogRate = Field(0.0, description="visited within `engaged_days`")


class Response(Part):
    """What an action does to a customer, by kind and by observable state.

    The log rate is added to that of buying, of spells of interest and of renewing, for
    `window_days`. A kind that is annoyed leaves at once with that chance: sleeping dogs (Ascarza,
    Iyengar and Schleicher 2016).
    """

    buying: dict[str, LogRate] = Field(default_factory=dict, description="kind: log rate")
    when: When = When()
    spend: float = Field(0.0, ge=-0.9, le=5, description="relative change of order values")
    annoys: dict[str, Chance] = Field(default_factory=dict, description="kind: chance to leave")
    redeems: dict[str, Chance] = Field(
        default_factory=dict, description="kind: chance that the first order uses the incentive"
    )
    resolves: Chance = Field(0.0, description="added daily chance to resolve an open complaint")


class Hidden(Part):
    """A trait that changes every action's effect and nothing else: no table shows it."""

    share: Chance = 0.0
    having: LogRate = 0.0
    lacking: LogRate = 0.0


class Effects(Part):
    """How actions of the playbook work here."""

    window_days: int = Field(28, ge=1, le=365, description="how long an action works")
    late_gaps: Factor = 1.5
    usual_gap_days: int = Field(60, ge=1, description="of customers with a single order")
    engaged_days: int = Field(14, ge=1)
    discounter_share: Chance = 0.5
    hidden: Hidden = Hidden()
    actions: dict[str, Response] = Field(default_factory=dict)


class Programme(Part):
    """The company's own treatments: rounds in which some of those eligible are drawn."""

    first_day: int = Field(ge=1, description="days after the start")
    every_days: int = Field(ge=1)
    share: Chance = Field(description="of those eligible, drawn in a round")
    propensity: Chance = Field(description="chance of the drawn to be treated, else control")
    lapsed_days: int = Field(120, ge=1)
    audiences: dict[str, Audience] = Field(description="action: who may be drawn for it")
    random: bool = Field(True, description="whether the arm is a coin's and its chance recorded")
    engaged_pull: LogRate = Field(0.0, description="log odds of treatment for the engaged")
    interest_pull: LogRate = Field(0.0, description="those in a spell of interest, unseen by us")
    there_pull: LogRate = Field(0.0, description="those who have not left, unseen by us")


class Plan(Part):
    """A subscription."""

    share: Chance = Field(description="of those who subscribe")
    term_days: int = Field(ge=2, le=1096)
    fee: Money = Field(description="a term")


class Subscription(Part):
    """A contract world: the only orders are the fees of terms, paid when a term is agreed."""

    plans: dict[str, Plan] = Field(min_length=1)
    notice_days: int = Field(ge=1, description="before a term's end it is renewed or cancelled")
    unused: LogRate = Field(description="added to the log odds of renewal outside a spell of use")
    complaining: LogRate = Field(description="added while a complaint is open")

    @model_validator(mode="after")
    def _terms_hold_notice(self) -> Subscription:
        for name, plan in self.plans.items():
            if plan.term_days <= self.notice_days:
                raise ValueError(
                    f"plan {name} of {plan.term_days} days is not longer than the notice of "
                    f"{self.notice_days}; lengthen it"
                )
        return self


class Break(Part):
    """What is different from a day on."""

    since: date
    prices: Factor = Field(1.0, description="factor on order values and fees")
    buying: Factor = Field(1.0, description="factor on buying")
    leaving: Factor = Field(1.0, description="factor on rates of leaving, and odds of not renewing")
    channel_lost: str | None = None
    channel_kept: Chance = Field(0.3, description="factor on buying of those at home in it")
    export_lost: Chance = Field(0.0, description="of order lines, missing in the export")
    export_factor: Factor = Field(1.0, description="on amounts in the export")


class World(Part):
    """A company: its customers, its year, its treatments and what they do."""

    title: str
    starts: date
    currency: str = Field(pattern="^[A-Z]{3}$")
    margin: Chance = Field(description="of what customers pay")
    late_share: Chance = Field(description="of rows that arrive one to five days late")
    kinds: dict[str, Kind] = Field(min_length=1)
    levels: tuple[Level, ...] = Field(min_length=1)
    interest: Interest
    prospects: Prospects
    signs: Signs
    complaints: Complaints
    seasons: Seasons
    promotions: Promotions
    orders: Orders
    people: People
    effects: Effects
    programme: Programme
    subscription: Subscription | None = None
    breaks: tuple[Break, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> World:
        for what, shares in (
            ("kinds", [kind.share for kind in self.kinds.values()]),
            ("levels", [level.share for level in self.levels]),
            ("people.sources", [source.share for source in self.people.sources.values()]),
            ("people.regions", list(self.people.regions.values())),
            ("people.age_groups", list(self.people.age_groups.values())),
            ("orders.channels", list(self.orders.channels.values())),
        ):
            if abs(sum(shares) - 1) > 1e-9:
                raise ValueError(
                    f"the shares of {what} sum to {sum(shares):g}, not 1; correct them"
                )
        if self.programme.every_days < self.effects.window_days:
            raise ValueError(
                f"programme.every_days = {self.programme.every_days} is shorter than "
                f"effects.window_days = {self.effects.window_days}: rounds would overlap"
            )
        for name, response in self.effects.actions.items():
            for kind in (*response.buying, *response.annoys, *response.redeems):
                if kind not in self.kinds:
                    raise ValueError(f"action {name} names the unknown kind {kind}")
        for name, source in self.people.sources.items():
            for kind in source.tilt:
                if kind not in self.kinds:
                    raise ValueError(f"source {name} names the unknown kind {kind}")
        for change in self.breaks:
            if change.channel_lost not in (None, *self.orders.channels):
                raise ValueError(f"channel_lost {change.channel_lost} is none of orders.channels")
        return self
