"""The few numbers at the top: sales, customers, newcomers, losses and what is at risk."""

from __future__ import annotations

from html import escape

from pipelines.report.contents import Contents
from pipelines.report.figures.intervals import spark
from pipelines.report.findings import Findings
from pipelines.report.points import Point, Series
from pipelines.report.stages import OBSERVED
from pipelines.report.telling import Teller
from pipelines.report.words import Words

_SHOWN = ("net_sales", "active", "new_customers", "churn_rate")
_LIVING = ("active", "new", "won_back")


def headline(words: Words, teller: Teller, contents: Contents, found: Findings) -> str:
    """Set the tiles; a change is told where it is beyond noise."""
    tiles = []
    for key in _SHOWN:
        if key == "active":
            tiles.append(_active(words, contents))
            continue
        series = contents.indicator(key)
        if series.newest is not None:
            tiles.append(_indicator(words, teller, contents, found, series))
    worth = contents.worth
    if worth is not None and worth.value > 0:
        of = words.tell("kpis.at_risk_of", value=words.about(worth.value))
        tiles.append(_tile(words["kpis"]["at_risk"], words.about(worth.at_risk), of))
    return f'<ul class="kpis">{"".join(tiles)}</ul>'


def _active(words: Words, contents: Contents) -> str:
    seen = contents.observed
    if not seen.days:
        return ""
    places = [OBSERVED.index(name) for name in _LIVING]
    living = [sum(row[place] for place in places) for row in seen.counts]
    of = words.tell(
        f"kpis.active_of{'_contracts' if 'contracts' in contents.tables else ''}",
        silent=seen.silent_days,
    )
    points = [Point(float(n)) for n in living]
    return _tile(words["kpis"]["active"], words.count(living[-1]), of, "", points)


def _indicator(
    words: Words, teller: Teller, contents: Contents, found: Findings, series: Series
) -> str:
    place = series.newest or 0
    point = series.points[place]
    value = (
        words.about(point.value or 0.0)
        if series.unit == "money"
        else words.value(series.unit, point.value)
    )
    former = words.period(contents.periods[place - 1])
    real = next((one for one in found.real if one.series.key == series.key), None)
    move, tone = words.tell("kpis.not_clear", period=former), ""
    if real is not None:
        change, _, _ = teller.change(series, real.change)
        move = words.tell("kpis.since", change=change, period=former)
        tone = {True: "better", False: "worse", None: ""}[real.better]
    if not place or not series.compared:
        move = ""
    return _tile(teller.name(series), value, move, tone, series.points)


def _tile(
    name: str, value: str, move: str, tone: str = "", points: tuple[Point, ...] | list[Point] = ()
) -> str:
    return (
        f'<li><span class="name">{escape(str(name))}</span><strong>{escape(value)}</strong>'
        f'<span class="move {tone}">{escape(move)}</span>{spark(points, str(name))}</li>'
    )
