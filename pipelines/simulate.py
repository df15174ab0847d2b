"""`lifecycle simulate`: a made-up company whose truth is known, as files of the data contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from features.days import parse_day
from features.errors import InputError
from features.ingest.contract import TABLES, Table
from features.workspace import replacing_folder
from pipelines.context import Context, Stopwatch
from pipelines.worlds.catalogue import RUN, load_world
from pipelines.worlds.parameters import World
from pipelines.worlds.simulation import Plan, begin
from pipelines.worlds.truth import Truth
from serving.playbook import load_playbook

WORLD_FILE = "world.yaml"
SETTINGS_FILE = "lifecycle.yaml"
TRUTH = "truth"
OTHERS = (WORLD_FILE, SETTINGS_FILE, TRUTH)


@dataclass(frozen=True)
class Order:
    """What is to be simulated.

    Attributes
    ----------
    customers
        How many register within the world's `people.intake_days`.
    until
        Default: the day on which that many have.
    since
        Write only what arrived after this day.
    truth_days
        Days to tell the truth of, besides the last.
    known
        Whether to tell what could be known of the truth, too.
    """

    world: str
    customers: int
    seed: int
    out: Path
    until: date | None = None
    since: date | None = None
    treat: Sequence[Path] = ()
    truth_days: Sequence[date] = ()
    horizon_days: int = 90
    known: bool = False


@dataclass(frozen=True)
class SimulateReport:
    """What was written.

    Attributes
    ----------
    rows
        By table.
    registered
        Customers and prospects known by the end of the last day.
    truth
        In numbers, by day: see :func:`_in_numbers`.
    ingest
        Words of the command that reads it all.
    """

    world: str
    title: str
    seed: int
    first_day: str
    until: str
    since: str | None
    registered: int
    rows: dict[str, int]
    truth: dict[str, dict[str, Any]]
    folder: str
    ingest: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def simulate(context: Context, order: Order) -> SimulateReport:
    """Make a company and write its tables, its truth and its parameters into a folder.

    The folder is written whole or not at all; one that an earlier simulation wrote is replaced.

    Raises
    ------
    InputError
        There is no such world, or a day, a number or a plan cannot be; or the folder holds
        something else.
    """
    watch = Stopwatch()
    world = load_world(order.world)
    until = order.until or world.starts + timedelta(days=world.people.intake_days - 1)
    _check(world, order, until)
    simulation = begin(
        world,
        load_playbook(context.settings.serving.playbook),
        order.customers,
        order.seed,
        until,
        plans=[plan for path in order.treat for plan in _read_plans(path, order.since)],
        posterior=order.known,
    )
    truths: dict[date, Truth] = {}
    for day in sorted({*order.truth_days, until}):
        simulation.go_on(day, lambda done, of: context.say("days", done, of))
        truths[day] = simulation.truth(order.horizon_days)
    tables = simulation.tables(until, order.since)
    with replacing_folder(order.out) as folder:
        _write(folder, order, world, until, tables, truths)
    return SimulateReport(
        world=order.world,
        title=world.title,
        seed=order.seed,
        first_day=world.starts.isoformat(),
        until=until.isoformat(),
        since=order.since.isoformat() if order.since else None,
        registered=simulation.company.known,
        rows={table: rows.height for table, rows in tables.items()},
        truth={day.isoformat(): _in_numbers(truth) for day, truth in truths.items()},
        folder=str(order.out),
        ingest=_ingest_words(order.out, [table for table, rows in tables.items() if rows.height]),
        seconds=watch.seconds(),
    )


def _check(world: World, order: Order, until: date) -> None:
    if until < world.starts:
        raise InputError(
            f"--until {until} lies before this world's first day; choose {world.starts} or later"
        )
    for day in order.truth_days:
        if not world.starts <= day <= until:
            raise InputError(
                f"--truth {day} is not among the days that are simulated, {world.starts} to "
                f"{until}; choose one of them"
            )
    if order.since is not None and not order.since < until:
        raise InputError(f"--since {order.since} is not before {until}; choose an earlier day")
    if order.horizon_days < 1:
        raise InputError(f"--horizon-days {order.horizon_days} is no horizon; choose 1 or more")
    if order.out.exists() and not _ours(order.out):
        raise InputError(
            f"{order.out} holds something that no simulation wrote; name a new folder with --out"
        )


def _ours(folder: Path) -> bool:
    """Whether a folder may be replaced: it is empty, or all in it is what a simulation writes."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    tables = {f"{table}.parquet" for table in TABLES}
    return not names or (WORLD_FILE in names and names <= {*tables, *OTHERS})


