"""The parts of the page on the way to the first order, winning, keeping and losing customers."""

from __future__ import annotations

from pipelines.report.acquisition import Channel
from pipelines.report.blocks import figure
from pipelines.report.contents import Contents
from pipelines.report.figures.bars import Bar, bars
from pipelines.report.figures.heat import cohort_cells
from pipelines.report.figures.intervals import Entry, rows
from pipelines.report.retention import Cohort
from pipelines.report.tables import Cell, Table, csv_link, html_table
from pipelines.report.words import Words

_AGES = (1, 3, 6)


def funnel(words: Words, contents: Contents) -> str:
    """Set the way to the first order."""
    steps = contents.journey.funnel
    if len(steps) < 2:
        return ""
    told = words["figures"]["funnel"]
    entries = [
        Bar(told["steps"][step], float(n), words.tell("figures.funnel.said", n=words.count(n)))
        for step, n in steps
    ]
    columns = words["columns"]
    table = Table(
        "funnel",
        [columns["step"], columns["people"]],
        [[(told["steps"][step], step), (words.count(n), n)] for step, n in steps],
    )
    text = words.tell("figures.funnel.text", period=words.period(contents.period))
    return figure(
        words, "funnel", (text,), lambda width: bars(str(told["title"]), entries, width), table
    )


def channels(words: Words, contents: Contents) -> str:
    """Set what each channel brings, as a table."""
    found = contents.acquisition
    if not found.channels:
        return ""
    columns = words["columns"]
    names = ["channel", "new", "customers", "repeat", "orders", "margin"]
    costed = any(one.cost.known for one in found.channels)
    if costed:
        names += ["cost", "payback"]
    key = "text" if found.by == "customers" else "text_orders"
    table = Table(
        "channels",
        [columns[name] for name in names],
        [_channel(words, one, names, found.seen_days) for one in found.channels],
    )
    title = str(words["figures"]["channels"]["title"])
    return figure(
        words,
        "channels",
        (words.tell(f"figures.channels.{key}", days=found.window_days),),
        html_table(table, title) + csv_link(table, str(words["download"])),
        None,
    )


def _channel(words: Words, one: Channel, names: list[str], seen_days: int) -> list[Cell]:
    told = words["figures"]["channels"]
    if one.payback_days is not None:
        payback = words.tell("figures.channels.payback", n=one.payback_days)
    elif one.cost.known and one.margin.known:
        payback = words.tell("figures.channels.not_yet", n=words.count(seen_days))
    else:
        payback = str(told["free"]) if not one.cost.known else "–"
    name = str(told["none"]) if one.channel is None else one.channel
    cells: dict[str, Cell] = {
        "channel": (name, one.channel),
        "new": (words.count(one.new), one.new),
        "customers": (words.count(one.customers), one.customers),
        "repeat": (words.value("share", one.repeat.value), one.repeat.value),
        "orders": (words.value("number", one.orders.value), one.orders.value),
        "margin": (words.value("money", one.margin.value), one.margin.value),
        "cost": (words.value("money", one.cost.value), one.cost.value),
        "payback": (payback, one.payback_days),
    }
    return [cells[key] for key in names]


def cohorts(words: Words, contents: Contents) -> str:
    """Set who of each cohort came back."""
    found = contents.retention.cohorts
    if len(found) < 3 or max(one.customers for one in found) == 0:
        return ""
    told = words["figures"]["cohorts"]
    names = [words.short_period(one.period) for one in found]
    head = [words["columns"]["cohort"], words["columns"]["customers"]]
    longest = max(len(one.bought) for one in found) - 1
    table = Table(
        "cohorts",
        [*head, *(f"+{n}" for n in range(1, longest + 1))],
        [_cohort(words, name, one, longest) for name, one in zip(names, found, strict=True)],
    )
    ages = words.listed(
        [
            words.tell("figures.cohorts.age", share=words.share(share), n=age)
            for age in _AGES
            if (share := _average(found, age)) is not None
        ]
    )

    def tip(one: Cohort, age: int) -> str:
        point = one.bought[age]
        return words.tell(
            "figures.cohorts.tip",
            cohort=words.period(one.period),
            n=age,
            share=words.value("share", point.value),
            low=words.value("share", point.low),
            high=words.value("share", point.high),
            customers=words.count(one.customers),
        )

    young = found[0].period.first.toordinal() - contents.retention.since.toordinal()
    hint = str(told["hint"]) if young < contents.silent_days else ""
    text = f"{words.tell('figures.cohorts.text', ages=ages)} {hint}".strip()
    return figure(
        words,
        "cohorts",
        (text,),
        lambda width: cohort_cells(
            str(told["title"]), found, names, (str(words["columns"]["customers"]), ""), tip, width
        ),
        table,
    )


def _average(found: tuple[Cohort, ...], age: int) -> float | None:
    old = [one for one in found if len(one.bought) > age and one.bought[age].known]
    customers = sum(one.customers for one in old)
    if not customers:
        return None
    return sum((one.bought[age].value or 0.0) * one.customers for one in old) / customers


def _cohort(words: Words, name: str, one: Cohort, longest: int) -> list[Cell]:
    row: list[Cell] = [(name, one.period.key), (words.count(one.customers), one.customers)]
    for age in range(1, longest + 1):
        value = one.bought[age].value if age < len(one.bought) else None
        row.append(("" if value is None else words.share(value, 0), value))
    return row


def causes(words: Words, contents: Contents) -> str:
    """Set why customers left, as far as it was recorded."""
    found = contents.loss
    if not found.causes or not (whole := sum(n for _, n in found.causes)):
        return ""
    told = words["figures"]["causes"]
    entries = [
        Bar(
            told["names"][cause],
            float(n),
            words.tell("figures.causes.said", n=words.count(n), share=words.share(n / whole, 0)),
            f"f-{cause}",
        )
        for cause, n in found.causes
        if n
    ]
    columns = words["columns"]
    table = Table(
        "causes",
        [columns["topic"], columns["cause"], columns["customers"]],
        [
            [(topic, topic), (told["names"][cause], cause), (words.count(n), n)]
            for topic, cause, n in found.topics
        ],
    )
    text = words.tell("figures.causes.text", n=words.count(whole), periods=found.cause_periods)
    return figure(
        words, "causes", (text,), lambda width: bars(str(told["title"]), entries, width), table
    )


def associations(words: Words, contents: Contents) -> str:
    """Set what went along with leaving."""
    found = contents.loss.associations
    if not found:
        return ""
    told = words["figures"]["associations"]
    columns = words["columns"]

    def said(ratio: float | None) -> str:
        return "–" if ratio is None else f"{ratio:.2f}"

    entries = []
    for one in found:
        note = words.tell(
            "figures.associations.said",
            ratio=said(one.ratio.value),
            low=said(one.ratio.low),
            high=said(one.ratio.high),
        )
        name = told["signs"][one.sign]
        entries.append(Entry(name, one.ratio, f"{name}: {note}", note=note))
    table = Table(
        "associations",
        [columns[name] for name in ("sign", "ratio", "interval", "with_it", "without")],
        [
            [
                (told["signs"][one.sign], one.sign),
                (said(one.ratio.value), one.ratio.value),
                (words.tell("to", low=said(one.ratio.low), high=said(one.ratio.high)), None),
                (words.value("share", one.with_it.value), one.with_it.value),
                (words.value("share", one.without.value), one.without.value),
            ]
            for one in found
        ],
    )
    return figure(
        words,
        "associations",
        (str(told["text"]),),
        lambda width: rows(str(told["title"]), entries, words.number, width, zero=1.0),
        table,
    )
