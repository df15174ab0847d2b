"""Indicators of a theme in one table: value, interval, change, a year before, and a small line."""

from __future__ import annotations

from html import escape

from pipelines.report.contents import Contents
from pipelines.report.figures.intervals import spark
from pipelines.report.findings import Findings
from pipelines.report.periods import A_YEAR
from pipelines.report.points import Series, Theme, compare
from pipelines.report.tables import Table, csv_link
from pipelines.report.telling import Teller
from pipelines.report.words import Words


def indicators(
    words: Words, teller: Teller, contents: Contents, found: Findings, theme: Theme
) -> str:
    """Set the indicators of a theme that are known; nothing where none is."""
    shown = [one for one in contents.series if one.theme == theme and one.newest is not None]
    if not shown:
        return ""
    columns = words["columns"]
    names = ("indicator", "value", "before", "change", "year", "trend")
    head = "".join(f'<th scope="col">{escape(columns[name])}</th>' for name in names)
    real = {one.series.key for one in found.real}
    body = "".join(_row(words, teller, contents, one, real) for one in shown)
    label = escape(f"{words['themes'][theme]}: {columns['indicator']}", quote=True)
    link = csv_link(_table(words, teller, contents, theme, shown), str(words["download"]))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="indicators"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"</div>{link}"
    )


def _row(words: Words, teller: Teller, contents: Contents, series: Series, real: set[str]) -> str:
    columns, place = words["columns"], series.newest or 0
    point = series.points[place]
    value = escape(words.value(series.unit, point.value))
    interval = escape(words.interval(series.unit, point))
    late = place < len(contents.periods) - 1
    when = f" · {words.short_period(contents.periods[place])}" if late else ""
    before = series.points[place - 1] if place else None
    change = compare(series, contents.periods, place, place - 1) if series.compared else None
    moved = ""
    if change is not None:
        spelled, low, high = teller.change(series, change)
        kind = ""
        if series.key in real:
            up = (change.change > 0) == (series.wanted == "more")
            kind = ' class="beyond"' if series.wanted == "neither" else (
                f' class="beyond {"better" if up else "worse"}"'
            )  # fmt: skip
        ends = escape(words.tell("to", low=low, high=high))
        moved = f'<span{kind}>{escape(spelled)}</span><span class="range">{ends}</span>'
    year = place - A_YEAR[contents.period.kind]
    last_year = series.points[year].value if year >= 0 else None
    name = teller.name(series)
    cells = (
        ("value", f'<strong>{value}</strong><span class="range">{interval}{escape(when)}</span>'),
        ("before", "" if before is None else escape(words.value(series.unit, before.value))),
        ("change", moved),
        ("year", "" if last_year is None else escape(words.value(series.unit, last_year))),
    )
    told = "".join(
        f'<td data-label="{escape(columns[key], quote=True)}">{shown}</td>' for key, shown in cells
    )
    line = spark(series.points, f"{name}, {columns['trend']}")
    return (
        f'<tr><th scope="row">{escape(name)}<span class="of">{escape(teller.definition(series))}'
        f'</span></th>{told}<td class="spark">{line}</td></tr>'
    )


def _table(
    words: Words, teller: Teller, contents: Contents, theme: str, shown: list[Series]
) -> Table:
    """Every period of every indicator, for the download."""
    columns = words["columns"]
    head = [columns[name] for name in ("indicator", "period", "value", "interval", "of")]
    rows = []
    for one in shown:
        for period, point in zip(contents.periods, one.points, strict=True):
            ends = None if point.low is None else f"{point.low:.6g} {point.high:.6g}"
            rows.append(
                [
                    ("", teller.name(one)),
                    ("", period.key),
                    ("", point.value),
                    ("", ends),
                    ("", point.of or None),
                ]
            )
    return Table(theme, head, rows)
