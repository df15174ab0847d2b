"""The one door to features: Feast, offline for training and batch, online for the endpoint.

A materialisation writes beside what is online and moves a pointer when it is whole, so that a
reader never sees half a day and a run that dies leaves the former values in place. Rows that
pushes made newer are carried over before the pointer moves, while no other push is let in.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import catalogue
from features.catalogue import JOIN_KEY, SERVICES, KeyType
from features.computing import TIMESTAMP, snapshot_schema
from features.days import closing
from features.erasing.online import erase_online
from features.errors import WorkspaceError
from features.folding import folded_until
from features.ingest.ledger import Ledger
from features.matrix import Vocabulary
from features.online import OnlineReader, OnlineState, read_state, write_state
from features.persons import distinct
from features.pushed import Customer, PushedRows
from features.repository import Repository
from features.scores import SERVICE, VIEW
from features.settings import Settings
from features.workspace import Workspace, read_json, write_json

__all__ = ["FeatureStore", "OnlineReader", "OnlineState", "read_state"]

_SCORED = "online_scores.json"
"""Says which scores are in which writing of the online store."""
_ASKED_AT_ONCE = 100_000
"""Customers of one question: Feast wants all that it asks for in one frame of pandas."""


class FeatureStore:
    """Feast over one workspace.

    Opening it writes the repository's files where they are missing; nothing is computed.

    Raises
    ------
    ServerError
        A server that the settings name does not answer.
    """

    def __init__(
        self,
        workspace: Workspace,
        snapshots: Path,
        key_type: KeyType,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        self._workspace = workspace
        self._settings = settings.stores
        self._kind = settings.stores.online
        self._key_type: KeyType = key_type
        self._repository = Repository(workspace, snapshots.resolve(), key_type, settings.stores)
        self.pushed = PushedRows(workspace, settings)
        self._state = read_state(workspace, self._kind)
        self._feast = self._repository.open(self._state)
        self._repository.write(self._state)
        self._views: list[Any] = []

    @property
    def key_type(self) -> KeyType:
        """How the customers of this store are named."""
        return self._key_type

    @property
    def state(self) -> OnlineState | None:
        """What is online, or None before the first materialisation."""
        return self._state

    def refresh(self) -> OnlineState | None:
        """Follow the pointer, which another process may have moved."""
        state = read_state(self._workspace, self._kind)
        if state != self._state:
            self._feast, self._state = self._repository.open(state), state
            self._views = []
        return state

    def apply(self) -> None:
        """Register the entity, the views and the feature services."""
        self._apply(self._feast)

    def historical(
        self, customers: pa.Array, moments: Sequence[date] | date, *, pushed: bool = True
    ) -> pa.Table:
        """Retrieve features as they were known at the end of each customer's day.

        Parameters
        ----------
        customers
            Customer ids, a row each.
        moments
            The day of each row, or one day for all.
        pushed
            Whether events count that were pushed since the snapshots were computed, so that the
            rows are those that are online. A training wants its snapshots as they stand.

        Returns
        -------
        pyarrow.Table
            ``customer_id``, ``event_timestamp`` and the features, as many rows as were asked for,
            sorted by day and customer.

        Raises
        ------
        WorkspaceError
            The store gave back another number of rows than it was asked for.
        """
        days = [moments] * len(customers) if isinstance(moments, date) else list(moments)
        table = self._asked(customers, days).to_arrow()
        _require_all(table.num_rows, len(customers))
        table = _typed(table).sort_by([(TIMESTAMP, "ascending"), (JOIN_KEY, "ascending")])
        return self._with_pushed(table, set(days)) if pushed else table

    def historical_batches(
        self, customers: pa.Array, as_of: date, rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Retrieve features as they were known at the end of a day, some rows at a time.

        What pushes brought since the snapshot was computed does not count. Where the offline store
        can give its answer in batches, as the product's own can, a batch is all that is in memory.

        Parameters
        ----------
        customers
            Customer ids, sorted.

        Yields
        ------
        pyarrow.RecordBatch
            At most ``rows`` rows of the columns of :meth:`historical`, in the order of customers.

        Raises
        ------
        WorkspaceError
            The store gave back another number of rows than it was asked for.
        """
        for start in range(0, len(customers), _ASKED_AT_ONCE):
            asked = customers.slice(start, _ASKED_AT_ONCE)
            job = self._asked(asked, [as_of] * len(asked))
            # Feast's own stores give their rows in no order, and all at once.
            found = (
                job.to_arrow_batches(rows)
                if hasattr(job, "to_arrow_batches")
                else job.to_arrow().sort_by(JOIN_KEY).to_batches(max_chunksize=rows)
            )
            done = 0
            for batch in found:
                done += batch.num_rows
                yield from _typed(pa.Table.from_batches([batch])).to_batches()
            _require_all(done, len(asked))

    def _asked(self, customers: pa.Array, days: Sequence[date]) -> Any:  # noqa: ANN401 - Feast's job
        stamps = {day: pd.Timestamp(closing(day)) for day in set(days)}
        asked = pd.DataFrame(
            {
                JOIN_KEY: customers.to_pandas(),
                TIMESTAMP: pd.Series([stamps[day] for day in days]).astype("datetime64[us, UTC]"),
            }
        )
        return self._feast.get_historical_features(
            entity_df=asked, features=self._feast.get_feature_service(SERVICES["scorer"])
        )

    def materialise(self, as_of: date, key: str) -> OnlineState:
        """Put one day's snapshot online, all of it or nothing, and pushed rows with it.

        Parameters
        ----------
        as_of
            The snapshot's day; its file must exist.
        key
            The snapshot's key, kept so that an unchanged day is not written twice.
        """
        generation = f"{as_of.isoformat()}-{uuid.uuid4().hex[:8]}"
        folded = folded_until(Ledger(self._workspace).manifest())
        state = OnlineState(as_of, key, generation, self._key_type, self._kind, folded)
        store = self._repository.begin(state)
        self._apply(store)
        end = closing(as_of)
        with _feasts_own_warnings():
            store.materialize(
                feature_views=list(catalogue.VIEWS),
                start_date=end - timedelta(hours=1),
                end_date=end,
            )
        with self.pushed.log.locked():
            rows = self.pushed.rows(self.pushed.newer_than(state))
            _push(store, rows)
            former = self._state
            write_state(self._workspace, state)
            self._state, self._feast = state, self._repository.open(state)
            self._views = []
        self._repository.write(state)
        self._repository.delete_generations(keep=[state, former])
        return state

    def materialise_scores(self, key: str) -> None:
        """Put the scores of the day that is online beside its features, all of them or none.

        A new writing of the online store begins without scores, so that none are of another day.

        Parameters
        ----------
        key
            The scores' key: what is there already is not written again.
        """
        state = self._state
        marker = self._workspace.feast / _SCORED
        written = {"generation": state.generation, "key": key} if state is not None else {}
        if state is None or read_json(marker) == written:
            return
        if SERVICE not in {service.name for service in self._feast.list_feature_services()}:
            self.apply()
        end = closing(state.as_of)
        with _feasts_own_warnings():
            self._feast.materialize(
                feature_views=[VIEW], start_date=end - timedelta(hours=1), end_date=end
            )
        write_json(marker, written)

    def push(self, customers: Sequence[Customer]) -> dict[Customer, date | None]:
        """Put the rows of customers online of whom there is news; the caller holds the push log.

        Returns
        -------
        dict
            The day that each customer's row is of now; None for whom nothing is online.
        """
        state = self.refresh()
        if state is None or not self._names_as_online(state):
            # The next materialisation brings them along.
            return dict.fromkeys(customers)
        newer = self.pushed.newer_than(state, customers)
        wanted = {customer: newer.get(customer, state.as_of) for customer in customers}
        rows = self.pushed.rows(wanted)
        _push(self._feast, rows, self.list_views())
        self.withdraw(self.pushed.objecting(customers))
        found = set() if rows is None else set(rows[JOIN_KEY].to_pylist())
        return {customer: day if customer in found else None for customer, day in wanted.items()}

    def withdraw(self, customers: Sequence[Customer]) -> None:
        """Take customers off who object to profiling; the caller holds the push log."""
        if customers:
            erase_online(self._workspace, self._settings, distinct(customers), scrubbed=False)

    def list_views(self) -> list[Any]:
        """List the views of features, once: the registry takes longer than a row to be written."""
        self._views = self._views or _of_features(self._feast)
        return self._views

    def push_again(self) -> None:
        """Put every pushed row online anew: the ledger that they rest on has changed."""
        with self.pushed.log.locked():
            state = self.refresh()
            if state is not None:
                _push(self._feast, self.pushed.rows(self.pushed.newer_than(state)))

    def holds(self, customers: Sequence[Customer]) -> bool:
        """Whether some customers are online: a server may have been emptied, or a file lost."""
        return all(self.online_reader().read(customers, Vocabulary())[1])

    def online_reader(self) -> OnlineReader:
        """Open the online store for reading.

        Raises
        ------
        WorkspaceError
            Nothing is online yet.
        """
        if self._state is None:
            raise WorkspaceError("no features are online yet; run `lifecycle score` first")
        return OnlineReader(self._feast, self._state)

    def _with_pushed(self, table: pa.Table, days: set[date]) -> pa.Table:
        """Put the rows that pushes made newer in the place of those of the snapshots."""
        if self._state is None or not self._names_as_online(self._state):
            return table
        asked = table[JOIN_KEY].unique().to_pylist()
        newer = self.pushed.newer_than(self._state, asked)
        for day in sorted(days):
            # Until the day that a customer's row is of, the row of any day may have changed.
            wanted = {customer: day for customer, until in newer.items() if day <= until}
            rows = self.pushed.rows(wanted)
            if rows is not None and rows.num_rows:
                table = _replaced(table, rows, day)
        return table

    def _names_as_online(self, state: OnlineState) -> bool:
        """Whether the ledger still names customers as what is online does, by integers or text."""
        return Ledger(self._workspace).customer_id_type == state.key_type

    def _apply(self, store: Any) -> None:  # noqa: ANN401 - Feast is untyped
        from features.views import definitions  # noqa: PLC0415

        objects = definitions(
            self._repository.snapshots,
            self._key_type,
            self._repository.settings.offline,
            self._repository.scores,
        )
        with _feasts_own_warnings():
            store.apply(list(objects.values()))


