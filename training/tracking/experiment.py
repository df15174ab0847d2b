"""The experiment: named by task and data, described in words, with a table that ranks fairly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from features.settings import Settings
from features.workspace import Workspace

if TYPE_CHECKING:
    from training.registry import Registry

# Without it the UI opens the experiment as one of language models.
KIND = {"mlflow.experimentKind": "custom_model_development"}
NOTE = "mlflow.note.content"
VIEW = "skills"
"""Name of the shared view, as the link has it."""
COLUMNS = (
    "tags.`decision`",
    "tags.`grade`",
    "metrics.`skill/primary`",
    "metrics.`skill/log_loss`",
    "metrics.`skill/spend_deviance`",
    "tags.`why`",
    "metrics.`skill/primary_lower`",
    "metrics.`skill/primary_upper`",
    "tags.`evaluation_days`",
    "tags.`evaluation_day`",
)


def experiment_name(settings: Settings, horizon_days: int) -> str:
    """Name the experiment by task and data: runs in one table can be compared."""
    return f"{settings.data.name} churn and spend in {horizon_days} days"


def find_experiment(
    client: Any,  # noqa: ANN401 - MLflow is untyped
    name: str,
    workspace: Workspace,
    settings: Settings,
    tags: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401
    """Find an experiment by its name, or make it, with tags.

    Its artifacts are in the workspace, unless a tracking server keeps them.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        own = settings.stores.tracking_uri is None
        place = (workspace.mlflow / "artifacts").resolve().as_uri() if own else None
        client.create_experiment(name, artifact_location=place, tags=dict(tags or {}))
        found = client.get_experiment_by_name(name)
    return found


def open_experiment(
    client: Any,  # noqa: ANN401 - MLflow is untyped
    registry: Registry,
    workspace: Workspace,
    settings: Settings,
    horizon_days: int,
) -> tuple[str, str]:
    """Find the experiment, or make and describe it; gives its id and name.

    A description that an analyst has changed stays.
    """
    name = registry.named(experiment_name(settings, horizon_days))
    found = find_experiment(client, name, workspace, settings, KIND)
    key = str(found.experiment_id)
    tags = {f"mlflow.sharedViewState.{VIEW}": view()}
    if NOTE not in found.tags:
        tags[NOTE] = description(key, settings, horizon_days)
    for tag, value in tags.items():
        if found.tags.get(tag) != value:
            client.set_experiment_tag(key, tag, value)
    return key, name


def description(experiment_id: str, settings: Settings, horizon_days: int) -> str:
    """Say how to read the table of runs, in Markdown.

    The link comes first: the UI shows the first line alone.
    """
    return f"""\
**[Which is better, and why]({address(experiment_id)})**: one run a training, on churn and spend \
of the customers of {settings.data.name} in the {horizon_days} days after a day.

- **Compare runs by `skill/...` alone**: the share of the best baseline's loss that a model saves \
on the same customers and days, 0 level, 1 perfect, with its 95% interval (`_lower`, `_upper`). \
`skill/primary` is the mean of churn (log loss) and spend (deviance).
- `newest_day/...` and `pooled/...` are raw figures of the days in the tag `evaluation_day` and in \
the parameter `judged_days`; an easier day flatters any model, so never rank by them. Steps are \
the judged days. The baselines on the same days are in each run's table `judged.json`.
- A run is named by the day that it learned until, its grade and its primary skill. The tag \
`decision` is what the gate said of it (champion, replaced, refused), `why` the reason.
- Each run says in words what it is worth; its pictures are under Artifacts, `plots`.
- Search: `tags.grade = 'A'`, `tags.kind = 'lightgbm'`, ``metrics.`skill/primary` > 0.05``.
"""


def address(experiment_id: str) -> str:
    """Where the MLflow UI shows the runs in order of skill, behind the server's address.

    Without the workflow the UI of 3.17 greets a first visitor with pages on language models.
    """
    return (
        f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
    )


def view() -> str:
    """Give the state of the runs' table that the link opens.

    It is the MLflow UI's own format, of 3.17, and documented nowhere: a UI that cannot read it
    opens the experiment's start page instead.
    """
    return json.dumps(
        {
            "selectedColumns": list(COLUMNS),
            "columnOrder": list(COLUMNS),
            "orderByKey": "metrics.`skill/primary`",
            "orderByAsc": False,
            "searchFilter": "",
        }
    )
