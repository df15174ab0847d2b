"""What the endpoint answers with now: one scorer and one day's features, swapped as one."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import LifecycleError, WorkspaceError
from features.push import Pusher, PushReport
from features.settings import Settings
from features.snapshots import snapshot_folder
from features.store import FeatureStore, OnlineReader, OnlineState, read_state
from features.workspace import Workspace
from serving.scorer import Scorer
from training.registry import open_registry

POLL_SECONDS = 1.0

log = logging.getLogger("lifecycle.serving")


@dataclass(frozen=True)
class Answering:
    """A scorer and a reader that belong together."""

    scorer: Scorer
    reader: OnlineReader
    integer_keys: bool


class Live:
    """Follows the champion alias and the online pointer of one workspace.

    A new model or a new day replaces the old one in a single assignment, and only after it has
    been loaded and tried; what cannot be loaded leaves the old one answering.
    """

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self._workspace = workspace
        self._settings = settings
        self._registry = open_registry(workspace, settings)
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._answering: Answering | None = None
        self._pusher = Pusher(workspace, settings)
        self.problem = "starting"

    @property
    def answering(self) -> Answering | None:
        """What answers now, or None while nothing can."""
        return self._answering

    def start(self) -> None:
        """Load once, then keep following in the background."""
        self.refresh()
        threading.Thread(target=self._follow, name="lifecycle-live", daemon=True).start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def refresh(self) -> None:
        """Load what is new; on any failure say so and keep what there was."""
        try:
            self._answering = self._load(self._answering)
            self.problem = ""
        except LifecycleError as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001
            # The registry or the store may be away for a while: whatever went wrong, the last
            # good model goes on answering and the next poll tries again.
            log.warning("%s: %s", type(error).__name__, error)
            self._complain("the model or the features cannot be loaded; the server's log says why")

    def read(
        self, answering: Answering, ids: Sequence[int | str]
    ) -> tuple[NDArray[np.float64], list[bool]]:
        """Read features, coded for the scorer that answers.

        SQLite's connection serves one thread at a time.
        """
        with self._reading:
            return answering.reader.read(ids, answering.scorer.bundle.vocabulary)

    def push(
        self,
        table: str,
        rows: Sequence[Mapping[str, str | int | float | bool | None]],
        idempotency_key: str | None,
    ) -> PushReport:
        """Take events; when this returns, they are answered for."""
        report = self._pusher.push(table, rows, datetime.now(UTC).date(), idempotency_key)
        answering = self._answering
        if answering is None or answering.reader.state != self._online():
            # The events are in what has just come online, and not in what this worker reads.
            self.refresh()
        return report

    def _online(self) -> OnlineState | None:
        return read_state(self._workspace, self._settings.stores.online)

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("cannot load the newest model or features: %s", problem)
        self.problem = problem

    def _follow(self) -> None:
        try:
            self._pusher.prepare()
        except Exception as error:  # noqa: BLE001
            # An endpoint that cannot take events yet can answer all the same.
            log.warning("cannot take events yet: %s: %s", type(error).__name__, error)
        # What is loaded now stays; going through it again and again holds up a push for as long
        # as the push itself takes.
        gc.collect()
        gc.freeze()
        while not self._stop.wait(POLL_SECONDS):
            self.refresh()

    def _load(self, now: Answering | None) -> Answering:
        version = self._registry.require_champion()
        state = self._online()
        if state is None:
            raise WorkspaceError("no features are online yet; run `lifecycle score` first")
        scorer = now.scorer if now is not None else None
        if scorer is None or scorer.model_version != version.version:
            scorer = Scorer.champion(self._registry, self._settings.serving)
            _try(scorer)
            log.info("answering with model version %d", scorer.model_version)
        if now is not None and now.reader.state == state:
            return now if scorer is now.scorer else Answering(scorer, now.reader, now.integer_keys)
        # The type of key is that of what is online: an ingest may have changed the ledger's since.
        folder = snapshot_folder(self._workspace, state.key_type)
        store = FeatureStore(self._workspace, folder, state.key_type, self._settings)
        return Answering(scorer, store.online_reader(), state.key_type == "integer")


def _try(scorer: Scorer) -> None:
    """Score one made-up customer: a model that cannot is refused at the door."""
    from features import catalogue  # noqa: PLC0415

    row: dict[str, Any] = dict.fromkeys(catalogue.NAMES, 1.0)
    answer = scorer.score(np.array([[row[name] for name in catalogue.NAMES]], dtype=np.float64))
    if not np.isfinite(answer.predictions.churn_probability).all():
        raise WorkspaceError(
            f"model version {scorer.model_version} does not give a probability; "
            "promote another version"
        )
