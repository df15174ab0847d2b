"""Who moved where: bands between the stages of one day and those of the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.report.figures.svg import line, path, picture, rect, text, width_of
from pipelines.report.stages import Flow
from training.stage_moves import OUTSIDE, Counts, Float
from training.stages import STAGES

ORDER = (
    "prospect_aware", "prospect_considering", "new", "developing", "loyal", "won_back", "declining",
    "churned",
)  # fmt: skip
"""From top to bottom."""
RESTING = ("prospect_aware", "prospect_considering", "churned")
"""Stages of which only those are drawn who come or go: most stay, and would hide the others."""
_NODES = (OUTSIDE, *(STAGES.index(name) for name in ORDER))
_BAR, _GAP, _TOP = 12.0, 7.0, 44.0


@dataclass(frozen=True)
class FlowWords:
    """What the picture says.

    Attributes
    ----------
    days
        Names of the days.
    stages
        Of each of :data:`training.stages.STAGES`, then of who was not there yet.
    moved
        A pattern of ``start``, ``end``, ``n`` and ``share``.
    count
        Spells a number of customers.
    """

    label: str
    days: Sequence[str]
    stages: Sequence[str]
    moved: str
    count: Callable[[int], str]


def flows(flow: Flow, words: FlowWords, width: int) -> str:
    """Draw the flow, as many of the newest days as there is room for."""
    spell = words.count
    most = 6 if width > 600 else 2
    first = max(0, len(flow.days) - most)
    moves = [_drawn(moved) for moved in flow.moves[first:]]
    counts, days = flow.counts[first:], words.days[first:]
    size = len(days)
    heights = np.zeros((size, OUTSIDE + 1))
    for step, moved in enumerate(moves):
        heights[step] = np.maximum(heights[step], moved.sum(axis=1))
        heights[step + 1] = np.maximum(heights[step + 1], moved.sum(axis=0))
    named = [f"{words.stages[n]} {spell(counts[-1][n])}" for n in _NODES[1:]]
    right = max(width_of(one, 12) for one in named) + 14
    height = 470.0 if width > 600 else 420.0
    room = height - _TOP - 8 - _GAP * (len(_NODES) - 1)
    scale = room / max(heights.sum(axis=1).max(), 1.0)
    xs = [6 + (width - right - 12 - _BAR) * place / max(size - 1, 1) for place in range(size)]
    tops = [_tops(heights[place] * scale) for place in range(size)]
    marks = [_bands(moved, tops, xs, scale, step, words) for step, moved in enumerate(moves)]
    for place, x in enumerate(xs):
        anchor = "start" if place == 0 else "middle" if place < size - 1 else "end"
        at = x if place == 0 else x + _BAR / 2 if place < size - 1 else x + _BAR
        marks.append(text(at, 16, days[place], anchor, "strong"))
        for node in _NODES:
            tall = heights[place][node] * scale
            if tall <= 0:
                continue
            name = "outside" if node == OUTSIDE else STAGES[node]
            tip = "" if node == OUTSIDE else f"{words.stages[node]}: {spell(counts[place][node])}"
            marks.append(rect(x, tops[place][node], _BAR, max(tall, 1.0), f"f-{name}", tip))
    marks.append(_names(heights[-1] * scale, tops[-1], xs[-1] + _BAR + 6, named))
    return picture(width, height, words.label, line(0, 26, width, 26, "grid"), *marks)


def _drawn(moved: Counts) -> Counts:
    shown = moved.copy()
    prospects = [STAGES.index(name) for name in RESTING if name != "churned"]
    for start in prospects:
        shown[start, prospects] = 0
    shown[STAGES.index("churned"), STAGES.index("churned")] = 0
    # Who is new to the data as a prospect, or leaves it, has not moved between stages.
    shown[OUTSIDE, prospects] = 0
    shown[:, OUTSIDE] = 0
    return shown


def _tops(heights: Float) -> dict[int, float]:
    tops, y = {}, _TOP
    for node in _NODES:
        tops[node] = y
        y += float(heights[node]) + (_GAP if heights[node] > 0 else 0)
    return tops


def _bands(
    moved: Counts,
    tops: Sequence[Mapping[int, float]],
    xs: Sequence[float],
    scale: float,
    step: int,
    words: FlowWords,
) -> str:
    leaving, arriving = dict(tops[step]), dict(tops[step + 1])
    x1, x2 = xs[step] + _BAR, xs[step + 1]
    half = (x1 + x2) / 2
    bands = []
    for start in _NODES:
        whole = int(moved[start].sum())
        for end in _NODES:
            n = int(moved[start, end])
            if not n:
                continue
            tall = n * scale
            a, b = leaving[start], arriving[end]
            leaving[start] += tall
            arriving[end] += tall
            d = (
                f"M{x1:.1f},{a:.1f}C{half:.1f},{a:.1f} {half:.1f},{b:.1f} {x2:.1f},{b:.1f}"
                f"V{b + tall:.1f}C{half:.1f},{b + tall:.1f} {half:.1f},{a + tall:.1f} "
                f"{x1:.1f},{a + tall:.1f}Z"
            )
            name = "outside" if start == OUTSIDE else STAGES[start]
            tip = words.moved.format(
                start=words.stages[start],
                end=words.stages[end],
                n=words.count(n),
                share=f"{n / whole:.0%}",
            )
            bands.append(path(d, f"band f-{name}", tip))
    return "".join(bands)


def _names(
    heights: Float,
    tops: Mapping[int, float],
    x: float,
    named: Sequence[str],
) -> str:
    """Write the stages' names beside the last day, moved apart where they would touch."""
    y, marks = _TOP - 8, []
    for node, said in zip(_NODES[1:], named, strict=True):
        if heights[node] <= 0:
            continue
        y = max(y + 15, tops[node] + float(heights[node]) / 2 + 4)
        marks.append(text(x, y, said, size=12))
    return "".join(marks)
