"""The parts of the page on what is proven: effects of actions, and predictions against outcomes."""

from __future__ import annotations

from pipelines.report.actions import Effect
from pipelines.report.blocks import figure
from pipelines.report.contents import Contents
from pipelines.report.figures.flows import ORDER
from pipelines.report.figures.intervals import Entry, against, rows
from pipelines.report.predictions import Predictions, SaidSeen
from pipelines.report.tables import Cell, Table, csv_link, html_table
from pipelines.report.telling import Teller
from pipelines.report.words import Words


def effects(words: Words, teller: Teller, contents: Contents) -> str:
    """Set what each action brought."""
    past = contents.actions
    measured = [one for one in past.effects if one.measured]
    if not measured:
        return ""
    told = words["figures"]["effects"]
    entries = []
    for one in measured:
        name = teller.action(one.action or "")
        tip = f"{name}: {words.value('money', one.net.value)} ({words.interval('money', one.net)})"
        note = (
            ""
            if one.per_cost is None
            else words.tell("figures.effects.per_cost", n=words.signed(one.per_cost, "number"))
        )
        entries.append(Entry(name, one.net, tip, note=note))
    few = [teller.action(one.action or "") for one in past.effects if not one.measured]
    more = words.tell("figures.effects.few", names=words.listed(few)) if few else ""
    text = words.tell("figures.effects.text", days=past.horizon_days)
    return figure(
        words,
        "effects",
        (f"{text} {more}".strip(),),
        lambda width: rows(str(told["title"]), entries, words.axis, width, zero=0.0),
        _effects(words, teller, measured),
    )


def todo(words: Words, teller: Teller, contents: Contents) -> str:
    """List every action that is worth doing on the day, as a table."""
    worth = contents.worth
    if worth is None or not worth.actions:
        return ""
    columns = words["columns"]
    rows: list[list[Cell]] = [
        [
            (teller.action(one.action), one.action),
            (words.count(one.customers), one.customers),
            (words.money(one.value), one.value),
            (words.tell("to", low=words.money(one.low), high=words.money(one.high)), ""),
            (words.share(one.measured, 0), one.measured),
            (words.listed([f"{words.stage(s)} {words.count(n)}" for s, n in one.stages]), ""),
        ]
        for one in worth.actions
    ]
    names = ("action", "customers", "net_value", "range", "measured", "stages")
    table = Table("actions", [columns[name] for name in names], rows)
    title = str(words["figures"]["todo"]["title"])
    text = words.tell(
        "figures.todo.text", day=words.day(contents.as_of), days=contents.horizon_days
    )
    return figure(
        words,
        "todo",
        (text,),
        html_table(table, title, "stages") + csv_link(table, str(words["download"])),
        None,
    )


def _effects(words: Words, teller: Teller, measured: list[Effect]) -> Table:
    columns = words["columns"]
    names = (
        "action", "treated", "control", "buyers", "net_each", "interval", "cost_each", "per_cost",
    )  # fmt: skip

    def row(one: Effect) -> list[Cell]:
        return [
            (teller.action(one.action or ""), one.action),
            (words.count(one.treated), one.treated),
            (words.count(one.control), one.control),
            (words.points(one.buyers.value or 0.0), one.buyers.value),
            (words.value("money", one.net.value), one.net.value),
            (words.interval("money", one.net), None),
            (words.money(one.cost), one.cost),
            ("–" if one.per_cost is None else words.number(one.per_cost), one.per_cost),
        ]

    return Table("effects", [columns[name] for name in names], [row(one) for one in measured])


def predictions(words: Words, contents: Contents) -> str:
    """Set what was said against what was seen."""
    found = contents.predictions
    if found is None:
        return ""
    return (
        f'<div class="pair">{_calibration(words, found)}{_churn(words, found)}</div>'
        f"{_spend(words, found)}"
    )


