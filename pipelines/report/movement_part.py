"""The part of the page on stages: who moved, who is there, and what they did."""

from __future__ import annotations

from html import escape

import numpy as np

from pipelines.report.blocks import figure, legend_of, paragraphs
from pipelines.report.contents import Contents
from pipelines.report.figures.columns import Layer, stacked
from pipelines.report.figures.flows import ORDER, RESTING, FlowWords, flows
from pipelines.report.points import Point
from pipelines.report.stages import OBSERVED, Flow, Observed, StageRow
from pipelines.report.tables import Cell, Table, csv_link
from pipelines.report.telling import Teller
from pipelines.report.words import Words
from training.stage_moves import OUTSIDE
from training.stages import STAGES

_LAYERS = ("active", "new", "won_back")
"""Of what was observed, those who are customers: the churned would hide them."""


def movement(words: Words, teller: Teller, contents: Contents) -> tuple[str, ...]:
    """Set its pictures."""
    parts = []
    if contents.flow is not None:
        parts.append(_flow(words, contents.flow))
    elif contents.stages:
        parts.append(paragraphs(str(words["figures"]["flow"]["alone"])))
    if contents.observed.days:
        parts.append(_observed(words, contents.observed, contents))
    if contents.stages:
        parts.append(_stages(words, teller, contents))
    return tuple(parts)


def _flow(words: Words, flow: Flow) -> str:
    told = words["figures"]["flow"]
    names = [*(words.stage(stage) for stage in STAGES), str(told["outside"])]
    days = [
        f"{words.short_day(day)}{'*' if late else ''}"
        for day, late in zip(flow.days, flow.hindsight, strict=True)
    ]
    spelled = FlowWords(str(told["title"]), days, names, str(told["moved"]), words.count)
    place = {stage: STAGES.index(stage) for stage in STAGES}
    moved = flow.moves[-1]
    kept = [place["loyal"], place["developing"]]
    prospects = [place[name] for name in RESTING if name != "churned"]
    stayed = int(moved[np.ix_(prospects, prospects)].sum())
    stayed += int(moved[place["churned"], place["churned"]])
    back = sum(int(moved[place["churned"], place[name]]) for name in STAGES if name not in RESTING)
    text = words.tell(
        "figures.flow.text",
        former=words.day(flow.days[-2]),
        day=words.day(flow.days[-1]),
        declined=words.count(int(moved[kept, place["declining"]].sum())),
        churned=words.count(int(moved[kept, place["churned"]].sum())),
        back=words.count(back),
    )
    note = words.tell("figures.flow.note", n=words.count(stayed))
    hindsight = str(told["hindsight"]) if any(flow.hindsight) else ""
    return figure(
        words,
        "flow",
        (text, f"{note} {hindsight}".strip()),
        lambda width: flows(flow, spelled, width),
        _moves(words, flow, names),
        legend_of(
            [("outside", str(told["outside"])), *((name, words.stage(name)) for name in ORDER)]
        ),
        _counts(words, flow),
    )


def _moves(words: Words, flow: Flow, names: list[str]) -> Table:
    """Who moved where in the newest step, with shares of where they came from."""
    columns = words["columns"]
    moved = flow.moves[-1]
    order = [STAGES.index(name) for name in ORDER]
    head = [
        f"{columns['from']} {words.short_day(flow.days[-2])}",
        columns["customers"],
        *(names[place] for place in order),
    ]
    rows: list[list[Cell]] = []
    for start in (*order, OUTSIDE):
        whole = int(moved[start].sum())
        if not whole:
            continue
        row: list[Cell] = [(names[start], names[start]), (words.count(whole), whole)]
        for end in order:
            n = int(moved[start, end])
            share = f" ({words.share(n / whole, 0)})" if n and start != OUTSIDE else ""
            row.append((f"{words.count(n)}{share}" if n else "–", n))
        rows.append(row)
    return Table("moves", head, rows)


def _counts(words: Words, flow: Flow) -> Table:
    """How many stood in each stage, day by day."""
    order = [STAGES.index(name) for name in ORDER]
    rows: list[list[Cell]] = [
        [
            (f"{words.day(day)}{'*' if late else ''}", day.isoformat()),
            *((words.count(counts[place]), counts[place]) for place in order),
        ]
        for day, late, counts in zip(flow.days, flow.hindsight, flow.counts, strict=True)
    ]
    head = [words["columns"]["day"], *(words.stage(name) for name in ORDER)]
    return Table("stages_by_day", head, rows)


