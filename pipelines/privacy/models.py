"""Which registered versions had learned from some persons, as far as can be known."""

from __future__ import annotations

from datetime import date

import polars as pl
import pyarrow.parquet as pq

from features.catalogue import JOIN_KEY
from features.days import day_of
from features.ingest.ledger import Ledger
from features.persons import Persons
from pipelines.context import Context
from pipelines.privacy.receipt import Learned
from training.contest_files import judged_file
from training.registry import CHAMPION, SHADOW, Registry
from training.relocation import DATABASE

TAG = "forgotten."
"""Begins the tag of a version that had learned from persons of a request; its name ends it."""


def known_since(ledger: Ledger, persons: Persons) -> date | None:
    """The first day on which a fact of one of them was known; None where none has a day."""
    firsts = []
    for table in ledger.tables if ledger.started else ():
        path = ledger.path(table)
        if path is not None:
            rows = pl.scan_parquet(path)
            theirs = persons.among(JOIN_KEY, rows.collect_schema()[JOIN_KEY])
            firsts.append(rows.filter(theirs).select(pl.col("known_day").min()).collect().item())
    days = [day for day in firsts if day is not None]
    return day_of(min(days)) if days else None


def who_learned(context: Context, persons: Persons, since: date | None) -> list[Learned]:
    """List the versions that had learned from some persons.

    A version learned from everybody known on its days, unless it drew a sample; so one whose last
    day is not before they were first known had them, and one that was judged on them surely did.

    Parameters
    ----------
    since
        When they were first known.
    """
    if not _is_there(context):
        return []
    registry = context.registry()
    aliases = {
        found.version: alias
        for alias, found in ((SHADOW, registry.shadow()), (CHAMPION, registry.champion()))
        if found is not None
    }
    learned = []
    for version in registry.versions():
        days = registry.learned_days(version)
        known = [day for day in days if since is not None and day >= since]
        sure = _judged_on(context, version.version, persons)
        if known or sure:
            as_of = version.tags.get("as_of", "")
            alias = aliases.get(version.version)
            learned.append(Learned(version.version, alias, as_of, len(known), len(days), sure))
    return learned


def mark(context: Context, learned: list[Learned], request: str, persons: int, on: date) -> None:
    """Note on each version and its run that it had learned from persons who were erased."""
    if not learned:
        return
    registry: Registry = context.registry()
    for one in learned:
        said = f"{persons} person{'s' * (persons != 1)} erased on {on}"
        registry.tag(registry.version(one.version), f"{TAG}{request}", said)


def _is_there(context: Context) -> bool:
    """Whether there may be models: a registry is not made for the question."""
    named = context.settings.stores.tracking_uri is not None
    return named or (context.workspace.mlflow / DATABASE).is_file()


def _judged_on(context: Context, version: int, persons: Persons) -> bool:
    file = judged_file(context.workspace, version)
    if not file.is_file():
        return False
    ids = pq.read_table(file, columns=[JOIN_KEY])[JOIN_KEY]
    return bool(len(ids.filter(persons.theirs(ids))))