def _calibration(words: Words, found: Predictions) -> str:
    told = words["figures"]["calibration"]
    points = [
        (
            one.churn_said,
            one.churn_seen,
            words.tell(
                "figures.calibration.tip",
                n=one.name,
                said=words.share(one.churn_said),
                seen=words.value("share", one.churn_seen.value),
                low=words.value("share", one.churn_seen.low),
                high=words.value("share", one.churn_seen.high),
            ),
        )
        for one in found.tenths
    ]
    names = str(told["x"]), str(told["y"])

    def percent(value: float) -> str:
        return f"{value:.0%}"

    return figure(
        words,
        "calibration",
        (words.tell("figures.calibration.text", day=words.day(found.day)),),
        lambda width: against(str(told["title"]), points, names, percent, min(width, 460)),
        _table(words, "calibration", "tenth", found.tenths, [one.name for one in found.tenths]),
    )


def _churn(words: Words, found: Predictions) -> str:
    told = words["figures"]["churn_stage"]

    def percent(value: float) -> str:
        return f"{value:.0%}"

    entries = [
        Entry(
            words.stage(one.name),
            one.churn_seen,
            _tip(words, one, percent, spend=False),
            f"f-{one.name}",
            one.churn_said,
        )
        for one in _in_order(found)
    ]
    return figure(
        words,
        "churn_stage",
        (words.tell("figures.churn_stage.text", days=found.horizon_days),),
        lambda width: rows(str(told["title"]), entries, percent, min(width, 560)),
        _stages(words, found),
    )


def _spend(words: Words, found: Predictions) -> str:
    told = words["figures"]["spend"]

    def money(value: float) -> str:
        return words.money(value)

    entries = [
        Entry(
            words.stage(one.name),
            one.spend_seen,
            _tip(words, one, money, spend=True),
            f"f-{one.name}",
            one.spend_said,
        )
        for one in _in_order(found)
    ]
    names = [one.name for one in found.spend_tenths]
    return figure(
        words,
        "spend",
        (words.tell("figures.spend.text", days=found.horizon_days),),
        lambda width: rows(str(told["title"]), entries, words.axis, width),
        _table(words, "spend_tenths", "tenth", found.spend_tenths, names),
    )


def _in_order(found: Predictions) -> list[SaidSeen]:
    """Stages as customers go through them."""
    return sorted(found.stages, key=lambda one: ORDER.index(one.name))


def _tip(words: Words, one: SaidSeen, spell: object, *, spend: bool) -> str:
    told = spell if callable(spell) else str
    said, seen = (one.spend_said, one.spend_seen) if spend else (one.churn_said, one.churn_seen)
    return words.tell(
        "figures.spend.tip",
        stage=words.stage(one.name),
        said=told(said),
        seen=told(seen.value or 0.0),
        low=told(seen.low or 0.0),
        high=told(seen.high or 0.0),
        n=words.count(one.customers),
    )


def _stages(words: Words, found: Predictions) -> Table:
    names = [words.stage(one.name) for one in found.stages]
    return _table(words, "said_and_seen_by_stage", "stage", found.stages, names)


def _table(
    words: Words, key: str, first: str, told: tuple[SaidSeen, ...], names: list[str]
) -> Table:
    columns = words["columns"]
    heads = (
        first, "customers", "said", "seen", "interval", "said_spend", "seen_spend", "covered",
    )  # fmt: skip
    return Table(
        key,
        [columns[name] for name in heads],
        [
            [
                (name, one.name),
                (words.count(one.customers), one.customers),
                (words.share(one.churn_said), one.churn_said),
                (words.value("share", one.churn_seen.value), one.churn_seen.value),
                (words.interval("share", one.churn_seen), None),
                (words.money(one.spend_said), one.spend_said),
                (words.value("money", one.spend_seen.value), one.spend_seen.value),
                (words.value("share", one.covered.value), one.covered.value),
            ]
            for name, one in zip(names, told, strict=True)
        ],
    )
