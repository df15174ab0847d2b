"""The findings in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pipelines.report.actions import Campaign
from pipelines.report.contents import Contents
from pipelines.report.development import SAME_DAYS
from pipelines.report.findings import Changed, Findings
from pipelines.report.periods import A_YEAR, Period
from pipelines.report.points import Change, Point, Series
from pipelines.report.predictions import Predictions
from pipelines.report.words import Words
from pipelines.report.worth import Group, NextAction

SURE = 0.02
"""Said and seen that are no farther apart than this, or than chance, agree."""


@dataclass(frozen=True)
class Told:
    """A sentence or two, with a head where it has one.

    Attributes
    ----------
    tone
        ``better``, ``worse`` or empty: how the page marks it.
    """

    text: str
    head: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Teller:
    """Tells findings in the words of a language.

    Attributes
    ----------
    actions
        Names of actions by their key.
    """

    words: Words
    contents: Contents
    actions: Mapping[str, str]

    def everything(self, found: Findings) -> dict[str, list[str]]:
        """Say all of it without a page, by the heads of the page."""
        parts = {
            "changed": self.changed(found),
            "groups": self.groups(found),
            "brought": self.brought(found),
            "todo": self.todo(found),
            "trusted": self.trusted(found.trusted),
        }
        colon = ": " if self.words.language == "en" else "："
        return {
            key: [f"{one.head}{colon}{one.text}" if one.head else one.text for one in told]
            for key, told in parts.items()
        }

    def changed(self, found: Findings) -> Iterator[Told]:
        """Say what changed beyond noise."""
        words = self.words
        if not found.compared:
            yield Told(words["findings"]["nothing_to_compare"])
            return
        for one in found.changed:
            yield self._changed(one)
        if not found.changed and len(found.unchanged) == found.compared:
            yield Told(words.tell("findings.none", compared=found.compared))
            return
        names = [self.name(one) for one in found.unchanged][:4]
        if words.language == "en":
            names = [f"{name[0].lower()}{name[1:]}" for name in names]
        few = "" if len(names) > 1 else "_few"
        yield Told(
            words.tell(
                f"findings.steady{few}",
                compared=found.compared,
                unchanged=len(found.unchanged),
                names=words.listed(names) if names else "",
            )
        )

    def name(self, series: Series) -> str:
        """Name an indicator."""
        return str(self.words["indicators"][series.key]["name"])

    def definition(self, series: Series) -> str:
        """Say what an indicator is of."""
        contents = self.contents
        return str(self.words["indicators"][series.key]["of"]).format(
            window=contents.acquisition.window_days,
            silent=contents.silent_days,
            same=SAME_DAYS[contents.period.kind],
        )

    def change(self, series: Series, change: Change) -> tuple[str, str, str]:
        """Spell a change and both ends of its interval."""
        words = self.words
        if series.unit == "share" and (not series.per_day or not change.then):
            spelled = words.tell("findings.points", change=words.points(change.change))
            return spelled, words.points(change.low), words.points(change.high)
        if not change.then:
            ends = (change.change, change.low, change.high)
            value, low, high = (words.signed(end, series.unit) for end in ends)
            return value, low, high
        scale = abs(change.then)
        ends = (change.change / scale, change.low / scale, change.high / scale)
        value, low, high = (words.signed(end) for end in ends)
        return value, low, high

    def _changed(self, one: Changed) -> Told:
        words, series = self.words, one.series
        place = series.newest or 0
        now, then = self._period(place), self._period(place - 1)
        change, low, high = self.change(series, one.change)
        if series.per_day and now.days != then.days:
            change = words.tell("findings.by_day", change=change)
        text = words.tell(
            "findings.rose" if one.change.change > 0 else "findings.fell",
            name=self.name(series),
            now=self._value(series, place),
            then=self._value(series, place - 1),
            period=words.period(now),
            former=words.period(then),
            change=change,
            low=low,
            high=high,
        )
        if one.year is not None:
            before = place - A_YEAR[now.kind]
            value, _, _ = self.change(series, one.year)
            way = "year_up" if one.year.change > 0 else "year_down"
            text += words.tell(f"findings.{way}", value=self._value(series, before), change=value)
        if one.seasonal:
            text += words["findings"]["seasonal"]
        tone = {True: "better", False: "worse", None: "neutral"}[one.better]
        return Told(text, words["findings"][tone], tone)

    def _period(self, place: int) -> Period:
        return self.contents.periods[place]

    def _value(self, series: Series, place: int) -> str:
        value = series.points[place].value
        if series.unit == "money" and value is not None:
            return self.words.about(value)
        return self.words.value(series.unit, value)

    def groups(self, found: Findings) -> Iterator[Told]:
        """Say which groups have most at stake."""
        words = self.words
        if self.contents.worth is None:
            yield Told(words["findings"]["no_model"])
        elif not found.groups:
            yield Told(words["findings"]["no_groups"])
        for group in found.groups:
            yield self._group(group)

    def group_name(self, group: Group) -> str:
        """Name a group."""
        words = self.words
        kind = (
            "risk"
            if group.stake == "risk"
            else "win_prospect"
            if group.tier is None
            else "win_lost"
        )
        return words.tell(
            f"findings.{kind}", stage=words.stage(group.stage), tier=words.tier(group.tier)
        )

    def _group(self, group: Group) -> Told:
        words = self.words
        text = words.tell(
            f"findings.{group.stake}_text",
            n=words.count(group.customers),
            value=words.about(group.value),
            amount=words.about(group.amount),
            days=self.contents.horizon_days,
            churn=words.share(group.churn, 0),
        )
        if group.action is None:
            more = words["findings"]["group_no_action"]
        else:
            more = words.tell(
                "findings.group_action",
                action=self.action(group.action),
                acted=words.count(group.acted),
                value=words.about(group.action_value),
            )
        return Told(f"{text}{self._space}{more}", self.group_name(group))

    @property
    def _space(self) -> str:
        return " " if self.words.language == "en" else ""

    def action(self, key: str) -> str:
        """Name an action."""
        return self.actions.get(key, key)

    def brought(self, found: Findings) -> Iterator[Told]:
        """Say what past actions brought."""
        words, past = self.words, self.contents.actions
        if found.campaign is not None:
            yield Told(self._space.join(self._campaign(found.campaign)))
        for one in past.campaigns:
            if not one.carried_out:
                yield Told(words.tell("findings.unrecorded", name=one.name, day=words.day(one.day)))
        whole = found.brought
        if whole is None or past.first is None or past.last is None:
            needs = words["missing"].get(past.missing or "treatments", "")
            yield Told(words.tell("findings.brought_missing", needs=needs))
            return
        sentences = [
            words.tell(
                "findings.effect",
                treated=words.count(whole.treated),
                control=words.count(whole.control),
                first=words.day(past.first),
                last=words.day(past.last),
                days=past.horizon_days,
            )
        ]
        tone = ""
        if whole.measured and whole.net.value is not None:
            low, high = whole.net.low or 0.0, whole.net.high or 0.0
            way = "up" if low > 0 else "down" if high < 0 else ""
            tone = {"up": "better", "down": "worse", "": ""}[way]
            sentences.append(
                words.tell(
                    f"findings.effect_clear_{way}" if way else "findings.effect_unclear",
                    net=words.about(abs(whole.net.value) if way == "down" else whole.net.value),
                    low=words.about(low),
                    high=words.about(high),
                    total=words.about(whole.net.value * whole.treated),
                )
            )
            sentences.append(self._bought(whole.buyers))
        sentences += self._single(found)
        yield Told(self._space.join(sentences), "", tone)

    def _campaign(self, one: Campaign) -> Iterator[str]:
        words = self.words
        yield words.tell(
            "findings.campaign",
            name=one.name,
            treated=words.count(one.treated),
            control=words.count(one.control),
            days=one.days,
            horizon=one.horizon_days,
            net=words.about(one.net.value or 0.0),
            low=words.about(one.net.low or 0.0),
            high=words.about(one.net.high or 0.0),
            expected=words.about(one.expected),
        )
        per = one.per_cost
        if per.value is not None:
            yield words.tell(
                "findings.campaign_cost",
                cost=words.about(one.cost),
                per=words.number(per.value),
                low=words.number(per.low or 0.0),
                high=words.number(per.high or 0.0),
            )
        yield self._bought(one.buyers)

    def _bought(self, buyers: Point) -> str:
        points = self.words.points
        low, high = points(buyers.low or 0.0), points(buyers.high or 0.0)
        return self.words.tell(
            "findings.effect_buyers", change=points(buyers.value or 0.0), low=low, high=high
        )

    def _single(self, found: Findings) -> Iterator[str]:
        words = self.words
        n = sum(one.measured for one in self.contents.actions.effects)
        for key, one in (("best", found.best), ("worst", found.worst)):
            if one is not None and one.action is not None:
                yield words.tell(
                    f"findings.effect_{key}",
                    n=n,
                    net=words.about(one.net.value or 0.0),
                    low=words.about(one.net.low or 0.0),
                    high=words.about(one.net.high or 0.0),
                    **{key: self.action(one.action)},
                )
        if found.best is None and found.worst is None and n > 1:
            yield words.tell("findings.effect_none", n=n)

    def todo(self, found: Findings) -> Iterator[Told]:
        """Say what is worth doing next; nothing where no model says so."""
        words = self.words
        if self.contents.worth is None:
            return
        if not found.todo:
            yield Told(words["findings"]["nothing_to_do"])
        for one in found.todo:
            yield self._todo(one)

    def _todo(self, one: NextAction) -> Told:
        words = self.words
        kind = (
            "assumed" if one.measured <= 0.005 else "measured" if one.measured >= 0.995 else "mixed"
        )
        effect = words.tell(f"findings.effect_{kind}", share=words.share(one.measured, 0))
        stages = words.listed(
            [f"{words.stage(stage)} {words.count(n)}" for stage, n in one.stages[:3]]
        )
        return Told(
            words.tell(
                "findings.todo_text",
                value=words.about(one.value),
                low=words.about(one.low),
                high=words.about(one.high),
                days=self.contents.horizon_days,
                effect=effect,
            ),
            words.tell(
                "findings.todo",
                action=self.action(one.action),
                n=words.customers(one.customers),
                stages=stages,
            ),
        )

    def trusted(self, found: Predictions | None) -> Iterator[Told]:
        """Say how good past predictions were."""
        words = self.words
        if found is None:
            if self.contents.worth is not None:
                day = self.contents.as_of + timedelta(days=self.contents.horizon_days)
                yield Told(words.tell("findings.not_trusted", day=words.day(day)))
            return
        whole = found.whole
        seen = whole.churn_seen
        ratio = whole.spend_said / whole.spend_seen.value if whole.spend_seen.value else None
        sentences = [
            words.tell(
                "findings.trusted",
                day=words.day(found.day),
                days=found.horizon_days,
                said=words.share(whole.churn_said),
                seen=words.value("share", seen.value),
                low=words.value("share", seen.low),
                high=words.value("share", seen.high),
                ratio="–" if ratio is None else f"{ratio:.2f}",
            ),
            words["findings"][f"trusted_{found.source}"],
        ]
        judged = [words["findings"][f"trusted_{verdict}"] for verdict in verdicts(found)]
        sentences = [*judged, *sentences]
        yield Told(self._space.join(sentences))


def verdicts(found: Predictions) -> list[str]:
    """Judge what was said of everybody together: where it lies beyond its interval.

    A churn probability within two points, and sales within a tenth, agree whatever the interval.
    """
    whole, told = found.whole, []
    seen, spend = whole.churn_seen, whole.spend_seen
    if seen.low is not None and seen.high is not None:
        if whole.churn_said < seen.low - SURE:
            told.append("low")
        elif whole.churn_said > seen.high + SURE:
            told.append("high")
    if spend.value and spend.low is not None and spend.high is not None:
        if whole.spend_said > max(spend.high, 1.1 * spend.value) and "low" not in told:
            told.append("over")
        elif whole.spend_said < min(spend.low, 0.9 * spend.value):
            told.append("under")
    return told or ["good"]
