"""The feature list as Feast objects: an entity, a view a theme, a feature service a model.

The functions build objects and touch nothing; ``feast apply`` finds them through the
``definitions.py`` that :mod:`features.repository` writes into the workspace's repository.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    ValueType,
)
from feast.data_format import ParquetFormat
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Float64, Int64, String, UnixTimestamp

from features import catalogue
from features.catalogue import JOIN_KEY, SERVICES, KeyType
from features.scores import LOOKED_UP, SERVICE, VERSION, VIEW

ENTITY = "customer"
OWNER = "lifecycle"
EVENTS = "customer_events"
"""The push source: a customer's whole row, made anew when an event arrives."""

STANDING = "purchase_standing"
CARD = f"customer_card_v{catalogue.VERSION}"
"""Feature service for people: all views, and what follows from a row and its own day."""

TIME_TO_LIVE = timedelta(hours=12)
"""A snapshot speaks for its own day alone: a training row never gets an older day's features.

Less than a day, because Feast counts the end of the time to live as within it. Online it is not
enforced: the row of the last closed day is the answer until there is a newer one, and says its day.
"""

_TYPES = {"count": Int64, "measure": Float64, "category": String}
_SCORE_TYPES = {"number": Float64, "whole": Int64, "text": String, "moment": UnixTimestamp}


SCORES_TO_LIVE = timedelta(days=31)
"""Scores are looked up until there are newer ones, but not for longer than a month."""


def definitions(
    snapshots: Path, key_type: KeyType, offline: str = "snapshots", scores: Path | None = None
) -> dict[str, Any]:
    """Build every Feast object over a folder of snapshots and one of scores.

    Parameters
    ----------
    snapshots
        Folder of Parquet files, absolute.
    key_type
        Whether customers are named by integers or text.
    offline
        Feast's offline store, as in the settings: Spark reads a source of its own kind.
    scores
        Folder of scores, likewise. Before the first scoring there is nothing to look up, and no
        view: Feast cannot materialise a source without files.

    Returns
    -------
    dict
        Attribute name to object, as ``feast apply`` collects them from a module.
    """
    customer = Entity(
        name=ENTITY,
        join_keys=[JOIN_KEY],
        value_type=ValueType.INT64 if key_type == "integer" else ValueType.STRING,
        description="A person or account that buys",
        tags={"key_type": key_type},
        owner=OWNER,
    )
    events = PushSource(
        name=EVENTS,
        batch_source=_snapshots(snapshots, offline),
        description="A customer's whole row as of the newest fact known, after a push of events",
        owner=OWNER,
    )
    views = {
        name: _view(name, theme, customer, events, key_type)
        for name, theme in catalogue.VIEWS.items()
    }
    standing = _standing(views["purchase_history"], views["purchase_rhythm"])
    services = {
        service: FeatureService(
            name=service,
            features=list(views.values()),
            description=f"Input of the model {model}, version {catalogue.VERSION} of the list",
            tags={"model": model, **_VERSION},
            owner=OWNER,
        )
        for model, service in SERVICES.items()
    }
    services[CARD] = FeatureService(
        name=CARD,
        features=[*views.values(), standing],
        description="Everything known of a customer, with the day in words",
        tags=_VERSION,
        owner=OWNER,
    )
    looked_up = {}
    if scores is not None and any(scores.glob("[!.]*.parquet")):
        view = _scores(scores, offline, customer, key_type)
        looked_up[VIEW] = view
        services[SERVICE] = FeatureService(
            name=SERVICE,
            features=[view],
            description="What the champion said of a customer on the last day that was scored",
            tags={"scores_version": str(VERSION)},
            owner=OWNER,
        )
    return {
        "customer": customer, EVENTS: events, **views, STANDING: standing, **looked_up, **services,
    }  # fmt: skip


_VERSION = {"catalogue_version": str(catalogue.VERSION)}


def _snapshots(folder: Path, offline: str) -> Any:  # noqa: ANN401 - Feast is untyped
    what = "Features of every known customer, one file a day, stamped with the day's last moment"
    return _folder("snapshots", folder, offline, what)


