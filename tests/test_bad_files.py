"""Broken files: each is refused and nothing changes, or every row of it is accounted for."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import (
    GOOD,
    TEXTS,
    check_accounts,
    check_sums,
    ingest,
    parquet_bytes,
    scratch,
    tree,
    write,
)

from features.errors import InputError
from features.ingest.cleaning import clean
from features.ingest.contract import CONTRACT, TABLES, Table, Value
from features.ingest.ledger import Ledger
from features.ingest.reading import read_raw
from features.settings import DataSettings
from features.workspace import Workspace

DIRTY: dict[Value, list[str | None]] = {
    "id": ["1", "00123", "17850.0", "", "nan", "A", None, " 5 ", "9" * 20, "客户", "-0", "1e5"],
    "code": ["a", "7.0", "", None, "a|b", "NULL"],
    "label": ["web", "", None, " x ", "POST", "a,b", "ß", "None", "x" * 300],
    "moment": [
        "2010-01-01", "2010-01-01", "2010-01-02 10:00", "2010-02-30", "13/01/2010", "20100102",
        "2010-01-01T08:00Z", "", "0001-01-01", "9999-12-31", "soon", None, "1262304000",
        "2010-03-28T02:30:00+01:00",
    ],
    "money": [
        "5", "-5", "0", "1,234.50", "12,50", "free", "1e12", "NaN", "$3", None, "9" * 50, "1.500",
        "1e400", "inf", "-0.00004", "0x10", "١",
    ],
    "number": ["1", "", "x", "-2", "1e400", "NaN", "inf", "1.500", "1e300"],
    "share": ["0.5", "0", "1", "1.5", "-1", "nan", "half", "1e-300", "50%"],
    "kind": ["visit", "Email Open", "", "?", None, "survey"],
    "arm": ["treated", "control", "Treated", "", "maybe", None],
    "yes": ["yes", "no", "1", "0", "", "perhaps", None, "TRUE"],
}  # fmt: skip
"""Cells of each kind of column as they stand in real files."""


def good_frame(table: Table) -> pl.DataFrame:
    return pl.read_csv(GOOD[table].encode(), infer_schema=False)


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("orders.csv", content)
    return buffer.getvalue()


def column_of(kind: pl.DataType | type[pl.DataType]) -> Callable[[Table], bytes]:
    """Give every required column of a table another type."""

    def broken(table: Table) -> bytes:
        frame = good_frame(table)
        values = {
            pl.List: pl.Series([[1], [2]]),
            pl.Struct: pl.Series([{"a": 1}, {"a": 2}]),
            pl.Boolean: pl.Series([True, False]),
            pl.Float64: pl.Series([float("nan"), float("inf")]),
            pl.Binary: pl.Series([b"\xff", b"\x00"]),
            pl.Null: pl.Series([None, None]),
            pl.Date: pl.Series([date(1, 1, 1), date(9999, 12, 31)]),
            pl.Decimal: pl.Series(["1.5", "2.5"]).cast(pl.Decimal(10, 2)),
            pl.UInt64: pl.Series([2**64 - 1, 0], dtype=pl.UInt64),
        }
        return parquet_bytes(frame.select(values[kind].alias(name) for name in frame.columns))

    return broken


def text(change: Callable[[str], str | bytes]) -> Callable[[Table], bytes]:
    def broken(table: Table) -> bytes:
        changed = change(GOOD[table])
        return changed if isinstance(changed, bytes) else changed.encode()

    return broken


def one_cell(cell: str) -> Callable[[Table], bytes]:
    """Put a cell into every column of one row more."""
    return text(lambda good: good + ",".join([cell] * (good.split("\n")[0].count(",") + 1)) + "\n")


BIG = "x" * 10_000_000

CORPUS: dict[str, Callable[[Table], bytes]] = {
    "empty": text(lambda good: ""),
    "blank": text(lambda good: "\n \n\n"),
    "header alone": text(lambda good: good.split("\n")[0]),
    "a sentence": text(lambda good: "Dear customer, here is your file.\nBest\n"),
    "UTF-16": text(lambda good: good.encode("utf-16")),
    "UTF-16 without its mark": text(lambda good: good.encode("utf-16-le")),
    "UTF-16 cut in a letter": text(lambda good: good.encode("utf-16")[:-1]),
    "UTF-32": text(lambda good: good.encode("utf-32")),
    "latin-1": text(lambda good: good.replace("2,", "Müller,").encode("latin-1")),
    "byte order mark": text(lambda good: good.encode("utf-8-sig")),
    "two byte order marks": text(lambda good: "\ufeff" + good.encode("utf-8-sig").decode()),
    "half UTF-8": text(lambda good: good.encode() + "é".encode() + b",\xe9\n"),
    "NUL bytes": text(lambda good: good.replace("1,", "1\0,", 1)),
    "control characters": text(lambda good: good.replace("1,", "\x01\x02,")),
    "semicolons": text(lambda good: good.replace(",", ";")),
    "tabs": text(lambda good: good.replace(",", "\t")),
    "mixed separators": text(lambda good: good.replace(",", ";", 3)),
    "mixed line ends": text(lambda good: good.replace("\n", "\r\n", 1).replace("\n", "\r", 1)),
    "no line end": text(str.strip),
    "duplicate column names": text(lambda good: good.replace("customer_id", "a,a", 1)),
    "a required column missing": text(lambda good: good.replace("customer_id", "who", 1)),
    "a column without a name": text(lambda good: good.replace("customer_id,", "customer_id,,")),
    "short rows": text(lambda good: good + "3\n4,\n"),
    "long rows": text(lambda good: good + "3," * 40 + "\n"),
    "open quote": text(lambda good: good + '3,"2010-01-01,1\n4,2010-01-01,2\n'),
    "quotes inside": text(lambda good: good + '3,15" pipe,1"2\n'),
    "duplicated": text(lambda good: good + "".join(good.split("\n", 1)[1:]) * 50),
    "other dates": text(lambda good: good.replace("2010-01-0", "1/2/201")),
    "days or months": text(lambda good: good.replace("2010-01-01", "13/01/2010")),
    "absurd dates": text(lambda good: good.replace("2010", "0010")),
    "no dates": text(lambda good: good.replace("2010-01-0", "day ")),
    "NaN everywhere": one_cell("NaN"),
    "infinity everywhere": one_cell("-inf"),
    "1e400 everywhere": one_cell("1e400"),
    "a long number everywhere": one_cell("9" * 4_000),
    "an empty row": one_cell(""),
    "a formula everywhere": one_cell("=1+1"),
    "nothing but null": text(lambda good: good.split("\n")[0] + "\nnull,null,null,null\n"),
    "a cell of 10 MB": text(lambda good: good + f"3,2010-01-01,{BIG},x\n"),
    "a quoted cell of 10 MB": text(lambda good: good + f'3,"{BIG}",2010-01-01,x\n'),
    "a first cell of 10 MB": text(lambda good: good + f"{BIG},2010-01-01,5,5\n"),
    "a name of 10 MB": text(lambda good: BIG + good),
    "10 MB without a line end": text(lambda good: good.replace("\n", ",") + BIG),
    "an identifier of 10 MB in Parquet": lambda table: parquet_bytes(
        good_frame(table).with_columns(customer_id=pl.Series([BIG, "2"]))
    ),
    "zip": text(lambda good: zipped(good.encode())),
    "gzip": text(lambda good: b"\x1f\x8b\x08\x00" + bytes(40)),
    "JSON": text(lambda good: '[{"customer_id": 1, "amount": 2}]'),
    "HTML": text(lambda good: "<html><body><table><tr><td>1</td></tr></table></body></html>"),
    "random bytes": text(lambda good: random.Random(1).randbytes(4_000)),
    "Parquet cut short": lambda table: parquet_bytes(good_frame(table))[:-30],
    "Parquet cut in half": lambda table: parquet_bytes(good_frame(table))[:150],
    "Parquet's mark alone": text(lambda good: b"PAR1"),
    "Parquet without rows": lambda table: parquet_bytes(good_frame(table).head(0)),
    "Parquet without columns": lambda table: parquet_bytes(pl.DataFrame()),
    "Parquet with a blank name": lambda table: parquet_bytes(
        good_frame(table).rename({"customer_id": " "})
    ),
    **{
        f"columns of {kind}": column_of(kind)
        for kind in (
            pl.List, pl.Struct, pl.Boolean, pl.Float64, pl.Binary, pl.Null, pl.Date, pl.Decimal,
            pl.UInt64,
        )
    },
}  # fmt: skip
"""What may be wrong with a file."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that holds every table."""
    folder = tmp_path_factory.mktemp("full")
    workspace = Workspace(folder / "shop")
    for table in TABLES:
        ingest(workspace, write(folder, GOOD[table], f"{table}.csv"), table=table)
    return workspace


