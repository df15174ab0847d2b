"""`lifecycle segments`: RFM, value and risk, clusters of behaviour, slices by attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.errors import InputError
from features.matrix import Vocabulary, matrix_of
from features.scores import scores_path
from features.snapshots import snapshot_path
from features.workspace import read_json, replacing, write_json
from pipelines.context import Context, Stopwatch
from pipelines.score import score
from pipelines.sensitive import sensitive_groups
from pipelines.slices import attributes_on, slice_by
from serving.cluster_words import describe
from serving.deliveries import Deliveries
from serving.delivery import check_file, deliver_file
from serving.sentences import LANGUAGES, Language
from training.prior import column
from training.segments.fit import Segments
from training.segments.rfm import MEASURES, measures
from training.segments.tracking import log_segments

Float = NDArray[np.float64]

FIT = "fit.json"
SCORED = (
    "value_tier", "risk_band", "lifecycle_stage", "churn_probability", "clv_12m", "profit_to_date",
)  # fmt: skip
KEPT = (
    "customer_id", "as_of", *MEASURES, "value_tier", "risk_band", "lifecycle_stage", "cluster",
    "cluster_words",
)  # fmt: skip
"""Columns of the rows that are written."""


@dataclass(frozen=True)
class SegmentReport:
    """How customers are divided on a day.

    Attributes
    ----------
    fitted_on, refitted
        The day on whose buyers fifths and clusters were fitted, and whether that was now.
    rfm
        A row each fifth of each measure; empty where too few have bought.
    clusters
        A row a cluster: ``cluster`` from 1, ``words`` by language, ``share`` of buyers, means and
        totals; empty where none is stable, and ``why`` then says so.
    stability
        How stable each number of clusters was when they were fitted.
    slices, left_out
        By attribute; the latter with the reason.
    sensitive
        How each group of the sensitive attributes fares; see :mod:`pipelines.sensitive`.
    """

    as_of: str
    fitted_on: str
    refitted: bool
    customers: int
    buyers: int
    currency: str
    rfm: list[dict[str, Any]]
    value_grid: list[dict[str, Any]]
    profit: dict[str, Any]
    rescue: dict[str, dict[str, float]]
    clusters: list[dict[str, Any]]
    gaps: bool | None
    why: str
    stability: list[dict[str, Any]]
    slices: list[dict[str, Any]]
    left_out: dict[str, str]
    sensitive: list[dict[str, Any]]
    language: Language
    file: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def segment(
    context: Context,
    as_of: date | None,
    refit: bool = False,
    by: Sequence[str] = (),
    out: Path | None = None,
    language: Language | None = None,
) -> SegmentReport:
    """Divide every customer known by the end of a day; what is missing is scored first.

    Raises
    ------
    InputError
        The day lies outside the data, an attribute is not there, or ``out`` is no such file.
    NotEnoughData, WorkspaceError
        Nothing is ingested or promoted, or the fit is of another version.
    """
    watch = Stopwatch()
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out {out} must end in .parquet or .csv")
    language = language or context.settings.serving.language
    scored = score(context, as_of, language=language)
    day, ledger = date.fromisoformat(scored.as_of), context.ledger()
    attributes = attributes_on(ledger.path("customers"), day)
    _check_asked(by, attributes)
    snapshot = snapshot_path(context.workspace, ledger, day)
    matrix = matrix_of(pq.read_table(snapshot), Vocabulary())
    fitted, refitted = _fitted(context, matrix, day, refit)
    rows = _scored(context, day).hstack(_divided(fitted, matrix, language, scored.currency))
    path = context.workspace.segments / f"{day.isoformat()}.parquet"
    with replacing(path) as temporary:
        rows.select(KEPT).write_parquet(temporary)
    if out is not None:
        deliver_file(path, check_file(str(out)))
        Deliveries(context.workspace).note_file("segments", out, datetime.now(UTC))
    sensitive = context.settings.data.sensitive_attributes
    where = context.workspace, ledger.customer_id_type, day
    slices, left_out = slice_by(rows, attributes, sensitive, by)
    report = SegmentReport(
        day.isoformat(),
        fitted.fitted_on.isoformat(),
        refitted,
        rows.height,
        int(rows["is_buyer"].sum()),
        scored.currency,
        _fifths(rows),
        scored.value_grid,
        scored.profit,
        scored.rescue,
        _clusters(rows, fitted, scored.currency),
        None if fitted.clusters is None else fitted.clusters.gaps,
        fitted.why,
        fitted.to_dict()["tried"],
        [asdict(one) for one in slices],
        left_out,
        [asdict(one) for one in sensitive_groups(context, day, scores_path(*where))],
        language,
        str(path if out is None else out),
        watch.seconds(),
    )
    write_json(path.with_suffix(".json"), report.to_dict())
    log_segments(context.registry(), context.workspace, context.settings, fitted, path)
    return report


def _check_asked(by: Sequence[str], attributes: pl.DataFrame) -> None:
    there = [name for name in attributes.columns if name != "customer_id"]
    for name in by:
        if name not in there:
            known = f"it has {', '.join(there)}" if there else "none has been ingested"
            raise InputError(f"--by {name} is no column of the customers table; {known}")


def _fitted(context: Context, matrix: Float, day: date, refit: bool) -> tuple[Segments, bool]:
    """Read the fit that is kept, or make it on this day's buyers and keep it."""
    path = context.workspace.segments / FIT
    stored = None if refit else read_json(path)
    if stored is not None:
        return Segments.from_dict(stored), False
    buyers = matrix[column(matrix, "purchases") > 0]
    context.say("clusters", 0, 1)
    with context.workspace.locked(), threadpool_limits(limits=context.settings.training.threads):
        fitted = Segments.fit(buyers, day, context.settings.training.seed)
        write_json(path, fitted.to_dict())
    context.say("clusters", 1, 1)
    return fitted, True