def _read_plans(path: Path, since: date | None) -> Iterator[Plan]:
    """Read a file of a plan, or of several days' plans."""
    if not path.exists():
        raise InputError(f"the plan {path} does not exist; name a Parquet or CSV file")
    try:
        rows = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"the plan {path} cannot be read ({error}); name Parquet or CSV") from None
    for column in ("customer_id", "action"):
        if column not in rows.columns:
            raise InputError(
                f"the plan {path} has no column {column} (it has {', '.join(rows.columns)}); add it"
            )
    try:
        rows = rows.with_columns(pl.col("customer_id").cast(pl.Int64))
    except pl.exceptions.InvalidOperationError:
        raise InputError(
            f"the plan {path} has customer_id of another kind than whole numbers; customers of a "
            "world are numbered from 1"
        ) from None
    if "as_of" in rows.columns:
        dated = rows.with_columns(pl.col("as_of").cast(pl.String).str.slice(0, 10))
        for (day,), part in dated.group_by("as_of", maintain_order=True):
            yield Plan(parse_day(str(day)), part)
    elif since is not None:
        yield Plan(since, rows)
    else:
        raise InputError(
            f"the plan {path} does not say of which day it is; add the column as_of, or give "
            "--since"
        )


def _write(
    folder: Path,
    order: Order,
    world: World,
    until: date,
    tables: dict[Table, pl.DataFrame],
    truths: dict[date, Truth],
) -> None:
    for table, rows in tables.items():
        rows.write_parquet(folder / f"{table}.parquet")
    (folder / TRUTH).mkdir()
    for day, truth in truths.items():
        truth.customers.write_parquet(folder / TRUTH / f"{day}.parquet")
        truth.actions.write_parquet(folder / TRUTH / f"actions_{day}.parquet")
    run = {
        "world": order.world,
        "customers": order.customers,
        "seed": order.seed,
        "until": until.isoformat(),
        "since": order.since.isoformat() if order.since else None,
        "horizon_days": order.horizon_days,
    }
    settings = {
        "data": {
            "name": f"simulated_{Path(order.world).stem}",
            "currency": world.currency,
            "observed_until": until.isoformat(),
        },
        "value": {"margin": world.margin},
    }
    _write_yaml(folder / WORLD_FILE, {**world.model_dump(mode="json"), RUN: run})
    _write_yaml(folder / SETTINGS_FILE, settings)


def _write_yaml(path: Path, value: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _ingest_words(folder: Path, tables: Sequence[Table]) -> tuple[str, ...]:
    files = [word for t in tables for word in (f"--{t}", str(folder / f"{t}.parquet"))]
    return ("lifecycle", "ingest", "--settings", str(folder / SETTINGS_FILE), *files)


def _in_numbers(truth: Truth) -> dict[str, Any]:
    """Say what is true of those who have bought, and for how many of them each action pays."""
    customers = truth.customers.filter(~pl.col("prospect"))
    paying = (
        truth.actions.group_by("action", maintain_order=True)
        .agg((pl.col("net_margin") > 0).mean())
        .rows()
    )
    return {
        "customers": customers.height,
        "prospects": truth.customers.height - customers.height,
        "gone": int(customers["gone"].sum()),
        "churn_probability": customers["churn_probability"].mean() or 0.0,
        "expected_spend": customers["expected_spend"].sum(),
        "share_of_all_whom_it_pays_to_treat": dict(paying),
    }
