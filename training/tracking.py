"""What a training leaves behind for the analyst: one MLflow run, and one registered scorer."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm as lgb

from features import catalogue
from features.settings import Settings
from features.workspace import Workspace
from training import plots
from training.answers import PRODUCT
from training.bundle import ScorerBundle
from training.contest import Contest
from training.dataset import TREE_FEATURES, LabelledDay
from training.evaluation import Evaluation
from training.grade import NOT_JUDGED
from training.recipe import ALL_TASKS, Learned, Trees, parameters_of
from training.registry import MANIFEST_TAG, MODEL, Registry
from training.scorer_model import OUTPUTS
from training.tuning.search import Trial, Tuned

# Without it the UI opens the experiment as one of language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

REQUIREMENTS = ("lightgbm", "numpy", "pandas", "pyarrow", "scipy")


@dataclass(frozen=True)
class Training:
    """Everything that a training found, of which a run records what is nobody's in particular.

    Attributes
    ----------
    contests
        The judged days, oldest first, with the answers for each customer.
    days
        Every labelled day that was learned from.
    """

    bundle: ScorerBundle
    learned: Learned
    evaluation: Evaluation | None
    contests: tuple[Contest, ...]
    days: tuple[LabelledDay, ...]
    fingerprint: str
    rows: int


@dataclass(frozen=True)
class Logged:
    """Where a training was recorded."""

    experiment: str
    run_id: str
    version: int


def experiment_name(settings: Settings, horizon_days: int) -> str:
    """Name the experiment by task and data: runs in one table can be compared."""
    return f"{settings.data.name} churn and spend in {horizon_days} days"


def log_training(
    training: Training, registry: Registry, workspace: Workspace, settings: Settings
) -> Logged:
    """Record a training as one run and register its scorer as a new version."""
    import mlflow  # noqa: PLC0415 - takes seconds to import

    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    bundle = training.bundle
    name = experiment_name(settings, bundle.horizon_days)
    if mlflow.get_experiment_by_name(name) is None:
        own = settings.stores.tracking_uri is None
        place = (workspace.mlflow / "artifacts").resolve().as_uri() if own else None
        mlflow.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS)
    mlflow.set_experiment(name)
    with mlflow.start_run(run_name=f"as of {bundle.as_of}") as run:
        mlflow.set_tags(_tags(training))
        mlflow.set_tag("mlflow.note.content", _note(training))
        mlflow.log_params(_parameters(training, settings))
        _log_metrics(training)
        _log_tuning(run.info.run_id, training.learned, registry)
        _log_figures(training)
        _log_boosters(training.learned.trees)
        registered, manifest_sha256 = _register(bundle)
    client = mlflow.MlflowClient()
    # The manifest's hash comes last: a version without it was never finished.
    for key, value in {**_tags(training), MANIFEST_TAG: manifest_sha256}.items():
        client.set_model_version_tag(MODEL, str(registered), key, value)
    return Logged(name, run.info.run_id, registered)


def _tags(training: Training) -> dict[str, str]:
    bundle, evaluation = training.bundle, training.evaluation
    tags = {
        "grade": NOT_JUDGED.letter,
        "kind": bundle.kind,
        "as_of": bundle.as_of.isoformat(),
        "horizon_days": str(bundle.horizon_days),
        "feature_service": bundle.feature_service,
        "data_fingerprint": training.fingerprint,
    }
    if evaluation is not None:
        primary = evaluation.pooled.skills["primary"]
        tags["grade"] = evaluation.grade.letter
        tags["evaluation_day"] = evaluation.newest.day.isoformat()
        tags["evaluation_days"] = str(evaluation.pooled.days)
        tags["primary_skill"] = f"{primary.value:.4f}"
        tags["primary_skill_lower"] = f"{primary.lower:.4f}"
        tags["primary_skill_upper"] = f"{primary.upper:.4f}"
    return tags


def _note(training: Training) -> str:
    bundle, evaluation = training.bundle, training.evaluation
    lines = [f"Learned from {training.rows:,} snapshots known by {bundle.as_of}."]
    if evaluation is None:
        lines.append("History is too short to judge out of time.")
    else:
        newest = evaluation.newest
        ours = newest.metrics[PRODUCT]
        lines.append(
            f"Judged on {newest.day} ({newest.customers:,} customers): "
            f"AUC {ours['auc']:.3f}, log loss {ours['log_loss']:.3f}, "
            f"spend Gini {ours['spend_gini']:.3f}. Grade {evaluation.grade.letter}: "
            f"{evaluation.grade.why}. {evaluation.more_data[0].upper()}{evaluation.more_data[1:]}."
        )
    if bundle.kind == "btyd":
        lines.append("The trees did not beat BG/NBD + Gamma-Gamma, which therefore answer here.")
    return " ".join(lines)


def _parameters(training: Training, settings: Settings) -> dict[str, Any]:
    calendar = training.learned.calendar
    return {
        "as_of": training.bundle.as_of.isoformat(),
        "horizon_days": training.bundle.horizon_days,
        "training_days": len(calendar.matured),
        "first_training_day": calendar.matured[0].isoformat(),
        "last_training_day": calendar.evaluation.isoformat(),
        "feature_service": training.bundle.feature_service,
        "catalogue_version": catalogue.VERSION,
        "data_fingerprint": training.fingerprint,
        "margin": settings.value.margin,
        "discount_rate_yearly": settings.value.discount_rate_yearly,
        "seed": settings.training.seed,
        **parameters_of(training.learned.recipe),
    }


def _log_metrics(training: Training) -> None:
    import mlflow  # noqa: PLC0415

    evaluation = training.evaluation
    if evaluation is None:
        return
    plain = evaluation.to_dict()
    flat = {**plain["skills"], **plain["prospects"]}
    flat |= {f"pooled_{name}": value for name, value in plain["pooled"]["skills"].items()}
    for method, values in plain["pooled"]["metrics"].items():
        prefix = "pooled_" if method == PRODUCT else f"pooled_{method}_"
        flat |= {f"{prefix}{name}": value for name, value in values.items()}
    for method, values in plain["metrics"].items():
        prefix = "" if method == PRODUCT else f"{method}_"
        flat |= {f"{prefix}{name}": value for name, value in values.items()}
    for name, value in plain["active"].get(PRODUCT, {}).items():
        flat[f"active_{name}"] = value
    mlflow.log_metrics({name: value for name, value in flat.items() if value is not None})
    mlflow.log_dict(plain, "evaluation.json")


def log_trials(run_id: str, task: str, trials: Sequence[Trial], uri: str) -> None:
    """Log every trial as one step of a run: a nested run each would cost twenty times more."""
    from mlflow.entities import Metric  # noqa: PLC0415

    import mlflow  # noqa: PLC0415

    now = int(time.time() * 1000)
    metrics = [
        Metric(f"{task}_trial_loss", trial.value, now, trial.number)
        for trial in trials
        if trial.value is not None
    ]
    client = mlflow.MlflowClient(uri)
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    rows = [{"trial": t.number, "state": t.state, "loss": t.value, **t.parameters} for t in trials]
    client.log_text(run_id, json.dumps(rows, indent=1), f"tuning/{task}_trials.json")


def _log_tuning(run_id: str, learned: Learned, registry: Registry) -> None:
    import mlflow  # noqa: PLC0415

    for task in ALL_TASKS:
        tuned: Tuned = getattr(learned.recipe, task)
        if tuned.trials:
            log_trials(run_id, task, tuned.trials, registry.uri)
            mlflow.log_param(f"{task}_study", tuned.study)
            mlflow.log_figure(plots.tuning_history(tuned.trials, task), f"tuning/{task}.png")


def _log_figures(training: Training) -> None:
    import mlflow  # noqa: PLC0415

    trees = training.learned.trees
    if training.contests:
        newest = training.contests[-1]
        for name in ("calibration", "gains", "deciles", "coverage"):
            mlflow.log_figure(getattr(plots, name)(newest), f"plots/{name}.png")
    for task in ALL_TASKS:
        booster = getattr(trees, task)
        if booster is not None:
            mlflow.log_figure(plots.importance(booster, task), f"plots/{task}_importance.png")


def _log_boosters(trees: Trees) -> None:
    """Log both boosters for the analyst; what they say is added to the prior's answer."""
    import mlflow  # noqa: PLC0415

    answers = {"churn": "log-odds of churn", "spend": "log of mean spend given a purchase"}
    for task in ALL_TASKS:
        booster: lgb.Booster | None = getattr(trees, task)
        if booster is not None:
            mlflow.lightgbm.log_model(
                booster,
                name=task,
                signature=_signature(TREE_FEATURES, (task,)),
                pip_requirements=_requirements(),
                metadata={"adds_to": f"the prior's {answers[task]}", "scorer": MODEL},
            )


