"""What of all the facts is worth saying first, still without words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import norm

from pipelines.report.actions import Campaign, Effect
from pipelines.report.contents import Contents
from pipelines.report.periods import A_YEAR
from pipelines.report.points import Change, Series, Z, beyond_noise, compare
from pipelines.report.predictions import Predictions
from pipelines.report.worth import Group, NextAction

MOST_CHANGES = 6
MOST_GROUPS = 3
MOST_ACTIONS = 3
WEIGHTS = {"trade": 3, "loss": 2, "acquisition": 2, "retention": 2, "development": 1, "journey": 1}
"""Of several changes that are beyond noise, those of money and loss are told first."""


@dataclass(frozen=True)
class Changed:
    """An indicator that changed beyond noise.

    Attributes
    ----------
    change
        Against the period before.
    year
        Against the same period of the year before; None where it was not covered.
    seasonal
        Whether the year before had as large a change at this time of year, in the same direction.
    """

    series: Series
    change: Change
    year: Change | None
    seasonal: bool

    @property
    def better(self) -> bool | None:
        """Whether it is a change for the better; None where neither way is."""
        if self.series.wanted == "neither":
            return None
        return (self.change.change > 0) == (self.series.wanted == "more")


@dataclass(frozen=True)
class Findings:
    """What a manager should know first.

    Attributes
    ----------
    changed
        Beyond noise, the weightiest first, at most :data:`MOST_CHANGES`.
    real
        All that changed beyond noise.
    compared, unchanged
        How many indicators were compared with the period before, and those that show no change.
    groups
        Where most value is at risk or to be won.
    brought
        What the last actions brought: a campaign that was carried out, else all assignments
        together, and of them the best and the worst that are clear of zero.
    todo
        What is worth doing next.
    """

    changed: tuple[Changed, ...]
    real: tuple[Changed, ...]
    compared: int
    unchanged: tuple[Series, ...]
    groups: tuple[Group, ...]
    campaign: Campaign | None
    brought: Effect | None
    best: Effect | None
    worst: Effect | None
    todo: tuple[NextAction, ...]
    trusted: Predictions | None


def findings(contents: Contents) -> Findings:
    """Choose what to say."""
    real, compared, unchanged = _changes(contents)
    worth, past = contents.worth, contents.actions
    clear = _clear(past.effects)
    carried = [one for one in past.campaigns if one.carried_out and one.buyers.known]
    return Findings(
        _different(real)[:MOST_CHANGES],
        real,
        compared,
        unchanged,
        () if worth is None else tuple(g for g in worth.groups if g.amount > 0)[:MOST_GROUPS],
        max(carried, key=lambda one: one.day, default=None),
        past.whole,
        next((one for one in clear if (one.net.low or 0.0) > 0), None),
        next((one for one in reversed(clear) if (one.net.high or 0.0) < 0), None),
        () if worth is None else tuple(a for a in worth.actions if a.value > 0)[:MOST_ACTIONS],
        contents.predictions,
    )


def _clear(effects: Sequence[Effect]) -> list[Effect]:
    """Keep effects that are clear of zero although so many were looked at."""
    measured = [one for one in effects if one.net.value is not None and one.net.low is not None]
    errors = [((one.net.value or 0.0) - (one.net.low or 0.0)) / Z for one in measured]
    chances = [
        float(2 * norm.sf(abs(one.net.value or 0.0) / error)) if error > 0 else 1.0
        for one, error in zip(measured, errors, strict=True)
    ]
    return [one for one, real in zip(measured, beyond_noise(chances), strict=True) if real]


def _changes(contents: Contents) -> tuple[tuple[Changed, ...], int, tuple[Series, ...]]:
    found: list[tuple[Series, Change]] = []
    for one in contents.series:
        now = one.newest if one.compared else None
        change = None if now is None else compare(one, contents.periods, now, now - 1)
        if change is not None:
            found.append((one, change))
    real = beyond_noise([change.p for _, change in found])
    changed = [
        _beside_last_year(contents, series, change)
        for (series, change), is_real in zip(found, real, strict=True)
        if is_real
    ]
    changed.sort(key=_weight)
    unchanged = tuple(
        series for (series, _), is_real in zip(found, real, strict=True) if not is_real
    )
    return tuple(changed), len(found), unchanged


def _beside_last_year(contents: Contents, series: Series, change: Change) -> Changed:
    periods = contents.periods
    now = series.newest or 0
    then = now - A_YEAR[contents.period.kind]
    year = compare(series, periods, now, then)
    season = compare(series, periods, then, then - 1)
    alike = (
        season is not None
        and season.relative is not None
        and change.relative is not None
        and season.change * change.change > 0
        and abs(season.relative) >= abs(change.relative) / 2
    )
    return Changed(series, change, year, alike)


def _weight(one: Changed) -> tuple[bool, float]:
    size = min(abs(one.change.relative or 0.0), 1.0)
    return one.seasonal, -WEIGHTS[one.series.theme] * size


_SAME = (
    ("net_sales", "orders", "buyers"),
    ("churn_rate", "value_lost", "customers_lost"),
    ("checkout_completion", "payment_completion"),
)
"""Indicators that nearly say the same: of each set the first that changed is told."""


def _different(changed: Sequence[Changed]) -> tuple[Changed, ...]:
    by_key = {one.series.key: one for one in changed}
    told: dict[str, Changed] = {}
    for one in changed:
        alike = next((keys for keys in _SAME if one.series.key in keys), (one.series.key,))
        first = next(key for key in alike if key in by_key)
        told.setdefault(first, by_key[first])
    return tuple(told.values())
