"""All that a workspace holds of one person, place by place, as rows that a program can read.

Whoever else is named in them is not told: another customer is nobody's business but their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl
import pyarrow.parquet as pq

from features import catalogue
from features.catalogue import JOIN_KEY
from features.ingest.contract import CONTRACT, Table
from features.ingest.ledger import Ledger
from features.ingest.schemas import id_columns
from features.persons import Persons
from pipelines.context import Context
from pipelines.privacy.inventory import row_files
from pipelines.privacy.models import known_since, who_learned
from serving.decisions.archive import Archive, Decision
from serving.plan.kept import KeptPlans

ANOTHER = "(another customer)"
_EVERY = 10**9
_BOOKKEEPING = ("event_day", "known_day", "registered_day", "ends_day", "renewed_day",
                "cancelled_day", "is_product", "order_key")  # fmt: skip


@dataclass(frozen=True)
class Held:
    """Rows of one place.

    Attributes
    ----------
    name
        Of the file that they become, without its end.
    flat
        Whether every row has the same plain columns, as a table has.
    about
        What the rows are.
    columns
        What a column means, where that is written down.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    flat: bool
    about: str
    columns: Mapping[str, str]


def everything_held(context: Context, persons: Persons) -> Iterator[Held]:
    """Give all that is held of a person; the caller has merged pushed events into the ledger."""
    ledger = Ledger(context.workspace)
    if ledger.started:
        yield from _facts(ledger, persons)
        yield _quarantined(context, persons)
    yield from _rows(context, persons)
    yield _planned(context, persons)
    yield _decided(context, persons)
    since = known_since(ledger, persons)
    models = [vars(one) for one in who_learned(context, persons, since)]
    yield Held("models", models, True, "registered models that had learned from these facts", {})


def _facts(ledger: Ledger, persons: Persons) -> Iterator[Held]:
    for table in ledger.tables:
        path = cast("Path", ledger.path(table))
        rows = pl.scan_parquet(path)
        theirs = persons.among(JOIN_KEY, rows.collect_schema()[JOIN_KEY])
        found = rows.filter(theirs).collect()
        contract = CONTRACT[table]
        means = {column.name: column.meaning for column in contract.columns}
        yield Held(
            table, _as_given(table, found).to_dicts(), True,
            f"each row is {contract.row}; times are UTC", means,
        )  # fmt: skip


def _as_given(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Give clean rows as the contract's columns, money in currency."""
    kept = rows.drop(_BOOKKEEPING, strict=False)
    others = [
        pl.when(pl.col(name).is_not_null()).then(pl.lit(ANOTHER)).alias(name)
        for name in id_columns(table)[1:]
    ]
    money = [name for name in kept.columns if name.endswith("_e4")]
    order = [rows["order_key"].alias("order_id")] if table == "orders" else []
    exact = [
        # Divided one by one: a column at once would be multiplied by a hundredth that is none.
        pl.Series(
            name.removesuffix("_e4"), [None if e4 is None else e4 / 10_000 for e4 in kept[name]]
        )
        for name in money
    ]
    return kept.with_columns(*others, *exact, *order).drop(money)


def _quarantined(context: Context, persons: Persons) -> Held:
    from features.erasing.ledger import set_aside  # noqa: PLC0415

    found: list[dict[str, Any]] = []
    for path in sorted((context.workspace.data / "quarantine").glob("[!.]*.parquet")):
        rows = pl.read_parquet(path)
        theirs = rows.join(set_aside(rows, persons).select("row"), on="row", how="anti")
        found += theirs.to_dicts()
    about = "rows of files that could not be read, as they stand in the file, with the reason"
    return Held("quarantine", found, False, about, {})


_ROWS = {
    "features": (
        "features",
        "what was computed of the facts at the end of each day, and sums to go on from",
    ),
    "scores": ("scores", "what was said of the person each day: stage, chances, values, action"),
    "segments": ("segments", "the segments that the person was put into"),
    "judged": ("judged", "what models said of past days, beside what then happened"),
    "backtests": ("backtests", "the same, of replayed days"),
}


def _rows(context: Context, persons: Persons) -> Iterator[Held]:
    from features.scores import COLUMNS  # noqa: PLC0415

    means = {
        "features": {feature.name: feature.meaning for feature in catalogue.FEATURES},
        "scores": {column.name: column.meaning for column in COLUMNS},
    }
    for part, (name, about) in _ROWS.items():
        found: list[dict[str, Any]] = []
        for path in row_files(context.workspace, part):
            table = pq.read_table(path)
            if JOIN_KEY not in table.column_names:
                continue
            theirs = table.filter(persons.theirs(table[JOIN_KEY]))
            place = str(path.relative_to(context.workspace.root / part))
            found += [{"file": place, **row} for row in theirs.to_pylist()]
        yield Held(name, found, False, about, means.get(part, {}))


def _planned(context: Context, persons: Persons) -> Held:
    found: list[dict[str, Any]] = []
    withdrawn = {
        plan.file.name: plan.withdrawn is not None
        for plan in KeptPlans(context.workspace.plans).all()
    }
    for path in row_files(context.workspace, "plans"):
        table = pq.read_table(path)
        theirs = table.filter(persons.theirs(table[JOIN_KEY])).to_pylist()
        state = {"file": path.name, "withdrawn": withdrawn.get(path.name, True)}
        found += [{**state, **row} for row in theirs]
    about = "what was planned for the person; an older version of a plan counts as withdrawn"
    return Held("plans", found, False, about, {})


def _decided(context: Context, persons: Persons) -> Held:
    archive = Archive(context.workspace.decisions)
    names: list[int | str] = [*persons.names, *persons.numbers]
    decisions = [one for name in names for one in archive.of_customer(name, _EVERY)]
    decisions.sort(key=lambda one: one.at)
    about = "what a program was answered about the person, when, and from which features"
    return Held("decisions", [_decision(one) for one in decisions], False, about, {})


def _decision(one: Decision) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415

    features = np.frombuffer(one.features)
    known = len(features) == len(catalogue.NAMES)
    return {
        "at": one.at,
        "decision_id": one.decision_id,
        "request_id": one.request_id,
        "caller": one.caller,
        "model_version": one.model_version,
        "playbook": one.playbook,
        "answer": one.answer,
        "features": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(catalogue.NAMES, features, strict=True)
        }
        if known
        else None,
    }


def written(value: object) -> object:
    """Write what JSON has no word for."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return msgspec.to_builtins(value)