def take_or_refuse(workspace: Workspace, table: Table, file: Path) -> None:
    """Ingest a file: taken, its rows add up; refused, nothing has changed."""
    before = tree(workspace.root)
    try:
        report = ingest(workspace, file, table=table)
    except InputError as refusal:
        message = str(refusal)
        assert file.name in message and len(message) < 1_000, "names the file, in one sentence"
        assert "\n" not in message
        assert "; " in message or "--map" in message, "and the remedy"
        assert tree(workspace.root) == before
        return
    counts = report.counts
    assert counts["rows_in"] == counts["kept"] + counts["merged"] + counts["quarantined"]
    assert counts["rows_in"] == read_raw(file).height
    assert report.sentences()
    check_sums(Ledger(workspace))


@pytest.mark.parametrize("case", CORPUS)
def test_a_broken_file_is_refused_or_accounted_for(case: str, full: Workspace, tmp_path: Path):
    # One workspace for all: whatever was taken before must not trouble the next.
    for table in TABLES:
        take_or_refuse(full, table, write(tmp_path, CORPUS[case](table), f"{table} {case[:9]}.csv"))


@pytest.mark.parametrize("table", TABLES)
def test_what_is_no_file_is_refused(table: Table, full: Workspace, tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    take_or_refuse(full, table, tmp_path / "folder.csv")
    take_or_refuse(full, table, tmp_path / "absent.csv")


# Generated tables


@st.composite
def dirty_rows(draw: st.DrawFn, table: Table) -> pl.DataFrame:
    """Rows of a table: cells of a dirty alphabet, optional columns here and there, repeats."""
    height = draw(st.integers(1, 8))
    columns = CONTRACT[table].columns
    optional = [c.name for c in columns if not c.required and c.name != "amount"]
    chosen = draw(st.sets(st.sampled_from([*optional, "row", "reason", "other"])))
    cells: dict[str, st.SearchStrategy[Any]] = {
        c.name: st.sampled_from(DIRTY[c.value]) | TEXTS
        for c in columns
        if c.required or c.name == "amount" or c.name in chosen
    }
    cells |= dict.fromkeys(chosen - set(optional), TEXTS)
    frame = pl.DataFrame(
        {
            name: pl.Series(draw(st.lists(cell, min_size=height, max_size=height)), dtype=pl.String)
            for name, cell in cells.items()
        }
    )
    again = draw(st.lists(st.integers(0, height - 1), max_size=3))
    return pl.concat([frame, frame[again]])


@pytest.mark.parametrize("table", TABLES)
def test_every_dirty_row_is_kept_or_quarantined(table: Table):
    @settings(max_examples=40, deadline=None)
    @given(dirty_rows(table))
    def holds(raw: pl.DataFrame) -> None:
        try:
            cleaned = clean(table, raw, {}, DataSettings())
        except InputError as refusal:
            assert str(refusal)
            return
        check_accounts(table, raw, cleaned)

    holds()


# Cells that are read, so that few files are refused.
CLEAN: dict[Value, list[str | None]] = {
    **DIRTY,
    "id": ["1", "2", "3"],
    "moment": ["2010-01-01", "2010-01-02", "2010-01-02T10:00Z", ""],
    "money": ["5", "2.5"],
}


@st.composite
def overlapping(draw: st.DrawFn, table: Table) -> list[pl.DataFrame]:
    """Two exports drawn from one pool of few rows, so that they overlap and repeat."""
    columns = CONTRACT[table].columns
    row = st.tuples(*(st.sampled_from(CLEAN[c.value]) for c in columns))
    pool = draw(st.lists(row, min_size=1, max_size=5))
    picked = st.lists(st.sampled_from(pool), min_size=1, max_size=6)
    schema = {c.name: pl.String for c in columns}
    return [pl.DataFrame(draw(picked), schema=schema, orient="row") for _ in range(2)]


@pytest.mark.parametrize("table", TABLES)
def test_two_exports_add_up_and_in_any_order_give_the_same_bytes(table: Table):
    @settings(max_examples=8, deadline=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        frames = data.draw(overlapping(table))
        with scratch() as folder:
            ledgers = [
                ingest_all(Workspace(folder / name), table, order)
                for name, order in (("one", frames), ("other", frames[::-1]))
            ]
            # A later row of a key wins, so its order is part of what is said.
            if CONTRACT[table].key or None in ledgers:
                return
            one, other = [ledger.path(table) for ledger in ledgers if ledger is not None]
            assert one is not None and other is not None
            assert one.parent.name == other.parent.name
            assert one.read_bytes() == other.read_bytes()

    holds()


def ingest_all(workspace: Workspace, table: Table, frames: list[pl.DataFrame]) -> Ledger | None:
    """Add exports one by one; None where one is refused."""
    ledger = Ledger(workspace)
    for place, frame in enumerate(frames):
        digest = f"{place}" * 64
        try:
            report = ledger.add_export(table, Path("f.csv"), frame, digest, {}, DataSettings())
        except InputError:
            return None
        counts = report.counts
        assert counts["rows_in"] == frame.height
        assert frame.height == counts["kept"] + counts["merged"] + counts["quarantined"]
    check_sums(ledger)
    return ledger
