"""How often the watch cries wolf in a year in which nothing breaks, and how soon it tells a break.

A company is simulated for two years and watched each week of a third, as `lifecycle watch` does
from cron. With --models so many of the quiet years have a champion that scores each week, so that
features, predictions and what was said against what was seen are watched as well.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from features.ingest.contract import Table
from features.settings import Settings
from features.workspace import Workspace
from pipelines.console import Terminal, settle_process
from pipelines.context import Context
from pipelines.ingest import TableFile, ingest
from pipelines.promote import promote
from pipelines.score import score
from pipelines.simulate import Order, simulate
from pipelines.train import train_scorer
from pipelines.watch import WatchReport, watch

BEGINS = date(2025, 7, 27)
WEEKS = 52
BREAK_WEEKS = 26
CHURN_WEEKS = 40
TABLES: tuple[Table, ...] = ("orders", "customers", "interactions", "treatments")
Change = Callable[[pl.DataFrame], pl.DataFrame]

IN_WEEK = pl.col("ordered_at").dt.date().is_between(date(2025, 7, 28), date(2025, 8, 3))
SINCE = pl.col("ordered_at").dt.date() >= date(2025, 7, 28)
# A third of the buyers fewer is churn up by half where two of five leave.
GONE = pl.col("customer_id").hash(7) % 3 == 0
HALF = pl.col("order_id").hash(3) % 2 == 0

WORLDS = ("prices_doubled", "channel_lost", "broken_export", "churn_up")
AT_ONCE = "churn up by half, at once"
FILES: dict[str, Change] = {
    AT_ONCE: lambda rows: rows.filter(~(SINCE & GONE)),
    "half of a week's orders missing": lambda rows: rows.filter(~(IN_WEEK & HALF)),
    "a column emptied": lambda rows: rows.with_columns(category=pl.when(~IN_WEEK).then("category")),
    "an export that ended two days early": lambda rows: rows.filter(
        ~(IN_WEEK & (pl.col("ordered_at").dt.date() > date(2025, 8, 1)))
    ),
    "a week twice": lambda rows: pl.concat([rows, rows.filter(IN_WEEK)]),
    "a week of zeros": lambda rows: rows.with_columns(
        amount=pl.when(IN_WEEK).then(0.0).otherwise("amount")
    ),
}


@contextmanager
def company(
    world: str, customers: int, seed: int, until: date, change: Change | None = None
) -> Iterator[Context]:
    """Simulate a company, break its orders' file, and ingest it."""
    with tempfile.TemporaryDirectory(prefix="watch-") as place:
        folder = Path(place)
        workspace = Workspace(folder / "workspace")
        given = {"training": {"trials": 0, "threads": 1}, "churn": {"horizon_days": 90}}
        settings = Settings.load(overrides=given)
        context = Context(workspace, settings)
        simulate(context, Order(world, customers, seed, folder / "shop", until))
        orders = folder / "shop" / "orders.parquet"
        if change is not None:
            change(pl.read_parquet(orders)).write_parquet(orders)
        files = [TableFile(table, folder / "shop" / f"{table}.parquet") for table in TABLES]
        ingest(context, files, {})
        yield context


def weeks(context: Context, number: int, scored: bool = False) -> Iterator[WatchReport]:
    for week in range(1, number + 1):
        day = BEGINS + timedelta(days=7 * week)
        if scored:
            score(context, day, reasons="none")
        yield watch(context, day)


def quiet(world: str, customers: int, seed: int, modelled: bool) -> tuple[int, int]:
    """Watch a year in which nothing breaks; gives alarms and notices."""
    with company(world, customers, seed, BEGINS + timedelta(days=7 * WEEKS)) as context:
        if modelled:
            train_scorer(context, BEGINS)
            promote(context)
        told: Counter[tuple[str, str]] = Counter()
        seconds = checks = 0.0
        for report in weeks(context, WEEKS, modelled):
            told.update((alert.severity, alert.key) for alert in report.alerts)
            seconds += report.seconds
            checks = len(report.checks)
    named = ", ".join(f"{key} {count}" for (_, key), count in sorted(told.items()))
    alarms = sum(count for (severity, _), count in told.items() if severity == "alarm")
    notices = sum(told.values()) - alarms
    print(
        f"{world:<8} seed {seed} {'with' if modelled else 'no  '} model: {alarms} alarms, "
        f"{notices} notices in {WEEKS} runs of {checks:.0f} checks, {seconds / WEEKS:.1f} s each"
        + (f" ({named})" if named else ""),
        flush=True,
    )
    return alarms, notices