def _require_all(found: int, asked: int) -> None:
    if found != asked:
        raise WorkspaceError(
            f"the feature store returned {found} rows for {asked} asked; "
            "run `lifecycle features` again"
        )


def _typed(table: pa.Table) -> pa.Table:
    """Give features their types: a store that goes through pandas makes floats of some counts."""
    wanted = {field.name: field.type for field in snapshot_schema(pa.int64())}
    schema = pa.schema(
        [
            pa.field(f.name, wanted[f.name] if f.name in catalogue.NAMES else f.type)
            for f in table.schema
        ]
    )
    return table.cast(schema)


def _replaced(table: pa.Table, rows: pa.Table, day: date) -> pa.Table:
    """Replace rows of a day by others of the same customers, as often as they are there."""
    keys = rows[JOIN_KEY].combine_chunks()
    places = pc.index_in(table[JOIN_KEY].cast(keys.type), keys)
    of_day = pc.equal(table[TIMESTAMP], pa.scalar(closing(day), table[TIMESTAMP].type))
    places = pc.if_else(of_day, places, None).combine_chunks()
    chosen = pc.is_valid(places)
    kept = table.filter(pc.invert(chosen))
    news = rows.take(places.drop_null()).select(table.column_names).cast(table.schema)
    return pa.concat_tables([kept, news]).sort_by(
        [(TIMESTAMP, "ascending"), (JOIN_KEY, "ascending")]
    )


