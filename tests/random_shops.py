"""Random histories of all five tables, as the ledger stores them: few customers, dense days."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from features.days import day_number
from features.definitions.rows import Rules
from features.ingest.contract import CONTRACT, KINDS, TABLES, Table
from features.ingest.merging import sort_rows, typed_ids
from features.ingest.schemas import clean_schema

AS_OF = date(2024, 5, 31)
TODAY = day_number(AS_OF)

Row = dict[str, Any]
Shop = dict[Table, list[Row]]
Key = int | str

INTEGERS: tuple[Key, ...] = (-3, 0, 7, 12, 2**40)
TEXTS: tuple[Key, ...] = ("00123", "A-7", "a", "ü", "🦊")
LABELS = (None, "tea", "Tea", "tea cup", "茶", "ü", "🫖", "tea:7", ":", "12")
BORDERS = (
    0, 0, 1, 6, 7, 13, 14, 15, 29, 30, 59, 60, 89, 90, 179, 180, 275, 335, 364, 365, 366, 454, 455,
)  # fmt: skip
"""Days ago on which a window begins or ends."""
DELAYS = (0, 0, 0, 0, 1, 14, 40, 200)
HUGE = 10**15

RULES = Rules(
    static=("region", "acquisition_cost"),
    sensitive=("age_group",),
    seasons={"christmas": "12-25", "leap": "02-29", "fair": "2024-06-08", "tie": "2024-06-08"},
)


def moment(day: int, second: int = 0) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=second)


def any_day(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.4:
        return TODAY - rng.choice(BORDERS)
    if kind < 0.6:
        return TODAY - rng.randrange(12)
    if kind < 0.9:
        return TODAY - rng.randrange(800)
    return TODAY + rng.randrange(1, 60)


def any_second(rng: random.Random) -> int:
    """Of the day; often the same, and often at its ends."""
    return rng.choice((0, 0, 43_200, 86_399, rng.randrange(86_400)))


def dated(rng: random.Random, time: str) -> Row:
    """When something happened, and when that became known."""
    at = moment(any_day(rng), any_second(rng))
    arrived = at + timedelta(days=rng.choice(DELAYS), seconds=rng.choice((0, 7200)))
    if rng.random() < 0.1:
        arrived = at - timedelta(days=rng.randrange(1, 50))  # announced
    return {
        time: at,
        "arrived_at": arrived,
        "event_day": day_in(at),
        "known_day": day_in(max(at, arrived)),
    }


def day_in(at: datetime) -> int:
    return day_number(at.date())


def any_money(rng: random.Random) -> int:
    cents = rng.randrange(1, 90_000) * 100
    return rng.choice((0, 1, 150_000, cents, cents, cents, rng.randrange(10**6), HUGE))


def any_line(rng: random.Random) -> Row:
    sign = rng.choice((1, 1, 1, -1))
    when, order = dated(rng, "ordered_at"), rng.choice("ABCDEF")
    amount = sign * any_money(rng)
    return {
        **when,
        "order_key": order,
        "amount_e4": amount,
        "quantity": rng.choice((None, 1.0, 3.0, 0.1, 0.2, 0.7, 2.125, -1.0, 1e11)),
        "discount_e4": rng.choice((None, 0, rng.randrange(50_000), -100, HUGE)),
        # Some exports give the cost of a return its sign, some do not.
        "cost_e4": {0: None, 1: amount // 2, 2: abs(amount) // 3}[when["event_day"] % 3],
        "category": rng.choice(LABELS),
        "channel": rng.choice(LABELS[:4]),
        "is_product": rng.random() < 0.7,
    }


def any_interaction(rng: random.Random) -> Row:
    often = ("visit", "usage", "survey", "review", "complaint", "complaint_resolved", "cart")
    when = dated(rng, "at")
    return {
        **when,
        "kind": rng.choice((*KINDS, *often, *often)),
        "value_e4": rng.choice((None, -any_money(rng), any_money(rng), 30_000, 45_000)),
        "topic": rng.choice(LABELS),
        "cost_e4": when["event_day"] * 7 if when["event_day"] % 3 else None,
        "channel": rng.choice(LABELS),
    }


def any_treatment(rng: random.Random) -> Row:
    return {
        **dated(rng, "at"),
        "action": rng.choice(LABELS[1:]),
        "arm": rng.choice(("treated", "treated", "control")),
        "propensity": rng.choice((None, 0.5)),
        "cost_e4": rng.choice((None, None, any_money(rng))),
        "campaign": None,
        "decision_id": None,
    }


def any_term(rng: random.Random) -> Row:
    term = dated(rng, "starts_at")
    # Few starts, so that a term has versions.
    start = rng.choice((term["event_day"], TODAY - 30, TODAY - 400))
    term |= {"starts_at": moment(start), "event_day": start}
    term["known_day"] = day_in(max(term["starts_at"], term["arrived_at"]))
    for name in ("ends", "renewed", "cancelled"):
        soon = max(start, TODAY) + rng.choice((0, 0, 5, 40))
        day = rng.choice((None, None, start + rng.randrange(400), soon, start))
        term |= {f"{name}_at": None if day is None else moment(day, 60), f"{name}_day": day}
    return term | {
        "contract_id": rng.choice(("one", "two")),
        "fee_e4": rng.choice((None, any_money(rng))),
        "plan": rng.choice(LABELS),
    }


def any_customer(rng: random.Random, keys: Sequence[Key]) -> Row:
    valid = rng.choice((None, moment(any_day(rng), any_second(rng)), moment(TODAY - 30)))
    there = rng.choice((None, moment(any_day(rng), any_second(rng))))
    day = day_in(valid or there) if valid or there else None  # type: ignore[arg-type]
    return {
        "registered_at": there,
        "valid_from": valid,
        "event_day": day,
        "known_day": day,
        "registered_day": day_in(there) if there else None,
        "acquisition_channel": rng.choice(LABELS),
        "acquisition_cost_e4": rng.choice((None, any_money(rng))),
        "referred_by": rng.choice((None, *keys, rng.choice(keys))),
        "region": rng.choice(LABELS),
        "age_group": rng.choice((None, "30-39", "60+")),
        "marketing_consent": rng.choice((None, True, False)),
        "attributes": None,
    }


class RandomShop(dict[Table, list[Row]]):
    """A shop that says where it came from, for its rows are too many to print."""

    origin = ""

    def __repr__(self) -> str:
        return self.origin


def random_shop(
    seed: int,
    size: int,
    keys: Sequence[Key] = INTEGERS,
    tables: Iterable[Table] = TABLES,
    *,
    whole: bool = True,
) -> RandomShop:
    """Rows of some tables in the ledger's columns; not whole: fewer customers and rows."""
    rng = random.Random(seed)
    customers = list(keys) if whole else rng.sample(list(keys), rng.randrange(2, len(keys) + 1))

    def rows(table: Table) -> list[Row]:
        made = {
            "orders": any_line,
            "interactions": any_interaction,
            "treatments": any_treatment,
            "contracts": any_term,
            "customers": lambda rng: any_customer(rng, customers),
        }
        number = size if whole else rng.randrange(1, size + 1)
        found = [{"customer_id": rng.choice(customers), **made[table](rng)} for _ in range(number)]
        if table == "customers":
            found = [row for row in found if row["referred_by"] != row["customer_id"]]
        return of_one_key(table, found)

    wanted = tuple(tables)
    shop = RandomShop({table: rows(table) for table in TABLES if table in wanted})
    shop.origin = f"random_shop({seed}, {size}, {keys}, {wanted}, whole={whole})"
    return shop


