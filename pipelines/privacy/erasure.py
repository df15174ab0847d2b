"""An erasure, step by step: each can be done again, and is counted in the receipt when it is done.

Who is erased is noted first, so that nothing comes in behind; then the facts go, then what was made
of them, and what is online at the end of that: until then the last good state goes on answering for
everybody else.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from features.catalogue import JOIN_KEY
from features.erasing.ledger import erase_facts
from features.erasing.online import erase_online
from features.erasing.pushes import erase_pushes
from features.erasing.rows import erase_rows
from features.erasing.snapshots import Holding, erase_histories, erase_snapshots
from features.erasing.sqlite import scrub
from features.errors import ServerError
from features.forgotten import Forgotten
from features.ingest.ledger import Ledger
from features.ingest.manifest import DataFolder
from features.online import read_state, write_state
from features.persons import Persons
from features.push_log import PushLog
from features.pushed import PushedRows
from features.repository import project_name
from features.servers import without_password
from features.workspace import replacing
from pipelines.context import Context
from pipelines.privacy.beyond import out_of_reach
from pipelines.privacy.inventory import parts_of, row_files
from pipelines.privacy.models import mark
from pipelines.privacy.receipt import Note, Receipt, Receipts, Unfinished
from serving.decisions.archive import Archive
from serving.decisions.erasing import decisions_of, erase_decisions
from serving.deliveries import Deliveries
from serving.exports.ledger import ExportLedger
from training.bundle import MANIFEST

_LEFT = re.compile(r"\..+\.[a-z0-9_]{8}")
"""What a file or folder is called that a killed run had not finished."""
_TEXTS = {".json", ".html", ".csv", ".md", ".txt"}
_OTHERS_WRITE = {"decisions", "segments"}
"""Parts that are written without the workspace being held."""
_STALE_SECONDS = 600


Counted = Iterator[tuple[str, int]]


class Erasure:
    """Takes the persons of a note out of a workspace that the caller holds.

    Parameters
    ----------
    delivered
        Addresses of databases that scores were sent to, beside those that are known.
    """

    def __init__(
        self, context: Context, unfinished: Unfinished, delivered: Sequence[str] = ()
    ) -> None:
        self._context = context
        self._workspace = context.workspace
        self._settings = context.settings
        self._unfinished = unfinished
        self._receipt = unfinished.receipt
        self._persons = Persons(unfinished.names)
        self._forgotten = Forgotten(context.workspace)
        self._delivered = delivered
        self._reached: set[str] = set()
        self._ledger = Ledger(context.workspace)
        self._log = PushLog(context.workspace, context.settings.stores)
        self._held = Holding.from_dict(unfinished.held)
        self._key_of = cache(lambda day: context.snapshot_key(self._ledger, day))
        self._facts_of = cache(lambda day: context.facts_key(self._ledger, day))

    def run(self, now: datetime) -> Receipt:
        """Do every step, and write the receipt."""
        note, receipts = Note(self._workspace), Receipts(self._workspace)
        note.write(self._unfinished)
        receipts.write(self._receipt)
        self._forgotten.add(self._persons.names, self._receipt.request, now.date())
        steps = (
            self._exports, self._facts, self._events, self._snapshots, self._online,
            self._decisions, self._rows, self._pages, self._texts, self._leftovers, self._databases,
        )  # fmt: skip
        for done, step in enumerate(steps):
            self._context.say("erasing", done, len(steps))
            for place, changed in step():
                self._receipt.add(place, changed)
            note.write(self._unfinished)
        self._context.say("erasing", len(steps), len(steps))
        erased = len(self._persons.names)
        mark(self._context, self._receipt.models, self._receipt.request, erased, now.date())
        self._receipt.beyond = list(out_of_reach(self._context, self._persons, self._reached))
        if self._receipt.since is not None:
            since = date.fromisoformat(self._receipt.since)
            self._forgotten.lift(self._persons.names, since)
        self._receipt.finished = datetime.now(UTC).isoformat(timespec="seconds")
        receipts.write(self._receipt)
        note.clear()
        return self._receipt

    def _exports(self) -> Counted:
        """Forget which decisions about them other systems were given: first, by what names them."""
        named = set(decisions_of(self._archive(), self._persons))
        for path in row_files(self._workspace, "scores"):
            rows = pq.read_table(path, columns=[JOIN_KEY, "decision_id"])
            theirs = rows.filter(self._persons.theirs(rows[JOIN_KEY]))
            named |= set(theirs["decision_id"].to_pylist())
        for path in sorted(self._workspace.exports.glob("[!.]*.db")):
            yield f"exports/{path.name}", ExportLedger(path).forget(sorted(named))
            scrub(path)

    def _facts(self) -> Counted:
        erased = erase_facts(DataFolder(self._workspace.data), self._persons)
        for table, changed in erased.merged.items():
            yield f"data, {table}", changed
        yield "data, exports as cleaned", erased.exports
        yield "data, quarantine", erased.quarantined

    def _events(self) -> Counted:
        with self._log.locked():
            yield "pushed events", erase_pushes(self._log, self._persons, self._forgotten)

    def _snapshots(self) -> Counted:
        if not self._ledger.started:
            return
        where = (self._workspace, self._ledger, self._persons)
        # Who brought them and whom they brought had counted them.
        pushed = PushedRows(self._workspace, self._settings)
        renewed = pushed.on_days(self._unfinished.linked, self._held.snapshots)
        erased = erase_snapshots(*where, self._held, self._key_of, renewed)
        yield "features, snapshots", erased
        yield "features, history", erase_histories(*where, self._held, self._facts_of)

    def _online(self) -> Counted:
        with self._log.locked():
            changed = erase_online(self._workspace, self._settings.stores, self._persons)
            state = read_state(self._workspace)
            if state is not None:
                # A server that reads there opens it anew: by whom it tells that the store was
                # emptied may be among those who are gone.
                held = self._unfinished.online
                key = self._key_of(state.as_of) if held else f"{state.key} without some"
                write_state(self._workspace, replace(state, key=key))
                if self._unfinished.linked:
                    self._context.store(self._ledger).push(self._unfinished.linked)
            yield "online store", changed

    def _decisions(self) -> Counted:
        yield "decisions", erase_decisions(self._archive(), self._persons)

    def _rows(self) -> Counted:
        for part in parts_of("rows"):
            files = row_files(self._workspace, part.name)
            yield part.name, sum(erase_rows(path, self._persons) for path in files)

    def _pages(self) -> Counted:
        for part in parts_of("page"):
            path = self._workspace.root / part.name
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                if self._persons.struck(text) != text:
                    path.unlink()
                    yield f"{part.name}, removed", 1

    def _texts(self) -> Counted:
        """Take their names out of texts: a value of an attribute of another may be such a name."""
        changed = 0
        if self._persons.pattern is None:
            return
        for path in sorted(self._workspace.root.rglob("*")):
            part, *_ = path.relative_to(self._workspace.root).parts
            if path.suffix not in _TEXTS or part == self._workspace.privacy.name:
                continue
            if (path.parent / MANIFEST).exists():
                continue  # a model is checked by the digests of its files
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            if self._persons.named_in(text):
                with replacing(path) as temporary:
                    temporary.write_text(
                        self._persons.unnamed(text), encoding="utf-8", errors="surrogateescape"
                    )
                changed += 1
        yield "texts that named them", changed

    def _leftovers(self) -> Counted:
        """Remove what killed runs left: nobody can say whose rows are in it."""
        removed = 0
        shutil.rmtree(self._workspace.scratch, ignore_errors=True)
        for folder, names, files in os.walk(self._workspace.root):
            here = Path(folder)
            part = here.relative_to(self._workspace.root).parts[:1]
            if part == ("mlflow",):
                names.clear()
                continue
            for name in [one for one in (*names, *files) if _LEFT.fullmatch(one)]:
                path = here / name
                fresh = time.time() - path.stat().st_mtime < _STALE_SECONDS
                if part and part[0] in _OTHERS_WRITE and fresh:
                    continue
                if path.is_dir():
                    names.remove(name)
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed += 1
        yield "files of runs that were killed, removed", removed

    def _databases(self) -> Counted:
        given = {without_password(url): url for url in self._delivered}
        known = [one.place for one in Deliveries(self._workspace).all() if one.kind == "database"]
        for place, url in ({place: place for place in known} | given).items():
            from serving.postgres import erase_delivered  # noqa: PLC0415 - an extra

            project = project_name(self._workspace, self._settings.stores)
            try:
                tables = erase_delivered(url, project, self._persons.names)
            except ServerError:
                if place in given:
                    raise
                continue  # told with what was not reached
            self._reached.add(place)
            for table, changed in tables.items():
                yield f"table {table} of {place}", changed

    def _archive(self) -> Archive:
        return Archive(self._workspace.decisions, self._forgotten)