def _observed(words: Words, seen: Observed, contents: Contents) -> str:
    layers = words["figures"]["observed"]["layers"]
    at = {name: OBSERVED.index(name) for name in OBSERVED}
    living = [sum(row[at[name]] for name in _LAYERS) for row in seen.counts]
    periods = [one for one in contents.periods if one.last in seen.days]
    change = "–"
    if len(living) > 1 and living[-2]:
        change = words.signed(living[-1] / living[-2] - 1)
    text = words.tell(
        f"figures.observed.text{'_contracts' if 'contracts' in contents.tables else ''}",
        active=words.count(living[-1]),
        silent=seen.silent_days,
        change=change,
        before=words.day(seen.days[-2] if len(seen.days) > 1 else seen.days[-1]),
    )
    drawn = [
        Layer(layers[name], f"f-{name}", [float(row[at[name]]) for row in seen.counts])
        for name in _LAYERS
    ]
    names = [words.short_period(one) for one in periods]
    table = Table(
        "observed_stages",
        [words["columns"]["day"], *(layers[name] for name in OBSERVED)],
        [
            [
                (words.day(day), day.isoformat()),
                *((words.count(n), n) for n in row),
            ]
            for day, row in zip(seen.days, seen.counts, strict=True)
        ],
    )
    title = str(words["figures"]["observed"]["title"])
    return figure(
        words,
        "observed",
        (text,),
        lambda width: stacked(title, names, drawn, words.count, width),
        table,
        legend_of(("developing" if n == "active" else n, layers[n]) for n in _LAYERS),
    )


def _stages(words: Words, teller: Teller, contents: Contents) -> str:
    columns = words["columns"]
    did = any(row.bought.known for row in contents.stages)
    names = ["stage", "customers", "change", "churn", "worth", "at_risk", "profit"]
    if did:
        names += ["bought", "spent"]
    for name in ("complained", "engaged"):
        if any(getattr(row, name).known for row in contents.stages):
            names.append(name)
    names += ["net_value", "best"]
    order = {stage: place for place, stage in enumerate(ORDER)}
    rows = [
        _stage_row(words, teller, row, names)
        for row in sorted(contents.stages, key=lambda row: order[row.stage])
    ]
    table = Table("stages", [columns[name] for name in names], [cells for _, cells in rows])
    head = "".join(
        f'<th scope="col"{" class=words" if name == "best" else ""}>{escape(columns[name])}</th>'
        for name in names
    )
    body = "".join(_html_row(stage, names, cells, columns) for stage, cells in rows)
    title = str(words["figures"]["stages"]["title"])
    key = "text" if did else "text_short"
    text = words.tell(
        f"figures.stages.{key}",
        day=words.day(contents.as_of),
        period=words.period(contents.period),
    )
    return figure(
        words,
        "stages",
        (text,),
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title, quote=True)}">'
        f'<table class="stages"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{csv_link(table, str(words['download']))}",
        None,
    )


def _html_row(stage: str, names: list[str], cells: list[Cell], columns: dict[str, str]) -> str:
    told = "".join(
        f'<td data-label="{escape(columns[name], quote=True)}"'
        f"{' class=words' if name == 'best' else ''}>{escape(shown)}</td>"
        for name, (shown, _) in zip(names[1:], cells[1:], strict=True)
    )
    dot = f'<span class="dot" style="background:var(--{stage})"></span>'
    return f'<tr><th scope="row">{dot}{escape(cells[0][0])}</th>{told}</tr>'


def _stage_row(
    words: Words, teller: Teller, row: StageRow, names: list[str]
) -> tuple[str, list[Cell]]:
    change = None if row.before is None else row.customers - row.before
    action = str(words["no_action"]) if row.action == "none" else teller.action(row.action)
    cells: dict[str, Cell] = {
        "stage": (words.stage(row.stage), row.stage),
        "customers": (words.count(row.customers), row.customers),
        "change": ("–" if change is None else words.signed(change, "count"), change),
        "churn": (words.share(row.churn, 0), row.churn),
        "worth": (words.money(row.value), row.value),
        "at_risk": (words.money(row.at_risk), row.at_risk),
        "profit": (words.money(row.profit), row.profit),
        "best": (action, row.action),
        "net_value": (words.money(row.action_value), row.action_value),
        "bought": _point(words, row.bought),
        "spent": ("–" if row.spent is None else words.money(row.spent), row.spent),
        "complained": _point(words, row.complained),
        "engaged": _point(words, row.engaged),
    }
    return row.stage, [cells[name] for name in names]


def _point(words: Words, point: Point) -> Cell:
    return words.value("share", point.value), point.value