def _folder(name: str, folder: Path, offline: str, what: str) -> Any:  # noqa: ANN401
    if offline == "spark":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import (  # noqa: PLC0415
            SparkSource,
        )

        return SparkSource(
            # A registry that knows the name as a file's would read this as one.
            name=f"{name}_on_spark",
            path=str(folder),
            file_format="parquet",
            timestamp_field="event_timestamp",
            description=what,
            owner=OWNER,
        )
    return FileSource(
        name=name,
        path=str(folder),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        description=what,
        owner=OWNER,
    )


def _scores(folder: Path, offline: str, customer: Entity, key_type: KeyType) -> FeatureView:
    what = "Scores of every known customer, one file a day, stamped with the day's last moment"
    fields = [
        Field(
            name=column.name,
            dtype=_SCORE_TYPES[column.kind],
            description=column.meaning,
            tags={"kind": column.kind},
        )
        for column in LOOKED_UP
    ]
    key = Field(name=JOIN_KEY, dtype=Int64 if key_type == "integer" else String)
    return FeatureView(
        name=VIEW,
        entities=[customer],
        ttl=SCORES_TO_LIVE,
        schema=[key, *fields],
        source=_folder("scored_days", folder, offline, what),
        online=True,
        description="What the champion said of a customer",
        tags={"theme": VIEW, "scores_version": str(VERSION)},
        owner=OWNER,
    )


def _view(
    name: str, theme: catalogue.View, customer: Entity, source: PushSource, key_type: KeyType
) -> FeatureView:
    fields = [
        Field(
            name=feature.name,
            dtype=_TYPES[feature.kind],
            description=f"{feature.meaning} ({feature.unit})",
            tags={"kind": feature.kind, "unit": feature.unit},
        )
        for feature in catalogue.in_view(name)
    ]
    key = Field(name=JOIN_KEY, dtype=Int64 if key_type == "integer" else String)
    return FeatureView(
        name=name,
        entities=[customer],
        ttl=TIME_TO_LIVE,
        schema=[key, *fields],
        source=source,
        online=True,
        description=theme.meaning,
        tags={"theme": name, "table": theme.table, **_VERSION},
        owner=OWNER,
    )


def purchase_standing(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Say where customers stand on their rows' own day; no clock is asked.

    ``as_of`` is the row's day as YYYY-MM-DD, ``overdue`` whether the silence is longer than the
    usual gap (0 or 1), ``overdue_days`` by how many days; null where the row has no such fact.

    >>> row = {"as_of_day": 10408, "lateness": 1.5, "recency_days": 30, "gap_mean_days": 20.0}
    >>> purchase_standing({name: [value, None] for name, value in row.items()})
    {'as_of': ['1998-07-01', None], 'overdue': [1, None], 'overdue_days': [10.0, None]}
    """
    # Feast keeps this function's own source, so that it names what it needs inside.
    import datetime  # noqa: PLC0415

    first = datetime.date(1970, 1, 1).toordinal()
    return {
        "as_of": [
            None if day is None else datetime.date.fromordinal(first + int(day)).isoformat()
            for day in rows["as_of_day"]
        ],
        "overdue": [None if late is None else int(late > 1) for late in rows["lateness"]],
        "overdue_days": [
            None if silence is None or usual is None else max(float(silence) - usual, 0.0)
            for silence, usual in zip(rows["recency_days"], rows["gap_mean_days"], strict=True)
        ],
    }


def _standing(*views: FeatureView) -> OnDemandFeatureView:
    # Feast's singleton mode would answer for the first of several customers alone.
    return OnDemandFeatureView(
        name=STANDING,
        sources=list(views),
        schema=[
            Field(name="as_of", dtype=String),
            Field(name="overdue", dtype=Int64),
            Field(name="overdue_days", dtype=Float64),
        ],
        feature_transformation=PythonTransformation(
            udf=purchase_standing, udf_string=inspect.getsource(purchase_standing)
        ),
        mode="python",
        description="The row's day in words, and whether a purchase is overdue on it",
        tags={"theme": STANDING, "table": "orders", **_VERSION},
        owner=OWNER,
    )
