"""Read a file as it is: text stays text, so that nothing is lost before cleaning."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

import polars as pl

from features.errors import InputError

SURPLUS_COLUMN = "(beyond the header)"
"""Extra column, present only where rows have more fields than the header; holds the first one."""

SEPARATORS = (",", ";", "\t", "|")

_PARQUET_MAGIC = b"PAR1"
_OTHER_MAGIC = {
    b"PK\x03\x04": "an Excel or zip file; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as CSV",
    b"\x1f\x8b": "compressed with gzip; uncompress it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; uncompress it first",
    b"BZh": "compressed with bzip2; uncompress it first",
    b"%PDF": "a PDF; export the table as CSV",
    b"SQLite format 3": "a SQLite database; export the table as CSV",
    b"PARE": "an encrypted Parquet file; save it without encryption",
    b"ARROW1": "an Arrow file; save it as Parquet",
    b"ORC": "an ORC file; save it as Parquet",
    b"Obj\x01": "an Avro file; save it as Parquet",
}
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+")
_END = "\x1eend\x1e"
_SAMPLE = 65_536
_ROWS_AT_ONCE = 50_000


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    """
    _check_is_file(path)
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {_reason(error)}; check its permissions"
        ) from None


def read_raw(path: Path) -> pl.DataFrame:
    """Read CSV, TSV or text (every column as String), or Parquet (with its types).

    What a file is, its first bytes say, not its extension. In text, the separator (``,`` ``;`` tab
    or ``|``) is the one that splits the header into the most names; the encoding is UTF-8, UTF-16
    with its mark, or else Windows-1252. Blank lines are no rows; short rows end in nulls; rows that
    are longer than the header keep the first surplus field in ``SURPLUS_COLUMN``, so that cleaning
    can set them aside.

    Raises
    ------
    InputError
        The file is missing, a folder, empty, without rows, not what it claims to be, damaged, or
        names two columns alike; the message names the file and what to do.
    """
    _check_is_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {_reason(error)}; check its permissions"
        ) from None
    if not content.strip():
        raise InputError(f"{path} is empty; export it again")
    if content.startswith(_PARQUET_MAGIC):
        return _read_parquet(path, content)
    return _read_text(path, _as_utf8(path, content))


def _check_is_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name one CSV or Parquet file")
        if path.is_file():
            return
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no usable file name: {error}; name a file") from None
    if exists:
        raise InputError(f"{path} is not a regular file; name one CSV or Parquet file")
    raise InputError(f"{path} does not exist; check its path")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _read_parquet(path: Path, content: bytes) -> pl.DataFrame:
    # Arrow, because a damaged page makes Polars' own reader abort the process.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        # In this thread alone: Arrow's own threads can outlive a short process and abort it.
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        table = file.read(use_threads=False)
        table.validate(full=True)
        # Without the metadata, in which a letter that is no UTF-8 makes Polars panic.
        bare = pa.Table.from_arrays(table.columns, names=table.schema.names)
        frame = pl.DataFrame(pl.from_arrow(bare))
    except pl.exceptions.DuplicateError:
        raise InputError(f"{path} names two columns alike; rename one of them") from None
    # What Polars cannot take over makes it panic, which is no Exception.
    except (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        OSError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"{path} is a damaged or truncated Parquet file ({_first_line(error)}); "
            "copy or export it again"
        ) from None
    names = [name.strip() for name in frame.columns]
    _check_names(path, names)
    if frame.height == 0:
        raise InputError(f"{path} has columns but no rows; export it again")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def _as_utf8(path: Path, content: bytes) -> bytes:
    """Give the text in UTF-8 with plain line ends, whatever it was written in."""
    marked = [e for mark, e in _BYTE_ORDER_MARKS.items() if content.startswith(mark)]
    if marked or b"\0" not in content:
        try:
            text: str | None = content.decode(marked[0] if marked else "utf-8")
        except UnicodeDecodeError as error:
            text = None if marked else _by_windows_1252(path, content, error.start)
        if text is not None and not _looks_binary(text):
            # Encoding again would cost a second copy of a large file for nothing.
            same = content if not marked and text.isascii() else text.encode()
            return same.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    what = [what for magic, what in _OTHER_MAGIC.items() if content.startswith(magic)]
    raise InputError(
        f"{path} is {what[0]}"
        if what
        else f"{path} is neither Parquet nor readable text; save it as CSV in UTF-8, or as Parquet"
    )


def _by_windows_1252(path: Path, content: bytes, first_misfit: int) -> str | None:
    # Where letters before the misfit are good UTF-8, all of them would be garbled for one byte.
    if not content[:first_misfit].isascii():
        line = content.count(b"\n", 0, first_misfit) + 1
        raise InputError(
            f"{path} has good UTF-8 up to a damaged letter in line {line}; "
            "mend it there, or export it again"
        )
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        return None


def _looks_binary(text: str) -> bool:
    # A control-Z ends files of old editors.
    sample = text[:_SAMPLE].rstrip("\x1a")
    return len(_CONTROL.findall(sample)) > len(sample) / 100


