"""Bars beside each other: steps of a funnel, causes, and shares of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report.figures.svg import picture, rect, text, width_of


@dataclass(frozen=True)
class Bar:
    """A bar with its name at the left and what it is at the right."""

    name: str
    value: float
    said: str
    style: str = "f-main"


def bars(label: str, entries: Sequence[Bar], width: int) -> str:
    """Draw bars from zero, one under the other."""
    narrow = width < 600
    most = max([one.value for one in entries] + [1e-9])
    left = 0.0 if narrow else max(width_of(one.name, 13) for one in entries) + 14
    right = max(width_of(one.said, 12) for one in entries) + 10
    tall = 44.0 if narrow else 30.0
    marks = []
    for place, one in enumerate(entries):
        y = place * tall + (20 if narrow else 5)
        long = one.value / most * (width - left - right)
        at = (0.0, y - 5, "start") if narrow else (left - 10, y + 15, "end")
        marks += [
            text(at[0], at[1], one.name, at[2], size=13),
            rect(left, y, max(long, 1.5), 20, one.style, f"{one.name}: {one.said}"),
            text(left + max(long, 1.5) + 7, y + 15, one.said, size=12),
        ]
    return picture(width, tall * len(entries) + 4, label, *marks)
