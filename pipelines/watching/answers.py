"""The champion watched: its features, what it says, and what became of what it said."""

from __future__ import annotations

from datetime import date

from features.ingest.ledger import Ledger
from features.scores import scored_days, scores_path
from features.snapshots import snapshot_folder
from pipelines.context import Context
from pipelines.report.predictions import Predictions
from pipelines.watching.checks import Check
from pipelines.watching.drifts import feature_checks
from pipelines.watching.predictions import prediction_checks
from pipelines.watching.said import Model, SaidAgainstSeen, said_against_seen
from training.contest_files import judged_file, read_contests
from training.tracking.drift import population_of
from training.tracking.population import Population

STALE_DAYS = 6
"""Scores older than this are none of this week."""

Found = tuple[list[Check], list[str]]


def answer_checks(
    context: Context, ledger: Ledger, day: date
) -> tuple[list[Check], list[str], Predictions | None]:
    """Check everything that follows from the champion; nothing where there is none.

    Gives checks, what could not be looked at, and what matured scores had said against what was
    seen, by stage and tenth.
    """
    registry = context.registry()
    champion = registry.champion()
    if champion is None:
        said = "there is no champion, so neither features nor predictions are looked at"
        return [], [said], None
    features, one = _features(context, ledger, day, population_of(champion, registry))
    predictions, two = _predictions(context, ledger, day)
    horizon = int(champion.tags["horizon_days"])
    seen = _outcomes(context, ledger, day, champion.version, horizon)
    return [*features, *predictions, *seen.checks], [*one, *two, *seen.notes], seen.matured


def _features(context: Context, ledger: Ledger, day: date, then: Population | None) -> Found:
    if then is None:
        return [], ["features: the champion's training left no population to compare with"]
    context.snapshots(ledger, [day])
    folder = snapshot_folder(context.workspace, ledger.customer_id_type)
    return feature_checks(then, sorted(folder.glob("[!.]*.parquet")), day)


def _predictions(context: Context, ledger: Ledger, day: date) -> Found:
    workspace, key_type = context.workspace, ledger.customer_id_type
    days = [one for one in scored_days(workspace, key_type) if one <= day]
    if not days or (day - days[-1]).days > STALE_DAYS:
        return [], ["predictions: the week that is looked at was not scored; run `lifecycle score`"]
    return prediction_checks([scores_path(workspace, key_type, one) for one in days])


def _outcomes(
    context: Context, ledger: Ledger, day: date, version: int, horizon: int
) -> SaidAgainstSeen:
    file = judged_file(context.workspace, version)
    if "contracts" in ledger.tables:
        return _nothing("under contract churn is no renewal, which the report shows")
    contests = read_contests(file) if file.is_file() else ()
    if not contests:
        return _nothing(f"version {version} was judged on no day")
    model = Model(version, horizon, contests)
    return said_against_seen(
        context.workspace, ledger.customer_id_type, ledger.orders_path, model, day
    )


def _nothing(why: str) -> SaidAgainstSeen:
    return SaidAgainstSeen((), (f"said against seen: {why}",), None)
