"""What stands in the handbook of differentiated service, whatever it is printed as."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from serving.evidence import Evidence
from serving.numerals import number
from serving.playbook import LET_GO, Action, Playbook
from serving.segments import BANDED, Condition, Range
from serving.sentences import Language
from training.bundle import ScorerBundle
from training.stage_rules import StageRules
from training.stages import STAGES, Vocabulary, stage_labels
from training.staging import CompanyStages
from training.tiers import TIER_NAMES
from training.uplift.lifts import Lifts

LIFE = (
    "prospect_aware",
    "prospect_considering",
    "new",
    "developing",
    "loyal",
    "declining",
    "churned",
    "won_back",
)
"""The stages as customers go through them, which is how a person reads of them."""
BASE = 200
"""Of a thousand customers, those who would buy anyway: at which an effect on the odds is told."""
_NINETY = 1.645
"""Errors to either side of an estimate that hold the truth nine times in ten."""
Words = Mapping[str, Any]


@dataclass(frozen=True)
class ActionEntry:
    """An action with what is to be known of it, each with its label."""

    key: str
    name: str
    purpose: str
    is_service: bool
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StageEntry:
    """A stage: who is in it, what they can count on, and what may be done for them."""

    key: str
    name: str
    who: tuple[str, ...]
    standard: str
    actions: tuple[ActionEntry, ...]


@dataclass(frozen=True)
class Handbook:
    """The whole, in one language.

    Attributes
    ----------
    glance
        A row for each action: its name, purpose, stages, cost, pause and capacity.
    """

    language: Language
    words: Words
    lead: str
    glance: tuple[tuple[str, ...], ...]
    stages: tuple[StageEntry, ...]
    footer: tuple[str, ...]


@lru_cache
def load_words(language: Language) -> Words:
    """Read the words of a language."""
    file = Path(__file__).with_name(f"handbook_{language}.yaml")
    words: Words = yaml.safe_load(file.read_text(encoding="utf-8"))
    return words


def handbook(
    playbook: Playbook,
    rules: StageRules,
    currency: str,
    language: Language,
    bundle: ScorerBundle | None = None,
    model_version: int | None = None,
    lifts: Lifts | None = None,
    vocabulary: Vocabulary = "stages",
) -> Handbook:
    """Put the handbook together.

    Parameters
    ----------
    bundle, model_version
        What answers now, for the company's own numbers; without it their names stand there.
    lifts
        What was measured of actions; default: what the bundle has of it.
    vocabulary
        In whose words stages are named too.
    """
    words = load_words(language)
    measured = bundle.lifts if lifts is None and bundle is not None else lifts
    names = dict(zip(STAGES, stage_labels("stages", language), strict=True))
    teller = _Teller(words, playbook, currency, language, measured or Lifts(), names)
    if vocabulary != "stages":
        others = zip(STAGES, stage_labels(vocabulary, language), strict=True)
        names = {stage: f"{names[stage]} · {other}" for stage, other in others}
    days = words["no_horizon"]
    footer = [words["version"].format(playbook=playbook.version, rules=rules.version)]
    if bundle is not None:
        days = words["horizon"].format(days=bundle.horizon_days)
        footer.append(words["model"].format(model=model_version, day=bundle.as_of))
    else:
        footer.append(words["placeholders"])
    return Handbook(
        language,
        words,
        words["lead"].format(horizon=days),
        tuple(teller.row(action) for action in playbook.actions),
        tuple(
            StageEntry(
                stage,
                names[stage],
                tuple(_who(rules, stage, language, bundle)),
                getattr(playbook.service_standards[stage], language),
                tuple(teller.entry(a) for a in playbook.actions if stage in a.stages),
            )
            for stage in LIFE
        ),
        tuple(footer),
    )


def _who(
    rules: StageRules, stage: str, language: Language, bundle: ScorerBundle | None
) -> Iterator[str]:
    if bundle is None:
        rule = rules.stages[stage]
        yield _bare(getattr(rule, language))
        if rule.stay is not None:
            yield _bare(getattr(rule.stay, language))
        return
    # Whoever was in a stage before may be asked for less, which is said after the rule itself.
    told = CompanyStages(rules, bundle.thresholds).told(language)
    for clause, sentence in sorted(
        zip(rules.clauses, told, strict=True), key=lambda one: one[0].staying
    ):
        if STAGES[clause.stage] == stage:
            yield sentence


def _bare(text: str) -> str:
    """Leave a company's numbers by their names.

    >>> _bare("Silent for {silent_days:days}[, usually {gap:days}].")
    'Silent for silent_days, usually gap.'
    """
    return re.sub(r"\{(\w+)[^}]*\}", r"\1", re.sub(r"[\[\]]", "", text))


@dataclass(frozen=True)
class _Teller:
    """Says what an action is, in one language."""

    words: Words
    playbook: Playbook
    currency: str
    language: Language
    lifts: Lifts
    stages: Mapping[str, str]

    @cached_property
    def shares(self) -> dict[str, float]:
        """How much of each action's effect is measured."""
        actions = self.playbook.actions
        shares = Evidence.of(actions, self.lifts).share.tolist()
        return dict(zip((action.key for action in actions), shares, strict=True))

    def row(self, action: Action) -> tuple[str, ...]:
        """Say the most of it in a row."""
        words = self.words
        stages = words["comma"].join(self.stages[s] for s in LIFE if s in action.stages)
        return (
            self.name(action),
            words["purposes"][action.purpose],
            stages,
            words["comma"].join([self.money(action.contact_cost), *self._short_offer(action)]),
            words["pause_own"].format(days=action.cooldown_days) if action.cooldown_days else "",
            self._capacity(action),
        )

    def entry(self, action: Action) -> ActionEntry:
        """Say all of it."""
        words = self.words
        lines: list[tuple[str, str]] = []
        if action.key == LET_GO:
            lines.append((words["cost"], words["nothing"]))
        else:
            channel = words["channels"].get(action.channel, action.channel)
            cost = words["cost_told"].format(cost=self.money(action.contact_cost))
            lines += [
                (words["channel"], channel),
                (words["cost"], cost),
                (words["offer"], self._offer(action)),
                (words["assumed"].format(effect=words["buying"]), self._buying(action)),
                (words["assumed"].format(effect=words["spend"]), self._spend(action)),
                (words["measured"], self._measured(action)),
            ]
        lines += [
            (words["names"], words["named"][action.names] if action.names else ""),
            (words["segments"], "; ".join(map(self._segment, action.segments.items()))),
            (words["needs"], words["comma"].join(words["needed"][one] for one in action.needs)),
            (words["only_after"], self._named(action.only_after)),
            (words["pause"], self._pause(action)),
            (words["capacity"], self._capacity(action)),
        ]  # fmt: skip
        return ActionEntry(
            action.key,
            self.name(action),
            words["purposes"][action.purpose],
            action.purpose == "service",
            tuple((label, text) for label, text in lines if text),
        )

    def name(self, action: Action) -> str:
        """Name it."""
        return action.name_en if self.language == "en" else action.name_zh

    def money(self, amount: float) -> str:
        """Tell an amount to the cent."""
        return f"{amount:,.2f} {self.currency}"

    def _named(self, keys: Sequence[str]) -> str:
        names = {action.key: self.name(action) for action in self.playbook.actions}
        return str(self.words["comma"].join(names[key] for key in keys))

    def _offer(self, action: Action) -> str:
        if action.incentive is None:
            return ""
        redeemed = f"{action.redemption_rate:.0%}"
        if action.incentive.amount is not None:
            amount = self.money(action.incentive.amount)
            return str(self.words["offer_amount"].format(amount=amount, redeemed=redeemed))
        share = f"{action.incentive.share_of_order or 0:.0%}"
        return str(self.words["offer_share"].format(share=share, redeemed=redeemed))

    def _short_offer(self, action: Action) -> Iterator[str]:
        if action.incentive is not None:
            amount = action.incentive.amount
            share = f"{action.incentive.share_of_order or 0:.0%}"
            yield share if amount is None else self.money(amount)

    def _buying(self, action: Action) -> str:
        lift = action.lift_log_odds
        return str(
            self.words["buying_told"].format(
                base=BASE,
                **{end: _buyers(getattr(lift, end)) for end in ("low", "mid", "high")},
            )
        )

    def _spend(self, action: Action) -> str:
        lift = action.lift_spend
        if lift.low == lift.high == 0:
            return ""
        ends = {end: _change(getattr(lift, end)) for end in ("low", "mid", "high")}
        return str(self.words["spend_told"].format(**ends))

    def _measured(self, action: Action) -> str:
        one = self.lifts.measured.get(action.key)
        if one is None:
            return ""
        share = self.shares[action.key]
        ends = {
            end: _change(math.expm1(one.level.value + errors * one.level.error))
            for end, errors in (("low", -_NINETY), ("mid", 0.0), ("high", _NINETY))
        }
        return str(self.words["measured_told"].format(share=f"{share:.0%}", **ends))

    def _segment(self, entry: tuple[str, Condition]) -> str:
        words, (fact, condition) = self.words, entry
        named = words["facts"].get(fact, fact)
        if isinstance(condition, Range):
            form = (
                "between"
                if None not in (condition.at_least, condition.below)
                else "below" if condition.at_least is None else "at_least"
            )  # fmt: skip
            low, high = (
                "" if end is None else number(end) for end in (condition.at_least, condition.below)
            )
            return str(words[form].format(fact=named, low=low, high=high))
        spelled = words["bands"] | TIER_NAMES[self.language]
        labels = [spelled[one] for one in BANDED.get(fact, ()) if one in condition]
        values = words["comma"].join(labels or condition)
        return str(words["among"].format(fact=named, values=values))

    def _pause(self, action: Action) -> str:
        words = self.words
        own = [words["pause_own"].format(days=action.cooldown_days)] if action.cooldown_days else []
        after = [
            words["pause_after"].format(days=days, action=self._named([key]))
            for key, days in action.not_within.items()
        ]
        return str(words["comma"].join([*own, *after]))

    def _capacity(self, action: Action) -> str:
        if action.capacity is None:
            return ""
        per = self.words["periods"][action.capacity.per]
        told = self.words["capacity_told"].format(contacts=f"{action.capacity.contacts:,}", per=per)
        return str(told)


def _buyers(lift: float) -> int:
    """Of a thousand, those who buy when the log-odds of `BASE` are lifted.

    >>> _buyers(0.0), _buyers(0.35), _buyers(-0.05)
    (200, 262, 192)
    """
    return round(1000 / (1 + (1000 / BASE - 1) * math.exp(-lift)))


def _change(share: float) -> str:
    """Tell a relative change.

    >>> _change(0.05), _change(0.0), _change(-0.02)
    ('+5%', '0%', '-2%')
    """
    return f"{share:+.0%}" if share else "0%"
