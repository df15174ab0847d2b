"""The feature list as Feast objects: an entity, a view a theme, a feature service a model.

The functions build objects and touch nothing; ``feast apply`` finds them through the
``definitions.py`` that :mod:`features.store` writes into the workspace's repository.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float64, Int64, String

from features import catalogue
from features.catalogue import JOIN_KEY, SERVICES, KeyType

ENTITY = "customer"
OWNER = "lifecycle"
TIME_TO_LIVE = timedelta(hours=12)
"""A snapshot speaks for its own day alone: a training row never gets an older day's features.

Less than a day, because Feast counts the end of the time to live as within it.
"""


def definitions(snapshots: Path, key_type: KeyType) -> dict[str, Any]:
    """Build every Feast object over a folder of snapshots.

    Parameters
    ----------
    snapshots
        Folder of Parquet files, absolute.
    key_type
        Whether customers are named by integers or text.

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
        owner=OWNER,
    )
    source = FileSource(
        name="order_snapshots",
        path=str(snapshots),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        description="Order features, one file a day, stamped with the day's last microsecond",
        owner=OWNER,
    )
    views = {
        name: _view(name, meaning, customer, source, key_type)
        for name, meaning in catalogue.VIEWS.items()
    }
    services = {
        service: FeatureService(
            name=service,
            features=list(views.values()),
            description=f"Input of the model {model}, version {catalogue.VERSION} of the list",
            tags={"model": model, "catalogue_version": str(catalogue.VERSION)},
            owner=OWNER,
        )
        for model, service in SERVICES.items()
    }
    return {"customer": customer, "order_snapshots": source, **views, **services}


def _view(
    name: str, meaning: str, customer: Entity, source: FileSource, key_type: KeyType
) -> FeatureView:
    fields = [
        Field(
            name=feature.name,
            dtype=Int64 if feature.kind == "count" else Float64,
            description=f"{feature.meaning} ({feature.unit})",
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
        description=meaning,
        tags={"theme": name, "table": "orders"},
        owner=OWNER,
    )
