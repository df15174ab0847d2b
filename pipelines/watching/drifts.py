"""How far customers' features have moved since the champion learned, and how far they usually do.

The population stability index of a feature, over the bins of the champion's own day, is set
beside the same index between earlier pairs of days as far apart: every shop grows older and has
seasons, so that an index of 0.1 or 0.25 (Siddiqi 2006) says little by itself; its noise depends on
bins, customers and time (Yurdakul and Naranjo 2020, "Statistical properties of the population
stability index"). Features are told by window, for hundreds of correlated ones are no hundreds of
findings. What moves while predictions stay right is no break: a notice. A feature that is no longer
known is one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.watching.charts import judge
from pipelines.watching.checks import Check
from training.tracking.drift import SOME, index
from training.tracking.population import Population, Spread

MOST_PAIRS = 8
NEAREST, FARTHEST = 0.75, 2.0
"""A pair of days is compared where its distance, over that since the champion, lies between."""
LEAST_DAYS = 7
BELIEVED = (0.7, 4.0)
"""Spread of the logarithm of an index before any was seen, and how many pairs that is worth."""
LOST = 0.25
"""So much more of the customers without a value is a loss."""
UNUSUAL = 0.05
NAMED = 3
_WINDOW = re.compile(r"_(\d+)d(_|$)")

Shares = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class _Moved:
    """A feature: its index, what it usually is, and the chance of one as large."""

    name: str
    psi: float
    usual: float
    chance: float


def feature_checks(
    then: Population, paths: Sequence[Path], as_of: date
) -> tuple[list[Check], list[str]]:
    """Compare the snapshot of a day with the champion's, window by window.

    Parameters
    ----------
    then
        The champion's customers on its day.
    paths
        Files of snapshots, the day's own among them.
    """
    since = (as_of - then.as_of).days
    days = {date.fromisoformat(path.stem): path for path in paths}
    if since < LEAST_DAYS or as_of not in days:
        return [], [f"features: the champion is of {then.as_of}, less than a week before"]
    pairs = _pairs([day for day in days if day <= then.as_of], since)
    if not pairs:
        return [], [
            f"features: no two snapshots up to {then.as_of} are about {since} days apart, to say "
            "how far features usually move in that time"
        ]
    shares = {
        day: _shares(days[day], then.features)
        for day in {as_of, *(d for pair in pairs for d in pair)}
    }
    moved = list(_moved(then, shares[as_of], [(shares[a], shares[b]) for a, b in pairs]))
    windows: dict[str, list[_Moved]] = {}
    for one in moved:
        windows.setdefault(_window(one.name), []).append(one)
    checks = [_check(name, found, then, len(pairs)) for name, found in sorted(windows.items())]
    return [*checks, _lost(then, shares[as_of])], []


def _pairs(days: Sequence[date], since: int) -> list[tuple[date, date]]:
    """The newest pairs about as far apart as the champion is from today."""
    ordered = sorted(days)
    found = [
        (a, b)
        for place, a in enumerate(ordered)
        for b in ordered[place + 1 :]
        if NEAREST * since <= (b - a).days <= FARTHEST * since
    ]
    nearest = {b: min((p for p in found if p[1] == b), key=lambda p: abs((b - p[0]).days - since))
               for _, b in found}  # fmt: skip
    return [nearest[day] for day in sorted(nearest)][-MOST_PAIRS:]


def _shares(path: Path, features: Mapping[str, Spread]) -> Shares:
    """Put a day's buyers into the champion's bins."""
    there = set(pq.read_schema(path).names)
    names = [name for name in features if name in there]
    table = pq.read_table(
        path, columns=list(dict.fromkeys([*names, "purchases"])), use_threads=False
    )
    bought = table.filter(pc.fill_null(pc.greater(table["purchases"], 0), False))
    return {name: features[name].shares_of(_plain(bought[name])) for name in names}


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _moved(
    then: Population, now: Shares, pairs: Sequence[tuple[Shares, Shares]]
) -> Sequence[_Moved]:
    out = []
    for name, spread in then.features.items():
        if name not in now or spread.shares[-1] == 1 == now[name][-1]:
            continue
        psi = index(spread.shares, now[name])
        past = [index(a[name], b[name]) for a, b in pairs if name in a and name in b]
        logs = np.log(np.maximum(past, 1e-4))
        usual = float(np.median(logs))
        judged = judge(logs - usual, math.log(max(psi, 1e-4)) - usual, prior=BELIEVED)
        if judged is None:
            continue
        # To have moved less than usual is no news.
        chance = judged[0] if psi > math.exp(usual) else 1.0
        out.append(_Moved(name, psi, math.exp(usual), chance))
    return out


def _window(name: str) -> str:
    found = _WINDOW.search(name)
    return f"{found[1]}d" if found else "whole_history"


def _check(window: str, moved: Sequence[_Moved], then: Population, pairs: int) -> Check:
    # The least of several chances: Bonferroni's inequality.
    first = min(moved, key=lambda one: one.chance)
    chance = min(first.chance * len(moved), 1.0)
    far = [one for one in moved if one.psi >= SOME and one.chance <= UNUSUAL]
    most = sorted(far, key=lambda one: one.chance)[:NAMED]
    named = ", ".join(f"{one.name} {one.psi:.2f} (usually {one.usual:.2f})" for one in most)
    which = "of no window" if window == "whole_history" else f"of {window[:-1]} days"
    return Check(
        key=f"features/{window}",
        group="features",
        value=max(one.psi for one in moved),
        expected=max(one.usual for one in moved),
        chance=chance,
        matters=bool(first.psi >= SOME),
        may_alarm=False,
        sentence=(
            f"Features {which} have moved since the champion's {then.as_of} further than they "
            f"usually do in that time; population stability index: {named}."
            if named
            else f"Features {which} lie as on {then.as_of}."
        ),
        figures={
            "psi": {one.name: round(one.psi, 4) for one in moved},
            "usual": {one.name: round(one.usual, 4) for one in moved},
            "pairs": pairs,
        },
    )


def _lost(then: Population, now: Shares) -> Check:
    """Find features of which much less is known than the champion knew."""
    rise = {
        name: now[name][-1] - spread.shares[-1]
        for name, spread in then.features.items()
        if name in now
    }
    lost = sorted((name for name in rise if rise[name] >= LOST), key=lambda name: -rise[name])
    worst = max(rise.values(), default=0.0)
    return Check(
        key="features/missing",
        group="features",
        value=float(len(lost)),
        expected=0.0,
        # Of thousands of customers a quarter does not lose a feature by chance.
        chance=0.0 if lost else 1.0,
        matters=bool(lost),
        may_alarm=True,
        sentence=(
            f"{len(lost)} features of the model are not known of many who had them on "
            f"{then.as_of}: {', '.join(lost[:NAMED])}."
            if lost
            else f"Features are known of as many as on {then.as_of}."
        ),
        figures={"lost": lost, "largest_rise": worst},
    )
