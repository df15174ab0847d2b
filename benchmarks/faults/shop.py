"""The workspace that is broken: a copy, with two models and customers to ask for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl

from features.ingest.ledger import Ledger
from features.settings import Settings, settings_file
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.demo import demo, prepare_workspace
from training.registry import open_registry

ROOT = Path(__file__).parent.parent.parent
CUSTOMERS = 120
PUSHED = 6
DAYS_BACK = 3
"""Closed days before the last one that a day can come online after."""


@dataclass(frozen=True)
class Shop:
    """A copy of a workspace for one fault.

    Attributes
    ----------
    customers
        Asked for all the time; the first of them are pushed to.
    environment
        Settings of this fault, as variables.
    """

    root: Path
    customers: list[int]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def pushed(self) -> list[int]:
        """The customers that events are pushed of."""
        return self.customers[:PUSHED]

    @property
    def workspace(self) -> Workspace:
        """The copy."""
        return Workspace(self.root)

    @property
    def settings(self) -> Settings:
        """As the server has them."""
        return Settings.load(settings_file(self.root), {**os.environ, **self.environment})

    @property
    def context(self) -> Context:
        """How the verbs work here."""
        return Context(self.workspace, self.settings)

    @property
    def last_day(self) -> date:
        """The last day that the data covers, whatever a fault's settings say."""
        context = Context(self.workspace, Settings.load(settings_file(self.root), os.environ))
        return context.observed_until(Ledger(self.workspace))

    def copied(self, root: Path, **environment: str) -> Shop:
        """Copy it again, for a fault that is to begin anew."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Shop(root, self.customers, environment)


def two_models(workspace: Path, root: Path) -> Shop:
    """Copy a workspace, and register a second, different model in the copy."""
    shutil.copytree(workspace, root)
    # What the original's endpoint said is none of this one's record.
    shutil.rmtree(root / "decisions", ignore_errors=True)
    shop = Shop(root, buyers(root))
    registry = open_registry(shop.workspace, shop.settings)
    newest = registry.newest()
    if newest is None or newest.version == registry.require_champion().version:
        earlier = shop.last_day - timedelta(days=31)
        lifecycle(shop, "train", "--as-of", str(earlier), "--trials", "0", "--quiet")
    return shop


def demo_of(root: Path) -> Path:
    """Make the demo's workspace, without a search for parameters."""
    prepare_workspace(Workspace(root))
    overrides = {"training": {"trials": 0}}
    settings = Settings.load(file=root / "lifecycle.yaml", overrides=overrides)
    with redirect_stdout(StringIO()):
        demo(Context(Workspace(root), settings))
    return root


def lifecycle(shop: Shop, *words: str) -> None:
    """Run a verb as a user does.

    Raises
    ------
    RuntimeError
        It failed.
    """
    done = subprocess.run(
        [*command(shop.root), *words],
        env=environment(shop),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"lifecycle {' '.join(words)}: {done.stdout}{done.stderr}"[-3000:])


def command(root: Path) -> list[str]:
    """Spell the command line on a workspace."""
    return [sys.executable, "-m", "pipelines.cli", "--workspace", str(root)]


def environment(shop: Shop) -> dict[str, str]:
    """Give a process this checkout, one thread and the fault's settings."""
    alone = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    return {**os.environ, **alone, **shop.environment}


def buyers(root: Path) -> list[int]:
    """Choose customers who had bought long before the days that are put online."""
    ledger = Ledger(Workspace(root))
    days = (
        pl.scan_parquet(ledger.orders_path)
        .group_by("customer_id")
        .agg(pl.col("known_day").min())
        .sort("known_day", "customer_id")
        .collect()
    )
    early = days["customer_id"].to_list()[: 5 * CUSTOMERS]
    chosen = np.random.default_rng(3).choice(len(early), min(CUSTOMERS, len(early)), replace=False)
    return [early[place] for place in chosen]
