"""Values with their intervals: side by side, said against seen, and a small line over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.report.figures.svg import (
    circle,
    line,
    path,
    picture,
    rect,
    text,
    through,
    ticks,
    width_of,
)
from pipelines.report.points import Point


@dataclass(frozen=True)
class Entry:
    """A row: a value with its interval, and what else there is to say.

    Attributes
    ----------
    said
        A second value, drawn hollow.
    note
        Written at the right.
    """

    name: str
    point: Point
    tip: str
    style: str = "f-main"
    said: float | None = None
    note: str = ""


def rows(
    label: str,
    entries: Sequence[Entry],
    spell: Callable[[float], str],
    width: int,
    zero: float | None = None,
) -> str:
    """Draw a row for each, one under the other; ``zero`` is marked where it means something."""
    narrow = width < 600
    ends = [
        value
        for one in entries
        for value in (one.point.low, one.point.high, one.point.value, one.said, zero)
        if value is not None
    ]
    least, most = min(ends), max(ends)
    span = (most - least) or 1.0
    least, most = least - 0.04 * span, most + 0.04 * span
    left = 4.0 if narrow else max(width_of(one.name, 13) for one in entries) + 16
    right = max((width_of(one.note, 12) for one in entries), default=0.0) + 12
    tall = 46.0 if narrow else 30.0
    height = tall * len(entries) + 30

    def x(value: float) -> float:
        return left + (value - least) / (most - least) * (width - left - right)

    marks = []
    for mark in ticks(least, most, 3 if narrow else 5):
        marks += [
            line(x(mark), 4, x(mark), height - 24, "grid"),
            text(x(mark), height - 8, spell(mark), "middle", size=11),
        ]
    if zero is not None:
        marks.append(line(x(zero), 2, x(zero), height - 22, "zero"))
    for place, one in enumerate(entries):
        y = tall * place + (32 if narrow else 19)
        where = (4.0, y - 14, "start") if narrow else (left - 12, y + 4, "end")
        marks.append(text(where[0], where[1], one.name, where[2], size=13))
        if one.point.low is not None and one.point.high is not None:
            low, high = x(one.point.low), x(one.point.high)
            marks.append(rect(low, y - 2.5, high - low, 5, f"{one.style} soft", one.tip))
        if one.point.value is not None:
            marks.append(circle(x(one.point.value), y, 5, one.style, one.tip))
        if one.said is not None:
            marks.append(circle(x(one.said), y, 4.5, "hollow", one.tip))
        if one.note:
            marks.append(text(width, y + 4, one.note, "end", "soft-text", 12))
    return picture(width, height, label, *marks)


def against(
    label: str,
    points: Sequence[tuple[float, Point, str]],
    names: tuple[str, str],
    spell: Callable[[float], str],
    width: int,
) -> str:
    """Draw what was seen over what was said, with the line on which both agree."""
    height = 330.0 if width > 600 else 300.0
    wide = min(float(width), 460.0)
    bottom, top = 42.0, 10.0
    ends = [0.0]
    for said, point, _ in points:
        ends += [said, point.high or point.value or 0.0]
    most = max(ends) * 1.04 or 1.0
    marks_at = ticks(0, most)
    left = max(width_of(spell(mark), 11) for mark in marks_at) + 36

    def x(value: float) -> float:
        return left + value / most * (wide - left - 8)

    def y(value: float) -> float:
        return height - bottom - value / most * (height - bottom - top)

    marks = []
    for mark in marks_at:
        marks += [
            line(left, y(mark), wide, y(mark), "grid"),
            text(left - 5, y(mark) + 4, spell(mark), "end", size=11),
            text(x(mark), height - 24, spell(mark), "middle", size=11),
        ]
    marks.append(line(x(0), y(0), x(most), y(most), "agree"))
    for said, point, tip in points:
        if point.low is not None and point.high is not None:
            marks.append(
                rect(
                    x(said) - 2, y(point.high), 4, y(point.low) - y(point.high), "f-main soft", tip
                )
            )
        if point.value is not None:
            marks.append(circle(x(said), y(point.value), 4.5, "f-main", tip))
    marks.append(text((left + wide) / 2, height - 6, names[0], "middle", "soft-text", 12))
    turned = f' transform="rotate(-90 11 {height / 2 - 20:.0f})"'
    marks.append(
        text(11, height / 2 - 20, names[1], "middle", "soft-text", 12).replace(
            "<text", f"<text{turned}"
        )
    )
    return picture(wide, height, label, *marks)


def spark(points: Sequence[Point], label: str) -> str:
    """Draw a small line over time with its interval, the newest value marked."""
    width, height, pad = 120.0, 30.0, 4.0
    known = [(place, point) for place, point in enumerate(points) if point.value is not None]
    if len(known) < 2:
        return ""
    ends = [
        end for _, point in known for end in (point.value, point.low, point.high) if end is not None
    ]
    # What hardly moves is drawn as a line that hardly moves.
    middle = (min(ends) + max(ends)) / 2
    span = max(max(ends) - min(ends), 0.1 * abs(middle)) or 1.0
    least = middle - span / 2
    last = len(points) - 1

    def at(place: int, value: float) -> tuple[float, float]:
        return (
            pad + place / last * (width - 2 * pad),
            height - pad - (value - least) / span * (height - 2 * pad),
        )

    marks = []
    banded = [(n, p) for n, p in known if p.low is not None and p.high is not None]
    if len(banded) > 1:
        upper = [at(n, p.high or 0.0) for n, p in banded]
        lower = [at(n, p.low or 0.0) for n, p in reversed(banded)]
        marks.append(path(through([*upper, *lower]) + "Z", "f-main veil"))
    marks.append(path(through([at(n, p.value or 0.0) for n, p in known]), "stroke"))
    marks.append(circle(*at(known[-1][0], known[-1][1].value or 0.0), 2.6, "f-main"))
    return picture(width, height, label, *marks)
