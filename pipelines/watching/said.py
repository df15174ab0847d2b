"""What batch scores said against what then happened: matured ones, and a month after each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.catalogue import KeyType
from features.scores import scored_days, scores_path
from features.workspace import Workspace
from pipelines.report.predictions import Predictions, from_scores
from pipelines.report.scored import Scored
from pipelines.watching.charts import judge, to_scale
from pipelines.watching.checks import CORE, Check
from pipelines.watching.judging import (
    COLUMNS,
    Counted,
    Course,
    auc_of_recency,
    count,
    count_contest,
)
from training.contest import Contest

EARLY_DAYS = (21, 28, 35)
"""How long ago scores lie that are looked at before their horizon is over: least, best, most."""
FRESH_DAYS = 31
"""Scores whose horizon ended longer ago are told no more."""
BELIEVED = 4.0
"""A spread that is believed beforehand counts as so many judged days."""


@dataclass(frozen=True)
class Model:
    """The champion, as far as it is asked here.

    Attributes
    ----------
    contests
        The days that it was judged on, the oldest first.
    """

    version: int
    horizon_days: int
    contests: tuple[Contest, ...]


@dataclass(frozen=True)
class SaidAgainstSeen:
    """What was found, and by stage and tenth what had been said and was seen."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    matured: Predictions | None


@dataclass(frozen=True)
class _Figure:
    """One figure of a day, on the scale on which it is judged.

    Attributes
    ----------
    believed
        Spread of a day's figure, before any was seen.
    matters
        On that scale.
    """

    name: str
    words: str
    of: Callable[[Counted], float]
    noise: Callable[[Counted], float]
    seen_said: Callable[[Counted], tuple[float, float]]
    believed: float
    matters: float
    spell: str


_FIGURES = (
    _Figure(
        "buyers", "buyers", lambda c: c.buyers_gap, lambda c: c.buyers_noise,
        lambda c: (c.buyers, c.buyers_said), 0.08, math.log(1.1), "{:,.0f}",
    ),
    _Figure(
        "spend", "net spend", lambda c: c.spend_gap, lambda c: c.spend_noise,
        lambda c: (c.spend, c.spend_said), 0.15, math.log(1.15), "{:,.0f}",
    ),
    _Figure(
        "coverage", "share of customers whose spend lay in its 90% interval",
        lambda c: float(to_scale("share", np.array(c.covered * c.customers),
                                 np.array(c.customers))),
        lambda c: 1 / math.sqrt(c.customers), lambda c: (c.covered, 0.9), 0.1, 0.15, "{:.1%}",
    ),
    _Figure(
        "auc", "AUC of the churn probabilities", lambda c: c.auc,
        lambda c: 0.5 / math.sqrt(max(min(c.buyers, c.customers - c.buyers), 1)),
        lambda c: (c.auc, math.nan), 0.02, 0.03, "{:.3f}",
    ),
)  # fmt: skip


def said_against_seen(
    workspace: Workspace,
    key_type: KeyType,
    orders: Path,
    model: Model,
    as_of: date,
) -> SaidAgainstSeen:
    """Judge the newest scores whose horizon is over, and those of a month ago so far."""

    def read(day: date) -> Scored:
        return Scored.read(scores_path(workspace, key_type, day))

    days = scored_days(workspace, key_type)
    over, early = _matured(days, model, as_of), _early(days, model, as_of)
    checks: list[Check] = []
    notes: list[str] = []
    matured = None
    for name, day in (("matured", over), ("early", early)):
        if day is None:
            notes.append(_MISSING[name])
            continue
        scored = read(day)
        rows = scored.rows.filter(~pl.col("prospect")).select(COLUMNS)
        if scored.hindsight or rows.is_empty():
            notes.append(f"the scores of {day} are hindsight, so they cannot be judged")
            continue
        until = model.horizon_days if name == "matured" else (as_of - day).days
        checks += _judge(name, rows, day, until, orders, model, as_of)
        if name == "matured":
            matured = from_scores([day], read, orders, model.horizon_days, as_of)
    return SaidAgainstSeen(tuple(checks), tuple(notes), matured)


_MISSING = {
    "matured": "no scores of the workspace came to the end of their horizon within the last month",
    "early": "no scores of the workspace are about four weeks old",
}


def _matured(days: Sequence[date], model: Model, as_of: date) -> date | None:
    horizon = timedelta(days=model.horizon_days)
    fresh = timedelta(days=FRESH_DAYS)
    found = [day for day in days if as_of - fresh <= day + horizon <= as_of]
    return found[-1] if found else None


def _early(days: Sequence[date], model: Model, as_of: date) -> date | None:
    least, best, most = EARLY_DAYS
    found = [d for d in days if least <= (as_of - d).days <= min(most, model.horizon_days - 1)]
    return min(found, key=lambda day: abs((as_of - day).days - best), default=None)


def _judge(
    name: str,
    rows: pl.DataFrame,
    day: date,
    until: int,
    orders: Path,
    model: Model,
    as_of: date,
) -> Iterator[Check]:
    course = Course.learn(model.contests, orders, until)
    past = [count_contest(contest, course, orders) for contest in model.contests]
    now = count(rows, day, course, orders, model.horizon_days, as_of)
    more: dict[str, Any] = {"day": day.isoformat(), "days": until, "customers": now.customers}
    for figure in _FIGURES:
        value = figure.of(now)
        if not math.isfinite(value):
            continue
        errors = np.array([figure.of(one) for one in past])
        known = errors[np.isfinite(errors)]
        # Coverage and AUC have no nothing to lie around: they are set beside those of judging.
        middle = 0.0 if figure.name in ("buyers", "spend") or not len(known) else known.mean()
        judged = judge(
            known - middle, value - middle, figure.noise(now), (figure.believed, BELIEVED)
        )
        if judged is None:
            continue
        chance, centre, _, _ = judged
        seen, said = figure.seen_said(now)
        if figure.name == "auc":
            said = float(middle)
            more |= _beside(rows, day, orders, model, now)
        elif figure.name != "coverage":
            said *= math.exp(centre)
        gap = value - middle - centre
        yield Check(
            key=f"outcomes/{name}/{figure.name}",
            group="outcomes",
            value=float(seen),
            expected=float(said),
            chance=chance,
            # An AUC may rise.
            matters=bool((-gap if figure.name == "auc" else abs(gap)) >= figure.matters),
            may_alarm=True,
            sentence=_sentence(name, figure, day, until, seen, said),
            figures=dict(more),
            weight=CORE,
        )


def _sentence(name: str, figure: _Figure, day: date, until: int, seen: float, said: float) -> str:
    part = "the horizon" if name == "matured" else f"the first {until} days of the horizon"
    spell = figure.spell.format
    start = figure.words[0].upper() + figure.words[1:]
    expected = "in judging" if figure.name == "auc" else "by what was said"
    return f"{start} in {part} after {day}: {spell(seen)}, {spell(said)} {expected}."


def _beside(
    rows: pl.DataFrame, day: date, orders: Path, model: Model, now: Counted
) -> dict[str, Any]:
    return {
        "log_loss": now.log_loss,
        "auc_of_recency": auc_of_recency(rows, day, model.horizon_days, orders),
    }


def plain(found: Predictions | None) -> dict[str, Any] | None:
    """What was said and seen, by stage and tenth, as plain values."""
    return None if found is None else {**asdict(found), "day": found.day.isoformat()}
