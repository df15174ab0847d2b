"""A watch in MLflow: a run a day, its figures by name, what was told in words."""

from __future__ import annotations

import re
from typing import Any

from pipelines.context import Context
from pipelines.watching.checks import Alert, Check
from training.tracking.experiment import KIND, NOTE, find_experiment
from training.tracking.metrics import Number
from training.tracking.trials import log_numbers

DESCRIPTION = (
    "The health of data and predictions of {name}, a run for each day that was watched: every "
    "figure that was checked under Metrics, `alarms` and `notices` counted, what was told in the "
    "description. Search: `metrics.alarms > 0`."
)
DIGEST = "digest"


def experiment_name(context: Context) -> str:
    """Name the experiment by the data."""
    return context.registry().named(f"{context.settings.data.name} health")


def log_watch(
    context: Context,
    as_of: str,
    digest: str,
    checks: tuple[Check, ...],
    alerts: tuple[Alert, ...],
    matured: dict[str, Any] | None,
) -> str:
    """Keep what was seen on a day; the same again changes nothing. Gives the run's id."""
    import mlflow  # noqa: PLC0415 - takes seconds to import

    registry = context.registry()
    client = mlflow.MlflowClient(registry.uri, registry.uri)
    key = _experiment(client, context)
    former = client.search_runs([key], f"tags.as_of = '{as_of}'", max_results=1)
    if former and former[0].data.tags.get(DIGEST) == digest:
        return str(former[0].info.run_id)
    run = former[0] if former else client.create_run(key, run_name=as_of, tags={"as_of": as_of})
    run_id = str(run.info.run_id)
    alarms = [alert for alert in alerts if alert.severity == "alarm"]
    numbers = [
        Number("alarms", len(alarms)),
        Number("notices", len(alerts) - len(alarms)),
        *(Number(metric_name(check.key), check.value) for check in checks),
    ]
    log_numbers(client, run_id, numbers)
    told = "\n".join(f"- **{alert.severity}** {alert.sentence}" for alert in alerts)
    client.set_tag(run_id, NOTE, told or "Nothing to tell.")
    client.set_tag(run_id, "alarms", ", ".join(alert.key for alert in alarms)[:5000])
    client.log_dict(run_id, {"checks": [check.to_dict() for check in checks]}, "checks.json")
    if matured is not None:
        client.log_dict(run_id, matured, "said_against_seen.json")
    client.set_tag(run_id, DIGEST, digest)
    client.set_terminated(run_id)
    return run_id


def metric_name(key: str) -> str:
    """Write a key so that MLflow takes it.

    >>> metric_name("data/orders/channel/app (new)")
    'data/orders/channel/app _new_'
    """
    return re.sub(r"[^/\w.\- :]", "_", key)[:250]


def _experiment(client: Any, context: Context) -> str:  # noqa: ANN401 - MLflow is untyped
    name, settings = experiment_name(context), context.settings
    tags = {**KIND, NOTE: DESCRIPTION.format(name=settings.data.name)}
    found = find_experiment(client, name, context.workspace, settings, tags)
    return str(found.experiment_id)
