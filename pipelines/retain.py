"""`lifecycle retain`: remove what is kept longer than the settings allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from features.catalogue import JOIN_KEY
from features.days import day_in_name, day_number
from features.erasing.ledger import check_somebody_is_left
from features.forgotten import Forgotten
from features.ingest.contract import Table
from features.ingest.ledger import Ledger
from features.ingest.manifest import write_parquet
from features.online import read_state
from features.persons import Persons
from pipelines.context import Context
from pipelines.forget import Wish, begun
from pipelines.privacy.erasure import Erasure
from pipelines.privacy.inventory import row_files
from pipelines.privacy.receipt import Note, Receipt
from serving.decisions.archive import Archive
from serving.plan.kept import KeptPlans

_NEWEST = 2
"""Newest days of scores that stay: the day itself, and the one before it that stages look at."""
_OF_THEMSELVES: tuple[Table, ...] = ("orders", "customers", "interactions", "contracts")
"""Tables whose facts are the customer's own doing; a treatment is the company's."""


@dataclass(frozen=True)
class RetainReport:
    """What was removed, or would be.

    Attributes
    ----------
    removed
        Place to files, days or persons.
    receipt
        Of the persons who were erased for their long silence.
    """

    dry_run: bool
    removed: dict[str, int]
    receipt: Receipt | None

    def sentences(self) -> Iterator[str]:
        """Say it in plain English."""
        verb = "to be removed" if self.dry_run else "removed"
        for place, count in self.removed.items():
            yield f"{place}: {count:,} {verb}"
        if not any(self.removed.values()):
            yield "nothing is kept longer than the settings allow"
        if self.receipt is not None:
            yield from self.receipt.sentences()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def retain(context: Context, dry_run: bool = False, today: date | None = None) -> RetainReport:
    """Remove what is older than the settings of ``privacy`` and ``serving.decision_days`` say.

    What answers now stays whatever its age: the day that is online, the newest scores and those
    before them, the newest segments.

    Parameters
    ----------
    dry_run
        Whether it is only counted.
    today
        In UTC; default: now.

    Raises
    ------
    WorkspaceError
        There is no workspace, or another command writes to it.
    """
    context.workspace.require()
    now = datetime.now(UTC)
    day = today or now.date()
    keep = context.settings.privacy
    with context.workspace.locked():
        old = _Old(context, day)
        steps: tuple[tuple[str, int | None, Callable[[date], list[Path]]], ...] = (
            ("scores, days", keep.keep_scores_days, old.scores),
            ("segments, days", keep.keep_scores_days, old.segments),
            ("plans, files", keep.keep_plans_days, old.plans),
            ("features, days", keep.keep_features_days, old.features),
            ("quarantine, files emptied", keep.keep_quarantine_days, old.quarantine),
        )
        removed = {}
        for place, days, find in steps:
            if days is not None:
                files = find(day - timedelta(days=days))
                removed[place] = len(files)
                for file in files if not dry_run else []:
                    _remove(file)
        removed["decisions, days"] = old.decisions(dry_run)
        receipt = None
        if keep.keep_inactive_days is not None:
            receipt = _silent(context, keep.keep_inactive_days, removed, now, dry_run)
    return RetainReport(dry_run, removed, receipt)


class _Old:
    """Finds what is older than a day, but for what answers now."""

    def __init__(self, context: Context, today: date) -> None:
        self._context = context
        self._workspace = context.workspace
        self._today = today
        state = read_state(context.workspace)
        self._online = state.as_of if state is not None else None

    def scores(self, cut: date) -> list[Path]:
        """List the days' files; of each list of scores, the newest two stay."""
        found = []
        for folder in {path.parent for path in row_files(self._workspace, "scores")}:
            days = _by_day(folder.glob("[!.]*.parquet"))
            found += [days[day] for day in sorted(days)[:-_NEWEST] if self._is_old(day, cut)]
        return found

    def segments(self, cut: date) -> list[Path]:
        """List the days' files and reports; the newest day stays."""
        days = _by_day(row_files(self._workspace, "segments"))
        old = [days[day] for day in sorted(days)[:-1] if self._is_old(day, cut)]
        return [*old, *(path.with_suffix(".json") for path in old)]

    def plans(self, cut: date) -> list[Path]:
        """List all files of campaigns whose newest plan is of an earlier day."""
        folder = self._workspace.plans
        found: list[Path] = []
        for plan in KeptPlans(folder).all():
            if plan.as_of < cut:
                # The manifest goes first: without it nobody looks for the others.
                found += [folder / f"{plan.campaign}.json"]
                found += sorted(folder.glob(f"{plan.campaign}.v*"))
        return found

    def features(self, cut: date) -> list[Path]:
        """List snapshots; whoever needs one computes it again from the facts."""
        paths = (self._workspace.features).glob("snapshots_*/[!.]*.parquet")
        return sorted(path for path in paths if self._is_old(day_in_name(path), cut))

    def quarantine(self, cut: date) -> list[Path]:
        """List what was set aside of files that were read before a day."""
        paths = sorted((self._workspace.data / "quarantine").glob("[!.]*.parquet"))
        return [
            path
            for path in paths
            if datetime.fromtimestamp(path.stat().st_mtime, UTC).date() < cut
            and pl.scan_parquet(path).select(pl.len()).collect().item()
        ]

    def decisions(self, dry_run: bool) -> int:
        """Forget decisions of days before those that are kept, as a running server does too."""
        days = self._context.settings.serving.decision_days
        cut = self._today - timedelta(days=days)
        folder = self._workspace.decisions
        old = [
            path for path in folder.glob("*") if path.is_dir() and (day_in_name(path) or cut) < cut
        ]
        if old and not dry_run:
            Archive(folder, Forgotten(self._workspace)).tidy(self._today, days)
        return len(old)

    def _is_old(self, day: date | None, cut: date) -> bool:
        return day is not None and day < cut and day != self._online


