"""One training as one MLflow run, and its scorer as one registered version."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features import catalogue
from features.settings import Settings
from features.workspace import Workspace
from training.grade import NOT_JUDGED
from training.plots.album import Album
from training.recipe import ALL_TASKS, parameters_of
from training.registry import (
    ABOUT_THE_MODEL,
    DECISION,
    MANIFEST_TAG,
    UNDECIDED,
    WHY,
    Registry,
)
from training.tracking import lineage
from training.tracking.drift import FILE, Drift, since_champion
from training.tracking.experiment import NOTE, open_experiment
from training.tracking.judged_table import judged_table
from training.tracking.metrics import judged, moved
from training.tracking.models import Registered, log_boosters, register
from training.tracking.note import note
from training.tracking.population import Population
from training.tracking.training import Training
from training.tracking.trials import log_numbers, log_trials, table

JUDGED = "judged.json"
"""Table of raw figures, ours beside the baselines', which the UI shows and compares over runs."""


@dataclass(frozen=True)
class Logged:
    """Where a training was recorded."""

    experiment: str
    run_id: str
    version: int


def log_training(
    training: Training,
    registry: Registry,
    workspace: Workspace,
    settings: Settings,
    also: Mapping[str, str] | None = None,
    keep: Callable[[Logged], None] = lambda logged: None,
) -> Logged:
    """Record a training as one run and register its scorer as a new version.

    Parameters
    ----------
    also
        More tags of the version.
    keep
        Told of the version before it counts as one, to write what must not be missing then.
    """
    import mlflow  # noqa: PLC0415 - takes seconds to import

    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    client = mlflow.MlflowClient(registry.uri, registry.uri)
    bundle, threads = training.bundle, settings.training.threads
    experiment, name = open_experiment(client, registry, workspace, settings, bundle.horizon_days)
    today = Population.of(bundle, training.today, training.customers, threads)
    drift = since_champion(training, today, registry, threads)
    album = Album(training, drift, threads)
    words = note(training, settings, drift, album.names)
    tags = _tags(training, settings)
    with mlflow.start_run(experiment_id=experiment, run_name=name_of(training)) as run:
        run_id = run.info.run_id
        mlflow.set_tags({**tags, NOTE: words})
        mlflow.log_params(_parameters(training, settings))
        client.log_inputs(run_id, lineage.datasets(training, settings))
        _log_files(training, album, today)
        if training.evaluation is not None:
            mlflow.log_table(judged_table(training.evaluation), JUDGED)
        log_boosters(training.learned.trees, registry.model)
        registered = register(bundle, registry.model, {**tags, **(also or {})})
        _log_numbers(client, run_id, training, drift, registered)
    logged = Logged(name, run_id, registered.version)
    keep(logged)
    _describe(client, registry.model, registered, words)
    return logged


def name_of(training: Training) -> str:
    """Name a run by its day, grade and skill: as much as the UI's table shows of a name."""
    day, evaluation = training.bundle.as_of, training.evaluation
    if evaluation is None:
        return f"{day} not judged"
    skill = evaluation.pooled.skills["primary"].value
    return f"{day} {evaluation.grade.letter} {skill:+.3f}"


def _log_files(training: Training, album: Album, today: Population) -> None:
    """Write every artifact into one folder, and log that."""
    import mlflow  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        album.save(folder / "plots")
        lineage.features(training).write_csv(folder / "features.csv")
        if training.evaluation is not None:
            _write(folder / "evaluation.json", training.evaluation.to_dict())
        _write(folder / FILE, today.to_dict())
        if training.bundle.lifts.tried:
            _write(folder / "effects.json", training.bundle.lifts.to_dict())
        for task in ALL_TASKS:
            trials = getattr(training.learned.recipe, task).trials
            if trials:
                (folder / "tuning").mkdir(exist_ok=True)
                table(trials).write_csv(folder / "tuning" / f"{task}_trials.csv")
        mlflow.log_artifacts(str(folder))


def _write(file: Path, values: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _log_numbers(
    client: Any,  # noqa: ANN401 - MLflow is untyped
    run_id: str,
    training: Training,
    drift: Drift | None,
    registered: Registered,
) -> None:
    if training.evaluation is not None:
        log_numbers(client, run_id, judged(training.evaluation), registered.model_id)
    if drift is not None:
        log_numbers(client, run_id, moved(drift))
    for task in ALL_TASKS:
        log_trials(client, run_id, task, getattr(training.learned.recipe, task).trials)


def _describe(
    client: Any,  # noqa: ANN401
    model: str,
    registered: Registered,
    words: str,
) -> None:
    if not client.get_registered_model(model).description:
        client.update_registered_model(model, ABOUT_THE_MODEL)
    version = str(registered.version)
    client.update_model_version(model, version, words)
    # The manifest's hash comes last: a version without it was never finished.
    client.set_model_version_tag(model, version, MANIFEST_TAG, registered.manifest_sha256)


def _tags(training: Training, settings: Settings) -> dict[str, str]:
    bundle, evaluation = training.bundle, training.evaluation
    tags = {
        DECISION: UNDECIDED,
        WHY: "`lifecycle promote` has not been asked",
        "data": settings.data.name,
        "grade": NOT_JUDGED.letter,
        "kind": bundle.kind,
        "as_of": bundle.as_of.isoformat(),
        "horizon_days": str(bundle.horizon_days),
    }
    if evaluation is not None:
        primary = evaluation.pooled.skills["primary"]
        tags["grade"] = evaluation.grade.letter
        tags["evaluation_day"] = evaluation.newest.day.isoformat()
        tags["evaluation_days"] = str(evaluation.pooled.days)
        # For the gate, which reads the version alone.
        tags["primary_skill"] = f"{primary.value:.4f}"
    return tags


def _parameters(training: Training, settings: Settings) -> dict[str, Any]:
    calendar, recipe = training.learned.calendar, training.learned.recipe
    return {
        "as_of": training.bundle.as_of.isoformat(),
        "horizon_days": training.bundle.horizon_days,
        "training_days": len(calendar.matured),
        "first_training_day": calendar.matured[0].isoformat(),
        "last_training_day": calendar.evaluation.isoformat(),
        "judged_days": ", ".join(contest.day.isoformat() for contest in training.contests),
        "feature_service": training.bundle.feature_service,
        "catalogue_version": catalogue.VERSION,
        "data_fingerprint": training.fingerprint,
        "margin": settings.value.margin,
        "discount_rate_yearly": settings.value.discount_rate_yearly,
        "seed": settings.training.seed,
        **{
            f"{task}_study": found.study
            for task in ALL_TASKS
            if (found := getattr(recipe, task)).study
        },
        **parameters_of(recipe),
    }
