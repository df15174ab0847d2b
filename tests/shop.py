"""A small made-up shop: deterministic orders with dirt, categories, returns and late arrivals."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

FIRST = datetime(2023, 1, 1)
LAST_DAY = "2024-06-30"
DAYS = 547


def orders(customers: int = 900, seed: int = 1) -> pl.DataFrame:
    """Buy-till-you-die customers of a wholesaler, a line a product."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(1, customers + 1):
        day = rng.uniform(0, 330)
        rate = rng.gamma(1.2, 1 / 40)
        quits = rng.beta(1.0, 6.0)
        taste = rng.lognormal(3.0, 0.6)
        order = 0
        while day < DAYS:
            order += 1
            moment = FIRST + timedelta(days=day)
            for line in range(rng.integers(1, 4)):
                quantity = int(rng.integers(1, 6))
                price = round(float(taste * rng.lognormal(0, 0.4)) / 3, 2)
                rows.append(
                    (
                        customer, moment, f"{customer}-{order}", quantity, price,
                        f"P{rng.integers(0, 30):02d}" if line else "POST",
                        moment + timedelta(days=float(rng.integers(0, 3))),
                    )
                )  # fmt: skip
            if rng.random() < 0.05:
                back = moment + timedelta(days=float(rng.uniform(1, 20)))
                rows.append((customer, back, f"C{customer}-{order}", -1, price, "P00", back))
            if rng.random() < quits:
                break
            day += rng.exponential(1 / rate) + 0.01
    names = ["client", "when", "invoice", "units", "price", "sku", "seen"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.filter(pl.col("when") < FIRST + timedelta(days=DAYS))


MAP = (
    "customer_id=client",
    "ordered_at=when",
    "order_id=invoice",
    "quantity=units",
    "unit_price=price",
    "category=sku",
    "arrived_at=seen",
)


def write(folder: Path, customers: int = 900, seed: int = 1) -> Path:
    """Write the shop's export."""
    path = folder / "orders.parquet"
    orders(customers, seed).write_parquet(path)
    return path


def map_options(pairs: tuple[str, ...] = MAP) -> list[str]:
    """Spell the mapping for the command line."""
    return [word for pair in pairs for word in ("--map", pair)]


def customers(count: int = 900, seed: int = 2, prospects: int = 60) -> pl.DataFrame:
    """Who they are: most with a registration, some with two editions, a few prospects."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(1, count + prospects + 1):
        joined = FIRST + timedelta(days=float(rng.uniform(-30, 300)))
        region = str(rng.choice(["north", "south", "east", "île-de-france"]))
        editions = [joined, joined + timedelta(days=200)] if customer % 7 == 0 else [joined]
        for valid_from in editions:
            rows.append(
                (
                    customer,
                    joined,
                    valid_from,
                    str(rng.choice(["search", "shop", "friend"])),
                    round(float(rng.gamma(2, 5)), 2),
                    int(rng.integers(1, count)) if customer % 5 == 0 else None,
                    region if valid_from == joined else "moved",
                    str(rng.choice(["18-34", "35-54", "55+"])),
                    str(rng.choice(["yes", "no", ""])),
                    str(rng.choice(["m", "f", "x"])),
                )
            )
    names = [
        "customer_id", "registered_at", "valid_from", "acquisition_channel", "acquisition_cost",
        "referred_by", "region", "age_group", "marketing_consent", "gender",
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def interactions(count: int = 900, seed: int = 3, prospects: int = 60) -> pl.DataFrame:
    """What they did besides buying; the last `prospects` never bought."""
    rng = np.random.default_rng(seed)
    kinds = (
        "impression", "ad_click", "visit", "product_view", "compare", "cart", "checkout", "payment",
        "trial", "inquiry", "email_open", "email_click", "support_ticket", "complaint",
        "complaint_resolved", "survey", "review", "share", "referral", "usage", "event",
    )  # fmt: skip
    valued = {"survey": 10, "review": 5, "visit": 600, "usage": 50}
    rows = []
    for customer in range(1, count + prospects + 1):
        for _ in range(int(rng.integers(0, 25))):
            kind = str(rng.choice(kinds))
            at = FIRST + timedelta(days=float(rng.uniform(0, DAYS)))
            rows.append(
                (
                    customer,
                    at,
                    kind,
                    round(float(rng.uniform(0, valued[kind])), 1) if kind in valued else None,
                    str(rng.choice(["delivery", "price", "quality"])),
                    str(rng.choice(["web", "app", "phone"])),
                    at + timedelta(days=float(rng.integers(0, 4))),
                )
            )
    names = ["customer_id", "at", "kind", "value", "topic", "channel", "arrived_at"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def treatments(count: int = 900, seed: int = 4) -> pl.DataFrame:
    """What was assigned, a fifth of it withheld."""
    rng = np.random.default_rng(seed)
    rows = [
        (
            int(customer),
            FIRST + timedelta(days=float(rng.uniform(60, DAYS))),
            str(rng.choice(["reminder", "coupon", "call"])),
            "control" if rng.random() < 0.2 else "treated",
            0.8,
            round(float(rng.uniform(0.1, 3)), 2),
            f"campaign-{rng.integers(1, 5)}",
        )
        for customer in rng.integers(1, count + 1, 2 * count)
    ]
    names = ["customer_id", "at", "action", "arm", "propensity", "cost", "campaign"]
    return pl.DataFrame(rows, schema=names, orient="row")


def contracts(count: int = 900, seed: int = 5) -> pl.DataFrame:
    """Terms of a year, some renewed, some cancelled."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in rng.choice(np.arange(1, count + 1), count // 3, replace=False):
        starts = FIRST + timedelta(days=float(rng.uniform(0, 300)))
        ends = starts + timedelta(days=365)
        fate = rng.random()
        rows.append(
            (
                int(customer),
                f"K{customer}",
                starts,
                ends,
                ends - timedelta(days=10) if fate < 0.5 else None,
                starts + timedelta(days=float(rng.uniform(30, 360))) if fate > 0.7 else None,
                round(float(rng.uniform(5, 50)), 2),
                str(rng.choice(["basic", "plus"])),
            )
        )
    names = [
        "customer_id", "contract_id", "starts_at", "ends_at", "renewed_at", "cancelled_at", "fee",
        "plan",
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def write_others(folder: Path, customers_count: int = 900) -> dict[str, Path]:
    """Write the four tables beside the orders."""
    made = {
        "customers": customers(customers_count),
        "interactions": interactions(customers_count),
        "treatments": treatments(customers_count),
        "contracts": contracts(customers_count),
    }
    for table, frame in made.items():
        frame.write_parquet(folder / f"{table}.parquet")
    return {table: folder / f"{table}.parquet" for table in made}
