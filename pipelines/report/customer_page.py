"""A customer's page: who they are to the company, what they did, and what is worth doing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from pipelines.page import page
from pipelines.report.blocks import figure, prose
from pipelines.report.customer import Customer
from pipelines.report.figures.columns import Layer, stacked
from pipelines.report.figures.intervals import Entry, rows
from pipelines.report.figures.steps import steps
from pipelines.report.points import Point
from pipelines.report.tables import Cell, Table, html_table
from pipelines.report.words import Words

_HERE = Path(__file__).parent
_FEWEST_SAID = 2


def customer_page(customer: Customer, words: Words, actions: Mapping[str, str]) -> str:
    """Put the page together, in one language."""
    told = words["customer"]
    title = words.tell("customer.title", id=customer.key)
    answer = customer.answer
    parts = [
        f'<header class="top"><p class="kicker">{escape(words.day(customer.day))}</p>'
        f"<h1>{escape(title)}</h1>"
        f'<p><span class="dot" style="background:var(--{answer["lifecycle_stage"]})"></span>'
        f"<strong>{escape(answer['stage_label'])}</strong> – {escape(answer['stage_rule'])}</p>"
        "</header>",
        _tiles(words, answer, customer.horizon_days),
        _section(told["why"], _reasons(words, answer)),
        _section(told["do"], _actions(words, answer, customer.horizon_days)),
        _section(told["over_time"], _stages(words, customer, actions)),
        _section(told["next"], _next(words, customer)),
        _section(told["did"], _history(words, customer, actions)),
    ]
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    script = (_HERE / "tip.js").read_text(encoding="utf-8")
    language = "zh-Hans" if words.language == "zh" else "en"
    return page(title, "\n".join(parts), language=language, style=style, script=script)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _tiles(words: Words, answer: Mapping[str, Any], days: int) -> str:
    told = words["customer"]

    def money(name: str) -> str:
        return words.money(answer[name])

    def ends(low: str, high: str) -> str:
        return words.tell("to", low=money(low), high=money(high))

    tiles = [
        (
            words.tell("customer.churn", days=days),
            words.share(answer["churn_probability"], 0),
            told["bands"].get(answer["risk_band"] or "", ""),
        ),
        (
            words.tell("customer.spend", days=days),
            money("expected_spend"),
            words.tell("customer.interval", ends=ends("spend_lower", "spend_upper")),
        ),
        (
            told["value"],
            money("clv_12m"),
            words.tell("customer.interval", ends=ends("clv_12m_lower", "clv_12m_upper")),
        ),
        (words["columns"]["tier"], words.tier(answer["value_tier"]), ""),
        (
            words["columns"]["profit"],
            "–" if answer["profit_to_date"] is None else money("profit_to_date"),
            told["profit_missing"] if answer["profit_missing"] else "",
        ),
    ]
    items = "".join(
        f'<li><span class="name">{escape(name)}</span><strong>{escape(value)}</strong>'
        f'<span class="move">{escape(more)}</span></li>'
        for name, value, more in tiles
    )
    flags = [told["flags"][flag] for flag in answer["flags"] if flag in told["flags"]]
    mind = f'<p class="small">{escape(" ".join(flags))}</p>' if flags else ""
    return f'<ul class="kpis">{items}</ul>{mind}'


def _reasons(words: Words, answer: Mapping[str, Any]) -> str:
    if not answer["reasons"]:
        return ""
    lines = "".join(f"<li>{escape(reason)}</li>" for reason in answer["reasons"])
    return f'<ul class="told">{lines}</ul><p class="small">{escape(words["customer"]["exact"])}</p>'


def _actions(words: Words, answer: Mapping[str, Any], days: int) -> str:
    told = words["customer"]
    ranked = answer["actions"]
    note = f'<p class="small">{escape(answer["action_note"])}</p>' if answer["action_note"] else ""
    if not ranked:
        return f"<p>{escape(told['nothing'])}</p>{note}"
    entries = []
    table_rows: list[list[Cell]] = []
    for one in ranked:
        name = one["name"] if not one["offer"] else f"{one['name']} ({one['offer']})"
        kind = one["effect"]
        effect = words.tell(f"customer.{kind}", share=words.share(one["measured_share"], 0))
        point = Point(one["value"], one["value_low"], one["value_high"])
        ends = words.interval("money", point)
        entries.append(Entry(name, point, f"{name}: {words.money(one['value'])} ({ends})"))
        table_rows.append(
            [(name, one["action"]), (words.money(one["value"]), one["value"]), (ends, None),
             (effect, kind)]
        )  # fmt: skip
    columns = words["columns"]
    table = Table(
        "actions",
        [columns["action"], columns["net_value"], told["range"], told["effect"]],
        table_rows,
    )
    title = words.tell("customer.actions", days=days)
    drawn = rows(title, entries, words.axis, 880, zero=0.0)
    narrow = rows(title, entries, words.axis, 360, zero=0.0)
    return (
        f"<p>{escape(title)}</p>"
        f'<div class="wide-only">{drawn}</div><div class="narrow-only">{narrow}</div>'
        f"{html_table(table, title)}{note}"
    )


def _stages(words: Words, customer: Customer, actions: Mapping[str, str]) -> str:
    if len(customer.said) < _FEWEST_SAID:
        return f"<p>{prose(words['customer']['one_day'])}</p>"
    columns = words["columns"]
    table = Table(
        "said",
        [columns["day"], columns["stage"], columns["churn"], columns["worth"],
         columns["interval"], columns["action"]],
        [
            [
                (f"{words.day(one.day)}{'*' if one.hindsight else ''}", one.day.isoformat()),
                (words.stage(one.stage), one.stage),
                (words.share(one.churn, 0), one.churn),
                (words.money(one.value[0]), one.value[0]),
                (words.tell("to", low=words.money(one.value[1]), high=words.money(one.value[2])),
                 None),
                (str(words["no_action"]) if one.action == "none"
                 else actions.get(one.action, one.action), one.action),
            ]
            for one in customer.said
        ],
    )  # fmt: skip
    days = [f"{words.short_day(one.day)}{'*' if one.hindsight else ''}" for one in customer.said]
    drawn = [
        (day, one.stage, words.stage(one.stage), one.churn)
        for day, one in zip(days, customer.said, strict=True)
    ]
    text = words["customer"]["stages_text"]
    if any(one.hindsight for one in customer.said):
        text = f"{text} {words['figures']['flow']['hindsight']}"
    title = str(words["figures"]["customer"]["title"])
    return figure(
        words, "customer", (text,), lambda width: steps(title, drawn, words.share, width), table
    )


def _next(words: Words, customer: Customer) -> str:
    if not customer.next:
        return f"<p>{prose(words['customer']['no_next'])}</p>"
    entries = []
    for one in customer.next[:4]:
        point = Point(one["probability"], one["low"], one["high"])
        name = words.stage(one["stage"])
        tip = f"{name}: {words.share(one['probability'], 0)} ({words.interval('share', point)})"
        note = words.share(one["probability"], 0)
        entries.append(Entry(name, point, tip, f"f-{one['stage']}", note=note))
    title = words.tell("customer.next_text", days=customer.horizon_days)

    def percent(value: float) -> str:
        return f"{value:.0%}"

    drawn = [rows(title, entries, percent, width) for width in (880, 360)]
    return (
        f"<p>{escape(title)}</p>"
        f'<div class="wide-only">{drawn[0]}</div><div class="narrow-only">{drawn[1]}</div>'
    )


def _history(words: Words, customer: Customer, actions: Mapping[str, str]) -> str:
    told, columns = words["customer"], words["columns"]
    names = [words.short_period(period) for period, _ in customer.months]
    nets = [max(net, 0.0) for _, net in customer.months]
    kinds = told["kinds"]
    table = Table(
        "events",
        [columns["day"], told["what"], told["amount"], told["about"]],
        [
            [
                (words.day(one.day), one.day.isoformat()),
                (kinds.get(one.kind, one.kind), one.kind),
                ("" if one.amount is None else words.money(one.amount), one.amount),
                (actions.get(one.about, one.about), one.about),
            ]
            for one in customer.events
        ],
    )
    title = told["monthly"]
    parts = []
    if any(nets):
        layers = [Layer(title, "f-main", nets)]
        drawn = [stacked(title, names, layers, words.axis, width) for width in (880, 360)]
        parts.append(
            f"<h3>{escape(title)}</h3>"
            f'<div class="wide-only">{drawn[0]}</div><div class="narrow-only">{drawn[1]}</div>'
        )
    more = words.tell("customer.more", n=customer.more_events) if customer.more_events else ""
    parts.append(
        f'<h3 class="after">{escape(told["events"])}</h3>{html_table(table, told["events"])}'
        f'<p class="small">{escape(more)}</p>'
    )
    return "".join(parts)
