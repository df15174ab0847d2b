"""MLflow as this product uses it: where runs go, how a scorer is registered, aliased and found."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from features.errors import WorkspaceError
from features.repository import project_name
from features.servers import unreachable
from features.settings import Settings
from features.workspace import Workspace
from training.bundle import ScorerBundle
from training.relocation import DATABASE, follow
from training.succession import HEADING, How, Move, moves_in, tag_of, told

MODEL = "lifecycle-scorer"
"""Name of the registered model; on a server that others use too, the workspace's is added."""
CHAMPION = "champion"
SHADOW = "shadow"
"""Alias of a version that is scored beside the champion and not answered with."""
DECISION, WHY = "decision", "why"
"""Tags of a version and of its run: what was decided about it, and the reason in a sentence."""
UNDECIDED, FORMER, REFUSED = "undecided", "replaced", "refused"
ROLLED_BACK = "rolled back"
"""Decisions, beside :data:`CHAMPION`."""
MANIFEST_TAG = "manifest_sha256"
"""Tag of a version with the SHA-256 of its bundle's manifest."""
FRESH_SECONDS = 2.0
State = tuple[tuple[int, int, int] | None, ...]
ABOUT_THE_MODEL = (
    "Answers for a customer: churn, spend, value over 3 to 24 months, each with its interval. The "
    "alias `champion` is the version that answers; a version without the tag "
    f"`{MANIFEST_TAG}` was never finished."
)


@dataclass(frozen=True)
class ScorerVersion:
    """One registered version of the scorer."""

    version: int
    run_id: str
    tags: dict[str, str]


def tracking_uri(workspace: Workspace, settings: Settings) -> str:
    """Where runs and models are kept: the setting, or SQLite in the workspace."""
    if settings.stores.tracking_uri is not None:
        return settings.stores.tracking_uri
    return f"sqlite:///{(workspace.mlflow / DATABASE).resolve()}"


def open_registry(workspace: Workspace, settings: Settings) -> Registry:
    """Open the registry of a workspace, wherever the workspace stands now."""
    if settings.stores.tracking_uri is None:
        workspace.mlflow.mkdir(parents=True, exist_ok=True)
        follow(workspace.mlflow)
        return Registry(tracking_uri(workspace, settings))
    return Registry(tracking_uri(workspace, settings), project_name(workspace, settings.stores))


