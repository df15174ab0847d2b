"""What is online: which snapshot, where it stands, and how customers' rows are read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import catalogue
from features.catalogue import JOIN_KEY, SERVICES, KeyType
from features.days import day_number
from features.matrix import Vocabulary, matrix_of_rows
from features.workspace import Workspace, read_json, write_json

if TYPE_CHECKING:
    from features.stores.reader import RowReader

POINTER = "online.json"
PACKED = ("sqlite", "redis")
"""Online stores of the settings that hold a packed row a customer."""


@dataclass(frozen=True)
class OnlineState:
    """What the online store holds now: one snapshot, and the rows that pushes made newer.

    Attributes
    ----------
    as_of
        The last closed day, that of every row which no push has made newer.
    key
        The snapshot's key.
    generation
        Names this writing of the store: a new one stands beside the former until it is whole.
    store
        Which online store of the settings it is in.
    pushes
        The last pushed event that the snapshot holds; see :mod:`features.push_log`.
    """

    as_of: date
    key: str
    generation: str
    key_type: KeyType
    store: str = "sqlite"
    pushes: int = 0

    @property
    def file(self) -> str:
        """The file of a generation in SQLite."""
        return f"online-{self.generation}.db"


def read_state(workspace: Workspace, store: str | None = None) -> OnlineState | None:
    """Read which snapshot is online.

    Parameters
    ----------
    store
        The online store that is asked; what is in another one is not online in this one.
    """
    stored = read_json(workspace.feast / POINTER)
    if stored is None or "generation" not in stored or store not in (None, stored["store"]):
        return None
    return OnlineState(
        date.fromisoformat(stored["as_of"]),
        stored["key"],
        stored["generation"],
        stored["key_type"],
        stored["store"],
        stored["pushes"],
    )


def write_state(workspace: Workspace, state: OnlineState) -> None:
    """Move the pointer: from now on this is what is online."""
    write_json(
        workspace.feast / POINTER,
        {
            "as_of": state.as_of.isoformat(),
            "as_of_day": day_number(state.as_of),
            "key": state.key,
            "generation": state.generation,
            "key_type": state.key_type,
            "store": state.store,
            "pushes": state.pushes,
        },
    )


class OnlineReader:
    """Reads customers' current features by name, never by position."""

    def __init__(self, store: Any, state: OnlineState) -> None:  # noqa: ANN401 - Feast is untyped
        self._store = store
        self._service = store.get_feature_service(SERVICES["scorer"])
        self._direct = _direct(store, self._service) if state.store in PACKED else None
        self.state = state

    def read(
        self, customer_ids: Sequence[int | str], vocabulary: Vocabulary
    ) -> tuple[NDArray[np.float64], list[bool]]:
        """Read the features of some customers.

        Parameters
        ----------
        vocabulary
            The asking model's codes for categories.

        Returns
        -------
        matrix
            Float64, a row a customer, columns in the catalogue's order; NaN where unknown.
        found
            Whether each customer is in the store.
        """
        if not customer_ids:
            return np.empty((0, len(catalogue.NAMES))), []
        if self._direct is None:
            answer = self.rows(customer_ids)
            rows = [
                dict(zip(answer, row, strict=True)) for row in zip(*answer.values(), strict=True)
            ]
            matrix = matrix_of_rows(rows, vocabulary)
        else:
            matrix = self._direct.read(customer_ids, vocabulary)
        return matrix, [bool(known) for known in ~np.isnan(matrix[:, _AS_OF])]

    def rows(self, customer_ids: Sequence[int | str]) -> dict[str, list[Any]]:
        """Read the features of some customers as they are: by name, a value a customer."""
        answer: dict[str, list[Any]] = self._store.get_online_features(
            features=self._service,
            entity_rows=[{JOIN_KEY: customer_id} for customer_id in customer_ids],
        ).to_dict()
        return answer


class _DirectReader:
    """Reads packed rows into a matrix, past Feast's answer of a value each."""

    def __init__(self, rows: RowReader) -> None:
        self._rows = rows
        self._places = [catalogue.NAMES.index(name) for name in rows.numbers]
        self._categories = list(catalogue.CATEGORIES)
        self._category_places = [catalogue.NAMES.index(name) for name in self._categories]

    def read(
        self, customer_ids: Sequence[int | str], vocabulary: Vocabulary
    ) -> NDArray[np.float64]:
        found = self._rows.read(customer_ids)
        matrix = np.empty((len(customer_ids), len(catalogue.NAMES)))
        matrix[:, self._places] = found.matrix
        few = len(customer_ids) <= _FEW
        codes = [
            [vocabulary.code(name, text) for text in found.objects[name]]
            if few
            else vocabulary.codes(name, pa.array(found.objects[name], pa.string()))
            for name in self._categories
        ]
        matrix[:, self._category_places] = np.array(codes, np.float64).T
        return matrix


def _direct(store: Any, service: Any) -> _DirectReader:  # noqa: ANN401 - Feast is untyped
    from features.stores.reader import open_reader  # noqa: PLC0415 - brings Feast

    return _DirectReader(open_reader(store, service))


_FEW = 16
"""Customers up to whom a dictionary is quicker than Arrow."""
_AS_OF = catalogue.NAMES.index("as_of_day")
