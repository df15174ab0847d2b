"""Marks of a picture: what SVG needs to be told, escaped."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from html import escape

WIDE, NARROW = 880, 360
"""Widths in which every picture is drawn, in pixels."""


def both(draw: Callable[[int], str]) -> str:
    """Draw a picture wide and narrow; the page shows one of them."""
    return f'<div class="wide-only">{draw(WIDE)}</div><div class="narrow-only">{draw(NARROW)}</div>'


def picture(width: float, height: float, label: str, *marks: str) -> str:
    """Put marks together as one picture with a text for who does not see it."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(marks)}</svg>'
    )


def text(
    x: float, y: float, said: str, anchor: str = "start", style: str = "", size: float = 12
) -> str:
    """Write a line, its baseline at ``y``.

    >>> text(1, 2, "a < b")
    '<text x="1.0" y="2.0" font-size="12">a &lt; b</text>'
    """
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{where}{kind}>{escape(said)}</text>'


def rect(
    x: float, y: float, width: float, height: float, style: str, tip: str = "", more: str = ""
) -> str:
    """Draw a box."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'class="{style}"{_tip(tip)}{more}/>'
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str = "axis") -> str:
    """Draw a line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def circle(x: float, y: float, radius: float, style: str, tip: str = "") -> str:
    """Draw a dot."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{style}"{_tip(tip)}/>'


def path(d: str, style: str, tip: str = "") -> str:
    """Draw a path."""
    return f'<path d="{d}" class="{style}"{_tip(tip)}/>'


def through(points: Sequence[tuple[float, float]]) -> str:
    """Say the way through some points.

    >>> through([(0, 1), (2, 3)])
    'M0.0,1.0L2.0,3.0'
    """
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _tip(tip: str) -> str:
    return f' data-tip="{escape(tip, quote=True)}"' if tip else ""


def width_of(said: str, size: float = 12) -> float:
    """Guess how wide a text is: an ideograph is as wide as it is high, a letter less.

    >>> round(width_of("ab")), round(width_of("客户"))
    (14, 24)
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in said)
    return size * (wide + 0.6 * (len(said) - wide))


def ticks(least: float, most: float, wanted: int = 4) -> list[float]:
    """Choose round numbers between two ends.

    >>> ticks(0, 97), ticks(-3, 12, 3)
    ([0.0, 25.0, 50.0, 75.0], [0.0, 5.0, 10.0])
    """
    span = most - least
    if span <= 0:
        return [least]
    raw = span / wanted
    size = 10.0 ** math.floor(math.log10(raw))
    # The nearest by its ratio: half as many marks are as wrong as twice as many.
    step = min((size * part for part in (1, 2, 2.5, 5, 10)), key=lambda s: abs(math.log(s / raw)))
    first = -(-least // step) * step
    found = []
    while first <= most + step * 1e-9:
        found.append(round(first, 10) + 0.0)
        first += step
    return found
