"""What has moved since the champion: its customers then beside today's, and what is said of them.

The population stability index sums (now - then) x log(now / then) over the bins of a feature; 0.1
is usually taken for some shift and 0.25 for much (Siddiqi 2006, "Credit Risk Scorecards").
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import WorkspaceError
from training.registry import Registry, ScorerVersion
from training.tracking.population import Population, Said
from training.tracking.training import Training

SOME, MUCH = 0.1, 0.25
SMALLEST = 1e-4
"""Share that stands in for a bin of nobody."""
FILE = "drift/population.json"
NAMED = 6
"""Features named in words."""


@dataclass(frozen=True)
class Drift:
    """The champion's day beside the day of this training.

    Attributes
    ----------
    version
        The champion's.
    champion_now
        What the champion says of today's customers; None where it can no longer answer, or answers
        another question.
    psi
        Feature to index, the largest first; features that nobody had on either day are left out.
    """

    version: int
    then: Population
    now: Population
    champion_now: Said | None
    psi: Mapping[str, float]

    def beyond(self, mark: float) -> list[str]:
        """Features of an index from a mark on, the largest first."""
        return [name for name, value in self.psi.items() if value >= mark]


def index(then: Sequence[float], now: Sequence[float]) -> float:
    """Population stability index of shares in the same bins.

    >>> index([0.5, 0.5], [0.5, 0.5]), round(index([0.5, 0.5], [0.7, 0.3]), 3)
    (0.0, 0.169)
    """
    old, new = (np.maximum(np.array(shares), SMALLEST) for shares in (then, now))
    return float(((new - old) * np.log(new / old)).sum())


def since_champion(
    training: Training, now: Population, registry: Registry, threads: int
) -> Drift | None:
    """Compare with the champion; None where there is none, or none that left its population."""
    champion = registry.champion()
    if champion is None or (then := population_of(champion, registry)) is None:
        return None
    psi = {
        name: index(then.features[name].shares, then.features[name].shares_of(training.today[name]))
        for name in now.features
        if name in then.features and not _absent(name, then, now)
    }
    largest = dict(sorted(psi.items(), key=lambda item: -item[1]))
    said = _says_now(champion, training, registry, threads)
    return Drift(champion.version, then, now, said, largest)


def words(drift: Drift | None) -> list[str]:
    """Say in sentences what has moved."""
    if drift is None:
        return ["There is no champion to compare with, or none that left its population behind."]
    then, now = drift.then, drift.now
    few, many = drift.beyond(SOME), drift.beyond(MUCH)
    lines = [
        f"Against version {drift.version}, the champion, of {then.as_of}: {then.customers:,} "
        f"customers had bought by then, {now.customers:,} by {now.as_of}.",
        f"Of {len(drift.psi)} features {len(many)} moved much (PSI from {MUCH} on), "
        f"{len(few) - len(many)} somewhat (from {SOME} on), the others hardly."
        + (f" Most: {'; '.join(_moved(drift, name) for name in few[:NAMED])}." if few else ""),
    ]
    for what, unit in (("churn", "mean churn probability"), ("spend", "mean expected spend")):
        digits = 3 if what == "churn" else 2
        told = [f"it said {getattr(then.said, what):.{digits}f} of its customers"]
        if drift.champion_now is not None:
            told.append(f"says {getattr(drift.champion_now, what):.{digits}f} of today's")
        told.append(f"this version says {getattr(now.said, what):.{digits}f} of these")
        lines.append(f"The {unit}: {', '.join(told)}.")
    return lines


def _moved(drift: Drift, name: str) -> str:
    before, after = drift.then.features[name].middle, drift.now.features[name].middle
    middles = "" if before is None or after is None else f", median {before:,.4g} to {after:,.4g}"
    return f"`{name}` {drift.psi[name]:.2f}{middles}"


def _absent(name: str, then: Population, now: Population) -> bool:
    return then.features[name].shares[-1] == 1 == now.features[name].shares[-1]


def population_of(champion: ScorerVersion, registry: Registry) -> Population | None:
    """The customers of a champion's day, as its training left them; None where it left none."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    import mlflow  # noqa: PLC0415 - takes seconds to import

    client = mlflow.MlflowClient(registry.uri, registry.uri)
    folder = str(Path(FILE).parent)
    try:
        left = {file.path for file in client.list_artifacts(champion.run_id, folder)}
    except MlflowException as error:
        # The run may have been deleted, and the version be kept.
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    if FILE not in left:
        return None
    with tempfile.TemporaryDirectory() as place:
        # Whoever asks need not have told MLflow where its server is.
        found = mlflow.artifacts.download_artifacts(
            run_id=champion.run_id, artifact_path=FILE, dst_path=place, tracking_uri=registry.uri
        )
        return Population.from_dict(json.loads(Path(found).read_text(encoding="utf-8")))


def _says_now(
    champion: ScorerVersion, training: Training, registry: Registry, threads: int
) -> Said | None:
    if champion.tags.get("horizon_days") != str(training.bundle.horizon_days):
        return None
    try:
        bundle = registry.load(champion)
    except WorkspaceError:
        return None
    return Said.by(bundle, training.today, threads)
