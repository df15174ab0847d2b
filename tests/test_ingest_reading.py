"""What a file is, its content says; what cannot be what it claims is refused, and why."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import (
    PLAIN,
    QUICK,
    SLOW,
    TEXTS,
    ingest,
    parquet_bytes,
    read_plain,
    scratch,
    tree,
    write,
)

from features.errors import InputError
from features.ingest.reading import file_digest, read_raw
from features.workspace import Workspace


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
