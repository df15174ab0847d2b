"""What the endpoint answers with now: one scorer and one day's features, swapped as one."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from features.errors import LifecycleError, ServerError, WorkspaceError
from features.forgotten import Forgotten
from features.matrix import Vocabulary, matrix_of
from features.push import Pusher, PushReport
from features.servers import outages
from features.settings import Settings
from features.snapshots import snapshot_folder
from features.store import FeatureStore, OnlineReader, OnlineState, read_state
from features.workspace import Workspace
from serving.decisions.recorder import Recorder
from serving.endpoint.edits import Edits, Rules
from serving.endpoint.smoke import check_smoke
from serving.former_stages import FormerStages
from serving.scorer import Scorer
from training.registry import ScorerVersion, State, open_registry

POLL_SECONDS = 1.0
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

Row = Mapping[str, str | int | float | bool | None]

log = logging.getLogger("lifecycle.serving")


@dataclass(frozen=True)
class Answering:
    """A scorer and a reader that belong together.

    Attributes
    ----------
    former
        The stages that customers had before.
    shadow
        Scored beside the scorer and not answered with.
    witnesses
        Customers of the snapshot: where none of them is found, the store has lost it.
    """

    scorer: Scorer
    reader: OnlineReader
    integer_keys: bool
    former: FormerStages
    shadow: Scorer | None = None
    witnesses: Sequence[int | str] = ()

    @property
    def as_of(self) -> date:
        """The last closed day whose features are online."""
        return self.reader.state.as_of


@dataclass(frozen=True)
class _Models:
    scorer: Scorer
    shadow: Scorer | None
    rules: Rules


@dataclass(frozen=True)
class _Source:
    reader: OnlineReader
    integer_keys: bool
    witnesses: Sequence[int | str]
    former: FormerStages


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
        self._opening = threading.Lock()
        self._putting = threading.Lock()
        self._models: _Models | None = None
        self._source: _Source | None = None
        self._answering: Answering | None = None
        self._pusher = Pusher(workspace, settings)
        self._forgotten = Forgotten(workspace)
        self._edits = Edits(settings)
        self._refused: dict[int, str] = {}
        self._no_shadow = ""
        self._followed: State | None = None
        self._problem = "starting"
        self._unreadable = ""

    @property
    def is_local(self) -> bool:
        """Whether features are read from a file of this machine."""
        return self._settings.stores.online == "sqlite"

    @property
    def problem(self) -> str:
        """What is wrong, in a sentence; empty where nothing is."""
        problems = (self._problem, self._edits.problem, self._unreadable)
        return "; ".join(dict.fromkeys(filter(None, problems)))

    @property
    def is_ready(self) -> bool:
        """Whether customers can be answered for."""
        return self._answering is not None and not self._unreadable

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
        """Load what is new; on any failure say so and keep what there was.

        Features and models are followed apart: while the registry is away, days come online.
        """
        found = [self._tried(self._renew_features), self._tried(self._renew_models)]
        problem = "; ".join(dict.fromkeys(filter(None, reversed(found))))
        if problem and problem != self._problem:
            log.warning("cannot load the newest model or features: %s", problem)
        self._problem = problem
        if self._unreadable and self._answering is not None:
            self._tried(partial(self.read, self._answering, self._answering.witnesses))

    def read(
        self, answering: Answering, ids: Sequence[int | str]
    ) -> tuple[NDArray[np.float64], list[bool]]:
        """Read features, coded for the scorer that answers.

        SQLite's connection serves one thread at a time.

        Raises
        ------
        ServerError
            The store cannot be reached, has lost what was put online, or that has given way to
            something newer.
        """
        vocabulary = answering.scorer.bundle.vocabulary
        try:
            with self._reading:
                matrix, found = answering.reader.read(ids, vocabulary)
                # Nobody is unknown because the store was emptied, or this day's rows deleted.
                if not all(found) and not self._is_there(answering, vocabulary):
                    raise ServerError(
                        f"the features of {answering.as_of} are not in the online store any more; "
                        "run `lifecycle features` if they do not come back"
                    )
        except outages() as error:
            raise self._cannot_read(
                f"the online store cannot be read ({type(error).__name__})", error
            ) from None
        except ServerError as error:
            raise self._cannot_read(str(error), error) from None
        self._unreadable = ""
        if self._forgotten:
            # From the first step of an erasure on, whatever is still online.
            known = zip(ids, found, strict=True)
            found = [there and not self._forgotten.holds(one) for one, there in known]
        return matrix, found

    def push(self, table: str, rows: Sequence[Row], idempotency_key: str | None) -> PushReport:
        """Take events; when this returns, they are answered for."""
        report = self._pusher.push(table, rows, datetime.now(UTC).date(), idempotency_key)
        answering = self._answering
        if answering is None or answering.reader.state != self._online():
            # The events are in what has just come online, and not in what this worker reads.
            self._renew_features()
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

    def _cannot_read(self, problem: str, error: Exception) -> ServerError:
        """Remember what is wrong with the store; a line in the log for each outage is enough."""
        if not self._unreadable:
            log.warning("the online features cannot be read: %s: %s", type(error).__name__, error)
        self._unreadable = problem
        return ServerError(problem)

    def _is_there(self, answering: Answering, vocabulary: Vocabulary) -> bool:
        if self._online() != answering.reader.state:
            return False
        if not answering.witnesses:
            return True
        return any(answering.reader.read(answering.witnesses, vocabulary)[1])

    def _tried(self, renew: Callable[[], object]) -> str:
        """Do it, or say why it cannot be done."""
        try:
            renew()
        except LifecycleError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001
            # The registry or the store may be away for a while: whatever went wrong, the last
            # good model goes on answering and the next poll tries again.
            log.warning("%s: %s", type(error).__name__, error)
            return "the model or the features cannot be loaded; the server's log says why"
        return ""

    def _follow(self) -> None:
        self._settle()
        while not self._stop.wait(POLL_SECONDS):
            former = self._answering
            self.refresh()
            if self._answering is former:
                continue
            if former is None:
                self._settle()
            else:
                # What was replaced stands in cycles, which may wait for days to be looked for.
                del former
                gc.collect()

    def _settle(self) -> None:
        """Open what events will ask for, and take what is loaded for what stays."""
        try:
            self._pusher.prepare()
        except Exception as error:  # noqa: BLE001
            # An endpoint that cannot take events yet can answer all the same.
            log.warning("cannot take events yet: %s: %s", type(error).__name__, error)
        # Going through it again and again holds up a push for as long as the push itself takes.
        gc.collect()
        gc.freeze()

    def _renew_features(self) -> None:
        """Follow the pointer; whoever pushes does it too, and none goes back to an older one."""
        with self._opening:
            state = self._online()
            if state is None:
                raise WorkspaceError("no features are online yet; run `lifecycle score` first")
            if self._source is not None and self._source.reader.state == state:
                self._source.former.refresh(state.as_of)
                return
            # The type of key is that of what is online: an ingest may have changed the ledger's
            # since.
            folder = snapshot_folder(self._workspace, state.key_type)
            store = FeatureStore(self._workspace, folder, state.key_type, self._settings)
            reader = store.online_reader()
            witnesses = _witnesses(folder / f"{state.as_of}.parquet")
            former = FormerStages(self._workspace, state.key_type)
            former.refresh(state.as_of)
            self._put(source=_Source(reader, state.key_type == "integer", witnesses, former))
            self._pusher.let_go()

    def _renew_models(self) -> None:
        """Follow the aliases, and what a person has edited."""
        now, rules, state = self._models, self._edits.read(), self._registry.state()
        if now is not None and rules is not now.rules:
            now = self._ruled(now, rules)
            rules = now.rules
        if now is not None and state is not None and state == self._followed:
            return
        self._followed = None
        version = self._registry.require_champion()
        scorer = self._champion(version, now, rules)
        shadow = self._shadow(now, scorer, rules)
        if now is None or scorer is not now.scorer or shadow is not now.shadow:
            self._put(models=_Models(scorer, shadow, rules))
        # What could not be loaded is tried again.
        self._followed = None if self._no_shadow else state

    def _ruled(self, now: _Models, rules: Rules) -> _Models:
        """Answer by edited files from now on, with the same models."""
        try:
            scorer = now.scorer.ruled_by(rules.playbook, rules.stage_rules)
            check_smoke(scorer)
            self._keep(rules)
        except OSError:
            raise  # the record cannot be kept just now: the next poll tries again
        except Exception as error:  # noqa: BLE001
            # Whatever is in the files, those who are answered must not notice.
            self._edits.refuse(str(error), now.rules)
            return now
        shadow = now.shadow and now.shadow.ruled_by(rules.playbook, rules.stage_rules)
        models = _Models(scorer, shadow, rules)
        self._put(models=models)
        log.info(
            "answering by playbook %s and stages' rules %s",
            scorer.playbook_version,
            scorer.stage_rules_version,
        )
        return models

    def _keep(self, rules: Rules) -> None:
        if self._recorder is not None:
            for kind, digest, text in rules.texts:
                self._recorder.keep_file(kind, digest, text)

    def _put(self, models: _Models | None = None, source: _Source | None = None) -> None:
        """Answer with something new from now on, beside what there is of the other."""
        with self._putting:
            self._models, self._source = models or self._models, source or self._source
            if self._models is not None and self._source is not None:
                self._answering = Answering(
                    self._models.scorer,
                    self._source.reader,
                    self._source.integer_keys,
                    self._source.former,
                    self._models.shadow,
                    self._source.witnesses,
                )

    def _champion(self, version: ScorerVersion, now: _Models | None, rules: Rules) -> Scorer:
        """Load and try the champion; one that was refused is not tried at every poll again."""
        if now is not None and now.scorer.model_version == version.version:
            return now.scorer
        if version.version in self._refused:
            raise WorkspaceError(self._refused[version.version])
        scorer = self._scorer(version, rules)
        try:
            check_smoke(scorer)
        except Exception as error:
            self._refused[version.version] = str(error)
            raise
        self._keep(rules)
        log.info("answering with model version %d", scorer.model_version)
        return scorer

    def _scorer(self, version: ScorerVersion, rules: Rules) -> Scorer:
        bundle = self._registry.load(version)
        serving = self._settings.serving
        return Scorer(bundle, version.version, rules.playbook, rules.stage_rules, serving)

    def _shadow(self, now: _Models | None, champion: Scorer, rules: Rules) -> Scorer | None:
        """Load what is to be tried beside the champion; whatever is wrong with it stops nothing."""
        version = self._registry.shadow()
        failed, self._no_shadow = self._no_shadow, ""
        if version is None or version.version == champion.model_version:
            return None
        tried = now.shadow if now is not None else None
        if tried is not None and tried.model_version == version.version:
            return tried
        try:
            scorer = self._scorer(version, rules)
            check_smoke(scorer)
        except Exception as error:  # noqa: BLE001
            if str(error) != failed:
                log.warning("no shadow: %s: %s", type(error).__name__, error)
            self._no_shadow = str(error)
            return None
        log.info("model version %d is scored beside it", scorer.model_version)
        return scorer


def ask_registry_once() -> None:
    """Let MLflow's client say at once that its server is away, where the next poll asks again.

    By itself it asks for minutes, in which a server that has come back is not seen.
    """
    for name, value in _IMPATIENT.items():
        os.environ.setdefault(name, value)


def _witnesses(snapshot: Path) -> list[int | str]:
    """Choose the first and the last customers of a snapshot; none where its file is gone."""
    if not snapshot.is_file():
        return []
    with pq.ParquetFile(snapshot) as file:
        groups = [
            place for place in range(file.num_row_groups) if file.metadata.row_group(place).num_rows
        ]
        ends = [
            file.read_row_group(place, [JOIN_KEY])[JOIN_KEY] for place in groups[:1] + groups[-1:]
        ]
    return list(dict.fromkeys(column[place].as_py() for column in ends for place in (0, -1)))
