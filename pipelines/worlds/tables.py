"""What was written down, as tables of the data contract: what arrived between two days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from features.ingest.contract import KINDS, Table
from pipelines.worlds.calendar import number_of
from pipelines.worlds.company import Company
from pipelines.worlds.draws import uniforms
from pipelines.worlds.records import DAY_SECONDS, PATHS, TOPICS

MICROSECONDS = 1_000_000


def tables_of(
    company: Company, until: date, since: date | None = None
) -> dict[Table, pl.DataFrame]:
    """Give the rows that arrived by the end of a day, and after another.

    Rows are in the order in which they arrived, so that those until an earlier day come first and
    are the same.

    Returns
    -------
    dict
        By the contract's names; contracts only in a contract world.
    """
    last = (number_of(company.world, until) + 1) * DAY_SECONDS
    first = 0 if since is None else (number_of(company.world, since) + 1) * DAY_SECONDS
    made: dict[Table, pl.DataFrame] = {
        "orders": _orders(company),
        "customers": _customers(company),
        "interactions": _interactions(company),
        "treatments": _treatments(company),
    }
    if company.world.subscription is not None:
        made["contracts"] = _contracts(company)
    return {
        table: rows.filter(pl.col("known") >= first, pl.col("known") < last)
        .sort("known", maintain_order=True)
        .select(pl.exclude("known"))
        for table, rows in made.items()
    }


def _moment(company: Company, seconds: str) -> pl.Expr:
    """A column of seconds since the start as moments; what is below 0 never was."""
    start = datetime.combine(company.world.starts, datetime.min.time(), UTC)
    origin = int(start.timestamp())
    return (
        pl.when(pl.col(seconds) >= 0)
        .then((pl.col(seconds) + origin) * MICROSECONDS)
        .cast(pl.Datetime("us", "UTC"))
    )


def _label(column: str, names: tuple[str, ...]) -> pl.Expr:
    """A column of places in a list as its labels; -1 is none."""
    return pl.lit(pl.Series(names, dtype=pl.String)).gather(
        pl.when(pl.col(column) >= 0).then(pl.col(column).cast(pl.UInt32))
    )


def _money(cents: str) -> pl.Expr:
    return pl.col(cents).cast(pl.Float64) / 100


def _who() -> pl.Expr:
    return (pl.col("id").cast(pl.Int64) + 1).alias("customer_id")


def _frame(company: Company, table: Table, names: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(getattr(company.records, table).columns(names))


def _orders(company: Company) -> pl.DataFrame:
    names = (
        "id", "at", "known", "number", "line", "cents", "quantity", "discount", "cost",
        "category", "channel",
    )  # fmt: skip
    rows = _broken(company, _frame(company, "orders", names))
    back = pl.when(pl.col("line") < 0).then(pl.lit("R")).otherwise(pl.lit("O"))
    return rows.select(
        _who(),
        _moment(company, "at").alias("ordered_at"),
        _money("cents").alias("amount"),
        pl.format("{}{}-{}", back, pl.col("id") + 1, pl.col("number")).alias("order_id"),
        pl.col("quantity").cast(pl.Float64),
        _money("discount").alias("discount"),
        _money("cost").alias("cost"),
        _label("category", company.world.orders.categories).alias("category"),
        _label("channel", tuple(company.world.orders.channels)).alias("channel"),
        _moment(company, "known").alias("arrived_at"),
        "known",
    )


def _broken(company: Company, rows: pl.DataFrame) -> pl.DataFrame:
    """Break the export, where a break says so: the truth stays as it is."""
    for place, change in enumerate(company.world.breaks):
        from_then = pl.col("known") >= number_of(company.world, change.since) * DAY_SECONDS
        if change.export_lost > 0:
            key = rows.select(
                pl.col("at") * 131_071 + pl.col("id").cast(pl.Int64) * 8 + pl.col("line")
            ).to_series()
            drawn = uniforms(company.seed, f"export {place}", 0, key.to_numpy())
            kept = pl.Series(drawn >= change.export_lost)
            rows = rows.filter(~from_then | kept)
        if change.export_factor != 1:
            cents = (pl.col("cents") * change.export_factor).round().cast(pl.Int64)
            rows = rows.with_columns(
                cents=pl.when(from_then).then(cents).otherwise(pl.col("cents"))
            )
    return rows


def _customers(company: Company) -> pl.DataFrame:
    who, people = company.world.people, company.people
    rows = _frame(company, "customers", ("id", "known", "registered", "region", "referred_by"))
    ids = rows["id"].cast(pl.Int64).to_numpy()
    consent = pl.Series(people.consent[ids], dtype=pl.Int8)
    return rows.with_columns(
        source=pl.Series(people.source[ids]),
        age=pl.Series(people.age_group[ids]),
        cost=pl.Series(people.source_cost[ids]),
        consent=pl.when(consent >= 0).then(consent == 1),
        referrer=pl.when(pl.col("referred_by") >= 0).then(pl.col("referred_by").cast(pl.Int64) + 1),
    ).select(
        _who(),
        _moment(company, "registered").alias("registered_at"),
        _moment(company, "known").alias("valid_from"),
        _label("source", tuple(who.sources)).alias("acquisition_channel"),
        pl.col("cost").alias("acquisition_cost"),
        pl.col("referrer").alias("referred_by"),
        _label("region", tuple(who.regions)).alias("region"),
        _label("age", tuple(who.age_groups)).alias("age_group"),
        pl.col("consent").alias("marketing_consent"),
        "known",
    )


def _interactions(company: Company) -> pl.DataFrame:
    names = ("id", "at", "known", "kind", "value", "topic", "cost", "path")
    return _frame(company, "interactions", names).select(
        _who(),
        _moment(company, "at").alias("at"),
        _label("kind", KINDS).alias("kind"),
        pl.col("value").cast(pl.Float64).fill_nan(None),
        _label("topic", TOPICS).alias("topic"),
        pl.col("cost").cast(pl.Float64).fill_nan(None),
        _label("path", PATHS).alias("channel"),
        _moment(company, "known").alias("arrived_at"),
        "known",
    )


def _treatments(company: Company) -> pl.DataFrame:
    names = ("id", "at", "known", "action", "treated", "propensity", "cost", "day")
    columns = company.records.treatments.columns((*names, "decision"))
    decisions = pl.Series(columns.pop("decision").tolist(), dtype=pl.String)
    rows = pl.DataFrame(columns).with_columns(decision_id=decisions)
    start = company.world.starts
    days = {int(day): str(start + timedelta(days=int(day))) for day in rows["day"].unique()}
    return rows.with_columns(name=_label("action", company.responses.names)).select(
        _who(),
        _moment(company, "at").alias("at"),
        pl.col("name").alias("action"),
        pl.when(pl.col("treated").cast(pl.Boolean))
        .then(pl.lit("treated"))
        .otherwise(pl.lit("control"))
        .alias("arm"),
        pl.col("propensity").cast(pl.Float64).fill_nan(None),
        pl.col("cost").cast(pl.Float64),
        pl.format(
            "{}-{}",
            "name",
            pl.col("day").cast(pl.Int32).replace_strict(days, return_dtype=pl.String),
        ).alias("campaign"),
        "decision_id",
        _moment(company, "known").alias("arrived_at"),
        "known",
    )


def _contracts(company: Company) -> pl.DataFrame:
    terms = company.world.subscription
    names = ("id", "at", "known", "ends", "renewed", "cancelled", "fee", "plan")
    plans = terms.plans if terms else {}
    return _frame(company, "contracts", names).select(
        _who(),
        pl.format("K{}", pl.col("id") + 1).alias("contract_id"),
        _moment(company, "at").alias("starts_at"),
        _moment(company, "ends").alias("ends_at"),
        _moment(company, "renewed").alias("renewed_at"),
        _moment(company, "cancelled").alias("cancelled_at"),
        pl.col("fee").cast(pl.Float64),
        _label("plan", tuple(plans)).alias("plan"),
        _moment(company, "known").alias("arrived_at"),
        "known",
    )
