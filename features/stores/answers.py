"""An answer of Feast's whose protobuf is made only if somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from features.stores.packing import Unpacked
from features.stores.schema import RowField
from features.stores.values import to_protos, to_python

_MILLION = 1_000_000


@dataclass(frozen=True)
class ViewAnswer:
    """What one view answers.

    Attributes
    ----------
    names
        What each feature is called in the answer.
    fields
        The features.
    read
        The rows of the entities that were looked up, each once.
    order
        Which looked up entity stands in which row of the answer; None if they are the same.
    """

    names: Sequence[str]
    fields: Sequence[RowField]
    read: Unpacked
    order: NDArray[np.intp] | None

    def spread(self, values: list[Any]) -> list[Any]:
        """Bring values of the looked up entities into the answer's rows."""
        return values if self.order is None else [values[place] for place in self.order]

    def vectors(self) -> list[Any]:
        """Make Feast's vectors of values, one a feature."""
        stamps = self.spread(_timestamps(self.read))
        vectors = []
        for field in self.fields:
            present = self.read.holds(field).tolist()
            statuses = [FieldStatus.PRESENT if p else FieldStatus.NOT_FOUND for p in present]
            vectors.append(
                GetOnlineFeaturesResponse.FeatureVector(
                    values=self.spread(to_protos(field, self.read.values(field))),
                    statuses=self.spread(statuses),
                    event_timestamps=stamps,
                )
            )
        return vectors


def _timestamps(read: Unpacked) -> list[Timestamp]:
    return [
        Timestamp(seconds=micros // _MILLION, nanos=micros % _MILLION * 1000)
        for micros in read.event.tolist()
    ]


class PackedOnlineResponse(OnlineResponse):  # type: ignore[misc] # Feast is untyped
    """Feast's answer to one question, over rows that are still packed.

    Everything that ``OnlineResponse`` does it does too, with the same values. ``to_dict`` reads
    the rows themselves; ``proto`` is built when it is first asked for.

    Parameters
    ----------
    keys
        An answer that holds the join keys alone.
    views
        What each view answers, in order.
    feature_types
        Types by name, as for ``OnlineResponse``.
    """

    def __init__(
        self,
        keys: GetOnlineFeaturesResponse,
        views: Sequence[ViewAnswer],
        feature_types: dict[str, ValueType],
    ) -> None:
        self._keys = keys
        self._views = views
        self._whole: GetOnlineFeaturesResponse | None = None
        self._feature_types = feature_types

    @property
    def proto(self) -> GetOnlineFeaturesResponse:
        """The answer as Feast's protobuf."""
        if self._whole is None:
            whole = GetOnlineFeaturesResponse()
            whole.CopyFrom(self._keys)
            for view in self._views:
                whole.metadata.feature_names.val.extend(view.names)
                whole.results.extend(view.vectors())
            self._whole = OnlineResponse(whole).proto
        return self._whole

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Give each feature's values, as ``OnlineResponse.to_dict`` does."""
        if self._whole is not None:
            whole: dict[str, Any] = OnlineResponse(self._whole, self._feature_types).to_dict(
                include_event_timestamps
            )
            return whole
        answer: dict[str, Any] = OnlineResponse(self._keys, self._feature_types).to_dict(
            include_event_timestamps
        )
        for view in self._views:
            seconds = view.spread((view.read.event // _MILLION).tolist())
            for name, field in zip(view.names, view.fields, strict=True):
                answer[name] = view.spread(to_python(field, view.read.values(field)))
                if include_event_timestamps:
                    answer[name + TIMESTAMP_POSTFIX] = list(seconds)
        return answer