class Registry:
    """The scorer's versions and the alias that says which of them answers.

    Parameters
    ----------
    project
        The workspace among others on one server; None where the registry is its own.

    Attributes
    ----------
    model
        Name of the registered model.
    """

    def __init__(self, uri: str, project: str | None = None) -> None:
        # MLflow reads these when it is first imported; it must neither call home nor colour logs.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds to import

        self.uri = uri
        self.project = project
        self.model = MODEL if project is None else f"{MODEL}-{project}"
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def state(self) -> State | None:
        """Name what stands in a registry that is a file; None where only asking can tell.

        Two writes of one moment may leave the same name, so there is none while the last is fresh,
        as Git looks into files that are as young as its index.
        """
        file = self.uri.removeprefix("sqlite:///")
        if file == self.uri:
            return None
        found: list[tuple[int, int, int] | None] = []
        for part in (file, f"{file}-wal"):
            try:
                seen = Path(part).stat()
            except OSError:
                found.append(None)
                continue
            if abs(time.time() - seen.st_mtime) < FRESH_SECONDS:
                return None
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
        return None if found[0] is None else tuple(found)

    def named(self, experiment: str) -> str:
        """Name an experiment so that another workspace's on the same server is another."""
        return experiment if self.project is None else f"{experiment} ({self.project})"

    def newest(self) -> ScorerVersion | None:
        """The version that was registered last, and wholly: its tags are written at the end."""
        return max(self.versions(), key=lambda v: v.version, default=None)

    def versions(self) -> list[ScorerVersion]:
        """Every version that was wholly registered, the oldest first."""
        found = self._client.search_model_versions(f"name='{self.model}'", max_results=1000)
        whole = (v for v in map(_version, found) if MANIFEST_TAG in v.tags)
        return sorted(whole, key=lambda v: v.version)

    def learned_days(self, version: ScorerVersion) -> tuple[date, ...]:
        """The days whose customers a version learned from; none where its run is gone."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            run = self._client.get_run(version.run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return ()
            raise
        for given in run.inputs.dataset_inputs:
            if any(tag.value == "training" for tag in given.tags):
                days = json.loads(given.dataset.profile)["snapshot_days"]
                return tuple(map(date.fromisoformat, days))
        return ()

    def version(self, number: int) -> ScorerVersion:
        """Find a version by its number.

        Raises
        ------
        WorkspaceError
            It is not registered, or no more.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            return _version(self._client.get_model_version(self.model, str(number)))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise WorkspaceError(f"model version {number} is not registered any more") from None
            raise

    def champion(self) -> ScorerVersion | None:
        """The version that answers now."""
        return self._aliased(CHAMPION)

    def shadow(self) -> ScorerVersion | None:
        """The version that is tried beside the champion."""
        return self._aliased(SHADOW)

    def _aliased(self, alias: str) -> ScorerVersion | None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            return _version(self._client.get_model_version_by_alias(self.model, alias))
        except MlflowException as error:
            # An alias that is not set is INVALID_PARAMETER_VALUE, a model that is not there
            # RESOURCE_DOES_NOT_EXIST; anything else is a registry out of reach.
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            if not self.uri.startswith("sqlite"):
                raise unreachable("stores.tracking_uri", self.uri, error) from None
            raise

    def require_champion(self) -> ScorerVersion:
        """The version that answers now.

        Raises
        ------
        WorkspaceError
            None has been promoted.
        ServerError
            The tracking server does not answer.
        """
        champion = self.champion()
        if champion is None:
            raise WorkspaceError(
                "no model has been promoted yet; run `lifecycle train --as-of DATE` and then "
                "`lifecycle promote`"
            )
        return champion

    def load(self, version: ScorerVersion) -> ScorerBundle:
        """Fetch a version's bundle and check its files."""
        import mlflow  # noqa: PLC0415

        if MANIFEST_TAG not in version.tags:
            raise WorkspaceError(
                f"model version {version.version} was never wholly registered; train and promote "
                "again"
            )
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        # Left to itself MLflow keeps what it fetches from a server for good, a folder each time.
        with TemporaryDirectory(prefix="lifecycle-model-") as own:
            folder = mlflow.artifacts.download_artifacts(
                f"models:/{self.model}/{version.version}", dst_path=own
            )
            bundle = Path(folder) / "artifacts" / "bundle"
            return ScorerBundle.load(bundle, version.tags[MANIFEST_TAG])

    def promote(
        self, version: ScorerVersion, why: str, tags: dict[str, str], forced: bool, by: str
    ) -> None:
        """Move the champion alias, in one step, and note why on both versions and their runs."""
        former = self.champion()
        for key, value in tags.items():
            self._client.set_model_version_tag(self.model, str(version.version), key, value)
        self._move(version, former, "forced" if forced else "promoted", by, why)
        if former is not None and former.version != version.version:
            self._decide(former, FORMER, f"version {version.version} took its place: {why}")

    def roll_back(self, left: ScorerVersion, to: ScorerVersion, by: str, why: str) -> None:
        """Move the champion alias to a former champion, in one step."""
        self._decide(left, ROLLED_BACK, f"{by}: {why}")
        self._move(to, left, "rolled back", by, why)

    def _move(
        self, version: ScorerVersion, former: ScorerVersion | None, how: How, by: str, why: str
    ) -> None:
        self._decide(version, CHAMPION, why)
        self._client.set_registered_model_alias(self.model, CHAMPION, str(version.version))
        if former is not None and former.version == version.version:
            return
        now = datetime.now(UTC).replace(microsecond=0)
        before = former.version if former else None
        move = Move(now, version.version, before, how, by, why)
        moves = [*self.succession(), move]
        self._client.set_registered_model_tag(self.model, *tag_of(len(moves) - 1, move))
        about = self._client.get_registered_model(self.model).description or ABOUT_THE_MODEL
        kept = about.partition(HEADING)[0].rstrip()
        self._client.update_registered_model(self.model, f"{kept}\n\n{told(moves)}")

    def succession(self) -> list[Move]:
        """Every move of the champion alias, the oldest first."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            return moves_in(self._client.get_registered_model(self.model).tags)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise

    def refuse(self, version: ScorerVersion, why: str) -> None:
        """Note on a version and its run why it does not become the champion."""
        self._decide(version, REFUSED, why)

    def _decide(self, version: ScorerVersion, decision: str, why: str) -> None:
        for key, value in ((DECISION, decision), (WHY, why)):
            self.tag(version, key, value)

    def tag(self, version: ScorerVersion, key: str, value: str) -> None:
        """Note something on a version and its run."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        self._client.set_model_version_tag(self.model, str(version.version), key, value)
        try:
            self._client.set_tag(version.run_id, key, value)
        except MlflowException as error:
            # The run may have been deleted, and the version be kept.
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise


def _version(found: Any) -> ScorerVersion:  # noqa: ANN401 - MLflow is untyped
    return ScorerVersion(int(found.version), str(found.run_id), dict(found.tags))