def _scored(context: Context, day: date) -> pl.DataFrame:
    path = scores_path(context.workspace, context.ledger().customer_id_type, day)
    return pl.read_parquet(path, columns=["customer_id", "as_of", *SCORED]).select(
        "customer_id", "as_of", *SCORED
    )


def _divided(fitted: Segments, matrix: Float, language: Language, currency: str) -> pl.DataFrame:
    """Give each customer's fifths and cluster, null for who never bought."""
    buyer = column(matrix, "purchases") > 0
    columns: dict[str, pl.Series] = {"is_buyer": pl.Series(buyer)}
    fifths = None if fitted.rfm is None else fitted.rfm.scores(measures(matrix))
    for place, name in enumerate(MEASURES):
        codes = np.zeros(len(matrix), np.int8) if fifths is None else fifths[place]
        known = buyer if fifths is not None else np.zeros(len(matrix), dtype=bool)
        columns[name] = _masked(codes, known)
    found = fitted.clusters
    if found is None:
        columns["cluster"] = pl.repeat(None, len(matrix), dtype=pl.Int16, eager=True)
        columns["cluster_words"] = pl.repeat(None, len(matrix), dtype=pl.String, eager=True)
    else:
        codes = found.assign(matrix) + 1
        columns["cluster"] = _masked(codes.astype(np.int16), buyer)
        words = pl.Series(["", *describe(found, language, currency)])
        columns["cluster_words"] = words.gather(columns["cluster"])
    return pl.DataFrame(columns)


def _masked(codes: NDArray[Any], known: NDArray[np.bool_]) -> pl.Series:
    frame = pl.DataFrame({"code": codes, "known": known})
    return frame.select(pl.when("known").then("code")).to_series()


def _fifths(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Sum up each fifth of each measure, the best first."""
    told = []
    for name in MEASURES:
        sums = rows.drop_nulls(name).group_by(name).agg(_means()).sort(name, descending=True)
        told += [{"measure": name, "fifth": one.pop(name), **one} for one in sums.to_dicts()]
    return told


def _means() -> list[pl.Expr]:
    return [
        pl.len().alias("customers"),
        pl.mean("churn_probability"),
        pl.mean("clv_12m"),
        pl.sum("profit_to_date"),
    ]


def _clusters(rows: pl.DataFrame, fitted: Segments, currency: str) -> list[dict[str, Any]]:
    found = fitted.clusters
    if found is None:
        return []
    told = {language: describe(found, language, currency) for language in LANGUAGES}
    sums = {
        one["cluster"]: one
        for one in rows.drop_nulls("cluster").group_by("cluster").agg(_means()).to_dicts()
    }
    buyers = sum(one["customers"] for one in sums.values())
    nobody = {"customers": 0, "churn_probability": None, "clv_12m": None, "profit_to_date": 0.0}
    return [
        {
            **(nobody | sums.get(code + 1, {})),
            "cluster": code + 1,
            "words": {language: told[language][code] for language in LANGUAGES},
            "share": sums.get(code + 1, nobody)["customers"] / max(buyers, 1),
            "comes_back": found.jaccard[code],
        }
        for code in range(len(found.centres))
    ]
