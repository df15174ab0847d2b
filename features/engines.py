"""The engines under the one definition: Polars, DuckDB, and Spark for a cluster.

An engine opens tables as narwhals frames and collects what was asked for; no definition knows
which one it runs on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import narwhals as nw
import pyarrow as pa

from features.definitions.expressions import Frame
from features.errors import InputError

EngineName = Literal["polars", "duckdb", "spark"]


class Engine(Protocol):
    """What a definition runs on."""

    name: EngineName
    in_parts: bool
    """Whether a large shop is better computed some customers at a time."""

    def scan(self, path: Path) -> Frame:
        """Open a Parquet file."""
        ...

    def frame(self, table: pa.Table) -> Frame:
        """Open a table in memory."""
        ...

    def collect(self, frame: Frame) -> pa.Table:
        """Compute a frame."""
        ...

    def keep(self, frame: Frame) -> Frame:
        """Compute a frame once for several uses."""
        ...


def engine_version(name: EngineName) -> str:
    """Tell the version of an engine's package, which is part of a snapshot's key."""
    return version("pyspark" if name == "spark" else name)


@contextmanager
def engine(name: EngineName) -> Iterator[Engine]:
    """Open an engine; only the one that is asked for is imported.

    Raises
    ------
    InputError
        The engine is an extra that is not installed.
    """
    if name == "polars":
        yield _Polars()
    elif name == "duckdb":
        import duckdb  # noqa: PLC0415

        with duckdb.connect() as connection:
            yield _DuckDB(connection)
    else:
        yield _spark()


class _Polars:
    name: EngineName = "polars"
    in_parts = True

    def __init__(self) -> None:
        import polars as pl  # noqa: PLC0415

        self._pl = pl

    def scan(self, path: Path) -> Frame:
        return nw.from_native(self._pl.scan_parquet(path))

    def frame(self, table: pa.Table) -> Frame:
        return nw.from_native(self._pl.DataFrame(self._pl.from_arrow(table)).lazy())

    def collect(self, frame: Frame) -> pa.Table:
        collected = frame.to_native().collect(engine="streaming")
        return collected.to_arrow(compat_level=self._pl.CompatLevel.oldest())

    def keep(self, frame: Frame) -> Frame:
        kept: Frame = nw.from_native(frame.to_native().collect(engine="streaming").lazy())
        return kept


class _DuckDB:
    name: EngineName = "duckdb"
    in_parts = True

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - DuckDB has its own stubs
        self._connection = connection

    def scan(self, path: Path) -> Frame:
        frame: Frame = nw.from_native(self._connection.read_parquet(str(path)))
        return frame

    def frame(self, table: pa.Table) -> Frame:
        frame: Frame = nw.from_native(self._connection.from_arrow(table))
        return frame

    def collect(self, frame: Frame) -> pa.Table:
        return frame.collect("pyarrow").to_native()

    def keep(self, frame: Frame) -> Frame:
        return self.frame(self.collect(frame))


class _Spark:
    name: EngineName = "spark"
    in_parts = False

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - pyspark is an extra
        self._session = session

    def scan(self, path: Path) -> Frame:
        frame: Frame = nw.from_native(self._session.read.parquet(str(path)))
        return frame

    def frame(self, table: pa.Table) -> Frame:
        frame: Frame = nw.from_native(self._session.createDataFrame(table))
        return frame

    def collect(self, frame: Frame) -> pa.Table:
        table: pa.Table = frame.to_native().toArrow()
        return table

    def keep(self, frame: Frame) -> Frame:
        kept: Frame = nw.from_native(frame.to_native().cache())
        return kept


def _spark() -> _Spark:
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "features.engine = spark needs PySpark, which is not installed; run "
            "`scripts/install spark` (and have Java 17 or later), or choose polars or duckdb"
        ) from None
    # Workers must run this very Python, whatever `python3` is on their path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = (
        SparkSession.builder.appName("lifecycle")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        # Whole numbers must not wrap around in silence.
        .config("spark.sql.ansi.enabled", "true")
        .getOrCreate()
    )
    return _Spark(session)
