"""The one door to features: Feast, offline for training and batch, online for the endpoint.

A materialisation writes a new online file and moves a pointer to it when it is whole, so that a
reader never sees half a day and a run that dies leaves the former values in place.
"""

from __future__ import annotations

import hashlib
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from features import catalogue
from features.catalogue import JOIN_KEY, SERVICES, KeyType
from features.days import closing, day_number
from features.errors import WorkspaceError
from features.workspace import Workspace, read_json, replacing, write_json

POINTER = "online.json"
_DEFINITIONS = '''"""What `feast apply` finds in this repository; written by lifecycle."""

from pathlib import Path

from features.views import definitions

globals().update(definitions(Path(__file__).parent.parent.resolve() / {folder!r}, {key_type!r}))
'''


@dataclass(frozen=True)
class OnlineState:
    """What the online store holds now: one snapshot, of one day."""

    as_of: date
    key: str
    file: str
    key_type: KeyType


class FeatureStore:
    """Feast over one workspace.

    Opening it writes the repository's files where they are missing; nothing is computed.
    """

    def __init__(self, workspace: Workspace, snapshots: Path, key_type: KeyType) -> None:
        self._workspace = workspace
        self._snapshots = snapshots.resolve()
        self._key_type: KeyType = key_type
        self._state = read_state(workspace)
        self._write_repository()
        self._feast = self._open(self._state.file if self._state else "online.db")

    @property
    def state(self) -> OnlineState | None:
        """What is online, or None before the first materialisation."""
        return self._state

    def apply(self) -> None:
        """Register the entity, the views and the feature services."""
        self._apply(self._feast)

    def historical(self, customers: pa.Array, moments: Sequence[date] | date) -> pa.Table:
        """Retrieve features as they were known at the end of each customer's day.

        Parameters
        ----------
        customers
            Customer ids, a row each.
        moments
            The day of each row, or one day for all.

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
        stamps = {day: pd.Timestamp(closing(day)) for day in set(days)}
        asked = pd.DataFrame(
            {
                JOIN_KEY: customers.to_pandas(),
                "event_timestamp": pd.Series([stamps[day] for day in days]).astype(
                    "datetime64[us, UTC]"
                ),
            }
        )
        job = self._feast.get_historical_features(
            entity_df=asked, features=self._feast.get_feature_service(SERVICES["scorer"])
        )
        table = job.to_arrow()
        if table.num_rows != len(asked):
            raise WorkspaceError(
                f"the feature store returned {table.num_rows} rows for {len(asked)} asked; "
                "run `lifecycle features` again"
            )
        return table.sort_by([("event_timestamp", "ascending"), (JOIN_KEY, "ascending")])

    def materialise(self, as_of: date, key: str) -> OnlineState:
        """Put one day's snapshot online, all of it or nothing.

        Parameters
        ----------
        as_of
            The snapshot's day; its file must exist.
        key
            The snapshot's key, kept so that an unchanged day is not written twice.
        """
        file = f"online-{as_of.isoformat()}-{uuid.uuid4().hex[:8]}.db"
        state = OnlineState(as_of, key, file, self._key_type)
        store = self._open(state.file)
        self._apply(store)
        end = closing(as_of)
        with warnings.catch_warnings():
            # ibis calls a method of DuckDB's that warns of its successor.
            warnings.simplefilter("ignore", DeprecationWarning)
            store.materialize(start_date=end - timedelta(hours=1), end_date=end)
        write_json(self._workspace.feast / POINTER, _state_to_json(state))
        former, self._state, self._feast = self._state, state, store
        self._write_repository()
        self._delete_online_files(keep={state.file, former.file if former else ""})
        return state

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

    def _apply(self, store: Any) -> None:  # noqa: ANN401 - Feast is untyped
        from features.views import definitions  # noqa: PLC0415

        objects = definitions(self._snapshots, self._key_type)
        store.apply(list(objects.values()))

    def _open(self, online_file: str) -> Any:  # noqa: ANN401 - Feast is untyped
        import feast  # noqa: PLC0415 - takes seconds, and most verbs never need it

        return feast.FeatureStore(
            config=feast.RepoConfig(
                repo_path=self._workspace.feast.resolve(), **self._config(online_file)
            )
        )

    def _config(self, online_file: str) -> dict[str, Any]:
        folder = self._workspace.feast.resolve()
        return {
            "project": "lifecycle",
            "provider": "local",
            "registry": {
                "registry_type": "sql",
                "path": f"sqlite:///{folder / 'registry.db'}",
                "cache_ttl_seconds": 0,
            },
            "offline_store": {"type": "duckdb"},
            "online_store": {"type": "sqlite", "path": str(folder / online_file)},
            "entity_key_serialization_version": 3,
        }

    def _write_repository(self) -> None:
        """Keep the files that the ``feast`` command reads in step with this store."""
        folder = self._workspace.feast
        config = self._config(self._state.file if self._state else "online.db")
        relative = self._snapshots.relative_to(self._workspace.root.resolve())
        contents = {
            "feature_store.yaml": yaml.safe_dump(config, sort_keys=False),
            "definitions.py": _DEFINITIONS.format(
                folder=relative.as_posix(), key_type=self._key_type
            ),
        }
        for name, content in contents.items():
            path = folder / name
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                with replacing(path) as temporary:
                    temporary.write_text(content, encoding="utf-8")

    def _delete_online_files(self, keep: set[str]) -> None:
        for path in self._workspace.feast.glob("online*.db"):
            if path.name not in keep:
                path.unlink(missing_ok=True)


class OnlineReader:
    """Reads customers' current features by name, never by position."""

    def __init__(self, store: Any, state: OnlineState) -> None:  # noqa: ANN401 - Feast is untyped
        self._store = store
        self._service = store.get_feature_service(SERVICES["scorer"])
        self.state = state

    def read(self, customer_ids: Sequence[int | str]) -> tuple[NDArray[np.float64], list[bool]]:
        """Read the features of some customers.

        Returns
        -------
        matrix
            Float64, a row a customer, columns in the catalogue's order; NaN where unknown.
        found
            Whether each customer is in the store.
        """
        if not customer_ids:
            return np.empty((0, len(catalogue.NAMES))), []
        answer = self._store.get_online_features(
            features=self._service,
            entity_rows=[{JOIN_KEY: customer_id} for customer_id in customer_ids],
        ).to_dict()
        matrix = np.array(
            [
                [np.nan if value is None else value for value in answer[name]]
                for name in catalogue.NAMES
            ],
            dtype=np.float64,
        ).T
        return matrix, [value is not None for value in answer["as_of_day"]]


def matrix_of(table: pa.Table) -> NDArray[np.float64]:
    """Turn a table of features into a Float64 matrix in the catalogue's order; null is NaN."""
    columns = [
        table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in catalogue.NAMES
    ]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float64)


def read_state(workspace: Workspace) -> OnlineState | None:
    """Read which snapshot is online."""
    stored = read_json(workspace.feast / POINTER)
    if stored is None:
        return None
    return OnlineState(
        date.fromisoformat(stored["as_of"]), stored["key"], stored["file"], stored["key_type"]
    )


def _state_to_json(state: OnlineState) -> dict[str, Any]:
    return {
        "as_of": state.as_of.isoformat(),
        "as_of_day": day_number(state.as_of),
        "key": state.key,
        "file": state.file,
        "key_type": state.key_type,
    }


def matrix_digest(table: pa.Table) -> str:
    """Fingerprint a training set: its customers, days and every feature, bit for bit."""
    digest = hashlib.sha256()
    for name in (JOIN_KEY, "event_timestamp"):
        digest.update(repr(table[name].combine_chunks().cast(pa.string()).to_pylist()).encode())
    digest.update(matrix_of(table).tobytes())
    return digest.hexdigest()
