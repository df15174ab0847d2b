"""Who was erased, as keyed hashes: a list that names nobody, and keeps old files from naming them.

A hash is HMAC-SHA-256 of the id's text under a secret of this workspace alone, which stands in a
file of its own that only the owner reads. Whoever has the list and not the secret can test no id.

>>> import tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder:
...     forgotten = Forgotten(Workspace(Path(folder)))
...     forgotten.add(["7"], "request-1", date(2024, 5, 1))
...     before = forgotten.barred(pl.Series([7, 8])).to_list()
...     forgotten.lift(["7"], date(2024, 6, 1))
...     days = pl.Series([date(2024, 5, 31), date(2024, 6, 1)]).dt.epoch("d")
...     before, forgotten.barred(pl.Series(["7", "7"]), days).to_list()
([True, False], [True, False])
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from features.days import day_number
from features.errors import WorkspaceError
from features.workspace import Workspace, read_json, write_json

RULE = "forgotten"
"""What the rows of persons who were erased are counted under."""
FORMAT = 1
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Mark:
    """That somebody was erased.

    Attributes
    ----------
    request, on
        By which request, and on which day.
    since
        The day from which facts of them count again; None: none do.
    """

    request: str
    on: date
    since: date | None = None


class Forgotten:
    """The persons who were erased from a workspace; threads share it."""

    def __init__(self, workspace: Workspace) -> None:
        self._list = workspace.privacy / "forgotten.json"
        self._secret_file = workspace.privacy / "secret"
        self._read: tuple[tuple[int, int] | None, Mapping[str, Mark]] = (None, {})
        self._secret: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self._marks())

    def hash(self, customer: int | str) -> str:
        """Hash an id; an integer and its plain text are one customer."""
        return self.keyed(str(customer))

    def keyed(self, text: str) -> str:
        """Hash a text under the workspace's secret, which is made with the first."""
        if self._secret is None:
            self._secret = self._opened()
        return hmac.digest(self._secret, text.encode(), "sha256").hex()

    def find(self, customer: int | str) -> Mark | None:
        """Find when somebody was erased."""
        marks = self._marks()
        return marks.get(self.hash(customer)) if marks else None

    def holds(self, customer: int | str | None) -> bool:
        """Whether somebody was erased, and nothing of them is to be kept."""
        mark = None if customer is None else self.find(customer)
        return mark is not None and mark.since is None

    def barred(self, ids: pl.Series, days: pl.Series | None = None) -> pl.Series:
        """Tell which rows are of persons who were erased.

        Parameters
        ----------
        ids
            Of customers, Int64 or text; a null is nobody's.
        days
            On which each row's fact happened, in days since 1970-01-01; None, or a null: today.
        """
        marks = self._marks()
        found = {
            one: mark
            for one in (ids.unique().drop_nulls().to_list() if marks else [])
            if (mark := marks.get(self.hash(one))) is not None
        }
        if not found:
            return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(ids))
        since = [found[one].since for one in found]
        known = pl.DataFrame(
            {
                "id": pl.Series(list(found), dtype=ids.dtype),
                "since": pl.Series([day and day_number(day) for day in since], dtype=pl.Int64),
            }
        )
        rows = pl.DataFrame({"id": ids, "day": days if days is not None else [None] * len(ids)})
        old = (pl.col("day") < pl.col("since")).fill_null(value=False)
        return (
            rows.join(known.with_columns(erased=True), on="id", how="left", maintain_order="left")
            .select(pl.col("erased").fill_null(value=False) & (pl.col("since").is_null() | old))
            .to_series()
        )

    def add(self, customers: Collection[int | str], request: str, on: date) -> None:
        """Bar some persons from now on; who is barred already stays so under the former request."""
        marks = dict(self._marks())
        for customer in customers:
            key = self.hash(customer)
            if key not in marks or marks[key].since is not None:
                marks[key] = Mark(request, on)
        self._write(marks)

    def lift(self, customers: Collection[int | str], since: date) -> None:
        """Let facts of some persons count again, those from a day on; older ones stay barred."""
        marks = dict(self._marks())
        for customer in customers:
            key = self.hash(customer)
            if key in marks:
                marks[key] = Mark(marks[key].request, marks[key].on, since)
        self._write(marks)

    def _write(self, marks: Mapping[str, Mark]) -> None:
        persons = {
            key: {
                "request": mark.request,
                "on": mark.on.isoformat(),
                "since": mark.since.isoformat() if mark.since else None,
            }
            for key, mark in marks.items()
        }
        write_json(self._list, {"format": FORMAT, "persons": persons})

    def _marks(self) -> Mapping[str, Mark]:
        try:
            stat = self._list.stat()
        except FileNotFoundError:
            return {}
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if self._read[0] != stamp:
            self._read = (stamp, self._loaded())
        return self._read[1]

    def _loaded(self) -> Mapping[str, Mark]:
        if not self._secret_file.is_file():
            raise WorkspaceError(
                f"{self._secret_file} is missing, without which nobody who was erased is known; "
                "restore it from a backup of this workspace"
            )
        try:
            kept: dict[str, Any] = read_json(self._list)
            return {
                key: Mark(
                    one["request"],
                    date.fromisoformat(one["on"]),
                    date.fromisoformat(one["since"]) if one["since"] else None,
                )
                for key, one in kept["persons"].items()
            }
        except (ValueError, KeyError, TypeError):
            raise WorkspaceError(
                f"{self._list} is damaged; restore it from a backup of this workspace"
            ) from None

    def _opened(self) -> bytes:
        if not self._secret_file.exists():
            self._secret_file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._secret_file.with_name(f".secret.{secrets.token_hex(8)}")
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(_SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            # Of two that make it at once, the first one's stays.
            with suppress(FileExistsError):
                os.link(temporary, self._secret_file)
            temporary.unlink()
        return bytes.fromhex(self._secret_file.read_text(encoding="ascii"))
