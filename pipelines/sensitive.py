"""How customers of each sensitive group fare: what was said of them and seen, and what they got.

An attribute that is neither a feature nor a condition may still be told from others that are. So
what comes out is looked at by its groups: whether chances and spend are off for one of them more
than for another, and who is treated and offered a price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.days import day_number
from features.settings import Settings
from pipelines.context import Context
from pipelines.slices import FEW, UNKNOWN, attributes_on
from serving.playbook import load_playbook
from training.answers import PRODUCT
from training.contest_files import judged_file, read_contests

_A_YEAR = 365
_CONFIDENT = 1.96
"""Standard errors of a 95% interval."""


@dataclass(frozen=True)
class Group:
    """Customers of one value of a sensitive attribute; what would be of a few is None.

    Attributes
    ----------
    judged
        Customers on the newest day that the champion was judged on; the next five are of these.
    churn_said, churn_seen
        Mean churn probability, and the share that bought no more.
    churn_off, churn_off_error
        The former less the latter, and half of its 95% interval.
    spend_said, spend_seen
        Mean spend, in currency.
    customers
        Of the scores; the others are of these.
    treated
        Share that was treated within the year before.
    advised, offered
        Share that an action is advised for, and one with a price offer.
    """

    attribute: str
    value: str
    judged: int
    churn_said: float | None
    churn_seen: float | None
    churn_off: float | None
    churn_off_error: float | None
    spend_said: float | None
    spend_seen: float | None
    customers: int
    treated: float | None
    advised: float | None
    offered: float | None


def sensitive_groups(context: Context, day: date, scores: Path) -> list[Group]:
    """Look at every sensitive attribute's groups; empty where none is named or said.

    Parameters
    ----------
    scores
        Of the day, a row a customer.
    """
    sensitive = context.settings.data.sensitive_attributes
    ledger = context.ledger()
    people = ledger.path("customers")
    if not sensitive or people is None:
        return []
    now = attributes_on(people, day)
    scored = _advised(pl.read_parquet(scores, columns=["customer_id", "action"]), context.settings)
    scored = _treated(scored, ledger.path("treatments"), day)
    judged, judged_day = _judged(context)
    then = now if judged_day is None else attributes_on(people, judged_day)
    found = []
    for name in sensitive:
        if name in now.columns:
            found += _groups(name, _by(scored, now, name), _by(judged, then, name))
    return found


def _by(rows: pl.DataFrame, attributes: pl.DataFrame, name: str) -> pl.DataFrame:
    if rows.is_empty() or name not in attributes.columns:
        return rows.with_columns(_value=pl.lit(UNKNOWN))
    said = attributes.select("customer_id", pl.col(name).alias("_value"))
    return rows.join(said, on="customer_id", how="left").with_columns(
        pl.col("_value").fill_null(UNKNOWN)
    )


def _groups(name: str, scored: pl.DataFrame, judged: pl.DataFrame) -> list[Group]:
    groups = []
    sizes = scored["_value"].value_counts().sort(["count", "_value"], descending=[True, False])
    for value in sizes["_value"]:
        rows = scored.filter(pl.col("_value") == value)
        seen = judged.filter(pl.col("_value") == value)
        groups.append(_group(name, value, rows, seen))
    return groups


def _group(name: str, value: str, rows: pl.DataFrame, judged: pl.DataFrame) -> Group:
    def mean(of: pl.DataFrame, column: str) -> float | None:
        # What is said of a few is said of persons.
        told = column in of.columns and of.height >= FEW
        return float(of[column].to_numpy().astype(float).mean()) if told else None

    off = error = None
    if judged.height >= FEW:
        each = judged["churn_said"].to_numpy() - judged["churned"].to_numpy()
        off = float(each.mean())
        error = _CONFIDENT * float(each.std(ddof=1)) / float(np.sqrt(len(each)))
    return Group(
        name,
        value,
        judged.height,
        mean(judged, "churn_said"),
        mean(judged, "churned"),
        off,
        error,
        mean(judged, "spend_said"),
        mean(judged, "net_spend"),
        rows.height,
        mean(rows, "treated"),
        mean(rows, "advised"),
        mean(rows, "offered"),
    )


def _advised(scores: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Say who is advised an action, and who one that offers a price."""
    playbook = load_playbook(settings.serving.playbook, settings.data.sensitive_attributes)
    keys = [action.key for action in playbook.actions]
    paying = [action.key for action in playbook.actions if action.incentive is not None]
    action = pl.col("action")
    return scores.select("customer_id", advised=action.is_in(keys), offered=action.is_in(paying))


def _treated(scored: pl.DataFrame, path: Path | None, day: date) -> pl.DataFrame:
    if path is None:
        return scored
    since, until = day_number(day - timedelta(days=_A_YEAR)), day_number(day)
    treated = (
        pl.scan_parquet(path)
        .filter(pl.col("event_day").is_between(since, until), pl.col("arm") == "treated")
        .select(pl.col("customer_id").unique())
        .collect()["customer_id"]
    )
    return scored.with_columns(treated=pl.col("customer_id").is_in(treated.implode()))


def _judged(context: Context) -> tuple[pl.DataFrame, date | None]:
    """Read what the champion said on the newest day that it was judged on, and what was seen."""
    empty = {
        "customer_id": pl.String, "churn_said": pl.Float64, "churned": pl.Boolean,
        "spend_said": pl.Float64, "net_spend": pl.Float64,
    }  # fmt: skip
    champion = context.registry().champion()
    file = None if champion is None else judged_file(context.workspace, champion.version)
    if file is None or not file.is_file():
        return pl.DataFrame(schema=empty), None
    contest = read_contests(file)[-1]
    said = contest.answers[PRODUCT]
    return pl.DataFrame(
        {
            "customer_id": contest.customer_ids,
            "churn_said": said.churn_probability,
            "churned": contest.churned,
            "spend_said": said.expected_spend,
            "net_spend": contest.net_spend,
        }
    ), contest.day


SAID = ("value", "judged", "churn said", "seen", "off by", "spend said", "seen")
GOT = ("value", "customers", "treated", "advised", "price offers")


def said_rows(groups: Sequence[Group]) -> list[list[str]]:
    """Write what was said and seen as cells of a table, in the order of :data:`SAID`."""
    return [
        [
            group.value,
            f"{group.judged:,}",
            _share(group.churn_said),
            _share(group.churn_seen),
            _off(group),
            _amount(group.spend_said),
            _amount(group.spend_seen),
        ]
        for group in groups
    ]


def got_rows(groups: Sequence[Group]) -> list[list[str]]:
    """Write what was done and advised as cells of a table, in the order of :data:`GOT`."""
    return [
        [
            group.value,
            f"{group.customers:,}",
            _share(group.treated),
            _share(group.advised),
            _share(group.offered),
        ]
        for group in groups
    ]


def differing(groups: Sequence[Group]) -> list[Group]:
    """List the groups whose churn probability is off beyond its interval."""
    return [
        group
        for group in groups
        if group.churn_off is not None
        and group.churn_off_error is not None
        and abs(group.churn_off) > group.churn_off_error
    ]


def _off(group: Group) -> str:
    if group.churn_off is None or group.churn_off_error is None:
        return "too few"
    return f"{group.churn_off:+.1%} ± {group.churn_off_error:.1%}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _amount(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"
