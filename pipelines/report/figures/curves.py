"""Curves: how value is spread over customers (Lorenz 1905)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report.figures.svg import line, path, picture, text, through


@dataclass(frozen=True)
class Curve:
    """A curve between 0 and 1 in both directions."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]


def lorenz(label: str, curves: Sequence[Curve], names: tuple[str, str], width: int) -> str:
    """Draw Lorenz's curves, with the line of all customers alike."""
    size = min(float(width), 460.0)
    height = min(size, 340.0)
    left, bottom, top = 58.0, 42.0, 10.0

    def x(value: float) -> float:
        return left + value * (size - left - 14)

    def y(value: float) -> float:
        return height - bottom - value * (height - bottom - top)

    marks = []
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        marks += [
            line(left, y(mark), x(1), y(mark), "grid"),
            text(left - 5, y(mark) + 4, f"{mark:.0%}", "end", size=11),
            text(x(mark), height - 24, f"{mark:.0%}", "middle", size=11),
        ]
    marks.append(line(x(0), y(0), x(1), y(1), "agree"))
    for curve in curves:
        way = through([(x(a), y(b)) for a, b in curve.points])
        marks.append(path(way, f"line {curve.style}", curve.name))
    at = top + 16
    for curve in curves:
        marks += [
            line(left + 10, at - 4, left + 32, at - 4, f"line {curve.style}"),
            text(left + 38, at, curve.name, size=12),
        ]
        at += 18
    marks.append(text((left + size) / 2, height - 6, names[0], "middle", "soft-text", 12))
    turned = f' transform="rotate(-90 11 {height / 2 - 20:.0f})"'
    side = text(11, height / 2 - 20, names[1], "middle", "soft-text", 12)
    marks.append(side.replace("<text", f"<text{turned}"))
    return picture(size, height, label, *marks)
