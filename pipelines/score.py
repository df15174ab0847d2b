"""`lifecycle score`: one row for every customer known on a day.

Customers are scored in batches into the workspace's own file of the day, from which the feature
store, other files and databases are filled: what is scored once is not scored again for another
place, and a delivery that was cut short goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from features import __version__
from features.matrix import matrix_of
from features.repository import project_name
from features.scores import VERSION, scores_path
from features.servers import without_password
from features.snapshot_files import stored_key
from features.snapshots import known_customers
from features.store import FeatureStore
from pipelines.context import Context, Stopwatch
from pipelines.features import put_online
from serving.batch import CHUNK, score_batch, score_schema
from serving.decisions.archive import keep_file
from serving.deliveries import Deliveries
from serving.delivery import Delivered, check_file, deliver_file, is_database
from serving.former_stages import DayStages, FormerStages
from serving.reasons import Reasons
from serving.score_files import read_scores, write_scores
from serving.scorer import Scorer
from serving.sentences import Language
from serving.stage_summary import SUMMARISED, StageSummary
from serving.value_summary import SUMMARISED as VALUED
from serving.value_summary import ValueSummary
from training.stages import Vocabulary, stage_labels

Words = tuple[Language, Vocabulary]

TABLE = "lifecycle_scores"
"""Table of a database that scores go to, unless another is named."""


@dataclass(frozen=True)
class ScoreReport:
    """What was scored, where it went, and a summary by stage and by value.

    Attributes
    ----------
    computed
        Whether the scores were computed now; else the same had been before.
    delivered
        What was written to ``--out``.
    """

    as_of: str
    customers: int
    file: str
    computed: bool
    delivered: Delivered | None
    model_version: int
    online_as_of: str | None
    stages: list[dict[str, Any]]
    value_grid: list[dict[str, Any]]
    profit: dict[str, Any]
    rescue: dict[str, dict[str, float]]
    currency: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score(
    context: Context,
    as_of: date | None,
    out: str | None = None,
    reasons: Reasons = "fast",
    language: Language | None = None,
    table: str = TABLE,
    vocabulary: Vocabulary | None = None,
    looking_back: bool = False,
) -> ScoreReport:
    """Score every customer known by the end of a day.

    The day's features are computed if they are missing, and put online unless a newer day is; the
    scores of the day that is online can be looked up there. Exact reasons take a hundred times as
    long as fast ones where trees are large.

    Parameters
    ----------
    language, vocabulary
        Of the sentences, and of the stages' labels; None: as the settings say.
    out
        Another place for the scores: a Parquet or CSV file, or the address of a PostgreSQL
        database.
    table
        The table in that database.
    looking_back
        To look at a past day that was not scored: no later stage comes from these.

    Raises
    ------
    InputError
        The day lies outside the data, or ``out`` is no place that scores can be sent to.
    ServerError
        The database cannot be used.
    WorkspaceError
        Nothing is ingested or promoted.
    """
    watch = Stopwatch()
    language = language or context.settings.serving.language
    vocabulary = vocabulary or context.settings.serving.vocabulary
    if out is not None and not is_database(out):
        check_file(out)
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        scorer = Scorer.champion(
            context.registry(),
            context.settings.serving,
            context.settings.data.sensitive_attributes,
        )
        context.snapshots(ledger, [day])
        store = context.store(ledger)
        store.apply()
        put_online(context, ledger, store, day)
        path = scores_path(context.workspace, ledger.customer_id_type, day)
        former = FormerStages(context.workspace, ledger.customer_id_type, looking_back).before(day)
        words = language, vocabulary
        snapshot = context.snapshot_key(ledger, day)
        key = scores_key(scorer, snapshot, reasons, words, former, looking_back)
        computed = stored_key(path) != key
        if computed:
            for kind, version, file in scorer.files(context.settings.serving):
                keep_file(context.workspace.decisions, kind, version, file.read_bytes())
            customers = known_customers(context.workspace, ledger, day)
            write_day(
                context, store, scorer, customers, day, path, key, reasons, words, former,
                looking_back,
            )  # fmt: skip
        state = store.state
        if state is not None and state.as_of == day:
            store.materialise_scores(key)
        delivered = None if out is None else _deliver(context, path, out, table)
    summary, valued = StageSummary(stage_labels(vocabulary, language)), ValueSummary()
    for batch in read_scores(path, list(dict.fromkeys((*SUMMARISED, *VALUED)))):
        summary.add(batch)
        valued.add(batch)
    return ScoreReport(
        day.isoformat(),
        summary.customers,
        str(path if out is None else _named(out, table)),
        computed,
        delivered,
        scorer.model_version,
        state.as_of.isoformat() if state else None,
        summary.rows(),
        valued.grid(),
        valued.profit(),
        valued.rescue(),
        scorer.bundle.currency,
        watch.seconds(),
    )


def scores_key(
    scorer: Scorer,
    snapshot_key: str,
    reasons: Reasons,
    words: Words,
    former: DayStages | None,
    looking_back: bool = False,
) -> str:
    """Name the scores of a day by all that they follow from."""
    parts = (
        scorer.deciders,
        snapshot_key,
        reasons,
        *words,
        former.key if former is not None else "",
        str(VERSION),
        __version__,
        *(("looking back",) if looking_back else ()),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def write_day(
    context: Context,
    store: FeatureStore,
    scorer: Scorer,
    customers: pa.Array,
    as_of: date,
    path: Path,
    key: str,
    reasons: Reasons,
    words: Words,
    former: DayStages | None = None,
    looking_back: bool = False,
) -> None:
    """Score a day's customers, a batch at a time, into a file that takes its place when whole."""
    threads = context.settings.training.threads
    scored_at = datetime.now(UTC)

    def batches() -> Iterator[pa.RecordBatch]:
        done = 0
        context.say("scoring", done, len(customers))
        for rows in store.historical_batches(customers, as_of, CHUNK):
            matrix = matrix_of(pa.Table.from_batches([rows]), scorer.bundle.vocabulary)
            ids = rows.column("customer_id")
            yield score_batch(
                scorer, ids, matrix, threads, reasons, words[0], scored_at, former, words[1]
            )
            done += rows.num_rows
            context.say("scoring", done, len(customers))

    write_scores(path, batches(), score_schema(customers.type), key, looking_back)


def _deliver(context: Context, path: Path, out: str, table: str) -> Delivered:
    deliveries, now = Deliveries(context.workspace), datetime.now(UTC)
    if not is_database(out):
        delivered = deliver_file(path, check_file(out))
        deliveries.note_file("score", check_file(out), now)
        return delivered
    # Noted before: what is cut short may have sent some of them.
    deliveries.note_database("score", out, table, now)
    from serving.postgres import deliver_rows  # noqa: PLC0415 - an extra

    project = project_name(context.workspace, context.settings.stores)
    return deliver_rows(
        path, out, table, project, lambda done, of: context.say("database", done, of)
    )


def _named(out: str, table: str) -> str:
    return f"table {table} of {without_password(out)}" if is_database(out) else out
