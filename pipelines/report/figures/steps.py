"""A customer's stages over time: a coloured band a day, and the churn probability above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.report.figures.svg import circle, line, path, picture, rect, text, through, width_of


def steps(
    label: str,
    days: Sequence[tuple[str, str, str, float]],
    spell: Callable[[float, int], str],
    width: int,
) -> str:
    """Draw the newest days that there is room for.

    Parameters
    ----------
    days
        Each with its name, the key and the name of the stage, and the churn probability.
    """
    shown = list(days)[-(12 if width > 600 else 5) :]
    left, top, low, height = 44.0, 14.0, 130.0, 196.0
    step = (width - left) / len(shown)
    marks = []
    for share in (0.0, 0.5, 1.0):
        y = low - share * (low - top)
        marks += [
            line(left, y, width, y, "grid"),
            text(left - 6, y + 4, f"{share:.0%}", "end", size=11),
        ]
    points = []
    for place, (day, stage, name, churn) in enumerate(shown):
        x = left + step * place
        y = low - churn * (low - top)
        points.append((x + step / 2, y))
        tip = f"{day} · {name} · {spell(churn, 0)}"
        marks.append(rect(x + 1, low + 10, step - 2, 22, f"f-{stage}", tip))
        said = name if width_of(name, 11) < step - 4 else ""
        marks += [
            text(x + step / 2, low + 46, said, "middle", size=11),
            text(x + step / 2, height - 4, day, "middle", "soft-text", 11 if step > 66 else 9.5),
        ]
    marks.append(path(through(points), "stroke"))
    marks += [
        circle(x, y, 4, "f-main", f"{day}: {spell(churn, 0)}")
        for (x, y), (day, _, _, churn) in zip(points, shown, strict=True)
    ]
    return picture(width, height, label, *marks)
