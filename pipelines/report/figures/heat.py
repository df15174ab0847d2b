"""Cohorts: a row for each, a cell for each period since, darker where more bought."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.report.figures.svg import picture, rect, text, width_of
from pipelines.report.retention import Cohort

STEPS = 6
"""Shades."""


def cohort_cells(
    label: str,
    cohorts: Sequence[Cohort],
    names: Sequence[str],
    head: tuple[str, str],
    tip: Callable[[Cohort, int], str],
    width: int,
) -> str:
    """Draw the newest cohorts that there is room for, without their first period, which is all."""
    wide = width > 600
    most = 12 if wide else 6
    shown = list(zip(cohorts, names, strict=True))[-(most + 1) : -1]
    longest = max((len(one.bought) - 1 for one, _ in shown), default=0)
    longest = min(longest, most)
    size = 11 if wide else 10.5
    left = max([width_of(name, size) for _, name in shown] + [40.0]) + 8
    counts = max([width_of(f"{one.customers:,}", size) for one, _ in shown] + [30.0]) + 10
    cell = (width - left - counts) / max(longest, 1)
    tall = 27.0
    top = 24.0
    best = max((p.value or 0.0 for one, _ in shown for p in one.bought[1:]), default=0.0) or 1.0
    marks = [
        text(left + counts - 10, 14, head[0], "end", "soft-text", size),
        *(
            text(left + counts + cell * (n + 0.5), 14, f"+{n + 1}", "middle", "soft-text", size)
            for n in range(longest)
        ),
    ]
    for row, (one, name) in enumerate(shown):
        y = top + row * tall
        marks += [
            text(0, y + 17, name, size=size),
            text(left + counts - 10, y + 17, f"{one.customers:,}", "end", "soft-text", size),
        ]
        for place, point in enumerate(one.bought[1 : longest + 1]):
            x = left + counts + place * cell
            shade = min(int((point.value or 0.0) / best * STEPS), STEPS - 1)
            marks.append(
                rect(x + 1, y + 1, cell - 2, tall - 2, f"shade-{shade}", tip(one, place + 1))
            )
            ink = "on-dark" if shade >= STEPS // 2 else "on-light"
            said = f"{(point.value or 0.0):.0%}" if wide else f"{100 * (point.value or 0.0):.0f}"
            marks.append(text(x + cell / 2, y + 17, said, "middle", ink, size))
    return picture(width, top + tall * len(shown) + 4, label, *marks)
