"""Tables that fit the screen: never a cell on two lines, never a word cut off."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

GAP = 2
_NUMBER = re.compile(r"[-+–<>]?[\d.]|–?$")
"""How a cell of a column of numbers begins; a dash, or nothing, is what is not known."""


@dataclass(frozen=True)
class _Column:
    """A column as it is printed: its heading's lines, its cells, and whether those are text."""

    heading: list[str]
    cells: list[str]
    is_text: bool

    @classmethod
    def of(cls, heading: str, cells: Sequence[str], narrow: bool) -> _Column:
        widest = max(map(cell_len, cells), default=0)
        longest = max(map(cell_len, heading.split()), default=0)
        lines = textwrap.wrap(heading, max(widest, longest, 1)) if narrow else [heading]
        return cls(lines or [""], list(cells), _is_text(cells))

    @property
    def width(self) -> int:
        return max(map(cell_len, (*self.heading, *self.cells)))

    def line(self, text: str) -> str:
        blanks = " " * (self.width - cell_len(text))
        return text + blanks if self.is_text else blanks + text


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    r"""Lay out a table: columns of numbers to the right, of text to the left.

    Where it is wider than the screen, headings go over several lines, and columns move together; if
    that is not enough, the longest text of each row goes under it; and if that is not enough, the
    columns that are left over follow below, with the first one again.

    >>> rows = [["loyal", "12", "up_sell 9, letter 3"], ["new", "1,307", "welcome 1,307"]]
    >>> print("\n".join(fitted(["stage", "customers here", "actions"], rows, 44)))
    stage  customers here  actions
    loyal              12  up_sell 9, letter 3
    new             1,307  welcome 1,307
    >>> print("\n".join(fitted(["stage", "customers here", "actions"], rows, 40)))
           customers
    stage       here  actions
    loyal         12  up_sell 9, letter 3
    new        1,307  welcome 1,307
    >>> print("\n".join(fitted(["stage", "customers here", "actions"], rows, 24)))
    stage  customers here
    loyal              12
        up_sell 9, letter 3
    new             1,307
        welcome 1,307
    >>> print("\n".join(fitted(["", "AUC", "loss"], [["ours", "0.83", "0.29"]], 11)))
           AUC
    ours  0.83
    <BLANKLINE>
          loss
    ours  0.29
    """
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    for under in (None, _longest_text(columns, cells)):
        for narrow, gap in ((False, GAP), (True, GAP), (True, 1)):
            shown = [
                _Column.of(heading, cells[place], narrow)
                for place, heading in enumerate(columns)
                if place != under
            ]
            if _width(shown, gap) <= width:
                return _lines(shown, () if under is None else cells[under], width, gap)
    parts = "\n\n".join("\n".join(_lines(part, (), width)) for part in _parts(shown, width))
    return [
        *parts.split("\n"),
        *_notes(shown[0].cells, () if under is None else cells[under], width),
    ]


def _parts(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    """Cut a table into such as fit, each with the first column."""
    first, *others = columns
    part = [first]
    for column in others:
        if len(part) > 1 and _width([*part, column]) > width:
            yield part
            part = [first]
        part.append(column)
    yield part


def _width(columns: Sequence[_Column], gap: int = GAP) -> int:
    return sum(column.width for column in columns) + gap * (len(columns) - 1)


def _is_text(cells: Sequence[str]) -> bool:
    """Whether most cells are words: of numbers some may be too few to be told."""
    known = [cell for cell in cells if cell]
    return sum(_NUMBER.match(cell) is None for cell in known) * 2 > len(known)


def _longest_text(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int | None:
    """Find the column, but for the first, whose text is longest."""
    texts = [place for place in range(1, len(columns)) if _is_text(cells[place])]
    return max(texts, key=lambda place: max(map(cell_len, cells[place])), default=None)


def _lines(
    columns: Sequence[_Column], under: Sequence[str], width: int, gap: int = GAP
) -> list[str]:
    height = max(len(column.heading) for column in columns)
    headings = [[""] * (height - len(column.heading)) + column.heading for column in columns]
    between = " " * gap
    found = [
        between.join(
            column.line(heading[row]) for column, heading in zip(columns, headings, strict=True)
        )
        for row in range(height)
    ]
    for row in range(len(columns[0].cells)):
        found.append(between.join(column.line(column.cells[row]) for column in columns))
        if under and under[row]:
            found += _below(under[row], width)
    return [line.rstrip() for line in found]


def _notes(names: Sequence[str], texts: Sequence[str], width: int) -> list[str]:
    """Give the text of each row below all of a table's parts."""
    found = [""]
    for name, text in zip(names, texts, strict=False):
        found += [name, *_below(text, width)]
    return found


def _below(text: str, width: int) -> list[str]:
    indent = " " * 2 * GAP
    return [indent + line for line in wrapped(text, max(width - len(indent), 20))]


def wrapped(text: str, width: int) -> list[str]:
    """Break a text between words; a Chinese character is two columns wide.

    >>> wrapped("said and seen", 8), wrapped("忠实客户", 4)
    (['said and', 'seen'], ['忠实', '客户'])
    """
    lines = Text(text).wrap(Console(file=StringIO(), width=width), width)
    return [line.plain.rstrip() for line in lines]
