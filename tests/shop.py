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
