"""What the endpoint answers with now: one scorer and one day's features, swapped as one."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from features.errors import LifecycleError, WorkspaceError
from features.matrix import matrix_of
from features.push import Pusher, PushReport
from features.settings import Settings
from features.snapshots import snapshot_folder
from features.store import FeatureStore, OnlineReader, OnlineState, read_state
from features.workspace import Workspace
from serving.decisions.recorder import Recorder
from serving.endpoint.smoke import check_smoke
from serving.playbook import SHIPPED
from serving.scorer import Scorer
from training.registry import ScorerVersion, open_registry

POLL_SECONDS = 1.0

Row = Mapping[str, str | int | float | bool | None]

log = logging.getLogger("lifecycle.serving")


@dataclass(frozen=True)
class Answering:
    """A scorer and a reader that belong together.

    Attributes
    ----------
    shadow
        Scored beside the scorer and not answered with.
    """

    scorer: Scorer
    reader: OnlineReader
    integer_keys: bool
    shadow: Scorer | None = None

    @property
    def as_of(self) -> date:
        """The last closed day whose features are online."""
        return self.reader.state.as_of


class Live:
    """Follows the aliases of the registry and the online pointer of one workspace.

    A new model or a new day replaces the old one in a single assignment, and only after it has
    been loaded and tried; what cannot be loaded leaves the old one answering.
    """

    def __init__(
        self, workspace: Workspace, settings: Settings, recorder: Recorder | None = None
    ) -> None:
        self._recorder = recorder
        self._workspace = workspace
        self._settings = settings
        self._registry = open_registry(workspace, settings)
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._answering: Answering | None = None
        self._pusher = Pusher(workspace, settings)
        self._refused: dict[int, str] = {}
        self._no_shadow = ""
        self.problem = "starting"

    @property
    def is_local(self) -> bool:
        """Whether features are read from a file of this machine."""
        return self._settings.stores.online == "sqlite"

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

    def push(self, table: str, rows: Sequence[Row], idempotency_key: str | None) -> PushReport:
        """Take events; when this returns, they are answered for."""
        report = self._pusher.push(table, rows, datetime.now(UTC).date(), idempotency_key)
        answering = self._answering
        if answering is None or answering.reader.state != self._online():
            # The events are in what has just come online, and not in what this worker reads.
            self.refresh()
        return report

    def foresee(
        self, answering: Answering, customer: int | str, events: Mapping[str, Sequence[Row]]
    ) -> NDArray[np.float64] | None:
        """Read a customer's row as it would be after some events; None where nothing is known."""
        row, _ = self._pusher.foresee(customer, events, datetime.now(UTC).date())
        if row is None or not row.num_rows:
            return None
        return matrix_of(row, answering.scorer.bundle.vocabulary)

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
        scorer = self._champion(version, now.scorer if now is not None else None)
        shadow = self._shadow(now.shadow if now is not None else None, scorer)
        if now is not None and now.reader.state == state:
            if scorer is now.scorer and shadow is now.shadow:
                return now
            return Answering(scorer, now.reader, now.integer_keys, shadow)
        # The type of key is that of what is online: an ingest may have changed the ledger's since.
        folder = snapshot_folder(self._workspace, state.key_type)
        store = FeatureStore(self._workspace, folder, state.key_type, self._settings)
        return Answering(scorer, store.online_reader(), state.key_type == "integer", shadow)

    def _champion(self, version: ScorerVersion, now: Scorer | None) -> Scorer:
        """Load and try the champion; one that was refused is not tried at every poll again."""
        if now is not None and now.model_version == version.version:
            return now
        if version.version in self._refused:
            raise WorkspaceError(self._refused[version.version])
        scorer = Scorer.of(self._registry, version, self._settings.serving)
        try:
            check_smoke(scorer)
        except Exception as error:
            self._refused[version.version] = str(error)
            raise
        if self._recorder is not None:
            self._recorder.keep_playbook(
                scorer.playbook_version, self._settings.serving.playbook or SHIPPED
            )
        log.info("answering with model version %d", scorer.model_version)
        return scorer

    def _shadow(self, now: Scorer | None, champion: Scorer) -> Scorer | None:
        """Load what is to be tried beside the champion; whatever is wrong with it stops nothing."""
        version = self._registry.shadow()
        if version is None or version.version == champion.model_version:
            return None
        if now is not None and now.model_version == version.version:
            return now
        try:
            scorer = Scorer.of(self._registry, version, self._settings.serving)
            check_smoke(scorer)
        except Exception as error:  # noqa: BLE001
            if str(error) != self._no_shadow:
                log.warning("no shadow: %s: %s", type(error).__name__, error)
            self._no_shadow = str(error)
            return None
        log.info("model version %d is scored beside it", scorer.model_version)
        return scorer
