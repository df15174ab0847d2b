"""The part of the page on value: what is at risk, what customers are worth, how it is spread."""

from __future__ import annotations

from html import escape

from pipelines.report.blocks import figure
from pipelines.report.contents import Contents
from pipelines.report.figures.bars import Bar, bars
from pipelines.report.figures.columns import histogram
from pipelines.report.figures.curves import Curve, lorenz
from pipelines.report.retention import Concentration
from pipelines.report.tables import Cell, Table, csv_link, html_table
from pipelines.report.telling import Teller
from pipelines.report.words import Words
from pipelines.report.worth import Worth
from serving.bands import BANDS
from training.tiers import TIERS

MOST_GROUPS = 16


def value(words: Words, teller: Teller, contents: Contents) -> tuple[str, ...]:
    """Set its pictures."""
    parts: list[str] = []
    worth = contents.worth
    if worth is not None and worth.value > 0:
        parts += [_grid(words, worth), _tiers(words, worth)]
    pair = []
    if worth is not None and worth.distribution:
        pair.append(_distribution(words, worth))
    spread = worth.spread if worth is not None else None
    if spread is not None or contents.retention.spent is not None:
        pair.append(_lorenz(words, spread, contents.retention.spent))
    if pair:
        parts.append(f'<div class="pair">{"".join(pair)}</div>')
    if worth is not None and worth.groups:
        parts.append(_groups(words, teller, worth))
    return tuple(parts)


def _tiers(words: Words, worth: Worth) -> str:
    told = words["figures"]["tiers"]
    whole = sum(value for _, _, value in worth.tiers) or 1.0
    entries = [
        Bar(
            words.tier(tier),
            max(value, 0.0),
            words.tell(
                "figures.tiers.said",
                value=words.about(value),
                share=words.share(value / whole, 0),
                customers=words.customers(n),
            ),
        )
        for tier, n, value in worth.tiers
    ]
    columns = words["columns"]
    table = Table(
        "tiers",
        [columns["tier"], columns["customers"], columns["worth"]],
        [
            [(words.tier(tier), tier), (words.count(n), n), (words.money(value), value)]
            for tier, n, value in worth.tiers
        ],
    )
    return figure(
        words,
        "tiers",
        (str(told["text"]),),
        lambda width: bars(str(told["title"]), entries, width),
        table,
    )


def _groups(words: Words, teller: Teller, worth: Worth) -> str:
    """List every group, those with most at stake first."""
    told, columns = words["figures"]["groups"], words["columns"]
    rows: list[list[Cell]] = [
        [
            (teller.group_name(one), f"{one.stage} {one.tier or ''}".strip()),
            (words.count(one.customers), one.customers),
            (words.share(one.churn, 0), one.churn),
            (words.money(one.value), one.value),
            (words.money(one.amount) if one.stake == "risk" else "–",
             one.amount if one.stake == "risk" else None),
            ("–" if one.action is None else teller.action(one.action), one.action or ""),
            (words.count(one.acted) if one.action else "–", one.acted),
            (words.money(one.action_value) if one.action else "–", one.action_value),
        ]
        for one in worth.groups[:MOST_GROUPS]
    ]  # fmt: skip
    names = ("group", "customers", "churn", "worth", "at_risk", "action", "for_whom", "net_value")
    table = Table("groups", [columns[name] for name in names], rows)
    title = str(told["title"])
    return figure(
        words,
        "groups",
        (str(told["text"]),),
        html_table(table, title, "stages") + csv_link(table, str(words["download"])),
        None,
    )


def _grid(words: Words, worth: Worth) -> str:
    told = words["figures"]["grid"]
    most = max(cell.at_risk for cell in worth.grid) or 1.0
    cells = {(cell.tier, cell.risk): cell for cell in worth.grid}
    head = "".join(f'<th scope="col">{escape(told["risks"][risk])}</th>' for risk in BANDS)
    body = ""
    for tier in reversed(TIERS):
        row = ""
        for risk in BANDS:
            cell = cells[tier, risk]
            wide = f"{100 * cell.at_risk / most:.1f}%"
            customers = words.customers(cell.customers)
            row += (
                f'<td><span class="amount">{escape(words.money(cell.at_risk))}</span>'
                f'<span class="range">{escape(customers)}</span>'
                f'<span class="meter" style="width:{wide}"></span></td>'
                if cell.customers
                else "<td>–</td>"
            )
        body += f'<tr><th scope="row">{escape(words.tier(tier))}</th>{row}</tr>'
    columns = words["columns"]
    names = ("tier", "risk", "customers", "worth", "at_risk")
    table = Table(
        "value_at_risk",
        [columns[name] for name in names],
        [
            [
                ("", cell.tier),
                ("", cell.risk),
                ("", cell.customers),
                ("", cell.value),
                ("", cell.at_risk),
            ]
            for cell in worth.grid
        ],
    )
    text = words.tell(
        "figures.grid.text",
        risk=words.about(worth.at_risk),
        value=words.about(worth.value),
        share=words.share(worth.at_risk / worth.value, 0),
    )
    title = escape(str(told["title"]), quote=True)
    return figure(
        words,
        "grid",
        (text,),
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f'<table class="grid-table"><thead><tr><th scope="col">{escape(columns["tier"])}</th>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
        f"{csv_link(table, str(words['download']))}",
        None,
    )


def _distribution(words: Words, worth: Worth) -> str:
    title = str(words["figures"]["distribution"]["title"])
    counted = 0
    whole = sum(n for _, _, n in worth.distribution)
    median = worth.distribution[-1][1]
    for _, end, n in worth.distribution:
        counted += n
        if 2 * counted >= whole:
            median = end
            break
    columns = words["columns"]
    table = Table(
        "value_distribution",
        [columns["bin_from"], columns["bin_to"], columns["customers"]],
        [
            [(words.money(a), a), (words.money(b), b), (words.count(n), n)]
            for a, b, n in worth.distribution
        ],
    )

    def count(n: float) -> str:
        return words.count(n)

    return figure(
        words,
        "distribution",
        (words.tell("figures.distribution.text", median=words.about(median)),),
        lambda width: histogram(title, worth.distribution, words.axis, count, min(width, 460)),
        table,
    )


def _lorenz(words: Words, to_come: Concentration | None, spent: Concentration | None) -> str:
    told = words["figures"]["lorenz"]
    found = [
        (str(told[key]), style, one)
        for key, style, one in (("clv", "f-main", to_come), ("spent", "f-declining", spent))
        if one is not None
    ]
    curves = [Curve(name, style, one.curve) for name, style, one in found]
    first = found[0][2]
    columns = words["columns"]
    table = Table(
        "concentration",
        [columns["value"], columns["poorest"], columns["held"]],
        [
            [(name, name), (words.share(a), a), (words.share(b), b)]
            for name, _, one in found
            for a, b in one.curve[:: max(1, len(one.curve) // 10)]
        ],
    )
    text = words.tell(
        "figures.lorenz.text" if to_come is not None else "figures.lorenz.text_spent",
        top=words.share(first.top_tenth, 0),
        half=words.share(first.half_is_held_by),
        gini=f"{first.gini:.2f}",
    )
    names = str(told["x"]), str(told["y"])
    return figure(
        words,
        "lorenz",
        (text,),
        lambda width: lorenz(str(told["title"]), curves, names, width),
        table,
    )
