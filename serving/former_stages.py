"""The stage that a customer had before: that of the newest scores of an earlier day.

Scores that were made to look at the past, as a report makes them, are passed over: nobody was told
them when their day was new, and looking must not change what is said next.

The rules of the stages can ask for it, so that nobody moves to and fro because a prediction does.
Batch and endpoint look it up alike, in the files of the batches' scores: no stage is kept in a
second place that could come to differ. An endpoint holds two days of them in memory, some 10 bytes
a customer and the text of the ids.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY, KeyType
from features.days import day_of
from features.errors import WorkspaceError
from features.scores import scores_folder
from features.snapshot_files import stored_key
from features.workspace import Workspace
from serving.score_files import looked_back
from training.stages import STAGES
from training.staging import NOT_BEFORE

Customer = int | str | None
_FEW = 16
"""Customers up to whom looking one up after the other is quicker than all at once."""
_OTHER_DAYS = 2
"""Days beside those of what is online that are held in memory."""
_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class DayStages:
    """The stages of one day's scores.

    Attributes
    ----------
    day
        Whose end they speak of.
    key
        The scores' key: it names all that they follow from.
    ids
        Sorted.
    codes
        Places in :data:`training.stages.STAGES`, int8, shape (n,).
    """

    day: date
    key: str
    ids: pl.Series
    codes: NDArray[np.int8]
    _in_turn: Any

    @classmethod
    def read(cls, path: Path) -> DayStages:
        """Read them out of the scores of a day.

        Raises
        ------
        WorkspaceError
            The file is damaged.
        """
        try:
            key = stored_key(path)
            rows = pl.read_parquet(path, columns=[JOIN_KEY, "lifecycle_stage"])
            codes = rows["lifecycle_stage"].cast(pl.Enum(STAGES)).to_physical().cast(pl.Int8)
        except (OSError, pl.exceptions.PolarsError, pa.ArrowInvalid) as error:
            raise WorkspaceError(
                f"the scores of {path.stem} cannot be read ({type(error).__name__}); run "
                f"`lifecycle score --as-of {path.stem}` again"
            ) from None
        rows = rows.select(JOIN_KEY, stage=codes).sort(JOIN_KEY)
        ids = rows[JOIN_KEY]
        in_turn = (
            _Texts(ids.to_arrow().cast(pa.large_string()))
            if ids.dtype == pl.String
            else ids.to_numpy()
        )
        return cls(date.fromisoformat(path.stem), key or "", ids, rows["stage"].to_numpy(), in_turn)

    def of(self, customers: Sequence[Customer]) -> NDArray[np.int8]:
        """Look some customers up; below zero where one is not among them."""
        wanted = [place for place, one in enumerate(customers) if self._names(one)]
        codes = np.full(len(customers), NOT_BEFORE, np.int8)
        if not wanted or not len(self.ids):
            return codes
        named = [customers[place] for place in wanted]
        if len(named) <= _FEW:
            for place, one in zip(wanted, named, strict=True):
                codes[place] = self._one(one)
            return codes
        asked = pl.Series(named, dtype=self.ids.dtype)
        found = self.ids.search_sorted(asked).to_numpy()
        there = np.minimum(found, len(self.ids) - 1)
        equal = (self.ids.gather(there) == asked).to_numpy()
        codes[wanted] = np.where(equal, self.codes[there], np.int8(NOT_BEFORE))
        return codes

    def _names(self, customer: Customer) -> bool:
        return isinstance(customer, str if self.ids.dtype == pl.String else int)

    def _one(self, customer: Any) -> int:  # noqa: ANN401 - of the ids' type
        place = bisect_left(self._in_turn, customer)
        there = place < len(self.ids) and self._in_turn[place] == customer
        return int(self.codes[place]) if there else NOT_BEFORE


class FormerStages:
    """Stages of earlier scores of one workspace; threads share it.

    Parameters
    ----------
    key_type
        How customers are named; the scores of each type stand apart.
    looking_back
        Whether scores that were made to look at the past count too.
    """

    def __init__(self, workspace: Workspace, key_type: KeyType, looking_back: bool = False) -> None:
        self._folder = scores_folder(workspace, key_type)
        self._looking_back = looking_back
        self._lock = threading.Lock()
        # Replaced whole, so that whoever reads it meanwhile sees one state.
        self._marks: dict[date, _Mark] = {}
        self._passed: dict[date, _Mark] = {}
        self._read: dict[date, tuple[_Mark, DayStages]] = {}
        self._kept: frozenset[date] = frozenset()
        self.refresh()

    def refresh(self, as_of: date | None = None) -> None:
        """Follow what was scored since.

        Parameters
        ----------
        as_of
            Read now what the rows of this day will ask for, and what newer ones will.

        Raises
        ------
        WorkspaceError
            A file is damaged; what was known before goes on.
        """
        marks: dict[date, _Mark] = {}
        passed: dict[date, _Mark] = {}
        for path in sorted(self._folder.glob("[!.]*.parquet")):
            day, mark = date.fromisoformat(path.stem), _mark(path)
            if mark is not None:
                (passed if self._passes(path, day, mark) else marks)[day] = mark
        if as_of is not None:
            found = [self._newest(marks, until) for until in (as_of, date.max)]
            # Whoever asks of days long gone must not push these out.
            self._kept = frozenset(one.day for one in found if one is not None)
        self._marks, self._passed = marks, passed

    def before(self, day: date) -> DayStages | None:
        """Give the stages of the newest scores before a day, or None where there are none.

        Raises
        ------
        WorkspaceError
            The file is damaged.
        """
        return self._newest(self._marks, day)

    def of(
        self,
        customers: Sequence[Customer],
        as_of_days: NDArray[np.float64],
        check: Callable[[], None] = lambda: None,
    ) -> NDArray[np.int8]:
        """Look up the stage of each customer before the day of their row.

        Parameters
        ----------
        as_of_days
            Days since 1970-01-01, shape (n,).
        check
            Asked before each day, whose scores may have to be read, whether there is time.

        Raises
        ------
        WorkspaceError
            A file is damaged.
        """
        codes = np.full(len(customers), NOT_BEFORE, np.int8)
        if not self._marks:
            return codes
        days = as_of_days.tolist()
        for day in set(days):
            check()
            former = self.before(day_of(int(day)))
            if former is None:
                continue
            places = [place for place, own in enumerate(days) if own == day]
            codes[places] = former.of([customers[place] for place in places])
        return codes

    def _passes(self, path: Path, day: date, mark: _Mark) -> bool:
        if self._looking_back or self._marks.get(day) == mark:
            return False
        return self._passed.get(day) == mark or looked_back(path)

    def _newest(self, marks: dict[date, _Mark], until: date) -> DayStages | None:
        day = max((one for one in marks if one < until), default=None)
        if day is None:
            return None
        held = self._read.get(day)
        if held is not None and held[0] == marks[day]:
            return held[1]
        with self._lock:
            stages = DayStages.read(self._folder / f"{day.isoformat()}.parquet")
            held_days = [one for one in self._read if one != day]
            others = [one for one in held_days if one not in self._kept]
            gone = set(others[: max(len(others) + 1 - _OTHER_DAYS, 0)])
            stay = {one: self._read[one] for one in held_days if one not in gone}
            self._read = {**stay, day: (marks[day], stages)}
        return stages


class _Texts:
    """Arrow's texts as a sequence, for a search among them."""

    def __init__(self, texts: pa.Array) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, place: int) -> str:
        return str(self._texts[place].as_py())


def _mark(path: Path) -> _Mark | None:
    """Tell one writing of a file from the next; None where it has just gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
