"""`lifecycle forget`: erase persons from everything that the installation holds."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from features.erasing.ledger import check_somebody_is_left
from features.erasing.snapshots import Holding, linked
from features.errors import InputError
from features.forgotten import Forgotten
from features.ingest.codes import as_integers, read_ids
from features.ingest.ledger import Ledger
from features.online import read_state
from features.persons import Persons, distinct
from pipelines.console import Terminal
from pipelines.context import Context
from pipelines.privacy.erasure import Erasure
from pipelines.privacy.models import known_since, who_learned
from pipelines.privacy.receipt import Note, Receipt, Receipts, Unfinished, new_request
from pipelines.privacy.search import known

_ABOUT = ("customer_id", "id")
"""Heads of a list of ids that are no ids."""


@dataclass(frozen=True)
class Wish:
    """Who is to be forgotten.

    Attributes
    ----------
    ids, file
        Their ids, and a file with an id a line, or a CSV with the column ``customer_id``.
    why, by
        In a sentence; by default the user of this process does.
    bar_unknown
        Whether who is known nowhere is barred from what comes later, too.
    delivered
        Addresses of databases that scores were sent to.
    """

    ids: tuple[str, ...] = ()
    file: Path | None = None
    why: str = ""
    by: str | None = None
    bar_unknown: bool = False
    delivered: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForgetReport:
    """What was done.

    Attributes
    ----------
    resumed
        Receipts of requests that an earlier run had not finished.
    receipt
        Of this request; None where nobody was left to erase.
    already
        How many of those who were asked for had been erased before, and are nowhere.
    """

    resumed: list[Receipt]
    receipt: Receipt | None
    already: int = 0

    def sentences(self) -> Iterator[str]:
        """Tell it in plain English."""
        for receipt in self.resumed:
            yield "an earlier request had not been finished, and is now:"
            yield from receipt.sentences()
        if self.already:
            yield f"erased before, and still nowhere: {self.already}"
        if self.receipt is not None:
            yield from self.receipt.sentences()
            yield f"the receipt: privacy/receipts/{self.receipt.request}.json in the workspace"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "resumed": [receipt.to_dict() for receipt in self.resumed],
            "receipt": self.receipt.to_dict() if self.receipt else None,
            "already": self.already,
        }


def forget(context: Context, wish: Wish) -> ForgetReport:
    """Erase persons, and keep them out of what is read later.

    A request that was cut short is finished first, whoever was asked for in it.

    Raises
    ------
    InputError
        Nobody is named, or nobody who is known; an id cannot be one here; no reason is given.
    ServerError
        A server that holds their rows does not answer; the same again goes on from there.
    WorkspaceError
        There is no workspace, or another command writes to it.
    """
    context.workspace.require()
    names = _named(wish)
    now = datetime.now(UTC)
    with context.workspace.locked():
        unfinished = Note(context.workspace).read()
        resumed = []
        if unfinished is not None:
            resumed.append(Erasure(context, unfinished, wish.delivered).run(now))
        if not names:
            if resumed:
                return ForgetReport(resumed, None)
            raise InputError("nobody is named; give an id, as in lifecycle forget 17850 --why ...")
        if not wish.why.strip():
            raise InputError('--why is missing; say why, as in --why "asked by letter of 3 May"')
        ledger = Ledger(context.workspace)
        context.fold(ledger)
        persons = checked(ledger, names)
        there = known(context, persons)
        forgotten = Forgotten(context.workspace)
        before = {name for name in persons.names if name not in there and forgotten.holds(name)}
        unknown = [name for name in persons.names if name not in there and name not in before]
        wanted = [n for n in persons.names if n in there or (wish.bar_unknown and n in unknown)]
        if not wanted:
            if before:
                return ForgetReport(resumed, None, len(before))
            raise InputError(
                f"nobody named {', '.join(unknown[:3])} is known here, so there is nothing to "
                "erase; correct the id, or keep them out of what is read later with --bar-unknown"
            )
        check_somebody_is_left(ledger, Persons(tuple(wanted)))
        noted = begun(context, ledger, Persons(tuple(wanted)), wish, now)
        noted.receipt.unknown = 0 if wish.bar_unknown else len(unknown)
        receipt = Erasure(context, noted, wish.delivered).run(now)
    return ForgetReport(resumed, receipt, len(before))


@dataclass(frozen=True)
class LiftReport:
    """Whose facts count again, and from which day on."""

    lifted: int
    since: str
    by: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"lifted": self.lifted, "since": self.since, "by": self.by, "why": self.why}


def lift(context: Context, wish: Wish, since: date | None = None) -> LiftReport:
    """Let persons who were erased be customers again; what is older than a day stays out.

    Parameters
    ----------
    since
        The day from which facts of them count; default: today.

    Raises
    ------
    InputError
        Somebody was not erased, or no reason is given.
    """
    context.workspace.require()
    names = _named(wish)
    if not names or not wish.why.strip():
        raise InputError("--lift needs an id and --why; say who is a customer again, and why")
    now = datetime.now(UTC)
    with context.workspace.locked():
        persons = checked(Ledger(context.workspace), names)
        forgotten = Forgotten(context.workspace)
        others = [name for name in persons.names if forgotten.find(name) is None]
        if others:
            raise InputError(f"{others[0]} was not erased from here; correct the id")
        day = since or now.date()
        forgotten.lift(persons.names, day)
        who = wish.by or getpass.getuser()
        receipt = Receipt(
            new_request(now), now.isoformat(timespec="seconds"), who,
            f"lifted from {day}: {persons.struck(wish.why.strip())}",
            [forgotten.hash(name) for name in persons.names],
            since=day.isoformat(),
            finished=now.isoformat(timespec="seconds"),
        )  # fmt: skip
        Receipts(context.workspace).write(receipt)
    return LiftReport(len(persons.names), day.isoformat(), who, receipt.why)


def show(terminal: Terminal, report: ForgetReport) -> None:
    """Print what was done."""
    for sentence in report.sentences():
        terminal.note(sentence)


def begun(
    context: Context, ledger: Ledger, persons: Persons, wish: Wish, now: datetime
) -> Unfinished:
    """Look, before anything changes, at what will have to be known when it has."""
    held, online = Holding((), ()), False
    brought: list[int | str] = []
    since = None
    if ledger.started:
        held = Holding.of(
            context.workspace,
            ledger,
            lambda day: context.snapshot_key(ledger, day),
            lambda day: context.facts_key(ledger, day),
        )
        state = read_state(context.workspace)
        online = state is not None and state.key == context.snapshot_key(ledger, state.as_of)
        brought = linked(ledger, persons)
        since = known_since(ledger, persons)
    forgotten = Forgotten(context.workspace)
    receipt = Receipt(
        new_request(now),
        now.isoformat(timespec="seconds"),
        wish.by or getpass.getuser(),
        persons.struck(wish.why.strip()),
        [forgotten.hash(name) for name in persons.names],
        models=who_learned(context, persons, since),
    )
    return Unfinished(persons.names, tuple(brought), held.to_dict(), online, receipt)


def _named(wish: Wish) -> list[str]:
    return [*wish.ids, *(_listed(wish.file) if wish.file is not None else [])]


def _listed(file: Path) -> list[str]:
    """Read ids from a file.

    Raises
    ------
    InputError
        It cannot be read, or names nobody.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"--file {file} does not exist; name a file with an id a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--file {file} cannot be read ({error}); save it as UTF-8") from None
    head = [cell.strip().strip('"') for cell in lines[0].split(",")] if lines else []
    if "customer_id" in head and len(head) > 1:
        frame = pl.read_csv(file, infer_schema=False, columns=["customer_id"])
        ids = frame["customer_id"].drop_nulls().to_list()
    else:
        ids = [line.strip().strip('"') for line in lines]
        ids = ids[1:] if ids and ids[0].lower() in _ABOUT else ids
    found = [one for one in ids if one.strip()]
    if not found:
        raise InputError(f"--file {file} names nobody; write an id a line")
    return found


def checked(ledger: Ledger, names: Sequence[str]) -> Persons:
    """Read ids as ingest does, and refuse those that nobody here can have."""
    ids = read_ids(pl.Series(list(names), dtype=pl.String))
    if ids.null_count():
        place = ids.is_null().arg_max() or 0
        raise InputError(f"{names[place]!r} is no id of a customer; correct it")
    persons = distinct(ids.to_list())
    if ledger.started and ledger.customer_id_type == "integer":
        for name in persons.names:
            if as_integers(pl.Series([name])) is None:
                raise InputError(
                    f"customers here are named by integers, and {name!r} is none; correct the id"
                )
    return persons
