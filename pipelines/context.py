"""What every verb is given: the workspace, the settings, a place to say things."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from features.erasing.online import erase_online
from features.errors import InputError
from features.folding import covered_until, fold
from features.ingest.ledger import Ledger
from features.persons import distinct
from features.push_log import PushLog
from features.settings import Settings, settings_file
from features.snapshots import (
    ensure_snapshots,
    facts_key,
    known_customers,
    objectors_of,
    rules_of,
    snapshot_folder,
    snapshot_key,
)
from features.store import FeatureStore, read_state
from features.workspace import Workspace
from training.horizon import Horizon, derive_horizon, purchase_gaps
from training.registry import Registry, open_registry

Say = Callable[[str, int, int], None]


def silent(what: str, done: int, of: int) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Context:
    """One workspace and how to work in it.

    Attributes
    ----------
    say
        Told of progress: what, done, of.
    """

    workspace: Workspace
    settings: Settings
    say: Say = silent

    @classmethod
    def open(
        cls, folder: str | Path, settings: Mapping[str, Any] | None = None, say: Say = silent
    ) -> Context:
        """Open a workspace as the command line does, or begin one: for notebooks and scripts.

        Parameters
        ----------
        folder
            Of the workspace; it is made where there is none.
        settings
            By section and name; they go before the environment and ``lifecycle.yaml``.

        Raises
        ------
        InputError
            A setting cannot be.
        WorkspaceError
            The folder holds something else.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     context = Context.open(folder + "/shop", {"churn": {"horizon_days": 60}})
        ...     context.settings.churn.horizon_days, context.workspace.exists()
        (60, True)
        """
        workspace = Workspace(Path(folder))
        chosen = Settings.load(settings_file(workspace.root), os.environ, settings or {})
        if not workspace.exists():
            with workspace.locked():
                workspace.create()
        workspace.require()
        return cls(workspace, chosen, say)

    def features(self, as_of: date) -> pl.DataFrame:
        """Look at everybody known on a day: a row a customer, with ``customer_id``.

        The columns are those of :data:`features.catalogue.FEATURES`, which says what each means;
        they come out of the feature store, as for a training.

        Raises
        ------
        InputError
            The day lies outside the data.
        WorkspaceError
            Nothing has been ingested.
        """
        self.workspace.require()
        with self.workspace.locked():
            ledger = self.folded_ledger()
            self.check_day(ledger, as_of)
            self.snapshots(ledger, [as_of])
            store = self.store(ledger)
            store.apply()
            customers = known_customers(self.workspace, ledger, as_of)
            return pl.DataFrame(store.historical(customers, as_of, pushed=False))

    def ledger(self) -> Ledger:
        """The workspace's orders.

        Raises
        ------
        WorkspaceError
            Nothing has been ingested, or the workspace is of another version.
        """
        self.workspace.require()
        ledger = Ledger(self.workspace)
        ledger.manifest()
        return ledger

    def folded_ledger(self) -> Ledger:
        """The workspace's data, with every event that was pushed; hold the workspace.

        Raises
        ------
        WorkspaceError
            Nothing has been ingested, or the workspace is of another version.
        """
        ledger = self.ledger()
        self.fold(ledger)
        return ledger

    def fold(self, ledger: Ledger) -> None:
        """Merge pushed events into the ledger, if there is one; hold the workspace."""
        if ledger.started:
            fold(ledger, PushLog(self.workspace, self.settings.stores), self.settings.data)

    def renew_pushed(self, ledger: Ledger) -> None:
        """Make the rows online that pushes brought news of anew, from the ledger as it is now.

        Who objects to profiling by what was read is taken off at once.
        """
        self._withdraw_objectors(ledger)
        state = read_state(self.workspace, self.settings.stores.online)
        log = PushLog(self.workspace, self.settings.stores)
        if state is None or state.key_type != ledger.customer_id_type or not log.last():
            return
        self.store(ledger).push_again()

    def objectors(self, ledger: Ledger) -> pl.Series:
        """List who objected to profiling."""
        return objectors_of(ledger, rules_of(self.settings))

    def _withdraw_objectors(self, ledger: Ledger) -> None:
        objectors = self.objectors(ledger)
        if not objectors.is_empty() and read_state(self.workspace) is not None:
            log = PushLog(self.workspace, self.settings.stores)
            persons = distinct(objectors.to_list())
            with log.locked():
                erase_online(self.workspace, self.settings.stores, persons, scrubbed=False)

    def registry(self) -> Registry:
        """The MLflow registry."""
        return open_registry(self.workspace, self.settings)

    def store(self, ledger: Ledger) -> FeatureStore:
        """The Feast store over the workspace's snapshots."""
        folder = snapshot_folder(self.workspace, ledger.customer_id_type)
        return FeatureStore(self.workspace, folder, ledger.customer_id_type, self.settings)

    def snapshots(self, ledger: Ledger, days: list[date]) -> list[date]:
        """Compute those snapshots of some days that are missing or out of date."""
        return ensure_snapshots(
            self.workspace,
            ledger,
            days,
            self.settings.features.engine,
            rules_of(self.settings),
            lambda done, of: self.say("snapshots", done, of),
        )

    def snapshot_key(self, ledger: Ledger, as_of: date) -> str:
        """Name the content of a day's snapshot."""
        return snapshot_key(ledger, as_of, self.settings.features.engine, rules_of(self.settings))

    def facts_key(self, ledger: Ledger, as_of: date) -> str:
        """Name what is known on a day, whoever is left out of its snapshot."""
        return facts_key(ledger, as_of, self.settings.features.engine, rules_of(self.settings))

    def observed_until(self, ledger: Ledger) -> date:
        """The last day that the data covers: the setting, or the last order's day in the files."""
        return self.settings.data.observed_until or covered_until(ledger)

    def horizon(self, ledger: Ledger, as_of: date) -> Horizon:
        """How long a silence is churn: as set, as the champion has it, or by customers' cadence."""
        days = self.settings.churn.horizon_days
        if days is not None:
            return Horizon(days, "set by churn.horizon_days")
        champion = self.registry().champion()
        if champion is not None:
            return Horizon(int(champion.tags["horizon_days"]), "that of the champion")
        return self.derived_horizon(ledger, as_of)

    def derived_horizon(self, ledger: Ledger, as_of: date) -> Horizon:
        """What the cadence known by a day would choose."""
        history = (as_of - ledger.first_day_known_by(as_of)).days
        return derive_horizon(purchase_gaps(ledger.orders_path, as_of), history)

    def check_day(self, ledger: Ledger, as_of: date) -> None:
        """Refuse a day that the data does not cover.

        Raises
        ------
        InputError
            The day lies before the first order or after the last day covered.
        """
        until = self.observed_until(ledger)
        if not ledger.first_day <= as_of <= until:
            raise InputError(
                f"as-of day {as_of} lies outside the data, which covers {ledger.first_day} to "
                f"{until}; choose a day between them, or set data.observed_until if the export "
                "covers later days without orders"
            )


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Seconds so far, to a tenth."""
        return round(time.monotonic() - self._start, 1)
