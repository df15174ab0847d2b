"""The models of a run: both boosters for the analyst, and the scorer that is registered."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm as lgb

from features import catalogue
from training.bundle import NUMBERS, ScorerBundle
from training.dataset import TREE_FEATURES
from training.recipe import ALL_TASKS, Trees

REQUIREMENTS = ("lightgbm", "numpy", "pandas", "pyarrow", "scipy")
CODE = Path(__file__).parent.parent / "scorer_model.py"
"""Run by MLflow when it logs and loads the scorer."""


@dataclass(frozen=True)
class Registered:
    """A scorer in the registry.

    Attributes
    ----------
    model_id
        Of the logged model, under which MLflow keeps its metrics.
    manifest_sha256
        Of its bundle's manifest.
    """

    version: int
    model_id: str
    manifest_sha256: str


def log_boosters(trees: Trees, scorer: str) -> None:
    """Log both boosters; what they say is added to the prior's answer."""
    import mlflow  # noqa: PLC0415 - takes seconds to import

    answers = {"churn": "log-odds of churn", "spend": "log of mean spend given a purchase"}
    for task in ALL_TASKS:
        booster: lgb.Booster | None = getattr(trees, task)
        if booster is not None:
            mlflow.lightgbm.log_model(
                booster,
                name=task,
                signature=_signature(TREE_FEATURES, (task,)),
                pip_requirements=_requirements(),
                metadata={"adds_to": f"the prior's {answers[task]}", "scorer": scorer},
            )


def register(bundle: ScorerBundle, scorer: str, tags: Mapping[str, str]) -> Registered:
    """Log a bundle as a model, and register it as a new version of the scorer, with tags."""
    import mlflow  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "bundle"
        files.mkdir()
        manifest_sha256 = bundle.save(files)
        logged = mlflow.pyfunc.log_model(
            name="scorer",
            python_model=str(CODE),
            artifacts={"bundle": str(files)},
            signature=_signature(catalogue.NAMES, NUMBERS, catalogue.CATEGORIES),
            pip_requirements=_requirements(),
            metadata={"feature_service": bundle.feature_service, "kind": bundle.kind},
        )
    made = mlflow.register_model(logged.model_uri, scorer, tags=dict(tags))
    return Registered(int(made.version), str(logged.model_id), manifest_sha256)


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
