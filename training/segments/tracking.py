"""A fit of segments as a run of its own experiment."""

from __future__ import annotations

from pathlib import Path

from features.settings import Settings
from features.workspace import Workspace
from training.registry import Registry
from training.segments.fit import Segments
from training.tracking.experiment import find_experiment


def log_segments(
    registry: Registry, workspace: Workspace, settings: Settings, fitted: Segments, rows: Path
) -> None:
    """Record a division of a day's customers: how stable it is, its report and its fit."""
    import mlflow  # noqa: PLC0415 - takes seconds to import

    mlflow.set_tracking_uri(registry.uri)
    client = mlflow.MlflowClient(registry.uri, registry.uri)
    name = registry.named(f"{settings.data.name} segments")
    experiment = find_experiment(client, name, workspace, settings)
    found = fitted.clusters
    with mlflow.start_run(experiment_id=experiment.experiment_id, run_name=f"on {rows.stem}"):
        mlflow.log_params(
            {
                "as_of": rows.stem,
                "fitted_on": fitted.fitted_on.isoformat(),
                "traits": "none" if found is None else ", ".join(found.traits.names),
                "why_no_clusters": fitted.why or "there are some",
            }
        )
        mlflow.log_metric("clusters", 0 if found is None else len(found.centres))
        for one in fitted.tried:
            mlflow.log_metric("agreement", one.agreement, step=one.clusters)
            mlflow.log_metric("least_jaccard", min(one.jaccard), step=one.clusters)
        mlflow.log_artifact(str(rows.with_suffix(".json")))
        mlflow.log_dict(fitted.to_dict(), "fit.json")
