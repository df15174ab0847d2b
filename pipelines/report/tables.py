"""Tables: for readers as HTML, and for their own use as CSV in the page itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

Cell = tuple[str, object]
"""What is shown, and what stands in the CSV."""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def html_table(table: Table, label: str, style: str = "") -> str:
    """Write it as HTML, in a frame of its own that scrolls where it is too wide.

    Columns of words stand to the left, of numbers to the right.
    """
    kinds = [
        " class=words" if any(isinstance(row[place][1], str) for row in table.rows) else ""
        for place in range(len(table.head))
    ]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>'
        for name, kind in zip(table.head, kinds, strict=True)
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0][0])}</th>'
        + "".join(
            f'<td data-label="{escape(name, quote=True)}"{kind}>{escape(shown)}</td>'
            for name, kind, (shown, _) in zip(table.head[1:], kinds[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    kind = f' class="{style}"' if style else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label, quote=True)}">'
        f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def csv_link(table: Table, words: str) -> str:
    """Link to the table as CSV, which the page carries itself."""
    return (
        f'<a class="download" download="{table.name}.csv" href="{csv_uri(table)}">'
        f"{escape(words)}</a>"
    )


def csv_uri(table: Table) -> str:
    """Write it as a data URI, with the mark by which spreadsheets tell that it is UTF-8.

    >>> csv_uri(Table("x", ("a", "b"), [(("1.0", 1), ("–", None))]))
    'data:text/csv;charset=utf-8,%EF%BB%BFa%2Cb%0D%0A1%2C%0D%0A'
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table.head)
    for row in table.rows:
        writer.writerow(["" if raw is None else raw for _, raw in row])
    return "data:text/csv;charset=utf-8," + quote("\ufeff" + out.getvalue())


def plain_cell(shown: str) -> Cell:
    """A cell that stands in the CSV as it is shown."""
    return shown, shown