def first_told(
    world: str,
    customers: int,
    seed: int,
    change: Change | None,
    number: int = BREAK_WEEKS,
    modelled: bool = False,
) -> str:
    """Say in which week after a break it is told, and by what."""
    until = BEGINS + timedelta(days=7 * number)
    with company(world, customers, seed, until, change) as context:
        if modelled:
            train_scorer(context, BEGINS)
            promote(context)
            score(context, BEGINS, reasons="none")
        for week, report in enumerate(weeks(context, number, modelled), 1):
            if report.alarms:
                return f"week {week}: {', '.join(alert.key for alert in report.alarms)}"
    return f"not in {number} weeks"


def could_know(customers: int, seed: int) -> str:
    """Say from which week on whoever knew the unbroken company would tell that churn went up.

    The same seed without the break is the same company but for it: the sum of weekly buyers that
    are missing, over its Poisson noise, passes what one check of the watch is held to.
    """
    until = BEGINS + timedelta(days=7 * CHURN_WEEKS)
    buyers = []
    for world in ("shop", "churn_up"):
        with company(world, customers, seed, until) as context:
            rows = pl.read_parquet(context.ledger().orders_path).filter(pl.col("amount_e4") > 0)
            first = (BEGINS - date(1970, 1, 1)).days + 1
            week = (pl.col("event_day") - first) // 7
            counted = (
                rows.filter(pl.col("event_day") >= first)
                .group_by(week.alias("week"))
                .agg(pl.col("customer_id").n_unique())
            )
            buyers.append(counted.sort("week")["customer_id"].head(CHURN_WEEKS).to_numpy())
    whole, less = buyers
    missing = (whole - less).cumsum() / whole.cumsum() ** 0.5
    known = [week for week, z in enumerate(missing, 1) if z >= 3.7]
    return f"week {known[0]}" if known else f"not in {CHURN_WEEKS} weeks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--models", type=int, default=1, help="quiet years with a champion")
    parser.add_argument("--churn-customers", type=int, default=20_000)
    parser.add_argument("--only", choices=("quiet", "breaks", "churn"))
    given = parser.parse_args()
    settle_process()
    terminal = Terminal(quiet=False)
    if given.only in (None, "quiet"):
        for world in ("stable", "shop"):
            years = [
                quiet(world, given.customers, seed, seed <= given.models)
                for seed in range(1, given.seeds + 1)
            ]
            terminal.note(
                f"{world}: {sum(a for a, _ in years)} alarms and {sum(n for _, n in years)} "
                f"notices in {len(years)} years"
            )
    if given.only in (None, "breaks"):
        broken: dict[str, tuple[str, Change | None]] = {
            **{name: (name, None) for name in WORLDS if name != "churn_up"},
            **{name: ("shop", change) for name, change in FILES.items()},
        }
        for name, (world, change) in broken.items():
            for seed in range(1, given.seeds + 1):
                found = first_told(world, given.customers, seed, change)
                terminal.note(f"{name}, seed {seed}: {found}")
        for seed in range(1, given.models + 1):
            found = first_told("shop", given.customers, seed, FILES[AT_ONCE], modelled=True)
            terminal.note(f"{AT_ONCE}, with a model that scores each week, seed {seed}: {found}")
    if given.only in (None, "churn"):
        for seed in range(1, given.seeds + 1):
            found = first_told("churn_up", given.churn_customers, seed, None, CHURN_WEEKS)
            terminal.note(
                f"churn_up, {given.churn_customers:,} customers, seed {seed}: {found}; could be "
                f"known from {could_know(given.churn_customers, seed)} on"
            )


if __name__ == "__main__":
    main()
