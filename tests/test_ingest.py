"""What ingest promises: every row is accounted for, and the ledger depends on content alone."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import features.ingest.ledger
from features.errors import InputError, WorkspaceError
from features.ingest.amounts import read_numbers
from features.ingest.cleaning import CleanedOrders, clean_orders
from features.ingest.ledger import IngestReport, Ledger
from features.ingest.lines import LINE_SCHEMA
from features.ingest.merging import IDENTITY, daily_digests, merge_exports
from features.ingest.moments import read_moments
from features.ingest.quarantine import REASONS
from features.ingest.reading import file_digest, read_raw
from features.settings import DataSettings
from features.workspace import Workspace

ONLINE_RETAIL = (
    Path(__file__).parents[1] / "../shared/data/online_retail_ii_2009_2011.parquet"
).resolve()
ONLINE_RETAIL_MAPPING = {
    "customer_id": "Customer ID",
    "ordered_at": "InvoiceDate",
    "quantity": "Quantity",
    "unit_price": "Price",
    "order_id": "Invoice",
    "category": "StockCode",
}
PLAIN = "customer_id,ordered_at,amount\n1,2010-01-01,5.00\n2,2010-01-02,7.50\n"
QUICK = settings(max_examples=60, deadline=None)
SLOW = settings(max_examples=20, deadline=None)


def ingest(
    workspace: Workspace,
    file: Path,
    mapping: dict[str, str] | None = None,
    **data: Any,
) -> IngestReport:
    return Ledger(workspace).add_export(
        file, read_raw(file), file_digest(file), mapping or {}, DataSettings(**data)
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


def clean(
    columns: dict[str, Any], mapping: dict[str, str] | None = None, **data: Any
) -> CleanedOrders:
    height = max(len(values) for values in columns.values())
    filled = {"customer_id": ["1"], "ordered_at": ["2010-01-01"], "amount": ["1"]}
    if {"quantity", "unit_price"} <= set(columns):
        del filled["amount"]
    raw = pl.DataFrame({name: values * height for name, values in filled.items()} | columns)
    return clean_orders(raw, mapping or {}, DataSettings(**data))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder per hypothesis example, where tmp_path is one per test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# Reading


def parquet_bytes(frame: pl.DataFrame | None = None) -> bytes:
    buffer = io.BytesIO()
    (frame if frame is not None else read_plain()).write_parquet(buffer)
    return buffer.getvalue()


def read_plain() -> pl.DataFrame:
    return pl.read_csv(PLAIN.encode(), infer_schema=False)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode("utf-8"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\n\n").encode(),
        PLAIN.replace("\n1,", '\n"1",').encode(),
        PLAIN.replace("amount", " amount ").encode(),
        PLAIN.replace("\n", ",\n").replace("amount,", "amount").encode(),
        b"sep=;\n" + PLAIN.replace(",", ";").encode(),
        PLAIN.encode() + b"\x1a",
        PLAIN.rstrip().encode(),
        parquet_bytes(),
    ],
)
@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_file_is_what_its_content_says(content: bytes, extension: str, tmp_path: Path) -> None:
    raw = read_raw(write(tmp_path, content, f"orders.{extension}"))
    assert raw.equals(read_plain())


def test_windows_1252_is_read_where_utf_8_fails(tmp_path: Path) -> None:
    assert read_raw(write(tmp_path, "a,b\n€é,1\n".encode("cp1252")))["a"].to_list() == ["€é"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('1,15" frame\n2,16" frame\n', ['15" frame', '16" frame']),
        ('1,15"\n2,16"\n', ['15"', '16"']),
        ('1,"a ""b"", c"\n2,x\n', ['a "b", c', "x"]),
        ('1,"two\nlines"\n2,x\n', ["two\nlines", "x"]),
        ('1,"x"y\n2,z\n', ["xy", "z"]),
        ('1\n2,""\n', [None, None]),
        ('1,"c\n"b",9"\n', ['c\nb"']),
    ],
)
def test_stray_quotes_swallow_no_rows(
    lines: str, expected: list[str | None], tmp_path: Path
) -> None:
    assert read_raw(write(tmp_path, f"a,b\n{lines}"))["b"].to_list() == expected


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=5)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 99), TEXTS, TEXTS), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[int, str, str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("n", "x", "y"), *rows])
    with scratch() as folder:
        file = write(folder, buffer.getvalue())
        try:
            raw = read_raw(file)
        except InputError as refused:
            # Control characters in so small a file look like a binary one.
            assert "neither Parquet nor readable text" in str(refused)
            return
    assert raw["n"].to_list() == [str(row[0]) for row in rows]
    squeezed = [[squeeze(text) for text in row[1:]] for row in rows]
    assert [[squeeze(text or "") for text in row] for row in raw[["x", "y"]].rows()] == squeezed


def squeeze(text: str) -> str:
    """Blank lines inside a quoted field may go, as blank lines between rows do."""
    return "".join(text.split())


# Refusals


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"customer_id,ordered_at,amount\n", "a header but no rows"),
        (b"customer_id,ordered_at,amount\n\n\n", "a header but no rows"),
        (b"customer_id,customer_id,amount\n1,2,3\n", "more than one column named 'customer_id'"),
        (b"customer_id, customer_id ,amount\n1,2,3\n", "more than one column named"),
        (b"just a sentence\nand another\n", "no comma, semicolon, tab or |"),
        (bytes(range(256)) * 8, "neither Parquet nor readable text"),
        (b"a,b\n1,\0\n", "neither Parquet nor readable text"),
        (PLAIN.encode("utf-16-le"), "neither Parquet nor readable text"),
        (b"\xff\xfe\x00\xd8", "neither Parquet nor readable text"),
        (b"PK\x03\x04" + bytes(40), "an Excel or zip file; save the sheet as CSV"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "compressed with gzip; uncompress it first"),
        (PLAIN.encode() + "é,2010-01-01,1\n".encode() + b"\xe9,2010-01-01,1\n", "in line 5"),
        (b'customer_id,ordered_at,amount\n1,"2010-01-01,5\n2,x,3\n', "quote that never closes"),
        (b'customer_id,ordered_at,"amount\n1,2010-01-01,5\n', "quote in its header"),
        (
            b'customer_id,ordered_at,amount\n1,"2010-01-01,5\n1,2010-01-02,5\n1,2010-01-03,5\n'
            b'1,2010-01-04","5"\n',
            "swallows the rows",
        ),
        (b"PAR1", "damaged or truncated Parquet"),
        (b"PAR1" + bytes(60) + b"PAR1", "damaged or truncated Parquet"),
        (parquet_bytes()[:-20], "damaged or truncated Parquet"),
        (parquet_bytes()[: len(parquet_bytes()) // 2], "damaged or truncated Parquet"),
        (parquet_bytes(pl.DataFrame(schema={"customer_id": pl.Int64})), "columns but no rows"),
        (b"who,when,paid\n1,2010-01-01,5\n", "--map customer_id=COLUMN"),
        (b"Customer ID,ordered_at,amount\n1,2010-01-01,5\n", "--map customer_id='Customer ID'"),
        (b"customer_id,ordered_at\n1,2010-01-01\n", "no column for amount"),
        (b"customer_id,ordered_at,quantity,Price\n1,2010-01-01,1,1\n", "no column for unit_price"),
        (b"customer_id,ordered_at,amount\n1,yesterday,5\n", "'yesterday'.*data.date_format"),
        (b"customer_id,ordered_at,amount\n1,,5\n", "ordered_at has no dates at all"),
        (b"customer_id,ordered_at,amount\n1,3/4/2010,5\n", "'3/4/2010'.*data.date_format"),
        (b"customer_id,ordered_at,amount\n1,1890-01-01,5\n", "date_out_of_range"),
        (b"customer_id,ordered_at,amount\n,2010-01-01,5\n", "no_customer; map customer_id"),
        (b"customer_id,ordered_at,amount\n1,2010-01-01,free\n", "unreadable_amount; map amount"),
        (b"customer_id,ordered_at,amount\n1,2010-01-01,1e12\n", "absurd_amount"),
        (b"customer_id,ordered_at,amount\n1,2010-01-01,1,5\n", "too_many_fields"),
        ("customer_id,ordered_at,amount\n1,2010-01-01,€5\n1,2010-01-01,$5\n", "mixes currencies"),
        (
            parquet_bytes(pl.DataFrame({"customer_id": [1], "ordered_at": [True], "amount": [1]})),
            "ordered_at holds Boolean",
        ),
    ],
)
def test_a_broken_file_is_refused_and_changes_nothing(
    content: bytes | str, message: str, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN, "good.csv"))
    before = tree(workspace.root)
    with pytest.raises(InputError, match=message) as refusal:
        ingest(workspace, write(tmp_path, content, "broken.csv"))
    assert "\n" not in str(refusal.value)
    assert tree(workspace.root) == before


@pytest.mark.parametrize("verb", [read_raw, file_digest])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.csv", "absent.csv does not exist"),
        ("folder", "folder is a folder; name one"),
        ("pipe", "pipe is not a regular file"),
        ("n" * 5000, "is no usable file name"),
    ],
)
def test_what_is_no_file_is_refused(verb: Any, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=message):
        verb(tmp_path / name)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"customer": "customer_id"}, "customer is no column of orders; did you mean customer_id"),
        ({"customer_id": "customr_id"}, "'customr_id'.*did you mean 'customer_id'.*the file has"),
        ({"amount": "Umsatz"}, "'Umsatz', mapped to amount, is not in the file"),
    ],
)
def test_a_wrong_mapping_names_the_offender(
    mapping: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        ingest(Workspace(tmp_path / "shop"), write(tmp_path, PLAIN), mapping)
    assert not (tmp_path / "shop").exists()


@SLOW
@given(st.data())
def test_a_damaged_parquet_file_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(parquet_bytes(pl.concat([read_plain()] * 20)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(4, len(content) - 5))
        content[place] = data.draw(st.integers(0, 255))
    with scratch() as folder:
        try:
            read_raw(write(folder, bytes(content)))
        except InputError as refusal:
            assert "orders.csv" in str(refusal)


# Customer ids


@pytest.mark.parametrize(
    ("ids", "expected", "id_type"),
    [
        (["17850", "2"], [17850, 2], "integer"),
        (["17850.0", " 17850 "], [17850, 17850], "integer"),
        ([17850.0, float("nan"), 3.0], [17850, 3], "integer"),
        (["00123", "17850.0"], ["00123", "17850"], "text"),
        (["123", "00123"], ["123", "00123"], "text"),
        (["A-1", "2"], ["A-1", "2"], "text"),
        ([1.5, 2.0], ["1.5", "2"], "text"),
        (["9223372036854775807"], [9223372036854775807], "integer"),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"], "text"),
        (["", "nan", "null", "None", "NaN", "x"], ["x"], "text"),
        (["-7", "0"], [-7, 0], "integer"),
        (["-0", "+1"], ["-0", "+1"], "text"),
        ([float("inf"), 1.0], [1], "integer"),
        ([1e19, 1.0], ["10000000000000000000", "1"], "text"),
        (["客户一", "é"], ["客户一", "é"], "text"),
    ],
)
def test_ids_keep_what_they_say(ids: list[Any], expected: list[Any], id_type: str) -> None:
    cleaned = clean({"customer_id": ids})
    assert cleaned.lines["customer_id"].to_list() == expected
    assert cleaned.customer_id_type == id_type
    assert cleaned.lines.schema["customer_id"] == (pl.Int64 if id_type == "integer" else pl.String)


def test_an_id_that_is_not_kept_does_not_decide_the_type() -> None:
    cleaned = clean({"customer_id": ["1", "A"], "amount": ["1", "free"]})
    assert cleaned.customer_id_type == "integer"


# Times


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["2010-12-01"], moment(2010, 12, 1)),
        (["2010-12-01 08:26"], moment(2010, 12, 1, 8, 26)),
        (["2010-12-01 08:26:30.123456"], moment(2010, 12, 1, 8, 26, 30, 123456)),
        (["2010-12-01T08:26:30Z"], moment(2010, 12, 1, 8, 26, 30)),
        (["2010-12-01T08:26:30+02:00"], moment(2010, 12, 1, 6, 26, 30)),
        (["2010-12-01 08:26-0130"], moment(2010, 12, 1, 9, 56)),
        (["2010/12/1"], moment(2010, 12, 1)),
        (["20101201"], moment(2010, 12, 1)),
        (["20101201T082630"], moment(2010, 12, 1, 8, 26, 30)),
        ([20101201], moment(2010, 12, 1)),
        ([20101201.0], moment(2010, 12, 1)),
        (["12/1/2010 8:26", "12/13/2010 8:26"], moment(2010, 12, 1, 8, 26)),
        (["1/12/2010 8:26", "13/12/2010"], moment(2010, 12, 1, 8, 26)),
        (["01.12.2010", "31.12.2010"], moment(2010, 12, 1)),
        (["12/1/10 8:26 PM", "12/13/10 8:26 AM"], moment(2010, 12, 1, 20, 26)),
        (["12/12/2010"], moment(2010, 12, 12)),
        (["1-Dec-2010"], moment(2010, 12, 1)),
        (["Dec 1, 2010 12:05 am"], moment(2010, 12, 1, 0, 5)),
        ([datetime(2010, 12, 1, 8)], moment(2010, 12, 1, 8)),
        ([datetime(2010, 12, 1, 8, tzinfo=UTC)], moment(2010, 12, 1, 8)),
        ([date(2010, 12, 1)], moment(2010, 12, 1)),
    ],
)
def test_times_are_read(written: list[Any], expected: datetime) -> None:
    assert read_moments(pl.Series("at", written)).at[0] == expected


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_typed_times_of_any_unit_are_read(unit: Any) -> None:
    written = pl.Series("at", [datetime(2010, 12, 1, 8)]).cast(pl.Datetime(unit, "Europe/Berlin"))
    assert read_moments(written).at[0] == moment(2010, 12, 1, 8)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2010-02-30", "unreadable_date"),
        ("2010-12-01 25:00", "unreadable_date"),
        ("12/12/2010", "unreadable_date"),
        ("", "unreadable_date"),
        ("1969-12-31", "date_out_of_range"),
        ("2101-01-01", "date_out_of_range"),
        ("0001-01-01", "date_out_of_range"),
        ("9999-12-31 23:59:59", "date_out_of_range"),
    ],
)
def test_a_row_without_a_believable_date_is_quarantined(written: str, reason: str) -> None:
    cleaned = clean({"ordered_at": ["2010-01-01", written]})
    assert cleaned.quarantine["reason"].to_list() == [reason]
    assert cleaned.quarantine["ordered_at"].to_list() == [written]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_absurd_typed_times_do_not_overflow(unit: Any) -> None:
    times = pl.Series("at", [2**63 - 1, -(2**63), 0], dtype=pl.Int64).cast(pl.Datetime(unit))
    read = read_moments(times)
    assert read.at.null_count() == read.out_of_range.sum() == 2


def test_the_years_1970_to_2100_are_believed() -> None:
    edges = [
        datetime(1969, 12, 31),
        datetime(1970, 1, 1),
        datetime(2100, 12, 31),
        datetime(2101, 1, 1),
    ]
    for written in (edges, [str(edge) for edge in edges], [edge.date() for edge in edges]):
        read = read_moments(pl.Series("at", written))
        assert read.out_of_range.to_list() == [True, False, False, True]


def test_a_date_format_is_used_alone() -> None:
    times = ["01/02/2010", "2010-02-01"]
    cleaned = clean({"ordered_at": times}, date_format="%d/%m/%Y")
    assert cleaned.lines["ordered_at"].to_list() == [moment(2010, 2, 1)]
    assert cleaned.date_reading == "%d/%m/%Y"
    fraction = clean({"ordered_at": ["1.2.10 1:02:03.5"]}, date_format="%d.%m.%y %H:%M:%S.%f")
    assert fraction.lines["ordered_at"].to_list() == [moment(2010, 2, 1, 1, 2, 3, 500000)]
    with pytest.raises(InputError, match=r"'%d.%m.%y' reads no date.*'01/02/2010'"):
        clean({"ordered_at": times}, date_format="%d.%m.%y")
    with pytest.raises(InputError, match=r"data.date_format '%H' is no date format"):
        clean({"ordered_at": times}, date_format="%H")


def test_arrivals_follow_the_reading_of_the_orders() -> None:
    cleaned = clean({"ordered_at": ["13/01/2010", "01/02/2010"], "arrived_at": ["", "03/02/2010"]})
    assert cleaned.lines["arrived_at"].to_list() == [moment(2010, 1, 13), moment(2010, 2, 3)]
    assert (cleaned.lines["known_day"] - cleaned.lines["event_day"]).to_list() == [0, 2]


def test_nothing_is_known_before_it_happened() -> None:
    cleaned = clean({"ordered_at": ["2010-01-05"], "arrived_at": ["2010-01-01"]})
    assert cleaned.lines.select(pl.col("known_day") - pl.col("event_day")).item() == 0


def test_an_unreadable_arrival_is_counted_and_taken_for_the_order() -> None:
    cleaned = clean({"arrived_at": ["2010-01-03", "soon"]})
    assert cleaned.counts["unreadable_arrivals"] == 1
    assert cleaned.lines["arrived_at"].to_list() == [moment(2010, 1, 3), moment(2010, 1, 1)]


# Money


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["12.50", "-3", "+4", ".5", "5.", "1e2"], [125000, -30000, 40000, 5000, 50000, 1000000]),
        (["1,234.50", "12.50"], [12345000, 125000]),
        (["1,234,567", "1"], [12345670000, 10000]),
        (["12,50", "1.234,50", "7"], [125000, 12345000, 70000]),
        (["12,50", "1,234"], [125000, 12340]),
        (["1,234", "999"], [12340000, 9990000]),
        (["1,234", "2345"], [None, 23450000]),
        (["£5.00", "£ 1,000.00"], [50000, 10000000]),
        (["5,00 €", "1.000,00 €"], [50000, 10000000]),
        (["EUR 5.00", "5 EUR"], [50000, 50000]),
        (["(5.00)", "5.00-", "−5"], [-50000, -50000, -50000]),
        (["1 234,50", "1\u00a0234,50", "0,10"], [12345000, 12345000, 1000]),
        (["1'234.50", "1"], [12345000, 10000]),
        (["0.00005", "-0.00005", "0.00004"], [1, -1, 0]),
        ([0.1 + 0.2, 1.005, 2.675], [3000, 10050, 26750]),
        (
            ["5", "NaN", "inf", "-inf", "", "free", "1.2.3", "0x10", "1_000", "٣"],
            [50000] + [None] * 9,
        ),
        (["1 2", "1-2", "--1", "()", "-", ".", ",", "1e", "1,23,4"], [None] * 9),
        ([None, 5], [None, 50000]),
        ([Decimal("12.34"), Decimal("0.01")], [123400, 100]),
    ],
)
def test_amounts_are_read_exactly(written: list[Any], expected: list[int | None]) -> None:
    assert read_numbers(pl.Series("amount", written)).to_e4().to_list() == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("NaN", "unreadable_amount"),
        ("inf", "unreadable_amount"),
        ("", "unreadable_amount"),
        ("1e11", None),
        ("100000000000.0001", "absurd_amount"),
        ("-1e12", "absurd_amount"),
        ("1e300", "absurd_amount"),
        ("9" * 40, "absurd_amount"),
    ],
)
def test_an_unusable_amount_is_quarantined(written: str, reason: str | None) -> None:
    cleaned = clean({"amount": ["1", written]})
    assert cleaned.quarantine["reason"].to_list() == ([reason] if reason else [])


DECIMALS = st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False, places=5)


def to_e4(exact: Decimal) -> int:
    ten = exact.quantize(Decimal("1e-10"), ROUND_HALF_EVEN)
    return int(ten.scaleb(4).quantize(Decimal(1), ROUND_HALF_UP))


@QUICK
@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_an_amount_is_rounded_half_away_from_zero(numbers: list[Decimal]) -> None:
    texts = pl.Series("amount", [f"{number:f}" for number in numbers])
    assert read_numbers(texts).to_e4().to_list() == [to_e4(number) for number in numbers]


@QUICK
@given(st.lists(st.tuples(DECIMALS, DECIMALS), min_size=1, max_size=20), st.booleans())
def test_quantity_times_price_is_exact(
    factors: list[tuple[Decimal, Decimal]], as_floats: bool
) -> None:
    factors = [*factors, (Decimal(3), Decimal("0.85"))]
    kind = float if as_floats else lambda number: f"{number:f}"
    cleaned = clean(
        {
            "quantity": [kind(quantity) for quantity, _ in factors],
            "unit_price": [kind(price) for _, price in factors],
        }
    )
    products = [to_e4(quantity * price) for quantity, price in factors]
    believable = [e4 for e4 in products if abs(e4) <= 10**15]
    assert cleaned.lines["amount_e4"].to_list() == believable
    assert cleaned.counts["absurd_amount"] == len(products) - len(believable)


def test_a_product_beyond_128_bits_does_not_come_round_to_nothing() -> None:
    # Its square in units of 1e-20 is 2**128.
    factor = "1844674407.3709551616"
    cleaned = clean({"quantity": [factor, "1"], "unit_price": [factor, "1"]})
    assert cleaned.quarantine["reason"].to_list() == ["absurd_amount"]


def test_a_mapped_amount_wins_over_quantity_and_price() -> None:
    columns = {"quantity": ["3"], "unit_price": ["0.85"], "paid": ["2"], "amount": ["9"]}
    amounts = {
        "paid": {"amount": "paid", "quantity": "quantity", "unit_price": "unit_price"},
        "product": {"quantity": "quantity", "unit_price": "unit_price"},
        "named": {},
    }
    read = {
        name: clean(columns, mapping).lines["amount_e4"].to_list()
        for name, mapping in amounts.items()
    }
    assert read == {"paid": [20000], "product": [25500], "named": [90000]}


def test_optional_columns_are_read_where_they_are() -> None:
    cleaned = clean(
        {
            "order_id": ["7.0", ""],
            "quantity": ["2", "some"],
            "discount": ["0.10", "x"],
            "cost": ["", "1e30"],
            "category": [" post ", "None"],
            "channel": ["web", ""],
        }
    )
    picked = cleaned.lines.select(
        "order_key", "quantity", "discount_e4", "cost_e4", "category", "channel", "is_product"
    )
    assert picked.rows() == [
        ("7", 2.0, 1000, None, "post", "web", False),
        ("@2010-01-01T00:00:00.000000", None, None, None, None, None, True),
    ]
    assert cleaned.counts["unreadable_quantity"] == 1
    assert cleaned.counts["unreadable_discount"] == 1
    assert cleaned.counts["unreadable_cost"] == 1
    assert list(cleaned.lines.columns) == list(LINE_SCHEMA)


# Every row is accounted for

DIRTY = {
    "customer_id": ["1", "00123", "17850.0", "", "nan", "A", None, " 5 ", "99999999999999999999"],
    "ordered_at": ["2010-01-01", "2010-02-30", "13/01/2010", "20100102", "2010-01-01T08:00Z", ""],
    "amount": ["5", "-5", "0", "1,234.50", "12,50", "free", "1e12", "NaN", "$3", None, "9" * 50],
    "quantity": ["1", "", "x", "-2", "1e400"],
    "unit_price": ["0.85", "1e300", "free", "-1"],
    "discount": ["0.5", "inf"],
    "category": ["POST", "post", "85048", ""],
    "arrived_at": ["2010-01-03", "", "later"],
    "row": ["mine"],
    "reason": ["mine"],
}
TYPED = [
    *[pl.Series([1, None, -3], dtype=kind) for kind in (pl.Int8, pl.Int64, pl.Int128)],
    *[pl.Series([1.5, float("nan"), None], dtype=kind) for kind in (pl.Float32, pl.Float64)],
    pl.Series([2**64 - 1, 0, 20100101], dtype=pl.UInt64),
    pl.Series([True, None, False]),
    pl.Series([b"\xff", b"1", None]),
    pl.Series([[1], [], None]),
    pl.Series([{"a": 1}, {"a": None}, None]),
    pl.Series([date(2010, 1, 1), date(9999, 1, 1), None]),
    pl.Series([datetime(2010, 1, 1), datetime(1, 1, 1), None]),
    pl.Series([timedelta(1), None, timedelta(2)]),
    pl.Series([datetime(2010, 1, 1).time(), None, None]),
    pl.Series(["1", "2010-01-01", "x"], dtype=pl.Categorical),
    pl.Series([None, None, None], dtype=pl.Null),
    pl.Series([Decimal("1.5"), None, Decimal("-2")]),
]


@st.composite
def dirty_frames(draw: st.DrawFn) -> pl.DataFrame:
    height = draw(st.integers(1, 12))
    required = ["customer_id", "ordered_at", "amount"]
    optional = draw(st.sets(st.sampled_from([name for name in DIRTY if name not in required])))
    columns = {}
    for name in [*required, *sorted(optional)]:
        cell = st.sampled_from(DIRTY[name]) | TEXTS
        columns[name] = pl.Series(
            draw(st.lists(cell, min_size=height, max_size=height)), dtype=pl.String
        )
    return pl.DataFrame(columns)


def check_accounts(raw: pl.DataFrame, cleaned: CleanedOrders) -> None:
    counts = cleaned.counts
    assert counts["rows_in"] == raw.height == counts["kept"] + counts["quarantined"]
    assert counts["kept"] == cleaned.lines.height
    assert counts["quarantined"] == cleaned.quarantine.height == sum(counts[r] for r in REASONS)
    assert cleaned.quarantine["row"].is_between(1, raw.height).all()
    assert cleaned.quarantine["row"].is_unique().all()
    assert cleaned.quarantine.width == raw.width + 2
    schema = {name: kind for name, kind in cleaned.lines.schema.items() if name != "customer_id"}
    assert schema == {name: kind for name, kind in LINE_SCHEMA.items() if name != "customer_id"}
    optional = ["quantity", "discount_e4", "cost_e4", "category", "channel"]
    assert cleaned.lines.drop(optional).null_count().sum_horizontal().item() == 0
    assert not cleaned.lines["quantity"].is_nan().any()


@settings(max_examples=150, deadline=None)
@given(dirty_frames())
def test_every_dirty_row_is_kept_or_quarantined(raw: pl.DataFrame) -> None:
    try:
        cleaned = clean_orders(raw, {}, DataSettings())
    except InputError as refusal:
        assert str(refusal)
        return
    check_accounts(raw, cleaned)


@pytest.mark.parametrize(
    "column", ["customer_id", "ordered_at", "amount", "category", "arrived_at"]
)
@pytest.mark.parametrize("typed", TYPED, ids=lambda series: str(series.dtype))
def test_columns_of_any_type_are_read_or_refused(column: str, typed: pl.Series) -> None:
    raw = pl.DataFrame(
        {"customer_id": [1, 2, 3], "ordered_at": [date(2010, 1, 1)] * 3, "amount": 1}
    )
    raw = raw.with_columns(typed.alias(column), typed.alias("untouched"))
    try:
        cleaned = clean_orders(raw, {}, DataSettings())
    except InputError:
        return
    check_accounts(raw, cleaned)


def test_a_row_longer_than_the_header_is_quarantined(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN + "3,2010-01-03,1,000.00\n4,2010-01-04,1\n")
    cleaned = clean_orders(read_raw(file), {}, DataSettings())
    assert cleaned.quarantine.select("row", "reason").rows() == [(3, "too_many_fields")]
    assert cleaned.lines.height == 3


def test_what_is_notable_is_counted() -> None:
    cleaned = clean(
        {
            "amount": ["5", "5", "-5", "0", "1"],
            "category": ["a", "a", "a", "a", "POST"],
            "ordered_at": ["2010-01-01"] * 4 + ["2010-02-01T00:00Z"],
        },
        observed_until=date(2010, 1, 31),
    )
    notable = {
        "returns": 1,
        "zero_amount": 1,
        "non_product": 1,
        "duplicate_lines": 1,
        "after_observed_until": 1,
        "times_without_zone": 4,
    }
    assert {name: cleaned.counts[name] for name in notable} == notable


# The ledger


def frames_to_files(folder: Path, frames: list[pl.DataFrame]) -> list[Path]:
    files = []
    for place, frame in enumerate(frames):
        file = folder / f"export{place}.parquet"
        frame.write_parquet(file)
        files.append(file)
    return files


@st.composite
def exports(draw: st.DrawFn) -> list[pl.DataFrame]:
    """Two or three overlapping exports over so few values that lines repeat."""
    first = datetime(2010, 1, 1)
    line = st.tuples(
        st.sampled_from(["1", "2", "x"] if draw(st.booleans()) else ["1", "2"]),
        st.sampled_from([first, first + timedelta(days=1), first + timedelta(days=1, hours=1)]),
        st.sampled_from(["1", "2.5"]),
        st.sampled_from(["o1", "o2", None]),
        st.sampled_from([None, first + timedelta(days=2), first + timedelta(days=5)]),
        st.sampled_from([None, "POST", "a|b"]),
    )
    names = ["customer_id", "ordered_at", "amount", "order_id", "arrived_at", "category"]
    lists = st.lists(st.lists(line, min_size=1, max_size=6), min_size=2, max_size=3)
    kinds = {"ordered_at": pl.Datetime("us"), "arrived_at": pl.Datetime("us")}
    return [
        pl.DataFrame(
            rows, schema=[(name, kinds.get(name, pl.String)) for name in names], orient="row"
        )
        for rows in draw(lists)
    ]


@SLOW
@given(exports())
def test_overlapping_exports_merge_by_multiplicity(frames: list[pl.DataFrame]) -> None:
    cleaned = [clean_orders(frame, {}, DataSettings()).lines for frame in frames]
    merged, added = merge_exports(cleaned)
    wanted: Counter[tuple[Any, ...]] = Counter()
    arrivals: dict[tuple[Any, ...], list[datetime]] = {}
    for lines in cleaned:
        seen = by_identity(lines)
        wanted |= Counter({line: len(times) for line, times in seen.items()})
        for line, times in seen.items():
            # The first copy of one export is the first copy of the other.
            pairs = zip_longest(arrivals.get(line, []), times, fillvalue=FAR)
            arrivals[line] = [min(pair) for pair in pairs]
    found = by_identity(merged)
    assert Counter({line: len(times) for line, times in found.items()}) == wanted
    assert found == arrivals
    assert sum(added) == merged.height


def test_copies_are_paired_by_arrival() -> None:
    twice = clean({"arrived_at": ["2010-01-05", "2010-01-02"]}).lines
    once = clean({"arrived_at": ["2010-01-03"]}).lines
    merged, added = merge_exports([twice, once])
    assert merged["arrived_at"].to_list() == [moment(2010, 1, 2), moment(2010, 1, 5)]
    assert merged["known_day"].to_list() == [14611, 14614]
    assert added == [2, 0]


FAR = datetime(9999, 1, 1, tzinfo=UTC)


def by_identity(lines: pl.DataFrame) -> dict[tuple[Any, ...], list[datetime]]:
    as_text = lines.cast({"customer_id": pl.String}).sort("arrived_at")
    found: dict[tuple[Any, ...], list[datetime]] = {}
    for *line, arrived in as_text.select(*IDENTITY, "arrived_at").rows():
        found.setdefault(tuple(line), []).append(arrived)
    return found


@SLOW
@given(exports(), st.randoms(use_true_random=False))
def test_the_ledger_depends_on_no_order(frames: list[pl.DataFrame], random: Any) -> None:
    with scratch() as folder:
        shuffled = [f.sample(fraction=1, shuffle=True, seed=random.randrange(99)) for f in frames]
        random.shuffle(shuffled)
        ledgers = []
        for name, order in (("one", frames), ("other", shuffled)):
            ledger = Ledger(Workspace(folder / name))
            for place, frame in enumerate(order):
                digest = hashlib.sha256(f"{name}{place}".encode()).hexdigest()
                ledger.add_export(Path(f"{place}.csv"), frame, digest, {}, DataSettings())
            ledgers.append(ledger)
        one, other = ledgers
        assert one.orders_path.read_bytes() == other.orders_path.read_bytes()
        assert one.days_path.read_bytes() == other.days_path.read_bytes()
        assert one.manifest()["totals"] == other.manifest()["totals"]
        assert one.manifest()["ledger"] == other.manifest()["ledger"]
        assert one.fingerprint(date(2010, 1, 2)) == other.fingerprint(date(2010, 1, 2))
        check_sums(one)
        check_sums(other)


def check_sums(ledger: Ledger) -> None:
    manifest = ledger.manifest()
    kept = 0
    for export in manifest["exports"]:
        counts = export["counts"]
        assert counts["rows_in"] == counts["kept"] + counts["merged"] + counts["quarantined"]
        kept += counts["kept"]
    lines = pl.read_parquet(ledger.orders_path)
    days = pl.read_parquet(ledger.days_path)
    assert kept == lines.height == manifest["totals"]["lines"] == days["lines"].sum()
    assert days.equals(daily_digests(lines))


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN + ",2010-01-01,3\n")
    first = ingest(workspace, file)
    before = tree(workspace.root)
    again = ingest(workspace, write(tmp_path / "elsewhere", file.read_bytes(), "copy.csv"))
    assert tree(workspace.root) == before
    assert (first.changed, again.changed) == (True, False)
    assert (first.counts["kept"], first.counts["merged"]) == (2, 0)
    assert (again.counts["kept"], again.counts["merged"], again.counts["quarantined"]) == (0, 2, 1)
    assert "nothing changed" in again.sentences()[0]


def test_an_overlap_is_counted_as_merged(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    report = ingest(workspace, write(tmp_path, PLAIN + "2,2010-01-02,7.50\n", "more.csv"))
    assert (report.counts["kept"], report.counts["merged"]) == (1, 2)
    assert report.totals["lines"] == 3
    assert "3 lines read from more.csv: 1 kept, 2 already there, 0 quarantined." in " ".join(
        report.sentences()
    )


def test_another_mapping_replaces_the_former_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, "customer_id,ordered_at,net,gross\nA,2010-01-01,1,2\n")
    ingest(workspace, file, {"amount": "net"})
    report = ingest(workspace, file, {"amount": "gross"})
    ledger = Ledger(workspace)
    assert report.replaced and report.changed
    assert pl.read_parquet(ledger.orders_path)["amount_e4"].to_list() == [20000]
    assert len(ledger.manifest()["exports"]) == 1
    assert len(list((workspace.data / "exports").iterdir())) == 1
    assert len(list((workspace.data / "quarantine").iterdir())) == 1
    check_sums(ledger)


def test_a_changed_setting_is_a_new_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, "customer_id,ordered_at,amount,category\n1,2010-01-01,1,gift wrap\n")
    other = write(
        tmp_path, "customer_id,ordered_at,amount,category\n2,2010-01-01,1,Gift Wrap\n", "b"
    )
    ingest(workspace, file)
    ingest(workspace, other)
    assert ingest(workspace, file, non_product_categories=["GIFT WRAP"]).changed
    assert not pl.read_parquet(Ledger(workspace).orders_path)["is_product"].any()
    check_sums(Ledger(workspace))


def test_another_date_format_is_a_new_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, "customer_id,ordered_at,amount\n1,01/02/2010,1\n")
    ingest(workspace, file, date_format="%d/%m/%Y")
    report = ingest(workspace, file, date_format="%m/%d/%Y")
    assert report.changed and report.replaced
    assert Ledger(workspace).first_day == Ledger(workspace).last_day == date(2010, 1, 2)


def test_one_text_id_makes_all_ids_text(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    ledger = Ledger(workspace)
    before = ledger.fingerprint(date(2010, 1, 31))
    assert ledger.customer_id_type == "integer"
    text = write(tmp_path, "customer_id,ordered_at,amount\n007,2010-02-01,1\n", "text.csv")
    ingest(workspace, text)
    assert ledger.customer_id_type == "text"
    assert pl.read_parquet(ledger.orders_path)["customer_id"].to_list() == ["007", "1", "2"]
    assert ledger.fingerprint(date(2010, 1, 31)) == before


def test_the_fingerprint_ignores_the_future_and_nothing_else(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    header = "customer_id,ordered_at,amount,arrived_at\n"
    ingest(workspace, write(tmp_path, header + "1,2010-01-01,5,2010-01-01\n"))
    ledger = Ledger(workspace)
    prints = {day: ledger.fingerprint(date(2010, 1, day)) for day in (1, 2, 5, 31)}
    assert prints[1] == prints[31]
    assert ledger.fingerprint(date(2009, 12, 31)) != prints[1]
    late = write(tmp_path, header + "1,2010-01-02,5,2010-01-05\n", "late.csv")
    ingest(workspace, late)
    after = {day: ledger.fingerprint(date(2010, 1, day)) for day in prints}
    assert (after[1], after[2]) == (prints[1], prints[2])
    assert after[5] != prints[5]


def test_the_fingerprint_counts_copies_and_keeps_columns_apart() -> None:
    def digests(*rows: tuple[str | None, str | None]) -> list[str]:
        categories, channels = zip(*rows, strict=True)
        lines = clean({"category": list(categories), "channel": list(channels)}).lines
        return daily_digests(lines)["digest"].to_list()

    contents = [
        [("a", "b")],
        [("a", "b"), ("a", "b")],
        [("ab", None)],
        [(None, "ab")],
        [("a|1:b", None)],
        [("a", "1:b")],
        [("x", "y|-")],
        [("x|y", None)],
    ]
    found = [tuple(digests(*rows)) for rows in contents]  # type: ignore[arg-type]
    assert len(set(found)) == len(contents)
    assert digests(("a", "b"), ("c", "d")) == digests(("c", "d"), ("a", "b"))


def test_the_digest_is_the_same_in_every_version() -> None:
    lines = clean({"quantity": ["3"], "category": ["é"]}).lines
    assert daily_digests(lines).rows() == [
        (14610, 1, "ec471dee0df6eabded62526101e3a7a82af15bacbc180d42990f7ab4000a31ee")
    ]


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    ledger = Ledger(Workspace(tmp_path / "shop"))
    for ask in (
        ledger.manifest,
        lambda: ledger.orders_path,
        lambda: ledger.first_day,
        lambda: ledger.fingerprint(date(2010, 1, 1)),
    ):
        with pytest.raises(WorkspaceError, match="run `lifecycle ingest"):
            ask()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ("[]", "is damaged"), ('{"format": 99}', "has format 99")],
)
def test_a_damaged_manifest_is_refused(content: str, message: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN)
    ingest(workspace, file)
    (workspace.data / "manifest.json").write_text(content)
    with pytest.raises(WorkspaceError, match=message):
        Ledger(workspace).manifest()
    with pytest.raises(WorkspaceError, match=message):
        ingest(workspace, file)


def test_a_lost_file_is_named_or_made_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN)
    ingest(workspace, file)
    ledger = Ledger(workspace)
    shutil.rmtree(ledger.orders_path.parent)
    with pytest.raises(WorkspaceError, match=r"orders.parquet is missing; ingest the orders again"):
        ledger.orders_path  # noqa: B018
    assert ingest(workspace, file).changed
    check_sums(ledger)
    next((workspace.data / "exports").iterdir()).write_bytes(b"PAR1 no more")
    with pytest.raises(WorkspaceError, match="missing or damaged"):
        ingest(workspace, write(tmp_path, PLAIN + "3,2010-01-01,1\n", "b.csv"))


@pytest.mark.parametrize("survived", range(5))
def test_a_killed_ingest_leaves_the_former_ledger(
    survived: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    ledger = Ledger(workspace)
    former = (ledger.manifest(), ledger.fingerprint(date(2011, 1, 1)))
    writes = 0

    def dying(function: Any) -> Any:
        def write_or_die(*arguments: Any) -> None:
            nonlocal writes
            if writes == survived:
                raise KeyboardInterrupt
            writes += 1
            function(*arguments)

        return write_or_die

    more = write(tmp_path, PLAIN + "3,2010-01-01,1\n", "more.csv")
    with monkeypatch.context() as patched:
        patched.setattr(
            features.ingest.ledger, "_write_parquet", dying(features.ingest.ledger._write_parquet)
        )
        patched.setattr(
            features.ingest.ledger, "write_json", dying(features.ingest.ledger.write_json)
        )
        with pytest.raises(KeyboardInterrupt):
            ingest(workspace, more)
    assert (ledger.manifest(), ledger.fingerprint(date(2011, 1, 1))) == former
    check_sums(ledger)
    assert ingest(workspace, more).counts["kept"] == 1
    check_sums(ledger)
    assert len(list(workspace.data.iterdir())) == 4
    assert not list(workspace.data.rglob(".*"))


def test_the_report_is_plain_and_holds_no_path(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN + ",2010-01-01,5\n4,2010-01-05,-1\n4,13/01/2010,1\n")
    report = ingest(workspace, file)
    assert report.sentences() == [
        "5 lines read from orders.csv: 3 kept, 0 already there, 2 quarantined "
        "(1 no customer, 1 unreadable date).",
        "Dates were read as year-month-day.",
        "Among the readable lines, returns (negative amounts): 1; "
        "times without a zone (taken for UTC): 3.",
        "The ledger holds 3 lines in 3 orders of 3 customers, from 2010-01-01 to 2010-01-05; "
        "customer ids are integer.",
    ]
    assert report.to_dict()["counts"]["no_customer"] == 1
    assert str(tmp_path) not in (workspace.data / "manifest.json").read_text()


# Real data


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, IngestReport]:
    if not ONLINE_RETAIL.is_file():
        pytest.skip(f"{ONLINE_RETAIL.name} is not beside the repository")
    workspace = Workspace(tmp_path_factory.mktemp("retail"))
    report = ingest(workspace, ONLINE_RETAIL, ONLINE_RETAIL_MAPPING)
    return Ledger(workspace), report


def test_online_retail_gives_the_published_counts(retail: tuple[Ledger, IngestReport]) -> None:
    ledger, report = retail
    expected = {
        "rows_in": 619_888,
        "kept": 480_912,
        "merged": 0,
        "quarantined": 138_976,
        "no_customer": 138_976,
    }
    assert {name: report.counts[name] for name in expected} == expected
    assert report.totals["customers"] == 4_667
    assert (ledger.first_day, ledger.last_day) == (date(2009, 12, 1), date(2011, 3, 10))
    cancelled = pl.read_parquet(ledger.orders_path)["order_key"].str.starts_with("C").sum()
    set_aside = pl.read_parquet(next((ledger.workspace.data / "quarantine").iterdir()))
    assert cancelled + set_aside["Invoice"].str.starts_with("C").sum() == 12_019
    check_sums(ledger)


def test_online_retail_money_equals_an_independent_sum(
    retail: tuple[Ledger, IngestReport],
) -> None:
    ledger, report = retail
    raw = pd.read_parquet(ONLINE_RETAIL).dropna(subset=["Customer ID"])
    # Prices have at most three decimals, so thousandths are exact integers.
    thousandths = (raw["Price"] * 1000).round().astype("int64")
    raw["e4"] = raw["Quantity"] * thousandths * 10
    by_customer = raw.groupby("Customer ID")["e4"].sum()
    lines = pl.read_parquet(ledger.orders_path)
    ours = lines.group_by("customer_id").agg(pl.sum("amount_e4")).sort("customer_id")
    assert ours["customer_id"].to_list() == [int(customer) for customer in by_customer.index]
    assert ours["amount_e4"].to_list() == by_customer.to_list()
    assert report.counts["returns"] == int((raw["e4"] < 0).sum())
    orders = raw[["Customer ID", "Invoice"]].drop_duplicates()
    assert report.totals["orders"] == len(orders)
