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
    scale, base = (height - bottom - top) / most, height - bottom
    left, marks = _scaled(ticks(0, most), spell, scale, base, width)
    step = (width - left) / len(names)
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
    scale, base = (height - bottom - top) / max(most, 1.0), height - bottom
    left, marks = _scaled(ticks(0, most, 3), count, scale, base, width)
    step = (width - left) / len(bins)
    every = max(1, -(-int(width_of(spell(bins[-1][0]), 11) + 22) // int(step)))
    for i, (least, end, n) in enumerate(bins):
        x = left + i * step
        tip = f"{spell(least)} – {spell(end)}: {count(n)}"
        marks.append(rect(x + 0.5, base - n * scale, step - 1, n * scale, "f-main", tip))
        if i % every == 0:
            marks.append(text(x, height - 8, spell(least), "start", size=11))
    return picture(width, height, label, *marks)


def _scaled(
    values: Sequence[float], spell: Callable[[float], str], scale: float, base: float, width: int
) -> tuple[float, list[str]]:
    """Draw a line with its number for each value, and say where the numbers end."""
    left = max(width_of(spell(value), 11) for value in values) + 8
    marks = []
    for value in values:
        y = base - value * scale
        marks += [
            line(left, y, width, y, "grid"),
            text(left - 5, y + 4, spell(value), "end", size=11),
        ]
    return left, marks
