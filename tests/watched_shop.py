"""A simulated shop up to a day, and the files of the week after it, whole or broken."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from conftest import succeed

FROM = date(2025, 7, 27)
WEEK_END = date(2025, 8, 3)
TABLES = ("orders", "customers", "interactions")
CUSTOMERS = 2500


def simulated(folder: Path, world: str = "shop", customers: int = CUSTOMERS) -> Path:
    """Simulate up to the end of the week."""
    words = ("--world", world, "--customers", customers, "--seed", 3, "--until", WEEK_END)
    succeed(folder / "none", "simulate", *words, "--out", folder / "shop")
    return folder / "shop"


def week_of(shop: Path) -> dict[str, pl.DataFrame]:
    """Give what arrived in the week."""
    return {name: _split(shop, name)[1] for name in TABLES}


def begun(shop: Path, root: Path) -> Path:
    """Ingest what had arrived before the week."""
    before = {name: _split(shop, name)[0] for name in TABLES}
    ingest(root, shop, before, "before")
    return root


def ingest(root: Path, shop: Path, tables: Mapping[str, pl.DataFrame], name: str) -> None:
    """Ingest tables as the files that a shop would export."""
    folder = root.parent / f"files-{root.name}-{name}"
    folder.mkdir()
    words: list[object] = []
    for table, rows in tables.items():
        rows.write_parquet(folder / f"{table}.parquet")
        words += [f"--{table}", folder / f"{table}.parquet"]
    # The simulation's settings say until when it goes, which a real export does not.
    succeed(root, "ingest", *words)
    assert (shop / "lifecycle.yaml").exists()


def with_week(started: Path, shop: Path, root: Path, tables: Mapping[str, pl.DataFrame]) -> Path:
    """Copy a workspace and ingest a week more."""
    shutil.copytree(started, root)
    ingest(root, shop, tables, "week")
    return root


def _split(shop: Path, table: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = pl.read_parquet(shop / f"{table}.parquet")
    arrived = "valid_from" if table == "customers" else "arrived_at"
    late = pl.col(arrived).dt.date() >= FROM + timedelta(days=1)
    return rows.filter(~late), rows.filter(late)
