"""The endpoint of one workspace, put together."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.applications import Starlette

from features.forgotten import Forgotten
from features.settings import Settings
from features.workspace import Workspace
from serving.decisions.recorder import Recorder
from serving.endpoint.desk import Desk
from serving.endpoint.live import Live, ask_registry_once
from serving.endpoint.metrics import Metrics
from serving.endpoint.routes import application, log_to


@dataclass(frozen=True)
class Endpoint:
    """What answers, what keeps the answers, and the routes over both."""

    live: Live
    recorder: Recorder | None
    application: Starlette

    @classmethod
    def of(cls, workspace: Workspace, settings: Settings) -> Endpoint:
        """Put an endpoint together; it answers once it is started."""
        serving, metrics = settings.serving, Metrics()
        recorder = None
        if serving.record_decisions:
            forgotten = Forgotten(workspace)
            recorder = Recorder(workspace.decisions, serving.decision_days, forgotten)
        live = Live(workspace, settings, recorder)
        desk = Desk(live, serving, metrics, recorder, workspace.scores)
        return cls(live, recorder, application(desk, serving, metrics))

    def start(self, access_log: bool = True) -> None:
        """Load what answers and go on following it."""
        if access_log:
            log_to()
        ask_registry_once()
        self.live.start()
        if self.recorder is not None:
            self.recorder.start()

    def stop(self) -> None:
        """Stop following, and put away what was decided."""
        self.live.stop()
        if self.recorder is not None:
            self.recorder.stop()