def _silent(
    context: Context, days: int, removed: dict[str, int], now: datetime, dry_run: bool
) -> Receipt | None:
    """Erase who has done nothing for so long; what they do from then on makes them customers again.

    Silence is told only as far as the data cover: no customer is silent for want of a file.
    """
    ledger = context.ledger() if dry_run else context.folded_ledger()
    cut = context.observed_until(ledger) - timedelta(days=days)
    names = _silent_since(ledger, cut)
    removed["persons silent for too long"] = len(names)
    if dry_run or not names:
        return None
    unfinished = Note(context.workspace).read()
    if unfinished is not None:
        Erasure(context, unfinished).run(now)
    persons = Persons(tuple(names))
    check_somebody_is_left(ledger, persons)
    wish = Wish(why=f"nothing done since {cut} (privacy.keep_inactive_days)", by="retain")
    noted = begun(context, ledger, persons, wish, now)
    noted.receipt.since = cut.isoformat()
    return Erasure(context, noted).run(now)


def _silent_since(ledger: Ledger, cut: date) -> list[str]:
    """List who has no fact of their own from a day on, and no term that runs on."""
    number, newest = day_number(cut), []
    for table in _OF_THEMSELVES:
        path = ledger.path(table)
        if path is not None:
            # An undated row is today's, and a term without an end runs on.
            last = pl.col("event_day").fill_null(2**31 - 1)
            if table == "contracts":
                last = pl.max_horizontal(last, pl.col("ends_day").fill_null(2**31 - 1))
            rows = pl.scan_parquet(path).group_by(JOIN_KEY).agg(last.max().alias("last"))
            newest.append(rows)
    found = pl.concat(newest).group_by(JOIN_KEY).agg(pl.col("last").max())
    silent = found.filter(pl.col("last") < number).select(pl.col(JOIN_KEY).sort()).collect()
    return [str(one) for one in silent.to_series().to_list()]


def _remove(file: Path) -> None:
    if file.parent.name == "quarantine":
        # That the file was read stays known; what could not be read of it does not.
        write_parquet(pl.read_parquet(file).clear(), file)
    else:
        file.unlink(missing_ok=True)


def _by_day(paths: Iterator[Path]) -> dict[date, Path]:
    return {day: path for path in paths if (day := day_in_name(path)) is not None}