def of_one_key(table: Table, rows: Sequence[Row]) -> list[Row]:
    """Keep one row of each key, as the ledger does."""
    names = CONTRACT[table].key
    if not names:
        return list(rows)
    return list({tuple(row[name] for name in names): row for row in rows}.values())


def frame_of(table: Table, rows: Sequence[Row], *, integers: bool) -> pl.DataFrame:
    schema = clean_schema(table)
    ids = dict.fromkeys(("customer_id", "referred_by"), pl.Int64 if integers else pl.String)
    schema = {name: ids.get(name, kind) for name, kind in schema.items()}
    return typed_ids(
        table,
        pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema),
        "integer" if integers else "text",
    )


def write(
    shop: Mapping[Table, Sequence[Row]], folder: Path, *, sort: bool = True
) -> dict[Table, Path]:
    """Write a shop as the ledger does, sorted; or in the given order."""
    folder.mkdir(parents=True, exist_ok=True)
    integers = not any(isinstance(r["customer_id"], str) for rows in shop.values() for r in rows)
    paths = {table: folder / f"{table}.parquet" for table in shop}
    for table, rows in shop.items():
        frame = frame_of(table, rows, integers=integers)
        (sort_rows(table, frame) if sort else frame).write_parquet(paths[table])
    return paths


SOME_TABLES: tuple[tuple[Table, ...], ...] = (
    *((TABLES,) * 6),
    ("orders",),
    ("interactions", "treatments"),
    ("contracts",),
    ("customers", "orders"),
    ("customers",),
)

seeds = st.integers(0, 2**32)
shops = st.builds(
    random_shop,
    seeds,
    st.sampled_from((5, 30, 80)),
    st.sampled_from((INTEGERS, TEXTS)),
    st.sampled_from(SOME_TABLES),
    whole=st.booleans(),
)
full_shops = st.builds(
    random_shop,
    seeds,
    st.sampled_from((10, 60)),
    st.sampled_from((INTEGERS, TEXTS)),
    whole=st.booleans(),
)


def searching(examples: int) -> settings:
    """Search the same examples each time; a failing one is shown as it was found, not shrunk."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
