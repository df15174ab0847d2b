"""A shop with all five tables in which one person is everywhere, and a look for them everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import shop

CANARY = "canary-7f3a91c4"
NUMBER = 17
"""Whom the shop names so."""
BROUGHT, BROUGHT_BY = "c0018", "c0019"
"""Whom the person brought, and by whom they were brought."""
SETTINGS = (
    "training: {trials: 0, max_snapshots: 4}\nchurn: {horizon_days: 60}\n"
    "data: {sensitive_attributes: [gender]}\nserving: {consent_unknown: plan}\n"
)


def named(column: str) -> pl.Expr:
    number = pl.col(column)
    text = pl.format("c{}", number.cast(pl.String).str.zfill(4))
    return pl.when(number == NUMBER).then(pl.lit(CANARY)).otherwise(text).alias(column)


def write(folder: Path, customers: int) -> dict[str, Path]:
    """Write the five files, and with them rows that cannot be read and rows that name others."""
    orders = shop.orders(customers).rename(
        {"client": "customer_id", "when": "ordered_at", "invoice": "order_id", "seen": "arrived_at"}
    )
    order = pl.col("order_id").str.split("-").list.last()
    orders = orders.select(
        named("customer_id"),
        "ordered_at",
        pl.format("{}-{}", named("customer_id"), order).alias("order_id"),
        amount=pl.col("units") * pl.col("price"),
        category="sku",
        arrived_at="arrived_at",
    ).cast({"amount": pl.String})
    last = orders.filter(pl.col("customer_id") == CANARY).tail(1)
    files = {"orders": pl.concat([orders, last.with_columns(amount=pl.lit("a lot"))])}
    who = shop.customers(customers)
    files["customers"] = who.with_columns(
        named("customer_id"),
        pl.when(pl.col("customer_id") == int(BROUGHT[1:]))
        .then(pl.lit(CANARY))
        .when(pl.col("customer_id") == NUMBER)
        .then(pl.lit(BROUGHT_BY))
        .when(pl.col("customer_id") == 5)
        .then(pl.lit("c0005"))
        .otherwise(named("referred_by"))
        .alias("referred_by"),
        household=pl.when(pl.col("customer_id").is_in([21, 23, 24])).then(pl.lit(CANARY)),
    )
    talk = shop.interactions(customers).with_columns(named("customer_id"))
    files["interactions"] = talk.with_columns(
        topic=pl.when((pl.col("customer_id") == "c0022") & (pl.col("topic") == "price"))
        .then(pl.lit(f"compared with {CANARY}"))
        .otherwise("topic")
    )
    files["treatments"] = shop.treatments(customers).with_columns(named("customer_id"))
    terms = shop.contracts(customers)
    own = terms.head(1).with_columns(customer_id=pl.lit(NUMBER), contract_id=pl.lit("K-own"))
    terms = terms.with_columns(pl.col("customer_id").cast(pl.Int64))
    files["contracts"] = pl.concat([terms, own.cast(terms.schema)]).with_columns(
        named("customer_id")
    )
    for table, frame in files.items():
        frame.write_parquet(folder / f"{table}.parquet")
    return {table: folder / f"{table}.parquet" for table in files}


def event(customer: str, day: str, **more: object) -> dict[str, object]:
    return {"customer_id": customer, "ordered_at": f"{day}T10:00:00Z", "amount": 20, **more}


def write_events(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def places_of(text: str, root: Path) -> Iterator[str]:
    """Every file under a folder that holds a text: in its bytes, or in a Parquet file's cells."""
    needle = text.encode()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        place = str(path.relative_to(root))
        if needle in path.name.encode() or needle in path.read_bytes():
            yield place
        elif path.suffix == ".parquet":
            frame = pl.read_parquet(path)
            for column in frame.iter_columns():
                cells = column
                if cells.dtype == pl.Binary:
                    continue
                written = (
                    cells.list.join("|") if isinstance(cells.dtype, pl.List) else cells
                ).cast(pl.String, strict=False)
                if written.str.contains(text, literal=True).any():
                    yield f"{place}, {column.name}"
