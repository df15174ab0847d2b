"""Columns: stacked ones over time, and a histogram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.report.figures.svg import line, picture, rect, text, ticks, width_of


@dataclass(frozen=True)
class Layer:
    """One part of every column.

    Attributes
    ----------
    style
        The class that gives its colour.
    """

    name: str
    style: str
    values: Sequence[float]


def stacked(
    label: str,
    names: Sequence[str],
    layers: Sequence[Layer],
    spell: Callable[[float], str],
    width: int,
) -> str:
    """Draw stacked columns, the first layer at the bottom."""
    height, bottom, top = 260.0, 26.0, 12.0
    totals = [sum(layer.values[i] for layer in layers) for i in range(len(names))]
    most = max([*totals, 1.0])
    marks_at = ticks(0, most)
    left = max(width_of(spell(mark), 11) for mark in marks_at) + 8
    scale = (height - bottom - top) / most
    step = (width - left) / len(names)
    base = height - bottom
    marks = []
    for mark in marks_at:
        y = base - mark * scale
        marks += [
            line(left, y, width, y, "grid"),
            text(left - 5, y + 4, spell(mark), "end", size=11),
        ]
    every = max(1, -(-int(max(width_of(name, 11) for name in names) + 8) // int(step)))
    for i, name in enumerate(names):
        x, y = left + i * step + step * 0.14, base
        for layer in layers:
            tall = layer.values[i] * scale
            y -= tall
            tip = f"{name} · {layer.name}: {spell(layer.values[i])}"
            marks.append(rect(x, y, step * 0.72, tall, layer.style, tip))
        # Counted from the newest, which is never left out.
        if (len(names) - 1 - i) % every == 0:
            marks.append(text(x + step * 0.36, height - 8, name, "middle", size=11))
    return picture(width, height, label, *marks)


def histogram(
    label: str,
    bins: Sequence[tuple[float, float, int]],
    spell: Callable[[float], str],
    count: Callable[[float], str],
    width: int,
) -> str:
    """Draw how many there are in bins whose ends grow by one ratio."""
    height, bottom, top = 240.0, 26.0, 12.0
    most = float(max(n for _, _, n in bins))
    marks_at = ticks(0, most, 3)
    left = max(width_of(count(mark), 11) for mark in marks_at) + 8
    scale = (height - bottom - top) / max(most, 1.0)
    step = (width - left) / len(bins)
    base = height - bottom
    marks = []
    for mark in marks_at:
        y = base - mark * scale
        marks += [
            line(left, y, width, y, "grid"),
            text(left - 5, y + 4, count(mark), "end", size=11),
        ]
    every = max(1, -(-int(width_of(spell(bins[-1][0]), 11) + 22) // int(step)))
    for i, (least, end, n) in enumerate(bins):
        x = left + i * step
        tip = f"{spell(least)} – {spell(end)}: {count(n)}"
        marks.append(rect(x + 0.5, base - n * scale, step - 1, n * scale, "f-main", tip))
        if i % every == 0:
            marks.append(text(x, height - 8, spell(least), "start", size=11))
    return picture(width, height, label, *marks)