def _register(bundle: ScorerBundle) -> tuple[int, str]:
    import mlflow  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "bundle"
        files.mkdir()
        manifest_sha256 = bundle.save(files)
        logged = mlflow.pyfunc.log_model(
            name="scorer",
            python_model=str(Path(__file__).with_name("scorer_model.py")),
            artifacts={"bundle": str(files)},
            signature=_signature(catalogue.NAMES, OUTPUTS, catalogue.CATEGORIES),
            pip_requirements=_requirements(),
            registered_model_name=MODEL,
            metadata={"feature_service": bundle.feature_service, "kind": bundle.kind},
        )
    return int(logged.registered_model_version), manifest_sha256


def _requirements() -> list[str]:
    """State what the model needs, instead of letting MLflow guess by importing it."""
    return [f"{name}=={version(name)}" for name in REQUIREMENTS]


def _signature(
    inputs: tuple[str, ...], outputs: tuple[str, ...], texts: tuple[str, ...] = ()
) -> Any:  # noqa: ANN401
    """Every column required: inferred from data with gaps, a missing column would pass."""
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, DataType, Schema  # noqa: PLC0415

    def columns(names: tuple[str, ...]) -> Any:  # noqa: ANN401
        return Schema(
            [
                ColSpec(DataType.string if name in texts else DataType.double, name, required=True)
                for name in names
            ]
        )

    return ModelSignature(inputs=columns(inputs), outputs=columns(outputs))
