"""Rows of the customers of whom pushes brought news, made by the very definitions of a snapshot.

A customer's row is of one day: the last closed day that is online, or the day of the newest event
that was pushed, whichever is later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import JOIN_KEY
from features.computing import Opened, compute
from features.days import day_number, day_of
from features.definitions.expressions import Frame
from features.definitions.rows import Rules
from features.engines import Engine, engine
from features.errors import WorkspaceError
from features.folding import folded_until
from features.ingest.contract import CONTRACT, TABLES, Table
from features.ingest.ledger import Ledger
from features.ingest.lines import product_flag
from features.ingest.merging import empty, merge_export, typed_ids
from features.objections import objecting, objecting_in, without
from features.online import OnlineState
from features.push_log import PushLog
from features.settings import Settings
from features.snapshots import rules_of
from features.workspace import Workspace

_TRIES = 5
_FEW = 20

Customer = int | str


class PushedRows:
    """What the ledger and the push log together say of some customers."""

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self._ledger = Ledger(workspace)
        self._settings = settings
        self._rules: Rules = rules_of(settings)
        self.log = PushLog(workspace, settings.stores)

    def newer_than(
        self, state: OnlineState, customers: Sequence[Customer] | None = None
    ) -> dict[Customer, date]:
        """Find the customers of whom more is known than the snapshot online; the day of each."""
        names = None if customers is None else [str(customer) for customer in customers]
        found = self.log.newer_than(state.pushes, day_number(state.as_of), names)
        typed = int if state.key_type == "integer" else str
        return {typed(customer): day_of(day) for customer, day in found.items()}

    def rows(
        self, wanted: Mapping[Customer, date], more: Mapping[Table, pl.DataFrame] | None = None
    ) -> pa.Table | None:
        """Compute some customers' rows, each as of its day; nothing where nothing is known.

        Parameters
        ----------
        wanted
            The day of each customer.
        more
            Clean events, ids as text, that count as if they had been pushed.

        Returns
        -------
        pyarrow.Table
            As a snapshot; without the customers of whom nothing is known on their day.
        """
        if not wanted:
            return None
        facts = self._facts(list(wanted), more or {})
        objectors = self._objecting(facts)
        tables = []
        with engine("polars") as opened:
            frame = {table: _frame(opened, rows) for table, rows in facts.items()}
            for present, customers in self._by_tables(facts, list(wanted)).items():
                frames: dict[Opened, Frame] = {table: frame[table] for table in present}
                for day in sorted({wanted[customer] for customer in customers}):
                    of_day = [customer for customer in customers if wanted[customer] == day]
                    for _, table, _ in compute(opened, frames, [day], self._rules):
                        keys = table[JOIN_KEY]
                        of_those = table.filter(pc.is_in(keys, pa.array(of_day, keys.type)))
                        tables.append(without(of_those, objectors))
        return pa.concat_tables(tables).combine_chunks()

    def on_days(self, customers: Sequence[Customer], days: Sequence[date]) -> dict[date, pa.Table]:
        """Compute some customers' rows on each of some days, by what the ledger holds of them.

        Returns
        -------
        dict
            Day to rows as of a snapshot; without the customers of whom nothing was known then.
        """
        found: dict[date, pa.Table] = {}
        if not customers or not days:
            return found
        facts = self._facts(list(customers), {}, self._ledger.tables)
        objectors = self._objecting(facts)
        with engine("polars") as opened:
            frames: dict[Opened, Frame] = {t: _frame(opened, rows) for t, rows in facts.items()}
            for day, table, _ in compute(opened, frames, sorted(days), self._rules):
                keys = table[JOIN_KEY]
                asked = table.filter(pc.is_in(keys, pa.array(list(customers), keys.type)))
                found[day] = without(asked, objectors)
        return found

    def referrers(self, customers: Sequence[Customer]) -> dict[Customer, list[Customer]]:
        """List those who are said to have brought each of some customers, where there are any."""
        rows = self._facts(list(customers), {}, ("customers",)).get("customers")
        if rows is None:
            return {}
        said = rows.filter(
            pl.col(JOIN_KEY).is_in(list(customers)), pl.col("referred_by").is_not_null()
        )
        found: dict[Customer, list[Customer]] = {}
        for customer, referrer in (
            said.select(JOIN_KEY, "referred_by").unique().sort("referred_by").iter_rows()
        ):
            found.setdefault(customer, []).append(referrer)
        return found

    def objecting(self, customers: Sequence[Customer]) -> list[Customer]:
        """List those of some customers who object to profiling, by what was pushed too."""
        if self._rules.objection is None or not customers:
            return []
        facts = self._facts(list(customers), {}, ("customers",))
        objectors = set(self._objecting(facts).to_list())
        return [customer for customer in customers if customer in objectors]

    def _objecting(self, facts: Mapping[Table, pl.DataFrame]) -> pl.Series:
        rows = facts.get("customers")
        if rows is None:
            return objecting_in(None, None)
        return objecting(rows, self._rules.objection)

    def _by_tables(
        self, facts: Mapping[Table, pl.DataFrame], customers: list[Customer]
    ) -> dict[tuple[Table, ...], list[Customer]]:
        """Group customers by the tables that there are for them.

        A table that the ledger does not have yet is there for those alone of whom it says
        something; for all others its features stay absent until it is in the ledger.
        """
        known = self._ledger.tables
        news = {
            table: set(rows[JOIN_KEY].to_list())
            for table, rows in facts.items()
            if table not in known
        }
        grouped: dict[tuple[Table, ...], list[Customer]] = {}
        for customer in customers:
            present = tuple(t for t in facts if t in known or customer in news[t])
            grouped.setdefault(present, []).append(customer)
        return grouped

    def _facts(
        self,
        customers: list[Customer],
        more: Mapping[Table, pl.DataFrame],
        wanted: Sequence[Table] = TABLES,
    ) -> dict[Table, pl.DataFrame]:
        """Read the rows that say something of some customers, the pushed ones merged in."""
        for _ in range(_TRIES):
            manifest = self._ledger.manifest()
            try:
                facts = self._read(customers, folded_until(manifest), more, wanted)
            except (FileNotFoundError, WorkspaceError):
                # An ingest that ended just now took the former tables away.
                continue
            if self._ledger.manifest()["tables"] == manifest["tables"]:
                return facts
        raise WorkspaceError(
            f"the data of {self._ledger.workspace.root} changes faster than it can be read; "
            "send the events again when the ingest has ended"
        )

    def _read(
        self,
        customers: list[Customer],
        folded: int,
        more: Mapping[Table, pl.DataFrame],
        wanted: Sequence[Table],
    ) -> dict[Table, pl.DataFrame]:
        facts: dict[Table, pl.DataFrame] = {}
        # Customers first: of whom they brought, the orders count too.
        for table in sorted(wanted, key=lambda table: table != "customers"):
            asked = customers
            if table == "orders" and "customers" in facts:
                brought = facts["customers"].filter(pl.col("referred_by").is_in(customers))
                asked = list(dict.fromkeys([*customers, *brought[JOIN_KEY].to_list()]))
            rows = self._rows(table, asked, folded, more.get(table))
            if rows is not None:
                facts[table] = rows
        return facts

    def _rows(
        self, table: Table, customers: list[Customer], folded: int, more: pl.DataFrame | None
    ) -> pl.DataFrame | None:
        stored = self._stored(table, customers)
        if self.log.last() == 0 and more is None:
            return stored
        id_type = self._ledger.customer_id_type
        # Of a table with a key the last row counts, which may be a later file's.
        after = folded if CONTRACT[table].key else 0
        pushed = self.log.rows(table, [str(customer) for customer in customers], after)
        if more is not None:
            pushed = pl.concat([pushed, more.select(pushed.columns)])
        pushed = typed_ids(table, pushed, id_type)
        if table == "orders":
            pushed = pushed.with_columns(product_flag(self._settings.data))
        if pushed.height:
            before = empty(table, id_type) if stored is None else stored
            return merge_export(table, before, pushed).rows
        return stored

    def _stored(self, table: Table, customers: list[Customer]) -> pl.DataFrame | None:
        path = self._ledger.path(table)
        if path is None:
            return None
        rows = pl.scan_parquet(path)
        wanted = _among(JOIN_KEY, customers)
        if table == "customers":
            wanted |= _among("referred_by", customers)
        return rows.filter(wanted).collect()


def _among(column: str, customers: Sequence[Customer]) -> pl.Expr:
    """Whether a column holds one of some ids; a few are told one by one, to skip row groups."""
    name = pl.col(column)
    if len(customers) <= _FEW:
        return pl.any_horizontal(name == customer for customer in customers)
    return name.is_between(min(customers), max(customers)) & name.is_in(list(customers))


def _frame(opened: Engine, rows: pl.DataFrame) -> Frame:
    return opened.frame(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
