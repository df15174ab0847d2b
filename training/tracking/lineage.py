"""Where a scorer comes from: its data, by content and by days, and each of its features."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from features import catalogue
from features.settings import Settings
from training.dataset import NOT_LEARNED, TREE_FEATURES
from training.plots.features import gain_shares
from training.tracking.training import Training

LONGEST_DIGEST = 36
"""Of MLflow's."""
_TYPES = {"count": "long", "measure": "double", "category": "string"}


def features(training: Training) -> pl.DataFrame:
    """List every feature of the catalogue, where it comes from and what became of it.

    Returns
    -------
    polars.DataFrame
        A row a feature: view, source table, version of the list, how many of today's customers it
        is known of, whether trees learn from it, and its share of their gain.
    """
    today, trees = training.today, training.learned.trees
    rows = max(today.num_rows, 1)
    gains = {
        task: dict(zip(TREE_FEATURES, gain_shares(booster), strict=True))
        for task, booster in (("churn", trees.churn), ("spend", trees.spend))
    }
    return pl.DataFrame(
        [
            {
                "feature": feature.name,
                "view": feature.view,
                "table": feature.table,
                "version": catalogue.VERSION,
                "kind": feature.kind,
                "unit": feature.unit,
                "meaning": feature.meaning,
                "learned_from": feature.name not in NOT_LEARNED,
                "known_of": round(1 - today[feature.name].null_count / rows, 4),
                "churn_gain": round(float(gains["churn"].get(feature.name, 0.0)), 4),
                "spend_gain": round(float(gains["spend"].get(feature.name, 0.0)), 4),
            }
            for feature in catalogue.FEATURES
        ]
    )


def datasets(training: Training, settings: Settings) -> list[Any]:
    """Describe the data that was learned from, and the days that it was judged on, for MLflow."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    name, digest = settings.data.name, training.fingerprint[:LONGEST_DIGEST]
    matured = training.learned.calendar.matured
    profile = {
        "rows": training.rows,
        "snapshot_days": [day.isoformat() for day in matured],
        "outcomes_until": training.bundle.as_of.isoformat(),
    }
    found = [(name, "training", profile)]
    if training.contests:
        days = [contest.day.isoformat() for contest in training.contests]
        rows = sum(len(contest.customer_ids) for contest in training.contests)
        found.append((f"{name}, judged days", "evaluation", {"rows": rows, "snapshot_days": days}))
    return [
        DatasetInput(
            Dataset(
                given, digest, "feast", json.dumps(_source(training)), json.dumps(_schema()),
                json.dumps(about),
            ),
            [InputTag("mlflow.data.context", context)],
        )
        for given, context, about in found
    ]  # fmt: skip


def _source(training: Training) -> dict[str, Any]:
    given = training.bundle.data_available
    return {
        "feature_service": training.bundle.feature_service,
        "feature_views": {name: view.table for name, view in catalogue.VIEWS.items()},
        "tables_with_data": sorted(given),
        "data_fingerprint": training.fingerprint,
    }


def _schema() -> dict[str, Any]:
    columns = [
        {"name": feature.name, "type": _TYPES[feature.kind], "required": True}
        for feature in catalogue.FEATURES
    ]
    return {"mlflow_colspec": columns}
