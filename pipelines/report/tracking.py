"""A report in MLflow: a run for each day and kind of period, with the page and every indicator."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pipelines.context import Context
from pipelines.report.contents import Contents
from pipelines.report.findings import Findings
from serving.sentences import Language
from training.tracking.experiment import KIND, NOTE, find_experiment

DESCRIPTION = (
    "The lifecycle reports of {name}, a run for each day and kind of period: the page and all its "
    "numbers under Artifacts, the newest value of every indicator under Metrics."
)


def log_report(
    context: Context,
    contents: Contents,
    found: Findings,
    language: Language,
    page: Path,
    said: dict[str, list[str]],
) -> str:
    """Keep a report; the same day's and kind's takes the place of the former in its language.

    Neither page nor numbers name a customer. Gives the run's id.
    """
    import mlflow  # noqa: PLC0415 - takes seconds to import

    registry, settings = context.registry(), context.settings
    mlflow.set_tracking_uri(registry.uri)
    client = mlflow.MlflowClient(registry.uri, registry.uri)
    name = registry.named(f"{settings.data.name} lifecycle report")
    tags = {**KIND, NOTE: DESCRIPTION.format(name=settings.data.name)}
    experiment = find_experiment(client, name, context.workspace, settings, tags)
    key = str(experiment.experiment_id)
    marks = {"as_of": contents.as_of.isoformat(), "period": contents.period.key}
    asked = " and ".join(f"tags.{tag} = '{value}'" for tag, value in marks.items())
    former = client.search_runs([key], asked, max_results=1)
    run = former[0] if former else client.create_run(key, run_name=contents.period.key, tags=marks)
    run_id = str(run.info.run_id)
    note = "\n".join(f"- {line}" for lines in said.values() for line in lines)
    client.set_tag(run_id, NOTE, note)
    client.set_tag(run_id, "changed_beyond_noise", ", ".join(c.series.key for c in found.real))
    for series in contents.series:
        newest = series.newest
        if newest is not None:
            value = series.points[newest].value
            client.log_metric(run_id, f"{series.theme}/{series.key}", value)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / f"report.{language}.html"
        kept.write_bytes(page.read_bytes())
        numbers = Path(folder) / "report.json"
        numbers.write_text(json.dumps(contents.to_dict(), indent=1) + "\n", encoding="utf-8")
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id)
    return run_id
