"""Blocks of the page: a picture with its words, its table and its download; lists of sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape

from pipelines.report.figures.svg import both
from pipelines.report.tables import Table, csv_link, html_table
from pipelines.report.telling import Told
from pipelines.report.words import Words

_CODE = re.compile(r"`([^`]+)`")


def prose(said: str) -> str:
    """Write a sentence as HTML; what stands between backticks is a command.

    >>> prose("run `lifecycle score` & wait")
    'run <code>lifecycle score</code> &amp; wait'
    """
    return _CODE.sub(r"<code>\1</code>", escape(said, quote=False))


def paragraphs(*said: str) -> str:
    """Write paragraphs, leaving out what is empty."""
    return "".join(f"<p>{prose(one)}</p>" for one in said if one)


def figure(
    words: Words,
    key: str,
    said: Iterable[str],
    draw: Callable[[int], str] | str,
    table: Table | None,
    legend: str = "",
    more: Table | None = None,
) -> str:
    """Set a picture with its question, what it shows, its table and its download.

    Parameters
    ----------
    draw
        Draws it in a width; or what stands in its place, a table.
    table
        Its numbers; None where what stands in the picture's place is the table itself.
    more
        Other numbers of the same.
    """
    title = str(words["figures"][key]["title"])
    body = draw if isinstance(draw, str) else both(draw)
    told = [one for one in (table, more) if one is not None]
    numbers = numbers_of(words, told, title) if told else ""
    return (
        f'<figure id="figure-{key}"><figcaption><h3>{escape(title)}</h3>{paragraphs(*said)}'
        f"</figcaption>{legend}{body}{numbers}</figure>"
    )


def numbers_of(words: Words, tables: Sequence[Table], title: str) -> str:
    """Set tables that open, each with its download."""
    summary = escape(str(words["tables_word"]))
    body = "".join(
        html_table(table, f"{title} {place or ''}".strip())
        + csv_link(table, str(words["download"]))
        for place, table in enumerate(tables)
    )
    return f"<details><summary>{summary}</summary>{body}</details>"


def legend_of(entries: Iterable[tuple[str, str]]) -> str:
    """Name the colours: each by the stage, or whatever else, whose colour it is."""
    items = "".join(
        f'<li><span style="color:var(--{colour})"></span>{escape(name)}</li>'
        for colour, name in entries
    )
    return f'<ul class="legend">{items}</ul>'


def told_list(told: Iterable[Told]) -> str:
    """List sentences, marked by their tone in colour and in a word."""
    items = []
    for one in told:
        mark = f'<span class="tone">{escape(one.head)}</span>' if one.head and one.tone else ""
        items.append(f'<li class="{one.tone}">{mark}{prose(one.text)}</li>')
    return f'<ul class="told">{"".join(items)}</ul>'


def told_cards(told: Iterable[Told]) -> str:
    """Set findings that have a head as cards, others as a list."""
    found = list(told)
    if not all(one.head for one in found):
        return told_list(found)
    cards = "".join(
        f'<article class="card"><h4>{escape(one.head)}</h4><p>{prose(one.text)}</p></article>'
        for one in found
    )
    return f'<div class="cards">{cards}</div>'


def section(words: Words, key: str, *parts: str) -> str:
    """Set a section under its heading; nothing where it has nothing to show."""
    body = "".join(parts)
    if not body:
        return ""
    title = escape(str(words["sections"][key]))
    return f'<section id="{key}"><h2>{title}</h2>{body}</section>'