def _push(
    store: Any,  # noqa: ANN401 - Feast is untyped
    rows: pa.Table | None,
    views: list[Any] | None = None,
) -> None:
    """Write rows through Feast.

    Feast's own push writes a view after the other, and a reader in between sees two days in one
    vector; a packed store takes all views of a customer at once.
    """
    from features.stores.online import PackedOnlineStore  # noqa: PLC0415 - brings Feast
    from features.stores.rows import write_rows  # noqa: PLC0415
    from features.views import EVENTS  # noqa: PLC0415

    if rows is None or not rows.num_rows:
        return
    with _feasts_own_warnings():
        online = store.provider.online_store
        if isinstance(online, PackedOnlineStore):
            write_rows(online, store.config, views or _of_features(store), rows, TIMESTAMP)
        else:
            # Nullable columns of pandas: a null among integers must not make floats of them.
            store.push(EVENTS, rows.to_pandas(types_mapper=_NULLABLE.get))


def _of_features(store: Any) -> list[Any]:  # noqa: ANN401 - Feast is untyped
    """List Feast's views that a customer's row of features is written in."""
    return [view for view in store.list_feature_views() if view.name in catalogue.VIEWS]


_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}


@contextmanager
def _feasts_own_warnings() -> Iterator[None]:
    """Ignore what Feast warns of in the middle of its work.

    ibis calls a method of DuckDB's that warns of its successor; a view on demand is called
    experimental; and a view of which a customer has no value yet is not written by a push, and
    read as nothing all the same.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Cannot write dataframe with empty feature columns")
        yield
