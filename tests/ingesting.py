"""What the tests of ingest share: a file written, ingested, and its workspace looked at."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from features.ingest.cleaning import Cleaned, clean
from features.ingest.contract import CONTRACT, Table
from features.ingest.ledger import IngestReport, Ledger
from features.ingest.merging import daily_digests
from features.ingest.quarantine import REASONS
from features.ingest.reading import file_digest, read_raw
from features.ingest.schemas import check_table, clean_schema
from features.settings import DataSettings
from features.workspace import Workspace

PLAIN = "customer_id,ordered_at,amount\n1,2010-01-01,5.00\n2,2010-01-02,7.50\n"
GOOD = {
    "orders": PLAIN,
    "customers": "customer_id,registered_at,region\n1,2010-01-01,north\n2,2010-01-02,south\n",
    "interactions": "customer_id,at,kind\n1,2010-01-01,visit\n2,2010-01-02,survey\n",
    "treatments": (
        "customer_id,at,action,arm\n1,2010-01-01,call,treated\n2,2010-01-02,call,control\n"
    ),
    "contracts": "customer_id,contract_id,starts_at\n1,a,2010-01-01\n2,b,2010-01-02\n",
}
"""A small good file of each table."""

QUICK = settings(max_examples=60, deadline=None)
SLOW = settings(max_examples=20, deadline=None)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=5)


def ingest(
    workspace: Workspace,
    file: Path,
    mapping: dict[str, str] | None = None,
    table: Table = "orders",
    **data: Any,
) -> IngestReport:
    return Ledger(workspace).add_export(
        table, file, read_raw(file), file_digest(file), mapping or {}, DataSettings(**data)
    )


def write(folder: Path, content: str | bytes, name: str = "orders.csv") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def clean_lines(
    columns: dict[str, Any], mapping: dict[str, str] | None = None, **data: Any
) -> Cleaned:
    """Clean order lines of which only the columns of interest are told."""
    filled = {"customer_id": ["1"], "ordered_at": ["2010-01-01"], "amount": ["1"]}
    if {"quantity", "unit_price"} <= set(columns):
        del filled["amount"]
    return clean_rows("orders", filled, columns, mapping, **data)


def clean_rows(
    table: Table,
    filled: dict[str, Any],
    columns: dict[str, Any],
    mapping: dict[str, str] | None = None,
    **data: Any,
) -> Cleaned:
    height = max(len(values) for values in columns.values())
    raw = pl.DataFrame({name: values * height for name, values in filled.items()} | columns)
    return clean(table, raw, mapping or {}, DataSettings(**data))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder per hypothesis example, where tmp_path is one per test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def parquet_bytes(frame: pl.DataFrame | None = None) -> bytes:
    buffer = io.BytesIO()
    (frame if frame is not None else read_plain()).write_parquet(buffer)
    return buffer.getvalue()


def read_plain() -> pl.DataFrame:
    return pl.read_csv(PLAIN.encode(), infer_schema=False)


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def check_accounts(table: Table, raw: pl.DataFrame, cleaned: Cleaned) -> None:
    """Every row is kept or quarantined, and what is kept is what the contract says."""
    counts = cleaned.counts
    assert counts["rows_in"] == raw.height == counts["kept"] + counts["quarantined"]
    assert counts["kept"] == cleaned.rows.height
    reasons = sum(counts.get(reason, 0) for reason in REASONS)
    assert counts["quarantined"] == cleaned.quarantine.height == reasons
    assert cleaned.quarantine["row"].is_between(1, raw.height).all()
    assert cleaned.quarantine["row"].is_unique().all()
    assert cleaned.quarantine.width == raw.width + 2
    assert list(cleaned.rows.columns) == list(clean_schema(table))
    check_table(table, cleaned.rows)


def check_sums(ledger: Ledger) -> None:
    """What the reports say adds up to what is stored, and the digests are those of the rows."""
    manifest = ledger.manifest()
    kept = dict.fromkeys(ledger.tables, 0)
    for export in manifest["exports"]:
        counts = export["counts"]
        aside = counts["quarantined"] + counts.get("forgotten", 0)
        assert counts["rows_in"] == counts["kept"] + counts["merged"] + aside
        assert counts["kept"] >= 0 and counts["merged"] >= 0
        kept[export["table"]] += counts["kept"]
    for table in ledger.tables:
        path = ledger.path(table)
        assert path is not None
        rows = pl.read_parquet(path)
        days = pl.read_parquet(path.parent / "days.parquet")
        assert kept[table] == rows.height == days["rows"].sum()
        assert days.equals(daily_digests(table, rows))
        assert rows.equals(rows.sort(CONTRACT[table].sorted_by, nulls_last=False))
        integer = ledger.customer_id_type == "integer"
        assert rows.schema["customer_id"] == (pl.Int64 if integer else pl.String)