def _read_text(path: Path, text: bytes) -> pl.DataFrame:
    text = text.strip(b"\n\x1a")
    declared = re.match(rb"sep=([,;\t|])\n+", text, re.IGNORECASE)
    if declared:
        text = text[declared.end() :]
    if not text.strip():
        raise InputError(f"{path} is empty; export it again")
    separator = declared[1].decode() if declared else _separator(path, text)
    names, start = _header(path, text, separator)
    body = _BLANK_LINES.sub(b"\n", text[start:]).lstrip(b"\n")
    if not body.strip():
        raise InputError(f"{path} has a header but no rows; export it again")
    frame = _rows_by_polars(body, len(names), separator)
    if frame is None:
        frame = _rows_by_csv_module(path, body, len(names), separator)
    _check_no_row_swallowed(path, frame, separator)
    frame.columns = [*names, SURPLUS_COLUMN]
    frame = frame.select(pl.when(pl.all() != "").then(pl.all()))
    # A blank surplus field comes from a separator at the line's end and says nothing.
    if (frame[SURPLUS_COLUMN].drop_nulls().str.strip_chars() == "").all():
        return frame.drop(SURPLUS_COLUMN)
    return frame


def _separator(path: Path, text: bytes) -> str:
    names = {s: len(_first_record(text, s)[0]) for s in SEPARATORS}
    best = max(SEPARATORS, key=names.__getitem__)
    if names[best] < 2:
        first = text[:_SAMPLE].split(b"\n", 1)[0].decode(errors="replace").strip()[:60]
        raise InputError(
            f"{path} has no comma, semicolon, tab or | in its header {first!r}; "
            "export the table as CSV with a header line"
        )
    return best


def _header(path: Path, text: bytes, separator: str) -> tuple[list[str], int]:
    """Give the names and where the rows start."""
    record, start = _first_record(text, separator)
    if start == len(text) and any("\n" in name for name in record):
        raise InputError(f"{path} opens a quote in its header that never closes; mend it there")
    names = [name.strip().strip("\ufeff") for name in record]
    if _CONTROL.search("".join(names)):
        raise InputError(
            f"{path} has control characters in its header; save it as CSV in UTF-8, or as Parquet"
        )
    named = [name or f"column_{place}" for place, name in enumerate(names, start=1)]
    _check_names(path, named)
    return named, start


def _check_names(path: Path, names: list[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(f"{path} has more than one column named {twice[0]!r}; rename or drop one")
    if SURPLUS_COLUMN in names:
        raise InputError(f"{path} has a column named {SURPLUS_COLUMN!r}; rename it")


def _first_record(text: bytes, separator: str) -> tuple[list[str], int]:
    """Read the first record, which spans lines where a name is quoted, and say where it ends."""
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        for line in io.BytesIO(text):
            read += len(line)
            yield line.decode()

    try:
        return next(csv.reader(lines(), delimiter=separator), []), read
    except csv.Error:
        return [], read


def _rows_by_polars(body: bytes, columns: int, separator: str) -> pl.DataFrame | None:
    """Read the rows fast, or say None where only the careful reader gets the quotes right."""
    has_quotes = b'"' in body
    if has_quotes and not _quotes_are_regular(body, separator):
        return None
    places = separator.join(_places(columns))
    try:
        return pl.read_csv(
            b"%b\n%b" % (places.encode(), body),
            separator=separator,
            quote_char='"' if has_quotes else None,
            infer_schema=False,
            truncate_ragged_lines=True,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def _places(columns: int) -> list[str]:
    return [f"c{place}" for place in range(columns + 1)]


def _quotes_are_regular(body: bytes, separator: str) -> bool:
    """Whether each quote encloses a whole field or is doubled inside one.

    Polars takes every quote for an opening or a closing one, so that an inch sign in a name would
    make it swallow the rows up to the next.
    """
    outside = rb"[^%b\n]" % re.escape(separator).encode()
    field = rb'(?<!%b)"[^"]*+(?:""[^"]*+)*+"(?!%b)' % (outside, outside)
    return b'"' not in re.sub(field, b"", body)


def _rows_by_csv_module(path: Path, body: bytes, columns: int, separator: str) -> pl.DataFrame:
    text = io.StringIO(f"{body.decode()}\n{_END}\n", newline="")
    reader = csv.reader(text, delimiter=separator)
    rows = (row[: columns + 1] for row in reader if len(row) > 1 or "".join(row).strip())
    fill: list[str | None] = [None] * (columns + 1)
    parts = []
    try:
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            # The filler row makes every column exist; it is cut off below, as the end mark is.
            table = dict(zip(_places(columns), zip_longest(fill, *some), strict=True))
            parts.append(pl.DataFrame(table, schema=dict.fromkeys(table, pl.String))[1:])
    except csv.Error as error:
        raise InputError(
            f"{path} cannot be read as CSV near line {reader.line_num + 1}: {error}; "
            "mend the quotes there or export it again"
        ) from None
    frame = pl.concat(parts)
    if frame["c0"][-1] != _END:
        raise InputError(
            f"{path} opens a quote that never closes, in data row {len(frame)}; "
            "mend the quotes there or export it again"
        )
    return frame[:-1]


def _check_no_row_swallowed(path: Path, frame: pl.DataFrame, separator: str) -> None:
    """Refuse a quoted field that holds whole rows: its quote was meant as a letter."""
    mark, others = re.escape(separator), frame.width - 2
    row = rf"(?:[^{mark}\n]*{mark}){{{others}}}[^{mark}\n]*\n"
    for column in frame.iter_columns():
        spanning = column.str.contains("\n", literal=True)
        if spanning.any() and (swallows := column.str.contains(rf"\n{row}{row}")).any():
            raise InputError(
                f"{path} has a quote in data row {(swallows.arg_max() or 0) + 1} that swallows the "
                "rows after it; mend the quotes there or export it again"
            )
